//! x
#![cfg_attr(panic = "abort", no_std)]
#![allow(missing_docs, clippy::missing_safety_doc)]
use core::ptr::{NonNull, null_mut};
use polder_host::object;

#[cfg(all(panic = "abort", not(feature="local-dynamic-tls")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: x
    unsafe { libc::abort() }
}

#[cold]
#[inline(never)]
fn out() -> *mut u8 {
    // SAFETY: x
    unsafe { *libc::__errno_location() = libc::ENOMEM };
    null_mut()
}
#[inline(always)]
fn p(o: Option<NonNull<u8>>) -> *mut u8 {
    match o { Some(o) => o.as_ptr(), None => out() }
}
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut u8 {
    match object::allocate_quick(size) { Some(o) => o.as_ptr(), None => malloc_slow(size) }
}
#[cold]
#[inline(never)]
extern "C" fn malloc_slow(size: usize) -> *mut u8 { p(object::allocate_slow(size)) }

#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(o: *mut u8) { unsafe { object::free(o) } }
#[unsafe(no_mangle)]
pub extern "C" fn calloc(n: usize, size: usize) -> *mut u8 { p(n.checked_mul(size).and_then(|s| object::allocate_zeroed(s, 1))) }
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(o: *mut u8, size: usize) -> *mut u8 {
    let Some(q) = NonNull::new(o) else { return malloc(size) };
    if size == 0 { unsafe { free(o) }; return null_mut(); }
    p(unsafe { object::reallocate(q, size, 1) })
}
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut u8 { p(object::allocate(size, align)) }
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut u8 { p(object::allocate(size, align)) }
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut u8, align: usize, size: usize) -> i32 {
    match object::allocate(size, align) { Some(o) => { unsafe { *out = o.as_ptr() }; 0 } None => libc::ENOMEM }
}
#[unsafe(no_mangle)]
pub extern "C" fn malloc_usable_size(o: *mut u8) -> usize { object::usable_size(o).unwrap_or(0) }
