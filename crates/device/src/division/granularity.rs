//! Keeps linear and optimal parts of a block out of each other's pages.
//!
//! On a device whose granularity is larger than one, a linear and an optimal resource must not
//! touch the same page of that size, whichever of the two comes first. So a place for a part
//! depends on what lies on *both* sides of the free gap it goes to: towards a neighbour of the
//! other tiling the gap is shortened to the next page boundary. The two immediate neighbours are
//! enough: whatever lies beyond one of them and in the same page has that neighbour's tiling.
//!
//! # Invariants
//!
//! 1. No page of the granularity has bytes of a linear and of an optimal part.

use crate::device::Tiling;
use core::ops::Range;
use polder_core::space::{Candidate, Fit};

/// One more than the largest slot that a [`Tag`] carries.
pub const SLOTS_MAX: u32 = 1 << 31;

/// What the record of a part carries: the slot of its allocation and its tiling, in 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// Joins the two; `slot` is below [`SLOTS_MAX`].
    #[must_use]
    pub const fn new(slot: u32, tiling: Tiling) -> Self {
        debug_assert!(slot < SLOTS_MAX, "a slot is below SLOTS_MAX");
        Self(slot << 1 | tiling as u32)
    }

    /// Makes the tag from [`bits`](Self::bits) again.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the tag as a number.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns the slot of the allocation.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0 >> 1
    }

    /// Returns the tiling of the allocation.
    #[must_use]
    pub const fn tiling(self) -> Tiling {
        if self.0 & 1 == Tiling::Optimal as u32 { Tiling::Optimal } else { Tiling::Linear }
    }
}

/// A free range and the tilings of the parts that it lies between. Bytes from the block's begin.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Where it begins, which is where the part before ends.
    pub begin: u64,
    /// Where it ends, which is where the part after begins.
    pub end: u64,
    /// The tiling of the part before, unless the block begins there.
    pub before: Option<Tiling>,
    /// The tiling of the part after, unless the block ends there.
    pub after: Option<Tiling>,
}

impl Gap {
    /// Returns how many bytes lie in it.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.end - self.begin
    }
}

impl From<&Candidate<'_>> for Gap {
    fn from(candidate: &Candidate<'_>) -> Self {
        let tiling = |tag: Option<u32>| tag.map(|bits| Tag::from_bits(bits).tiling());
        Self {
            begin: candidate.start(),
            end: candidate.end(),
            before: tiling(candidate.tag_before()),
            after: tiling(candidate.tag_after()),
        }
    }
}

/// The rule for a part: aligned, and in no page with a part of the other tiling.
///
/// With a granularity of 1 it gives what the plain alignment gives, but looks at the neighbours;
/// use [`Aligned`](polder_core::space::Aligned) there.
#[derive(Clone, Copy, Debug)]
pub struct Apart {
    /// What the offset is a multiple of: a power of two.
    pub align: u64,
    /// The part's own tiling.
    pub tiling: Tiling,
    /// The size of a page, in bytes: a power of two.
    pub granularity: u64,
}

impl Apart {
    /// Returns the lowest place in `gap` for `size`.
    #[must_use]
    pub fn lowest_in(&self, gap: &Gap, size: u64) -> Option<u64> {
        let offset = round_up(self.begin(gap)?, self.align)?;
        (offset.checked_add(size)? <= self.end(gap)).then_some(offset)
    }

    /// Returns the highest place in `gap` for `size`.
    #[must_use]
    pub fn highest_in(&self, gap: &Gap, size: u64) -> Option<u64> {
        let offset = round_down(self.end(gap).checked_sub(size)?, self.align);
        (offset >= self.begin(gap)?).then_some(offset)
    }

    /// Where the first byte may lie, as far as the part before the gap is concerned.
    fn begin(&self, gap: &Gap) -> Option<u64> {
        if self.differs(gap.before) {
            round_up(gap.begin, self.granularity)
        } else {
            Some(gap.begin)
        }
    }

    /// Where the bytes end at the latest, as far as the part after the gap is concerned.
    fn end(&self, gap: &Gap) -> u64 {
        if self.differs(gap.after) { round_down(gap.end, self.granularity) } else { gap.end }
    }

    fn differs(&self, neighbour: Option<Tiling>) -> bool {
        neighbour.is_some_and(|tiling| tiling != self.tiling)
    }
}

impl Fit for Apart {
    fn slack(&self) -> u64 {
        (self.align.max(self.granularity) - 1).saturating_add(self.granularity - 1)
    }

    #[inline]
    fn lowest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64> {
        self.lowest_in(&candidate.into(), size)
    }

    fn highest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64> {
        self.highest_in(&candidate.into(), size)
    }
}

/// Returns the first multiple of `align`, a power of two, from `offset` upwards; nothing when it
/// is past the last number.
#[must_use]
pub fn round_up(offset: u64, align: u64) -> Option<u64> {
    Some(round_down(offset.checked_add(align - 1)?, align))
}

/// Returns the last multiple of `align`, a power of two, that is not above `offset`.
#[must_use]
pub const fn round_down(offset: u64, align: u64) -> u64 {
    offset & !(align - 1)
}

/// Tells whether no page holds bytes of both tilings; the parts come in the order of offsets.
/// For the divisions' own checks.
pub(super) fn is_kept(parts: impl Iterator<Item = (Range<u64>, Tiling)>, granularity: u64) -> bool {
    // The last page and the tiling of the part before.
    let mut last: Option<(u64, Tiling)> = None;
    for (range, tiling) in parts {
        let begin = range.start / granularity;
        if last.is_some_and(|(page, before)| before != tiling && page == begin) {
            return false;
        }
        last = Some(((range.end - 1) / granularity, tiling));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Apart, Gap, SLOTS_MAX, Tag};
    use crate::device::Tiling;

    const TILINGS: [Tiling; 2] = [Tiling::Linear, Tiling::Optimal];

    #[test]
    fn a_tag_carries_the_slot_and_the_tiling() {
        for slot in [0, 1, 77, SLOTS_MAX - 1] {
            for tiling in TILINGS {
                let tag = Tag::from_bits(Tag::new(slot, tiling).bits());
                assert_eq!((tag.slot(), tag.tiling()), (slot, tiling));
            }
        }
    }

    /// Whether a part at `offset` in the gap breaks no rule; byte by byte.
    fn is_right(rule: &Apart, gap: &Gap, offset: u64, size: u64) -> bool {
        let pages = |from: u64, to: u64| from / rule.granularity..=(to - 1) / rule.granularity;
        let apart = |neighbour: Option<Tiling>, page: u64| {
            neighbour.is_none_or(|tiling| tiling == rule.tiling)
                || !pages(offset, offset + size).contains(&page)
        };
        offset.is_multiple_of(rule.align)
            && (gap.begin..=gap.end).contains(&offset)
            && offset + size <= gap.end
            && (gap.begin == 0 || apart(gap.before, (gap.begin - 1) / rule.granularity))
            && apart(gap.after, gap.end / rule.granularity)
    }

    fn every_gap(visit: impl Fn(Gap)) {
        let neighbours = [None, Some(Tiling::Linear), Some(Tiling::Optimal)];
        for begin in 0..20 {
            for end in begin + 1..28 {
                for before in neighbours.into_iter().filter(|before| begin > 0 || before.is_none())
                {
                    neighbours
                        .into_iter()
                        .for_each(|after| visit(Gap { begin, end, before, after }));
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "exhaustive arithmetic without unsafe")]
    fn the_lowest_and_the_highest_place_are_those_of_a_search_byte_by_byte() {
        for (align, granularity) in [(1, 1), (4, 1), (1, 8), (2, 4), (8, 4), (4, 4)] {
            for tiling in TILINGS {
                let rule = Apart { align, tiling, granularity };
                every_gap(|gap| {
                    for size in [1, 3, 4, 9] {
                        let mut right = (0..28).filter(|&at| is_right(&rule, &gap, at, size));
                        let (first, last) = (right.next(), right.next_back());
                        assert_eq!(rule.lowest_in(&gap, size), first, "{rule:?} {gap:?} {size}");
                        let last = last.or(first);
                        assert_eq!(rule.highest_in(&gap, size), last, "{rule:?} {gap:?} {size}");
                    }
                });
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "exhaustive arithmetic without unsafe")]
    fn a_gap_with_the_slack_always_has_a_place() {
        use polder_core::space::Fit;
        for (align, granularity) in [(1, 1), (4, 1), (1, 8), (2, 4), (8, 4)] {
            let rule = Apart { align, tiling: Tiling::Linear, granularity };
            every_gap(|gap| {
                let size = gap.size().saturating_sub(rule.slack());
                assert!(size == 0 || rule.lowest_in(&gap, size).is_some(), "{rule:?} {gap:?}");
            });
        }
    }

    #[test]
    fn places_past_the_last_number_are_none() {
        let rule = Apart { align: 1 << 63, tiling: Tiling::Linear, granularity: 1 << 62 };
        let gap = Gap { begin: u64::MAX - 9, end: u64::MAX, before: None, after: None };
        assert_eq!(rule.lowest_in(&gap, 1), None);
        assert_eq!(rule.highest_in(&gap, 1), None);
        assert_eq!(rule.highest_in(&gap, u64::MAX), None);
    }
}
