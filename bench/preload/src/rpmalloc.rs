//! What rpmalloc puts around each new thread, so that the thread's heap ends with it.
//!
//! Its own function of the name would stay hidden in a library that rustc links; the build calls
//! it `rp_pthread_create`, and this is the one that is seen.

use libc::{c_int, c_void, pthread_attr_t, pthread_t};

type Start = extern "C" fn(*mut c_void) -> *mut c_void;

unsafe extern "C" {
    fn rp_pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int;
}

/// Starts a thread.
///
/// # Safety
///
/// As of the system's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: The same contract, which the caller keeps.
    unsafe { rp_pthread_create(thread, attributes, start, argument) }
}
