//! Who is told when memory is short: when, of what, how often; and what comes of it.

use polder_device::sim::{BufferInfo, Call, Layout, Sim};
use polder_device::strategy::{Pool, Rules, Setup};
use polder_device::{
    AllocError, Allocation, AllocationId, Allocator, BudgetRule, Buffer, Candidate, DeviceError,
    EmptyBlocks, Factory, Growth, Misuse, Options, Placement, Pressure, PressureCause, Request,
    Requirements, ShortageCause, Strategy, Watermarks, Wish,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const MIB: u64 = 1 << 20;
/// A heap that is full of what may go is as it should be.
const ONLY_FAILURES: Watermarks = Watermarks { high: 100, low: 100 };

fn request(size: u64) -> Request<'static, Sim> {
    Request::new(Requirements { size, align: 16, ..Requirements::ANY }, Wish::default())
}

/// A block of its own for each, so that what is freed goes back.
fn alone(size: u64) -> Request<'static, Sim> {
    let wish = Wish { placement: Placement::Dedicated, ..Wish::default() };
    Request::new(Requirements { size, align: 16, ..Requirements::ANY }, wish)
}

/// One heap of `size` bytes.
fn one_heap(size: u64) -> Sim {
    let mut layout = Layout::default();
    layout.properties.heaps[0].size = size;
    Sim::new(layout).unwrap()
}

/// What was told.
#[derive(Clone, Debug)]
struct Told {
    heap: u32,
    cause: PressureCause,
    excess: u64,
    budget: u64,
    usage: u64,
    candidates: Vec<Candidate>,
}

impl Told {
    fn of(pressure: &Pressure<'_>) -> Self {
        Self {
            heap: pressure.heap,
            cause: pressure.cause,
            excess: pressure.excess,
            budget: pressure.budget.budget,
            usage: pressure.budget.usage,
            candidates: pressure.candidates.to_vec(),
        }
    }
}

/// An allocator, what it told, and what may go.
struct Scene {
    sim: Sim,
    allocator: Arc<Allocator<Sim>>,
    told: Arc<Mutex<Vec<Told>>>,
    cached: Arc<Mutex<HashMap<AllocationId, Allocation<Sim>>>>,
}

/// Whether the callback frees what it is suggested.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Free,
    Keep,
}

impl Scene {
    fn new(size: u64, then: Then) -> Self {
        Self::with(one_heap(size), Options::default(), then)
    }

    fn with(sim: Sim, options: Options, then: Then) -> Self {
        let allocator = Arc::new(Allocator::new(sim.clone(), options));
        let (told, cached) = (Arc::default(), Arc::default());
        let scene = Self { sim, allocator, told, cached };
        scene.listen(Watermarks::default(), then);
        scene
    }

    fn listen(&self, marks: Watermarks, then: Then) {
        let weak = Arc::downgrade(&self.allocator);
        let (told, cached) = (self.told.clone(), self.cached.clone());
        self.allocator.on_pressure(marks, move |pressure| {
            told.lock().unwrap().push(Told::of(pressure));
            let Some(allocator) = weak.upgrade().filter(|_| then == Then::Free) else { return };
            for candidate in pressure.suggested() {
                let allocation = cached.lock().unwrap().remove(&candidate.id).unwrap();
                allocator.free(allocation).unwrap();
            }
        });
    }

    /// Allocates what may go.
    fn cache(&self, request: &Request<'_, Sim>, priority: f32) -> AllocationId {
        let allocation = self.allocator.allocate(request).unwrap();
        self.allocator.set_evictable(&allocation, Some(priority)).unwrap();
        let id = allocation.id();
        self.cached.lock().unwrap().insert(id, allocation);
        id
    }

    fn fill(&self, count: u32, request: &Request<'_, Sim>) {
        for _ in 0..count {
            self.cache(request, 0.5);
        }
    }

    fn take_told(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    /// Tells how the heap is doing, by a limit that is too low for anything.
    fn candidates(&self) -> Vec<AllocationId> {
        let before = self.take_told();
        let limited = Wish { budget: BudgetRule::Within, ..alone(1).wish };
        self.sim.set_budget(0, Some(0));
        let request = Request::new(request(1).requirements, limited);
        let failed = self.allocator.allocate(&request);
        assert!(failed.is_err(), "nothing lies within no budget");
        self.sim.set_budget(0, None);
        let told = self.take_told().pop().expect("a failing request tells");
        *self.told.lock().unwrap() = before;
        told.candidates.iter().map(|candidate| candidate.id).collect()
    }

    fn end(self) {
        let rest = std::mem::take(&mut *self.cached.lock().unwrap());
        rest.into_values().for_each(|allocation| self.allocator.free(allocation).unwrap());
        self.allocator.check();
        assert_eq!(self.allocator.used(), 0);
        assert_eq!(self.sim.violations(), []);
    }
}

#[test]
fn a_request_that_would_fail_gets_what_was_let_go() {
    let scene = Scene::new(8 * MIB, Then::Free);
    scene.listen(ONLY_FAILURES, Then::Free);
    let ids: Vec<_> = (0..8).map(|_| scene.cache(&alone(MIB), 0.5)).collect();
    assert!(scene.take_told().is_empty(), "a heap that is full is no shortage");
    let made = scene.allocator.allocate(&alone(3 * MIB)).unwrap();
    let told = scene.take_told();
    let [told] = &told[..] else { panic!("it is told once, not {told:?}") };
    let cause = ShortageCause::Driver;
    assert_eq!(told.cause, PressureCause::NoRoom { size: 3 * MIB, cause });
    assert_eq!((told.heap, told.excess), (0, 3 * MIB));
    assert_eq!((told.budget, told.usage), (8 * MIB, 8 * MIB));
    let named: Vec<_> = told.candidates.iter().map(|candidate| candidate.id).collect();
    assert_eq!(named.len(), ids.len(), "all may go");
    assert_eq!(scene.cached.lock().unwrap().len(), 5, "no more goes than is needed");
    scene.allocator.free(made).unwrap();
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "many blocks, and figures without unsafe")]
fn shared_blocks_that_become_empty_serve_the_request() {
    let scene = Scene::new(8 * MIB, Then::Free);
    scene.listen(ONLY_FAILURES, Then::Free);
    scene.fill(8 * 16, &request(64 << 10));
    scene.take_told();
    let made = scene.allocator.allocate(&request(64 << 10)).unwrap();
    let told = scene.take_told();
    assert!(matches!(told[0].cause, PressureCause::NoRoom { .. }), "{told:?}");
    assert_eq!(told[0].excess, 64 << 10);
    scene.allocator.free(made).unwrap();
    scene.end();
}

#[test]
fn who_lets_nothing_go_gets_the_error_of_before_and_is_asked_once() {
    let quiet = Allocator::new(one_heap(4 * MIB), Options::default());
    let scene = Scene::new(4 * MIB, Then::Keep);
    let whole = [&quiet, &*scene.allocator].map(|one| one.allocate(&alone(4 * MIB)).unwrap());
    scene.take_told();
    let before = scene.allocator.snapshot();
    for size in [1, MIB] {
        let error = scene.allocator.allocate(&request(size)).unwrap_err();
        assert_eq!(error, quiet.allocate(&request(size)).unwrap_err());
        assert_eq!(scene.take_told().len(), 1);
        assert_eq!(scene.allocator.snapshot(), before, "nothing has changed");
    }
    let error = scene.allocator.allocate(&request(5 * MIB)).unwrap_err();
    assert!(matches!(error, AllocError::TooLarge { .. }), "{error}");
    assert!(scene.take_told().is_empty(), "what can never succeed asks for nothing");
    let [one, other] = whole;
    quiet.free(one).unwrap();
    scene.allocator.free(other).unwrap();
    scene.end();
}

#[test]
fn the_excess_is_what_stands_in_the_way() {
    let scene = Scene::new(64 * MIB, Then::Keep);
    let held = scene.allocator.allocate(&alone(6 * MIB)).unwrap();
    let within = Wish { budget: BudgetRule::Within, ..alone(1).wish };
    let within = Request::new(alone(4 * MIB).requirements, within);
    scene.sim.set_budget(0, Some(8 * MIB));
    scene.allocator.allocate(&within).unwrap_err();
    let told = scene.take_told();
    let cause = ShortageCause::Budget;
    assert_eq!(told[0].cause, PressureCause::NoRoom { size: 4 * MIB, cause });
    assert_eq!(told[0].excess, 2 * MIB);
    scene.sim.set_budget(0, None);
    scene.allocator.set_heap_limit(0, 7 * MIB);
    scene.allocator.allocate(&alone(4 * MIB)).unwrap_err();
    let told = scene.take_told();
    let cause = ShortageCause::Limit { limit: 7 * MIB };
    assert_eq!(told[0].cause, PressureCause::NoRoom { size: 4 * MIB, cause });
    assert_eq!(told[0].excess, 4 * MIB);
    scene.allocator.free(held).unwrap();
    scene.end();
}

#[test]
fn a_lost_device_tells_nobody() {
    let scene = Scene::new(8 * MIB, Then::Free);
    scene.cache(&alone(MIB), 0.5);
    scene.sim.fail(Call::Allocate, 1, DeviceError::Lost);
    let error = scene.allocator.allocate(&alone(MIB)).unwrap_err();
    assert_eq!(error, AllocError::Device(DeviceError::Lost));
    assert!(scene.take_told().is_empty());
    scene.end();
}

#[test]
fn a_call_that_fails_is_tried_again_after_the_callback() {
    for n in 1..=8 {
        let scene = Scene::new(64 * MIB, Then::Free);
        scene.cache(&alone(MIB), 0.5);
        let before = (scene.allocator.snapshot(), scene.sim.live().blocks);
        (1..=n).for_each(|n| scene.sim.fail(Call::Allocate, n, DeviceError::OutOfDeviceMemory));
        let made = scene.allocator.allocate(&alone(2 * MIB));
        scene.sim.clear_failures();
        let calls = scene.take_told().len();
        assert_eq!(calls == 0, scene.cached.lock().unwrap().len() == 1, "{n} failures");
        match made {
            Ok(allocation) => scene.allocator.free(allocation).unwrap(),
            Err(_) => assert_eq!((calls, scene.cached.lock().unwrap().len()), (1, 0)),
        }
        if calls == 0 {
            assert_eq!((scene.allocator.snapshot(), scene.sim.live().blocks), before);
        }
        scene.end();
    }
}

#[test]
fn the_callback_holds_no_lock_and_calls_anything_but_itself() {
    let sim = one_heap(8 * MIB);
    let allocator = Arc::new(Allocator::new(sim.clone(), Options::default()));
    let kept = Arc::new(Mutex::new(Vec::<Buffer<Sim>>::new()));
    let calls = Arc::new(Mutex::new(0));
    let (weak, seen, count) = (Arc::downgrade(&allocator), kept.clone(), calls.clone());
    allocator.on_pressure(ONLY_FAILURES, move |pressure| {
        *count.lock().unwrap() += 1;
        let allocator = weak.upgrade().unwrap();
        let error = allocator.allocate(&alone(4 * MIB)).unwrap_err();
        assert!(matches!(error, AllocError::OutOfMemory(_)), "it fails at once: {error}");
        let snapshot = allocator.snapshot();
        assert_eq!(snapshot.heaps[0].used, pressure.budget.held);
        assert!(!allocator.leaks().is_empty() && allocator.stats(0).allocations > 0);
        let buffer = seen.lock().unwrap().pop().unwrap();
        allocator.set_evictable(buffer.allocation(), None).unwrap();
        allocator.set_evictable(buffer.allocation(), Some(1.0)).unwrap();
        allocator.touch(7, pressure.candidates.iter().map(|candidate| candidate.id));
        allocator.begin_frame(1);
        allocator.free_after(1, buffer).unwrap();
        allocator.complete_frame(1);
        allocator.trim();
        let small = allocator.allocate(&request(MIB)).unwrap();
        allocator.free(small).unwrap();
        allocator.on_pressure(ONLY_FAILURES, |_| panic!("nothing is short again"));
    });
    let info = BufferInfo { size: 4 * MIB, ..BufferInfo::default() };
    for _ in 0..2 {
        let buffer = allocator.create_buffer(&info, &Wish::default()).unwrap();
        allocator.set_evictable(buffer.allocation(), Some(0.5)).unwrap();
        kept.lock().unwrap().push(buffer);
    }
    let third = allocator.create_buffer(&info, &alone(1).wish).unwrap();
    assert_eq!(*calls.lock().unwrap(), 1);
    allocator.destroy_buffer(third).unwrap();
    let left = kept.lock().unwrap().pop().unwrap();
    allocator.destroy_buffer(left).unwrap();
    drop(allocator);
    assert_eq!((sim.live().blocks, sim.live().buffers), (0, 0));
    assert_eq!(sim.violations(), []);
}

#[test]
#[cfg_attr(miri, ignore = "large blocks")]
fn what_a_callback_takes_of_another_heap_is_told_after_it() {
    use polder_device::Access;
    use polder_device::sim::Preset;
    let mut layout = Preset::AmdNavi31.layout();
    layout.properties.heaps.iter_mut().for_each(|heap| heap.size = 100 * MIB);
    let scene = Scene::with(Sim::new(layout).unwrap(), Options::default(), Then::Keep);
    scene.allocator.set_heap_limit(1, 8 * MIB);
    let full = Mutex::new(Some(scene.allocator.allocate(&alone(8 * MIB)).unwrap()));
    let taken = Arc::new(Mutex::new(None));
    let (weak, told, slot) = (Arc::downgrade(&scene.allocator), scene.told.clone(), taken.clone());
    scene.allocator.on_pressure(Watermarks::default(), move |pressure| {
        told.lock().unwrap().push(Told::of(pressure));
        let (Some(allocator), Some(full)) = (weak.upgrade(), full.lock().unwrap().take()) else {
            return;
        };
        allocator.free(full).unwrap();
        let wish = Wish { placement: Placement::Dedicated, ..Wish::of(Access::HostWrites) };
        let of_host = Request::new(request(95 * MIB).requirements, wish);
        *slot.lock().unwrap() = Some(allocator.allocate(&of_host).unwrap());
    });
    let made = scene.allocator.allocate(&alone(MIB)).unwrap();
    let told = scene.take_told();
    let heaps: Vec<_> = told.iter().map(|told| (told.heap, told.cause)).collect();
    let cause = ShortageCause::Limit { limit: 8 * MIB };
    let no_room = PressureCause::NoRoom { size: MIB, cause };
    assert_eq!(heaps, [(1, no_room), (0, PressureCause::NearlyFull)]);
    let host = taken.lock().unwrap().take().unwrap();
    [made, host].into_iter().for_each(|one| scene.allocator.free(one).unwrap());
    scene.end();
}

#[test]
fn what_a_callback_caught_goes_under_no_lock() {
    /// Begins a frame when it goes.
    struct Caught(Arc<Allocator<Sim>>, std::sync::mpsc::Sender<()>);

    impl Drop for Caught {
        fn drop(&mut self) {
            self.0.begin_frame(1);
            self.1.send(()).unwrap();
        }
    }

    let (sender, gone) = std::sync::mpsc::channel();
    let allocator = Arc::new(Allocator::new(one_heap(8 * MIB), Options::default()));
    let caught = Caught(allocator.clone(), sender);
    allocator.on_pressure(ONLY_FAILURES, move |_| drop(caught.1.clone()));
    // A thread of its own, which would wait for ever.
    let setter = std::thread::spawn(move || allocator.on_pressure(ONLY_FAILURES, |_| {}));
    gone.recv_timeout(std::time::Duration::from_secs(20)).expect("nothing is waited for");
    setter.join().unwrap();
}

#[test]
fn a_callback_that_panics_is_called_the_next_time_too() {
    let scene = Scene::new(4 * MIB, Then::Keep);
    let whole = scene.allocator.allocate(&alone(4 * MIB)).unwrap();
    scene.allocator.on_pressure(Watermarks::default(), |_| panic!("by intent"));
    for _ in 0..2 {
        let allocator = scene.allocator.clone();
        let run = move || drop(allocator.allocate(&request(1)));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }
    scene.allocator.free(whole).unwrap();
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "many blocks, and figures without unsafe")]
fn a_budget_that_shrinks_is_told_with_the_frame_and_not_in_each() {
    let scene = Scene::new(100 * MIB, Then::Keep);
    scene.fill(50, &alone(MIB));
    scene.allocator.begin_frame(1);
    assert!(scene.take_told().is_empty(), "half of the heap is roomy");
    scene.sim.set_budget(0, Some(40 * MIB));
    (2..60).for_each(|frame| scene.allocator.begin_frame(frame));
    let told = scene.take_told();
    let [first] = &told[..] else { panic!("it is told once, not {told:?}") };
    assert_eq!(first.cause, PressureCause::OverBudget { budget_before: 100 * MIB });
    assert_eq!((first.budget, first.usage), (40 * MIB, 50 * MIB));
    assert_eq!(first.excess, 50 * MIB - 32 * MIB, "down to the low mark");
    (60..120).for_each(|frame| scene.allocator.begin_frame(frame));
    assert_eq!(scene.take_told().len(), 1, "now and then it is told again");
    scene.sim.set_budget(0, Some(30 * MIB));
    (120..125).for_each(|frame| scene.allocator.begin_frame(frame));
    let told = scene.take_told();
    assert_eq!(told.len(), 1, "more has to go than was told");
    assert_eq!(told[0].cause, PressureCause::OverBudget { budget_before: 40 * MIB });
    scene.sim.set_budget(0, None);
    scene.allocator.begin_frame(125);
    scene.sim.set_budget(0, Some(40 * MIB));
    scene.allocator.begin_frame(126);
    assert_eq!(scene.take_told().len(), 1, "it was roomy meanwhile");
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "many blocks, and figures without unsafe")]
fn what_is_let_go_brings_the_usage_down_to_the_low_mark() {
    let scene = Scene::new(100 * MIB, Then::Free);
    scene.fill(50, &alone(MIB));
    scene.sim.set_budget(0, Some(40 * MIB));
    (1..100).for_each(|frame| scene.allocator.begin_frame(frame));
    assert_eq!(scene.take_told().len(), 1);
    assert_eq!(scene.allocator.held(), 32 * MIB);
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "many blocks, and figures without unsafe")]
fn empty_blocks_go_before_anybody_is_told() {
    let options = Options { empty_blocks: EmptyBlocks::WithinBudget, ..Options::default() };
    for options in [Options::default(), options] {
        let scene = Scene::with(one_heap(64 * MIB), options, Then::Keep);
        let small: Vec<_> =
            (0..64).map(|_| scene.allocator.allocate(&request(256 << 10)).unwrap()).collect();
        small.into_iter().for_each(|allocation| scene.allocator.free(allocation).unwrap());
        assert!(scene.allocator.held() > 0, "an empty block is kept");
        scene.sim.set_budget(0, Some(1));
        scene.allocator.begin_frame(1);
        assert_eq!(scene.allocator.held(), 0);
        assert!(scene.take_told().is_empty());
        scene.end();
    }
}

#[test]
#[cfg_attr(miri, ignore = "many blocks, and figures without unsafe")]
fn a_heap_that_becomes_nearly_full_is_told_once_for_each_time() {
    let scene = Scene::new(100 * MIB, Then::Keep);
    let mut live = Vec::new();
    let grow = |live: &mut Vec<_>, count| {
        (0..count).for_each(|_| live.push(scene.allocator.allocate(&alone(MIB)).unwrap()));
    };
    let shrink = |live: &mut Vec<_>, count| {
        let freed = live.drain(live.len() - count..);
        freed.for_each(|allocation| scene.allocator.free(allocation).unwrap());
    };
    grow(&mut live, 90);
    assert!(scene.take_told().is_empty(), "90 of 100 are the mark itself");
    grow(&mut live, 5);
    let told = scene.take_told();
    let [first] = &told[..] else { panic!("it is told once, not {told:?}") };
    assert_eq!((first.cause, first.excess), (PressureCause::NearlyFull, 11 * MIB));
    for _ in 0..20 {
        shrink(&mut live, 10);
        grow(&mut live, 10);
    }
    assert!(scene.take_told().is_empty(), "between the marks it goes up and down unheard");
    shrink(&mut live, 20);
    grow(&mut live, 20);
    assert_eq!(scene.take_told().len(), 1, "beneath the low mark it was roomy");
    shrink(&mut live, 95);
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "many blocks, and figures without unsafe")]
fn blocks_that_pass_the_budget_are_told_at_once() {
    let scene = Scene::new(100 * MIB, Then::Keep);
    scene.sim.set_budget(0, Some(10 * MIB));
    let live: Vec<_> = (0..12).map(|_| scene.allocator.allocate(&alone(MIB)).unwrap()).collect();
    let causes: Vec<_> = scene.take_told().iter().map(|told| told.cause).collect();
    let over = PressureCause::OverBudget { budget_before: 10 * MIB };
    assert_eq!(causes[..2], [PressureCause::NearlyFull, over]);
    assert!(causes.len() <= 3, "{causes:?}");
    live.into_iter().for_each(|allocation| scene.allocator.free(allocation).unwrap());
    scene.end();
}

#[test]
fn the_order_is_priority_then_last_use_then_size() {
    let scene = Scene::new(64 * MIB, Then::Keep);
    scene.allocator.begin_frame(10);
    let dear = scene.cache(&alone(100), 0.9);
    let small = scene.cache(&alone(100), 0.5);
    let large = scene.cache(&alone(2000), 0.5);
    let used = scene.cache(&alone(100), 0.5);
    let cheap = scene.cache(&alone(100), 0.1);
    scene.allocator.touch(12, [used, cheap, dear]);
    scene.allocator.touch(11, [used]);
    assert_eq!(scene.candidates(), [cheap, large, small, used, dear]);
    let cached = scene.cached.lock().unwrap();
    scene.allocator.set_evictable(&cached[&dear], Some(0.0)).unwrap();
    scene.allocator.set_user_data(&cached[&large], 77).unwrap();
    drop(cached);
    assert_eq!(scene.candidates(), [dear, cheap, large, small, used]);
    scene.allocator.allocate(&alone(64 * MIB)).unwrap_err();
    let told = scene.take_told();
    let shown = |id| told[0].candidates.iter().find(|candidate| candidate.id == id).unwrap();
    assert_eq!((shown(used).last_use, shown(small).last_use), (12, 10));
    assert_eq!((shown(large).user_data, shown(large).size), (77, 2000));
    assert_eq!((shown(dear).priority, shown(dear).memory_type), (0.0, 0));
    scene.end();
}

#[test]
fn what_was_freed_or_has_to_stay_is_no_candidate() {
    let scene = Scene::new(64 * MIB, Then::Keep);
    let [first, second] = [0.1, 0.2].map(|priority| scene.cache(&request(100), priority));
    let other = Allocator::new(one_heap(MIB), Options::default());
    let mut cached = scene.cached.lock().unwrap();
    let error = other.set_evictable(&cached[&first], Some(0.5)).unwrap_err();
    assert!(matches!(error, Misuse::WrongAllocator { .. }), "{error}");
    scene.allocator.free(cached.remove(&first).unwrap()).unwrap();
    drop(cached);
    let again = scene.allocator.allocate(&request(100)).unwrap();
    assert_eq!(again.id().slot, first.slot, "the slot has another life");
    scene.allocator.touch(3, [first, second]);
    assert_eq!(scene.candidates(), [second]);
    let cached = scene.cached.lock().unwrap();
    scene.allocator.set_evictable(&cached[&second], None).unwrap();
    drop(cached);
    assert!(scene.candidates().is_empty());
    // SAFETY: The second handle is used for nothing but a question that refuses it.
    let stale = unsafe { scene.allocator.handle(again.id()) }.unwrap();
    scene.allocator.free(again).unwrap();
    let error = scene.allocator.set_evictable(&stale, Some(0.5)).unwrap_err();
    assert!(matches!(error, Misuse::Stale { .. }), "{error}");
    assert!(scene.candidates().is_empty());
    scene.end();
}

#[test]
fn only_what_lies_in_the_heap_is_named() {
    use polder_device::Access;
    use polder_device::sim::Preset;
    let sim = Sim::preset(Preset::AmdNavi31);
    let scene = Scene::with(sim, Options::default(), Then::Keep);
    let of_host = Request::new(request(100).requirements, Wish::of(Access::HostWrites));
    let (in_host, in_device) = (scene.cache(&of_host, 0.5), scene.cache(&request(100), 0.5));
    for heap in [0, 1] {
        scene.sim.set_budget(heap, Some(0));
        scene.allocator.begin_frame(heap.into());
        scene.sim.set_budget(heap, None);
    }
    scene.allocator.begin_frame(2);
    let told = scene.take_told();
    let named: Vec<_> = told.iter().map(|told| (told.heap, told.candidates[0].id)).collect();
    assert_eq!(named, [(0, in_host), (1, in_device)]);
    assert!(told.iter().all(|told| told.candidates.len() == 1));
    scene.end();
}

#[test]
fn a_pool_asks_who_listens_to_its_allocator() {
    let scene = Scene::new(8 * MIB, Then::Free);
    let rules = Rules { limit: Some(4 * MIB), ..Rules::default() };
    let pool = scene.allocator.create_pool(&Setup { rules, ..Setup::default() }, &[]).unwrap();
    let of_pool = pool.allocate(&alone(4 * MIB)).unwrap();
    pool.set_evictable(&of_pool, Some(0.1)).unwrap();
    let error = scene.allocator.set_evictable(&of_pool, Some(0.1)).unwrap_err();
    assert!(matches!(error, Misuse::WrongAllocator { .. }), "{error}");
    let id = of_pool.id();
    scene.allocator.touch(9, [id]);

    let slot = Arc::new(Mutex::new(Some(of_pool)));
    let (told, held, weak) = (scene.told.clone(), slot.clone(), Arc::downgrade(&pool));
    scene.allocator.on_pressure(Watermarks::default(), move |pressure| {
        told.lock().unwrap().push(Told::of(pressure));
        let allocation = held.lock().unwrap().take().unwrap();
        weak.upgrade().unwrap().free(allocation).unwrap();
    });
    let made = pool.allocate(&alone(MIB)).unwrap();
    let told = scene.take_told();
    let cause = ShortageCause::Limit { limit: 4 * MIB };
    assert_eq!(told[0].cause, PressureCause::NoRoom { size: MIB, cause });
    assert_eq!((told[0].candidates[0].id, told[0].candidates[0].last_use), (id, 9));
    pool.free(made).unwrap();
    pool.check();
    drop(pool);
    scene.end();
}

/// A callback that frees what it caught, in a pool or in the allocator.
fn let_go<S: Strategy<Sim> + 'static>(
    scene: &Scene,
    marks: Watermarks,
    strategy: &Arc<S>,
    allocation: Allocation<Sim>,
) {
    scene.take_told();
    let (told, weak) = (scene.told.clone(), Arc::downgrade(strategy));
    let slot = Mutex::new(Some(allocation));
    scene.allocator.on_pressure(marks, move |pressure| {
        told.lock().unwrap().push(Told::of(pressure));
        if let Some(allocation) = slot.lock().unwrap().take() {
            weak.upgrade().unwrap().free(allocation).unwrap();
        }
    });
}

/// A pool whose shared blocks have `size` bytes.
fn pool_of(scene: &Scene, size: u64, blocks_least: u32) -> Arc<Pool<Sim>> {
    let rules = Rules { blocks_least, ..Rules::default() };
    let growth = Some(Growth { size_least: size, size_most: size });
    scene.allocator.create_pool(&Setup { growth, rules, ..Setup::default() }, &[]).unwrap()
}

#[test]
fn what_is_let_go_in_a_pool_serves_the_allocator() {
    let scene = Scene::new(8 * MIB, Then::Keep);
    let pool = pool_of(&scene, 8 * MIB, 0);
    let of_pool = pool.allocate(&request(8 * MIB)).unwrap();
    pool.set_evictable(&of_pool, Some(0.1)).unwrap();
    let_go(&scene, ONLY_FAILURES, &pool, of_pool);
    let made = scene.allocator.allocate(&request(MIB)).unwrap();
    assert_eq!(scene.take_told().len(), 1);
    assert_eq!(pool.held(), 0, "its empty block has gone");
    scene.allocator.free(made).unwrap();
    pool.check();
    drop(pool);
    scene.end();
}

#[test]
fn what_is_let_go_in_the_allocator_serves_a_pool() {
    let growth = Some(Growth { size_least: 8 * MIB, size_most: 8 * MIB });
    let options = Options { growth, ..Options::default() };
    let scene = Scene::with(one_heap(8 * MIB), options, Then::Keep);
    let pool = pool_of(&scene, 8 * MIB, 0);
    let shared = scene.allocator.allocate(&request(MIB)).unwrap();
    assert_eq!(scene.allocator.held(), 8 * MIB);
    let_go(&scene, ONLY_FAILURES, &scene.allocator, shared);
    let made = pool.allocate(&request(MIB)).unwrap();
    assert_eq!(scene.take_told().len(), 1);
    pool.free(made).unwrap();
    pool.check();
    drop(pool);
    scene.end();
}

#[test]
fn an_empty_block_of_one_is_room_for_another_when_nobody_listens() {
    let growth = Some(Growth { size_least: 8 * MIB, size_most: 8 * MIB });
    let allocator = Allocator::new(one_heap(8 * MIB), Options { growth, ..Options::default() });
    let setup = || Setup { growth, ..Setup::default() };
    let pools = [0, 1].map(|_| allocator.create_pool(&setup(), &[]).unwrap());
    let [one, other] = &pools;
    let empty = |strategy: &dyn Strategy<Sim>| {
        let made = strategy.allocate(&request(MIB)).unwrap();
        strategy.free(made).unwrap();
        assert_eq!(strategy.held(), 8 * MIB, "an empty block stays");
    };
    for strategy in [&**one as &dyn Strategy<Sim>, &**other, &allocator, &**one, &allocator] {
        empty(strategy);
    }
    allocator.check();
}

#[test]
fn what_a_pool_holds_by_its_rules_stays_and_its_own_limits_cost_nobody_a_block() {
    let scene = Scene::new(8 * MIB, Then::Keep);
    let pool = pool_of(&scene, 4 * MIB, 1);
    let error = scene.allocator.allocate(&alone(8 * MIB)).unwrap_err();
    assert!(matches!(error, AllocError::OutOfMemory(_)), "{error}");
    assert_eq!(pool.held(), 4 * MIB, "its least number of blocks");

    let made = scene.allocator.allocate(&request(100)).unwrap();
    scene.allocator.free(made).unwrap();
    let held = scene.allocator.held();
    assert_ne!(held, 0);
    for rules in [
        Rules { limit: Some(100), ..Rules::default() },
        Rules { blocks_most: 0, ..Rules::default() },
    ] {
        let full = scene.allocator.create_pool(&Setup { rules, ..Setup::default() }, &[]).unwrap();
        let error = full.allocate(&request(1000)).unwrap_err();
        assert!(matches!(error, AllocError::OutOfMemory(_)), "{error}");
        assert_eq!(scene.allocator.held(), held, "nobody else stands in its way");
    }
    drop(pool);
    scene.end();
}

#[test]
fn after_a_pool_s_growth_was_told_the_blocks_of_all_go() {
    let scene = Scene::new(100 * MIB, Then::Keep);
    let (one, other) = (pool_of(&scene, 20 * MIB, 0), pool_of(&scene, MIB, 0));
    let kept = one.allocate(&request(MIB)).unwrap();
    let_go(&scene, Watermarks::default(), &one, kept);
    let live: Vec<_> = (0..71).map(|_| other.allocate(&alone(MIB)).unwrap()).collect();
    assert_eq!(scene.take_told()[0].cause, PressureCause::NearlyFull);
    assert_eq!(one.held(), 0, "what became empty has gone back");
    live.into_iter().for_each(|allocation| other.free(allocation).unwrap());
    drop((one, other));
    scene.end();
}

#[test]
#[cfg_attr(miri, ignore = "many blocks, and figures without unsafe")]
fn a_pool_that_fills_a_heap_is_told_of() {
    let scene = Scene::new(100 * MIB, Then::Keep);
    let pool = scene.allocator.create_pool(&Setup::default(), &[]).unwrap();
    let live: Vec<_> = (0..91).map(|_| pool.allocate(&alone(MIB)).unwrap()).collect();
    let told = scene.take_told();
    let [told] = &told[..] else { panic!("it is told once, not {told:?}") };
    assert_eq!((told.cause, told.excess), (PressureCause::NearlyFull, 11 * MIB));
    live.into_iter().for_each(|allocation| pool.free(allocation).unwrap());
    drop(pool);
    scene.end();
}

#[test]
fn threads_that_are_short_each_get_their_turn() {
    let (threads, steps): (u64, u64) = if cfg!(miri) { (2, 10) } else { (4, 500) };
    let sim = one_heap(16 * MIB);
    let allocator = Arc::new(Allocator::new(sim.clone(), Options::default()));
    let cached = Arc::new(Mutex::new(HashMap::new()));
    let (weak, shared) = (Arc::downgrade(&allocator), cached.clone());
    allocator.on_pressure(Watermarks::default(), move |pressure| {
        let Some(allocator) = weak.upgrade() else { return };
        for candidate in pressure.suggested() {
            let found = shared.lock().unwrap().remove(&candidate.id);
            if let Some(allocation) = found {
                allocator.free(allocation).unwrap();
            }
        }
    });
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (allocator, cached) = (&allocator, &cached);
            scope.spawn(move || {
                for step in 0..steps {
                    let size = 1 + (step * 7919 + thread * 104_729) % MIB;
                    // Another thread may take what was let go.
                    let Ok(allocation) = allocator.allocate(&request(size)) else { continue };
                    let id = allocation.id();
                    allocator.set_evictable(&allocation, Some(0.5)).unwrap();
                    cached.lock().unwrap().insert(id, allocation);
                    allocator.touch(step, [id]);
                }
            });
        }
    });
    allocator.check();
    let left = std::mem::take(&mut *cached.lock().unwrap());
    assert!(!left.is_empty());
    left.into_values().for_each(|allocation| allocator.free(allocation).unwrap());
    assert_eq!(allocator.used(), 0);
    assert_eq!(sim.violations(), []);
}

#[derive(Clone, Debug)]
enum Step {
    Make { size: u64, priority: Option<u8> },
    Rate { which: usize, priority: Option<u8> },
    Touch { which: usize, frame: u64 },
    Free { which: usize },
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let priority = || proptest::option::of(0u8..4);
    let which = || any::<usize>();
    prop_oneof![
        3 => (1u64..5000, priority()).prop_map(|(size, priority)| Step::Make { size, priority }),
        2 => (which(), priority()).prop_map(|(which, priority)| Step::Rate { which, priority }),
        2 => (which(), 0u64..8).prop_map(|(which, frame)| Step::Touch { which, frame }),
        1 => which().prop_map(|which| Step::Free { which }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 64 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn candidates_are_those_of_a_naive_list(
        steps in proptest::collection::vec(step(), 1..if cfg!(miri) { 20 } else { 80 }),
    ) {
        let scene = Scene::new(64 * MIB, Then::Keep);
        let mut live: Vec<(Allocation<Sim>, Option<u8>, u64)> = Vec::new();
        for step in steps {
            let count = live.len().max(1);
            match step {
                Step::Make { size, priority } => {
                    let allocation = scene.allocator.allocate(&request(size)).unwrap();
                    let rated = priority.map(f32::from);
                    scene.allocator.set_evictable(&allocation, rated).unwrap();
                    live.push((allocation, priority, 0));
                }
                Step::Rate { which, priority } => {
                    let found = live.get_mut(which % count);
                    let Some((allocation, own, last)) = found else { continue };
                    scene.allocator.set_evictable(allocation, priority.map(f32::from)).unwrap();
                    if own.is_none() || priority.is_none() {
                        *last = 0;
                    }
                    *own = priority;
                }
                Step::Touch { which, frame } => {
                    let found = live.get_mut(which % count);
                    let Some((allocation, own, last)) = found else { continue };
                    scene.allocator.touch(frame, [allocation.id()]);
                    if own.is_some() {
                        *last = frame.max(*last);
                    }
                }
                Step::Free { which } => {
                    if !live.is_empty() {
                        scene.allocator.free(live.swap_remove(which % count).0).unwrap();
                    }
                }
            }
            let mut expected: Vec<_> = live
                .iter()
                .filter_map(|(one, priority, last)| {
                    let id = one.id();
                    let size = std::cmp::Reverse(one.size());
                    Some(((*priority)?, *last, size, id.arena, id.slot, id.generation))
                })
                .collect();
            expected.sort_unstable();
            let found = scene.candidates();
            let found: Vec<_> = found.iter().map(|id| (id.arena, id.slot, id.generation)).collect();
            let expected: Vec<_> =
                expected.iter().map(|&(.., arena, slot, life)| (arena, slot, life)).collect();
            prop_assert_eq!(found, expected);
        }
        live.into_iter().for_each(|(one, ..)| scene.allocator.free(one).unwrap());
        scene.end();
    }
}
