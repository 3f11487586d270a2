//! Groups of devices: which of them have a block, and what is counted where.

use polder_device::device::{Group, Heap, MemoryType};
use polder_device::sim::{Call, Layout, Sim};
use polder_device::strategy::{Rules, Setup};
use polder_device::{
    Access, AllocError, Allocation, Allocator, BudgetRule, Contradiction, DeviceError, Factory,
    MapError, Mapping, MemoryProperties, Options, Placement, Request, Requirements, ShortageCause,
    Strategy, Watermarks, Wish,
};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const MIB: u64 = 1 << 20;
const HEAP: u64 = 64 * MIB;
const DEVICES: u32 = 3;
const ALL: u32 = 0b111;

/// Three devices, each with a heap of its own, of which the host sees a part, beside the host's.
fn layout() -> Layout {
    let mut layout = Layout::default();
    let properties = &mut layout.properties;
    let host = MemoryProperties::HOST_VISIBLE | MemoryProperties::HOST_COHERENT;
    let local = MemoryProperties::DEVICE_LOCAL;
    properties.heaps =
        vec![Heap { size: HEAP, device_local: true }, Heap { size: HEAP, device_local: false }];
    properties.memory_types = [(local, 0), (local | host, 0), (host, 1)]
        .map(|(properties, heap)| MemoryType { properties, heap })
        .to_vec();
    properties.group = Group { devices: DEVICES, heaps: 0b01 };
    layout
}

fn group() -> (Sim, Allocator<Sim>) {
    let sim = Sim::new(layout()).unwrap();
    (sim.clone(), Allocator::new(sim, Options::default()))
}

fn request(size: u64, wish: Wish<'_>) -> Request<'_, Sim> {
    Request::new(Requirements { size, align: 16, ..Requirements::ANY }, wish)
}

/// A block of its own on some of the devices.
fn alone(device_mask: u32) -> Wish<'static> {
    Wish { placement: Placement::Dedicated, device_mask, ..Wish::default() }
}

fn held(sim: &Sim) -> [u64; DEVICES as usize] {
    [0, 1, 2].map(|device| sim.held_on(0, device))
}

fn cause(result: Result<Allocation<Sim>, AllocError>) -> ShortageCause {
    match result {
        Err(AllocError::OutOfMemory(shortage)) => shortage.cause,
        other => panic!("{other:?} is no shortage"),
    }
}

#[test]
fn shared_blocks_are_on_all_devices_and_others_where_the_mask_says() {
    let (sim, allocator) = group();
    let shared = allocator.allocate(&request(100, Wish::default())).unwrap();
    let block = sim.block(shared.memory()).unwrap();
    assert_eq!((block.device_mask, held(&sim)), (ALL, [block.size; 3]));
    let user = Wish { device_mask: 0b10, ..Wish::default() };
    let beside = allocator.allocate(&request(100, user)).unwrap();
    assert_eq!(beside.memory(), shared.memory(), "a block that is on all is on that one");
    let nobody = Wish { device_mask: 0b1000, ..Wish::default() };
    let refused = allocator.allocate(&request(100, nobody)).unwrap_err();
    let wrong = Contradiction::DeviceMask { mask: 0b1000, devices: ALL };
    assert_eq!(refused, AllocError::Contradiction(wrong), "though there is room");
    let own = allocator.allocate(&request(MIB, alone(0b101))).unwrap();
    assert_eq!(sim.block(own.memory()).unwrap().device_mask, 0b101);
    assert_eq!(held(&sim), [block.size + MIB, block.size, block.size + MIB]);
    let of_host = Wish { access: Access::HostWrites, ..alone(0b10) };
    let host = allocator.allocate(&request(MIB, of_host)).unwrap();
    assert_eq!(sim.block(host.memory()).unwrap().device_mask, 0, "that heap has one instance");
    assert_eq!(sim.held(1), MIB);
    [shared, beside, own, host].into_iter().for_each(|one| allocator.free(one).unwrap());
    allocator.shutdown().unwrap();
    assert_eq!((held(&sim), sim.held(1)), ([0; 3], 0));
    assert_eq!(sim.violations(), []);
}

#[test]
fn each_device_has_the_whole_heap() {
    let (sim, allocator) = group();
    let fill = |mask| allocator.allocate(&request(HEAP, alone(mask)));
    let mut live = vec![fill(0b001).unwrap(), fill(0b010).unwrap()];
    assert_eq!(cause(fill(0b001)), ShortageCause::Driver);
    assert_eq!(cause(fill(ALL)), ShortageCause::Driver, "two of the three have nothing left");
    live.push(fill(0b100).unwrap());
    assert_eq!(held(&sim), [HEAP; 3]);
    live.into_iter().for_each(|one| allocator.free(one).unwrap());
    allocator.shutdown().unwrap();
    assert_eq!(sim.violations(), []);
}

#[test]
fn a_limit_is_each_device_s() {
    let (sim, allocator) = group();
    allocator.set_heap_limit(0, 2 * MIB);
    let make = |mask| allocator.allocate(&request(MIB, alone(mask)));
    let live = vec![make(0b011).unwrap(), make(0b110).unwrap()];
    let full = ShortageCause::Limit { limit: 2 * MIB };
    for mask in [0b010, 0b011, 0b110, ALL] {
        let before = allocator.budget_on(0, 0).held;
        assert_eq!(cause(make(mask)), full, "{mask:b}");
        assert_eq!(allocator.budget_on(0, 0).held, before, "what was reserved is given up");
    }
    let last = make(0b101).unwrap();
    assert_eq!(held(&sim), [2 * MIB; 3]);
    live.into_iter().chain([last]).for_each(|one| allocator.free(one).unwrap());
}

#[test]
fn a_budget_is_each_device_s_and_the_tightest_is_shown() {
    let (sim, allocator) = group();
    sim.set_budget_on(0, 1, Some(MIB));
    let within = |mask| {
        let wish = Wish { budget: BudgetRule::Within, ..alone(mask) };
        allocator.allocate(&request(2 * MIB, wish))
    };
    let live = [within(0b001).unwrap(), within(0b100).unwrap()];
    for mask in [0b010, 0b011, 0] {
        assert_eq!(cause(within(mask)), ShortageCause::Budget, "{mask:b}");
    }
    allocator.begin_frame(1);
    let figures = |device| {
        let budget = allocator.budget_on(0, device);
        (budget.budget, budget.usage, budget.held)
    };
    assert_eq!(figures(0), (HEAP, 2 * MIB, 2 * MIB));
    assert_eq!(figures(1), (MIB, 0, 0));
    let shown = allocator.budget(0);
    assert_eq!((shown.budget, shown.blocks), (MIB, 2), "the device with the least left");
    assert_eq!(allocator.snapshot().heaps[0].budget, MIB);
    assert_eq!(allocator.budget(1), allocator.budget_on(1, 2), "the host's heap is one for all");
    live.into_iter().for_each(|one| allocator.free(one).unwrap());
}

#[test]
fn without_the_driver_s_word_each_device_has_an_estimate() {
    let mut layout = layout();
    layout.memory_budget = false;
    let allocator = Allocator::new(Sim::new(layout).unwrap(), Options::default());
    let one = allocator.allocate(&request(MIB, alone(0b010))).unwrap();
    let usage = [0, 1, 2].map(|device| allocator.budget_on(0, device).usage);
    assert_eq!(usage, [0, MIB, 0]);
    assert_eq!(allocator.budget(0).usage, MIB);
    allocator.free(one).unwrap();
}

#[test]
fn who_listens_is_told_of_the_device_that_is_short() {
    let (sim, allocator) = group();
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    allocator.on_pressure(Watermarks::default(), move |pressure| {
        seen.lock().unwrap().push((pressure.heap, pressure.excess));
    });
    let live = allocator.allocate(&request(10 * MIB, alone(0b110))).unwrap();
    sim.set_budget_on(0, 0, Some(MIB));
    allocator.begin_frame(1);
    assert!(told.lock().unwrap().is_empty(), "nothing is used there");
    sim.set_budget_on(0, 2, Some(5 * MIB));
    allocator.begin_frame(2);
    assert_eq!(*told.lock().unwrap(), [(0, 6 * MIB)]);
    allocator.free(live).unwrap();
}

#[test]
fn a_pool_s_blocks_are_on_the_devices_of_its_rules() {
    let (sim, allocator) = group();
    let rules = Rules { device_mask: 0b011, ..Rules::default() };
    let pool = allocator.create_pool(&Setup { rules, ..Setup::default() }, &[]).unwrap();
    let shared = pool.allocate(&request(100, Wish::default())).unwrap();
    assert_eq!(sim.block(shared.memory()).unwrap().device_mask, 0b011);
    assert_eq!(sim.held_on(0, 2), 0);
    let user = Wish { device_mask: 0b001, ..Wish::default() };
    let beside = pool.allocate(&request(100, user)).unwrap();
    assert_eq!(beside.memory(), shared.memory());
    let (whole, part) = (alone(0), alone(0b010));
    let [whole, part] = [whole, part].map(|wish| pool.allocate(&request(MIB, wish)).unwrap());
    let mask = |one: &Allocation<Sim>| sim.block(one.memory()).unwrap().device_mask;
    assert_eq!((mask(&whole), mask(&part)), (0b011, 0b010));
    for wish in [alone(0b100), Wish { device_mask: 0b110, ..Wish::default() }] {
        let error = pool.allocate(&request(100, wish)).unwrap_err();
        let beyond = Contradiction::DeviceMask { mask: wish.device_mask, devices: 0b011 };
        assert_eq!(error, AllocError::Contradiction(beyond));
    }
    [shared, beside, whole, part].into_iter().for_each(|one| pool.free(one).unwrap());
    pool.check();
    drop(pool);
    assert_eq!((held(&sim), sim.violations()), ([0; 3], vec![]));
}

#[test]
#[should_panic(expected = "a mask names devices of the group")]
fn a_pool_on_a_device_that_is_not_there_is_a_mistake() {
    let (_, allocator) = group();
    let rules = Rules { device_mask: 0b1000, ..Rules::default() };
    let _ = allocator.create_pool(&Setup { rules, ..Setup::default() }, &[]);
}

#[test]
fn a_mask_with_a_device_that_is_not_there_is_an_error() {
    let (sim, allocator) = group();
    let single = Allocator::new(Sim::new(Layout::default()).unwrap(), Options::default());
    for (allocator, devices) in [(&allocator, ALL), (&single, 1)] {
        let mask = devices + 1;
        let error = allocator.allocate(&request(100, alone(mask))).unwrap_err();
        let beyond = Contradiction::DeviceMask { mask, devices };
        assert_eq!(error, AllocError::Contradiction(beyond));
        let one = allocator.allocate(&request(100, alone(1))).unwrap();
        allocator.free(one).unwrap();
    }
    assert_eq!((sim.calls(Call::Allocate), sim.violations()), (1, vec![]));
}

#[test]
fn what_has_several_instances_is_not_the_host_s_to_see() {
    let (sim, allocator) = group();
    let info = Default::default();
    for access in [Access::HostWrites, Access::HostReads, Access::HostRandom] {
        let preferred = MemoryProperties::DEVICE_LOCAL;
        let mut buffer =
            allocator.create_buffer(&info, &Wish { preferred, ..Wish::of(access) }).unwrap();
        assert_eq!(buffer.allocation().memory_type(), 2, "the host's own");
        allocator.write(buffer.allocation_mut(), 0, &[1; 16]).unwrap();
        allocator.destroy_buffer(buffer).unwrap();
    }
    let setup = Setup { memory_type: 1, ..Setup::default() };
    let pool = allocator.create_pool(&setup, &[]).unwrap();
    let wish = Wish { mapping: Mapping::WhereVisible, ..Wish::default() };
    let hidden = pool.allocate(&request(100, wish)).unwrap();
    assert_eq!(hidden.pointer(), None);
    assert_eq!(pool.map(&hidden).unwrap_err(), MapError::NotHostVisible { memory_type: 1 });
    pool.free(hidden).unwrap();
    assert_eq!(sim.violations(), []);

    let mut layout = layout();
    layout.properties.group = Group { devices: 1, ..layout.properties.group };
    let sim = Sim::new(layout).unwrap();
    let allocator = Allocator::new(sim.clone(), Options::default());
    let required = MemoryProperties::DEVICE_LOCAL;
    let wish = Wish { required, mapping: Mapping::Persistent, ..Wish::of(Access::HostWrites) };
    let window = allocator.allocate(&request(100, wish)).unwrap();
    assert_eq!(window.memory_type(), 1, "one device alone has one instance");
    allocator.free(window).unwrap();
    assert_eq!(sim.violations(), []);
}

#[test]
fn a_call_that_fails_leaves_every_device_as_it_was() {
    for mask in 0..=ALL {
        let (sim, allocator) = group();
        let kept = allocator.allocate(&request(MIB, alone(0b110))).unwrap();
        let figures = || [0, 1, 2].map(|device| allocator.budget_on(0, device).held);
        let before = (held(&sim), figures());
        (1..=8).for_each(|n| sim.fail(Call::Allocate, n, DeviceError::OutOfDeviceMemory));
        assert_eq!(cause(allocator.allocate(&request(MIB, alone(mask)))), ShortageCause::Driver);
        sim.clear_failures();
        assert_eq!((held(&sim), figures()), before, "{mask:b}");
        allocator.free(kept).unwrap();
        allocator.shutdown().unwrap();
        assert_eq!(held(&sim), [0; 3]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 48 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Each device's bytes are those of the blocks whose mask names it.
    #[test]
    fn what_each_device_holds_is_the_sum_of_its_blocks(
        steps in proptest::collection::vec((0u32..=ALL, 1u64..24, any::<bool>()), 1..60),
    ) {
        let (sim, allocator) = group();
        let mut live: Vec<(Allocation<Sim>, u32, u64)> = Vec::new();
        for (mask, size, makes) in steps {
            let size = size * MIB;
            let sum = |device: u32| -> u64 {
                let there = live.iter().filter(|(_, mask, _)| mask >> device & 1 == 1);
                there.map(|(.., size)| size).sum()
            };
            let sums = [0, 1, 2].map(sum);
            if makes {
                let effective = if mask == 0 { ALL } else { mask };
                let fits = (0..DEVICES)
                    .filter(|device| effective >> device & 1 == 1)
                    .all(|device| sums[device as usize] + size <= HEAP);
                let made = allocator.allocate(&request(size, alone(mask)));
                prop_assert_eq!(made.is_ok(), fits, "{} bytes on {:b} of {:?}", size, mask, sums);
                live.extend(made.ok().map(|one| (one, effective, size)));
            } else if !live.is_empty() {
                let which = (mask as usize * 7 + size as usize) % live.len();
                allocator.free(live.swap_remove(which).0).unwrap();
            }
            let sum = |device: u32| -> u64 {
                let there = live.iter().filter(|(_, mask, _)| mask >> device & 1 == 1);
                there.map(|(.., size)| size).sum()
            };
            let sums = [0, 1, 2].map(sum);
            prop_assert_eq!(held(&sim), sums);
            prop_assert_eq!([0, 1, 2].map(|device| allocator.budget_on(0, device).held), sums);
            let whole: u64 = live.iter().map(|(.., size)| size).sum();
            prop_assert_eq!(allocator.held(), whole);
        }
        live.into_iter().for_each(|(one, ..)| allocator.free(one).unwrap());
        allocator.shutdown().unwrap();
        prop_assert_eq!(sim.violations(), []);
    }
}
