//! Memory for the device alone stays in the device's own, unless the wish lets it spill.

use polder_device::device::MemoryType;
use polder_device::sim::{Layout, Preset, Sim};
use polder_device::{
    Access, AllocError, Allocation, Allocator, BudgetRule, MemoryProperties, Options, Placement,
    Request, Requirements, Shortage, ShortageCause, Spill, Strategy, Verdict, Watermarks, Wish,
};
use std::sync::{Arc, Mutex};

const MIB: u64 = 1 << 20;
const LOCAL: MemoryProperties = MemoryProperties::DEVICE_LOCAL;

fn request(size: u64, wish: Wish<'_>) -> Request<'_, Sim> {
    Request::new(Requirements { size, align: 16, ..Requirements::ANY }, wish)
}

/// A device whose own heap has `size` bytes.
fn with_device_heap(preset: Preset, size: u64) -> Allocator<Sim> {
    let mut layout = preset.layout();
    let heaps = layout.properties.heaps.iter_mut();
    heaps.filter(|heap| heap.device_local).for_each(|heap| heap.size = size);
    Allocator::new(Sim::new(layout).unwrap(), Options::default())
}

/// Allocates until nothing is left, and says why.
fn fill(allocator: &Allocator<Sim>, wish: Wish<'_>) -> (Vec<Allocation<Sim>>, Shortage) {
    let mut live = Vec::new();
    loop {
        match allocator.allocate(&request(MIB, wish)) {
            Ok(allocation) => live.push(allocation),
            Err(AllocError::OutOfMemory(shortage)) => return (live, shortage),
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_local(allocator: &Allocator<Sim>, allocation: &Allocation<Sim>) -> bool {
    let kind: MemoryType = allocator.properties().memory_types[allocation.memory_type() as usize];
    kind.properties.contains(LOCAL)
}

#[test]
fn when_the_device_s_memory_is_full_the_error_names_what_would_be_next() {
    let allocator = with_device_heap(Preset::AmdNavi31, 4 * MIB);
    let (live, shortage) = fill(&allocator, Wish::default());
    assert_eq!(live.len(), 4, "all of the device's memory was given");
    assert!(live.iter().all(|allocation| is_local(&allocator, allocation)));
    assert_eq!((shortage.heap, shortage.cause), (1, ShortageCause::Driver));
    assert_eq!(shortage.spill, Some(2));
    let text = shortage.to_string();
    assert!(text.ends_with("; nothing may spill to memory type 2"), "{text}");

    let spills = Wish { spill: Spill::Allowed, ..Wish::default() };
    let beyond = allocator.allocate(&request(MIB, spills)).unwrap();
    assert_eq!(beyond.memory_type(), 2);
    live.into_iter().chain([beyond]).for_each(|one| allocator.free(one).unwrap());
    allocator.shutdown().unwrap();
}

#[test]
fn a_window_of_the_device_s_memory_is_no_spill() {
    let allocator = with_device_heap(Preset::AmdVega10, 4 * MIB);
    let (live, shortage) = fill(&allocator, Wish::default());
    assert_eq!(live.len(), 8, "two heaps of four");
    assert!(live.iter().any(|allocation| allocation.memory_type() == 3));
    assert_eq!(shortage.spill, Some(2));
    live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
}

#[test]
fn where_none_of_the_device_s_memory_fits_nothing_spills() {
    let allocator = with_device_heap(Preset::AmdNavi31, 4 * MIB);
    let of_host = Wish { memory_types: 0b100, ..Wish::default() };
    let allocation = allocator.allocate(&request(64 * MIB, of_host)).unwrap();
    assert_eq!(allocation.memory_type(), 2);
    allocator.free(allocation).unwrap();

    let mut layout = Layout::default();
    layout.properties.heaps[0].device_local = false;
    layout.properties.memory_types[0].properties -= LOCAL;
    let allocator = Allocator::new(Sim::new(layout).unwrap(), Options::default());
    let allocation = allocator.allocate(&request(MIB, Wish::default())).unwrap();
    allocator.free(allocation).unwrap();
}

#[test]
fn a_budget_that_is_a_wall_is_one_for_spilling_too() {
    let allocator = with_device_heap(Preset::AmdNavi31, 64 * MIB);
    allocator.device().set_budget(1, Some(MIB / 2));
    let within = Wish { budget: BudgetRule::Within, ..Wish::default() };
    let error = allocator.allocate(&request(MIB, within)).unwrap_err();
    let AllocError::OutOfMemory(shortage) = error else { panic!("{error}") };
    assert_eq!((shortage.cause, shortage.heap), (ShortageCause::Budget, 1));
    assert_eq!(shortage.spill, Some(2));
    let spills = Wish { spill: Spill::Allowed, ..within };
    let beyond = allocator.allocate(&request(MIB, spills)).unwrap();
    assert!(!is_local(&allocator, &beyond));
    allocator.free(beyond).unwrap();
}

#[test]
fn what_is_too_large_for_the_device_is_so_unless_it_spills() {
    let allocator = with_device_heap(Preset::AmdNavi31, 4 * MIB);
    let error = allocator.allocate(&request(5 * MIB, Wish::default())).unwrap_err();
    assert_eq!(error, AllocError::TooLarge { size: 5 * MIB, heap: 1, most: 4 * MIB });
    let spills = Wish { spill: Spill::Allowed, ..Wish::default() };
    let beyond = allocator.allocate(&request(5 * MIB, spills)).unwrap();
    assert_eq!(beyond.memory_type(), 2);
    allocator.free(beyond).unwrap();
}

#[test]
fn who_listens_is_asked_where_room_can_help_not_where_no_block_is_as_large() {
    let allocator = Arc::new(with_device_heap(Preset::AmdNavi31, 4 * MIB));
    allocator.set_heap_limit(0, 8 * MIB);
    let of_host = Wish { placement: Placement::Dedicated, ..Wish::of(Access::HostWrites) };
    let on_host = || allocator.allocate(&request(4 * MIB, of_host)).unwrap();
    let live = Arc::new(Mutex::new(vec![on_host(), on_host()]));
    let (weak, shared) = (Arc::downgrade(&allocator), live.clone());
    allocator.on_pressure(Watermarks { high: 100, low: 100 }, move |pressure| {
        assert_eq!(pressure.heap, 0, "the device's heap has no such block");
        let freed = std::mem::take(&mut *shared.lock().unwrap());
        freed.into_iter().for_each(|one| weak.upgrade().unwrap().free(one).unwrap());
    });
    let spills = Wish { spill: Spill::Allowed, ..Wish::default() };
    let beyond = allocator.allocate(&request(5 * MIB, spills)).unwrap();
    assert_eq!((beyond.memory_type(), live.lock().unwrap().len()), (2, 0));
    allocator.free(beyond).unwrap();
}

#[test]
fn vma_s_choice_and_the_host_s_memory_fall_back_as_ever() {
    let stated = Wish { preferred: LOCAL, ..Wish::of(Access::Stated) };
    let host = Wish { preferred: LOCAL, ..Wish::of(Access::HostWrites) };
    for wish in [stated, host] {
        let allocator = with_device_heap(Preset::AmdNavi31, 4 * MIB);
        let live: Vec<_> =
            (0..6).map(|_| allocator.allocate(&request(MIB, wish)).unwrap()).collect();
        let local = live.iter().filter(|allocation| is_local(&allocator, allocation)).count();
        assert_eq!(local, 4, "{:?}", wish.access);
        live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
    }
}

#[test]
fn who_prefers_host_memory_gets_it_first_and_the_rest_after_it() {
    let allocator = with_device_heap(Preset::AmdNavi31, 4 * MIB);
    let wish = Wish { preferred: MemoryProperties::HOST_CACHED, ..Wish::default() };
    let types: Vec<_> = allocator.explain(u32::MAX, &wish).types;
    assert!(!types[0].1.contains(LOCAL));
    let fits = |one: &(u32, MemoryProperties, Verdict)| matches!(one.2, Verdict::Fits { .. });
    assert!(types.iter().any(|one| fits(one) && one.1.contains(LOCAL)));
    let allocation = allocator.allocate(&request(64 * MIB, wish)).unwrap();
    allocator.free(allocation).unwrap();
}

#[test]
fn who_listens_is_asked_where_memory_would_have_spilt() {
    let allocator = Arc::new(with_device_heap(Preset::AmdNavi31, 4 * MIB));
    let (live, _) = fill(&allocator, Wish::default());
    let (weak, live) = (Arc::downgrade(&allocator), Arc::new(Mutex::new(live)));
    let shared = live.clone();
    allocator.on_pressure(Watermarks { high: 100, low: 100 }, move |pressure| {
        assert_eq!(pressure.heap, 1, "it is the device's heap that is short");
        let allocation = shared.lock().unwrap().pop().unwrap();
        weak.upgrade().unwrap().free(allocation).unwrap();
    });
    let made = allocator.allocate(&request(MIB, Wish::default())).unwrap();
    assert!(is_local(&allocator, &made));
    assert_eq!(live.lock().unwrap().len(), 3);
    allocator.free(made).unwrap();
    let rest = std::mem::take(&mut *live.lock().unwrap());
    rest.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
}

/// The rule, said once more: without the wish to spill, a fitting type that is not local is left
/// out when the cheapest one is.
#[test]
#[cfg_attr(miri, ignore = "exhaustive arithmetic without unsafe")]
fn the_explanation_and_what_is_tried_are_the_rule_on_every_preset() {
    let masks = [u32::MAX, !1, !0b111, 0b1010_1010, 0b0101_0110];
    let preferred = [MemoryProperties::empty(), LOCAL, MemoryProperties::HOST_CACHED];
    for preset in Preset::ALL {
        let allocator = Allocator::new(Sim::preset(preset), Options::default());
        for (access, preferred) in Access::ALL.into_iter().zip(preferred.into_iter().cycle()) {
            for allowed in masks {
                let spills = Wish { spill: Spill::Allowed, preferred, ..Wish::of(access) };
                let all = allocator.explain(allowed, &spills).types;
                let fits =
                    |one: &(u32, MemoryProperties, Verdict)| matches!(one.2, Verdict::Fits { .. });
                assert!(all.iter().all(|one| one.2 != Verdict::Spills));
                let stays = access == Access::DeviceOnly
                    && all.first().is_some_and(|one| fits(one) && one.1.contains(LOCAL));
                let expected: Vec<_> = all
                    .iter()
                    .filter(|one| fits(one) && (!stays || one.1.contains(LOCAL)))
                    .map(|one| one.0)
                    .collect();
                let wish = Wish { spill: Spill::Never, ..spills };
                let explanation = allocator.explain(allowed, &wish);
                let found: Vec<_> =
                    explanation.types.iter().filter(|one| fits(one)).map(|one| one.0).collect();
                assert_eq!(found, expected, "{preset:?} {access:?} {allowed:b}");
                let text = explanation.to_string();
                let spilt = all.iter().filter(|one| fits(one)).count() - expected.len();
                assert_eq!(text.matches("nothing may spill there").count(), spilt);
            }
        }
    }
}
