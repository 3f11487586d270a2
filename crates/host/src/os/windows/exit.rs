//! The end of a thread on Windows: the callback of a word that each fiber has, and a thread
//! without fibers is one.

use crate::thread;
use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use windows_sys::Win32::System::Threading::{FLS_OUT_OF_INDEXES, FlsAlloc, FlsSetValue};

/// The word's index, plus one; 0 before there is one.
static INDEX: AtomicUsize = AtomicUsize::new(0);

/// Hands `value` to `thread::on_exit` when this thread ends.
pub fn at_thread_exit(value: NonNull<c_void>) {
    let Some(index) = index() else { return };
    // SAFETY: The index was given to us. A failure means that this thread's state stays when it
    // ends, which costs memory and nothing else.
    unsafe { FlsSetValue(index, value.as_ptr()) };
}

fn index() -> Option<u32> {
    // Acquire: pairs with the exchange below.
    let known = INDEX.load(Acquire);
    if known != 0 {
        return Some((known - 1) as u32);
    }
    // SAFETY: The callback takes any value that was set.
    let index = unsafe { FlsAlloc(Some(exit)) };
    if index == FLS_OUT_OF_INDEXES {
        return None;
    }
    // Release: pairs with the load above. Of two threads that race here both have an index that
    // works; one of them is used by no later thread.
    let _ = INDEX.compare_exchange(0, index as usize + 1, Release, Relaxed);
    Some(index)
}

unsafe extern "system" fn exit(value: *const c_void) {
    if let Some(value) = NonNull::new(value.cast_mut())
        && is_thread_s(value)
        && !is_process_ending()
    {
        thread::on_exit(value);
    }
}

/// Tells whether the value is the calling thread's. It is another's where a fiber is deleted by
/// a thread that it never ran on: then its own thread goes on with what it has.
fn is_thread_s(value: NonNull<c_void>) -> bool {
    core::ptr::addr_eq(thread::local(), value.as_ptr())
}

/// Tells whether the process is at its end: other threads were stopped wherever they were, with
/// locks in their hands.
fn is_process_ending() -> bool {
    #[link(name = "ntdll")]
    unsafe extern "system" {
        fn RtlDllShutdownInProgress() -> u8;
    }
    // SAFETY: The call has no conditions.
    unsafe { RtlDllShutdownInProgress() != 0 }
}
