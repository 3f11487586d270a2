//! The C functions over rusty_alloc, which has them in Rust only.

use libc::{c_int, c_void};
use rusty_alloc::alloc;

/// Allocates.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    alloc::malloc(size).cast()
}

/// Frees.
///
/// # Safety
///
/// The block is live, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: By the caller's promise.
    unsafe { alloc::free_inline(block.cast()) };
}

/// Allocates zeroes.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    alloc::calloc(count, size).cast()
}

/// Resizes.
///
/// # Safety
///
/// The block is live, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: By the caller's promise.
    unsafe { alloc::realloc(block.cast(), size).cast() }
}

/// Allocates with an alignment.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    alloc::malloc_aligned(size, align).cast()
}

/// Allocates with an alignment.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    memalign(align, size)
}

/// Allocates with an alignment; what went wrong is returned.
///
/// # Safety
///
/// `block` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    block: *mut *mut c_void,
    align: usize,
    size: usize,
) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<*mut c_void>()) {
        return libc::EINVAL;
    }
    let address = memalign(align, size);
    if address.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: By the caller's promise.
    unsafe { *block = address };
    0
}

/// Returns how much of a block can be used.
///
/// # Safety
///
/// The block is live, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: By the caller's promise.
    unsafe { alloc::usable_size(block.cast()) }
}
