//! What all Unixes do alike. Of the file of the system, beside this one, it uses the flag
//! [`UNCOUNTED`](super::UNCOUNTED), the clock [`CLOCK`](super::CLOCK), the places of `errno` and
//! of the environment, and the source of random words.
//!
//! Reservations are private mappings that may not be touched and are not counted where
//! overcommitting is off; `commit` makes them writable, and only then are they counted.

use crate::thread;
use core::ffi::{CStr, c_char, c_void};
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null, null_mut};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

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
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | super::UNCOUNTED;
    // SAFETY: Without MAP_FIXED the mapping takes nobody's place.
    let base = keep_error_number(|| unsafe { libc::mmap(hint, size, protection, flags, -1, 0) });
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
    keep_error_number(|| unsafe { libc::mprotect(base.as_ptr().cast(), size, protection) == 0 })
}

/// Makes each access to a part of a reservation fault.
///
/// # Safety
///
/// The range is part of a reservation of the caller's, and used by nobody.
pub unsafe fn protect(base: NonNull<u8>, size: usize) -> bool {
    // SAFETY: The caller promises that nobody uses the range.
    keep_error_number(|| unsafe {
        libc::mprotect(base.as_ptr().cast(), size, libc::PROT_NONE) == 0
    })
}

/// Gives a reservation back.
///
/// # Safety
///
/// The range is a reservation, whole, and nobody uses any of it.
pub unsafe fn release(base: NonNull<u8>, size: usize) {
    // SAFETY: The caller promises that nobody uses the range. A refusal leaves it reserved.
    keep_error_number(|| unsafe { libc::munmap(base.as_ptr().cast(), size) });
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
    let failed = unsafe { libc::clock_gettime(super::CLOCK, time.as_mut_ptr()) } != 0;
    if failed {
        return 0;
    }
    // SAFETY: The call has succeeded, so it has filled the structure.
    let time = unsafe { time.assume_init() };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Does what C's `errno` is not to tell of: a free leaves it as it is, and so does an allocation
/// that succeeds. What the C library does for us may allocate itself, and fail.
pub fn keep_error_number<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: The C library says that the place is this thread's.
    let number = unsafe { *super::error_place() };
    let result = work();
    set_error_number(number);
    result
}

/// Sets C's `errno`.
pub fn set_error_number(number: i32) {
    // SAFETY: The C library says that the place is this thread's.
    unsafe { *super::error_place() = number };
}

/// Returns a word that nobody can guess; from the clock and an address where the system has not
/// gathered enough yet.
pub fn random() -> u64 {
    let mut word = 0;
    let got = keep_error_number(|| super::fill_random(&mut word));
    if got { word } else { now_ms() ^ (&raw const word as u64) << 16 }
}

/// Calls `each` with every `NAME=value` of the environment that begins so, as far as that can be
/// read yet. The others are not measured: that would bring in code that few programs need.
pub fn variables(begin: &[u8], mut each: impl FnMut(&[u8])) {
    let mut at = super::environment();
    // SAFETY: Null before the C library has set it up, else a row that ends with a null; nobody
    // changes it while the process starts.
    while let Some(&text) = unsafe { at.as_ref() }.filter(|text| !text.is_null()) {
        if begins_with(text, begin) {
            // SAFETY: Each is a text that ends with a zero.
            each(unsafe { CStr::from_ptr(text) }.to_bytes());
        }
        // SAFETY: The row goes on until its null.
        at = unsafe { at.add(1) };
    }
}

fn begins_with(text: *const c_char, begin: &[u8]) -> bool {
    begin.iter().enumerate().all(|(index, &byte)| {
        // SAFETY: The text ends with a zero, and there the comparison ends too.
        let place = unsafe { text.add(index) };
        // SAFETY: As above.
        let found = unsafe { *place };
        // A character of C has a sign or none.
        found.to_ne_bytes() == [byte]
    })
}

/// Runs `work` in a thread of our own, to which no signal of the program's is delivered. False
/// when there can be none.
pub fn start_thread(work: fn()) -> bool {
    extern "C" fn run(work: *mut c_void) -> *mut c_void {
        // SAFETY: The argument is the function that `start_thread` was given.
        let work: fn() = unsafe { core::mem::transmute(work) };
        work();
        null_mut()
    }
    let mut thread = MaybeUninit::uninit();
    let place = thread.as_mut_ptr();
    let work = work as *mut c_void;
    // SAFETY: The place is the call's alone, and `run` takes the argument that it gets.
    let create = || unsafe { libc::pthread_create(place, null(), run, work) };
    let is_created = keep_error_number(|| without_signals(create)) == 0;
    if is_created {
        // SAFETY: The call has filled the place.
        let thread = unsafe { thread.assume_init() };
        // SAFETY: The thread was made a moment ago, and nobody waits for its end.
        unsafe { libc::pthread_detach(thread) };
    }
    is_created
}

/// Does what a new thread inherits the signals from: none.
fn without_signals<R>(work: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: The place is a whole set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: The first set was filled, and the second is a place for one.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let result = work();
    // SAFETY: The call above never fails with these arguments, so it has filled the set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    result
}

/// Waits.
pub fn sleep_ms(time: u64) {
    let time =
        libc::timespec { tv_sec: (time / 1000) as _, tv_nsec: (time % 1000 * 1_000_000) as _ };
    // SAFETY: The time is given, and nobody asks for the rest.
    unsafe { libc::nanosleep(&raw const time, null_mut()) };
}

/// Writes text to the standard error, as far as that takes it.
pub fn write(text: &[u8]) {
    // SAFETY: The pointer is to that many bytes.
    keep_error_number(|| unsafe {
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len())
    });
}

/// Ends the process by SIGABRT.
pub fn abort() -> ! {
    // SAFETY: The call has no conditions.
    unsafe { libc::abort() }
}

/// The key whose destructor tells that a thread ends, plus one; 0 before it is made.
static EXIT_KEY: AtomicUsize = AtomicUsize::new(0);

/// Hands `value` to `thread::on_exit` when this thread ends.
pub fn at_thread_exit(value: NonNull<c_void>) {
    let Some(key) = exit_key() else { return };
    // SAFETY: The key was made and is never deleted. A failure means that this thread's state
    // stays when it ends, which costs memory and nothing else.
    keep_error_number(|| unsafe { libc::pthread_setspecific(key, value.as_ptr()) });
}

fn exit_key() -> Option<libc::pthread_key_t> {
    // Acquire: pairs with the store below.
    let known = EXIT_KEY.load(Acquire);
    if known != 0 {
        return Some((known - 1) as libc::pthread_key_t);
    }
    let mut key = 0;
    // SAFETY: The place is the call's alone, and the destructor takes any value that was set.
    let made = keep_error_number(|| unsafe { libc::pthread_key_create(&raw mut key, Some(exit)) });
    if made != 0 {
        return None;
    }
    // Release: pairs with the load above. Of two threads that race here both have a key that
    // works; one of them is used by no later thread.
    let _ = EXIT_KEY.compare_exchange(0, key as usize + 1, Release, Relaxed);
    Some(key)
}

unsafe extern "C" fn exit(value: *mut c_void) {
    if let Some(value) = NonNull::new(value) {
        thread::on_exit(value);
    }
}

/// Calls the functions around each fork from now on: before it, and after it in the parent and in
/// the child.
pub fn at_fork(before: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
    // SAFETY: The functions live as long as the process. A failure, for lack of memory, leaves
    // forks as they were.
    keep_error_number(|| unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) });
}

/// Calls `function` when the process ends in an orderly way.
pub fn at_exit(function: extern "C" fn()) {
    // SAFETY: The function lives as long as the process.
    keep_error_number(|| unsafe { libc::atexit(function) });
}
