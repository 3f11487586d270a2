//! One block comes and another goes while a thousand live.

use crate::block::Block;
use crate::random::Random;
use crate::sizes;

const LIVE: usize = 1_000;
const SEED: u64 = 0x5eed;
const SIZE: usize = 128;
const FRESH_SIZE: usize = 1 << 20;
/// Sizes are drawn before the loop, from this many: drawing costs as much as allocating.
const DRAWN: usize = 1 << 12;

/// Frees the oldest, allocates the newest.
pub fn fifo(times: u64) {
    let mut live: Vec<_> = (0..LIVE).map(|_| Block::new(SIZE)).collect();
    for _ in 0..times / LIVE as u64 {
        live.iter_mut().for_each(|oldest| *oldest = Block::new(SIZE));
    }
}

/// Allocates a thousand, frees them in the opposite order.
pub fn lifo(times: u64) {
    let mut live = Vec::with_capacity(LIVE);
    for _ in 0..times / LIVE as u64 {
        live.extend((0..LIVE).map(|_| Block::new(SIZE)));
        while live.pop().is_some() {}
    }
}

/// Allocates zeroes in pages that nobody has had before, and keeps them to the end.
pub fn fresh(times: u64) {
    drop((0..times).map(|_| Block::zeroed(FRESH_SIZE)).collect::<Vec<_>>());
}

/// Replaces any by one of another size, 16 B to 1 KiB.
pub fn churn(times: u64) {
    let mut random = Random::new(SEED);
    let mut draw =
        || (random.below(LIVE as u64) as usize, sizes::doublings(&mut random, 16, 1 << 10));
    let drawn: Vec<_> = (0..DRAWN).map(|_| draw()).collect();
    let mut live: Vec<_> = (0..LIVE).map(|at| Block::new(drawn[at].1)).collect();
    for _ in 0..times / DRAWN as u64 {
        for &(place, size) in &drawn {
            live[place] = Block::new(size);
        }
    }
}

/// Replaces the oldest by one as large as strings are.
pub fn strings(times: u64) {
    let mut random = Random::new(SEED);
    let drawn: Vec<_> = (0..DRAWN).map(|_| sizes::text(&mut random)).collect();
    let mut live: Vec<_> = drawn[..LIVE].iter().map(|&size| Block::new(size)).collect();
    for round in 0..times as usize / LIVE {
        let drawn = &drawn[round % (DRAWN - LIVE)..];
        live.iter_mut().zip(drawn).for_each(|(oldest, &size)| *oldest = Block::new(size));
    }
}
