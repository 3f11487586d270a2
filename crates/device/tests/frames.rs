//! Frees that wait for frames: in an allocator, in its pools, in strategies alone.

use polder_device::sim::{BufferInfo, ImageInfo, Preset, Sim};
use polder_device::strategy::{Buddy, Pool, Setup};
use polder_device::{
    Allocator, Factory, Framed, Misuse, Options, Owned, OwnedBuffer, Strategy, Watermarks, Wish,
};
use std::sync::{Arc, Mutex};

/// What a buffer made with [`BufferInfo::default`] takes.
const SIZE: u64 = 64 << 10;

fn allocator(sim: &Sim) -> Arc<Allocator<Sim>> {
    Arc::new(Allocator::new(sim.clone(), Options::default()))
}

fn pool(allocator: &Allocator<Sim>) -> Arc<Pool<Sim>> {
    allocator.create_pool(&Setup::default(), &[]).unwrap()
}

fn own<S: Framed<Sim>>(strategy: &Arc<S>) -> OwnedBuffer<Sim, S> {
    let buffer = strategy.create_buffer(&BufferInfo::default(), &Wish::default());
    Owned::new(strategy, buffer.unwrap()).unwrap()
}

fn assert_nothing_is_left(sim: &Sim) {
    let left = sim.live();
    assert_eq!((left.buffers, left.images, left.blocks), (0, 0, 0));
    assert_eq!(sim.violations(), []);
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0xda94_2042_e4dd_58b5).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What a strategy should hold: handles, and the frames that others wait for.
struct Home<S: Framed<Sim>> {
    strategy: Arc<S>,
    held: Vec<OwnedBuffer<Sim, S>>,
    frames: Vec<u64>,
}

impl<S: Framed<Sim>> Home<S> {
    fn new(strategy: &Arc<S>) -> Self {
        Self { strategy: strategy.clone(), held: Vec::new(), frames: Vec::new() }
    }

    /// Makes one, drops one, or gives one to a frame near the one that is recorded.
    fn step(&mut self, random: &mut Random, clock: &Clock) {
        if random.below(2) == 0 || self.held.is_empty() {
            return self.held.push(own(&self.strategy));
        }
        let handle = self.held.swap_remove(random.below(self.held.len() as u64) as usize);
        let frame = match random.below(2) {
            0 => {
                drop(handle);
                clock.recorded
            }
            _ => {
                let frame = (clock.recorded.unwrap_or(0) + random.below(6)).saturating_sub(3);
                handle.free_after(frame).unwrap();
                Some(frame)
            }
        };
        self.frames.extend(frame.filter(|&frame| clock.waits_for(frame)));
    }

    fn check(&mut self, clock: &Clock) {
        self.frames.retain(|&frame| clock.waits_for(frame));
        let count = (self.held.len() + self.frames.len()) as u64;
        assert_eq!(self.strategy.used(), count * SIZE);
    }
}

#[derive(Default)]
struct Clock {
    recorded: Option<u64>,
    completed: Option<u64>,
}

impl Clock {
    fn waits_for(&self, frame: u64) -> bool {
        self.completed.is_none_or(|completed| completed < frame)
    }
}

#[test]
#[cfg_attr(miri, ignore = "thousands of buffers")]
fn each_is_freed_when_its_frame_is_completed_and_not_before() {
    for seed in 0..30 {
        let (sim, mut random, mut clock) =
            (Sim::preset(Preset::Lavapipe), Random(seed), Clock::default());
        let allocator = allocator(&sim);
        let mut general = Home::new(&allocator);
        let mut pools = Vec::new();
        for _ in 0..300 {
            match random.below(12) {
                0 => {
                    let frame = clock.recorded.map_or(0, |frame| frame + random.below(3));
                    allocator.begin_frame(frame);
                    clock.recorded = Some(frame);
                }
                1 => {
                    let frame = clock.recorded.unwrap_or(0).saturating_sub(random.below(3));
                    allocator.complete_frame(frame);
                    clock.completed = clock.completed.max(Some(frame));
                }
                // A pool that comes later knows the frames that were.
                2 if pools.len() < 3 => pools.push(Home::new(&pool(&allocator))),
                3..7 => general.step(&mut random, &clock),
                _ => pools.iter_mut().for_each(|pool| pool.step(&mut random, &clock)),
            }
            general.check(&clock);
            pools.iter_mut().for_each(|pool| pool.check(&clock));
        }
        drop((general, pools));
        Arc::into_inner(allocator).unwrap().shutdown().unwrap();
        assert_nothing_is_left(&sim);
    }
}

#[test]
fn what_waits_in_a_pool_keeps_it() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let pool = pool(&allocator);
    allocator.begin_frame(1);
    let image = pool.create_image(&ImageInfo::default(), &Wish::default()).unwrap();
    let given_up = own(&pool);
    let for_a_frame = own(&pool);
    drop(pool);
    assert_eq!((sim.live().buffers, sim.live().images), (2, 1), "the handles keep the pool");
    let pool = given_up.allocator().clone();
    pool.free_after(9, image).unwrap();
    drop((pool, given_up));
    for_a_frame.free_after(3).unwrap();
    assert_eq!((sim.live().buffers, sim.live().images), (2, 1), "frame 1 may use them");
    assert_eq!(allocator.pools().len(), 1);
    allocator.complete_frame(1);
    assert_eq!((sim.live().buffers, sim.live().images), (1, 1));
    allocator.complete_frame(8);
    assert_eq!((sim.live().buffers, sim.live().images), (0, 1));
    allocator.complete_frame(9);
    assert_nothing_is_left(&sim);
    assert_eq!(allocator.pools().len(), 0, "it went with the last that waited");
}

#[test]
fn what_is_handed_in_for_a_frame_keeps_its_pool_without_an_owning_handle() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let pool = pool(&allocator);
    let image = pool.create_image(&ImageInfo::default(), &Wish::default()).unwrap();
    pool.free_after(2, image).unwrap();
    drop(pool);
    assert_eq!(sim.live().images, 1);
    allocator.complete_frame(2);
    assert_nothing_is_left(&sim);
}

#[test]
fn what_a_callback_of_the_frame_gives_up_waits_for_it_in_pools_too() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let pool = pool(&allocator);
    let slots = (Mutex::new(Some(own(&allocator))), Mutex::new(Some(own(&pool))));
    // The handles hold the allocator, and the callback the handles: until they are given up.
    allocator.on_pressure(Watermarks::default(), move |_| {
        drop(slots.0.lock().unwrap().take());
        drop(slots.1.lock().unwrap().take());
    });
    sim.set_budget(0, Some(0));
    allocator.begin_frame(8);
    assert_eq!(sim.live().buffers, 2, "frame 8 may use them");
    allocator.complete_frame(7);
    assert_eq!(sim.live().buffers, 2);
    allocator.complete_frame(8);
    assert_eq!(sim.live().buffers, 0);
    drop((pool, allocator));
    assert_nothing_is_left(&sim);
}

#[test]
fn a_pool_that_waits_goes_with_its_allocator() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    allocator.begin_frame(7);
    let (dropped, shut_down) = (pool(&allocator), pool(&allocator));
    drop((own(&dropped), own(&shut_down), dropped));
    assert_eq!(sim.live().buffers, 2);
    let kept = shut_down.clone();
    drop(shut_down);
    Arc::into_inner(allocator).unwrap().shutdown().unwrap();
    assert_eq!(sim.live().buffers, 1, "somebody still has the other pool");
    drop(kept);
    assert_nothing_is_left(&sim);
}

/// The last handles of pools go while the frames they wait for are completed.
#[test]
fn pools_go_beside_frames_that_end() {
    let (threads, rounds) = if cfg!(miri) { (2, 3) } else { (4, 200) };
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..rounds).for_each(|_| drop(own(&pool(&allocator)))));
        }
        for frame in 0..rounds {
            allocator.begin_frame(frame);
            allocator.complete_frame(frame);
        }
    });
    allocator.complete_frame(rounds);
    assert_nothing_is_left(&sim);
    assert_eq!(allocator.pools().len(), 0);
}

#[test]
fn a_pool_that_outlives_its_allocator_is_told_by_itself() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let pool = pool(&allocator);
    allocator.begin_frame(3);
    drop(own(&pool));
    drop(allocator);
    assert_eq!(pool.used(), SIZE, "the device may still use it in frame 3");
    pool.begin_frame(4);
    drop(own(&pool));
    pool.complete_frame(3);
    assert_eq!(pool.used(), SIZE);
    pool.complete_frame(4);
    assert_eq!(pool.used(), 0);
    drop(pool);
    assert_nothing_is_left(&sim);
}

#[test]
fn strategies_alone_have_frames_of_their_own() {
    let sim = Sim::preset(Preset::Lavapipe);
    let buddy = Arc::new(Buddy::new(Arc::new(sim.clone()), Setup::default()));
    drop(own(&buddy));
    assert_eq!(buddy.used(), 0, "without frames an owning handle frees at once");
    buddy.begin_frame(0);
    let (_, buffer) = own(&buddy).into_parts();
    buddy.free_after(u64::MAX, buffer).unwrap();
    drop(own(&buddy));
    buddy.complete_frame(0);
    assert_eq!(buddy.used(), SIZE);
    buddy.complete_frame(u64::MAX);
    assert_eq!(buddy.used(), 0, "all frames are completed");
    drop(buddy);
    assert_nothing_is_left(&sim);
}

#[test]
fn what_is_another_s_or_was_freed_comes_back() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let (one, other) = (pool(&allocator), pool(&allocator));
    let make = || one.create_buffer(&BufferInfo::default(), &Wish::default()).unwrap();
    let (expected, found) = (other.id(), one.id());
    let refused = other.free_after(1, make()).unwrap_err();
    assert_eq!(refused.reason, Misuse::WrongAllocator { expected, found });
    let refused = Owned::new(&other, refused.allocation).unwrap_err();
    let refused = allocator.free_after(1, refused.allocation).unwrap_err();
    let expected = allocator.id();
    assert_eq!(refused.reason, Misuse::WrongAllocator { expected, found });
    let buffer = refused.allocation;
    let id = buffer.allocation().id();
    // SAFETY: The twin is used for nothing but this.
    let twin = unsafe { one.handle(id) }.unwrap();
    one.destroy_buffer(buffer).unwrap();
    let stale = one.free_after(1, twin).unwrap_err();
    assert_eq!(stale.reason, Misuse::Stale { id, generation: id.generation });
    drop((one, other, allocator));
    assert_nothing_is_left(&sim);
}
