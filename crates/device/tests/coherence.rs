//! Many ranges flushed or invalidated at once: one call of the device, whatever blocks and arenas
//! they lie in, and just the atoms that were named.

use polder_device::sim::{BufferInfo, Call, Preset, Sim};
use polder_device::strategy::{Combined, Dedicated, Linear, Setup, Tlsf};
use polder_device::{
    Access, Allocation, Allocator, Buffer, DeviceError, Factory, MapError, Mapping,
    MemoryProperties, Misuse, Options, Placement, Request, Requirements, Resource, Strategy, Wish,
};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Some of their memory has to be flushed. Miri has the patience for one, and for little of it.
const NON_COHERENT: &[Preset] =
    if cfg!(miri) { &[Preset::Mock] } else { &[Preset::Mock, Preset::Adreno630] };
/// Most bytes of a buffer.
const SIZE_MAX: u64 = if cfg!(miri) { 300 } else { 2000 };
/// How many buffers each thread makes.
const COUNT: usize = if cfg!(miri) { 2 } else { 8 };

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0xda94_2042_e4dd_58b5).wrapping_add(1);
        (self.0 >> 33) % limit
    }

    fn range(&mut self, size: u64) -> Range<u64> {
        let start = self.below(size);
        start..start + self.below(size - start + 1)
    }
}

/// The memory type that host and device see alike, or do not.
fn memory_type(sim: &Sim, coherent: bool) -> u32 {
    let kinds = &sim.layout().properties.memory_types;
    let is_wanted = |properties: MemoryProperties| {
        properties.contains(MemoryProperties::HOST_VISIBLE)
            && properties.contains(MemoryProperties::HOST_COHERENT) == coherent
    };
    kinds.iter().position(|kind| is_wanted(kind.properties)).unwrap() as u32
}

fn wish(memory_type: u32) -> Wish<'static> {
    let mapping = Mapping::Persistent;
    Wish { memory_types: 1 << memory_type, mapping, ..Wish::of(Access::HostRandom) }
}

/// A buffer, what the host sees of it and what the device does.
struct Views {
    buffer: Buffer<Sim>,
    coherent: bool,
    host: Vec<u8>,
    device: Vec<u8>,
}

impl Views {
    fn new(allocator: &Allocator<Sim>, random: &mut Random) -> Self {
        let coherent = random.below(4) == 0;
        let placement =
            if random.below(8) == 0 { Placement::Dedicated } else { Placement::default() };
        let wish = Wish { placement, ..wish(memory_type(allocator.device(), coherent)) };
        let size = 1 + random.below(SIZE_MAX);
        let info = BufferInfo { size, ..BufferInfo::default() };
        let buffer = allocator.create_buffer(&info, &wish).unwrap();
        let (host, device) = (vec![0; size as usize], vec![0; size as usize]);
        let mut views = Self { buffer, coherent, host, device };
        views.write(0..size, 0);
        // SAFETY: This thread alone uses it.
        unsafe { allocator.device().write_device(views.resource(), 0, &views.device) }.unwrap();
        views
    }

    fn resource(&self) -> polder_device::sim::SimResource {
        Resource::Buffer(self.buffer.handle())
    }

    fn len(&self) -> u64 {
        self.host.len() as u64
    }

    /// As the host does.
    fn write(&mut self, range: Range<u64>, byte: u8) {
        let pointer = self.buffer.allocation().pointer().unwrap().get();
        for at in range {
            // SAFETY: It is mapped all its life, and the place lies in it; nobody else uses it.
            unsafe { pointer.as_ptr().wrapping_add(at as usize).write(byte) };
            self.host[at as usize] = byte;
            if self.coherent {
                self.device[at as usize] = byte;
            }
        }
    }

    /// As the device does.
    fn write_device(&mut self, sim: &Sim, range: Range<u64>, byte: u8) {
        let bytes = vec![byte; (range.end - range.start) as usize];
        // SAFETY: This thread alone uses it.
        unsafe { sim.write_device(self.resource(), range.start, &bytes) }.unwrap();
        let range = range.start as usize..range.end as usize;
        self.device[range.clone()].fill(byte);
        if self.coherent {
            self.host[range].fill(byte);
        }
    }

    /// What a call does to the model.
    fn synchronise(&mut self, range: &Range<u64>, atom: u64, to_device: bool) {
        if range.is_empty() {
            return;
        }
        let end = range.end.next_multiple_of(atom).min(self.len());
        let range = (range.start / atom * atom) as usize..end as usize;
        if to_device {
            self.device[range.clone()].copy_from_slice(&self.host[range]);
        } else {
            self.host[range.clone()].copy_from_slice(&self.device[range]);
        }
    }

    fn check(&self, sim: &Sim) {
        // SAFETY: This thread alone uses it.
        let device = unsafe { sim.read_device(self.resource(), 0..self.len()) }.unwrap();
        assert_eq!(device, self.device);
        let pointer = self.buffer.allocation().pointer().unwrap().get();
        for (at, &byte) in self.host.iter().enumerate() {
            // SAFETY: As in `write`.
            assert_eq!(unsafe { pointer.as_ptr().wrapping_add(at).read() }, byte);
        }
    }
}

/// Buffers of several threads, and so of several arenas.
fn buffers(allocator: &Allocator<Sim>, seed: u64) -> Vec<Views> {
    std::thread::scope(|scope| {
        let make = |seed| {
            let mut random = Random(seed);
            (0..COUNT).map(|_| Views::new(allocator, &mut random)).collect::<Vec<_>>()
        };
        let threads: Vec<_> =
            (0..3).map(|thread| scope.spawn(move || make(seed * 10 + thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn one_call_makes_the_named_atoms_coherent_and_no_others() {
    for &preset in NON_COHERENT {
        for seed in 0..if cfg!(miri) { 1 } else { 20 } {
            let sim = Sim::preset(preset);
            let atom = sim.layout().properties.limits.non_coherent_atom_size;
            let allocator =
                Allocator::new(sim.clone(), Options { arenas: 3, ..Options::default() });
            let mut all = buffers(&allocator, seed);
            let arenas: HashSet<_> =
                all.iter().map(|one| one.buffer.allocation().id().arena).collect();
            assert!(arenas.len() > 2, "ranges of several arenas");
            let mut random = Random(seed);
            for step in 0..if cfg!(miri) { 2 } else { 60 } {
                for one in &mut all {
                    let (host, device) = (random.range(one.len()), random.range(one.len()));
                    one.write(host, random.below(256) as u8);
                    one.write_device(&sim, device, random.below(256) as u8);
                }
                let picks: Vec<_> = (0..random.below(20))
                    .map(|_| {
                        let which = random.below(all.len() as u64) as usize;
                        (which, random.range(all[which].len()))
                    })
                    .collect();
                let ranges: Vec<_> = picks
                    .iter()
                    .map(|(which, range)| (all[*which].buffer.allocation(), range.clone()))
                    .collect();
                let call = if step % 2 == 0 { Call::Flush } else { Call::Invalidate };
                let before = sim.calls(call);
                match call {
                    Call::Flush => allocator.flush_all(&ranges).unwrap(),
                    _ => allocator.invalidate_all(&ranges).unwrap(),
                }
                let asks =
                    picks.iter().any(|(which, range)| !all[*which].coherent && !range.is_empty());
                assert_eq!(sim.calls(call) - before, u64::from(asks));
                for (which, range) in &picks {
                    all[*which].synchronise(range, atom, call == Call::Flush);
                }
                all.iter().for_each(|one| one.check(&sim));
            }
            allocator.check();
            all.into_iter().for_each(|one| allocator.destroy_buffer(one.buffer).unwrap());
            allocator.shutdown().unwrap();
            assert_eq!(sim.violations(), []);
        }
    }
}

fn request(size: u64, wish: Wish<'_>) -> Request<'_, Sim> {
    Request::new(Requirements { size, align: 4, ..Requirements::ANY }, wish)
}

/// Three that are mapped, of memory that is not coherent.
fn three(strategy: &impl Strategy<Sim>) -> [Allocation<Sim>; 3] {
    let wish = wish(memory_type(strategy.device(), false));
    [100, 200, 300].map(|size| strategy.allocate(&request(size, wish)).unwrap())
}

fn free_all(strategy: &impl Strategy<Sim>, all: impl IntoIterator<Item = Allocation<Sim>>) {
    all.into_iter().for_each(|one| strategy.free(one).unwrap());
}

#[test]
fn all_is_checked_before_the_device_is_asked() {
    let sim = Sim::preset(Preset::Mock);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let other = Allocator::new(sim.clone(), Options::default());
    let good = three(&allocator);
    let counted = Wish { mapping: Mapping::Counted, ..wish(memory_type(&sim, false)) };
    let unmapped = allocator.allocate(&request(100, counted)).unwrap();
    let freed = allocator.allocate(&request(100, counted)).unwrap();
    let freed_id = freed.id();
    // SAFETY: The twin is used for nothing but this.
    let twin = unsafe { allocator.handle(freed_id) }.unwrap();
    allocator.free(freed).unwrap();
    let [stranger, two, three] = three(&other);

    let (expected, found) = (allocator.id(), other.id());
    let cases = [
        (&good[2], 0..301, MapError::PastEnd { offset: 0, len: 301, size: 300 }),
        (&good[2], 301..301, MapError::PastEnd { offset: 301, len: 0, size: 300 }),
        (&unmapped, 0..100, MapError::NotMapped { id: unmapped.id() }),
        (&twin, 0..100, Misuse::Stale { id: freed_id, generation: freed_id.generation }.into()),
        (&stranger, 0..100, Misuse::WrongAllocator { expected, found }.into()),
    ];
    let before = allocator.snapshot();
    for (bad, range, error) in cases {
        let ranges = [(&good[0], 0..100), (&good[1], 5..6), (bad, range)];
        assert_eq!(allocator.flush_all(&ranges), Err(error));
        assert_eq!(allocator.invalidate_all(&ranges), Err(error));
    }
    assert_eq!((sim.calls(Call::Flush), sim.calls(Call::Invalidate)), (0, 0));
    assert_eq!(allocator.snapshot(), before);

    let ranges = [(&good[0], 0..100), (&good[1], 5..6)];
    for call in [Call::Flush, Call::Invalidate] {
        sim.fail(call, 1, DeviceError::OutOfHostMemory);
    }
    let failed = Err(MapError::Device(DeviceError::OutOfHostMemory));
    assert_eq!(allocator.flush_all(&ranges), failed);
    assert_eq!(allocator.invalidate_all(&ranges), failed);
    assert_eq!(allocator.snapshot(), before);
    assert_eq!(allocator.flush_all(&ranges), Ok(()));
    free_all(&other, [stranger, two, three]);
    free_all(&allocator, good);
    allocator.free(unmapped).unwrap();
    assert_eq!(sim.violations(), []);
}

#[test]
fn where_all_is_coherent_nothing_is_asked() {
    for &preset in if cfg!(miri) { NON_COHERENT } else { &Preset::ALL[..] } {
        let sim = Sim::preset(preset);
        let allocator = Allocator::new(sim.clone(), Options::default());
        let wish = wish(memory_type(&sim, true));
        let one = allocator.allocate(&request(1000, wish)).unwrap();
        allocator.flush_all(&[(&one, 0..1000), (&one, 3..4)]).unwrap();
        allocator.invalidate_all(&[(&one, 0..1000), (&one, 3..4)]).unwrap();
        assert_eq!((sim.calls(Call::Flush), sim.calls(Call::Invalidate)), (0, 0), "{preset}");
        allocator.free(one).unwrap();
    }
}

#[test]
fn strategies_flush_at_once_also_behind_a_pointer() {
    fn flush(sim: &Sim, strategy: impl Strategy<Sim>, calls: u64) {
        let all = three(&strategy);
        let before = sim.calls(Call::Flush);
        let ranges: Vec<_> = all.iter().map(|one| (one, 0..one.size())).collect();
        strategy.flush_all(&ranges).unwrap();
        assert_eq!(sim.calls(Call::Flush) - before, calls);
        strategy.flush_all(&[]).unwrap();
        assert_eq!(sim.calls(Call::Flush) - before, calls);
        free_all(&strategy, all);
    }
    let sim = Sim::preset(Preset::Mock);
    let (device, memory_type) = (Arc::new(sim.clone()), memory_type(&sim, false));
    let tlsf = || Tlsf::new(device.clone(), Setup { memory_type, ..Setup::default() });
    flush(&sim, tlsf(), 1);
    flush(&sim, Dedicated::new(device.clone(), Setup { memory_type, ..Setup::default() }), 1);
    flush(&sim, Arc::new(tlsf()) as Arc<dyn Strategy<Sim>>, 1);
    let linear = Linear::new(device.clone(), Setup { memory_type, ..Setup::default() });
    let combined = Combined::new(linear, tlsf()).unwrap();
    flush(&sim, &combined, 1);

    // One of each, and a bad one: then neither is asked.
    let both = [Wish::default().lifetime, polder_device::Lifetime::ShortLived];
    let all = both.map(|lifetime| {
        let wish = Wish { lifetime, ..wish(memory_type) };
        combined.allocate(&request(100, wish)).unwrap()
    });
    let before = sim.calls(Call::Flush);
    let past = combined.flush_all(&[(&all[1], 0..10), (&all[0], 0..101)]);
    assert_eq!(past, Err(MapError::PastEnd { offset: 0, len: 101, size: 100 }));
    assert_eq!(sim.calls(Call::Flush), before);
    combined.flush_all(&[(&all[1], 0..10), (&all[0], 0..100)]).unwrap();
    assert_eq!(sim.calls(Call::Flush), before + 2, "one for each of the two");
    free_all(&combined, all);
    assert_eq!(sim.violations(), []);
}

/// Others map, unmap and free in the same blocks, so that mappings end; nobody waits for ever, and
/// what is shared is flushed while somebody has it mapped or not at all: the device would have seen
/// it otherwise.
#[test]
fn beside_threads_that_map_and_free() {
    let sim = Sim::preset(Preset::Mock);
    let allocator = Allocator::new(sim.clone(), Options { arenas: 3, ..Options::default() });
    let (rounds, threads) = if cfg!(miri) { (2, 2) } else { (300, 4) };
    let counted = Wish { mapping: Mapping::Counted, ..wish(memory_type(&sim, false)) };
    let make = |size| allocator.allocate(&request(size, counted)).unwrap();
    let first = make(100);
    // Some thread of the next few keeps to another arena.
    let second = (0..8).find_map(|_| {
        let made = std::thread::scope(|scope| scope.spawn(|| make(200)).join().unwrap());
        if made.id().arena != first.id().arena {
            return Some(made);
        }
        allocator.free(made).unwrap();
        None
    });
    let shared = [first, second.expect("threads share no arena while there are others")];
    assert_ne!(shared[0].id().arena, shared[1].id().arena);
    std::thread::scope(|scope| {
        for seed in 0..threads {
            let (allocator, shared) = (&allocator, &shared);
            scope.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..rounds {
                    let all: Vec<_> = (0..1 + random.below(8))
                        .map(|_| allocator.allocate(&request(5000, counted)).unwrap())
                        .collect();
                    all.iter().for_each(|one| assert!(allocator.map(one).is_ok()));
                    let ranges: Vec<_> = all.iter().map(|one| (one, random.range(5000))).collect();
                    allocator.flush_all(&ranges).unwrap();
                    allocator.invalidate_all(&ranges).unwrap();
                    let one = &shared[random.below(2) as usize];
                    allocator.map(one).unwrap();
                    // Either arena first: who takes two has to take them in one order.
                    let order = random.below(2) as usize;
                    let both = [order, 1 - order].map(|one| (&shared[one], 0..9));
                    match allocator.flush_all(&both) {
                        Ok(()) | Err(MapError::NotMapped { .. }) => {}
                        other => other.unwrap(),
                    }
                    allocator.unmap(one).unwrap();
                    all.iter().for_each(|one| allocator.unmap(one).unwrap());
                    free_all(allocator, all);
                }
            });
        }
    });
    free_all(&allocator, shared);
    allocator.check();
    allocator.shutdown().unwrap();
    assert_eq!(sim.violations(), []);
}
