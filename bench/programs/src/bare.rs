//! A thread from the C library itself: the standard library's allocates for each.

use libc::{c_void, pthread_create, pthread_join, pthread_t};

/// Runs a function in a thread of its own, and waits for its end.
pub fn in_thread(work: fn()) {
    let mut thread: pthread_t = 0;
    // A function without captures is passed as the address that it is.
    let argument = work as *mut c_void;
    // SAFETY: `start` takes what `argument` is; the thread is joined below.
    let refused = unsafe { pthread_create(&raw mut thread, std::ptr::null(), start, argument) };
    assert_eq!(refused, 0, "the system has room for a thread");
    // SAFETY: The thread was just made and is joined once.
    let refused = unsafe { pthread_join(thread, std::ptr::null_mut()) };
    assert_eq!(refused, 0, "a thread can be joined");
}

extern "C" fn start(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `in_thread` passes a `fn()`.
    let work = unsafe { std::mem::transmute::<*mut c_void, fn()>(argument) };
    work();
    std::ptr::null_mut()
}
