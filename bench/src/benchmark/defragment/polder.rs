//! Polder's part of the comparison.

use super::{BLOCK, Effort, Outcome, Scene};
use crate::gpu::Gpu;
use polder_device::defragment::{self, Options};
use polder_device::{Allocator, Growth, Request, Requirements, Strategy, Wish};
use std::collections::HashMap;
use std::time::Instant;

pub fn run(gpu: &Gpu, scene: &Scene, effort: Effort) -> Outcome {
    let growth = Some(Growth { size_least: BLOCK, size_most: BLOCK });
    let options = polder_device::Options { growth, ..polder_device::Options::default() };
    let allocator = Allocator::new(gpu.polder(), options);
    let allocate = |&size: &u64| {
        let memory_types = gpu.memory_types;
        let needs = Requirements { size, align: 256, memory_types, ..Requirements::ANY };
        Some(allocator.allocate(&Request::new(needs, Wish::default())).expect("there is memory"))
    };
    let mut all: Vec<_> = scene.sizes.iter().map(allocate).collect();
    for &number in &scene.freed {
        let allocation = all[number].take().expect("each is freed once");
        allocator.free(allocation).expect("it is live");
    }
    let mut live: HashMap<_, _> = all.into_iter().flatten().map(|one| (one.id(), one)).collect();
    let blocks = || allocator.stats(gpu.memory_types.trailing_zeros()).blocks;
    let blocks_before = blocks();

    let effort = match effort {
        Effort::Fast => defragment::Effort::Fast,
        Effort::Full => defragment::Effort::Full,
    };
    let begin = Instant::now();
    let options = Options { effort, ..Options::default() };
    let mut work = allocator.defragment(&options).expect("nobody else does");
    loop {
        let moves = work.begin_pass().expect("no pass is open").to_vec();
        if moves.is_empty() {
            break;
        }
        for one in moves {
            let handle = live.get_mut(&one.allocation).expect("all are known");
            work.copied(one.id, handle).expect("nobody frees it");
        }
        work.end_pass().expect("a pass is open");
    }
    let stats = work.stats();
    drop(work);
    let time = begin.elapsed();

    allocator.trim();
    let blocks = blocks();
    live.into_values().for_each(|one| allocator.free(one).expect("it is live"));
    let (moved, bytes_moved) = (stats.moved, stats.bytes_moved);
    Outcome { time, moved, bytes_moved, blocks_before, blocks }
}
