//! Like `rptest`: each thread allocates and frees in batches whose sizes fall off linearly, keeps a
//! part from round to round, and frees what the other threads have left for it.

use super::{SEED, THREADS, in_threads};
use crate::block::Block;
use crate::random::Random;
use std::sync::Mutex;

const ROUNDS: u64 = 20;
const BATCH: usize = 1_000;
const LIVE: usize = 20_000;
const SIZE_END: u64 = 16_000;
/// Every so many blocks one goes to the other thread, unless so many wait for it already.
const GIVEN_EVERY: usize = 5;
const WAITING_MAX: usize = 2_000;

/// Runs it.
pub fn run(times: u64) {
    let mail: Vec<_> = (0..THREADS).map(|_| Mutex::new(Vec::new())).collect();
    in_threads(|thread| {
        let mut random = Random::new(SEED + thread);
        let mut live = Vec::new();
        let other = &mail[((thread + 1) % THREADS) as usize];
        for _ in 0..times * ROUNDS {
            let mut given = Vec::new();
            for number in 0..BATCH {
                let to = if number % GIVEN_EVERY == 0 { &mut given } else { &mut live };
                let mut block = Block::new(size(&mut random));
                block.touch();
                to.push(block);
            }
            while live.len() > LIVE {
                random.take(&mut live);
            }
            let mut other = other.lock().expect("no thread panics");
            if other.len() < WAITING_MAX {
                other.append(&mut given);
            }
            drop(other);
            let mut own = mail[thread as usize].lock().expect("no thread panics");
            drop(std::mem::take(&mut *own));
        }
    });
}

/// The smaller of two even numbers: small sizes are more frequent, linearly.
fn size(random: &mut Random) -> usize {
    16 + random.below(SIZE_END).min(random.below(SIZE_END)) as usize
}
