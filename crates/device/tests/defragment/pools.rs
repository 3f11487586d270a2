//! Pools are defragmented by themselves, under their rules.

use super::ground::{BLOCK, Ground, pool};
use super::misuse::request;
use super::{allocator, granular};
use polder_device::defragment::{DefragmentError, Options};
use polder_device::division::{linear, mixed};
use polder_device::sim::{Preset, Sim};
use polder_device::strategy::{Neighbours, Pool, Rules, Setup};
use polder_device::{Allocation, AllocationId, Effort, Misuse, Strategy, Tiling, Wish};
use std::collections::{HashMap, HashSet};

type Live = HashMap<AllocationId, Allocation<Sim>>;

/// Every fourth of `count` allocations, in a quarter of a block each.
fn quarters(strategy: &impl Strategy<Sim>, count: usize) -> Live {
    let request = request(BLOCK / 4, Wish::default());
    let all: Vec<_> = (0..count).map(|_| strategy.allocate(&request).unwrap()).collect();
    let mut kept = HashMap::new();
    for (number, one) in all.into_iter().enumerate() {
        if number % 4 == 0 {
            kept.insert(one.id(), one);
        } else {
            strategy.free(one).unwrap();
        }
    }
    kept
}

/// Takes every move; returns how many there were.
fn gather(pool: &Pool<Sim>, live: &mut Live, effort: Effort) -> u64 {
    let mut work = pool.defragment(&Options { effort, ..Options::default() }).unwrap();
    loop {
        let moves = work.begin_pass().unwrap().to_vec();
        if moves.is_empty() {
            return work.stats().moved;
        }
        for one in moves {
            work.copied(one.id, live.get_mut(&one.allocation).unwrap()).unwrap();
        }
        work.end_pass().unwrap();
        pool.check();
    }
}

fn free_all(pool: &Pool<Sim>, live: Live) {
    live.into_values().for_each(|one| pool.free(one).unwrap());
    pool.check();
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of allocations")]
fn the_least_blocks_stay_and_nothing_moves_to_empty_one_of_them() {
    let allocator = allocator(&Sim::preset(Preset::Lavapipe));
    // Sixteen blocks with a quarter each: four would do.
    for (least, after) in [(0, 4), (4, 4), (7, 7), (15, 15), (16, 16), (40, 40)] {
        let pool = pool(&allocator, Rules { blocks_least: least, ..Rules::default() });
        let mut live = quarters(&*pool, 64);
        pool.trim();
        let before = pool.blocks();
        let moved = gather(&pool, &mut live, Effort::Balanced);
        assert_eq!(pool.blocks(), after, "at least {least} of {before}");
        // An allocation for each block that went, and none for those that had to stay.
        assert_eq!(moved, before - after);
        free_all(&pool, live);
    }
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn what_others_free_meanwhile_costs_none_of_the_least_blocks() {
    let allocator = allocator(&Sim::preset(Preset::Lavapipe));
    let pool = pool(&allocator, Rules { blocks_least: 3, ..Rules::default() });
    let mut live = quarters(&*pool, 20);
    // Two could go. The pass ends at its limit between them, with both still closed.
    let options = Options { moves_per_pass_max: 1, ..Options::default() };
    let mut work = pool.defragment(&options).unwrap();
    let moves = work.begin_pass().unwrap().to_vec();
    assert_eq!(moves.len(), 1);
    work.copied(moves[0].id, live.get_mut(&moves[0].allocation).unwrap()).unwrap();
    live.drain().for_each(|(_, one)| pool.free(one).unwrap());
    work.end_pass().unwrap();
    drop(work);
    pool.check();
    assert_eq!(pool.blocks(), 3);
}

#[test]
fn an_allocator_and_its_pools_are_apart() {
    let allocator = allocator(&Sim::preset(Preset::Lavapipe));
    let (one, other) = (pool(&allocator, Rules::default()), pool(&allocator, Rules::default()));
    let (mut of_one, mut of_other) = (quarters(&*one, 16), quarters(&*other, 16));
    let of_none = quarters(&allocator, 16);

    let mut general = allocator.defragment(&Options::default()).unwrap();
    let mut work = one.defragment(&Options::default()).unwrap();
    let busy = DefragmentError::Busy { memory_type: 0 };
    assert_eq!(one.defragment(&Options::default()).map(drop), Err(busy));
    let ours = work.begin_pass().unwrap().to_vec();
    assert!(!ours.is_empty());
    assert!(ours.iter().all(|each| of_one.contains_key(&each.allocation)));
    let theirs = general.begin_pass().unwrap().to_vec();
    assert!(!theirs.is_empty());
    assert!(theirs.iter().all(|each| of_none.contains_key(&each.allocation)));
    assert_eq!(general.ignore(ours[0].id), Err(DefragmentError::WrongPass { id: ours[0].id }));

    let (expected, stranger) = (ours[0].allocation, of_other.values_mut().next().unwrap());
    let wrong = DefragmentError::WrongAllocation { expected, found: stranger.id() };
    assert_eq!(work.copied(ours[0].id, stranger), Err(wrong));
    let twin = one.twin(expected).unwrap();
    work.destroy(ours[0].id, of_one.remove(&expected).unwrap()).unwrap();
    let stale = work.destroy(ours[1].id, twin).unwrap_err();
    let (expected, found) = (ours[1].allocation, expected);
    assert_eq!(stale.reason, DefragmentError::WrongAllocation { expected, found });
    drop((work, general));

    free_all(&one, of_one);
    free_all(&other, of_other);
    of_none.into_values().for_each(|each| allocator.free(each).unwrap());
    allocator.shutdown().unwrap();
}

#[test]
fn what_was_freed_cannot_be_destroyed() {
    let allocator = allocator(&Sim::preset(Preset::Lavapipe));
    let pool = pool(&allocator, Rules::default());
    let mut live = quarters(&*pool, 16);
    let mut work = pool.defragment(&Options::default()).unwrap();
    let one = work.begin_pass().unwrap()[0];
    let twin = pool.twin(one.allocation).unwrap();
    pool.free(live.remove(&one.allocation).unwrap()).unwrap();
    let stale = work.destroy(one.id, twin).unwrap_err();
    assert!(matches!(stale.reason, DefragmentError::Misuse(Misuse::Stale { .. })));
    drop(work);
    free_all(&pool, live);
}

#[test]
fn options_that_a_pool_cannot_obey_are_errors() {
    let allocator = allocator(&Sim::preset(Preset::AmdNavi31));
    let make = |division| {
        let setup = Setup { memory_type: 1, division, ..Setup::default() };
        allocator.create_pool(&setup, &[]).unwrap()
    };
    let general = make(mixed::Config::default());
    let begin = |options: Options| general.defragment(&options).map(drop);
    let of_type = |memory_type| Options { memory_type: Some(memory_type), ..Options::default() };
    assert_eq!(begin(of_type(0)), Err(DefragmentError::NoMemoryType { memory_type: 0 }));
    assert_eq!(begin(of_type(1)), Ok(()));
    let zero = Options { bytes_per_pass_max: 0, ..Options::default() };
    assert_eq!(begin(zero), Err(DefragmentError::ZeroLimit));
    let zero = Options { moves_per_pass_max: 0, ..Options::default() };
    assert_eq!(begin(zero), Err(DefragmentError::ZeroLimit));
    for mode in [linear::Mode::Stack, linear::Mode::DoubleStack, linear::Mode::Ring] {
        let pool = make(mixed::Config::Linear(linear::Config { mode }));
        let refused = pool.defragment(&Options::default()).map(drop);
        assert_eq!(refused, Err(DefragmentError::Linear { memory_type: 1 }));
    }
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of allocations")]
fn tilings_are_parted_only_where_the_pool_s_neighbours_keep_apart() {
    for (neighbours, is_parted) in [(Neighbours::Apart, true), (Neighbours::Alike, false)] {
        let allocator = allocator(&granular());
        let pool = pool(&allocator, Rules { neighbours, ..Rules::default() });
        let mut all = Vec::new();
        for number in 0..300 {
            let mut request = request(3000, Wish::default());
            request.tiling = [Tiling::Linear, Tiling::Optimal][number % 2];
            all.push((request.tiling, pool.allocate(&request).unwrap()));
        }
        for number in 0..150 {
            pool.free(all.swap_remove(number * 7 % all.len()).1).unwrap();
        }
        let tilings: HashMap<_, _> = all.iter().map(|(tiling, one)| (one.id(), *tiling)).collect();
        let mut live = all.into_iter().map(|(_, one)| (one.id(), one)).collect();
        gather(&pool, &mut live, Effort::Extensive);
        let mut kinds = HashMap::<_, HashSet<Tiling>>::new();
        for one in live.values() {
            kinds.entry(one.memory()).or_default().insert(tilings[&one.id()]);
        }
        let mixed = kinds.values().filter(|kinds| kinds.len() > 1).count();
        assert_eq!(mixed <= 2, is_parted, "{mixed} of {} blocks have both", kinds.len());
        free_all(&pool, live);
    }
}
