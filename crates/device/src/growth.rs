//! How large the next block is: small at first, then in proportion to what is held.
//!
//! A program that needs little holds little; one that needs much takes few blocks. Each block is
//! a fixed share of what the arena holds already, so what lies idle in the last block stays a
//! bounded share of the whole.

use core::ops::RangeInclusive;

/// Sizes of blocks, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The first block. A power of two.
    pub size_least: u64,
    /// No block that is shared is larger. A power of two.
    pub size_most: u64,
}

/// The first block of every arena.
const SIZE_LEAST: u64 = 1 << 20;
/// The largest shared block in a heap that is not small.
const SIZE_MOST: u64 = 256 << 20;
/// A shared block takes at most this part of a small heap.
const HEAP_SHARE: u64 = 8;
/// The next block is this part of what is held.
const HELD_SHARE: u64 = 8;
/// A block holds this many requests of the size that made it, if it may.
const REQUESTS_PER_BLOCK: u64 = 4;
/// A request of this part of the largest block gets a block of its own.
const DEDICATED_SHARE: u64 = 8;

impl Growth {
    /// The sizes for a heap of `heap_size` bytes.
    #[must_use]
    pub const fn of_heap(heap_size: u64) -> Self {
        let share = heap_size / HEAP_SHARE;
        let share = if share == 0 { 1 } else { 1 << share.ilog2() };
        let size_most = if share < SIZE_MOST { share } else { SIZE_MOST };
        let size_least = if size_most < SIZE_LEAST { size_most } else { SIZE_LEAST };
        Self { size_least, size_most }
    }

    /// Returns the size of the next shared block for an arena that holds `held` bytes and has a
    /// request of `size`.
    #[must_use]
    pub fn next(&self, held: u64, size: u64) -> u64 {
        let share = (held / HELD_SHARE).max(size.saturating_mul(REQUESTS_PER_BLOCK));
        let rounded = share.checked_next_power_of_two().unwrap_or(self.size_most);
        rounded.clamp(self.size_least, self.size_most)
    }

    /// Returns the sizes to try one after the other when memory is short: `first`, and halves of
    /// it down to `least`, which comes last.
    pub fn sizes(first: u64, least: u64) -> impl Iterator<Item = u64> {
        let range: RangeInclusive<u64> = least..=first.max(least);
        let halves = core::iter::successors(Some(*range.end()), |size| Some(size / 2))
            .take_while(move |&size| size > least);
        halves.chain(core::iter::once(least))
    }

    /// Tells whether a request is so large that it gets a block of its own.
    #[must_use]
    pub const fn is_large(&self, size: u64) -> bool {
        size > self.size_most / DEDICATED_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::Growth;

    #[test]
    fn blocks_begin_small_and_grow_with_what_is_held() {
        let growth = Growth::of_heap(24 << 30);
        assert_eq!(growth.next(0, 512), 1 << 20);
        assert_eq!(growth.next(0, 1 << 20), 4 << 20);
        assert_eq!(growth.next(1 << 30, 512), 128 << 20);
        assert_eq!(growth.next(100 << 30, 512), 256 << 20);
    }

    #[test]
    fn a_small_heap_has_small_blocks() {
        assert_eq!(Growth::of_heap(256 << 20).size_most, 32 << 20);
        assert_eq!(Growth::of_heap(1), Growth { size_least: 1, size_most: 1 });
    }

    #[test]
    fn when_memory_is_short_sizes_halve_down_to_the_least() {
        let sizes = |first, least| Growth::sizes(first, least).collect::<Vec<_>>();
        assert_eq!(sizes(64, 10), [64, 32, 16, 10]);
        assert_eq!(sizes(64, 64), [64]);
        assert_eq!(sizes(4, 10), [10]);
    }
}
