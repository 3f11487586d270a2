//! Numbers that look random and are the same in every run and for every peer.

/// A generator of 64-bit numbers (Wyrand: one addition and one multiplication each, so that it
/// weighs little beside what is measured).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts the numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    #[inline]
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = self.0 as u128 * (self.0 ^ 0xe703_7ed1_a0b4_28db) as u128;
        (product >> 64) as u64 ^ product as u64
    }

    /// Returns a number below `end`.
    #[inline]
    pub const fn below(&mut self, end: u64) -> u64 {
        ((self.next() as u128 * end as u128) >> 64) as u64
    }

    /// Takes one of the items out; their order is lost.
    #[inline]
    pub fn take<T>(&mut self, items: &mut Vec<T>) -> T {
        let index = self.below(items.len() as u64) as usize;
        items.swap_remove(index)
    }
}
