//! An abstract range of numbers, divided into regions that are used or free.
//!
//! Two-level segregated fit (Masmano, Ripoll, Crespo and Real, ECRTS 2004) with the records apart
//! from the memory: a region is a 32-byte record in a lent [`Store`], linked to its neighbours by
//! offset and, while free, to the other free regions of its [bin](crate::bins). A bit set knows
//! which bins have members, so a fitting region is found, split and merged in constant time.
//! Nothing here knows what the numbers mean: rules about where an allocation may lie beyond its
//! alignment come in as a [`Fit`].
//!
//! # Invariants
//!
//! 1. The regions, in the order of their links, tile the range without gap or overlap.
//! 2. No two free regions are neighbours.
//! 3. A free region is in the list of its bin exactly once, and the bit set has exactly the bins
//!    whose list has a member.
//! 4. The counters of used bytes, used regions and free regions are those of the regions.
//! 5. A record that is no region is on the spare list.

mod check;
mod fit;
mod resize;
mod search;

pub use fit::{Aligned, Candidate, Fit};
pub use resize::ResizeError;
pub use search::Strategy;

use crate::bins::Bins;
use crate::bitset::BitSet;
use crate::store::{Full, Store};

/// Sixteen bins a doubling: rounding a search up passes over at most a sixteenth of a size.
type SpaceBins = Bins<4>;
const BIN_WORDS: usize = SpaceBins::COUNT.div_ceil(u64::BITS) as usize;

/// Most spare records that one allocation takes: what is left before it and behind it.
const SPARES_PER_ALLOCATION: u32 = 2;

const NONE: u32 = u32::MAX;
/// The region at offset 0: a split and a join keep the lower record.
const FIRST: u32 = 0;
/// Stands in `links[0]` of a used region, where a free one has its list.
const USED: u32 = u32::MAX - 1;

/// The name of a region while it lives; the next region may get the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegionId(u32);

impl RegionId {
    /// Returns the number of the region's record, for tables beside the space.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }

    /// Makes the name from [`index`](Self::index) again. A wrong one is found by
    /// [`Space::free`], when no region has it.
    #[must_use]
    pub const fn from_index(index: u32) -> Self {
        Self(index)
    }
}

/// The record of one region. Made by the space; the lender of the storage only keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    offset: u64,
    size: u64,
    /// The neighbour below; in a spare record, unused.
    before: u32,
    /// The neighbour above; in a spare record, the next spare one.
    after: u32,
    /// Free: the previous and next in the bin. Used: `USED` and the tag.
    links: [u32; 2],
}

const _: () = assert!(size_of::<Record>() == 32, "two records share a cache line");

impl Record {
    /// A record of nothing, to fill storage with.
    pub const EMPTY: Self =
        Self { offset: 0, size: 0, before: NONE, after: NONE, links: [NONE; 2] };

    const fn end(&self) -> u64 {
        self.offset + self.size
    }

    const fn is_used(&self) -> bool {
        self.links[0] == USED
    }

    const fn tag(&self) -> Option<u32> {
        if self.is_used() { Some(self.links[1]) } else { None }
    }
}

/// What is wanted of a space. Sizes and alignments are in the unit of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How much; not zero.
    pub size: u64,
    /// What the offset is a multiple of: a power of two.
    pub align: u64,
    /// Where to look, and what to pay for a better place.
    pub strategy: Strategy,
    /// A number that the region carries while it is used.
    pub tag: u32,
}

/// A region that was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The name to free it by.
    pub id: RegionId,
    /// Where it begins.
    pub offset: u64,
}

/// A region as [`Space::walk`] and [`Space::free`] show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub id: RegionId,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub size: u64,
    /// The tag of its request, or nothing while it is free.
    pub tag: Option<u32>,
}

/// Why a space gave nothing. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpaceError {
    /// The request's size is zero: ask for at least one.
    ZeroSize,
    /// The request's alignment is no power of two.
    BadAlign {
        /// The alignment that was asked for.
        align: u64,
    },
    /// No free region that was looked at holds the request.
    NoRoom,
    /// The storage lent for records is full: lend more.
    NoRecords,
}

/// There is no used region of this name; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUsed {
    /// The name that was given.
    pub id: RegionId,
}

/// A range from 0 to its size, divided into regions. See the [module](self).
///
/// Holds some 180 bytes itself, a record of 32 bytes a region in `R` and 4 bytes a bin in `H`
/// (at most 16 bins for each doubling of the size).
#[derive(Debug)]
pub struct Space<R, H> {
    records: R,
    /// The first member of each bin, or `NONE`.
    heads: H,
    bins: BitSet<BIN_WORDS>,
    size: u64,
    used: u64,
    used_count: u32,
    free_count: u32,
    /// The region at the end.
    last: u32,
    /// Records that are no region, linked through `after`.
    spare: u32,
    spare_count: u32,
}

impl<R: Store<Record>, H: Store<u32>> Space<R, H> {
    /// Makes a space of one free region from 0 to `size`, in empty stores. Costs time and storage
    /// for the bins: 4 bytes for each of the at most 16 per doubling of `size`.
    ///
    /// # Errors
    ///
    /// [`SpaceError::ZeroSize`], or [`SpaceError::NoRecords`] when a store is too small.
    ///
    /// # Panics
    ///
    /// When a store is not empty.
    pub fn new(size: u64, records: R, mut heads: H) -> Result<Self, SpaceError> {
        assert!(records.records().is_empty(), "a space begins in an empty store");
        assert!(heads.records().is_empty(), "a space begins in an empty store");
        if size == 0 {
            return Err(SpaceError::ZeroSize);
        }
        for _ in 0..=SpaceBins::floor(size) {
            heads.push(NONE).map_err(|Full| SpaceError::NoRecords)?;
        }
        let mut space = Self {
            records,
            heads,
            bins: BitSet::new(),
            size,
            used: 0,
            used_count: 0,
            free_count: 0,
            last: FIRST,
            spare: NONE,
            spare_count: 0,
        };
        space
            .records
            .push(Record { size, ..Record::EMPTY })
            .map_err(|Full| SpaceError::NoRecords)?;
        space.list(FIRST);
        Ok(space)
    }

    /// Hands out a region, in constant time but for the strategies that say otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`SpaceError`]; nothing has changed.
    #[inline]
    pub fn allocate(&mut self, request: Request) -> Result<Placed, SpaceError> {
        self.allocate_where(request, &Aligned { align: request.align })
    }

    /// Hands out a region whose place obeys `fit`, which stands for the request's alignment too.
    ///
    /// # Errors
    ///
    /// Those of [`SpaceError`]; nothing has changed.
    #[inline]
    pub fn allocate_where(
        &mut self,
        request: Request,
        fit: &impl Fit,
    ) -> Result<Placed, SpaceError> {
        if request.size == 0 {
            return Err(SpaceError::ZeroSize);
        }
        if !request.align.is_power_of_two() {
            return Err(SpaceError::BadAlign { align: request.align });
        }
        let (region, offset) = self.find(&request, fit).ok_or(SpaceError::NoRoom)?;
        self.reserve_spares(SPARES_PER_ALLOCATION).map_err(|Full| SpaceError::NoRecords)?;
        let id = self.carve(region, offset, request.size);
        self.record_mut(id).links = [USED, request.tag];
        self.used += request.size;
        self.used_count += 1;
        Ok(Placed { id: RegionId(id), offset })
    }

    /// Takes a region back and joins it with free neighbours, in constant time.
    ///
    /// # Errors
    ///
    /// [`NotUsed`] when no used region has this name. A name that was freed and then given to
    /// another region is that region's: telling them apart is the caller's part.
    #[inline]
    pub fn free(&mut self, id: RegionId) -> Result<Region, NotUsed> {
        let record = self.records.records().get(id.0 as usize).copied();
        let record = record.filter(Record::is_used).ok_or(NotUsed { id })?;
        self.used -= record.size;
        self.used_count -= 1;
        let (mut index, mut size, mut after) = (id.0, record.size, record.after);
        if let Some(neighbour) = self.free_record(after) {
            self.unlist(record.after);
            self.discard(record.after);
            size += neighbour.size;
            after = neighbour.after;
        }
        if let Some(neighbour) = self.free_record(record.before) {
            self.unlist(record.before);
            self.discard(index);
            index = record.before;
            size += neighbour.size;
        }
        self.record_mut(index).size = size;
        if after != record.after || index != id.0 {
            self.record_mut(index).after = after;
            self.set_before(after, index);
        }
        self.list(index);
        Ok(Region { id, offset: record.offset, size: record.size, tag: record.tag() })
    }

    /// Returns a used or free region by its name.
    #[must_use]
    pub fn region(&self, id: RegionId) -> Option<Region> {
        let record = self.records.records().get(id.0 as usize).filter(|record| record.size > 0)?;
        Some(Region { id, offset: record.offset, size: record.size, tag: record.tag() })
    }

    /// Gives a used region another tag.
    ///
    /// # Errors
    ///
    /// [`NotUsed`] when no used region has this name.
    pub fn set_tag(&mut self, id: RegionId, tag: u32) -> Result<(), NotUsed> {
        let record = self.records.records_mut().get_mut(id.0 as usize);
        let record = record.filter(|record| record.is_used()).ok_or(NotUsed { id })?;
        record.links[1] = tag;
        Ok(())
    }

    /// Returns every region in the order of offsets; one step takes constant time.
    pub fn walk(&self) -> impl Iterator<Item = Region> {
        let next = move |id: &RegionId| {
            let after = self.record(id.0).after;
            (after != NONE).then_some(RegionId(after))
        };
        core::iter::successors(Some(RegionId(FIRST)), next).filter_map(|id| self.region(id))
    }

    /// Returns the length of the whole range.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the sum of the used regions' sizes.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Returns how many regions are used.
    #[must_use]
    pub const fn used_count(&self) -> u32 {
        self.used_count
    }

    /// Returns how many regions are free.
    #[must_use]
    pub const fn free_count(&self) -> u32 {
        self.free_count
    }

    /// Returns a size that no free region passes and that the largest one is nearly as large as
    /// (within a sixteenth), in constant time; 0 when all is used.
    #[inline]
    #[must_use]
    pub const fn largest_free_bound(&self) -> u64 {
        match self.bins.last() {
            Some(bin) if bin + 1 < SpaceBins::COUNT => SpaceBins::least(bin + 1) - 1,
            Some(_) => u64::MAX,
            None => 0,
        }
    }

    /// Returns the size of the largest free region; looks at every free region of nearly its size.
    #[must_use]
    pub fn largest_free(&self) -> u64 {
        let Some(bin) = self.bins.last() else {
            return 0;
        };
        self.members(bin).map(|index| self.record(index).size).max().unwrap_or(0)
    }

    #[inline]
    fn record(&self, index: u32) -> &Record {
        &self.records.records()[index as usize]
    }

    /// The record of a neighbour that is free.
    #[inline]
    fn free_record(&self, index: u32) -> Option<Record> {
        let record = *self.records.records().get(index as usize)?;
        (!record.is_used()).then_some(record)
    }

    #[inline]
    fn record_mut(&mut self, index: u32) -> &mut Record {
        &mut self.records.records_mut()[index as usize]
    }

    /// The free regions in `bin`, the one freed last first.
    fn members(&self, bin: u32) -> impl Iterator<Item = u32> {
        let some = |index: u32| (index != NONE).then_some(index);
        let head = self.heads.records().get(bin as usize).copied().and_then(some);
        core::iter::successors(head, move |&index| some(self.record(index).links[1]))
    }

    // This and the next two are inlined by force: it saves a sixth of a pair's instructions.
    /// Puts a region at the front of its bin's list.
    #[inline(always)]
    fn list(&mut self, index: u32) {
        let bin = SpaceBins::floor(self.record(index).size);
        let next = core::mem::replace(&mut self.heads.records_mut()[bin as usize], index);
        self.record_mut(index).links = [NONE, next];
        if next == NONE {
            self.bins.insert(bin);
        } else {
            self.record_mut(next).links[0] = index;
        }
        self.free_count += 1;
    }

    /// Takes a free region out of its bin's list.
    #[inline(always)]
    fn unlist(&mut self, index: u32) {
        let Record { links: [previous, next], size, .. } = *self.record(index);
        if next != NONE {
            self.record_mut(next).links[0] = previous;
        }
        if previous == NONE {
            let bin = SpaceBins::floor(size);
            self.heads.records_mut()[bin as usize] = next;
            if next == NONE {
                self.bins.remove(bin);
            }
        } else {
            self.record_mut(previous).links[1] = next;
        }
        self.free_count -= 1;
    }

    /// Makes sure that `count` records can be taken.
    #[inline]
    fn reserve_spares(&mut self, count: u32) -> Result<(), Full> {
        while self.spare_count < count {
            self.records.push(Record::EMPTY)?;
            self.discard(self.records.records().len() as u32 - 1);
        }
        Ok(())
    }

    /// Puts a record on the spare list. Its size of zero says that it is no region.
    #[inline]
    fn discard(&mut self, index: u32) {
        let spare = core::mem::replace(&mut self.spare, index);
        let record = self.record_mut(index);
        record.size = 0;
        record.links[0] = NONE;
        record.after = spare;
        self.spare_count += 1;
    }

    /// Cuts `offset..offset + size` out of a free region and returns its record, in no list.
    #[inline]
    fn carve(&mut self, region: u32, offset: u64, size: u64) -> u32 {
        self.unlist(region);
        let mut carved = region;
        if offset > self.record(region).offset {
            carved = self.split(region, offset);
            self.list(region);
        }
        if offset + size < self.record(carved).end() {
            let rest = self.split(carved, offset + size);
            self.list(rest);
        }
        carved
    }

    /// Ends a region at `offset` and returns the record of what lies behind, in no list.
    #[inline(always)]
    fn split(&mut self, index: u32, offset: u64) -> u32 {
        let upper = self.spare;
        debug_assert!(upper != NONE, "spares are reserved before a region is split");
        self.spare = self.record(upper).after;
        self.spare_count -= 1;
        let lower = self.record_mut(index);
        let (size, after) = (lower.end() - offset, lower.after);
        lower.size = offset - lower.offset;
        lower.after = upper;
        *self.record_mut(upper) = Record { offset, size, before: index, after, links: [NONE; 2] };
        self.set_before(after, upper);
        upper
    }

    #[inline]
    fn set_before(&mut self, index: u32, before: u32) {
        if index == NONE {
            self.last = before;
        } else {
            self.record_mut(index).before = before;
        }
    }
}
