//! What an arena knows of one allocation, in half a cache line.

use crate::device::{Resource, Tiling};
use crate::division::{Ask, Part};
use bitflags::bitflags;

/// What one allocation is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub offset: u64,
    pub size: u64,
    pub block: u32,
    /// The division's name for the part.
    pub part: u32,
    pub maps: u32,
    pub tiling: Tiling,
    /// What its offset is a multiple of, as an exponent of two: for the next place it may get.
    pub align_log: u8,
    pub marks: Marks,
    /// The number of its resource's usage flags.
    pub usage: u8,
}

const _: () = assert!(size_of::<Entry>() == 32, "two entries share a cache line");

bitflags! {
    /// What else is known of an allocation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Marks: u8 {
        /// One of the maps is the handle's own, for all its life.
        const PERSISTENT = 1;
        /// Its block was taken for it.
        const FRESH = 1 << 1;
        /// The arena's table of notes has one of it.
        const NOTED = 1 << 2;
        /// A move of it is open.
        const MOVING = 1 << 3;
        /// A buffer lies in it.
        const BUFFER = 1 << 4;
        /// An image lies in it.
        const IMAGE = 1 << 5;
        /// The aids have [written](super::watch) in it or behind it.
        const WATCHED = 1 << 6;
    }
}

impl Marks {
    pub const fn of<B, I>(resource: &Resource<B, I>) -> Self {
        match resource {
            Resource::Buffer(_) => Self::BUFFER,
            Resource::Image(_) => Self::IMAGE,
        }
    }
}

impl Entry {
    /// What lies in a part of at least `size` bytes.
    pub const fn new(block: u32, part: Part, ask: &Ask, size: u64) -> Self {
        let Part { key, offset } = part;
        let &Ask { tiling, align, .. } = ask;
        let (align_log, marks) = (align.trailing_zeros() as u8, Marks::empty());
        Self { offset, size, block, part: key, maps: 0, tiling, align_log, marks, usage: 0 }
    }

    pub const fn is_persistent(&self) -> bool {
        self.marks.contains(Marks::PERSISTENT)
    }
}
