//! Every strategy through the one trait and the factory, on every preset, and a strategy of a
//! user's own.

use polder_device::device::{Order, Resource};
use polder_device::division::{buddy, linear, slab};
use polder_device::sim::{BufferInfo, Call, ImageInfo, Layout, Preset, Sim, SimOrder, SimResource};
use polder_device::strategy::{
    Buddy, Coherence, Combined, Dedicated, Linear, Rules, Setup, Slab, Suballocator, Tlsf,
};
use polder_device::{
    Access, AllocError, Allocation, AllocationId, Allocator, AllocatorId, Contradiction, Factory,
    FreeError, HostPointer, Lifetime, MapError, Misuse, Options, Placement, Request, Requirements,
    ShortageCause, Strategy, Tiling, Wish,
};
use std::ops::Range;
use std::sync::{Arc, Mutex};

const MIB: u64 = 1 << 20;

/// A memory type that the host sees, for the strategies of one type.
fn visible(sim: &Sim) -> u32 {
    use polder_device::MemoryProperties as P;
    let types = &sim.layout().properties.memory_types;
    types.iter().position(|kind| kind.properties.contains(P::HOST_VISIBLE)).unwrap() as u32
}

/// At most so many bytes.
fn limited() -> Rules<u64> {
    Rules { limit: Some(MIB), ..Rules::default() }
}

fn setup<C>(sim: &Sim, division: C) -> Setup<C, u64> {
    let (memory_type, rules) = (visible(sim), Rules::default());
    Setup { memory_type, growth: None, rules, division, name: None }
}

/// Buffers and images of many sizes, made, written, read, destroyed in another order.
fn exercise(sim: &Sim, strategy: impl Strategy<Sim>) {
    let wish = |index: u64| Wish {
        access: Access::HostRandom,
        lifetime: if index.is_multiple_of(3) { Lifetime::ShortLived } else { Lifetime::General },
        ..Wish::default()
    };
    let (mut buffers, mut images) = (Vec::new(), Vec::new());
    for index in 0..if cfg!(miri) { 6 } else { 60 } {
        let info = BufferInfo { size: 100 + index * 997 % 30_000, ..BufferInfo::default() };
        let mut buffer = strategy.create_buffer(&info, &wish(index)).unwrap();
        strategy.write(buffer.allocation_mut(), 0, &[index as u8; 64]).unwrap();
        buffers.push((index, buffer));
        let tiling = [Tiling::Linear, Tiling::Optimal][index as usize % 2];
        let side = 8 + index as u32 % 32;
        let info = ImageInfo { width: side, height: side, tiling, ..ImageInfo::default() };
        images.push(strategy.create_image(&info, &wish(index)).unwrap());
    }
    let asked: u64 = buffers.iter().map(|(_, buffer)| buffer.allocation().size()).sum::<u64>()
        + images.iter().map(|image| image.allocation().size()).sum::<u64>();
    assert_eq!(strategy.used(), asked);
    assert!(strategy.held() >= asked);
    assert!(strategy.in_use());
    while !buffers.is_empty() {
        let (index, buffer) = buffers.swap_remove(buffers.len() / 2);
        let mut bytes = [0; 64];
        strategy.read(buffer.allocation(), 0, &mut bytes).unwrap();
        assert_eq!(bytes, [index as u8; 64]);
        strategy.destroy_buffer(buffer).unwrap();
    }
    images.into_iter().for_each(|image| strategy.destroy_image(image).unwrap());
    assert_eq!((strategy.used(), strategy.in_use()), (0, false));
    assert!(strategy.dispose().is_ok());
    assert_eq!(sim.live().blocks, 0);
    assert_eq!(sim.violations(), []);
}

fn on_every_preset(work: impl Fn(Sim, Arc<Sim>)) {
    for preset in if cfg!(miri) { &[Preset::Adreno630] } else { &Preset::ALL[..] } {
        let sim = Sim::preset(*preset);
        work(sim.clone(), Arc::new(sim));
    }
}

#[test]
fn dedicated() {
    on_every_preset(|sim, device| exercise(&sim, Dedicated::new(device, setup(&sim, ()))));
}

#[test]
fn tlsf() {
    on_every_preset(|sim, device| {
        exercise(&sim, Tlsf::new(device, setup(&sim, Default::default())));
    });
}

#[test]
fn buddy() {
    on_every_preset(|sim, device| {
        exercise(&sim, Buddy::new(device, setup(&sim, buddy::Config::default())));
    });
}

#[test]
fn slab() {
    on_every_preset(|sim, device| {
        exercise(&sim, Slab::new(device, setup(&sim, slab::Config::default())));
    });
}

#[test]
fn linear() {
    for mode in [linear::Mode::Stack, linear::Mode::DoubleStack, linear::Mode::Ring] {
        on_every_preset(|sim, device| {
            exercise(&sim, Linear::new(device, setup(&sim, linear::Config { mode })));
        });
    }
}

#[test]
fn combined() {
    on_every_preset(|sim, device| {
        let ring = setup(&sim, linear::Config { mode: linear::Mode::Ring });
        let ring = Linear::new(device.clone(), ring);
        let general = Tlsf::new(device, setup(&sim, Default::default()));
        exercise(&sim, Combined::new(ring, general).unwrap());
    });
}

#[test]
fn the_default() {
    on_every_preset(|sim, device| {
        exercise(&sim, Allocator::of(device, Options::default()));
    });
}

#[test]
fn combined_sends_each_lifetime_to_its_strategy() {
    let device = Arc::new(Sim::preset(Preset::Lavapipe));
    let make = || Tlsf::new(device.clone(), Setup::default());
    let combined = Combined::new(make(), make()).unwrap();
    let request = |lifetime| {
        let wish = Wish { lifetime, ..Wish::default() };
        Request::new(Requirements { size: 100, ..Requirements::ANY }, wish)
    };
    let short = combined.allocate(&request(Lifetime::ShortLived)).unwrap();
    assert_eq!((combined.short_lived().used(), combined.general().used()), (100, 0));
    let long = combined.allocate(&request(Lifetime::General)).unwrap();
    assert_eq!(combined.general().used(), 100);
    combined.free(short).unwrap();
    combined.free(long).unwrap();
}

#[test]
fn strategies_of_two_devices_are_not_combined() {
    let make = || Tlsf::new(Arc::new(Sim::preset(Preset::Lavapipe)), Setup::default());
    assert!(Combined::new(make(), make()).is_err());
}

#[test]
fn a_strategy_chosen_at_run_time_is_a_factory() {
    let sim = Sim::preset(Preset::Lavapipe);
    let device = Arc::new(sim.clone());
    let tlsf: Arc<dyn Strategy<Sim>> = Arc::new(Tlsf::new(device.clone(), Setup::default()));
    let boxed: Box<dyn Strategy<Sim>> = Box::new(Buddy::new(device, Setup::default()));
    exercise(&sim, Combined::new(tlsf, boxed).ok().unwrap());
}

#[test]
fn a_dedicated_strategy_gives_each_its_block_and_tells_the_driver() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let dedicated = Dedicated::new(Arc::new(sim.clone()), Setup::default());
    let make = |size| {
        let info = BufferInfo { size, ..BufferInfo::default() };
        dedicated.create_buffer(&info, &Wish { priority: 0.9, ..Wish::default() }).unwrap()
    };
    let large = make(64 * MIB);
    dedicated.destroy_buffer(large).unwrap();
    let small = make(4096);
    let block = sim.block(small.allocation().memory()).unwrap();
    assert_eq!((block.size, block.priority, dedicated.held()), (4096, 0.9, 4096));
    assert_eq!(block.dedicated, Some(Resource::Buffer(small.handle())));
    dedicated.destroy_buffer(small).unwrap();
}

#[test]
fn a_dedicated_strategy_has_no_block_that_is_there_already() {
    let sim = Sim::preset(Preset::Lavapipe);
    let strategy = Dedicated::new(Arc::new(sim.clone()), Setup::default());
    let wish = Wish { placement: Placement::Existing, ..Wish::default() };
    let needs = Requirements { size: 1000, ..Requirements::ANY };
    let refused = strategy.allocate(&Request::new(needs, wish)).unwrap_err();
    assert_eq!(refused, AllocError::Contradiction(Contradiction::NewBlockForbidden));
    assert_eq!(sim.calls(Call::Allocate), 0);
}

#[test]
fn a_strategy_gives_up_its_empty_block_before_it_gives_up() {
    let mut layout = Layout::default();
    layout.properties.heaps[0].size = 100 * MIB;
    let tlsf = Tlsf::new(Arc::new(Sim::new(layout).unwrap()), Setup::default());
    for size in [60 * MIB, 61 * MIB, 100 * MIB] {
        let needs = Requirements { size, ..Requirements::ANY };
        let allocation = tlsf.allocate(&Request::new(needs, Wish::default())).unwrap();
        tlsf.free(allocation).unwrap();
    }
}

#[test]
fn undo_beside_an_empty_block_loses_neither() {
    let tlsf = Tlsf::new(Arc::new(Sim::preset(Preset::Lavapipe)), Setup::default());
    let make = || {
        let needs = Requirements { size: MIB, ..Requirements::ANY };
        tlsf.allocate(&Request::new(needs, Wish::default())).unwrap()
    };
    let mut first: Vec<_> = (0..4).map(|_| make()).collect();
    let second = make();
    assert_ne!(first[0].memory(), second.memory(), "four fill the first block");
    tlsf.free(second).unwrap();
    let last = first.pop().unwrap();
    first.into_iter().for_each(|allocation| tlsf.free(allocation).unwrap());
    tlsf.undo(last).unwrap();
    tlsf.check();
    tlsf.trim();
    assert_eq!((tlsf.used(), tlsf.held()), (0, 0));
}

#[test]
fn the_cause_is_the_limit_though_the_slabs_would_not_serve_it() {
    let division = slab::Config { size_most: 64 << 10, ..slab::Config::default() };
    let setup = Setup { rules: limited(), division, ..Setup::default() };
    let slab = Slab::new(Arc::new(Sim::preset(Preset::Lavapipe)), setup);
    let dedicated = polder_device::DedicatedWish::Preferred;
    let needs = Requirements { size: 2 * MIB, dedicated, ..Requirements::ANY };
    let error = slab.allocate(&Request::new(needs, Wish::default())).unwrap_err();
    let AllocError::OutOfMemory(shortage) = error else { panic!("{error}") };
    assert_eq!(shortage.cause, ShortageCause::Limit { limit: MIB });
}

#[test]
fn a_block_larger_than_the_heap_is_not_ordered() {
    let mut layout = Layout::default();
    layout.properties.heaps[0].size = 100 * MIB;
    let sim = Sim::new(layout).unwrap();
    let buddy = Buddy::new(Arc::new(sim.clone()), Setup::default());
    let needs = Requirements { size: 65 * MIB, ..Requirements::ANY };
    let allocation = buddy.allocate(&Request::new(needs, Wish::default())).unwrap();
    buddy.free(allocation).unwrap();
    assert_eq!(sim.violations(), []);
}

#[test]
fn a_strategy_names_the_most_that_it_serves() {
    let config = slab::Config { size_most: 64 << 10, ..slab::Config::default() };
    let setup = Setup { division: config, ..Setup::default() };
    let slab = Slab::new(Arc::new(Sim::preset(Preset::Lavapipe)), setup);
    let needs = Requirements { size: MIB, ..Requirements::ANY };
    let error = slab.allocate(&Request::new(needs, Wish::default())).unwrap_err();
    let AllocError::OutOfMemory(shortage) = error else { panic!("{error}") };
    assert_eq!(shortage.cause, ShortageCause::Strategy { size_max: 64 << 10 });
    assert_eq!(slab.held(), 0);
}

#[test]
fn a_limit_is_respected() {
    let setup = Setup { rules: limited(), ..Setup::default() };
    let tlsf: Tlsf<Sim> = Suballocator::new(Arc::new(Sim::preset(Preset::Lavapipe)), setup);
    let needs = Requirements { size: 2 * MIB, ..Requirements::ANY };
    let error = tlsf.allocate(&Request::new(needs, Wish::default())).unwrap_err();
    let AllocError::OutOfMemory(shortage) = error else { panic!("{error}") };
    assert_eq!(shortage.cause, ShortageCause::Limit { limit: MIB });
}

/// A strategy as a user would write it: one block, a cursor, everything freed at once.
struct Bump {
    sim: Sim,
    id: AllocatorId,
    memory: polder_device::sim::Memory,
    size: u64,
    state: Mutex<Cursor>,
}

#[derive(Default)]
struct Cursor {
    next: u64,
    count: u32,
    live: Vec<(AllocationId, u64)>,
}

impl Bump {
    fn new(sim: &Sim, size: u64) -> Self {
        let memory = sim.allocate(&order(size)).unwrap();
        Self { sim: sim.clone(), id: AllocatorId::fresh(), memory, size, state: Mutex::default() }
    }

    fn place(&self, allocation: &Allocation<Sim>) -> Result<usize, Misuse> {
        let id = allocation.id();
        if id.allocator != self.id {
            return Err(Misuse::WrongAllocator { expected: self.id, found: id.allocator });
        }
        let live = &self.state.lock().unwrap().live;
        live.iter().position(|live| live.0 == id).ok_or(Misuse::Stale { id, generation: 0 })
    }
}

use polder_device::Device;

fn order(size: u64) -> SimOrder {
    Order {
        size,
        memory_type: 0,
        priority: 0.5,
        device_address: false,
        dedicated: None,
        device_mask: 0,
        extra: None,
    }
}

impl Drop for Bump {
    fn drop(&mut self) {
        // SAFETY: The block is this strategy's own, and its users are gone with it.
        unsafe { self.sim.free(self.memory) };
    }
}

// SAFETY: The block lives as long as the strategy, the cursor only goes up, and nothing is mapped.
unsafe impl Strategy<Sim> for Bump {
    fn device(&self) -> &Sim {
        &self.sim
    }

    fn allocate(&self, request: &Request<'_, Sim>) -> Result<Allocation<Sim>, AllocError> {
        let Requirements { size, align, .. } = request.requirements;
        let mut state = self.state.lock().unwrap();
        let offset = state.next.next_multiple_of(align);
        if offset + size > self.size {
            return Err(AllocError::TooLarge { size, heap: 0, most: self.size - state.next });
        }
        state.next = offset + size;
        state.count += 1;
        let id = AllocationId { allocator: self.id, arena: 0, slot: state.count, generation: 1 };
        state.live.push((id, size));
        let memory = self.memory;
        let parts = polder_device::allocation::Parts {
            id,
            memory,
            offset,
            size,
            memory_type: 0,
            pointer: None,
        };
        // SAFETY: The block lives as long as the strategy, and the cursor only goes up, so the
        // range is nobody else's.
        Ok(unsafe { Allocation::from_parts(parts) })
    }

    fn free(&self, allocation: Allocation<Sim>) -> Result<(), FreeError<Allocation<Sim>>> {
        let place = self.place(&allocation);
        let place = place.map_err(|reason| FreeError { reason, allocation })?;
        self.state.lock().unwrap().live.remove(place);
        Ok(())
    }

    fn expect_live(&self, allocation: &Allocation<Sim>) -> Result<(), Misuse> {
        self.place(allocation).map(|_| ())
    }

    fn used(&self) -> u64 {
        self.state.lock().unwrap().live.iter().map(|live| live.1).sum()
    }

    fn held(&self) -> u64 {
        self.size
    }

    fn live(&self) -> Vec<AllocationId> {
        self.state.lock().unwrap().live.iter().map(|live| live.0).collect()
    }

    fn map(&self, _: &Allocation<Sim>) -> Result<HostPointer, MapError> {
        Err(MapError::NotHostVisible { memory_type: 0 })
    }

    fn unmap(&self, allocation: &Allocation<Sim>) -> Result<(), MapError> {
        Err(MapError::NotMapped { id: allocation.id() })
    }

    fn make_coherent(
        &self,
        _: &Allocation<Sim>,
        _: Range<u64>,
        _: Coherence,
    ) -> Result<(), MapError> {
        Ok(())
    }
}

#[test]
fn a_users_own_strategy_works_under_the_factory() {
    let sim = Sim::new(Layout::default()).unwrap();
    let bump = Bump::new(&sim, 4 * MIB);
    let buffers: Vec<_> = (1..20)
        .map(|index| {
            let info = BufferInfo { size: index * 1000, ..BufferInfo::default() };
            bump.create_buffer(&info, &Wish::default()).unwrap()
        })
        .collect();
    let big = BufferInfo { size: 16 * MIB, ..BufferInfo::default() };
    assert!(bump.create_buffer(&big, &Wish::default()).is_err());
    assert_eq!(sim.live().buffers, buffers.len() as u64, "the failed one is undone");
    let _: SimResource = Resource::Buffer(buffers[0].handle());
    buffers.into_iter().for_each(|buffer| bump.destroy_buffer(buffer).unwrap());
    assert!(bump.dispose().is_ok());
    assert_eq!(sim.violations(), []);
}
