//! The family where a library does not take the place of the system's: the same functions under
//! names of their own, for programs that call them.

use core::ptr::{NonNull, null_mut};
use polder_host::object;

fn pointer(object: Option<NonNull<u8>>) -> *mut u8 {
    object.map_or(null_mut(), NonNull::as_ptr)
}

/// Allocates `size` bytes; null when there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn polder_malloc(size: usize) -> *mut u8 {
    pointer(object::allocate(size, 1))
}

/// Allocates `count` times `size` bytes that are zero; null when there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn polder_calloc(count: usize, size: usize) -> *mut u8 {
    pointer(count.checked_mul(size).and_then(|size| object::allocate_zeroed(size, 1)))
}

/// Allocates `size` bytes aligned to `align`; null when that is no power of two or there is no
/// memory.
#[unsafe(no_mangle)]
pub extern "C" fn polder_aligned_alloc(align: usize, size: usize) -> *mut u8 {
    if align.is_power_of_two() { pointer(object::allocate(size, align)) } else { null_mut() }
}

/// Gives an object another size. Null when there is no memory, and the object is as it was; null
/// too for a size of 0, and the object is freed.
///
/// # Safety
///
/// `object` is null, or live and given up if the answer is another address or `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn polder_realloc(object: *mut u8, size: usize) -> *mut u8 {
    let Some(live) = NonNull::new(object) else { return polder_malloc(size) };
    if size == 0 {
        // SAFETY: As promised to us.
        unsafe { object::free(object) };
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
pub unsafe extern "C" fn polder_free(object: *mut u8) {
    // SAFETY: As promised to us.
    unsafe { object::free(object) };
}

/// Returns the bytes of an object that may be used, 0 for what is none.
#[unsafe(no_mangle)]
pub extern "C" fn polder_malloc_usable_size(object: *const u8) -> usize {
    object::usable_size(object).unwrap_or(0)
}
