//! What the user sets: by functions, or by `POLDER_*` variables of the environment.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// How long free memory is kept for reuse, in milliseconds, unless it is set.
const PURGE_DELAY_MS: u64 = 1000;

static EPOCH_MS: AtomicU64 = AtomicU64::new(PURGE_DELAY_MS / 2);

/// Returns the length of an epoch in milliseconds: half the purge delay, not 0.
pub fn epoch_ms() -> u64 {
    // No partner: a number on its own.
    EPOCH_MS.load(Relaxed)
}

/// Sets how long free memory is kept for reuse, in milliseconds.
pub fn set_purge_delay_ms(delay: u64) {
    EPOCH_MS.store((delay / 2).max(1), Relaxed);
}

/// Reads the environment.
pub fn read() {}
