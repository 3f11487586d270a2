//! What is done once, when the first thread has its local.

use crate::fork;
use crate::os;
use crate::settings;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

static IS_DONE: AtomicBool = AtomicBool::new(false);

/// Reads the settings and asks to be called around forks. By this time allocations work.
pub fn once() {
    // No partner: whoever swaps first does it, and nobody waits for it.
    if !IS_DONE.load(Relaxed) && !IS_DONE.swap(true, Relaxed) {
        settings::read();
        os::at_fork(fork::before, fork::parent, fork::child);
    }
}
