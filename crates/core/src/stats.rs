//! Counters that are cheap to take, and figures that are taken by looking at every region.
//!
//! [`Stats`] are what an allocator keeps anyway and can tell at any time. [`DetailedStats`] are
//! built by whoever walks blocks and regions, one fact at a time. Both add up: those of a heap are
//! the sum of those of its blocks. All sizes are in bytes.
//!
//! # Invariants
//!
//! 1. [`Sizes`] of nothing have no smallest and no largest; of something, the smallest is at most
//!    the largest.

use core::iter::Sum;
use core::ops::{Add, AddAssign};

/// How much there is. Sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stats {
    /// The number of blocks.
    pub blocks: u64,
    /// The bytes in blocks.
    pub held: u64,
    /// The number of allocations.
    pub allocations: u64,
    /// The bytes in allocations.
    pub used: u64,
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.held += other.held;
        self.allocations += other.allocations;
        self.used += other.used;
    }
}

/// Some sizes, in bytes: how many, how much together, the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes {
    count: u64,
    total: u64,
    /// `u64::MAX` when there are none, so that any size is smaller.
    min: u64,
    max: u64,
}

impl Sizes {
    /// No sizes.
    pub const NONE: Self = Self { count: 0, total: 0, min: u64::MAX, max: 0 };

    /// Adds one size in bytes.
    pub fn push(&mut self, size: u64) {
        *self += Self { count: 1, total: size, min: size, max: size };
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the bytes of all together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the bytes of the smallest.
    #[must_use]
    pub const fn min(&self) -> Option<u64> {
        if self.count == 0 { None } else { Some(self.min) }
    }

    /// Returns the bytes of the largest.
    #[must_use]
    pub const fn max(&self) -> Option<u64> {
        if self.count == 0 { None } else { Some(self.max) }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self::NONE
    }
}

impl AddAssign for Sizes {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.total += other.total;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// How much there is, and in what pieces.
///
/// ```
/// use polder_core::stats::DetailedStats;
///
/// let mut stats = DetailedStats::default();
/// stats.blocks.push(1024);
/// stats.allocations.push(256);
/// stats.free_regions.push(768);
/// assert_eq!(stats.free_regions.max(), Some(768));
/// assert_eq!(stats.stats().used, 256);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DetailedStats {
    /// The blocks; their total is what is held.
    pub blocks: Sizes,
    /// The allocations; their total is what is used.
    pub allocations: Sizes,
    /// The free regions in blocks; the largest is what one allocation could still get.
    pub free_regions: Sizes,
}

impl DetailedStats {
    /// Returns the part that [`Stats`] have.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        Stats {
            blocks: self.blocks.count,
            held: self.blocks.total,
            allocations: self.allocations.count,
            used: self.allocations.total,
        }
    }
}

impl AddAssign for DetailedStats {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.allocations += other.allocations;
        self.free_regions += other.free_regions;
    }
}

macro_rules! impl_sum {
    ($($stats:ty)*) => {$(
        impl Add for $stats {
            type Output = Self;

            fn add(mut self, other: Self) -> Self {
                self += other;
                self
            }
        }

        impl Sum for $stats {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::default(), Add::add)
            }
        }
    )*};
}

impl_sum!(Stats Sizes DetailedStats);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{DetailedStats, Sizes, Stats};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn sizes() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec(0u64..1 << 40, 0..10)
    }

    fn of(sizes: &[u64]) -> Sizes {
        let mut all = Sizes::default();
        sizes.iter().for_each(|&size| all.push(size));
        all
    }

    proptest! {
        #[test]
        fn sizes_are_those_of_the_list(list in sizes()) {
            let sizes = of(&list);
            prop_assert_eq!(sizes.count(), list.len() as u64);
            prop_assert_eq!(sizes.total(), list.iter().sum::<u64>());
            prop_assert_eq!(sizes.min(), list.iter().min().copied());
            prop_assert_eq!(sizes.max(), list.iter().max().copied());
        }

        #[test]
        fn a_sum_is_what_all_its_parts_were_fed(parts in proptest::collection::vec(sizes(), 0..5)) {
            let whole = parts.concat();
            let detailed = |list: &[u64]| DetailedStats {
                blocks: of(list),
                allocations: of(list),
                free_regions: of(list),
            };
            let sum: DetailedStats = parts.iter().map(|part| detailed(part)).sum();
            prop_assert_eq!(sum, detailed(&whole));
            let sum: Stats = parts.iter().map(|part| detailed(part).stats()).sum();
            prop_assert_eq!(sum, detailed(&whole).stats());
        }
    }
}
