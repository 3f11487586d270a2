//! macOS: what it does other than FreeBSD.

use core::ffi::{c_char, c_int, c_uint};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// The flag of mappings that are not counted before they are committed.
pub const UNCOUNTED: i32 = libc::MAP_NORESERVE;

/// The clock that is coarse and cheap: it is read from a page that the kernel keeps.
pub const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW_APPROX;

/// Whom to run instead: anybody.
const ANY_THREAD: c_uint = 0;
/// Lets threads of lower priority run as well: whoever holds the lock may be one.
const DEPRESS: c_int = 1;
/// How long the priority stays low at most.
const DEPRESSED_MS: c_uint = 1;

unsafe extern "C" {
    fn thread_switch(thread: c_uint, option: c_int, time_ms: c_uint) -> c_int;
}

/// Sleeps while `word` holds `value`; may return early.
///
/// The calls that wait for a word are private to the system, or too new. So the thread steps
/// back, to whoever has something to do, and the caller looks again: what it waits for takes no
/// longer than a system call.
pub fn wait(word: &AtomicU32, value: u32) {
    // No partner: the caller looks again.
    if word.load(Relaxed) == value {
        // SAFETY: The call has no conditions.
        unsafe { thread_switch(ANY_THREAD, DEPRESS, DEPRESSED_MS) };
    }
}

/// Wakes nobody: those who wait look again by themselves.
pub fn wake(_word: &AtomicU32) {}

/// Returns the row of the environment's texts. Libraries have no such variable, but this call.
pub fn environment() -> *const *const c_char {
    // SAFETY: The call has no conditions.
    let place = unsafe { libc::_NSGetEnviron() };
    // SAFETY: The C library keeps the row there; nobody changes it while the process starts.
    unsafe { *place }.cast_const().cast()
}
