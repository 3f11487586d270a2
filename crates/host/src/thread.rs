//! The calling thread's local: where it is kept, how a thread comes to one and what its end does.

#[cfg(all(not(feature = "std"), feature = "local-dynamic-tls"))]
mod by_descriptor;
#[cfg(feature = "std")]
mod by_std;
#[cfg(not(any(feature = "std", feature = "local-dynamic-tls")))]
mod by_word;
#[cfg(not(feature = "std"))]
mod word;

#[cfg(all(not(feature = "std"), feature = "local-dynamic-tls"))]
use by_descriptor::{get, set};
#[cfg(feature = "std")]
use by_std::{get, set};
#[cfg(not(any(feature = "std", feature = "local-dynamic-tls")))]
use by_word::{get, set};

#[cfg(not(any(
    feature = "std",
    all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))
)))]
compile_error!("without its feature `std` polder-host runs on Linux, x86-64 and aarch64, alone");

use crate::guard;
use crate::local::{DEPARTED, EMPTY, Local};
use crate::os;
use crate::pool;
use crate::start;
use core::ffi::c_void;
use core::ptr::NonNull;

/// Returns the calling thread's local, or one that stands for none.
#[inline(always)]
pub fn local() -> &'static Local {
    get()
}

/// Runs `work` with a local of the thread's own. A thread that has ended, and still frees from
/// destructors of others, gets one for the time of the work.
pub fn with_own<R>(work: impl FnOnce(&'static Local) -> Option<R>) -> Option<R> {
    let local = get();
    if core::ptr::eq(local, &raw const DEPARTED) {
        let local = pool::acquire()?;
        local.arrive();
        let result = work(local);
        local.depart();
        pool::release(local);
        return result;
    }
    if core::ptr::eq(local, &raw const EMPTY) {
        return work(arrive()?);
    }
    work(local)
}

/// Gives the calling thread a local. Whatever may allocate comes after the thread has it.
#[cold]
fn arrive() -> Option<&'static Local> {
    guard::begin();
    let local = pool::acquire()?;
    local.arrive();
    set(local);
    start::once();
    os::at_thread_exit(NonNull::from(local).cast());
    Some(local)
}

/// Takes the local back from a thread that ends.
pub fn on_exit(local: NonNull<c_void>) {
    // SAFETY: The value is what `arrive` has given; locals are never unmapped.
    let local: &'static Local = unsafe { local.cast().as_ref() };
    set(&DEPARTED);
    local.depart();
    pool::release(local);
}
