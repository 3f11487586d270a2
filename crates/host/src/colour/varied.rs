//! Slots begin at an offset that follows from the slab's address, so nothing has to remember it.

use crate::size::CHUNK_BITS;

/// The bytes of a cache line.
const LINE: usize = 64;
/// Bytes of a slab that should be left for offsets: eight lines, a thirty-second of the least slab.
pub const SPREAD: usize = 8 * LINE;

/// Returns where the first slot lies in the slab at an address, of whose bytes `left` are in no
/// slot of `size` bytes.
///
/// The offset is a multiple of the largest power of two that divides the size, so the slots are
/// aligned as they would be without it.
pub const fn offset(slab: usize, left: usize, size: usize) -> usize {
    let natural = 1 << size.trailing_zeros();
    let step = if natural > LINE { natural } else { LINE };
    // Slabs of a class often lie side by side, and those of one length several chunks apart: the
    // golden ratio (Knuth, 6.4) spreads both.
    let mixed = (slab as u64 >> CHUNK_BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let count = left as u64 / step as u64 + 1;
    ((mixed * count) >> 32) as usize * step
}

#[cfg(test)]
mod tests {
    use super::offset;
    use crate::size::{CHUNK, Class};

    #[test]
    fn slots_stay_in_their_slab_and_keep_their_alignment() {
        for class in Class::all() {
            let shape = class.shape();
            let (size, bytes) = (shape.size as usize, shape.chunks as usize * CHUNK);
            for slab in 1..1000 {
                let first = shape.first_slot(slab * CHUNK);
                assert!(first + shape.slots as usize * size <= bytes);
                assert_eq!(first % 64, 0);
                assert_eq!(first % (1 << size.trailing_zeros()), 0);
            }
        }
    }

    #[test]
    fn neighbours_differ() {
        for step in 1..4 {
            let offsets = (0..64).map(|slab| offset(slab * step * CHUNK, 512, 16));
            let mut counts = [0; 9];
            offsets.for_each(|offset| counts[offset / 64] += 1);
            assert!(counts.iter().all(|&count| (1..=20).contains(&count)), "{counts:?}");
        }
    }
}
