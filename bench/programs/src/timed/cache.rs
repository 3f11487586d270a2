//! Like `cache-scratch` and `cache-thrash`: threads that write small blocks of their own again and
//! again. Time is lost when an allocator has put blocks of two threads into one cache line, of
//! itself or because a thread freed what another had allocated beside its own.

use super::{THREADS, in_threads};
use crate::block::Block;
use std::sync::Mutex;

const SIZE: usize = 8;
const WRITES: u64 = 1_000;
const ROUNDS: u64 = 1_000;

/// Who allocates the first block of each thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The main thread, those of all threads one after another.
    Main,
    /// The thread itself.
    Thread,
}

/// Runs it.
pub fn run(times: u64, origin: Origin) {
    let first: Vec<_> = (0..THREADS).map(|_| Block::new(SIZE)).collect();
    let given = Mutex::new(if origin == Origin::Main { first } else { Vec::new() });
    in_threads(|_| {
        let first = given.lock().expect("no thread panics").pop();
        if let Some(mut block) = first {
            block.work(WRITES);
        }
        for _ in 0..times * ROUNDS {
            Block::new(SIZE).work(WRITES);
        }
    });
}
