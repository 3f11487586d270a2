//! Used slots, counted by the list and by the slab: the quick ways count nothing.
//!
//! Slots count as used from the moment they are put on a class's list until their slab has seen
//! enough of them come back to change its state. So what is told is at most a list and a wake
//! threshold too much for each class and thread.

use super::{Count, Tally};
use crate::size::Class;
use crate::span::Span;

/// The used slots of one class.
#[derive(Debug)]
pub struct Used(Count);

impl Used {
    pub const fn new() -> Self {
        Self(Count::new())
    }

    pub fn used(&self) -> u64 {
        self.0.get()
    }

    pub fn allocated(&self) -> u64 {
        0
    }
}

impl Tally {
    /// Counts slots put on a list.
    pub fn took(&self, class: Class, slots: u32) {
        self.class(class).used.0.add(slots.into());
    }

    /// Counts slots known to have come back.
    pub fn returned(&self, class: Class, slots: u32) {
        self.class(class).used.0.subtract(slots.into());
    }

    /// Counts a slot that is handed out.
    #[inline(always)]
    pub fn allocated(&self, _class: Class) {}

    /// Counts a slot that is given up.
    #[inline(always)]
    pub fn freed(&self, _span: &Span) {}
}
