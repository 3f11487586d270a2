//! Linux, with any C library.
//!
//! Reservations are private mappings that may not be touched and are not counted where
//! overcommitting is off; `commit` makes them writable, and only then are they counted.

use crate::{fork, thread};
use core::ffi::{CStr, c_char, c_void};
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null, null_mut};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Returns the bytes of a page.
pub fn page_size() -> usize {
    // SAFETY: The call has no conditions; it reads what the kernel told the process at its start.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) };
    if size == 0 { 4096 } else { size as usize }
}

/// Reserves address space without memory, near `hint` where that is free.
pub fn reserve(size: usize, hint: usize) -> Option<NonNull<u8>> {
    map(size, hint, libc::PROT_NONE)
}

/// Reserves address space that reads as zero and costs no memory until it is committed.
pub fn reserve_readable(size: usize) -> Option<NonNull<u8>> {
    map(size, 0, libc::PROT_READ)
}

fn map(size: usize, hint: usize, protection: i32) -> Option<NonNull<u8>> {
    let hint = core::ptr::without_provenance_mut(hint);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: Without MAP_FIXED the mapping takes nobody's place.
    let base = quietly(|| unsafe { libc::mmap(hint, size, protection, flags, -1, 0) });
    if base == libc::MAP_FAILED { None } else { NonNull::new(base.cast()) }
}

/// Makes a part of a reservation usable; it reads as zero where it was never committed. False
/// when the system has no memory, and nothing has changed.
///
/// # Safety
///
/// The range is part of a reservation of the caller's.
pub unsafe fn commit(base: NonNull<u8>, size: usize) -> bool {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: The range is the caller's, and becomes more usable than it was.
    quietly(|| unsafe { libc::mprotect(base.as_ptr().cast(), size, protection) == 0 })
}

/// Gives the memory of a committed part back; it stays usable, and reads as zero. False where
/// the system refuses, and nothing has changed.
///
/// # Safety
///
/// The range is committed, and what it holds is needed by nobody.
pub unsafe fn decommit(base: NonNull<u8>, size: usize) -> bool {
    // SAFETY: The caller gives the contents up.
    quietly(|| unsafe { libc::madvise(base.as_ptr().cast(), size, libc::MADV_DONTNEED) == 0 })
}

/// Makes each access to a part of a reservation fault.
///
/// # Safety
///
/// The range is part of a reservation of the caller's, and used by nobody.
pub unsafe fn protect(base: NonNull<u8>, size: usize) -> bool {
    // SAFETY: The caller promises that nobody uses the range.
    quietly(|| unsafe { libc::mprotect(base.as_ptr().cast(), size, libc::PROT_NONE) == 0 })
}

/// Gives a reservation back.
///
/// # Safety
///
/// The range is a reservation, whole, and nobody uses any of it.
pub unsafe fn release(base: NonNull<u8>, size: usize) {
    // SAFETY: The caller promises that nobody uses the range. A refusal leaves it reserved.
    quietly(|| unsafe { libc::munmap(base.as_ptr().cast(), size) });
}

/// Moves the pages of `source` to `target` without copying them; the source then reads as zero.
/// False where the system can't, and nothing has changed.
///
/// # Safety
///
/// - Both ranges are committed, do not overlap, and are the caller's.
/// - What the target holds is needed by nobody.
pub unsafe fn relocate(source: NonNull<u8>, target: NonNull<u8>, size: usize) -> bool {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    let (source, target) = (source.as_ptr().cast::<c_void>(), target.as_ptr().cast::<c_void>());
    // SAFETY: Both ranges are the caller's, the target's contents are given up, and the source
    // stays mapped.
    quietly(|| unsafe { libc::mremap(source, size, size, flags, target) != libc::MAP_FAILED })
}

/// Returns the limit on this process's address space, in bytes, if there is one.
pub fn address_limit() -> Option<usize> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: The pointer is to a whole `rlimit`.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_AS, limit.as_mut_ptr()) } != 0;
    if failed {
        return None;
    }
    // SAFETY: The call has succeeded, so it has filled the structure.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    (limit != libc::RLIM_INFINITY).then_some(limit as usize)
}

/// Returns milliseconds of a clock that never goes back: the coarse one, which costs no system
/// call.
pub fn now_ms() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: The pointer is to a whole `timespec`.
    let failed =
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, time.as_mut_ptr()) } != 0;
    if failed {
        return 0;
    }
    // SAFETY: The call has succeeded, so it has filled the structure.
    let time = unsafe { time.assume_init() };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Sleeps while `word` holds `value`; may return early.
pub fn wait(word: &AtomicU32, value: u32) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    futex(word, operation, value);
}

/// Wakes one who waits for `word`.
pub fn wake(word: &AtomicU32) {
    futex(word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
}

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    // SAFETY: The word lives as long as the call, and no timeout is given.
    quietly(|| unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, null::<libc::timespec>())
    });
}

/// Makes a system call and keeps C's `errno`, which a free must not change.
fn quietly<R>(call: impl FnOnce() -> R) -> R {
    let error = error_number();
    let result = call();
    set_error_number(error);
    result
}

fn error_number() -> i32 {
    // SAFETY: The call has no conditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: The C library says that the place is this thread's.
    unsafe { *place }
}

/// Sets C's `errno`.
pub fn set_error_number(number: i32) {
    // SAFETY: The call has no conditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: The C library says that the place is this thread's.
    unsafe { *place = number };
}

/// Returns a word that nobody can guess; from the clock and an address where the kernel has not
/// gathered enough yet.
pub fn random() -> u64 {
    let mut word = 0u64;
    let place = &raw mut word;
    // SAFETY: The place has eight bytes.
    let got =
        quietly(|| unsafe { libc::syscall(libc::SYS_getrandom, place, 8, libc::GRND_NONBLOCK) });
    if got == 8 { word } else { now_ms() ^ (&raw const word as u64) << 16 }
}

/// Calls `each` with every `NAME=value` of the environment, as far as that can be read yet.
pub fn variables(mut each: impl FnMut(&[u8])) {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: The C library has this variable; nobody changes it while the process starts.
    let mut at = unsafe { environ };
    // SAFETY: Null before the C library has set it up, else a row that ends with a null.
    while let Some(&text) = unsafe { at.as_ref() }.filter(|text| !text.is_null()) {
        // SAFETY: Each is a text that ends with a zero.
        each(unsafe { CStr::from_ptr(text) }.to_bytes());
        // SAFETY: The row goes on until its null.
        at = unsafe { at.add(1) };
    }
}

/// Runs `work` in a thread of our own, for ever. False when there can be none.
pub fn start_thread(work: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    let mut thread = MaybeUninit::uninit();
    // SAFETY: The place is the call's alone, and the work takes no argument.
    let failed =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), null(), work, null_mut()) } != 0;
    !failed
}

/// Waits.
pub fn sleep_ms(time: u64) {
    let time = libc::timespec {
        tv_sec: (time / 1000) as libc::time_t,
        tv_nsec: (time % 1000 * 1_000_000) as libc::c_long,
    };
    // SAFETY: The time is given, and nobody asks for the rest.
    unsafe { libc::nanosleep(&raw const time, null_mut()) };
}

/// Writes text to the standard error, as far as that takes it.
pub fn write(text: &[u8]) {
    // SAFETY: The pointer is to that many bytes.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

/// Ends the process by SIGABRT.
pub fn abort() -> ! {
    // SAFETY: The call has no conditions.
    unsafe { libc::abort() }
}

/// The key whose destructor tells that a thread ends, plus one; 0 before it is made.
static EXIT_KEY: AtomicU32 = AtomicU32::new(0);

/// Hands `value` to `thread::on_exit` when this thread ends.
pub fn at_thread_exit(value: NonNull<c_void>) {
    let Some(key) = exit_key() else { return };
    // SAFETY: The key was made and is never deleted. A failure means that this thread's state
    // stays when it ends, which costs memory and nothing else.
    unsafe { libc::pthread_setspecific(key, value.as_ptr()) };
}

fn exit_key() -> Option<libc::pthread_key_t> {
    // Acquire: pairs with the store below.
    let known = EXIT_KEY.load(Acquire);
    if known != 0 {
        return Some(known - 1);
    }
    let mut key = 0;
    // SAFETY: The place is the call's alone, and the destructor takes any value that was set.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(exit)) } != 0 {
        return None;
    }
    // Release: pairs with the load above. Of two threads that race here both have a key that
    // works; one of them is used by no later thread.
    let _ = EXIT_KEY.compare_exchange(0, key + 1, Release, Relaxed);
    Some(key)
}

unsafe extern "C" fn exit(value: *mut c_void) {
    if let Some(value) = NonNull::new(value) {
        thread::on_exit(value);
    }
}

/// Calls `fork::before`, `fork::parent` and `fork::child` around each fork from now on.
pub fn at_fork() {
    unsafe extern "C" fn before() {
        fork::before();
    }
    unsafe extern "C" fn parent() {
        fork::parent();
    }
    unsafe extern "C" fn child() {
        fork::child();
    }
    // SAFETY: The handlers live as long as the process. A failure, for lack of memory, leaves
    // forks as they were.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) };
}

/// Calls `function` when the process ends in an orderly way.
pub fn at_exit(function: extern "C" fn()) {
    // SAFETY: The function lives as long as the process.
    unsafe { libc::atexit(function) };
}
