//! Two threads: one that allocates for the other, and both for themselves.

use crate::Pattern;
use crate::random::Random;
use crate::sizes;
use std::sync::mpsc::sync_channel;
use std::thread;

/// These patterns.
pub const PATTERNS: &[Pattern] = &[
    Pattern::new("other thread frees, 64 B", other_frees::<64>),
    Pattern::new("other thread frees, 1 KiB", other_frees::<1024>),
    Pattern::new("two threads, churn", |times| both(times, churn)),
    Pattern::new("two threads, strings", |times| both(times, strings)),
];

const BATCH: u64 = 1_000;
const WAITING: usize = 4;
const LIVE: usize = 1_000;

fn other_frees<const SIZE: usize>(times: u64) {
    let (full, to_free) = sync_channel::<Vec<Box<[u8; SIZE]>>>(WAITING);
    thread::scope(|scope| {
        scope.spawn(move || to_free.into_iter().for_each(drop));
        for _ in 0..times.div_ceil(BATCH) {
            let batch = (0..BATCH).map(|number| Box::new([number as u8; SIZE])).collect();
            full.send(batch).expect("the other thread lives until this one is done");
        }
        drop(full);
    });
}

fn both(times: u64, work: fn(u64, u64)) {
    thread::scope(|scope| {
        scope.spawn(move || work(times / 2, 1));
        work(times / 2, 2);
    });
}

fn churn(times: u64, seed: u64) {
    let mut random = Random::new(seed);
    let mut live: Vec<Vec<u8>> = vec![Vec::new(); LIVE];
    for _ in 0..times {
        let size = sizes::doublings(&mut random, 16, 1 << 10);
        live[random.below(LIVE as u64) as usize] = Vec::with_capacity(size);
    }
}

fn strings(times: u64, seed: u64) {
    let mut random = Random::new(seed);
    let mut live = vec![String::new(); LIVE];
    for number in 0..times {
        live[random.below(LIVE as u64) as usize] = format!("number {number} of {times}");
    }
}
