//! C's `errno`: set where an allocation fails, and nowhere else.

use core::ptr::null_mut;

pub use libc::{EINVAL, ENOMEM};

/// Sets the thread's `errno`.
fn set(number: i32) {
    // SAFETY: The call has no conditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: The C library says that the place is this thread's.
    unsafe { *place = number };
}

/// Fails as the C library does: with a number that says why, and null.
#[cold]
#[inline(never)]
pub fn fail(number: i32) -> *mut u8 {
    set(number);
    null_mut()
}
