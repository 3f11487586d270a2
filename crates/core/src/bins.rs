//! Sizes to small integers and back: the arithmetic of every size class and every free list.
//!
//! A bin is a size rounded to a few significant bits, the way a floating-point number keeps a
//! mantissa: `MANTISSA` bits after the leading one. Each doubling of the size so holds
//! `2^MANTISSA` bins of equal width, and the rounding error stays below one part in
//! `2^MANTISSA`. Sizes below `2^MANTISSA` have a bin of their own.
//! (The scheme of the two-level segregated fit: Masmano, Ripoll, Crespo and Real, "TLSF: a new
//! dynamic memory allocator for real-time systems", ECRTS 2004.)
//!
//! # Invariants
//!
//! 1. `floor` and `ceil` are monotonic.
//! 2. `floor(least(bin)) == bin == ceil(least(bin))` for every bin.
//! 3. Every size in `floor(size)` is at least `least(floor(size))`; every member of a bin from
//!    `ceil(size)` upwards holds `size`.

/// The bins with `MANTISSA` bits of precision. A namespace: it has no values.
pub enum Bins<const MANTISSA: u32> {}

impl<const MANTISSA: u32> Bins<MANTISSA> {
    /// How many bins a doubling of the size has.
    pub const PER_DOUBLING: u32 = 1 << MANTISSA;

    /// How many bins cover every `u64`.
    pub const COUNT: u32 = Self::floor(u64::MAX) + 1;

    /// Returns the bin that contains `size`: it holds sizes from `least(bin)` up to the next bin's.
    #[inline]
    #[must_use]
    pub const fn floor(size: u64) -> u32 {
        if size < Self::PER_DOUBLING as u64 {
            return size as u32;
        }
        let shift = size.ilog2() - MANTISSA;
        (shift + 1) << MANTISSA | (size >> shift) as u32 & (Self::PER_DOUBLING - 1)
    }

    /// Returns the first bin whose members all hold `size`. May be [`COUNT`](Self::COUNT) for
    /// sizes near `u64::MAX`, which no region reaches.
    #[inline]
    #[must_use]
    pub const fn ceil(size: u64) -> u32 {
        if size == 0 { 0 } else { Self::floor(size - 1) + 1 }
    }

    /// Returns the least size in `bin`, in bytes.
    ///
    /// # Panics
    ///
    /// In debug builds, when `bin` is not below [`COUNT`](Self::COUNT).
    #[inline]
    #[must_use]
    pub const fn least(bin: u32) -> u64 {
        debug_assert!(bin < Self::COUNT, "a bin is below COUNT");
        if bin < Self::PER_DOUBLING {
            return bin as u64;
        }
        let shift = (bin >> MANTISSA) - 1;
        ((Self::PER_DOUBLING | bin & (Self::PER_DOUBLING - 1)) as u64) << shift
    }
}

#[cfg(test)]
mod tests {
    use super::Bins;
    use proptest::prelude::*;

    fn every_bin_begins_with_its_least_size<const M: u32>() {
        for bin in 0..Bins::<M>::COUNT {
            let least = Bins::<M>::least(bin);
            assert_eq!(Bins::<M>::floor(least), bin);
            assert_eq!(Bins::<M>::ceil(least), bin);
            if least > 0 {
                assert_eq!(
                    Bins::<M>::floor(least - 1),
                    bin - 1,
                    "the size before is in the bin before"
                );
            }
        }
        assert_eq!(Bins::<M>::floor(u64::MAX), Bins::<M>::COUNT - 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "exhaustive arithmetic without unsafe")]
    fn bins_tile_the_sizes_at_every_precision() {
        every_bin_begins_with_its_least_size::<0>();
        every_bin_begins_with_its_least_size::<2>();
        every_bin_begins_with_its_least_size::<3>();
        every_bin_begins_with_its_least_size::<4>();
        every_bin_begins_with_its_least_size::<5>();
    }

    proptest! {
        #[test]
        fn rounding_up_holds_the_size_and_wastes_less_than_a_step(size in 1..u64::MAX / 2) {
            let bin = Bins::<3>::ceil(size);
            let least = Bins::<3>::least(bin);
            prop_assert!(least >= size);
            prop_assert!(least - size <= size / 8);
        }
    }
}
