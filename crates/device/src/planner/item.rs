//! What a plan is made of inside: resources as rectangles of moments and bytes.
//!
//! The planner sees a resource as an [`Item`], a rectangle whose place in time is given and whose
//! offset is wanted. A [`Layout`] holds items that have an offset, in the order of their offsets,
//! and finds gaps: free rectangles over all of an item's life.
//!
//! # Invariants
//!
//! 1. The places of a layout are sorted by where they begin.
//! 2. No two places whose lives overlap share bytes.

use super::Life;
use crate::division::granularity::round_up;

/// A resource whose offset is wanted. Bytes.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub size: u64,
    /// A power of two.
    pub align: u64,
    pub life: Life,
}

impl Item {
    /// The first offset from `offset` on that it can have. Offsets stay below the sum of all sizes
    /// and alignments, which the planner has checked to be a number.
    pub fn aligned(&self, offset: u64) -> u64 {
        round_up(offset, self.align).expect("the planner refuses sets that are too large")
    }

    /// How hard it is to place: the root of its area. (Its area itself would let one long item
    /// outweigh hundreds; the root was best on random sets.)
    pub fn weight(&self) -> f64 {
        (self.size as f64 * self.life.len() as f64).sqrt()
    }
}

/// An item with an offset.
#[derive(Clone, Copy, Debug, Default)]
pub struct Placed {
    pub begin: u64,
    pub end: u64,
    pub life: Life,
    /// Its number among the items.
    pub index: u32,
}

/// Items that have an offset.
#[derive(Clone, Debug, Default)]
pub struct Layout(Vec<Placed>);

impl Layout {
    /// How many items have an offset: what a search in the layout looks at.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The places in the order of their offsets.
    pub fn places(&self) -> &[Placed] {
        &self.0
    }

    /// The end of the highest place.
    pub fn height(&self) -> u64 {
        self.0.iter().map(|placed| placed.end).max().unwrap_or(0)
    }

    /// Collects the places whose lives overlap this one, in the order of their offsets.
    pub fn beside<'a>(&self, life: Life, found: &'a mut Vec<Placed>) -> &'a [Placed] {
        found.clear();
        found.resize(self.0.len(), Placed::default());
        let mut count = 0;
        // Whether the next place is one of them is hard to foretell: a copy too many is cheaper
        // than a branch.
        for placed in &self.0 {
            found[count] = *placed;
            count += usize::from(placed.life.overlaps(life));
        }
        &found[..count]
    }

    /// Gives an item an offset; it is free over the item's life.
    pub fn insert(&mut self, index: u32, item: &Item, begin: u64) {
        let placed = Placed { begin, end: begin + item.size, life: item.life, index };
        let position = self.0.partition_point(|other| other.begin <= begin);
        self.0.insert(position, placed);
    }

    /// Takes an item's place away.
    pub fn remove(&mut self, placed: &Placed) {
        let mut position = self.0.partition_point(|other| other.begin < placed.begin);
        while self.0[position].index != placed.index {
            position += 1;
        }
        self.0.remove(position);
    }

    /// Takes away all that ends above `height` and returns which items those were.
    pub fn cut(&mut self, height: u64) -> Vec<u32> {
        let above: Vec<_> = self.0.extract_if(.., |placed| placed.end > height).collect();
        above.into_iter().map(|placed| placed.index).collect()
    }

    /// The lowest offset that is free over the item's life.
    pub fn lowest(&self, item: &Item) -> u64 {
        let mut end = 0;
        for placed in self.0.iter().filter(|placed| placed.life.overlaps(item.life)) {
            if end + item.size <= placed.begin && item.aligned(end) + item.size <= placed.begin {
                break;
            }
            end = end.max(placed.end);
        }
        item.aligned(end)
    }
}

/// The offset in the gap below `height` that the item fills most closely, among all places beside
/// it.
pub fn closest(item: &Item, beside: &[Placed], height: u64) -> Option<u64> {
    let (mut end, mut left, mut found) = (0, u64::MAX, None);
    let mut look = |gap_begin: u64, gap_end: u64| {
        if gap_begin + item.size > gap_end || gap_end - gap_begin - item.size >= left {
            return;
        }
        let begin = item.aligned(gap_begin);
        if begin + item.size <= gap_end {
            left = gap_end - gap_begin - item.size;
            found = Some(begin);
        }
    };
    for placed in beside {
        look(end, placed.begin.min(height));
        end = end.max(placed.end);
    }
    look(end, height);
    found
}
