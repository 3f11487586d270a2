//! What one local counts: written by its thread, read by anybody.
//!
//! How the slots in use are counted is in one of two files: `rough` counts on slow ways alone,
//! `exact`, with the feature `stats`, each one.

#[cfg(feature = "stats")]
mod exact;
#[cfg(not(feature = "stats"))]
mod rough;

#[cfg(feature = "stats")]
use exact::Used;
#[cfg(not(feature = "stats"))]
use rough::Used;

use crate::size::Class;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// A number that one thread changes and all may read.
#[derive(Debug)]
pub struct Count(AtomicU64);

impl Count {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds; only the local's thread does.
    #[inline]
    fn add(&self, more: u64) {
        // No partner: a number on its own, with one writer.
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    fn subtract(&self, less: u64) {
        self.add(less.wrapping_neg());
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One local's counters.
#[derive(Debug)]
pub struct Tally {
    classes: [ClassTally; Class::COUNT],
    large: Count,
    large_bytes: Count,
    received: Count,
}

#[derive(Debug)]
struct ClassTally {
    used: Used,
    slabs: Count,
}

impl ClassTally {
    const fn new() -> Self {
        Self { used: Used::new(), slabs: Count::new() }
    }
}

/// The sums of several tallies. A thread's own may be below zero where others free what it
/// allocated; the sums are not.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    /// What each class has.
    pub classes: [ClassTotals; Class::COUNT],
    /// Large objects.
    pub large: u64,
    /// Bytes of their spans.
    pub large_bytes: u64,
    /// Objects that came back from other threads.
    pub received: u64,
}

/// The sums of one class.
#[derive(Clone, Copy, Debug)]
pub struct ClassTotals {
    /// Slots in use.
    pub used: u64,
    /// Slots that were ever handed out, where that is counted.
    pub allocated: u64,
    /// Slabs.
    pub slabs: u64,
}

impl Tally {
    /// Makes one of nothing.
    pub const fn new() -> Self {
        Self {
            classes: [const { ClassTally::new() }; Class::COUNT],
            large: Count::new(),
            large_bytes: Count::new(),
            received: Count::new(),
        }
    }

    fn class(&self, class: Class) -> &ClassTally {
        &self.classes[class.index()]
    }

    /// Counts a new slab.
    pub fn began(&self, class: Class) {
        self.class(class).slabs.add(1);
    }

    /// Counts a slab that was given up.
    pub fn retired(&self, class: Class) {
        self.class(class).slabs.subtract(1);
    }

    /// Counts a large object.
    pub fn large_began(&self, size: usize) {
        self.large.add(1);
        self.large_bytes.add(size as u64);
    }

    /// Counts the end of a large object, whoever allocated it.
    pub fn large_ended(&self, size: usize) {
        self.large.subtract(1);
        self.large_bytes.subtract(size as u64);
    }

    /// Counts objects that others have freed.
    pub fn received(&self, slots: u32) {
        self.received.add(slots.into());
    }
}

impl Totals {
    /// Sums of nothing.
    pub const ZERO: Self = Self {
        classes: [ClassTotals { used: 0, allocated: 0, slabs: 0 }; Class::COUNT],
        large: 0,
        large_bytes: 0,
        received: 0,
    };

    /// Adds one local's.
    pub fn add(&mut self, tally: &Tally) {
        for (sum, class) in self.classes.iter_mut().zip(&tally.classes) {
            sum.used = sum.used.wrapping_add(class.used.used());
            sum.allocated = sum.allocated.wrapping_add(class.used.allocated());
            sum.slabs = sum.slabs.wrapping_add(class.slabs.get());
        }
        self.large = self.large.wrapping_add(tally.large.get());
        self.large_bytes = self.large_bytes.wrapping_add(tally.large_bytes.get());
        self.received = self.received.wrapping_add(tally.received.get());
    }
}
