//! The default allocator over the software device: random histories against a naive model on
//! every preset, memory types, shortage, frames, leaks.

mod history;

use history::{Action, run};
use polder_device::sim::{Call, ImageInfo, Layout, Preset, Sim};
use polder_device::{
    Access, AllocError, Allocator, BudgetRule, Factory, Lifetime, MemoryProperties, Options, Owned,
    Placement, Request, Requirements, ShortageCause, Strategy, Wish,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::collections::BTreeMap;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn request(size: u64, wish: Wish<'_>) -> Request<'_, Sim> {
    Request::new(Requirements { size, align: 16, ..Requirements::ANY }, wish)
}

/// One heap of `size` bytes, in the host's and the device's reach.
fn one_heap(size: u64) -> Sim {
    let mut layout = Layout::default();
    layout.properties.heaps[0].size = size;
    Sim::new(layout).unwrap()
}

fn action() -> impl proptest::strategy::Strategy<Value = Action> {
    let size = prop_oneof![1u64..4096, 1u64..300_000, 1u64..3_000_000];
    let allocate = (size, 0u32..13, any::<bool>(), proptest::array::uniform4(0usize..60)).prop_map(
        |(size, align, optimal, choice)| Action::Allocate {
            size,
            align: 1 << align,
            optimal,
            choice,
        },
    );
    prop_oneof![6 => allocate, 4 => any::<usize>().prop_map(Action::Free), 1 => Just(Action::Trim)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 64 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_histories_agree_with_the_model_on_every_preset(
        preset in 0..Preset::ALL.len(),
        actions in proptest::collection::vec(action(), 1..if cfg!(miri) { 25 } else { 160 }),
    ) {
        run(&Sim::preset(Preset::ALL[preset]), &actions);
    }

    #[test]
    fn random_histories_agree_with_the_model_in_a_heap_that_is_too_small(
        actions in proptest::collection::vec(action(), 1..if cfg!(miri) { 25 } else { 160 }),
    ) {
        run(&one_heap(6 * MIB), &actions);
    }
}

#[test]
fn each_access_gets_the_memory_type_that_suits_it() {
    // Device only, host writes, host reads, host random.
    let expected = [
        (Preset::AmdNavi31, [0, 2, 5, 5]),
        (Preset::AmdVega10, [0, 2, 5, 5]),
        (Preset::AmdPolaris12, [0, 2, 5, 5]),
        (Preset::AmdRavenApu, [0, 2, 5, 5]),
        (Preset::NvidiaTuring164, [0, 2, 2, 2]),
        (Preset::NvidiaKeplerF0, [0, 1, 1, 1]),
        (Preset::Adreno630, [0, 0, 1, 1]),
        (Preset::AppleM1, [0, 1, 0, 0]),
        (Preset::Lavapipe, [0, 0, 0, 0]),
        (Preset::SwiftShader, [0, 0, 0, 0]),
        (Preset::Mock, [5, 0, 1, 1]),
    ];
    for (preset, types) in expected.into_iter().take(if cfg!(miri) { 2 } else { 99 }) {
        let allocator = Allocator::new(Sim::preset(preset), Options::default());
        for (access, memory_type) in Access::ALL.into_iter().zip(types) {
            let allocation = allocator.allocate(&request(100, Wish::of(access))).unwrap();
            let explanation = allocator.explain(u32::MAX, &Wish::of(access));
            assert_eq!(allocation.memory_type(), memory_type, "{preset:?}: {explanation}");
            assert_eq!(explanation.types[0].0, memory_type);
            allocator.free(allocation).unwrap();
        }
    }
}

#[test]
fn special_memory_is_for_those_who_require_it() {
    let allocator = Allocator::new(Sim::preset(Preset::Mock), Options::default());
    for (required, memory_type) in
        [(MemoryProperties::LAZILY_ALLOCATED, 3), (MemoryProperties::PROTECTED, 4)]
    {
        let wish = Wish { required, ..Wish::default() };
        let allocation = allocator.allocate(&request(64, wish)).unwrap();
        assert_eq!(allocation.memory_type(), memory_type);
        allocator.free(allocation).unwrap();
    }
    let wish = Wish { required: MemoryProperties::RDMA_CAPABLE, ..Wish::default() };
    let error = allocator.allocate(&request(64, wish)).unwrap_err();
    assert!(matches!(error, AllocError::NoMemoryType { .. }), "{error}");
    let text = allocator.explain(0b1, &Wish::default()).to_string();
    assert!(text.contains("the resource does not allow it"), "{text}");
}

#[test]
fn a_preference_of_the_user_weighs_more_than_those_of_the_access() {
    let allocator = Allocator::new(Sim::preset(Preset::AmdVega10), Options::default());
    let wish = Wish {
        access: Access::HostWrites,
        preferred: MemoryProperties::DEVICE_LOCAL,
        ..Wish::default()
    };
    let allocation = allocator.allocate(&request(64, wish)).unwrap();
    assert_eq!(allocation.memory_type(), 3, "the window that the host can see");
    allocator.free(allocation).unwrap();
}

#[test]
fn a_small_program_holds_little() {
    let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
    let mut live = Vec::new();
    while allocator.used() < MIB / 2 {
        live.push(allocator.allocate(&request(4096, Wish::default())).unwrap());
        assert!(allocator.held() <= 4 * MIB, "held {}", allocator.held());
    }
    live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
}

#[test]
fn short_lived_allocations_have_blocks_of_their_own() {
    let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), Options::default());
    let short = Wish { lifetime: Lifetime::ShortLived, ..Wish::default() };
    let one = allocator.allocate(&request(64, Wish::default())).unwrap();
    let other = allocator.allocate(&request(64, short)).unwrap();
    assert_ne!(one.memory(), other.memory());
    [one, other].into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
}

#[test]
fn what_comes_and_goes_each_frame_calls_the_driver_once() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let wish = Wish { lifetime: Lifetime::ShortLived, ..Wish::of(Access::HostWrites) };
    let mut frames = std::collections::VecDeque::new();
    for frame in 0..50 {
        frames.push_back(allocator.allocate(&request(12 * MIB + frame, wish)).unwrap());
        if frames.len() == 3 {
            allocator.free(frames.pop_front().unwrap()).unwrap();
        }
    }
    assert!(sim.calls(Call::Allocate) <= 6, "{} blocks", sim.calls(Call::Allocate));
    frames.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
}

#[test]
fn what_the_driver_wants_alone_is_alone() {
    let mut layout = Layout::default();
    layout.resources.dedicated_required_size = Some(MIB);
    let sim = Sim::new(layout).unwrap();
    let allocator = Allocator::new(sim.clone(), Options::default());
    let info = ImageInfo { width: 1024, height: 1024, ..ImageInfo::default() };
    let image = allocator.create_image(&info, &Wish::default()).unwrap();
    let block = sim.block(image.allocation().memory()).unwrap();
    assert!(block.dedicated.is_some(), "the driver was told the resource");
    assert_eq!(image.allocation().offset(), 0);
    allocator.destroy_image(image).unwrap();
    assert_eq!(allocator.held(), 0, "a dedicated block goes back at once");
    assert_eq!(sim.violations(), []);
}

#[test]
fn when_memory_is_short_blocks_shrink_until_all_of_the_heap_is_used() {
    let sim = one_heap(8 * MIB);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let mut live = Vec::new();
    let error = loop {
        match allocator.allocate(&request(64 << 10, Wish::default())) {
            Ok(allocation) => live.push(allocation),
            Err(error) => break error,
        }
    };
    assert_eq!(live.len(), 8 * 16, "every byte of the heap was given");
    let AllocError::OutOfMemory(shortage) = error else { panic!("{error}") };
    assert_eq!((shortage.used, shortage.held), (8 * MIB, 8 * MIB));
    assert_eq!((shortage.cause, shortage.largest_free), (ShortageCause::Driver, 0));
    assert_eq!((shortage.heap, shortage.size), (0, 64 << 10));
    live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
    allocator.shutdown().unwrap();
    assert_eq!(sim.violations(), []);
}

#[test]
fn when_one_memory_type_is_full_the_next_takes_over() {
    let mut layout = Preset::AmdVega10.layout();
    layout.properties.heaps[0].size = 4 * MIB;
    let allocator = Allocator::new(Sim::new(layout).unwrap(), Options::default());
    let types: Vec<_> = (0..3)
        .map(|_| {
            let allocation = allocator.allocate(&request(3 * MIB, Wish::default())).unwrap();
            allocation.memory_type()
        })
        .collect();
    assert_eq!(types[0], 0);
    assert!(types[1..].iter().all(|&memory_type| memory_type != 0), "{types:?}");
}

#[test]
fn a_request_larger_than_the_best_heap_goes_to_the_next() {
    let sim = Sim::preset(Preset::AmdVega10);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let preferred = MemoryProperties::DEVICE_LOCAL;
    let wish = Wish { access: Access::HostWrites, preferred, ..Wish::default() };
    let allocation = allocator.allocate(&request(300 * MIB, wish)).unwrap();
    assert_eq!(allocation.memory_type(), 2, "the window has 256 MiB");
    allocator.free(allocation).unwrap();
    assert_eq!(sim.violations(), []);
}

#[test]
fn what_comes_and_goes_beside_others_calls_no_driver() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let general = Wish::default();
    let kept: Vec<_> =
        (0..100).map(|_| allocator.allocate(&request(MIB, general)).unwrap()).collect();
    let short = Wish { lifetime: Lifetime::ShortLived, ..general };
    let frame = |wish, count, size| {
        let live: Vec<_> =
            (0..count).map(|_| allocator.allocate(&request(size, wish)).unwrap()).collect();
        live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
    };
    for (wish, count, size) in [(general, 1, 2 * MIB), (short, 256, 64 << 10)] {
        frame(wish, count, size);
        let calls = sim.calls(Call::Allocate);
        let frames = if cfg!(miri) { 2 } else { 20 };
        (0..frames).for_each(|_| frame(wish, count, size));
        assert_eq!(sim.calls(Call::Allocate), calls, "{count} of {size} bytes each frame");
    }
    kept.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
}

#[test]
#[cfg_attr(miri, ignore = "thousands of allocations, and no way that others do not take")]
fn a_region_is_found_that_holds_a_size_of_no_whole_alignment_and_no_more() {
    const SIZE: u64 = 300;
    const ALIGN: u64 = 256;
    let allocator = Allocator::new(one_heap(64 * MIB), Options { arenas: 1, ..Options::default() });
    let ask = |align| {
        let needs = Requirements { size: SIZE, align, ..Requirements::ANY };
        let wish = Wish { placement: Placement::Existing, ..Wish::default() };
        allocator.allocate(&Request::new(needs, wish))
    };
    let mut live = vec![allocator.allocate(&request(SIZE, Wish::default())).unwrap()];
    while let Ok(allocation) = ask(1) {
        live.push(allocation);
    }
    assert!(ask(ALIGN).is_err(), "the block is full");
    // Its neighbours lie at no multiple of the alignment: what is free is as long as asked for.
    let aligned = live.iter().rposition(|one| one.offset().is_multiple_of(ALIGN)).unwrap();
    let offset = live[aligned].offset();
    allocator.free(live.swap_remove(aligned)).unwrap();
    let again = ask(ALIGN).unwrap();
    assert_eq!(again.offset(), offset);
    live.push(again);
    live.into_iter().for_each(|one| allocator.free(one).unwrap());
    allocator.check();
    allocator.shutdown().unwrap();
}

#[test]
fn what_empty_blocks_hold_is_given_to_who_needs_it() {
    let allocator = Allocator::new(one_heap(8 * MIB), Options::default());
    let small: Vec<_> = (0..32)
        .map(|_| allocator.allocate(&request(128 << 10, Wish::default())).unwrap())
        .collect();
    small.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
    assert!(allocator.held() > 0, "an empty block is kept");
    let all = allocator.allocate(&request(8 * MIB, Wish::default())).unwrap();
    allocator.free(all).unwrap();
}

#[test]
fn a_limit_holds_on_every_way() {
    let options = Options { heap_limits: vec![Some(2 * MIB)], ..Options::default() };
    let allocator = Allocator::new(one_heap(64 * MIB), options);
    for (size, placement) in [(3 * MIB, Placement::Auto), (3 * MIB, Placement::Dedicated)] {
        let wish = Wish { placement, ..Wish::default() };
        let error = allocator.allocate(&request(size, wish)).unwrap_err();
        let AllocError::OutOfMemory(shortage) = error else { panic!("{error}") };
        assert_eq!(shortage.cause, ShortageCause::Limit { limit: 2 * MIB });
        assert_eq!(allocator.held(), 0);
    }
    allocator.set_heap_limit(0, 4 * MIB);
    let allocation = allocator.allocate(&request(3 * MIB, Wish::default())).unwrap();
    allocator.free(allocation).unwrap();
}

#[test]
fn a_budget_is_a_wall_for_those_who_say_so_on_every_way() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let allocator = Allocator::new(sim.clone(), Options::default());
    (0..2).for_each(|heap| sim.set_budget(heap, Some(MIB / 2)));
    for placement in [Placement::Auto, Placement::Dedicated] {
        let wish = Wish { budget: BudgetRule::Within, placement, ..Wish::default() };
        let error = allocator.allocate(&request(MIB, wish)).unwrap_err();
        let AllocError::OutOfMemory(shortage) = error else { panic!("{error}") };
        assert_eq!((shortage.cause, shortage.budget), (ShortageCause::Budget, MIB / 2));
    }
    let beyond = allocator.allocate(&request(MIB, Wish::default())).unwrap();
    assert_eq!(beyond.memory_type(), 0, "others may pass the budget, in the best memory");
    allocator.free(beyond).unwrap();
}

#[test]
fn the_driver_is_asked_for_its_budget_only_when_a_block_is_taken() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let first = allocator.allocate(&request(64, Wish::default())).unwrap();
    let asked = sim.calls(Call::Budgets);
    for _ in 0..1000 {
        let allocation = allocator.allocate(&request(64, Wish::default())).unwrap();
        allocator.free(allocation).unwrap();
    }
    assert_eq!(sim.calls(Call::Budgets), asked);
    assert_eq!(sim.calls(Call::Allocate), 1, "nor is it asked for memory");
    allocator.free(first).unwrap();
}

#[test]
fn the_count_of_blocks_is_respected() {
    let mut layout = Layout::default();
    layout.properties.limits.block_count_max = 3;
    let sim = Sim::new(layout).unwrap();
    let allocator = Allocator::new(sim.clone(), Options::default());
    let wish = Wish { placement: Placement::Dedicated, ..Wish::default() };
    let live: Vec<_> = (0..3).map(|_| allocator.allocate(&request(64, wish)).unwrap()).collect();
    let error = allocator.allocate(&request(64, wish)).unwrap_err();
    let AllocError::OutOfMemory(shortage) = error else { panic!("{error}") };
    assert_eq!(shortage.cause, ShortageCause::BlockCount { count_max: 3 });
    live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
}

#[test]
fn a_leak_is_reported_by_name_and_its_memory_is_freed() {
    let sim = Sim::preset(Preset::Lavapipe);
    let options = Options { backtraces: !cfg!(miri), ..Options::default() };
    let allocator = Allocator::new(sim.clone(), options);
    let wish = Wish { name: Some("shadow map"), ..Wish::default() };
    drop(allocator.allocate(&request(1234, wish)).unwrap());
    drop(allocator.allocate(&request(10, Wish::default())).unwrap());
    let report = allocator.shutdown().unwrap_err();
    assert_eq!(report.leaks.len(), 2);
    let leak = &report.leaks[0];
    assert_eq!((leak.name.as_deref(), leak.size, leak.memory_type), (Some("shadow map"), 1234, 0));
    let trace = leak.backtrace.as_deref();
    assert!(cfg!(miri) || trace.is_some_and(|trace| trace.contains("a_leak_is_reported")));
    assert!(report.to_string().contains("2 allocations of 1244 bytes"));
    assert_eq!(sim.live().blocks, 0);
}

#[test]
fn memory_waits_for_its_frame() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = Arc::new(Allocator::new(sim.clone(), Options::default()));
    let make = || allocator.create_buffer(&Default::default(), &Wish::default()).unwrap();
    let size = 64 << 10;

    let own = || Owned::new(&allocator, make()).unwrap();
    drop(own());
    assert_eq!(allocator.used(), 0, "without frames an owning handle frees at once");

    allocator.begin_frame(0);
    drop(own());
    assert_eq!(allocator.used(), size, "frame 0 is a frame");
    allocator.complete_frame(0);
    assert_eq!(allocator.used(), 0);

    allocator.begin_frame(4);
    drop(own());
    own().free_after(6).unwrap();
    allocator.free_after(5, make()).unwrap();
    allocator.complete_frame(3);
    assert_eq!(allocator.used(), 3 * size);
    allocator.complete_frame(4);
    assert_eq!(allocator.used(), 2 * size);
    allocator.free_after(4, make()).unwrap();
    assert_eq!(allocator.used(), 2 * size, "a frame that is completed is not waited for");
    allocator.complete_frame(100);
    assert_eq!(allocator.used(), 0);

    let (_, buffer) = own().into_parts();
    allocator.destroy_buffer(buffer).unwrap();
    allocator.free_after(u64::MAX, make()).unwrap();
    allocator.complete_frame(u64::MAX);
    assert_eq!(allocator.used(), 0, "all frames are completed");
    let image = allocator.create_image(&ImageInfo::default(), &Wish::default()).unwrap();
    drop(Owned::new(&allocator, image).unwrap());
    drop(allocator);
    assert_eq!((sim.live().buffers, sim.live().images, sim.live().blocks), (0, 0, 0));
    assert_eq!(sim.violations(), []);
}

#[test]
fn an_owning_handle_is_of_its_own_allocator() {
    let make = || Arc::new(Allocator::new(Sim::preset(Preset::Lavapipe), Options::default()));
    let (one, other) = (make(), make());
    let allocation = one.allocate(&request(1000, Wish::default())).unwrap();
    let error = Owned::new(&other, allocation).unwrap_err();
    drop(Owned::new(&one, error.allocation).unwrap());
    assert_eq!(one.used(), 0);
}

#[test]
fn a_snapshot_tells_all_and_survives_json() {
    let allocator = Allocator::new(Sim::preset(Preset::NvidiaTuring164), Options::default());
    let wish = Wish { name: Some("mesh"), ..Wish::default() };
    let live = [1000, 2000].map(|size| allocator.allocate(&request(size, wish)).unwrap());
    let shot = allocator.snapshot();
    let kind = &shot.memory_types[live[0].memory_type() as usize];
    assert_eq!((kind.used(), kind.allocations()), (3000, 2));
    assert_eq!(kind.held(), shot.heaps[kind.heap as usize].held);
    let regions: BTreeMap<_, _> =
        kind.blocks[0].regions.iter().map(|region| (region.offset, region)).collect();
    let mut end = 0;
    for (offset, region) in regions {
        assert_eq!(offset, end, "the regions tile the block");
        end += region.size;
    }
    assert_eq!(end, kind.blocks[0].size);
    let text = serde_json::to_string(&shot).unwrap();
    assert!(text.contains("mesh"));
    assert_eq!(serde_json::from_str::<polder_device::Snapshot>(&text).unwrap(), shot);
    let stats = allocator.stats(live[0].memory_type());
    assert_eq!((stats.blocks, stats.allocations, stats.used), (1, 2, 3000));
    live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
}

#[test]
fn a_mapping_outlives_its_last_use_a_little() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let wish = Wish::of(Access::HostWrites);
    let mut kept = allocator.allocate(&request(64, wish)).unwrap();
    for _ in 0..10 {
        allocator.write(&mut kept, 0, &[1; 64]).unwrap();
    }
    assert_eq!(sim.calls(Call::Map), 1, "one mapping serves many uses");
    for _ in 0..100 {
        let allocation = allocator.allocate(&request(64, wish)).unwrap();
        allocator.free(allocation).unwrap();
    }
    assert_eq!(sim.calls(Call::Unmap), 1, "in the end it goes");
    allocator.free(kept).unwrap();
}
