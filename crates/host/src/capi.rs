//! The feature `libc-api`: the heap for C, under names that no C library has.
//!
//! `errno` stays as it is.

use crate::object;
use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

fn pointer(object: Option<NonNull<u8>>) -> *mut c_void {
    object.map_or(null_mut(), |object| object.as_ptr().cast())
}

/// Allocates `size` bytes; null when there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn polder_malloc(size: usize) -> *mut c_void {
    pointer(object::allocate(size, 1))
}

/// Allocates `count` times `size` bytes that are zero; null when there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn polder_calloc(count: usize, size: usize) -> *mut c_void {
    pointer(count.checked_mul(size).and_then(|size| object::allocate_zeroed(size, 1)))
}

/// Gives an object another size. Null when there is no memory, and the object is as it was; null
/// too for a size of 0, and the object is freed.
///
/// # Safety
///
/// `object` is null, or live and given up if the answer is another address or `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polder_realloc(object: *mut c_void, size: usize) -> *mut c_void {
    let Some(live) = NonNull::new(object.cast()) else { return polder_malloc(size) };
    if size == 0 {
        // SAFETY: As promised to us.
        unsafe { object::free(live.as_ptr()) };
        return null_mut();
    }
    // SAFETY: As promised to us.
    pointer(unsafe { object::reallocate(live, size, 1) })
}

/// Frees an object.
///
/// # Safety
///
/// `object` is null, or live and never used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polder_free(object: *mut c_void) {
    // SAFETY: As promised to us.
    unsafe { object::free(object.cast()) };
}

/// Returns the bytes of an object that may be used, 0 for what is none.
#[unsafe(no_mangle)]
pub extern "C" fn polder_malloc_usable_size(object: *const c_void) -> usize {
    object::usable_size(object.cast()).unwrap_or(0)
}
