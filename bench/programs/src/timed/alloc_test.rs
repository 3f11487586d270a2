//! Like `alloc-test`: a random place of a large table is filled or emptied, and what is in it is
//! read and written; sizes fall off as steeply as they grow.

use super::{SEED, in_threads};
use crate::block::Block;
use crate::random::Random;

const PLACES: usize = 1 << 16;
const STEPS: usize = 1_000_000;
/// The largest size is about two to this power, and of each size twice as large there are half as
/// many.
const EXPONENT_MAX: u64 = 13;

/// Runs it.
pub fn run(times: u64) {
    in_threads(|thread| {
        let mut random = Random::new(SEED + thread);
        let mut table: Vec<Option<Block>> = (0..PLACES).map(|_| None).collect();
        for _ in 0..times * STEPS as u64 {
            let place = &mut table[random.below(PLACES as u64) as usize];
            match place.take() {
                Some(mut block) => block.touch(),
                None => place.insert(Block::new(size(&mut random))).fill(1),
            }
        }
    });
}

fn size(random: &mut Random) -> usize {
    let exponent = u64::from(random.next().leading_zeros()).min(EXPONENT_MAX - 3) + 3;
    1 + random.below(1 << exponent) as usize
}
