//! Which parts move: those that were there when the plan was made, and as far down as they go.

use super::misuse::request;
use super::{allocator, granular};
use polder_device::defragment::{Defragmentation, Options};
use polder_device::sim::{Preset, Sim};
use polder_device::{
    Allocation, AllocationId, Allocator, Effort, Placement, Strategy, Tiling, Wish,
};
use std::collections::HashMap;

const KIB: u64 = 1 << 10;

const FULL: Options = Options {
    effort: Effort::Full,
    memory_type: None,
    bytes_per_pass_max: u64::MAX,
    moves_per_pass_max: u32::MAX,
};

type Live = HashMap<AllocationId, Allocation<Sim>>;

fn end(allocator: Allocator<Sim>, sim: &Sim, live: impl IntoIterator<Item = Allocation<Sim>>) {
    for allocation in live {
        allocator.free(allocation).unwrap();
        allocator.check();
    }
    allocator.shutdown().unwrap();
    assert_eq!(sim.violations(), []);
}

/// Answers all moves of one pass.
fn pass(work: &mut Defragmentation<'_, Sim>, allocator: &Allocator<Sim>, live: &mut Live) -> usize {
    let moves = work.begin_pass().unwrap().to_vec();
    allocator.check();
    for one in &moves {
        work.copied(one.id, live.get_mut(&one.allocation).unwrap()).unwrap();
    }
    if !moves.is_empty() {
        work.end_pass().unwrap();
    }
    allocator.check();
    moves.len()
}

fn keep(live: &mut Live, allocation: Allocation<Sim>) -> AllocationId {
    let id = allocation.id();
    live.insert(id, allocation);
    id
}

/// A number and a slot, once those of a part that was to be packed.
#[test]
fn a_dedicated_block_that_got_a_shared_ones_number_stays() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let make = |wish| allocator.allocate(&request(4 * KIB, wish)).unwrap();
    let mut live = Live::new();
    let ids: Vec<_> = (0..10).map(|_| keep(&mut live, make(Wish::default()))).collect();
    for number in [0, 2] {
        allocator.free(live.remove(&ids[number]).unwrap()).unwrap();
    }
    let options = Options { effort: Effort::Full, moves_per_pass_max: 1, ..Options::default() };
    let mut work = allocator.defragment(&options).unwrap();
    assert_eq!(pass(&mut work, &allocator, &mut live), 1);
    for number in [1, 3, 4, 5, 6, 7, 9, 8] {
        allocator.free(live.remove(&ids[number]).unwrap()).unwrap();
    }
    allocator.trim();
    let alone = make(Wish { placement: Placement::Dedicated, ..Wish::default() });
    assert_eq!(alone.id().slot, ids[8].slot, "the slot is that of what was next");
    while pass(&mut work, &allocator, &mut live) > 0 {}
    assert!(work.is_done());
    assert_eq!(work.stats().moved, 1);
    drop(work);
    end(allocator, &sim, [alone]);
}

/// The same, of a part that was to leave a block of the other tiling.
#[test]
fn a_dedicated_block_that_got_a_mixed_ones_number_stays() {
    let sim = granular();
    let allocator = allocator(&sim);
    let make = |tiling, wish| {
        let mut request = request(4 * KIB, wish);
        request.tiling = tiling;
        allocator.allocate(&request).unwrap()
    };
    let mut live = Live::new();
    // A block that is mostly linear, and a half of one that is optimal.
    let ids: Vec<_> = (0..24)
        .map(|number| if number < 12 { Tiling::Linear } else { Tiling::Optimal })
        .map(|tiling| keep(&mut live, make(tiling, Wish::default())))
        .collect();
    let options =
        Options { effort: Effort::Extensive, moves_per_pass_max: 1, ..Options::default() };
    let mut work = allocator.defragment(&options).unwrap();
    assert_eq!(pass(&mut work, &allocator, &mut live), 1);
    for id in &ids[..=14] {
        allocator.free(live.remove(id).unwrap()).unwrap();
    }
    allocator.trim();
    let alone = Wish { placement: Placement::Dedicated, ..Wish::default() };
    let alone = make(Tiling::Optimal, alone);
    assert_eq!(alone.id().slot, ids[14].slot, "the slot is that of what was next");
    while pass(&mut work, &allocator, &mut live) > 0 {}
    assert!(work.is_done());
    assert_eq!(work.stats().moved, 1);
    drop(work);
    end(allocator, &sim, live.into_values().chain([alone]));
}

/// A gap of the very size lies above what moves, a larger one below it.
#[test]
fn a_part_goes_down_though_a_closer_gap_lies_above() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let make = |size| allocator.allocate(&request(size * KIB, Wish::default())).unwrap();
    let [low, below, part, high] = [9, 39, 8, 8].map(make);
    assert_eq!((part.offset(), high.offset()), (48 * KIB, 56 * KIB));
    for gone in [low, high] {
        allocator.free(gone).unwrap();
    }
    let mut live = Live::new();
    let [below, part] = [below, part].map(|one| keep(&mut live, one));
    let mut work = allocator.defragment(&FULL).unwrap();
    assert_eq!(pass(&mut work, &allocator, &mut live), 1);
    assert_eq!(pass(&mut work, &allocator, &mut live), 0);
    assert!(work.is_done());
    drop(work);
    assert_eq!([below, part].map(|id| live[&id].offset()), [9 * KIB, 0]);
    let types = allocator.snapshot().memory_types;
    assert_eq!(types[0].largest_free(), 16 * KIB);
    end(allocator, &sim, live.into_values());
}
