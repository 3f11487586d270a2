//! Ranges of buffers: against a naive model on devices of every kind, with threads, with failing
//! drivers, and every typed error.

use polder_device::pressure::Watermarks;
use polder_device::ranges::{
    ArenaOptions, BufferArena, BufferRange, Divisible, Limits, Move, Pass, RangeError, RangeId,
    RangeMisuse, RangeRequest,
};
use polder_device::sim::{BufferCopy, BufferUsage, Call, Preset, Sim};
use polder_device::{
    Access, Allocator, CreateError, DeviceError, MapError, Options, Strategy as _,
};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const USAGE: BufferUsage =
    BufferUsage::VERTEX.union(BufferUsage::TRANSFER).union(BufferUsage::DEVICE_ADDRESS);
/// Buffers that a few ranges fill.
const SMALL: ArenaOptions = ArenaOptions { size_least: 4 << 10, size_most: 32 << 10, shards: 1 };

fn allocator(preset: Preset) -> Arc<Allocator<Sim>> {
    Arc::new(Allocator::new(Sim::preset(preset), Options::default()))
}

fn arena(allocator: &Arc<Allocator<Sim>>, access: Access) -> BufferArena<Sim> {
    BufferArena::new(allocator, USAGE, access, SMALL).unwrap()
}

/// Copies on the device, as a user's command buffer would: in any order, so the last first.
fn copy(device: &Sim, pass: &Pass<Sim>) {
    let targets: Vec<_> = pass.moves().iter().map(|one| one.target.id()).collect();
    assert!(pass.moves().iter().all(|one| !targets.contains(&one.id)), "a target moves on");
    for Move { source, source_offset, target, .. } in pass.moves().iter().rev() {
        let copy = BufferCopy {
            source: *source,
            source_offset: *source_offset,
            target: target.buffer(),
            target_offset: target.offset(),
            len: target.size(),
        };
        // SAFETY: No host touches either meanwhile.
        unsafe { device.copy_buffer(&copy) }.unwrap();
    }
}

#[derive(Clone, Debug)]
enum Action {
    Allocate { size: u64, align: u64 },
    Free(usize),
    FreeAfter(usize, u64),
    Complete(u64),
    Pass { bytes: u64, moves: usize, freed: usize },
    Trim,
}

fn action() -> impl Strategy<Value = Action> {
    let size = prop_oneof![8 => 1u64..2000, 1 => 1u64..40_000];
    prop_oneof![
        20 => (size, 0u32..10).prop_map(|(size, log)| Action::Allocate { size, align: 1 << log }),
        9 => any::<usize>().prop_map(Action::Free),
        3 => (any::<usize>(), 0u64..20).prop_map(|(at, frame)| Action::FreeAfter(at, frame)),
        1 => (0u64..20).prop_map(Action::Complete),
        2 => (0u64..9000, 0usize..20, any::<usize>())
            .prop_map(|(bytes, moves, freed)| Action::Pass { bytes, moves, freed }),
        1 => Just(Action::Trim),
    ]
}

/// What a user of the arena remembers.
struct Model {
    arena: BufferArena<Sim>,
    /// Each with the byte that it is full of.
    live: Vec<(BufferRange<Sim>, u8)>,
    /// Bytes that wait for each frame.
    waiting: Vec<u64>,
    completed: Option<u64>,
    next: u8,
}

impl Model {
    fn step(&mut self, action: &Action) {
        match *action {
            Action::Allocate { size, align } => self.allocate(size, align),
            Action::Free(at) => {
                if let Some((range, _)) = self.take(at) {
                    self.arena.free(range).unwrap();
                }
            }
            Action::FreeAfter(at, frame) => {
                if let Some((range, _)) = self.take(at) {
                    if self.completed.is_none_or(|completed| frame > completed) {
                        self.waiting.push(frame);
                    }
                    self.arena.free_after(frame, range).unwrap();
                }
            }
            Action::Complete(frame) => {
                self.completed = self.completed.max(Some(frame));
                self.waiting.retain(|&waits| waits > frame);
                self.arena.complete_frame(frame);
            }
            Action::Pass { bytes, moves, freed } => self.pass(bytes, moves, freed),
            Action::Trim => self.arena.trim(),
        }
        self.verify();
    }

    fn allocate(&mut self, size: u64, align: u64) {
        let request = RangeRequest { align, ..RangeRequest::new(size) };
        let mut range = self.arena.allocate(request).unwrap();
        self.next = self.next.wrapping_add(1);
        assert_eq!(range.size(), size);
        assert!(range.offset().is_multiple_of(align));
        let device = self.arena.allocator().device();
        assert!(range.offset().is_multiple_of(device.range_align(USAGE)));
        self.arena.write(&mut range, 0, &vec![self.next; size as usize]).unwrap();
        self.live.push((range, self.next));
    }

    fn take(&mut self, at: usize) -> Option<(BufferRange<Sim>, u8)> {
        let count = self.live.len();
        (count > 0).then(|| self.live.swap_remove(at % count))
    }

    /// Compacts, and frees one range while the copies are made.
    fn pass(&mut self, bytes: u64, moves: usize, freed: usize) {
        let pass = self.arena.begin_pass(Limits { bytes, moves });
        assert!(pass.moves().len() <= moves);
        assert!(pass.moves().iter().map(|one| one.target.size()).sum::<u64>() <= bytes);
        copy(self.arena.allocator().device(), &pass);
        if let Some((range, _)) = self.take(freed) {
            self.arena.free(range).unwrap();
        }
        let live = &mut self.live;
        self.arena
            .end_pass(pass, |id: RangeId, target| {
                let moved = live.iter_mut().find(|(range, _)| range.id() == id);
                moved.expect("what was freed or waits has not moved").0 = target;
            })
            .unwrap();
    }

    fn verify(&self) {
        let mut places: Vec<_> = self.live.iter().map(|(range, _)| range).collect();
        places.sort_by_key(|range| (range.address(), range.offset()));
        for pair in places.windows(2) {
            let apart = pair[0].buffer() != pair[1].buffer()
                || pair[0].offset() + pair[0].size() <= pair[1].offset();
            assert!(apart, "{:?} and {:?} lie over one another", pair[0], pair[1]);
        }
        for (range, byte) in &self.live {
            let mut bytes = vec![0; range.size() as usize];
            self.arena.read(range, 0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|found| found == byte), "{range:?} has lost its bytes");
        }
        let stats = self.arena.stats();
        let shown = self.arena.snapshot();
        assert_eq!(stats.blocks, shown.len() as u64);
        assert_eq!(stats.held, shown.iter().map(|block| block.size).sum::<u64>());
        assert!(stats.held <= self.arena.allocator().held());
    }
}

fn play(preset: Preset, actions: &[Action]) {
    let allocator = allocator(preset);
    let arena = arena(&allocator, Access::HostRandom);
    let (live, waiting) = (Vec::new(), Vec::new());
    let mut model = Model { arena, live, waiting, completed: None, next: 0 };
    actions.iter().for_each(|action| model.step(action));
    let Model { arena, live, .. } = model;
    for (range, _) in live {
        arena.free(range).unwrap();
    }
    arena.complete_frame(u64::MAX);
    arena.trim();
    assert_eq!((arena.stats().blocks, allocator.used()), (0, 0));
    arena.shutdown().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 24 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn ranges_agree_with_the_model(
        actions in proptest::collection::vec(action(), 1..if cfg!(miri) { 10 } else { 80 }),
    ) {
        let presets = [Preset::Lavapipe, Preset::AmdVega10, Preset::Adreno630, Preset::Mock];
        let count = if cfg!(miri) { 1 } else { presets.len() };
        presets[..count].iter().for_each(|&preset| play(preset, &actions));
    }
}

/// Half of what fills many buffers is freed; what is left fits in half of them.
#[test]
#[cfg_attr(miri, ignore = "hundreds of ranges; the model has few")]
fn a_pass_gives_buffers_back_and_loses_nothing() {
    let allocator = allocator(Preset::AmdNavi31);
    let arena = arena(&allocator, Access::HostRandom);
    let ranges: Vec<_> =
        (0..400).map(|_| arena.allocate(RangeRequest::new(1000)).unwrap()).collect();
    let mut live = HashMap::new();
    for (number, mut range) in ranges.into_iter().enumerate() {
        arena.write(&mut range, 0, &[number as u8; 1000]).unwrap();
        if number % 2 == 0 {
            live.insert(range.id(), (range, number as u8));
        } else {
            arena.free(range).unwrap();
        }
    }
    let before = arena.stats();
    let limits = Limits { bytes: u64::MAX, moves: usize::MAX };
    let pass = arena.begin_pass(limits);
    copy(allocator.device(), &pass);
    let bytes: u64 = pass.moves().iter().map(|one| one.target.size()).sum();
    arena
        .end_pass(pass, |id, target| {
            let (_, byte) = live.remove(&id).unwrap();
            live.insert(target.id(), (target, byte));
        })
        .unwrap();
    arena.trim();
    let after = arena.stats();
    assert_eq!((after.used, live.len()), (before.used, 200));
    assert!(after.held * 10 <= before.held * 6, "{before:?} became {after:?}");
    assert!(bytes <= before.used * 6 / 10, "{bytes} bytes moved of {}", before.used);
    for (range, byte) in live.into_values() {
        let mut found = [0; 1000];
        arena.read(&range, 0, &mut found).unwrap();
        assert_eq!(found, [byte; 1000]);
        arena.free(range).unwrap();
    }
    arena.shutdown().unwrap();
}

/// Fills as many buffers as there are numbers, with so many ranges of an eighth of a buffer each.
fn buffers(arena: &BufferArena<Sim>, counts: &[usize]) -> Vec<Vec<BufferRange<Sim>>> {
    let eight = || (0..8).map(|_| arena.allocate(RangeRequest::new(512)).unwrap()).collect();
    let mut all: Vec<Vec<_>> = counts.iter().map(|_| eight()).collect();
    for (ranges, &count) in all.iter_mut().zip(counts) {
        assert!(ranges.iter().all(|range| range.buffer() == ranges[0].buffer()));
        ranges.drain(count..).for_each(|range| arena.free(range).unwrap());
    }
    all
}

fn single(allocator: &Arc<Allocator<Sim>>) -> BufferArena<Sim> {
    let options = ArenaOptions { size_least: 4 << 10, size_most: 4 << 10, shards: 1 };
    BufferArena::new(allocator, USAGE, Access::HostRandom, options).unwrap()
}

/// Puts the target of a move where the range is that has moved.
fn replace(live: &mut [BufferRange<Sim>], id: RangeId, target: BufferRange<Sim>) {
    *live.iter_mut().find(|range| range.id() == id).expect("what moved is held") = target;
}

const NO_LIMITS: Limits = Limits { bytes: u64::MAX, moves: usize::MAX };

#[test]
fn what_is_copied_to_is_copied_from_by_no_open_pass() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = single(&allocator);
    let mut live = buffers(&arena, &[1, 1, 3]).into_iter().flatten().collect::<Vec<_>>();
    let passes = [(); 2].map(|()| arena.begin_pass(NO_LIMITS));
    let moves = || passes.iter().flat_map(Pass::moves);
    assert!(moves().count() > 0);
    assert!(moves().all(|one| moves().all(|other| one.target.id() != other.id)));
    for pass in passes {
        arena.end_pass(pass, |id, target| replace(&mut live, id, target)).unwrap();
    }
    live.into_iter().for_each(|range| arena.free(range).unwrap());
    arena.shutdown().unwrap();
}

#[test]
fn passes_come_to_an_end_with_as_few_buffers_as_can_be() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = single(&allocator);
    let mut live = buffers(&arena, &[8, 1, 3]).into_iter().flatten().collect::<Vec<_>>();
    // The first buffer is the empty one that is kept.
    live.drain(..8).for_each(|range| arena.free(range).unwrap());
    let mut count = 0;
    loop {
        let pass = arena.begin_pass(Limits { moves: 1, ..NO_LIMITS });
        if pass.is_empty() {
            arena.end_pass(pass, |_, _| ()).unwrap();
            break;
        }
        arena.end_pass(pass, |id, target| replace(&mut live, id, target)).unwrap();
        count += 1;
        assert!(count < 100, "it goes round");
    }
    arena.trim();
    assert_eq!(arena.stats().blocks, 1);
    live.into_iter().for_each(|range| arena.free(range).unwrap());
    arena.shutdown().unwrap();
}

#[test]
fn a_buffer_that_is_copied_from_stays_until_the_pass_ends() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = single(&allocator);
    let mut all = buffers(&arena, &[8, 1, 3]);
    let [idle, moving, others] = [(); 3].map(|()| all.remove(0));
    idle.into_iter().for_each(|range| arena.free(range).unwrap());
    let made = || allocator.device().live().buffers;
    let before = made();
    let pass = arena.begin_pass(NO_LIMITS);
    assert_eq!(pass.moves()[0].source, moving[0].buffer());
    moving.into_iter().for_each(|range| arena.free(range).unwrap());
    assert_eq!(made(), before);
    arena.end_pass(pass, |_, _| panic!("what moved was freed")).unwrap();
    assert_eq!(made(), before - 1, "of two empty buffers one is kept");
    others.into_iter().for_each(|range| arena.free(range).unwrap());
    arena.shutdown().unwrap();
}

#[test]
fn a_pass_is_ended_by_the_arena_that_began_it() {
    let allocator = allocator(Preset::Lavapipe);
    let [one, other] = [(); 2].map(|()| single(&allocator));
    let live: Vec<_> = buffers(&one, &[1, 3]).into_iter().flatten().collect();
    let refused = other.end_pass(one.begin_pass(NO_LIMITS), |_, _| ()).unwrap_err();
    assert!(matches!(refused.reason, RangeMisuse::WrongArena { .. }));
    let mut moved = Vec::new();
    one.end_pass(refused.pass, |id, target| moved.push((id, target))).unwrap();
    assert_eq!(moved.len(), 1);
    for range in live.into_iter().filter(|range| range.id() != moved[0].0) {
        one.free(range).unwrap();
    }
    moved.into_iter().for_each(|(_, target)| one.free(target).unwrap());
    one.shutdown().unwrap();
}

/// Who is told that memory is short may give back what an arena holds.
#[test]
fn an_arena_is_used_while_it_asks_for_memory() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = Arc::new(single(&allocator));
    let kept = Mutex::new(Some(arena.allocate(RangeRequest::new(512)).unwrap()));
    let heap = allocator.properties().memory_types[0].heap;
    allocator.set_heap_limit(heap, allocator.held());
    let (trimmed, told) = (Arc::downgrade(&arena), Arc::new(Mutex::new(0)));
    let count = told.clone();
    allocator.on_pressure(Watermarks::default(), move |_| {
        let arena = trimmed.upgrade().unwrap();
        kept.lock().unwrap().take().into_iter().for_each(|range| arena.free(range).unwrap());
        arena.trim();
        *count.lock().unwrap() += 1;
    });
    let range = arena.allocate(RangeRequest::new(allocator.held())).unwrap();
    assert!(*told.lock().unwrap() > 0);
    assert_eq!(arena.stats().blocks, 1, "what was given back made room");
    arena.free(range).unwrap();
}

#[test]
fn the_last_frame_is_completed_too() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = single(&allocator);
    let range = arena.allocate(RangeRequest::new(512)).unwrap();
    arena.free_after(u64::MAX, range).unwrap();
    arena.complete_frame(u64::MAX);
    assert_eq!(arena.stats().allocations, 0);
    arena.shutdown().unwrap();
}

/// A thread reads and writes what a pass of another frees.
#[test]
fn a_range_is_read_and_written_while_passes_end() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = single(&allocator);
    let mut all = buffers(&arena, &[1, 3]);
    let [mut moving, others] = [(); 2].map(|()| all.remove(0));
    let pass = arena.begin_pass(NO_LIMITS);
    let mut moved = Vec::new();
    std::thread::scope(|scope| {
        let (arena, old) = (&arena, &mut moving[0]);
        scope.spawn(move || {
            let mut bytes = [0; 512];
            let stale = |result| matches!(result, Err(RangeError::Misuse(_)));
            while !stale(arena.write(old, 0, &bytes)) && !stale(arena.read(old, 0, &mut bytes)) {}
        });
        arena.end_pass(pass, |_, target| moved.push(target)).unwrap();
        arena.trim();
    });
    moved.into_iter().chain(others).for_each(|range| arena.free(range).unwrap());
    arena.shutdown().unwrap();
}

#[test]
fn threads_allocate_free_and_move_together() {
    let allocator = allocator(Preset::AmdNavi31);
    let options = ArenaOptions { shards: 2, ..SMALL };
    let arena = BufferArena::new(&allocator, USAGE, Access::HostRandom, options).unwrap();
    let moved: Mutex<HashMap<RangeId, BufferRange<Sim>>> = Mutex::default();
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            let (arena, moved) = (&arena, &moved);
            scope.spawn(move || {
                let mut live: Vec<BufferRange<Sim>> = Vec::new();
                for step in 0..if cfg!(miri) { 8 } else { 2000 } {
                    let size = 1 + (step * 37 + thread * 11) % 3000;
                    live.push(arena.allocate(RangeRequest::new(size)).unwrap());
                    if live.len() > 20 {
                        let old = live.swap_remove((step % 20) as usize);
                        // What was moved meanwhile is freed by its new name.
                        if let Err(error) = arena.free(old) {
                            let target = moved.lock().unwrap().remove(&error.range.id());
                            arena.free(target.expect("it was moved")).unwrap();
                        }
                    }
                }
                for range in live {
                    if let Err(error) = arena.free(range) {
                        let target = moved.lock().unwrap().remove(&error.range.id());
                        arena.free(target.expect("it was moved")).unwrap();
                    }
                }
            });
        }
        for _ in 0..if cfg!(miri) { 2 } else { 50 } {
            // The lock is held so that a thread that finds its range moved also finds where to.
            let mut moved = moved.lock().unwrap();
            let pass = arena.begin_pass(Limits { bytes: 100_000, moves: 10 });
            arena
                .end_pass(pass, |id, target| {
                    // A range that has moved before has the name of then for its thread.
                    let first =
                        moved.iter().find(|(_, range)| range.id() == id).map(|(first, _)| *first);
                    moved.insert(first.unwrap_or(id), target);
                })
                .unwrap();
        }
    });
    arena.shutdown().unwrap();
    assert_eq!(allocator.used(), 0);
}

#[test]
fn a_driver_that_fails_at_any_step_leaves_everything_as_it_was() {
    for call in [Call::CreateBuffer, Call::Allocate, Call::Bind, Call::Map] {
        let allocator = allocator(Preset::Lavapipe);
        let arena = arena(&allocator, Access::HostRandom);
        let kept = arena.allocate(RangeRequest::new(4096)).unwrap();
        let before = (arena.stats(), allocator.used());
        for n in 1..=2 {
            allocator.device().fail(call, n, DeviceError::OutOfHostMemory);
        }
        let failed = arena.allocate(RangeRequest::new(30_000));
        let is_told = matches!(failed, Err(RangeError::Buffer(_)));
        // A map may be made already, and a smaller buffer may do.
        assert!(is_told || failed.is_ok(), "{call:?}: {failed:?}");
        if let Ok(range) = failed {
            arena.free(range).unwrap();
            arena.trim();
        }
        assert_eq!((arena.stats(), allocator.used()), before, "{call:?}");
        arena.free(kept).unwrap();
        arena.shutdown().unwrap();
    }
}

#[test]
fn a_failed_buffer_names_its_step() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = arena(&allocator, Access::DeviceOnly);
    allocator.device().fail(Call::CreateBuffer, 1, DeviceError::OutOfHostMemory);
    let failed = arena.allocate(RangeRequest::new(1)).unwrap_err();
    assert_eq!(failed, RangeError::Buffer(CreateError::Create(DeviceError::OutOfHostMemory)));
}

#[test]
fn wrong_requests_are_told() {
    let allocator = allocator(Preset::Lavapipe);
    let options = ArenaOptions { size_least: 64, size_most: 32, shards: 1 };
    let made = BufferArena::new(&allocator, USAGE, Access::DeviceOnly, options);
    assert_eq!(made.unwrap_err(), RangeError::BadOptions { size_least: 64, size_most: 32 });
    let options = ArenaOptions { size_least: 24, ..SMALL };
    assert!(BufferArena::new(&allocator, USAGE, Access::DeviceOnly, options).is_err());

    let arena = arena(&allocator, Access::DeviceOnly);
    assert_eq!(arena.allocate(RangeRequest::new(0)).unwrap_err(), RangeError::ZeroSize);
    let request = RangeRequest { align: 24, ..RangeRequest::new(1) };
    assert_eq!(arena.allocate(request).unwrap_err(), RangeError::BadAlign { align: 24 });
    let failed = arena.allocate(RangeRequest::new(u64::MAX)).unwrap_err();
    assert!(matches!(failed, RangeError::TooLarge { size: u64::MAX, .. }), "{failed}");
    assert_eq!((arena.stats().blocks, allocator.used()), (0, 0));
}

#[test]
fn misuse_is_told_and_the_range_comes_back() {
    let allocator = allocator(Preset::Lavapipe);
    let [one, other] = [(); 2].map(|()| arena(&allocator, Access::HostRandom));
    let range = one.allocate(RangeRequest::new(100)).unwrap();
    let id = range.id();
    let refused = other.free(range).unwrap_err();
    assert!(matches!(refused.reason, RangeMisuse::WrongArena { .. }));
    assert!(other.free_after(3, refused.range).is_err_and(|refused| {
        matches!(refused.reason, RangeMisuse::WrongArena { .. }) && one.free(refused.range).is_ok()
    }));

    // A pass moves ranges behind a stale handle's back.
    let ranges: Vec<_> = (0..8).map(|_| one.allocate(RangeRequest::new(1024)).unwrap()).collect();
    let kept: Vec<_> = ranges
        .into_iter()
        .enumerate()
        .filter_map(|(number, range)| match number % 2 {
            0 => Some(range),
            _ => one.free(range).map_or(None, |()| None),
        })
        .collect();
    let pass = one.begin_pass(Limits { bytes: u64::MAX, moves: 100 });
    let mut targets = Vec::new();
    one.end_pass(pass, |id, target| targets.push((id, target))).unwrap();
    assert!(!targets.is_empty());
    for range in kept {
        let id = range.id();
        match targets.iter().position(|(old, _)| *old == id) {
            None => one.free(range).unwrap(),
            Some(at) => {
                let refused = one.free(range).unwrap_err();
                assert_eq!(refused.reason, RangeMisuse::Stale { id });
                let mut bytes = [0; 4];
                let read = one.read(&refused.range, 0, &mut bytes).unwrap_err();
                assert_eq!(read, RangeError::Misuse(RangeMisuse::Stale { id }));
                one.free(targets.swap_remove(at).1).unwrap();
            }
        }
    }
    assert_eq!(one.stats().allocations, 0, "{id:?} and all others are gone");
}

#[test]
fn the_host_touches_what_is_its_and_no_more() {
    let allocator = allocator(Preset::AmdVega10);
    let device_only = arena(&allocator, Access::DeviceOnly);
    let mut range = device_only.allocate(RangeRequest::new(100)).unwrap();
    assert_eq!(range.pointer(), None);
    let refused = device_only.write(&mut range, 0, &[1]).unwrap_err();
    assert_eq!(refused, RangeError::NoHostAccess { access: Access::DeviceOnly });
    device_only.free(range).unwrap();

    let host = arena(&allocator, Access::HostRandom);
    let mut range = host.allocate(RangeRequest::new(100)).unwrap();
    let refused = host.write(&mut range, 98, &[1, 2, 3]).unwrap_err();
    let past = MapError::PastEnd { offset: 98, len: 3, size: 100 };
    assert_eq!(refused, RangeError::Map(past));
    assert_eq!(host.read(&range, u64::MAX, &mut [0]).unwrap_err(), {
        RangeError::Map(MapError::PastEnd { offset: u64::MAX, len: 1, size: 100 })
    });
    host.free(range).unwrap();
}

#[test]
fn addresses_follow_the_offsets() {
    let allocator = allocator(Preset::AmdNavi31);
    let arena = arena(&allocator, Access::DeviceOnly);
    let ranges = [(); 2].map(|()| arena.allocate(RangeRequest::new(100)).unwrap());
    let [first, second] = ranges.each_ref().map(|range| range.address().unwrap().get());
    assert_eq!(second - first, ranges[1].offset() - ranges[0].offset());
    let plain = BufferUsage::VERTEX;
    let without = BufferArena::new(&allocator, plain, Access::DeviceOnly, SMALL).unwrap();
    let range = without.allocate(RangeRequest::new(100)).unwrap();
    assert_eq!(range.address(), None);
    without.free(range).unwrap();
    ranges.into_iter().for_each(|range| arena.free(range).unwrap());
}

#[test]
fn what_was_not_freed_is_named() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = arena(&allocator, Access::DeviceOnly);
    let request = RangeRequest { name: Some("house"), ..RangeRequest::new(5000) };
    let _ = arena.allocate(request).unwrap();
    let leaks = arena.shutdown().unwrap_err();
    assert_eq!(leaks.sizes, [(Some("house".to_owned()), 5000)]);
    assert!(leaks.to_string().contains("house: 5000 bytes"));
    assert_eq!(allocator.used(), 0, "the buffers are gone all the same");
}

/// A buffer that one range filled alone is not kept for others.
#[test]
fn large_ranges_have_buffers_of_their_own() {
    let allocator = allocator(Preset::Lavapipe);
    let arena = arena(&allocator, Access::DeviceOnly);
    let large = arena.allocate(RangeRequest::new(1 << 20)).unwrap();
    assert_eq!(large.offset(), 0);
    assert_eq!(arena.stats().held, 1 << 20);
    arena.free(large).unwrap();
    assert_eq!((arena.stats().held, allocator.used()), (0, 0));
}
