//! Plans against the naive rules, against every plan there is for tiny sets, and each error.
//! No `unsafe` is behind it, so that there is nothing for Miri to see.

#![cfg(not(miri))]

mod model;

use model::{check, least, play};
use polder_device::planner::{Life, Limit, PlanError, Planner, Transient};
use polder_device::sim::{Preset, Sim};
use polder_device::{Allocator, DedicatedWish, Options, Requirements, Strategy as _, Tiling, Wish};
use proptest::prelude::*;
use std::time::Duration;

fn buffer(size: u64, first: u32, last: u32) -> Transient {
    let requirements = Requirements { size, ..Requirements::ANY };
    Transient { requirements, tiling: Tiling::Linear, life: Life { first, last } }
}

fn planner(looks: u64) -> Planner {
    Planner { limit: Limit::LooksPerResource(looks), ..Planner::default() }
}

fn transient(moments: u32) -> impl Strategy<Value = Transient> {
    let size = prop_oneof![1u64..20, 1u64..5000, (0u32..20).prop_map(|log| 1 << log)];
    let types = prop_oneof![6 => Just(0b111), 1 => 1u32..8, 1 => Just(0b1000)];
    (size, 0u32..13, types, any::<bool>(), 0..moments, 0..moments).prop_map(
        |(size, align, memory_types, optimal, one, other)| Transient {
            requirements: Requirements {
                size,
                align: 1 << align,
                memory_types,
                dedicated: DedicatedWish::Preferred,
            },
            tiling: if optimal { Tiling::Optimal } else { Tiling::Linear },
            life: Life { first: one.min(other), last: one.max(other) },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_plan_keeps_every_rule(
        resources in proptest::collection::vec(transient(24), 0..120),
        granularity in prop_oneof![Just(1), Just(64), Just(4096)],
        looks in prop_oneof![Just(0), Just(100), Just(3000)],
    ) {
        play(Planner { granularity, ..planner(looks) }, &resources);
    }

    #[test]
    fn a_small_plan_is_the_least_there_is(
        shapes in proptest::collection::vec((1u64..12, 0u32..3, 0u32..7, 0u32..7), 1..7),
    ) {
        let resource = |&(size, align, one, other): &(u64, u32, u32, u32)| {
            let mut resource = buffer(size, u32::min(one, other), u32::max(one, other));
            resource.requirements.align = 1 << align;
            resource
        };
        let resources: Vec<_> = shapes.iter().map(resource).collect();
        let plan = planner(2_000_000).plan(&resources).unwrap();
        check(&resources, &plan, 1);
        let group = plan.groups()[0];
        prop_assert!(group.is_least, "the limit was long enough");
        prop_assert_eq!(group.size, least(&resources));
    }
}

#[test]
fn what_never_lives_together_shares_all_its_bytes() {
    let chain: Vec<_> = (0..100).map(|moment| buffer(1000, moment, moment)).collect();
    let plan = planner(0).plan(&chain).unwrap();
    assert_eq!((plan.size(), plan.bound()), (1000, 1000));
    assert!(plan.places().iter().all(|place| place.offset == 0));
}

#[test]
fn a_search_goes_below_the_first_plan() {
    let mut random = 1u64;
    let mut below = |end: u64| {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (random >> 33) % end
    };
    let mut lower = 0;
    for _ in 0..100 {
        let mut resource = |_| {
            let first = below(8) as u32;
            buffer(1 + below(9), first, first + below(4) as u32)
        };
        let resources: Vec<_> = (0..30).map(&mut resource).collect();
        let [first, plan] = [0, 200_000].map(|looks| planner(looks).plan(&resources).unwrap());
        check(&resources, &plan, 1);
        assert!(plan.groups()[0].is_least && plan.size() <= first.size());
        lower += u32::from(plan.size() < first.size());
    }
    assert!(lower > 0, "some first plans are not the least");
}

#[test]
fn groups_are_few_and_only_of_types_that_will_do() {
    let of = |memory_types, size| {
        let mut resource = buffer(size, 0, 0);
        resource.requirements.memory_types = memory_types;
        resource
    };
    let plan = planner(0).plan(&[of(0b011, 10), of(0b110, 20), of(0b100, 5)]).unwrap();
    let types: Vec<_> = plan.groups().iter().map(|group| group.memory_types).collect();
    assert_eq!(types, [0b010, 0b100]);
    assert_eq!(plan.places().iter().map(|place| place.group).collect::<Vec<_>>(), [0, 0, 1]);
    assert!(planner(0).plan(&[]).unwrap().groups().is_empty());
}

#[test]
fn the_tiling_that_pays_less_takes_whole_pages() {
    let image = Transient { tiling: Tiling::Optimal, ..buffer(4096, 0, 0) };
    let resources = [image, buffer(10, 0, 0), buffer(20, 0, 0)];
    let plan = Planner { granularity: 1024, ..planner(1 << 18) }.plan(&resources).unwrap();
    check(&resources, &plan, 1024);
    let group = plan.groups()[0];
    assert_eq!((group.size, group.align, group.tiling), (5120, 1024, None));
}

#[test]
fn each_bad_resource_is_named() {
    let good = buffer(10, 1, 2);
    let plan = |bad: Transient| planner(0).plan(&[good, bad]).unwrap_err();
    let with = |requirements| Transient { requirements, ..good };
    let needs = good.requirements;
    let resource = 1;
    assert_eq!(plan(buffer(0, 1, 2)), PlanError::ZeroSize { resource });
    for align in [0, 3] {
        let bad = with(Requirements { align, ..needs });
        assert_eq!(plan(bad), PlanError::BadAlign { resource, align });
    }
    assert_eq!(plan(buffer(1, 2, 1)), PlanError::BadLife { resource });
    let none = with(Requirements { memory_types: 0, ..needs });
    assert_eq!(plan(none), PlanError::NoMemoryType { resource });
    let alone = with(Requirements { dedicated: DedicatedWish::Required, ..needs });
    assert_eq!(plan(alone), PlanError::NeedsOwnBlock { resource });
    for size in [1 << 62, u64::MAX] {
        assert_eq!(plan(buffer(size, 0, u32::MAX)), PlanError::TooLarge);
    }
    for granularity in [0, 3] {
        let bad = Planner { granularity, ..planner(0) }.plan(&[good]);
        assert_eq!(bad, Err(PlanError::BadGranularity { granularity }));
    }
}

#[test]
fn a_planner_keeps_to_its_time() {
    let resource = |number: u64| {
        let first = (number * 7919 % 97) as u32;
        buffer(1 + number * 104_729 % 9973, first, first + (number % 31) as u32)
    };
    let resources: Vec<_> = (0..400).map(resource).collect();
    let limit = Limit::Time(Duration::from_millis(50));
    let begin = std::time::Instant::now();
    let plan = Planner { limit, ..Planner::default() }.plan(&resources).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20), "it ends");
    check(&resources, &plan, 1);
}

#[test]
fn a_plan_becomes_memory_and_goes_back() {
    let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
    let image = Transient { tiling: Tiling::Optimal, ..buffer(5000, 0, 1) };
    let plan = planner(0).plan(&[image, buffer(3000, 1, 1), buffer(4000, 2, 2)]).unwrap();
    let memory = plan.allocate(&allocator, &Wish::default()).unwrap();
    assert_eq!(allocator.used(), 8000);
    let offsets = [0, 1, 2].map(|resource| memory.place(resource).1);
    assert_eq!(offsets, [0, 5000, 0]);
    assert_eq!(memory.allocations().len(), 1);

    let other = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
    let refused = memory.free(&other).unwrap_err();
    assert_eq!(refused.allocation.place(1).1, 5000, "it comes back whole");
    refused.allocation.free(&allocator).unwrap();
    assert_eq!(allocator.used(), 0);
    allocator.shutdown().unwrap();
}

#[test]
fn memory_for_a_plan_is_all_or_nothing() {
    let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
    let mut far = buffer(1 << 50, 0, 0);
    far.requirements.memory_types = 0b10;
    let mut near = buffer(1000, 0, 0);
    near.requirements.memory_types = 0b01;
    let plan = planner(0).plan(&[near, far]).unwrap();
    assert_eq!(plan.groups().len(), 2);
    assert!(plan.allocate(&allocator, &Wish::default()).is_err());
    assert_eq!((allocator.used(), allocator.held()), (0, 0));
}
