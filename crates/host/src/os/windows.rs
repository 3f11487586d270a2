//! Windows, from 10 on.
//!
//! The system has the contract's two steps itself: address space is reserved, then committed, and
//! counted when it is. Forks do not exist.

mod exit;
mod readable;

pub use exit::at_thread_exit;
pub use readable::reserve_readable;

use crate::fail::Line;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null, null_mut};
use core::sync::atomic::AtomicU32;
use windows_sys::Win32::Foundation::CloseHandle;
use windows_sys::Win32::Security::Cryptography::ProcessPrng;
use windows_sys::Win32::Storage::FileSystem::WriteFile;
use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE};
use windows_sys::Win32::System::Diagnostics::Debug::RaiseFailFastException;
use windows_sys::Win32::System::Environment::{FreeEnvironmentStringsA, GetEnvironmentStrings};
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_DECOMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_NOACCESS, PAGE_READWRITE,
    VirtualAlloc, VirtualFree,
};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, GetTickCount64, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::{
    CreateThread, GetCurrentProcess, INFINITE, Sleep, TerminateProcess, WaitOnAddress,
    WakeByAddressSingle,
};

/// Reservations begin at a multiple of this many bytes.
const RESERVATION_ALIGN: usize = 64 << 10;
/// Places behind a hint that are tried before it is given up.
const PLACES_MOST: usize = 16;
/// How often memory is asked for that was ours a moment ago, a millisecond apart.
const RETURNS_MOST: usize = 1000;
/// What a process ends with where it can't end as it should.
const ABORTED: u32 = 3;

/// Returns the bytes of a page.
pub fn page_size() -> usize {
    let mut info = MaybeUninit::<SYSTEM_INFO>::uninit();
    // SAFETY: The pointer is to a whole `SYSTEM_INFO`.
    unsafe { GetSystemInfo(info.as_mut_ptr()) };
    // SAFETY: The call never fails, so it has filled the structure.
    unsafe { info.assume_init() }.dwPageSize as usize
}

/// Reserves address space without memory, near `hint` where that is free.
pub fn reserve(size: usize, hint: usize) -> Option<NonNull<u8>> {
    // The system takes an address by its word, and fails where anything lies there.
    let step = size.checked_next_multiple_of(RESERVATION_ALIGN)?;
    let places = if hint == 0 { 0 } else { PLACES_MOST };
    let near = (0..places).find_map(|index| reserve_at(size, step.checked_mul(index)? + hint));
    near.or_else(|| reserve_at(size, 0))
}

fn reserve_at(size: usize, address: usize) -> Option<NonNull<u8>> {
    let address = core::ptr::without_provenance(address);
    // SAFETY: A reservation takes nobody's place.
    let base = unsafe { VirtualAlloc(address, size, MEM_RESERVE, PAGE_NOACCESS) };
    NonNull::new(base.cast())
}

/// Makes a part of a reservation usable; it reads as zero where it was never committed. False
/// when the system has no memory, and nothing has changed.
///
/// # Safety
///
/// The range is part of a reservation of the caller's.
pub unsafe fn commit(base: NonNull<u8>, size: usize) -> bool {
    let base = base.as_ptr().cast();
    // SAFETY: The range is the caller's; pages that are committed stay as they are.
    unsafe { !VirtualAlloc(base, size, MEM_COMMIT, PAGE_READWRITE).is_null() }
}

/// Gives the memory of a committed part back; it stays usable, and reads as zero. False where
/// the system refuses, and nothing has changed.
///
/// The system has no such call, only two halves of it. Between them another process may take the
/// memory: then this waits for more, and in the end ends the process, which believes that it has
/// it.
///
/// # Safety
///
/// The range is committed, and what it holds is needed by nobody.
pub unsafe fn decommit(base: NonNull<u8>, size: usize) -> bool {
    // SAFETY: The caller gives the contents up.
    if !unsafe { protect(base, size) } {
        return false;
    }
    for _ in 0..RETURNS_MOST {
        // SAFETY: The range is the caller's.
        if unsafe { commit(base, size) } {
            return true;
        }
        sleep_ms(1);
    }
    Line::new().text("the system is out of memory, and lacks what it had promised").abort()
}

/// Makes each access to a part of a reservation fault. It also gives the memory back: a range
/// may be protected that is not all committed, which the system's own call refuses.
///
/// # Safety
///
/// The range is part of a reservation of the caller's, and used by nobody.
pub unsafe fn protect(base: NonNull<u8>, size: usize) -> bool {
    // SAFETY: The caller promises that nobody uses the range.
    unsafe { VirtualFree(base.as_ptr().cast(), size, MEM_DECOMMIT) != 0 }
}

/// Gives a reservation back.
///
/// # Safety
///
/// The range is a reservation, whole, and nobody uses any of it.
pub unsafe fn release(base: NonNull<u8>, _size: usize) {
    // SAFETY: The caller promises that nobody uses the range. A refusal leaves it reserved.
    unsafe { VirtualFree(base.as_ptr().cast(), 0, MEM_RELEASE) };
}

/// Returns none: what jobs limit is committed memory, not address space.
pub fn address_limit() -> Option<usize> {
    None
}

/// Returns milliseconds of a clock that never goes back, without a system call.
pub fn now_ms() -> u64 {
    // SAFETY: The call has no conditions.
    unsafe { GetTickCount64() }
}

/// Sleeps while `word` holds `value`; may return early.
pub fn wait(word: &AtomicU32, value: u32) {
    let (place, value) = (word.as_ptr().cast(), (&raw const value).cast());
    // SAFETY: Both words live as long as the call.
    unsafe { WaitOnAddress(place, value, size_of::<u32>(), INFINITE) };
}

/// Wakes one who waits for `word`.
pub fn wake(word: &AtomicU32) {
    // SAFETY: The address is only compared with those that others wait for.
    unsafe { WakeByAddressSingle(word.as_ptr().cast()) };
}

/// Returns a word that nobody can guess.
pub fn random() -> u64 {
    let mut word = 0u64;
    // SAFETY: The place has that many bytes. The call never fails.
    unsafe { ProcessPrng((&raw mut word).cast(), size_of::<u64>()) };
    word
}

/// Calls `each` with every `NAME=value` of the environment that begins so.
pub fn variables(begin: &[u8], mut each: impl FnMut(&[u8])) {
    // SAFETY: The call has no conditions.
    let all = unsafe { GetEnvironmentStrings() };
    if all.is_null() {
        return;
    }
    let mut at: *const c_char = all.cast();
    loop {
        // SAFETY: The texts end with a zero each, and stand in a row that ends with an empty one.
        let text = unsafe { CStr::from_ptr(at) }.to_bytes();
        if text.is_empty() {
            break;
        }
        if text.starts_with(begin) {
            each(text);
        }
        // SAFETY: As above: behind each text there is another.
        at = unsafe { at.add(text.len() + 1) };
    }
    // SAFETY: The row came from the call above, and nobody uses it any more.
    unsafe { FreeEnvironmentStringsA(all) };
}

/// Runs `work` in a thread of our own. False when there can be none.
pub fn start_thread(work: fn()) -> bool {
    unsafe extern "system" fn run(work: *mut c_void) -> u32 {
        // SAFETY: The argument is the function that `start_thread` was given.
        let work: fn() = unsafe { core::mem::transmute(work) };
        work();
        0
    }
    let work = work as *const c_void;
    // SAFETY: `run` takes the argument that it gets.
    let thread = unsafe { CreateThread(null(), 0, Some(run), work, 0, null_mut()) };
    if thread.is_null() {
        return false;
    }
    // SAFETY: The handle came from the call above; the thread goes on without it.
    unsafe { CloseHandle(thread) };
    true
}

/// Waits.
pub fn sleep_ms(time: u64) {
    let time = u32::try_from(time).unwrap_or(INFINITE - 1);
    // SAFETY: The call has no conditions.
    unsafe { Sleep(time) };
}

/// Writes text to the standard error, as far as that takes it.
pub fn write(text: &[u8]) {
    // SAFETY: The call has no conditions.
    let file = unsafe { GetStdHandle(STD_ERROR_HANDLE) };
    let mut written = 0;
    let len = text.len().min(u32::MAX as usize) as u32;
    // SAFETY: The pointer is to that many bytes, and the number's place lives as long as the call.
    unsafe { WriteFile(file, text.as_ptr(), len, &raw mut written, null_mut()) };
}

/// Ends the process at once; nothing else of it runs.
pub fn abort() -> ! {
    // SAFETY: The call has no conditions; nulls stand for the place of the call.
    unsafe { RaiseFailFastException(null(), null(), 0) };
    loop {
        // SAFETY: The call has no conditions.
        let this = unsafe { GetCurrentProcess() };
        // SAFETY: The handle is this process's own.
        unsafe { TerminateProcess(this, ABORTED) };
    }
}

/// Calls nobody: there are no forks.
pub fn at_fork(_before: extern "C" fn(), _parent: extern "C" fn(), _child: extern "C" fn()) {}

/// Calls `function` when the process ends in an orderly way.
pub fn at_exit(function: extern "C" fn()) {
    unsafe extern "C" {
        fn atexit(function: extern "C" fn()) -> c_int;
    }
    // SAFETY: The function lives as long as the process.
    unsafe { atexit(function) };
}
