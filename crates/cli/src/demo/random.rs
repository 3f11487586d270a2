//! Chance that can be repeated, and the bytes that resources are filled with.
//!
//! Both step through the numbers by a fixed odd distance and mix each, which is Steele, Lea and
//! Flood's SplitMix (2014): any place of a resource's bytes is known without those before it.

/// The odd number next to 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers that look like chance.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts stream number `stream` of those that begin with `seed`.
    pub const fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream.wrapping_add(1))))
    }

    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `end`, which is not zero.
    pub const fn below(&mut self, end: u64) -> u64 {
        ((self.number() as u128 * end as u128) >> 64) as u64
    }

    /// A size between the two, each doubling as likely as the next.
    pub fn size(&mut self, least: u64, most: u64) -> u64 {
        let share = self.below(1 << 32) as f64 / (1_u64 << 32) as f64;
        let size = least as f64 * (most as f64 / least as f64).powf(share);
        (size as u64).clamp(least, most)
    }
}

/// Fills `bytes` with those of a seed.
pub fn fill(seed: u64, bytes: &mut [u8]) {
    let (words, rest) = bytes.as_chunks_mut::<8>();
    let word = |index: usize| mix(seed.wrapping_add((index as u64).wrapping_mul(STEP)));
    for (index, bytes) in words.iter_mut().enumerate() {
        *bytes = word(index).to_le_bytes();
    }
    let last = word(words.len()).to_le_bytes();
    rest.copy_from_slice(&last[..rest.len()]);
}

const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_lie_between_their_bounds_and_reach_both_halves() {
        let mut random = Random::new(1, 0);
        let sizes: Vec<_> = (0..1000).map(|_| random.size(100, 10_000)).collect();
        assert!(sizes.iter().all(|size| (100..=10_000).contains(size)));
        let small = sizes.iter().filter(|&&size| size < 1000).count();
        assert!((400..600).contains(&small), "half of them are in the lower half of doublings");
    }

    #[test]
    fn the_same_seed_fills_the_same_bytes_to_any_length() {
        let (mut long, mut short) = ([0; 29], [0; 19]);
        fill(7, &mut long);
        fill(7, &mut short);
        assert_eq!(long[..16], short[..16]);
        fill(8, &mut short);
        assert_ne!(long[..16], short[..16]);
    }
}
