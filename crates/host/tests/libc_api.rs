//! The feature `libc-api`, as C sees it.

#![cfg(feature = "libc-api")]

// The symbols are in a crate that nothing here names otherwise.
use polder_host as _;
use std::ffi::c_void;
use std::ptr::null_mut;

unsafe extern "C" {
    safe fn polder_malloc(size: usize) -> *mut c_void;
    safe fn polder_calloc(count: usize, size: usize) -> *mut c_void;
    fn polder_realloc(object: *mut c_void, size: usize) -> *mut c_void;
    fn polder_free(object: *mut c_void);
    safe fn polder_malloc_usable_size(object: *const c_void) -> usize;
}

#[test]
fn objects_come_grow_and_go() {
    let object = polder_malloc(100);
    assert!(polder_malloc_usable_size(object) >= 100);
    // SAFETY: The object has that many bytes.
    unsafe { object.cast::<u8>().write_bytes(7, 100) };
    // SAFETY: The object is live, and used under its new address alone.
    let object = unsafe { polder_realloc(object, 100_000) };
    // SAFETY: The first hundred bytes moved with it.
    let bytes = unsafe { std::slice::from_raw_parts(object.cast::<u8>(), 100) };
    assert_eq!(bytes, [7; 100]);
    // SAFETY: The object is live, and not used again.
    unsafe { polder_free(object) };
}

#[test]
fn calloc_is_zero_and_does_not_wrap() {
    let object = polder_calloc(10, 50);
    // SAFETY: The object has that many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(object.cast::<u8>(), 500) };
    assert_eq!(bytes, [0; 500]);
    // SAFETY: The object is live, and not used again.
    unsafe { polder_free(object) };
    assert!(polder_calloc(usize::MAX, 2).is_null());
}

#[test]
fn nothing_is_freed_and_grown_like_c_does_it() {
    // SAFETY: Null is no object.
    unsafe { polder_free(null_mut()) };
    // SAFETY: As above.
    let object = unsafe { polder_realloc(null_mut(), 8) };
    // SAFETY: The object is live, and not used again.
    assert!(unsafe { polder_realloc(object, 0) }.is_null());
    assert_eq!(polder_malloc_usable_size(null_mut()), 0);
}
