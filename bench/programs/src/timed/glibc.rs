//! Like the benchmarks of the GNU C library: blocks of one size in simple orders, and threads that
//! replace random ones.

use super::{SEED, in_threads};
use crate::block::Block;
use crate::random::Random;

const SIZES: [usize; 7] = [16, 32, 64, 128, 256, 512, 1024];
const COUNTS: [usize; 3] = [25, 100, 400];
const ROUNDS: usize = 10;
const LIVE: usize = 1_024;
/// The largest size of the threads, and the power by which small ones are more frequent.
const SIZE_MAX: u64 = 32_768;

/// Allocates many of a size and frees them, in the same order and in the opposite one.
pub fn simple(times: u64) {
    let mut live = Vec::with_capacity(COUNTS[COUNTS.len() - 1]);
    for _ in 0..times {
        for size in SIZES {
            for count in COUNTS {
                for _ in 0..ROUNDS {
                    live.extend((0..count).map(|_| Block::new(size)));
                    live.clear();
                    live.extend((0..count).map(|_| Block::new(size)));
                    while live.pop().is_some() {}
                }
            }
        }
    }
}

/// Replaces random blocks; small ones are more frequent.
pub fn threads(times: u64) {
    in_threads(|thread| {
        let mut random = Random::new(SEED + thread);
        let mut live: Vec<_> = (0..LIVE).map(|_| Block::new(size(&mut random))).collect();
        for _ in 0..times {
            for _ in 0..LIVE {
                let place = random.below(LIVE as u64) as usize;
                live[place] = Block::new(size(&mut random));
                live[place].touch();
            }
        }
    });
}

/// As many of up to a size as of the sizes from there to its double and more: the reciprocal of an
/// even number.
fn size(random: &mut Random) -> usize {
    (SIZE_MAX / (1 + random.below(SIZE_MAX / 4))).max(4) as usize
}
