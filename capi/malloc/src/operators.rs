//! C++'s `operator new` and `operator delete`, in all forms, by their names in the Itanium ABI.
//!
//! The quick way is that of `malloc`. When there is no memory the program's new-handler is called
//! as long as there is one, and then `std::bad_alloc` is thrown: both are the C++ runtime's, which
//! is looked for at that moment only, so the library depends on none. What is thrown must not pass
//! a frame of Rust's: the ways there are jumps, and the loop is in assembly (`slow`).
//!
//! Without these the runtime's own operators would call `malloc`: right, and one call longer.

#![allow(non_snake_case, reason = "C++ chose the names")]

mod runtime;
mod slow;

use core::ffi::c_void;
use polder_host::object;
use slow::{new_slow, nothrow_slow};

/// The alignment of what is asked for without one.
const ALIGN: usize = 16;

#[inline(always)]
fn new(size: usize) -> *mut u8 {
    match object::allocate_quick(size) {
        Some(object) => object.as_ptr(),
        // SAFETY: The alignment is a power of two.
        None => unsafe { new_slow(size, ALIGN) },
    }
}

#[inline(always)]
fn nothrow(size: usize) -> *mut u8 {
    match object::allocate_quick(size) {
        Some(object) => object.as_ptr(),
        None => nothrow_slow(size, ALIGN),
    }
}

/// `new T`.
#[unsafe(no_mangle)]
pub extern "C" fn _Znwm(size: usize) -> *mut u8 {
    new(size)
}

/// `new T[]`.
#[unsafe(no_mangle)]
pub extern "C" fn _Znam(size: usize) -> *mut u8 {
    new(size)
}

/// `new (std::nothrow) T`.
#[unsafe(no_mangle)]
pub extern "C" fn _ZnwmRKSt9nothrow_t(size: usize, _: *const c_void) -> *mut u8 {
    nothrow(size)
}

/// `new (std::nothrow) T[]`.
#[unsafe(no_mangle)]
pub extern "C" fn _ZnamRKSt9nothrow_t(size: usize, _: *const c_void) -> *mut u8 {
    nothrow(size)
}

/// `new (std::align_val_t) T`.
///
/// # Safety
///
/// `align` is a power of two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _ZnwmSt11align_val_t(size: usize, align: usize) -> *mut u8 {
    // SAFETY: As promised to us.
    unsafe { new_slow(size, align) }
}

/// `new (std::align_val_t) T[]`.
///
/// # Safety
///
/// `align` is a power of two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _ZnamSt11align_val_t(size: usize, align: usize) -> *mut u8 {
    // SAFETY: As promised to us.
    unsafe { new_slow(size, align) }
}

/// `new (std::align_val_t, std::nothrow) T`.
#[unsafe(no_mangle)]
pub extern "C" fn _ZnwmSt11align_val_tRKSt9nothrow_t(
    size: usize,
    align: usize,
    _: *const c_void,
) -> *mut u8 {
    nothrow_slow(size, align)
}

/// `new (std::align_val_t, std::nothrow) T[]`.
#[unsafe(no_mangle)]
pub extern "C" fn _ZnamSt11align_val_tRKSt9nothrow_t(
    size: usize,
    align: usize,
    _: *const c_void,
) -> *mut u8 {
    nothrow_slow(size, align)
}

/// Forms of `operator delete`: they differ in what else they are told, and none needs it.
macro_rules! deletes {
    ($($name:ident($($told:ty),*);)*) => {$(
        /// A form of `delete`.
        ///
        /// # Safety
        ///
        /// `object` is null, or live and never used again.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(object: *mut u8 $(, _: $told)*) {
            // SAFETY: As promised to us.
            unsafe { object::free(object) };
        }
    )*};
}

deletes! {
    _ZdlPv();
    _ZdaPv();
    _ZdlPvm(usize);
    _ZdaPvm(usize);
    _ZdlPvRKSt9nothrow_t(*const c_void);
    _ZdaPvRKSt9nothrow_t(*const c_void);
    _ZdlPvSt11align_val_t(usize);
    _ZdaPvSt11align_val_t(usize);
    _ZdlPvmSt11align_val_t(usize, usize);
    _ZdaPvmSt11align_val_t(usize, usize);
    _ZdlPvSt11align_val_tRKSt9nothrow_t(usize, *const c_void);
    _ZdaPvSt11align_val_tRKSt9nothrow_t(usize, *const c_void);
}
