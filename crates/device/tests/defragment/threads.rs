//! Beside other threads' allocations and frees.

use super::misuse::{PERSISTENT, halves, request};
use super::{allocator, random};
use polder_device::defragment::{Move, Options};
use polder_device::sim::{Memory, Preset, Sim};
use polder_device::{Access, AllocationId, Allocator, Strategy, Wish};
use std::sync::atomic::{AtomicBool, Ordering};

/// Allocates and frees until it is told to stop, and frees the rest.
fn come_and_go(allocator: &Allocator<Sim>, seed: u64, stop: &AtomicBool) {
    let mut random = random(seed);
    let mut live = Vec::new();
    let most = if cfg!(miri) { 5 } else { 100 };
    while !stop.load(Ordering::Relaxed) || !live.is_empty() {
        let grows = live.len() < most && !stop.load(Ordering::Relaxed);
        if grows && random().is_multiple_of(2) {
            // Where none is mapped all its life, the mapping ends now and then.
            let is_persistent = random().is_multiple_of(32);
            let wish = if is_persistent { PERSISTENT } else { Wish::of(Access::HostRandom) };
            let needs = request(64 + random() % 4000, wish);
            live.push(allocator.allocate(&needs).unwrap());
        } else if !live.is_empty() {
            let at = random() as usize % live.len();
            allocator.free(live.swap_remove(at)).unwrap();
        }
    }
}

/// Copies as a host does, where both places are shown.
fn copy(one: &Move<Memory>) {
    if let (Some(source), Some(target)) = (one.source.pointer, one.target.pointer) {
        // SAFETY: Both are good while the pass is open; the target is reserved, and the source is
        // the first thread's own.
        unsafe { target.get().copy_from_nonoverlapping(source.get(), one.size as usize) };
    }
}

/// Others allocate and free all the while; what moves is the first thread's own.
#[test]
fn beside_other_threads() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let stop = AtomicBool::new(false);
    let (rounds, passes) = if cfg!(miri) { (1, 2) } else { (60, 50) };
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (allocator, stop) = (&allocator, &stop);
            scope.spawn(move || come_and_go(allocator, seed, stop));
        }
        for round in 0..rounds {
            let is_persistent = round % 2 == 0;
            let wish = if is_persistent { PERSISTENT } else { Wish::of(Access::HostRandom) };
            let mut live = halves(&allocator, wish);
            let stamp = |id: AllocationId| (u64::from(id.slot) << 32 | 7).to_le_bytes();
            for (id, handle) in &mut live {
                allocator.write(handle, 0, &stamp(*id)).unwrap();
            }
            let options = Options { moves_per_pass_max: 30, ..Options::default() };
            let mut work = allocator.defragment(&options).unwrap();
            for _ in 0..passes {
                let moves = work.begin_pass().unwrap().to_vec();
                for (number, one) in moves.iter().enumerate() {
                    // What is another's cannot be answered here, and stays where it is.
                    let Some(handle) = live.get_mut(&one.allocation) else { continue };
                    if (number + round).is_multiple_of(7) {
                        allocator.free(live.remove(&one.allocation).unwrap()).unwrap();
                        continue;
                    }
                    let bytes = stamp(one.allocation);
                    copy(one);
                    work.copied(one.id, handle).unwrap();
                    assert_eq!(allocator.info(handle).unwrap().pointer, one.target.pointer);
                    if !is_persistent {
                        allocator.write(handle, 0, &bytes).unwrap();
                    }
                }
                if moves.is_empty() {
                    break;
                }
                work.end_pass().unwrap();
            }
            drop(work);
            for (id, handle) in live {
                let mut bytes = [0; 8];
                allocator.read(&handle, 0, &mut bytes).unwrap();
                assert_eq!(bytes, stamp(id), "nobody else wrote there");
                allocator.free(handle).unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    allocator.check();
    allocator.shutdown().unwrap();
    assert_eq!(sim.violations(), []);
}
