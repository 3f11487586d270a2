//! Buffers that grow as they are written: by doubling, by steps, and large ones beside each other.

use super::{SEED, in_threads};
use crate::block::Block;
use crate::random::Random;

const BUFFERS: u64 = 2_000;
const DOUBLED_END: usize = 64 << 10;
const STEP: usize = 24;
const STEPS: usize = 100;
const LARGE_STEP: usize = 128 << 10;
const LARGE_STEPS: usize = 64;

/// Runs it.
pub fn run(times: u64) {
    in_threads(|thread| {
        let mut random = Random::new(SEED + thread);
        for _ in 0..times {
            let mut buffers: Vec<_> = (0..BUFFERS / 8).map(|_| Block::new(STEP)).collect();
            for _ in 0..BUFFERS {
                let place = random.below(buffers.len() as u64) as usize;
                buffers[place] = doubled(&mut random);
                stepped();
            }
            large();
        }
    });
}

fn doubled(random: &mut Random) -> Block {
    let end = random.below(DOUBLED_END as u64) as usize;
    let mut block = Block::new(16);
    while block.size() < end {
        block.resize(block.size() * 2);
        block.touch();
    }
    block
}

fn stepped() {
    let mut block = Block::new(STEP);
    for _ in 0..STEPS {
        block.resize(block.size() + STEP);
        block.touch();
    }
}

fn large() {
    let mut pair = [Block::new(LARGE_STEP), Block::new(LARGE_STEP)];
    for _ in 0..LARGE_STEPS {
        for block in &mut pair {
            block.resize(block.size() + LARGE_STEP);
            block.touch();
        }
    }
}
