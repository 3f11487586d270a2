//! Where inside a free region an allocation may begin: alignment, and whatever a caller adds.
//!
//! A space knows no granularity, margin or page. Who needs such a rule writes a [`Fit`]; it sees
//! a free region with the tags of its neighbours and names a place in it.

use super::{NONE, Record};

/// A free region that may take an allocation, and what lies on both sides of it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    records: &'a [Record],
    region: &'a Record,
}

impl<'a> Candidate<'a> {
    pub(super) fn new(records: &'a [Record], index: u32) -> Self {
        Self { records, region: &records[index as usize] }
    }

    /// Returns where the free region begins, which is where a used neighbour ends.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.region.offset
    }

    /// Returns where the free region ends, which is where a used neighbour begins.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.region.end()
    }

    /// Returns the tag of the used region just before, if there is one.
    #[must_use]
    pub fn tag_before(&self) -> Option<u32> {
        self.tag(self.region.before)
    }

    /// Returns the tag of the used region just after, if there is one.
    #[must_use]
    pub fn tag_after(&self) -> Option<u32> {
        self.tag(self.region.after)
    }

    fn tag(&self, index: u32) -> Option<u32> {
        if index == NONE { None } else { self.records[index as usize].tag() }
    }
}

/// A rule about where an allocation may begin. Its answers depend on nothing but the candidate.
pub trait Fit {
    /// Returns the most that the rule can cost: a region of `size + slack` always has a place.
    fn slack(&self) -> u64;

    /// Returns the lowest place in the candidate for `size`.
    fn lowest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64>;

    /// Returns the highest place in the candidate for `size`.
    fn highest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64>;
}

/// The plain rule: the offset is a multiple of the alignment, a power of two.
#[derive(Clone, Copy, Debug)]
pub struct Aligned {
    /// A power of two.
    pub align: u64,
}

impl Fit for Aligned {
    fn slack(&self) -> u64 {
        self.align - 1
    }

    fn lowest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64> {
        let offset = candidate.start().checked_add(self.align - 1)? & !(self.align - 1);
        (offset.checked_add(size)? <= candidate.end()).then_some(offset)
    }

    fn highest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64> {
        let offset = candidate.end().checked_sub(size)? & !(self.align - 1);
        (offset >= candidate.start()).then_some(offset)
    }
}
