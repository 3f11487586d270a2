//! Like `sh6bench` and `sh8bench`: many small blocks of a size at a time, sizes in turn, freed in
//! parts from one end and the other; in the second, by the other thread as well.

use super::{SEED, THREADS, in_threads};
use crate::block::Block;
use crate::random::Random;
use std::sync::Mutex;

/// How many of each size, and the sizes: small ones come more often.
const COUNT: usize = 200;
const SIZES: usize = 100;
const SIZE_MAX: usize = 1_000;
const ROUNDS: u64 = 10;
const LIVE: u64 = 20_000;
const STEPS: u64 = 5_000;

fn size(number: usize) -> usize {
    1 + number * number * SIZE_MAX / (SIZES * SIZES)
}

/// All of a size are allocated; a third is freed in order, a third in the opposite one, and the
/// last third after the next size is there.
pub fn six(times: u64) {
    in_threads(|_| {
        let mut late = Vec::new();
        for _ in 0..times * ROUNDS {
            for number in 0..SIZES {
                let mut all: Vec<_> = (0..COUNT).map(|_| Block::new(size(number))).collect();
                all.iter_mut().for_each(Block::touch);
                let mut last = all.split_off(COUNT / 3);
                late = last.split_off(COUNT / 3);
                drop(all);
                while last.pop().is_some() {}
            }
            late.clear();
        }
    });
}

/// Random blocks of a table are replaced by ones of random sizes; the tables change hands.
pub fn eight(times: u64) {
    let table = || (0..LIVE).map(|_| None).collect::<Vec<Option<Block>>>();
    let tables: Vec<_> = (0..THREADS).map(|_| Mutex::new(table())).collect();
    in_threads(|thread| {
        let mut random = Random::new(SEED + thread);
        for round in 0..times {
            let table = &tables[((thread + round) % THREADS) as usize];
            let mut table = table.lock().expect("no thread panics");
            for _ in 0..STEPS {
                let place = random.below(LIVE) as usize;
                let mut block = Block::new(size(random.below(SIZES as u64) as usize));
                block.touch();
                table[place] = Some(block);
            }
        }
    });
}
