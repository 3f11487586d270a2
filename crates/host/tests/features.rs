//! What the features promise, and that the structures are in order under each of them.

use polder_host::{Heap, HeapOptions, Polder, check};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc::channel;
use std::thread;

/// The natural alignment of the sizes that are used here: every slot has it.
const ALIGN: usize = 16;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

/// An object of so many bytes, each of which is its size's last.
#[derive(Clone, Copy)]
struct Object {
    address: usize,
    size: usize,
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("the size is small")
}

fn make(size: usize) -> Object {
    // SAFETY: No size here is zero.
    let object = unsafe { Polder.alloc(layout(size)) };
    assert!(!object.is_null());
    // SAFETY: The object has that many bytes.
    unsafe { object.write_bytes(size as u8, size) };
    Object { address: object.expose_provenance(), size }
}

fn end(object: Object) {
    let place = std::ptr::with_exposed_provenance_mut::<u8>(object.address);
    for index in [0, object.size / 2, object.size - 1] {
        // SAFETY: The object is live and has that many bytes.
        let byte = unsafe { place.add(index) };
        // SAFETY: As above.
        assert_eq!(unsafe { byte.read() }, object.size as u8);
    }
    // SAFETY: The object came from `make`, and is not used again.
    unsafe { Polder.dealloc(place, layout(object.size)) };
}

/// Sizes of all classes, the small ones more often, and some above.
fn size(random: &mut Random) -> usize {
    let bits = 4 + random.below(12);
    1 + random.below(1 << bits)
}

#[test]
fn structures_are_in_order_at_every_step() {
    for seed in 0..4 {
        let (mut random, mut live) = (Random(seed), Vec::new());
        for step in 0..4000 {
            match random.below(2) {
                0 if !live.is_empty() => end(live.swap_remove(random.below(live.len()))),
                _ => live.push(make(size(&mut random))),
            }
            if step % 50 == 0 {
                assert_eq!(check(), Ok(()), "seed {seed}, step {step}");
            }
        }
        live.into_iter().for_each(end);
        assert_eq!(check(), Ok(()), "seed {seed}");
    }
}

#[test]
fn structures_are_in_order_when_others_free() {
    let (send, receive) = channel::<Object>();
    let other = thread::spawn(move || {
        receive.into_iter().for_each(end);
        check()
    });
    let mut random = Random(7);
    for step in 0..20_000 {
        send.send(make(size(&mut random))).expect("the other thread listens");
        if step % 200 == 0 {
            assert_eq!(check(), Ok(()), "step {step}");
        }
    }
    drop(send);
    assert_eq!(other.join().expect("the other thread does not panic"), Ok(()));
    Polder.trim();
    assert_eq!(check(), Ok(()));
}

/// Guards look at the slot before the one that is freed, which its owner may just then hand out.
#[test]
fn neighbours_come_and_go_in_two_threads() {
    for size in [36, 300, 5108] {
        let (send, receive) = channel::<Object>();
        let other = thread::spawn(move || receive.into_iter().for_each(end));
        let mut random = Random(size as u64);
        for _ in 0..100_000 {
            let object = make(size);
            if random.below(4) == 0 {
                send.send(object).expect("the other thread listens");
            } else {
                end(object);
            }
        }
        drop(send);
        other.join().expect("the other thread does not panic");
    }
}

#[test]
fn a_heap_tells_what_is_used() {
    let heap = Heap::new(HeapOptions::new()).expect("there is memory");
    let sizes = [1, 16, 100, 1000, 10_000];
    let objects: Vec<_> = sizes.iter().cycle().take(500).collect();
    let objects = objects.into_iter().map(|&size| heap.allocate(size, ALIGN).expect("there is"));
    let objects: Vec<_> = objects.collect();
    let least = 100 * sizes.iter().sum::<usize>() as u64;
    let stats = heap.stats();
    assert!(stats.used >= least, "{} used", stats.used);
    if cfg!(feature = "stats") {
        let [used, allocated] = [0, 1].map(|which| {
            let each = stats.classes().iter().map(|class| [class.used, class.allocated][which]);
            each.sum::<u64>()
        });
        assert_eq!((used, allocated), (500, 500));
    }
    for object in objects {
        // SAFETY: The object came from the heap, and is not used again.
        unsafe { heap.free(object) };
    }
    if cfg!(feature = "stats") {
        assert_eq!(heap.stats().used, 0);
    }
}

#[test]
fn slots_begin_at_offsets_that_vary_if_that_is_wished() {
    const SLAB: usize = 16 << 10;
    const SIZE: usize = 200;
    let mut objects: Vec<_> = (0..5000).map(|_| make(SIZE)).collect();
    objects.sort_by_key(|object| object.address);
    let slabs = objects.chunk_by(|a, b| a.address / SLAB == b.address / SLAB);
    let mut firsts: Vec<_> = slabs.map(|slab| slab[0].address % SLAB).collect();
    objects.into_iter().for_each(end);
    // The first slots of some slabs are other tests'.
    assert!(firsts.len() > 50);
    assert!(firsts.iter().all(|first| first % 64 == 0));
    firsts.sort_unstable();
    firsts.dedup();
    assert!(firsts.len() > 1 || !cfg!(feature = "cache-friendly"), "{firsts:?}");
    assert_eq!(Polder.bounds(firsts.as_ptr()), None, "the test's own memory is the system's");
}
