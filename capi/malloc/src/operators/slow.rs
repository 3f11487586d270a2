//! `operator new` where a list has nothing: allocates the slow way, calls the new-handler as long
//! as that fails and there is one, and throws when there is none.
//!
//! The handler may throw as well, and no exception may pass a frame of Rust's. So the loop is in
//! assembly: its frame is one that unwinders know how to leave, and what throws at the end is
//! jumped to.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use super::runtime;
use crate::family::aligned;
use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

unsafe extern "C" {
    /// Allocates `size` bytes aligned to `align`, or throws. Callers have it as their last call,
    /// which is compiled to a jump: `cargo xtask preload` sees exceptions arrive.
    ///
    /// # Safety
    ///
    /// `align` is a power of two.
    #[link_name = "polder_new_slow"]
    pub unsafe fn new_slow(size: usize, align: usize) -> *mut u8;
}

/// Allocates `size` bytes aligned to `align`; null when there is no memory even after the handler
/// has done what it can, or when `align` is no power of two.
#[cold]
#[inline(never)]
pub fn nothrow_slow(size: usize, align: usize) -> *mut u8 {
    let object = again(size, align);
    if !object.is_null() || !align.is_power_of_two() || runtime::handler().is_none() {
        return object;
    }
    runtime::nothrow(size, align)
}

/// The loop's first step. Null when there is no memory.
extern "C" fn again(size: usize, align: usize) -> *mut u8 {
    let object = if align.is_power_of_two() { aligned(size, align) } else { None };
    object.map_or(null_mut(), NonNull::as_ptr)
}

/// Its second: what to call before the next turn. Null when there is nothing to call.
extern "C" fn handler() -> *mut c_void {
    runtime::handler().map_or(null_mut(), NonNull::as_ptr)
}

/// Its last: what to jump to.
extern "C" fn thrower() -> *mut c_void {
    runtime::thrower().map_or((abort as extern "C" fn() -> !) as *mut c_void, NonNull::as_ptr)
}

/// Ends a program that has nothing to throw with.
extern "C" fn abort() -> ! {
    let text = "polder: operator new has no memory, and no C++ runtime to throw\n";
    // SAFETY: The pointer is to that many bytes.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    // SAFETY: The call has no conditions.
    unsafe { libc::abort() }
}
