//! Used slots, counted one by one: what the feature `stats` brings.
//!
//! A slot is counted by who hands it out, and by who takes it from the program: a thread that frees
//! what others allocated has more frees than allocations, and only the sums of all threads say what
//! is used.

use super::{Count, Tally};
use crate::size::Class;
use crate::span::Span;

/// The used slots of one class.
#[derive(Debug)]
pub struct Used {
    allocated: Count,
    freed: Count,
}

impl Used {
    pub const fn new() -> Self {
        Self { allocated: Count::new(), freed: Count::new() }
    }

    pub fn used(&self) -> u64 {
        self.allocated.get().wrapping_sub(self.freed.get())
    }

    pub fn allocated(&self) -> u64 {
        self.allocated.get()
    }
}

impl Tally {
    /// Counts slots put on a list.
    pub fn took(&self, _class: Class, _slots: u32) {}

    /// Counts slots known to have come back.
    pub fn returned(&self, _class: Class, _slots: u32) {}

    /// Counts a slot that is handed out.
    #[inline(always)]
    pub fn allocated(&self, class: Class) {
        self.class(class).used.allocated.add(1);
    }

    /// Counts a slot that is given up.
    #[inline(always)]
    pub fn freed(&self, span: &Span) {
        self.class(span.class()).used.freed.add(1);
    }
}
