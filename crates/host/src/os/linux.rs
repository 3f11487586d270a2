//! Linux, with any C library.

mod decommit;
mod relocate;
mod trial;

pub use decommit::decommit;
pub use relocate::{relocate, renew};

use super::keep_error_number;
use core::ffi::c_char;
use core::ptr::null;
use core::sync::atomic::AtomicU32;

/// The flag of mappings that are not counted before they are committed.
pub const UNCOUNTED: i32 = libc::MAP_NORESERVE;

/// The clock that is coarse and cheap.
pub const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;

/// Returns the bytes of a page, as the kernel has told the process. The C library's general call
/// brings in 128 KiB of its constants, which few programs need.
pub fn page_size() -> usize {
    // SAFETY: The call has no conditions.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) };
    size as usize
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
    let (word, no_time) = (word.as_ptr(), null::<libc::timespec>());
    // SAFETY: The word lives as long as the call, and no timeout is given.
    keep_error_number(|| unsafe {
        libc::syscall(libc::SYS_futex, word, operation, value, no_time)
    });
}

/// Returns where C keeps this thread's `errno`.
pub fn error_place() -> *mut i32 {
    // SAFETY: The call has no conditions.
    unsafe { libc::__errno_location() }
}

/// Fills a word with random bits; false when the kernel has not gathered enough yet.
pub fn fill_random(word: &mut u64) -> bool {
    let place = &raw mut *word;
    // SAFETY: The place has eight bytes.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, place, 8, libc::GRND_NONBLOCK) };
    got == 8
}

/// Returns the row of the environment's texts; null before the C library has it.
pub fn environment() -> *const *const c_char {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: The C library has this variable; nobody changes it while the process starts.
    unsafe { environ }
}
