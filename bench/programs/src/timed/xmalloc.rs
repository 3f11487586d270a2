//! Like `xmalloc-test`: one thread allocates, another frees, batch for batch.

use crate::block::Block;
use std::sync::mpsc::sync_channel;
use std::thread;

const BATCH: usize = 4_096;
/// How many batches may wait.
const WAITING: usize = 8;
const SIZE: usize = 64;

/// Runs it.
pub fn run(times: u64) {
    let (full, to_free) = sync_channel::<Vec<Block>>(WAITING);
    thread::scope(|scope| {
        scope.spawn(move || to_free.into_iter().for_each(drop));
        for _ in 0..times {
            let mut batch: Vec<_> = (0..BATCH).map(|_| Block::new(SIZE)).collect();
            batch.iter_mut().for_each(Block::touch);
            full.send(batch).expect("the other thread lives until this one is done");
        }
        drop(full);
    });
}
