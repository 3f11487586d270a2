//! The C family: `malloc` and all that programs call beside it, with `errno` as POSIX and C23 say.
//!
//! Where the standards leave a choice:
//!
//! - A size of 0 gives an object of its own, to be freed like any other.
//! - `realloc(object, 0)` frees the object and returns null, as in glibc; `errno` stays.
//! - An alignment that is no power of two is refused with EINVAL, by `memalign` too.
//! - `aligned_alloc` asks for no multiple of the alignment.
//! - `free_sized` and `free_aligned_sized` believe what they are told and do not use it.
//!
//! A free never changes `errno`; an allocation changes it only when it fails.

use crate::errno::{self, EINVAL, ENOMEM};
use core::ffi::c_int;
use core::ptr::{NonNull, null_mut};
use polder_host::object;

/// The largest size of an object: a difference of pointers goes no further.
const SIZE_MOST: usize = isize::MAX as usize;

/// Allocates `size` bytes aligned to 16.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut u8 {
    match object::allocate_quick(size) {
        Some(object) => object.as_ptr(),
        None => malloc_slow(size),
    }
}

#[cold]
#[inline(never)]
extern "C" fn malloc_slow(size: usize) -> *mut u8 {
    told(within_most(size).and_then(object::allocate_slow))
}

/// Allocates `count` times `size` bytes that are zero.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut u8 {
    let size = count.checked_mul(size).and_then(within_most);
    told(size.and_then(|size| object::allocate_zeroed(size, 1)))
}

/// Gives an object another size, with its contents as far as both sizes go. Null when there is no
/// memory, and the object is as it was; null too for a size of 0, and the object is freed.
///
/// # Safety
///
/// `object` is null, or live and given up if the answer is another address or `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(object: *mut u8, size: usize) -> *mut u8 {
    let Some(live) = NonNull::new(object) else { return malloc(size) };
    if size == 0 {
        // SAFETY: As promised to us.
        unsafe { object::free(object) };
        return null_mut();
    }
    if size > SIZE_MOST {
        return errno::fail(ENOMEM);
    }
    // SAFETY: As promised to us.
    told(unsafe { object::reallocate(live, size, 1) })
}

/// Reallocates to `count` times `size` bytes: see [`realloc`].
///
/// # Safety
///
/// As of [`realloc`], for the product.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(object: *mut u8, count: usize, size: usize) -> *mut u8 {
    let Some(size) = count.checked_mul(size) else { return errno::fail(ENOMEM) };
    // SAFETY: As promised to us.
    unsafe { realloc(object, size) }
}

/// Frees an object.
///
/// # Safety
///
/// `object` is null, or live and never used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(object: *mut u8) {
    // SAFETY: As promised to us.
    unsafe { object::free(object) };
}

/// Frees an object by the name that programs from before 2017 may call.
///
/// # Safety
///
/// As of [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(object: *mut u8) {
    // SAFETY: As promised to us.
    unsafe { object::free(object) };
}

/// Frees an object that `malloc`, `calloc` or `realloc` gave for this size.
///
/// # Safety
///
/// As of [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(object: *mut u8, _size: usize) {
    // SAFETY: As promised to us.
    unsafe { object::free(object) };
}

/// Frees an object that `aligned_alloc` gave for this alignment and size.
///
/// # Safety
///
/// As of [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(object: *mut u8, _align: usize, _size: usize) {
    // SAFETY: As promised to us.
    unsafe { object::free(object) };
}

/// Allocates `size` bytes aligned to `align`.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut u8 {
    if !align.is_power_of_two() {
        return errno::fail(EINVAL);
    }
    told(aligned(size, align))
}

/// Allocates `size` bytes aligned to `align`.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut u8 {
    aligned_alloc(align, size)
}

/// Allocates `size` bytes aligned to `align`, a power of two and a multiple of a pointer's size.
/// Returns 0, or what went wrong: then `place` is as it was, and so is `errno`.
///
/// # Safety
///
/// A pointer can be written to `place`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(place: *mut *mut u8, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut u8>() {
        return EINVAL;
    }
    let Some(object) = aligned(size, align) else { return ENOMEM };
    // SAFETY: As promised to us.
    unsafe { place.write(object.as_ptr()) };
    0
}

/// Allocates `size` bytes that begin at a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut u8 {
    told(aligned(size, page_size()))
}

/// Allocates whole pages for `size` bytes, at least one.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut u8 {
    let page = page_size();
    told(size.max(1).checked_next_multiple_of(page).and_then(|size| aligned(size, page)))
}

/// Returns the bytes of an object that may be used; 0 for null, and for what is not ours.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_usable_size(object: *const u8) -> usize {
    object::usable_size(object).unwrap_or(0)
}

/// Allocates `size` bytes aligned to `align`, a power of two, unless that is more than any object
/// may have.
pub fn aligned(size: usize, align: usize) -> Option<NonNull<u8>> {
    object::allocate(within_most(size)?, align)
}

#[inline]
fn within_most(size: usize) -> Option<usize> {
    (size <= SIZE_MOST).then_some(size)
}

/// Says ENOMEM where there is no object.
#[inline(always)]
fn told(object: Option<NonNull<u8>>) -> *mut u8 {
    match object {
        Some(object) => object.as_ptr(),
        None => errno::fail(ENOMEM),
    }
}

fn page_size() -> usize {
    // SAFETY: The call has no conditions; it reads what the kernel told the process at its start.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) };
    if size == 0 { 4096 } else { size as usize }
}
