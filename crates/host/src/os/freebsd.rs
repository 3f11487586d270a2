//! FreeBSD: what it does other than macOS.

use super::keep_error_number;
use core::ffi::{c_char, c_ulong};
use core::ptr::null_mut;
use core::sync::atomic::AtomicU32;

/// No flag: mappings that may not be written to are never counted.
pub const UNCOUNTED: i32 = 0;

/// The clock that is coarse and cheap.
pub const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_FAST;

/// Sleeps while `word` holds `value`; may return early.
pub fn wait(word: &AtomicU32, value: u32) {
    operate(word, libc::UMTX_OP_WAIT_UINT_PRIVATE, value);
}

/// Wakes one who waits for `word`.
pub fn wake(word: &AtomicU32) {
    operate(word, libc::UMTX_OP_WAKE_PRIVATE, 1);
}

fn operate(word: &AtomicU32, operation: i32, value: u32) {
    let (word, value) = (word.as_ptr().cast(), c_ulong::from(value));
    // SAFETY: The word lives as long as the call, and no timeout is given.
    keep_error_number(|| unsafe { libc::_umtx_op(word, operation, value, null_mut(), null_mut()) });
}

/// Returns the row of the environment's texts; null before the C library has it.
pub fn environment() -> *const *const c_char {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: The C library has this variable; nobody changes it while the process starts.
    unsafe { environ }
}
