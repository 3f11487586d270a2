//! Time in epochs: half a purge delay each, numbered from 1 to 254 and again from 1.
//!
//! The number is looked up on slow ways once in a while and kept in a word that anybody reads, so
//! that a free can say when it was without asking the system.

use crate::os;
use crate::settings;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

/// Epochs that free memory is kept.
const EPOCHS_KEPT: u8 = 2;
/// How many there are; the number behind the last is free for other use.
pub const EPOCHS: u8 = 254;

static EPOCH: AtomicU8 = AtomicU8::new(1);
/// The most epochs since the clock's beginning that anybody has seen, plus one.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Returns the number of the epoch, as it was when somebody last looked at the clock.
#[inline]
pub fn epoch() -> u8 {
    // No partner: an answer that may be a little old.
    EPOCH.load(Relaxed)
}

/// Returns the epoch before.
pub fn before(epoch: u8) -> u8 {
    if epoch == 1 { EPOCHS } else { epoch - 1 }
}

/// Looks at the clock. True for the one caller who is the first to see a new epoch.
pub fn advance() -> bool {
    let count = os::now_ms() / settings::epoch_ms() + 1;
    // No partner: a number on its own. Only the first to come so far goes on, so that a thread that
    // was asleep since it read the clock does not put it back.
    if LAST.load(Relaxed) >= count || LAST.fetch_max(count, Relaxed) >= count {
        return false;
    }
    EPOCH.store((count % u64::from(EPOCHS)) as u8 + 1, Relaxed);
    true
}

/// Counts epochs of another length from now on.
pub fn restart() {
    LAST.store(0, Relaxed);
}

/// Whether there may be memory that is old in this epoch.
static IS_PURGING: AtomicBool = AtomicBool::new(false);

/// Tells whether there may be memory that is to go back in this epoch.
#[inline]
pub fn is_purging() -> bool {
    // No partner: a wrong answer costs a look or delays one.
    IS_PURGING.load(Relaxed)
}

/// Says whether there may be memory that is to go back in this epoch.
pub fn set_purging(is_purging: bool) {
    IS_PURGING.store(is_purging, Relaxed);
}

/// Tells whether what became free in the epoch `stamp` has been free for long enough.
pub fn is_old(stamp: u8, now: u8) -> bool {
    let passed = (i32::from(now) - i32::from(stamp)).rem_euclid(i32::from(EPOCHS));
    passed >= i32::from(EPOCHS_KEPT)
}

#[cfg(test)]
mod tests {
    use super::{EPOCHS, is_old};

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone")]
    fn what_became_free_is_old_two_epochs_later() {
        for stamp in 1..=EPOCHS {
            let later = |epochs: u8| {
                ((u32::from(stamp - 1) + u32::from(epochs)) % u32::from(EPOCHS)) as u8 + 1
            };
            assert!(!is_old(stamp, later(0)));
            assert!(!is_old(stamp, later(1)));
            assert!((2..EPOCHS).all(|epochs| is_old(stamp, later(epochs))));
        }
    }
}
