//! Like `mstress`: threads allocate in bursts, keep some for long, and exchange blocks with each
//! other through a shared table; every few rounds they end and others begin.

use super::{SEED, in_threads};
use crate::block::Block;
use crate::random::Random;
use crate::sizes;
use std::sync::Mutex;

const SHARED: u64 = 1_000;
const STEPS: usize = 25_000;
/// Of a hundred blocks, so many are of a size below 128 B, and so many below 8 KiB.
const SMALL: u64 = 80;
const MEDIUM: u64 = 98;

/// Runs it.
pub fn run(times: u64) {
    let shared: Vec<_> = (0..SHARED).map(|_| Mutex::new(None)).collect();
    for round in 0..times {
        in_threads(|thread| burst(SEED + 2 * round + thread, &shared));
    }
}

fn burst(seed: u64, shared: &[Mutex<Option<Block>>]) {
    let mut random = Random::new(seed);
    let (mut kept, mut short) = (Vec::new(), Vec::new());
    for _ in 0..STEPS {
        match random.below(100) {
            0..25 => kept.push(filled(&mut random)),
            25..65 => short.push(filled(&mut random)),
            65..90 if !short.is_empty() => drop(random.take(&mut short)),
            _ => {
                let place = &shared[random.below(SHARED) as usize];
                let mut place = place.lock().expect("no thread panics");
                let given = place.replace(filled(&mut random));
                drop(place);
                short.extend(given);
            }
        }
        if kept.len() > STEPS / 10 {
            drop(random.take(&mut kept));
        }
    }
}

fn filled(random: &mut Random) -> Block {
    let size = match random.below(100) {
        0..SMALL => sizes::even(random, 8, 128),
        SMALL..MEDIUM => sizes::doublings(random, 128, 8 << 10),
        _ => sizes::doublings(random, 8 << 10, 128 << 10),
    };
    let mut block = Block::new(size);
    block.touch();
    block
}
