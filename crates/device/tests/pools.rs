//! Pools: their rules hold on every way to a block, and what they hold counts where it should.

use polder_device::allocator::PoolSetup;
use polder_device::device::MemoryType;
use polder_device::division::{linear, mixed, tlsf};
use polder_device::sim::{BufferInfo, Call, ImageInfo, Preset, Sim};
use polder_device::strategy::{Linear, Neighbours, Pool, Rules, Setup};
use polder_device::{
    AllocError, Allocation, Allocator, Contradiction, DedicatedWish, DeviceError, Factory, Growth,
    MemoryProperties, Misuse, Options, Placement, Request, Requirements, Search, ShortageCause,
    Sizes, Strategy, Tiling, Wish,
};
use std::sync::Arc;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn allocator() -> Allocator<Sim> {
    Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default())
}

fn pool(allocator: &Allocator<Sim>, rules: Rules<u64>) -> Arc<Pool<Sim>> {
    allocator.create_pool(&Setup { rules, ..Setup::default() }, &[]).unwrap()
}

fn linear(mode: linear::Mode, rules: Rules<u64>) -> PoolSetup<Sim> {
    let division = mixed::Config::Linear(linear::Config { mode });
    Setup { rules, division, ..Setup::default() }
}

fn request(size: u64) -> Request<'static, Sim> {
    Request::new(Requirements { size, align: 16, ..Requirements::ANY }, Wish::default())
}

fn cause(result: Result<Allocation<Sim>, AllocError>) -> ShortageCause {
    match result {
        Err(AllocError::OutOfMemory(shortage)) => shortage.cause,
        other => panic!("{other:?} is no shortage"),
    }
}

fn free_all(pool: &Pool<Sim>, live: Vec<Allocation<Sim>>) {
    live.into_iter().for_each(|allocation| pool.free(allocation).unwrap());
    pool.check();
}

#[test]
fn blocks_have_the_size_that_is_the_rule() {
    let allocator = allocator();
    let pool = pool(&allocator, Rules { block_size: Some(3 * MIB), ..Rules::default() });
    let live: Vec<_> = (0..7).map(|_| pool.allocate(&request(MIB)).unwrap()).collect();
    assert!(pool.snapshot().iter().all(|block| block.size == 3 * MIB && !block.dedicated));
    assert_eq!(pool.stats().blocks, 3);
    let whole = pool.allocate(&request(3 * MIB)).unwrap();
    let size_max = 3 * MIB;
    let refused = cause(pool.allocate(&request(3 * MIB + 1)));
    assert_eq!(refused, ShortageCause::Strategy { size_max });
    pool.free(whole).unwrap();
    free_all(&pool, live);
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn no_allocation_is_alone_where_the_size_is_the_rule() {
    let allocator = allocator();
    let pool = pool(&allocator, Rules { block_size: Some(MIB), ..Rules::default() });
    let error = AllocError::Contradiction(Contradiction::BlocksAreShared);
    let mut alone = request(100);
    alone.wish.placement = Placement::Dedicated;
    assert_eq!(pool.allocate(&alone).unwrap_err(), error);
    let mut needed = request(100);
    needed.requirements.dedicated = DedicatedWish::Required;
    assert_eq!(pool.allocate(&needed).unwrap_err(), error);
    let mut preferred = request(100);
    preferred.requirements.dedicated = DedicatedWish::Preferred;
    let shared = pool.allocate(&preferred).unwrap();
    assert!(!pool.snapshot()[0].dedicated, "a preference is no need");
    pool.free(shared).unwrap();
}

#[test]
fn there_are_at_most_so_many_blocks_dedicated_ones_too() {
    let allocator = allocator();
    let pool = pool(&allocator, Rules { blocks_most: 2, ..Rules::default() });
    let mut alone = request(MIB);
    alone.wish.placement = Placement::Dedicated;
    let live = vec![pool.allocate(&alone).unwrap(), pool.allocate(&request(100)).unwrap()];
    let full = ShortageCause::BlockCount { count_max: 2 };
    assert_eq!(cause(pool.allocate(&alone)), full);
    assert_eq!(cause(pool.allocate(&request(200 * MIB))), full);
    let within = pool.allocate(&request(100)).unwrap();
    pool.free(within).unwrap();
    free_all(&pool, live);
}

#[test]
fn a_limit_in_bytes_holds_on_the_way_to_a_dedicated_block() {
    let allocator = allocator();
    let pool = pool(&allocator, Rules { limit: Some(2 * MIB), ..Rules::default() });
    let live = vec![pool.allocate(&request(MIB)).unwrap()];
    let mut preferred = request(3 * MIB);
    preferred.requirements.dedicated = DedicatedWish::Preferred;
    for request in [request(3 * MIB), preferred] {
        let limit = 2 * MIB;
        assert_eq!(cause(pool.allocate(&request)), ShortageCause::Limit { limit });
    }
    assert!(pool.held() <= 2 * MIB);
    free_all(&pool, live);
}

#[test]
fn the_least_blocks_are_there_from_the_begin_and_stay() {
    let allocator = allocator();
    let rules = Rules { block_size: Some(MIB), blocks_least: 2, ..Rules::default() };
    let pool = pool(&allocator, rules);
    assert_eq!((pool.stats().blocks, allocator.device().live().blocks), (2, 2));
    let live: Vec<_> = (0..5).map(|_| pool.allocate(&request(MIB)).unwrap()).collect();
    assert_eq!(pool.stats().blocks, 5);
    free_all(&pool, live);
    pool.trim();
    pool.check();
    assert_eq!(pool.stats().blocks, 2);
    drop(pool);
    assert_eq!(allocator.device().live().blocks, 0);
}

#[test]
fn a_dedicated_block_is_none_of_the_least() {
    let allocator = allocator();
    let pool = pool(&allocator, Rules { blocks_least: 1, ..Rules::default() });
    let least = pool.held();
    let wish = Wish { placement: Placement::Dedicated, ..Wish::default() };
    let alone = pool.allocate(&Request { wish, ..request(64 * KIB) }).unwrap();
    pool.trim();
    assert_eq!(pool.held(), least + 64 * KIB);
    pool.free(alone).unwrap();
    assert_eq!(pool.held(), least);
}

#[test]
#[should_panic = "an alignment is a power of two"]
fn an_alignment_that_is_none_is_refused() {
    let rules = Rules { align: 3, ..Rules::default() };
    drop(Linear::new(Arc::new(Sim::preset(Preset::Lavapipe)), Setup { rules, ..Setup::default() }));
}

#[test]
#[should_panic = "a block has at least one byte"]
fn a_block_of_nothing_is_refused() {
    let rules = Rules { block_size: Some(0), ..Rules::default() };
    drop(Linear::new(Arc::new(Sim::preset(Preset::Lavapipe)), Setup { rules, ..Setup::default() }));
}

#[test]
fn what_a_pool_holds_counts_towards_the_heap_s_limit() {
    let allocator = allocator();
    allocator.set_heap_limit(allocator.properties().memory_types[0].heap, 10 * MIB);
    let pool = pool(&allocator, Rules { block_size: Some(4 * MIB), ..Rules::default() });
    let live =
        vec![pool.allocate(&request(100)).unwrap(), pool.allocate(&request(4 * MIB)).unwrap()];
    let limit = 10 * MIB;
    assert_eq!(cause(pool.allocate(&request(4 * MIB))), ShortageCause::Limit { limit });
    let elsewhere = Wish { memory_types: 1, ..Wish::default() };
    let needs = Requirements { size: 3 * MIB, align: 16, ..Requirements::ANY };
    let refused = cause(allocator.allocate(&Request::new(needs, elsewhere)));
    assert_eq!(refused, ShortageCause::Limit { limit });
    free_all(&pool, live);
}

#[test]
fn a_pool_takes_another_type_when_its_window_is_taken() {
    let sim = Sim::preset(Preset::AmdVega10);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let types = &allocator.properties().memory_types;
    let both = MemoryProperties::DEVICE_LOCAL | MemoryProperties::HOST_VISIBLE;
    let window = |kind: &MemoryType| kind.properties.contains(both);
    let memory_type = types.iter().position(window).unwrap() as u32;
    let heap = types[memory_type as usize].heap;
    let host = types
        .iter()
        .position(|kind| {
            kind.heap != heap && kind.properties.contains(MemoryProperties::HOST_VISIBLE)
        })
        .unwrap() as u32;
    let room = allocator.properties().heaps[heap as usize].size;
    sim.set_other_usage(heap, room - MIB);
    let rules = Rules { block_size: Some(4 * MIB), blocks_least: 1, ..Rules::default() };
    let setup = Setup { memory_type, rules, ..Setup::default() };
    let error = allocator.create_pool(&setup, &[]).unwrap_err();
    assert!(matches!(error, AllocError::OutOfMemory(_)), "{error}");
    let pool = allocator.create_pool(&setup, &[host]).unwrap();
    assert_eq!((pool.memory_type(), pool.held()), (host, 4 * MIB));
    // Without a size, the blocks that are wanted at once are as small as need be.
    let growth = Some(Growth { size_least: MIB / 2, size_most: 4 * MIB });
    let rules = Rules { blocks_least: 1, ..Rules::default() };
    let small = Setup { memory_type, rules, growth, ..Setup::default() };
    let pool = allocator.create_pool(&small, &[]).unwrap();
    assert_eq!((pool.memory_type(), pool.stats().blocks), (memory_type, 1));
    assert!(pool.held() <= MIB);
}

#[test]
fn when_the_device_fails_no_pool_is_made() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let rules = Rules { block_size: Some(MIB), blocks_least: 3, ..Rules::default() };
    let setup = Setup { rules, ..Setup::default() };
    for (error, n) in [(DeviceError::OutOfDeviceMemory, 2), (DeviceError::Lost, 3)] {
        sim.fail(Call::Allocate, n, error);
        assert!(allocator.create_pool(&setup, &[]).is_err());
        assert_eq!((sim.live().blocks, allocator.pools().len()), (0, 0), "{error}");
    }
    assert!(allocator.create_pool(&setup, &[]).is_ok());
}

#[test]
fn each_block_is_ordered_as_the_rules_say() {
    let allocator = allocator();
    let rules = Rules { priority: Some(0.9), extra: Some(77), ..Rules::default() };
    let pool = pool(&allocator, rules);
    let mut alone = request(100);
    alone.wish.placement = Placement::Dedicated;
    alone.wish.priority = 0.1;
    alone.extra = Some(&78);
    for (request, extra) in [(request(100), 77), (alone, 78)] {
        let made = pool.allocate(&request).unwrap();
        let block = allocator.device().block(made.memory()).unwrap();
        assert_eq!((block.priority, block.extra), (0.9, Some(extra)));
        pool.free(made).unwrap();
    }
}

#[test]
fn offsets_keep_the_pool_s_alignment() {
    let allocator = allocator();
    let pool = pool(&allocator, Rules { align: 4096, ..Rules::default() });
    let live: Vec<_> = (0..3).map(|_| pool.allocate(&request(100)).unwrap()).collect();
    assert!(live.iter().all(|allocation| allocation.offset().is_multiple_of(4096)));
    free_all(&pool, live);
}

#[test]
fn neighbours_of_both_tilings_touch_only_where_the_user_answers_for_it() {
    let sim = Sim::preset(Preset::NvidiaKeplerF0);
    let granularity = sim.layout().properties.limits.granularity;
    assert!(granularity > 16, "this device has the rule");
    let allocator = Allocator::new(sim, Options::default());
    for (neighbours, is_apart) in [(Neighbours::Apart, true), (Neighbours::Alike, false)] {
        let pool = pool(&allocator, Rules { neighbours, ..Rules::default() });
        let mut optimal = request(16);
        optimal.tiling = Tiling::Optimal;
        let live = vec![pool.allocate(&request(16)).unwrap(), pool.allocate(&optimal).unwrap()];
        let distance = live[0].offset().abs_diff(live[1].offset());
        assert_eq!(distance >= granularity, is_apart, "{neighbours:?}");
        free_all(&pool, live);
    }
}

#[test]
fn a_ring_a_stack_and_a_double_stack() {
    let allocator = allocator();
    let rules = Rules { block_size: Some(MIB), blocks_most: 1, ..Rules::default() };
    let make = |mode| allocator.create_pool(&linear(mode, rules), &[]).unwrap();
    let quarter = request(MIB / 4);
    let mut upper = request(MIB / 4);
    upper.wish.search = Search::UpperAddress;

    let ring = make(linear::Mode::Ring);
    let mut live: Vec<_> = (0..4).map(|_| ring.allocate(&quarter).unwrap()).collect();
    ring.free(live.remove(0)).unwrap();
    live.push(ring.allocate(&quarter).expect("it goes round"));
    assert_eq!(live[3].offset(), 0);
    free_all(&ring, live);

    let stack = make(linear::Mode::Stack);
    let error = AllocError::Contradiction(Contradiction::NoUpperEnd);
    assert_eq!(stack.allocate(&upper).unwrap_err(), error);
    let mut live: Vec<_> = (0..4).map(|_| stack.allocate(&quarter).unwrap()).collect();
    stack.free(live.pop().unwrap()).unwrap();
    live.push(stack.allocate(&quarter).unwrap());
    assert_eq!(live[3].offset(), 3 * MIB / 4);
    free_all(&stack, live);

    let double = make(linear::Mode::DoubleStack);
    let live = vec![double.allocate(&quarter).unwrap(), double.allocate(&upper).unwrap()];
    assert_eq!((live[0].offset(), live[1].offset()), (0, 3 * MIB / 4));
    free_all(&double, live);
}

#[test]
fn an_allocation_is_freed_where_it_came_from() {
    let allocator = allocator();
    let (one, other) = (pool(&allocator, Rules::default()), pool(&allocator, Rules::default()));
    let allocation = one.allocate(&request(100)).unwrap();
    let found = one.id();
    let error = other.free(allocation).unwrap_err();
    assert_eq!(error.reason, Misuse::WrongAllocator { expected: other.id(), found });
    let error = allocator.free(error.allocation).unwrap_err();
    assert_eq!(error.reason, Misuse::WrongAllocator { expected: allocator.id(), found });
    one.free(error.allocation).unwrap();
}

#[test]
fn buffers_and_images_come_from_pools_as_from_anywhere() {
    let allocator = allocator();
    let setup = Setup {
        division: mixed::Config::Tlsf(tlsf::Config { align_least: 256 }),
        name: Some("scene".to_string()),
        ..Setup::default()
    };
    let pool = allocator.create_pool(&setup, &[]).unwrap();
    let buffer = pool.create_buffer(&BufferInfo::default(), &Wish::default()).unwrap();
    let image = pool.create_image(&ImageInfo::default(), &Wish::default()).unwrap();
    assert_eq!((pool.stats().allocations, allocator.used()), (2, 0));
    assert_eq!(pool.name().as_deref(), Some("scene"));
    pool.set_name(None);
    assert_eq!((pool.name(), allocator.pools().len()), (None, 1));
    pool.destroy_buffer(buffer).unwrap();
    pool.destroy_image(image).unwrap();
    drop(pool);
    assert!(allocator.pools().is_empty());
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn a_pool_s_figures_are_its_own_piece_by_piece() {
    let allocator = allocator();
    let rules = || Rules { block_size: Some(4 * MIB), ..Rules::default() };
    let (pool, other) = (self::pool(&allocator, rules()), self::pool(&allocator, rules()));
    let elsewhere = other.allocate(&request(MIB)).unwrap();
    let [first, second, third, fourth] =
        [MIB, MIB / 2, 2 * MIB, 3 * MIB].map(|size| pool.allocate(&request(size)).unwrap());
    pool.free(second).unwrap();

    let stats = pool.detailed_stats();
    let of = |sizes: Sizes| (sizes.count(), sizes.total(), sizes.min(), sizes.max());
    assert_eq!(of(stats.blocks), (2, 8 * MIB, Some(4 * MIB), Some(4 * MIB)));
    assert_eq!(of(stats.allocations), (3, 6 * MIB, Some(MIB), Some(3 * MIB)));
    let mut free = Sizes::NONE;
    let blocks = pool.snapshot();
    let regions = blocks.iter().flat_map(|block| &block.regions);
    regions.filter(|one| one.allocation.is_none()).for_each(|one| free.push(one.size));
    assert_eq!((stats.free_regions, free.total()), (free, 2 * MIB));
    assert_eq!(stats.stats(), pool.stats());
    let both = stats.stats().used + other.detailed_stats().stats().used;
    assert_eq!(allocator.detailed_stats().total.stats().used, both);

    free_all(&pool, vec![first, third, fourth]);
    free_all(&other, vec![elsewhere]);
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn a_pool_outlives_its_allocator() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let pool = pool(&allocator, Rules::default());
    allocator.shutdown().unwrap();
    let allocation = pool.allocate(&request(100)).unwrap();
    pool.free(allocation).unwrap();
    drop(pool);
    assert_eq!(sim.live().blocks, 0);
}

#[test]
fn threads_in_different_pools_do_not_meet() {
    let allocator = allocator();
    let pools = [pool(&allocator, Rules::default()), pool(&allocator, Rules::default())];
    std::thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(move || {
                for size in 1..if cfg!(miri) { 20 } else { 2000 } {
                    let allocation = pool.allocate(&request(size)).unwrap();
                    pool.free(allocation).unwrap();
                }
            });
        }
    });
    pools.iter().for_each(|pool| pool.check());
    assert_eq!(allocator.device().violations(), []);
}
