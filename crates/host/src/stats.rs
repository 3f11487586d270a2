//! What the host heap holds, and what is used of it.

use crate::pool;
use crate::size::Class;
use crate::spans::{Held, SHARED};
use crate::tally::{ClassTotals, Totals};

/// What a heap holds and what is used of it, in bytes where nothing else is said.
///
/// Objects in slabs count as used from the time that they are put on a thread's list until enough
/// of their neighbours are free too, so `used` may be a little too much: for each class and thread
/// at most a list's length and a quarter of a slab. With the feature `stats` it is exact; what
/// `hardened` keeps from being used again counts as used.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// In objects.
    pub used: u64,
    /// In spans: those in use and those that are free and still cost memory.
    pub held: u64,
    /// The most that was ever in spans in use.
    pub peak: u64,
    /// Address space.
    pub reserved: u64,
    /// Given back to the system, all together.
    pub purged: u64,
    /// How many large objects there are.
    pub large: u64,
    /// The bytes of their spans.
    pub large_used: u64,
    /// How many objects were freed by other threads than their slab's, and have come back.
    pub remote_frees: u64,
    classes: [ClassStats; Class::COUNT],
}

/// What one size class has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a slot.
    pub size: u64,
    /// Objects in use.
    pub used: u64,
    /// Objects that were ever allocated. Counted with the feature `stats`; 0 without.
    pub allocated: u64,
    /// Slabs.
    pub slabs: u64,
    /// Slots of all slabs.
    pub slots: u64,
}

impl Stats {
    /// Returns the size classes, the least first.
    #[must_use]
    pub fn classes(&self) -> &[ClassStats] {
        &self.classes
    }

    pub(crate) fn of(held: Held, totals: &Totals) -> Self {
        let mut classes = [ClassStats::default(); Class::COUNT];
        for (class, (stats, sums)) in Class::all().zip(classes.iter_mut().zip(&totals.classes)) {
            let &ClassTotals { used, allocated, slabs } = sums;
            let shape = class.shape();
            let slots = slabs * u64::from(shape.slots);
            let used = not_below_zero(used).min(slots);
            *stats = ClassStats { size: shape.size.into(), used, allocated, slabs, slots };
        }
        let small: u64 = classes.iter().map(|class| class.size * class.used).sum();
        let large_bytes = not_below_zero(totals.large_bytes);
        Self {
            used: small + large_bytes,
            held: held.used + held.dirty,
            peak: held.peak,
            reserved: held.reserved,
            purged: held.purged,
            large: not_below_zero(totals.large),
            large_used: large_bytes,
            remote_frees: totals.received,
            classes,
        }
    }
}

/// Threads go on while they are asked, so a sum may have a free without its allocation.
fn not_below_zero(sum: u64) -> u64 {
    if sum > u64::MAX / 2 { 0 } else { sum }
}

/// Returns what all threads use and hold.
///
/// May be called at any time, by any thread; takes the supply's lock for a moment, and looks at
/// each thread's counters. Threads that allocate meanwhile are counted as they were or as they are.
#[must_use]
pub fn stats() -> Stats {
    let mut totals = Totals::ZERO;
    pool::all().for_each(|local| totals.add(&local.tally));
    Stats::of(SHARED.held(), &totals)
}
