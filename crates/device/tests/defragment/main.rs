//! Defragmentation on the software device: what lives keeps its bytes, places do not overlap,
//! blocks go, limits hold, and misuse is an error that changes nothing.

mod ground;
mod mapped;
mod meanwhile;
mod misuse;
mod mover;
mod packing;
mod pools;
mod threads;

use ground::{BLOCK, Ground};
use polder_device::defragment::{DefragmentError, Move, Options, Stats};
use polder_device::sim::{BufferInfo, ImageInfo, Layout, Memory, Preset, Sim, SimResource};
use polder_device::strategy::Pool;
use polder_device::{
    Access, Allocation, AllocationId, Allocator, Effort, Growth, Mapping, Request, Resource,
    Resources, Strategy, Tiling, Wish,
};
use proptest::prelude::{Just, ProptestConfig, any, prop_oneof, proptest};
use proptest::strategy::Strategy as PropStrategy;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const EFFORTS: [Effort; 4] = [Effort::Fast, Effort::Balanced, Effort::Full, Effort::Extensive];

/// Blocks of 64 KiB, so that there are many.
fn allocator(sim: &Sim) -> Allocator<Sim> {
    let growth = Some(Growth { size_least: BLOCK, size_most: BLOCK });
    Allocator::new(
        sim.clone(),
        polder_device::Options { growth, arenas: 1, ..polder_device::Options::default() },
    )
}

/// A device whose linear and optimal resources keep apart.
fn granular() -> Sim {
    let mut layout = Layout::default();
    layout.properties.limits.granularity = 4096;
    Sim::new(layout).expect("a device may have it")
}

/// A resource with bytes in it.
struct Item {
    resource: SimResource,
    size: u64,
    tiling: Tiling,
    allocation: Allocation<Sim>,
    seed: u64,
}

impl Item {
    fn bytes(&self) -> Vec<u8> {
        (0..self.size).map(|at| (self.seed.wrapping_mul(31).wrapping_add(at) % 251) as u8).collect()
    }
}

/// An allocator or a pool, and what should be in it.
struct World<G> {
    sim: Sim,
    ground: Arc<G>,
    live: HashMap<AllocationId, Item>,
    order: Vec<AllocationId>,
    seed: u64,
}

impl<G: Ground> World<G> {
    fn new(sim: Sim) -> Self {
        let ground = G::begin(&sim);
        Self { sim, ground, live: HashMap::new(), order: Vec::new(), seed: 0 }
    }

    /// A resource of about this size: an image is as many texels as it takes.
    fn make(sim: &Sim, size: u64, tiling: Tiling) -> (SimResource, u64) {
        match tiling {
            Tiling::Linear => {
                let info = BufferInfo { size, ..BufferInfo::default() };
                (Resource::Buffer(sim.create_buffer(&info).unwrap()), size)
            }
            Tiling::Optimal => {
                let width = (size / 4).max(1) as u32;
                let info = ImageInfo { width, height: 1, ..ImageInfo::default() };
                (Resource::Image(sim.create_image(&info).unwrap()), u64::from(width) * 4)
            }
        }
    }

    fn allocate(&mut self, size: u64, tiling: Tiling, wish: Wish<'static>) {
        let (resource, size) = Self::make(&self.sim, size, tiling);
        // SAFETY: It was just made.
        let requirements = unsafe { self.sim.requirements(resource) };
        let mut request = Request::new(requirements, wish);
        (request.tiling, request.resource) = (tiling, Some(resource));
        let allocation = self.ground.allocate(&request).unwrap();
        // SAFETY: Both are new and for each other.
        unsafe { self.sim.bind(resource, allocation.memory(), allocation.offset()) }.unwrap();
        self.seed += 1;
        let item = Item { resource, size, tiling, allocation, seed: self.seed };
        // SAFETY: This thread alone uses it.
        unsafe { self.sim.write_device(resource, 0, &item.bytes()) }.unwrap();
        self.order.push(item.allocation.id());
        self.live.insert(item.allocation.id(), item);
    }

    fn free(&mut self, choice: usize) {
        if self.order.is_empty() {
            return;
        }
        let id = self.order.swap_remove(choice % self.order.len());
        let item = self.live.remove(&id).unwrap();
        // SAFETY: It is ours, and nothing uses it.
        unsafe { self.sim.destroy(item.resource) };
        self.ground.free(item.allocation).unwrap();
    }

    /// Copies as a device would, and says so.
    fn copy(
        &mut self,
        one: &Move<Memory>,
        done: impl FnOnce(&mut Allocation<Sim>) -> Result<(), DefragmentError>,
    ) -> Result<SimResource, DefragmentError> {
        let item = self.live.get_mut(&one.allocation).unwrap();
        assert_eq!(item.allocation.memory(), one.source.memory);
        assert_eq!(item.allocation.offset(), one.source.offset);
        assert_eq!(item.allocation.size(), one.size);
        assert_eq!(item.tiling, one.tiling);
        let (resource, _) = Self::make(&self.sim, item.size, item.tiling);
        // SAFETY: The target is reserved for a resource of these needs.
        unsafe { self.sim.bind(resource, one.target.memory, one.target.offset) }.unwrap();
        // SAFETY: This thread alone uses both.
        let bytes = unsafe { self.sim.read_device(item.resource, 0..item.size) }.unwrap();
        // SAFETY: As above.
        unsafe { self.sim.write_device(resource, 0, &bytes) }.unwrap();
        done(&mut item.allocation)?;
        assert_eq!(item.allocation.memory(), one.target.memory);
        Ok(core::mem::replace(&mut item.resource, resource))
    }

    /// Every byte is where it should be, and nothing overlaps.
    fn check(&self) {
        self.ground.check();
        let mut places = HashMap::<Memory, Vec<(u64, u64)>>::new();
        for (id, item) in &self.live {
            // SAFETY: This thread alone uses it.
            let bytes = unsafe { self.sim.read_device(item.resource, 0..item.size) }.unwrap();
            assert_eq!(bytes, item.bytes(), "{id}");
            let allocation = &item.allocation;
            let fresh = self.ground.twin(*id).unwrap();
            assert_eq!(
                (fresh.memory(), fresh.offset(), fresh.pointer()),
                (allocation.memory(), allocation.offset(), allocation.pointer())
            );
            let range = (allocation.offset(), allocation.offset() + allocation.size());
            places.entry(allocation.memory()).or_default().push(range);
        }
        for ranges in places.values_mut() {
            ranges.sort_unstable();
            assert!(ranges.is_sorted_by(|one, other| one.1 <= other.0), "places overlap");
        }
        assert_eq!(self.sim.violations(), []);
    }

    /// Runs to the end, with a look at everything after each pass. `mix` decides what becomes of
    /// each move.
    fn defragment(&mut self, options: &Options, mut mix: impl FnMut() -> u64) -> Stats {
        let ground = self.ground.clone();
        let mut work = ground.defragment(options).unwrap();
        let mut passes = 0;
        loop {
            let moves = work.begin_pass().unwrap().to_vec();
            let bytes: u64 = moves.iter().map(|one| one.size).sum();
            assert!(bytes <= options.bytes_per_pass_max);
            assert!(moves.len() <= options.moves_per_pass_max as usize);
            ground.check();
            if moves.is_empty() {
                break;
            }
            let mut old = Vec::new();
            for one in &moves {
                match mix() % 16 {
                    0 => work.ignore(one.id).unwrap(),
                    1 => {}
                    2 => {
                        let item = self.live.remove(&one.allocation).unwrap();
                        self.order.retain(|&id| id != one.allocation);
                        old.push(item.resource);
                        work.destroy(one.id, item.allocation).unwrap();
                    }
                    3 => {
                        // As another thread would.
                        let item = self.live.remove(&one.allocation).unwrap();
                        self.order.retain(|&id| id != one.allocation);
                        old.push(item.resource);
                        ground.free(item.allocation).unwrap();
                    }
                    _ => old.push(self.copy(one, |handle| work.copied(one.id, handle)).unwrap()),
                }
            }
            ground.check();
            // SAFETY: Nothing uses them any more.
            old.into_iter().for_each(|resource| unsafe { self.sim.destroy(resource) });
            work.end_pass().unwrap();
            ground.check();
            passes += 1;
            assert!(passes < 10_000, "it comes to an end");
        }
        assert!(work.is_done());
        work.stats()
    }

    fn end(mut self) {
        while !self.order.is_empty() {
            self.free(0);
        }
        let ground = Arc::into_inner(self.ground).expect("nobody else has it");
        assert!(ground.dispose().is_ok());
        assert_eq!((self.sim.live().blocks, self.sim.violations().len()), (0, 0));
    }
}

/// The one of an allocator.
type General = World<Allocator<Sim>>;

/// Fills, frees a part, and returns what is left.
fn scattered<G: Ground>(sim: Sim, count: u64, keep: impl Fn(u64) -> bool) -> World<G> {
    let mut world = World::new(sim);
    for number in 0..count {
        world.allocate(1024 + number * 4793 % 9000 / 16 * 16, Tiling::Linear, Wish::default());
    }
    let ids = world.order.clone();
    for (number, id) in (0..).zip(ids) {
        if !keep(number) {
            let place = world.order.iter().position(|&other| other == id).unwrap();
            world.free(place);
        }
    }
    world
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate { size: u64, tiling: Tiling, persistent: bool },
    Free(usize),
    Defragment { effort: Effort, bytes: u64, moves: u32, seed: u64 },
}

fn step() -> impl PropStrategy<Value = Step> {
    let tiling = prop_oneof![Just(Tiling::Linear), Just(Tiling::Optimal)];
    prop_oneof![
        30 => (1_u64..12_000, tiling, any::<bool>())
            .prop_map(|(size, tiling, persistent)| Step::Allocate { size, tiling, persistent }),
        24 => any::<usize>().prop_map(Step::Free),
        1 => (0..4_usize, 1_u64..100_000, 1..20_u32, any::<u64>()).prop_map(
            |(effort, bytes, moves, seed)| Step::Defragment {
                effort: EFFORTS[effort],
                bytes,
                moves,
                seed,
            },
        ),
    ]
}

fn random(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_mul(0xda94_2042_e4dd_58b5).wrapping_add(1);
        state >> 33
    }
}

/// A case is a whole history.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    ProptestConfig { cases: config.cases.min(48), ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    #[cfg_attr(miri, ignore = "thousands of allocations")]
    fn what_lives_keeps_its_bytes_and_its_id(
        steps in proptest::collection::vec(step(), 1..160),
        granular_device in any::<bool>(),
        of_pool in any::<bool>(),
    ) {
        let sim = if granular_device { granular() } else { Sim::preset(Preset::Lavapipe) };
        if of_pool {
            live_through::<Pool<Sim>>(sim, steps);
        } else {
            live_through::<Allocator<Sim>>(sim, steps);
        }
    }
}

/// A history from its begin to its end.
fn live_through<G: Ground>(sim: Sim, steps: Vec<Step>) {
    let mut world = World::<G>::new(sim);
    for step in steps {
        match step {
            Step::Allocate { size, tiling, persistent } => {
                let wish = if persistent {
                    Wish { mapping: Mapping::Persistent, ..Wish::of(Access::HostRandom) }
                } else {
                    Wish::default()
                };
                world.allocate(size, tiling, wish);
            }
            Step::Free(choice) => world.free(choice),
            Step::Defragment { effort, bytes, moves, seed } => {
                let options = Options {
                    effort,
                    bytes_per_pass_max: bytes,
                    moves_per_pass_max: moves,
                    ..Options::default()
                };
                world.defragment(&options, random(seed));
                world.check();
            }
        }
    }
    world.check();
    world.end();
}

#[test]
#[cfg_attr(miri, ignore = "thousands of allocations")]
fn few_blocks_hold_what_many_did() {
    gather::<Allocator<Sim>>();
    gather::<Pool<Sim>>();
}

fn gather<G: Ground>() {
    for effort in EFFORTS {
        let mut world: World<G> =
            scattered(Sim::preset(Preset::Lavapipe), 400, |number| number % 2 == 0);
        let before = world.ground.blocks();
        let stats = world.defragment(&Options { effort, ..Options::default() }, || 15);
        world.check();
        let (least, after) = (world.ground.used().div_ceil(BLOCK), world.ground.blocks());
        assert!(after <= least + 2, "{effort:?}: {after} of {before}");
        assert_eq!(stats.blocks_freed, before - after);
        world.end();
    }
}

#[test]
#[cfg_attr(miri, ignore = "thousands of allocations")]
fn limits_however_small_cost_no_block() {
    for effort in EFFORTS {
        let mut free: General = scattered(granular(), 200, |number| number % 3 == 0);
        let all = free.defragment(&Options { effort, ..Options::default() }, || 15);
        let mut bound: General = scattered(granular(), 200, |number| number % 3 == 0);
        let options = Options {
            effort,
            bytes_per_pass_max: 12_000,
            moves_per_pass_max: 2,
            ..Options::default()
        };
        let some = bound.defragment(&options, || 15);
        assert!(all.blocks_freed > 0);
        assert!(some.blocks_freed + 1 >= all.blocks_freed, "{effort:?}: {some:?} {all:?}");
        bound.check();
        bound.end();
        free.end();
    }
}

#[test]
#[cfg_attr(miri, ignore = "thousands of allocations")]
fn the_quick_way_moves_only_what_empties_blocks() {
    let mut world: General =
        scattered(Sim::preset(Preset::Lavapipe), 400, |number| number % 4 == 0);
    let stats = world.defragment(&Options { effort: Effort::Fast, ..Options::default() }, || 15);
    assert!(stats.bytes_moved <= stats.bytes_freed);
    let again = world.defragment(&Options { effort: Effort::Fast, ..Options::default() }, || 15);
    assert_eq!(again, Stats::default());
    world.end();
}

#[test]
#[cfg_attr(miri, ignore = "thousands of allocations")]
fn the_extensive_way_parts_linear_from_optimal() {
    let mut world = General::new(granular());
    for number in 0..300 {
        let tiling = if number % 2 == 0 { Tiling::Linear } else { Tiling::Optimal };
        world.allocate(2000 + number * 37 % 5000, tiling, Wish::default());
    }
    (0..150).for_each(|number| world.free(number * 7));
    let options = Options { effort: Effort::Extensive, ..Options::default() };
    world.defragment(&options, || 15);
    world.check();
    let mut kinds = HashMap::<Memory, HashSet<bool>>::new();
    for item in world.live.values() {
        let optimal = item.tiling == Tiling::Optimal;
        kinds.entry(item.allocation.memory()).or_default().insert(optimal);
    }
    let mixed = kinds.values().filter(|kinds| kinds.len() > 1).count();
    assert!(mixed <= 2, "{mixed} of {} blocks have both", kinds.len());
    world.end();
}
