//! Like `malloc-large`: a few large blocks live; a random one is replaced and its pages written.

use super::SEED;
use crate::block::Block;
use crate::random::Random;
use crate::sizes;

const LIVE: u64 = 20;
const LEAST: usize = 5 << 20;
const END: usize = 25 << 20;

/// Runs it.
pub fn run(times: u64) {
    let mut random = Random::new(SEED);
    let mut live: Vec<Option<Block>> = (0..LIVE).map(|_| None).collect();
    for _ in 0..times {
        let place = &mut live[random.below(LIVE) as usize];
        // The old one goes first, as a program that is short of memory does.
        *place = None;
        place.insert(Block::new(sizes::even(&mut random, LEAST, END))).touch_pages();
    }
}
