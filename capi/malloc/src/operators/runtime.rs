//! The C++ runtime, found when memory is short: its new-handler and its way to throw.
//!
//! A program in C that loads a library in C++ may have the runtime where a plain look-up does not
//! see it, so it is asked for by its file's name too.

use core::ffi::{CStr, c_void};
use core::mem::transmute;
use core::ptr::{NonNull, null_mut};

/// Files of the runtimes there are: GCC's, and LLVM's two.
const FILES: [&CStr; 3] = [c"libstdc++.so.6", c"libc++abi.so.1", c"libc++.so.1"];

/// A function whose type is known to who asks for it.
pub type Code = NonNull<c_void>;

/// Returns the function that the program has set to be called when memory is short.
pub fn handler() -> Option<Code> {
    let get = find(c"_ZSt15get_new_handlerv")?;
    // SAFETY: That is the type of `std::get_new_handler`.
    let get = unsafe { transmute::<Code, extern "C" fn() -> *mut c_void>(get) };
    NonNull::new(get())
}

/// Returns the function that throws `std::bad_alloc`.
pub fn thrower() -> Option<Code> {
    find(c"_ZSt17__throw_bad_allocv")
}

/// Allocates by the runtime's own form of `new` that catches what a handler throws. It is there
/// when ours stand in its place, and it calls ours.
pub fn nothrow(size: usize, align: usize) -> *mut u8 {
    let name = c"_ZnwmSt11align_val_tRKSt9nothrow_t";
    // SAFETY: The name ends in a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    let Some(found) = NonNull::new(found) else { return null_mut() };
    type New = unsafe extern "C" fn(usize, usize, *const c_void) -> *mut u8;
    // SAFETY: That is the type of this form of `operator new`.
    let new = unsafe { transmute::<Code, New>(found) };
    // SAFETY: It does not look at what its last argument refers to, and throws nothing.
    unsafe { new(size, align, (&raw const ANYTHING).cast()) }
}

static ANYTHING: u8 = 0;

fn find(name: &CStr) -> Option<Code> {
    // SAFETY: The name ends in a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    NonNull::new(found).or_else(|| FILES.iter().find_map(|file| find_in(file, name)))
}

fn find_in(file: &CStr, name: &CStr) -> Option<Code> {
    // SAFETY: The name ends in a zero; nothing is loaded that is not there already.
    let handle = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    let handle = NonNull::new(handle)?;
    // SAFETY: The handle is open, and stays so: a runtime is not unloaded.
    NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), name.as_ptr()) })
}
