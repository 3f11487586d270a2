//! What is mapped, what is answered wrongly, what fails.

use super::allocator;
use polder_device::defragment::{DefragmentError, Options};
use polder_device::sim::{Call, Preset, Sim};
use polder_device::{
    Access, Allocation, AllocationId, Allocator, DeviceError, Mapping, Misuse, Request,
    Requirements, Strategy, Wish,
};
use std::collections::{HashMap, HashSet};

pub fn request(size: u64, wish: Wish<'_>) -> Request<'_, Sim> {
    Request::new(Requirements { size, align: 64, ..Requirements::ANY }, wish)
}

/// Every second of many, so that there is something to do.
pub fn halves(
    allocator: &Allocator<Sim>,
    wish: Wish<'_>,
) -> HashMap<AllocationId, Allocation<Sim>> {
    let mut kept = HashMap::new();
    let all: Vec<_> = (0..200).map(|_| allocator.allocate(&request(4096, wish)).unwrap()).collect();
    for (number, allocation) in all.into_iter().enumerate() {
        if number % 2 == 0 {
            kept.insert(allocation.id(), allocation);
        } else {
            allocator.free(allocation).unwrap();
        }
    }
    kept
}

fn end(allocator: Allocator<Sim>, live: HashMap<AllocationId, Allocation<Sim>>) {
    allocator.check();
    live.into_values().for_each(|allocation| allocator.free(allocation).unwrap());
    allocator.check();
    allocator.shutdown().unwrap();
}

pub const PERSISTENT: Wish<'static> = Wish {
    access: Access::HostRandom,
    required: polder_device::MemoryProperties::empty(),
    preferred: polder_device::MemoryProperties::empty(),
    avoided: polder_device::MemoryProperties::empty(),
    memory_types: u32::MAX,
    align: 1,
    lifetime: polder_device::Lifetime::General,
    placement: polder_device::Placement::Auto,
    aliasing: polder_device::Aliasing::Never,
    mapping: Mapping::Persistent,
    budget: polder_device::BudgetRule::Prefer,
    spill: polder_device::Spill::Never,
    search: polder_device::Search::Quick,
    priority: Wish::PRIORITY_DEFAULT,
    device_mask: 0,
    name: Some("mapped"),
};

#[test]
fn what_is_mapped_all_its_life_gets_a_new_pointer() {
    let allocator = allocator(&Sim::preset(Preset::Lavapipe));
    let mut live = halves(&allocator, PERSISTENT);
    let mut work = allocator.defragment(&Options::default()).unwrap();
    let moves = work.begin_pass().unwrap().to_vec();
    assert!(!moves.is_empty());
    for one in &moves {
        let handle = live.get_mut(&one.allocation).unwrap();
        assert_eq!(handle.pointer(), one.source.pointer);
        work.copied(one.id, handle).unwrap();
        assert_eq!(handle.pointer(), one.target.pointer);
        assert!(handle.pointer().is_some());
    }
    work.end_pass().unwrap();
    drop(work);
    end(allocator, live);
}

#[test]
fn what_somebody_has_mapped_stays() {
    let allocator = allocator(&Sim::preset(Preset::Lavapipe));
    let live = halves(&allocator, Wish::of(Access::HostRandom));
    live.values().for_each(|handle| assert!(allocator.map(handle).is_ok()));
    let mut work = allocator.defragment(&Options::default()).unwrap();
    assert_eq!(work.begin_pass().unwrap().len(), 0);
    assert!(work.is_done());
    drop(work);
    live.values().for_each(|handle| allocator.unmap(handle).unwrap());
    end(allocator, live);
}

#[test]
fn misuse_is_an_error_and_changes_nothing() {
    let allocator = allocator(&Sim::preset(Preset::Lavapipe));
    let mut live = halves(&allocator, Wish::of(Access::HostRandom));
    let begin = |options: Options| allocator.defragment(&options).map(drop);
    let bytes_per_pass_max = 0;
    let zero = Options { bytes_per_pass_max, ..Options::default() };
    assert_eq!(begin(zero), Err(DefragmentError::ZeroLimit));
    let zero = Options { moves_per_pass_max: 0, ..Options::default() };
    assert_eq!(begin(zero), Err(DefragmentError::ZeroLimit));
    let none = Options { memory_type: Some(99), ..Options::default() };
    assert_eq!(begin(none), Err(DefragmentError::NoMemoryType { memory_type: 99 }));

    let few = Options { moves_per_pass_max: 5, ..Options::default() };
    let mut work = allocator.defragment(&few).unwrap();
    assert!(matches!(begin(Options::default()), Err(DefragmentError::Busy { .. })));
    assert_eq!(work.end_pass(), Err(DefragmentError::NoPass));
    let first = work.begin_pass().unwrap().to_vec();
    assert_eq!(work.begin_pass().map(<[_]>::len), Err(DefragmentError::PassOpen));

    let [one, two, three, four] = [first[0], first[1], first[2], first[3]];
    let mut handle = live.remove(&one.allocation).unwrap();
    let wrong = DefragmentError::WrongAllocation { expected: two.allocation, found: handle.id() };
    assert_eq!(work.copied(two.id, &mut handle), Err(wrong));
    assert_eq!(work.copied(one.id, &mut handle), Ok(()));
    let answered = DefragmentError::Answered { id: one.id };
    assert_eq!(work.copied(one.id, &mut handle), Err(answered));
    assert_eq!(work.ignore(one.id), Err(answered));
    let refused = work.destroy(one.id, handle).unwrap_err();
    assert_eq!(refused.reason, answered);
    live.insert(one.allocation, refused.allocation);

    let handle = live.get_mut(&two.allocation).unwrap();
    allocator.map(handle).unwrap();
    let mapped = DefragmentError::Mapped { id: two.allocation };
    assert_eq!(work.copied(two.id, handle), Err(mapped));
    allocator.unmap(handle).unwrap();

    let freed = live.remove(&three.allocation).unwrap();
    // SAFETY: The twin is used for nothing but this.
    let mut twin = unsafe { allocator.handle(freed.id()) }.unwrap();
    allocator.free(freed).unwrap();
    let stale = work.copied(three.id, &mut twin);
    assert!(matches!(stale, Err(DefragmentError::Misuse(Misuse::Stale { .. }))));
    let stale = work.destroy(three.id, twin).unwrap_err();
    assert!(matches!(stale.reason, DefragmentError::Misuse(Misuse::Stale { .. })));

    assert_eq!(work.ignore(four.id), Ok(()));
    assert_eq!(work.end_pass(), Ok(()));
    assert_eq!(work.end_pass(), Err(DefragmentError::NoPass));
    assert_eq!(work.ignore(two.id), Err(DefragmentError::NoPass));
    assert!(!work.begin_pass().unwrap().is_empty());
    assert_eq!(work.ignore(two.id), Err(DefragmentError::WrongPass { id: two.id }));
    assert!(work.moves().iter().all(|other| other.allocation != four.allocation));
    drop(work);
    assert_eq!(begin(Options::default()), Ok(()), "what is dropped lets others begin");
    end(allocator, live);
}

#[test]
#[cfg_attr(miri, ignore = "names alone are compared")]
fn a_move_of_another_allocator_is_of_no_pass_here() {
    let worlds = [1, 10].map(|moves_per_pass_max| {
        let allocator = allocator(&Sim::preset(Preset::Lavapipe));
        let live = halves(&allocator, Wish::default());
        (allocator, live, Options { moves_per_pass_max, ..Options::default() })
    });
    let [mut few, mut many] =
        worlds.each_ref().map(|(allocator, _, options)| allocator.defragment(options).unwrap());
    let [own] = *few.begin_pass().unwrap() else { panic!("one move is the most") };
    let others = many.begin_pass().unwrap().to_vec();
    assert_eq!(others.len(), 10);
    for id in others.iter().map(|other| other.id) {
        assert_eq!(few.ignore(id), Err(DefragmentError::WrongPass { id }));
    }
    assert_eq!(many.ignore(own.id), Err(DefragmentError::WrongPass { id: own.id }));
    assert_eq!(few.ignore(own.id), Ok(()));
    assert_eq!(many.ignore(others[0].id), Ok(()));
    drop((few, many));
    for (allocator, live, _) in worlds {
        end(allocator, live);
    }
}

#[test]
fn a_block_that_cannot_be_mapped_takes_nothing() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    // Dense blocks that nobody maps, then sparse ones that are mapped.
    let mut live = HashMap::new();
    for number in 0..100 {
        let wish = if number < 64 { Wish::of(Access::HostRandom) } else { PERSISTENT };
        let allocation = allocator.allocate(&request(4096, wish)).unwrap();
        live.insert(number, allocation);
    }
    let mapped = live.values().filter(|one| one.pointer().is_some());
    let mapped: HashSet<_> = mapped.map(Allocation::memory).collect();
    for number in (0..64).step_by(4).chain((64..100).filter(|number| number % 8 != 0)) {
        allocator.free(live.remove(&number).unwrap()).unwrap();
    }
    let mut live: HashMap<_, _> = live.into_values().map(|one| (one.id(), one)).collect();

    let calls = sim.calls(Call::Map);
    for n in 1..1000 {
        sim.fail(Call::Map, n, DeviceError::MapFailed);
    }
    let mut work = allocator.defragment(&Options::default()).unwrap();
    let moves = work.begin_pass().unwrap().to_vec();
    assert!(sim.calls(Call::Map) > calls, "a target was to be mapped");
    for one in moves.iter().filter(|one| one.source.pointer.is_some()) {
        assert!(mapped.contains(&one.target.memory), "no block is mapped that was not before");
    }
    allocator.check();
    drop(work);

    sim.clear_failures();
    let mut work = allocator.defragment(&Options::default()).unwrap();
    let moves = work.begin_pass().unwrap().to_vec();
    assert!(!moves.is_empty(), "now they can be");
    for one in moves {
        work.copied(one.id, live.get_mut(&one.allocation).unwrap()).unwrap();
    }
    work.end_pass().unwrap();
    drop(work);
    end(allocator, live);
    assert_eq!(sim.violations(), []);
}

#[test]
fn time_is_bounded_when_the_user_wants_it() {
    let allocator = allocator(&Sim::preset(Preset::Lavapipe));
    let mut live = halves(&allocator, Wish::default());
    let mut work = allocator.defragment(&Options::default()).unwrap();
    assert_eq!(work.begin_pass_while(|| false).unwrap().len(), 0);
    assert!(!work.is_done());
    let mut passes = 0;
    while !work.is_done() {
        let mut looks = 0;
        let moves = work
            .begin_pass_while(|| {
                looks += 1;
                looks < 2
            })
            .unwrap()
            .to_vec();
        assert!(moves.len() <= 64);
        passes += u32::from(!moves.is_empty());
        for one in &moves {
            work.copied(one.id, live.get_mut(&one.allocation).unwrap()).unwrap();
        }
        if !moves.is_empty() {
            work.end_pass().unwrap();
        }
    }
    assert!(passes > 0 && work.stats().blocks_freed > 0);
    drop(work);
    end(allocator, live);
}
