//! Threads that live shortly: those that do next to nothing, and those that fill memory which
//! another thread frees when they are gone.

use super::{SEED, THREADS};
use crate::bare::in_thread;
use crate::block::Block;
use crate::random::Random;
use crate::sizes;
use std::thread;

const SMALL: usize = 64;
const FEW: usize = 20;
const MANY: usize = 10_000;

/// One thread after another allocates a few blocks and ends.
pub fn churn(times: u64) {
    for _ in 0..times {
        in_thread(|| drop((0..FEW).map(|_| Block::new(SMALL)).collect::<Vec<_>>()));
    }
}

/// Threads allocate many blocks, free half of them and end; the rest is freed after that.
pub fn mleak(times: u64) {
    for round in 0..times {
        let spawn = |thread| thread::spawn(move || half_freed(SEED + THREADS * round + thread));
        let running: Vec<_> = (0..THREADS).map(spawn).collect();
        let left = running.into_iter().map(|ended| ended.join().expect("no thread panics"));
        drop(left.collect::<Vec<_>>());
    }
}

fn half_freed(seed: u64) -> Vec<Block> {
    let mut random = Random::new(seed);
    let mut filled = || {
        let mut block = Block::new(sizes::doublings(&mut random, 16, 8 << 10));
        block.touch();
        block
    };
    let mut all: Vec<_> = (0..MANY).map(|_| filled()).collect();
    let mut is_kept = false;
    all.retain(|_| {
        is_kept = !is_kept;
        is_kept
    });
    all
}
