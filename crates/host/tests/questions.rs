//! What may be asked about any address, against the model.

#[allow(dead_code)]
mod model;

use model::{Contents, Limits, Model, Object, Random, Source};
use polder_host::{Heap, HeapOptions, Polder, object};
use std::ptr::{NonNull, without_provenance};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

const LIMITS: Limits = if cfg!(miri) {
    Limits { size: 40 << 10, align: 64 << 10, bytes: 200 << 10, objects: 20 }
} else {
    Limits { size: 1 << 20, align: 64 << 10, bytes: 16 << 20, objects: 1000 }
};
const STEPS: usize = if cfg!(miri) { 40 } else { 3000 };
/// Bytes of an object about each of which is asked; of longer ones about some.
const EACH_MOST: usize = if cfg!(miri) { 16 } else { 2048 };

fn filled(source: Source, random: &mut Random) -> Model {
    let mut model = Model::of(source);
    (0..STEPS).for_each(|_| model.step(random, &LIMITS));
    model
}

fn heap() -> Source {
    Source::Heap(Arc::new(Heap::new(HeapOptions::new()).expect("there is memory")))
}

/// Offsets below `len`: all, or the first, the last and some between.
fn offsets(len: usize, random: &mut Random) -> Vec<usize> {
    if len <= EACH_MOST {
        return (0..len).collect();
    }
    let ends = (0..EACH_MOST / 4).flat_map(|offset| [offset, len - 1 - offset]);
    ends.chain((0..EACH_MOST / 4).map(|_| random.below(len))).collect()
}

fn usable(object: &Object) -> usize {
    object::usable_size(object.place.as_ptr()).expect("it is live")
}

#[test]
fn every_byte_of_an_object_tells_where_the_object_goes() {
    let mut random = Random(1);
    for source in [Source::Process, heap()] {
        let mut model = filled(source, &mut random);
        for object in model.objects() {
            let start = object.place.as_ptr().cast_const();
            let bounds = start.addr()..start.addr() + usable(object);
            assert!(bounds.len() >= object.size);
            assert_eq!(Polder.bounds(start), Some(bounds.clone()));
            for offset in offsets(bounds.len(), &mut random) {
                let place = start.wrapping_add(offset);
                assert_eq!(Polder.bounds(place), Some(bounds.clone()), "{offset} of {object:?}");
                let size = (offset == 0).then_some(bounds.len());
                assert_eq!(Polder.usable_size(place), size, "{offset} of {object:?}");
            }
            for outside in [start.wrapping_sub(1), start.wrapping_add(bounds.len().max(1))] {
                assert_ne!(Polder.bounds(outside), Some(bounds.clone()), "beside {object:?}");
            }
        }
        model.free_all(&mut random);
    }
}

#[test]
fn all_that_is_said_to_be_usable_is_the_object_s_alone() {
    let mut random = Random(2);
    let mut model = filled(Source::Process, &mut random);
    for object in model.objects() {
        let tail = usable(object) - object.size;
        // SAFETY: The object is live, and this much of it may be used.
        let end = unsafe { object.place.add(object.size) };
        // SAFETY: As above.
        unsafe { end.write_bytes(0x5a, tail) };
    }
    // Each free looks at all bytes of its object.
    model.free_all(&mut random);
}

#[test]
fn what_is_not_ours_has_no_bounds() {
    static STATIC: i32 = 7;
    let (local, boxed) = (7, Box::new(7));
    object::allocate(1, 1).expect("there is memory");
    let others = [&raw const local, &raw const *boxed, &raw const STATIC];
    for address in others {
        assert_eq!(Polder.bounds(address), None);
    }
    for bits in 0..usize::BITS {
        let near = [0, 1, usize::MAX].map(|more| (1usize << bits).wrapping_add(more));
        for address in near {
            let bounds = Polder.bounds(without_provenance::<u8>(address));
            assert!(bounds.is_none_or(|bounds| bounds.contains(&address)));
        }
    }
    assert_eq!(Polder.bounds(without_provenance::<u8>(usize::MAX)), None);
    assert!(!Polder.owns(std::ptr::null::<u8>()));
}

#[test]
fn a_copy_that_would_leave_an_object_is_refused() {
    let mut model = Model::default();
    for size in [1, 100, 5000, 70_000] {
        assert!(model.allocate(size, 16, Contents::Any));
        let object = &model.objects()[model.len() - 1];
        let (place, usable) = (object.place.as_ptr(), usable(object));
        let buffer = vec![0u8; usable + 1];
        // SAFETY: The buffer has that many bytes, and a copy that leaves the object is refused.
        let refused = unsafe { Polder.copy(buffer.as_ptr(), place, usable + 1) };
        assert_eq!(refused.map_err(|error| error.len), Err(usable + 1));
        // SAFETY: Both have that many bytes.
        assert_eq!(unsafe { Polder.copy(place, place, usable) }, Ok(()));
    }
    model.free_all(&mut Random(0));
}

/// Answers may be old, but there always is one.
#[test]
fn objects_may_be_asked_about_while_others_free_them() {
    let (mut random, is_done) = (Random(3), AtomicBool::new(false));
    let mut model = filled(Source::Process, &mut random);
    let addresses: Vec<_> = model.objects().iter().map(|object| object.place).collect();
    let addresses: Vec<_> = addresses.into_iter().map(NonNull::addr).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Relaxed) {
                for address in &addresses {
                    let address = address.get() + 3;
                    let bounds = Polder.bounds(without_provenance::<u8>(address));
                    assert!(bounds.is_none_or(|bounds| bounds.contains(&address)));
                }
                thread::yield_now();
            }
        });
        for _ in 0..if cfg!(miri) { 2 } else { 10 } {
            model.free_all(&mut random);
            (0..STEPS).for_each(|_| model.step(&mut random, &LIMITS));
        }
        model.free_all(&mut random);
        is_done.store(true, Relaxed);
    });
}
