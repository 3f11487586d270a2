//! Like `larson`, a server: a thread replaces random blocks of a table for a while, then hands the
//! table to a new thread and ends, so that blocks are freed by threads that did not allocate them.

use super::{SEED, THREADS};
use crate::block::Block;
use crate::random::Random;
use crate::sizes;
use std::thread::{self, JoinHandle};

const LIVE: usize = 5_000;
const STEPS: usize = 50_000;
const SIZE_END: usize = 1_000;

/// Runs it.
pub fn run(times: u64) {
    let tables: Vec<_> = (0..THREADS).map(|thread| Table::new(SEED + thread)).collect();
    let mut running: Vec<_> = tables.into_iter().map(spawn).collect();
    for _ in 1..times {
        let next = |ended: JoinHandle<Table>| spawn(ended.join().expect("no thread panics"));
        running = running.into_iter().map(next).collect();
        // Each goes on with what another one has left.
        running.rotate_left(1);
    }
    running.into_iter().for_each(|last| drop(last.join()));
}

fn spawn(mut table: Table) -> JoinHandle<Table> {
    thread::spawn(move || {
        table.replace();
        table
    })
}

struct Table {
    random: Random,
    live: Vec<Block>,
}

impl Table {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let live = (0..LIVE).map(|_| Block::new(sizes::even(&mut random, 8, SIZE_END)));
        Self { live: live.collect(), random }
    }

    fn replace(&mut self) {
        for _ in 0..STEPS {
            let place = self.random.below(LIVE as u64) as usize;
            self.live[place] = Block::new(sizes::even(&mut self.random, 8, SIZE_END));
            self.live[place].touch();
        }
    }
}
