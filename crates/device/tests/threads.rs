//! Many threads in one allocator: nothing overlaps, nothing is lost, frees travel.

use polder_device::sim::{Layout, Preset, Sim};
use polder_device::{
    Access, Allocation, Allocator, Lifetime, Options, Request, Requirements, Strategy, Wish,
};
use std::sync::{Mutex, mpsc};

const THREADS: u64 = if cfg!(miri) { 2 } else { 4 };
const STEPS: u64 = if cfg!(miri) { 50 } else { 5_000 };

/// A sequence that looks random enough (Lehmer, 64 bits).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0xda94_2042_e4dd_58b5).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

fn allocate(allocator: &Allocator<Sim>, random: &mut Random) -> Option<Allocation<Sim>> {
    let lifetimes = [Lifetime::General, Lifetime::ShortLived];
    let wish = Wish {
        access: Access::HostRandom,
        lifetime: lifetimes[random.below(2) as usize],
        ..Wish::default()
    };
    let size = 16 + random.below(8000);
    let needs = Requirements { size, align: 1 << random.below(9), ..Requirements::ANY };
    allocator.allocate(&Request::new(needs, wish)).ok()
}

fn stamp(allocation: &Allocation<Sim>) -> [u8; 8] {
    let id = allocation.id();
    (u64::from(id.slot) << 32 | u64::from(id.arena) << 24 | u64::from(id.generation)).to_le_bytes()
}

/// Allocates, stamps, hands over to other threads, checks and frees.
fn churn(
    allocator: &Allocator<Sim>,
    seed: u64,
    sender: &mpsc::Sender<Allocation<Sim>>,
    receiver: &Mutex<mpsc::Receiver<Allocation<Sim>>>,
) {
    let mut random = Random(seed);
    let check_and_free = |allocation: Allocation<Sim>| {
        let mut bytes = [0; 8];
        allocator.read(&allocation, 0, &mut bytes).unwrap();
        assert_eq!(bytes, stamp(&allocation), "nobody else wrote there");
        allocator.free(allocation).unwrap();
    };
    for _ in 0..STEPS {
        if random.below(2) == 0
            && let Some(mut allocation) = allocate(allocator, &mut random)
        {
            let stamp = stamp(&allocation);
            allocator.write(&mut allocation, 0, &stamp).unwrap();
            sender.send(allocation).unwrap();
        } else if let Ok(allocation) = receiver.lock().unwrap().try_recv() {
            check_and_free(allocation);
        }
    }
}

fn stress(sim: &Sim, arenas: u32) {
    let allocator = Allocator::new(sim.clone(), Options { arenas, ..Options::default() });
    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        for seed in 0..THREADS {
            let (allocator, sender, receiver) = (&allocator, sender.clone(), &receiver);
            scope.spawn(move || churn(allocator, seed, &sender, receiver));
        }
    });
    allocator.check();
    for allocation in receiver.into_inner().unwrap().try_iter() {
        allocator.free(allocation).unwrap();
    }
    allocator.trim();
    assert_eq!((allocator.used(), allocator.held()), (0, 0));
    allocator.shutdown().unwrap();
    assert_eq!(sim.violations(), []);
}

#[test]
fn threads_with_arenas_of_their_own() {
    stress(&Sim::preset(Preset::AmdNavi31), THREADS as u32);
}

#[test]
fn threads_that_share_one_arena() {
    stress(&Sim::preset(Preset::Adreno630), 1);
}

#[test]
fn threads_in_a_heap_that_is_too_small() {
    let mut layout = Layout::default();
    layout.properties.heaps[0].size = 1 << 20;
    stress(&Sim::new(layout).unwrap(), 2);
}

#[test]
fn of_many_frees_of_one_allocation_one_wins() {
    let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), Options::default());
    for _ in 0..STEPS / 50 {
        let allocation = allocate(&allocator, &mut Random(1)).unwrap();
        let twins: Vec<_> = (0..THREADS)
            // SAFETY: The twins touch no memory; they are only freed.
            .map(|_| unsafe { allocator.handle(allocation.id()) }.unwrap())
            .collect();
        let won: usize = std::thread::scope(|scope| {
            let frees: Vec<_> = twins
                .into_iter()
                .map(|twin| scope.spawn(|| usize::from(allocator.free(twin).is_ok())))
                .collect();
            frees.into_iter().map(|free| free.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
        assert!(allocator.free(allocation).is_err());
    }
    assert_eq!(allocator.used(), 0);
}
