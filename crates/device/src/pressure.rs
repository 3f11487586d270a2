//! Who is told when memory runs short, and what may go then.
//!
//! A program that streams keeps more than it needs at the moment, as long as there is room. It
//! names what may go ([`Allocator::set_evictable`]), says what it has used ([`Allocator::touch`]),
//! and is told when some of it should ([`Allocator::on_pressure`]): when a heap's usage passes its
//! budget or comes near it, and before a request fails. What goes, and when, it decides itself: at
//! once, or after the frames that use it ([`Allocator::free_after`]).
//!
//! Nothing of this is on the way of a plain allocation or free. Heaps are looked at when a block
//! was taken and when a frame begins; what may go stands in a table of its own, which a free of
//! something else does not touch.
//!
//! [`Allocator::set_evictable`]: crate::Allocator::set_evictable
//! [`Allocator::touch`]: crate::Allocator::touch
//! [`Allocator::on_pressure`]: crate::Allocator::on_pressure
//! [`Allocator::free_after`]: crate::Allocator::free_after

mod registry;
mod watch;

pub(crate) use registry::{Registration, Registry};
pub(crate) use watch::Watch;

use crate::allocation::AllocationId;
use crate::error::ShortageCause;
use crate::supply::Budget;

/// A heap that is short of memory, and what may go.
#[derive(Clone, Debug)]
pub struct Pressure<'a> {
    /// The heap.
    pub heap: u32,
    /// What has happened.
    pub cause: PressureCause,
    /// How many bytes should go. An estimate: a block goes back to the device when nothing lies in
    /// it any more.
    pub excess: u64,
    /// The heap's budget, and what is used of it.
    pub budget: Budget,
    /// What may go of this heap, in this order: the lowest priority first, then what was used the
    /// longest ago, then the largest.
    pub candidates: &'a [Candidate],
}

impl<'a> Pressure<'a> {
    /// Returns the first candidates that have [`excess`](Self::excess) bytes together, or all when
    /// they have less.
    #[must_use]
    pub fn suggested(&self) -> &'a [Candidate] {
        let mut bytes = 0;
        let is_needed = |candidate: &Candidate| {
            let is_needed = bytes < self.excess;
            bytes = candidate.size.saturating_add(bytes);
            is_needed
        };
        let count = self.candidates.iter().copied().take_while(is_needed).count();
        &self.candidates[..count]
    }
}

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PressureCause {
    /// More is used than the budget grants: it has shrunk, or blocks were taken past it. The system
    /// may become slow.
    OverBudget {
        /// The budget when the heap was looked at before, in bytes: more than it is, when it has
        /// shrunk.
        budget_before: u64,
    },
    /// The usage has passed the [`high`](Watermarks::high) mark.
    NearlyFull,
    /// A request found no room. It is tried once more after this.
    NoRoom {
        /// Bytes that were asked for.
        size: u64,
        /// What stood in the way.
        cause: ShortageCause,
    },
}

/// Something that may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its name; its `allocator` is the allocator's or a pool's. One that another thread frees at
    /// this moment may be named still; it is stale then.
    pub id: AllocationId,
    /// Number of its memory type.
    pub memory_type: u32,
    /// Bytes.
    pub size: u64,
    /// What [`set_evictable`](crate::Allocator::set_evictable) said.
    pub priority: f32,
    /// The frame that used it last.
    pub last_use: u64,
    /// The user's own number ([`set_user_data`](crate::Allocator::set_user_data)); zero when none
    /// was set.
    pub user_data: u64,
}

/// When a heap is nearly full, and when no more, in percent of its budget.
///
/// The gap between the two keeps a usage that goes up and down from being told again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Beyond this it is nearly full. At most 100, where only a budget that is passed is told.
    pub high: u8,
    /// Down to this it should be emptied; when it was, it may be nearly full anew. At most `high`.
    pub low: u8,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self { high: 90, low: 80 }
    }
}
