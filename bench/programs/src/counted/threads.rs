//! What two threads do with each other's blocks, and what a thread costs that allocates once.
//!
//! Blocks change hands a thousand at a time: threads that wait asleep execute nothing.

use crate::bare::in_thread;
use crate::block::Block;
use crate::random::Random;
use crate::sizes;
use std::sync::mpsc::sync_channel;
use std::thread;

const BATCH: usize = 1_000;
const SIZE: usize = 64;
const SEED: u64 = 0x5eed;
/// Every so many replacements a thread gives a block to the other.
const GIVEN_EVERY: usize = 8;

/// One thread allocates, another frees.
pub fn remote(times: u64) {
    let (full, to_free) = sync_channel::<Vec<Block>>(1);
    let (empty, to_fill) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for mut batch in to_free {
                batch.clear();
                // The other thread may have ended.
                let _ = empty.send(batch);
            }
        });
        let mut batch = Vec::with_capacity(BATCH);
        for _ in 0..times / BATCH as u64 {
            batch.extend((0..BATCH).map(|_| Block::new(SIZE)));
            full.send(batch).expect("the other thread lives until this one is done");
            batch = to_fill.recv().expect("as above");
        }
        drop(full);
    });
}

/// Two threads replace blocks of their own, and give each eighth to each other.
pub fn mixed(times: u64) {
    let (one, other) = (sync_channel(1), sync_channel(1));
    thread::scope(|scope| {
        scope.spawn(move || replace(times / 2, SEED, &one.0, &other.1));
        replace(times / 2, SEED + 1, &other.0, &one.1);
    });
}

type Sender = std::sync::mpsc::SyncSender<Vec<Block>>;
type Receiver = std::sync::mpsc::Receiver<Vec<Block>>;

fn replace(times: u64, seed: u64, gives: &Sender, takes: &Receiver) {
    let mut random = Random::new(seed);
    let mut draw = || (random.below(BATCH as u64), sizes::doublings(&mut random, 16, 1 << 10));
    let drawn: Vec<_> = (0..BATCH).map(|_| draw()).collect();
    let mut live: Vec<_> = drawn.iter().map(|&(_, size)| Block::new(size)).collect();
    let mut given = Vec::with_capacity(BATCH.div_ceil(GIVEN_EVERY));
    for _ in 0..times / BATCH as u64 {
        for (time, &(place, size)) in drawn.iter().enumerate() {
            let old = std::mem::replace(&mut live[place as usize], Block::new(size));
            if time % GIVEN_EVERY == 0 {
                given.push(old);
            }
        }
        // The other may be done before this one.
        let _ = gives.send(given);
        given = takes.recv().unwrap_or_default();
        given.clear();
    }
}

/// A thread starts, allocates and frees one block, and ends.
pub fn start(times: u64) {
    for _ in 0..times {
        in_thread(|| drop(Block::new(SIZE)));
    }
}
