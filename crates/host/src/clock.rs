//! Time in epochs: half a purge delay each, numbered from 1 to 254 and again from 1.
//!
//! The number is looked up on slow ways once in a while and kept in a word that anybody reads, so
//! that a free can say when it was without asking the system.

use crate::os;
use crate::settings;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU64};

/// Epochs that free memory is kept.
const EPOCHS_KEPT: u8 = 2;
/// How many there are; the number behind the last is free for other use.
pub const EPOCHS: u8 = 254;

/// The most epochs since the clock's beginning that anybody has seen, plus one, and below it the
/// number that stands for that epoch: one word, so that neither is ever older than the other.
static LAST: AtomicU64 = AtomicU64::new(1);
const NUMBER_BITS: u32 = u8::BITS;

/// Returns the number of the epoch, as it was when somebody last looked at the clock.
#[inline]
pub fn epoch() -> u8 {
    // No partner: an answer that may be a little old.
    LAST.load(Relaxed) as u8
}

/// Returns the epoch before.
pub fn before(epoch: u8) -> u8 {
    if epoch == 1 { EPOCHS } else { epoch - 1 }
}

/// Looks at the clock. True for the one caller who is the first to see a new epoch.
pub fn advance() -> bool {
    see(&LAST, os::now_ms() / settings::epoch_ms() + 1)
}

/// Notes that so many epochs have begun. True for the first to come so far: a thread that was
/// asleep since it read the clock does not put it back.
fn see(last: &AtomicU64, count: u64) -> bool {
    let seen = count << NUMBER_BITS | (count % u64::from(EPOCHS) + 1);
    // No partner: a word on its own.
    last.load(Relaxed) < seen && last.fetch_max(seen, Relaxed) < seen
}

/// Counts epochs of another length from now on.
pub fn restart() {
    LAST.store(epoch().into(), Relaxed);
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
    use super::{EPOCHS, is_old, see};
    use core::sync::atomic::AtomicU64;
    use core::sync::atomic::Ordering::Relaxed;

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

    #[test]
    fn whoever_comes_late_does_not_put_the_clock_back() {
        let last = AtomicU64::new(1);
        assert!(see(&last, 10));
        assert!(see(&last, 11));
        let seen = last.load(Relaxed);
        assert!(!see(&last, 11) && !see(&last, 10));
        assert_eq!(last.load(Relaxed), seen);
    }

    #[test]
    fn each_epoch_has_the_number_behind_that_of_the_one_before() {
        let last = AtomicU64::new(1);
        for count in 1..1000 {
            let before = last.load(Relaxed) as u8;
            assert!(see(&last, count));
            let number = last.load(Relaxed) as u8;
            assert!((1..=EPOCHS).contains(&number));
            assert_eq!(super::before(number), before);
        }
    }
}
