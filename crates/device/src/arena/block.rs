//! One block of an arena, what lies in it, and which empty ones stay.

use crate::allocation::HostPointer;
use crate::device::{Device, Resource};
use crate::division::Division;
use crate::supply::Grant;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Block<D: Device, V> {
    pub grant: Grant<D::Memory>,
    pub contents: Contents<V>,
    /// The one resource that the device was told will lie in it.
    pub tied: Option<Tied<D>>,
    /// Of all its allocations, and one for each of its places that a move keeps for a pointer.
    pub maps: u32,
    pub pointer: Option<HostPointer>,
    /// How many more frees an unused mapping is kept for.
    pub idle: u32,
    /// What its division said of its room when it was put on its shelf, in bytes.
    pub room: u64,
}

/// A resource that a block is for alone.
pub type Tied<D> = Resource<<D as Device>::Buffer, <D as Device>::Image>;

/// What lies in a block.
#[derive(Debug)]
pub(super) enum Contents<V> {
    /// Parts.
    Shared { division: V },
    /// One allocation, by its slot.
    Dedicated { slot: u32 },
}

impl<D: Device, V: Division> Block<D, V> {
    pub fn shared(grant: Grant<D::Memory>, division: V) -> Self {
        let contents = Contents::Shared { division };
        Self { grant, contents, tied: None, maps: 0, pointer: None, idle: 0, room: 0 }
    }

    pub const fn dedicated(grant: Grant<D::Memory>, slot: u32, tied: Option<Tied<D>>) -> Self {
        let contents = Contents::Dedicated { slot };
        Self { grant, contents, tied, maps: 0, pointer: None, idle: 0, room: 0 }
    }

    /// Returns the room of a block that is known to be shared, if it is not what it was.
    #[inline]
    pub fn new_room(&mut self) -> Option<u64> {
        let room = self.division().room();
        (core::mem::replace(&mut self.room, room) != room).then_some(room)
    }

    /// The division of a block that is known to be shared.
    #[inline]
    pub fn division(&mut self) -> &mut V {
        match &mut self.contents {
            Contents::Shared { division } => division,
            Contents::Dedicated { .. } => unreachable!("only shared blocks are on shelves"),
        }
    }
}

/// Which empty blocks an arena keeps beside the one that it always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A small share of what is used.
    Share,
    /// As much as was used of late: it comes and goes each frame.
    Recent,
    /// All, while the heap is within its budget.
    WithinBudget,
}

impl Kept {
    /// Rounds the size of a block for one large request: exact, so nothing lies idle, or with room
    /// for others of about its size, which will come; never past `most` by rounding.
    pub fn round(self, size: u64, most: u64) -> u64 {
        let rounded = size.checked_next_power_of_two().unwrap_or(size);
        match self {
            Self::Recent if rounded <= most => rounded,
            _ => size,
        }
    }
}
