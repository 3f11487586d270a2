//! What one local counts, on slow ways only: written by its thread, read by anybody.
//!
//! Slots count as used from the moment they are put on a class's list until their slab has seen
//! enough of them come back to change its state. So what is told is at most a list and a wake
//! threshold too much for each class and thread, and the quick ways count nothing.

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
    used: Count,
    slabs: Count,
}

impl ClassTally {
    const fn new() -> Self {
        Self { used: Count::new(), slabs: Count::new() }
    }
}

/// The sums of several tallies. A thread's own may be below zero where others free what it
/// allocated; the sums are not.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    /// Slots in use and slabs, of each class.
    pub classes: [(u64, u64); Class::COUNT],
    /// Large objects.
    pub large: u64,
    /// Bytes of their spans.
    pub large_bytes: u64,
    /// Objects that came back from other threads.
    pub received: u64,
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

    /// Counts slots put on a list.
    pub fn took(&self, class: Class, slots: u32) {
        self.class(class).used.add(slots.into());
    }

    /// Counts slots known to have come back.
    pub fn returned(&self, class: Class, slots: u32) {
        self.class(class).used.subtract(slots.into());
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
    pub const ZERO: Self =
        Self { classes: [(0, 0); Class::COUNT], large: 0, large_bytes: 0, received: 0 };

    /// Adds one local's.
    pub fn add(&mut self, tally: &Tally) {
        for ((used, slabs), class) in self.classes.iter_mut().zip(&tally.classes) {
            *used = used.wrapping_add(class.used.get());
            *slabs = slabs.wrapping_add(class.slabs.get());
        }
        self.large = self.large.wrapping_add(tally.large.get());
        self.large_bytes = self.large_bytes.wrapping_add(tally.large_bytes.get());
        self.received = self.received.wrapping_add(tally.received.get());
    }
}
