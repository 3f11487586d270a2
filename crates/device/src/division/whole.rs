//! The division that does not divide: a block is one part.
//!
//! For dedicated blocks. The block is as large as the request, the part begins at its begin,
//! which is a multiple of every alignment, and has no neighbours.
//!
//! Costs: every function takes constant time; a block costs 32 bytes.
//!
//! # Invariants
//!
//! 1. The part, if there is one, fits in the block.

use super::ensure::ensure;
use super::{Ask, Division, Part, Region};

/// The key of the only part.
const KEY: u32 = 0;

/// One part, or none.
#[derive(Debug)]
pub struct Whole {
    size: u64,
    part: Option<Only>,
}

#[derive(Clone, Copy, Debug)]
struct Only {
    size: u64,
    slot: u32,
}

// SAFETY: There is one part, and it is the block.
unsafe impl Division for Whole {
    const ALONE: bool = true;

    type Config = ();

    fn new((): &(), size: u64, _granularity: u64) -> Self {
        Self { size, part: None }
    }

    fn block_size((): &(), size: u64, _align: u64, _suggested: u64) -> Option<u64> {
        Some(size)
    }

    fn allocate(&mut self, ask: &Ask) -> Option<Part> {
        if ask.size > self.room() {
            return None;
        }
        self.part = Some(Only { size: ask.size, slot: ask.slot });
        Some(Part { key: KEY, offset: 0 })
    }

    fn free(&mut self, key: u32) {
        let freed = self.part.take();
        assert!(key == KEY && freed.is_some(), "a key names a live part");
    }

    fn used(&self) -> u64 {
        self.part.map_or(0, |part| part.size)
    }

    fn count(&self) -> u32 {
        u32::from(self.part.is_some())
    }

    fn room(&self) -> u64 {
        if self.part.is_none() { self.size } else { 0 }
    }

    fn largest_free(&self) -> u64 {
        self.room()
    }

    fn walk(&self, visit: &mut dyn FnMut(Region)) {
        visit(Region { offset: 0, size: self.size, slot: self.part.map(|part| part.slot) });
    }

    fn check(&self) -> Result<(), &'static str> {
        ensure(self.used() <= self.size, "1: the part fits in the block")
    }
}
