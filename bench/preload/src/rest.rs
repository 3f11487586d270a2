//! The C functions that are made of others.

use libc::{c_int, c_void};

const PAGE_SIZE: usize = 4096;

unsafe extern "C" {
    fn memalign(align: usize, size: usize) -> *mut c_void;
    fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    fn __errno_location() -> *mut c_int;
}

/// Allocates whole pages' alignment.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    // SAFETY: A page's size is a power of two.
    unsafe { memalign(PAGE_SIZE, size) }
}

/// Allocates whole pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    valloc(size.next_multiple_of(PAGE_SIZE))
}

/// Resizes an array.
///
/// # Safety
///
/// As of `realloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    block: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: The caller keeps `realloc`'s contract.
        Some(size) => unsafe { realloc(block, size) },
        None => {
            // SAFETY: The C library's variable of this thread, which is always there.
            unsafe { *__errno_location() = libc::ENOMEM };
            std::ptr::null_mut()
        }
    }
}

/// Frees, as `free` does.
///
/// # Safety
///
/// As of `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: The caller keeps `free`'s contract.
    unsafe { free(block) };
}
