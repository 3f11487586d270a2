//! How large the next block is: small at first, then in proportion to what is held.
//!
//! A program that needs little holds little. Each block is a small share of what is held of its
//! memory type already, so what lies idle in the last block is a small share of the whole, and
//! the number of blocks grows with the logarithm of what is held: some 300 at 1 GiB and 600 at
//! 24 GiB, and one more for each request that is large beside what is held. When the device's count
//! of blocks runs short they are as large as may be. Who wants fewer sets a larger first block.

use core::ops::RangeInclusive;

/// Sizes of blocks, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The first block. A power of two.
    pub size_least: u64,
    /// No block that is shared is larger, unless one request needs more. A power of two.
    pub size_most: u64,
}

/// The first block of every arena.
const SIZE_LEAST: u64 = 1 << 20;
/// A block of this size is taken whatever is held.
const SIZE_SMALL: u64 = 4 << 20;
/// The largest shared block in a heap that is not small.
const SIZE_MOST: u64 = 256 << 20;
/// A shared block takes at most this part of a small heap, unless one request needs more.
const HEAP_SHARE: u64 = 8;
/// The next block is at most this part of what is held.
const HELD_SHARE: u64 = 64;
/// A block that is shared has room for so many requests of the size that made it.
const REQUESTS_PER_BLOCK: u64 = 4;

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

    /// Returns the size of the next shared block when `held` bytes of its memory type
    /// are held.
    #[must_use]
    pub fn next(&self, held: u64) -> u64 {
        let share = held / HELD_SHARE;
        let rounded = if share == 0 { 0 } else { 1 << share.ilog2() };
        rounded.min(self.size_most).max(self.size_least)
    }

    /// Returns the size of the next shared block that suits a request of `size`, or nothing when
    /// it is so large beside what is held that its block begins with it alone. As blocks grow with
    /// what is held, so does what is large.
    #[must_use]
    pub fn for_request(&self, held: u64, size: u64) -> Option<u64> {
        let next = self.next(held);
        let wanted = size.checked_mul(REQUESTS_PER_BLOCK)?.checked_next_power_of_two()?;
        let most = next.max(SIZE_SMALL.min(self.size_most));
        (wanted <= most).then_some(wanted.max(next))
    }

    /// Tells whether a request is so large that it gets a block of its own, of which the driver is
    /// told.
    #[must_use]
    pub const fn is_large(&self, size: u64) -> bool {
        size > self.size_most / 2
    }

    /// Returns the sizes to try one after the other when memory is short: `first`, and halves of
    /// it down to `least`, which comes last.
    pub fn sizes(first: u64, least: u64) -> impl Iterator<Item = u64> {
        let range: RangeInclusive<u64> = least..=first.max(least);
        let halves = core::iter::successors(Some(*range.end()), |size| Some(size / 2))
            .take_while(move |&size| size > least);
        halves.chain(core::iter::once(least))
    }
}

#[cfg(test)]
mod tests {
    use super::Growth;

    const MIB: u64 = 1 << 20;

    #[test]
    fn blocks_begin_small_and_grow_with_what_is_held() {
        let growth = Growth::of_heap(24 << 30);
        assert_eq!(growth.next(0), MIB);
        assert_eq!(growth.next(200 * MIB), 2 * MIB);
        assert_eq!(growth.next(1 << 30), 16 * MIB);
        assert_eq!(growth.next(100 << 30), 256 * MIB);
    }

    #[test]
    fn a_request_gets_a_block_with_room_for_more_or_one_of_its_own() {
        let growth = Growth::of_heap(24 << 30);
        assert_eq!(growth.for_request(0, 512), Some(MIB));
        assert_eq!(growth.for_request(0, MIB), Some(4 * MIB));
        assert_eq!(growth.for_request(0, MIB + 1), None);
        assert_eq!(growth.for_request(1 << 30, 4 * MIB), Some(16 * MIB));
        assert_eq!(growth.for_request(1 << 30, 5 * MIB), None);
        assert_eq!(growth.for_request(0, u64::MAX), None);
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
