//! The general division: any size, any order of frees, constant time.
//!
//! A [`Space`] of the core with records in vectors that grow with use, and the rule of the
//! [granularity](super::granularity). The record of a part carries the [`Tag`] of its allocation,
//! so the two neighbours' tilings are at hand when a place is looked for. On a device without
//! granularity the neighbours are not looked at.
//!
//! Costs: [`allocate`](Division::allocate) and [`free`](Division::free) take constant time but for
//! the searches that say otherwise; a block costs some 250 bytes, 64 bytes for each doubling of
//! its size and 32 bytes for each part and each free region.
//!
//! # Invariants
//!
//! 1. Those of [`Space`].
//! 2. Neighbours of different tiling share no page of the granularity.
//! 3. Every part begins at a multiple of the least alignment.

use super::ensure::ensure;
use super::granularity::{Apart, Tag, is_kept};
use super::{Ask, Division, Part, Region};
use crate::device::Tiling;
use core::ops::Range;
use polder_core::space::{Record, RegionId, Request, Space};
use polder_core::store::{Full, Store};

/// One more than the most records of one block: what a key can name.
const RECORDS_MAX: usize = (u32::MAX - 2) as usize;

/// What is the same for all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Every part begins at a multiple of this, in bytes: a power of two.
    pub align_least: u64,
}

impl Default for Config {
    /// Nothing beyond what is asked for.
    fn default() -> Self {
        Self { align_least: 1 }
    }
}

/// Two-level segregated fit over one block. See the [module](self).
#[derive(Debug)]
pub struct Tlsf {
    space: Space<Grown<Record>, Grown<u32>>,
    granularity: u64,
    align_least: u64,
}

// SAFETY: The regions of a space tile the block and do not overlap (its invariant 1, which
// fuzzing and a model check), and a part is a used one.
unsafe impl Division for Tlsf {
    const EXACT: bool = true;

    type Config = Config;

    fn new(config: &Config, size: u64, granularity: u64) -> Self {
        assert!(granularity.is_power_of_two(), "a granularity is a power of two");
        assert!(config.align_least.is_power_of_two(), "an alignment is a power of two");
        let space = Space::new(size, Grown::default(), Grown::default());
        let space = space.expect("a block has at least one byte, and its store grows");
        Self { space, granularity, align_least: config.align_least }
    }

    fn has_upper_end(_: &Config) -> bool {
        true
    }

    #[inline]
    fn allocate(&mut self, ask: &Ask) -> Option<Part> {
        let request = Request {
            size: ask.size,
            align: ask.align.max(self.align_least),
            strategy: ask.search,
            tag: Tag::new(ask.slot, ask.tiling).bits(),
        };
        let placed = if self.granularity == 1 {
            self.space.allocate(request)
        } else {
            let Request { align, .. } = request;
            let rule = Apart { align, tiling: ask.tiling, granularity: self.granularity };
            self.space.allocate_where(request, &rule)
        };
        let placed = placed.ok()?;
        Some(Part { key: placed.id.index(), offset: placed.offset })
    }

    #[inline]
    fn free(&mut self, key: u32) {
        let freed = self.space.free(RegionId::from_index(key));
        assert!(freed.is_ok(), "a key names a live part");
    }

    fn used(&self) -> u64 {
        self.space.used()
    }

    fn count(&self) -> u32 {
        self.space.used_count()
    }

    #[inline]
    fn room(&self) -> u64 {
        self.space.largest_free_bound()
    }

    fn largest_free(&self) -> u64 {
        self.space.largest_free()
    }

    fn walk(&self, visit: &mut dyn FnMut(Region)) {
        for region in self.space.walk() {
            let slot = region.tag.map(|bits| Tag::from_bits(bits).slot());
            visit(Region { offset: region.offset, size: region.size, slot });
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        self.space.check().map_err(|_| "1: the space's invariants hold")?;
        ensure(is_kept(self.parts(), self.granularity), "2: no page has both tilings")?;
        let aligned = self.parts().all(|(range, _)| range.start.is_multiple_of(self.align_least));
        ensure(aligned, "3: a part begins at a multiple of the least alignment")
    }
}

impl Tlsf {
    /// The ranges and tilings of the parts, in the order of offsets.
    fn parts(&self) -> impl Iterator<Item = (Range<u64>, Tiling)> {
        self.space.walk().filter_map(|region| {
            let tag = Tag::from_bits(region.tag?);
            Some((region.offset..region.offset + region.size, tag.tiling()))
        })
    }
}

/// A store in a vector that grows with use.
#[derive(Debug)]
struct Grown<T>(Vec<T>);

impl<T> Default for Grown<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Store<T> for Grown<T> {
    #[inline]
    fn records(&self) -> &[T] {
        &self.0
    }

    #[inline]
    fn records_mut(&mut self) -> &mut [T] {
        &mut self.0
    }

    fn push(&mut self, record: T) -> Result<(), Full> {
        if self.0.len() == RECORDS_MAX {
            return Err(Full);
        }
        self.0.try_reserve(1).map_err(|_| Full)?;
        self.0.push(record);
        Ok(())
    }
}
