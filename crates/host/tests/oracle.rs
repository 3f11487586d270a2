//! The heap against an oracle that fills and checks every byte.

#[allow(dead_code)]
mod model;

use model::{Contents, Limits, Model, Object, Random, Source};
use polder_host::{Heap, HeapOptions};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

const LIMITS: Limits = if cfg!(miri) {
    Limits { size: 40 << 10, align: 64 << 10, bytes: 100 << 10, objects: 50 }
} else {
    Limits { size: 4 << 20, align: 64 << 10, bytes: 64 << 20, objects: 3000 }
};
const SEEDS: u64 = if cfg!(miri) { 1 } else { 3 };
const STEPS: usize = if cfg!(miri) { 60 } else { 10_000 };

#[test]
fn every_byte_of_an_object_is_its_holder_s_alone() {
    for seed in 0..SEEDS {
        let (mut random, mut model) = (Random(seed), Model::default());
        (0..STEPS).for_each(|_| model.step(&mut random, &LIMITS));
        model.free_all(&mut random);
    }
}

#[test]
fn small_objects_fill_their_slabs_without_touching_one_another() {
    let limits = Limits { size: 2048, align: 256, bytes: LIMITS.bytes / 8, objects: 40_000 };
    for seed in 0..SEEDS {
        let (mut random, mut model) = (Random(seed), Model::default());
        (0..5 * STEPS).for_each(|_| model.step(&mut random, &limits));
        model.free_all(&mut random);
    }
}

#[test]
fn objects_of_each_class_and_alignment_are_apart() {
    let mut model = Model::default();
    let sizes = (0..=40 << 10).step_by(if cfg!(miri) { 5003 } else { 61 });
    for size in sizes {
        for align in (0..=16).map(|bits| 1 << bits) {
            assert!(model.allocate(size, align, Contents::Zero));
        }
    }
    model.free_all(&mut Random(1));
}

/// Growth in place, moves of pages and copies, through objects that are allocated in each other's
/// way.
#[test]
fn large_objects_keep_their_bytes_when_they_grow_shrink_and_move() {
    let (objects, most) = if cfg!(miri) { (3, 100 << 10) } else { (24, 8 << 20) };
    for seed in 0..SEEDS {
        let (mut random, mut model) = (Random(seed), Model::default());
        for _ in 0..objects {
            assert!(model.allocate(1 + random.below(most), 16, Contents::Any));
        }
        for _ in 0..STEPS / 20 {
            let index = random.below(objects);
            if random.below(4) == 0 {
                model.free(index);
                assert!(model.allocate(1 + random.below(most), 16, Contents::Zero));
            } else {
                assert!(model.reallocate(index, 1 + random.below(most)));
            }
        }
        model.free_all(&mut random);
    }
}

#[test]
fn heaps_are_apart_and_go_with_what_is_left_in_them() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let heap = || Arc::new(Heap::new(HeapOptions::new()).expect("there is memory"));
        let mut models: Vec<_> = (0..3).map(|_| Model::of(Source::Heap(heap()))).collect();
        models.push(Model::default());
        let limits = Limits { size: LIMITS.size / 4, bytes: LIMITS.bytes / 8, ..LIMITS };
        for _ in 0..STEPS {
            let index = random.below(models.len());
            models[index].step(&mut random, &limits);
            if random.below(STEPS / 4) == 0 && index < 3 {
                models[index].abandon();
                models[index] = Model::of(Source::Heap(heap()));
            }
        }
        models.iter_mut().for_each(|model| model.free_all(&mut random));
    }
}

#[test]
fn objects_of_a_heap_may_be_freed_by_any_thread() {
    let heap = Arc::new(Heap::new(HeapOptions::new()).expect("there is memory"));
    hand_over(&Source::Heap(heap.clone()), 4, 1);
    assert_eq!(heap.stats().large, 0);
}

#[test]
fn objects_keep_their_bytes_until_another_thread_frees_them() {
    for threads in if cfg!(miri) { vec![2] } else { vec![1, 2, 4, 16] } {
        for seed in 0..SEEDS / 2 + 1 {
            hand_over(&Source::Process, threads, seed);
        }
    }
}

/// Each thread works on its own and sends some of its objects to others, who keep them, give them
/// another size or free them.
fn hand_over(source: &Source, threads: usize, seed: u64) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..threads).map(|_| channel()).unzip();
    thread::scope(|scope| {
        for (index, receiver) in receivers.into_iter().enumerate() {
            let (senders, seed) = (senders.clone(), seed << 8 | index as u64);
            let model = Model::of(source.clone());
            scope.spawn(move || work(model, Random(seed), senders, &receiver));
        }
        drop(senders);
    });
}

fn work(
    mut model: Model,
    mut random: Random,
    senders: Vec<Sender<Object>>,
    receiver: &Receiver<Object>,
) {
    let limits = Limits { size: LIMITS.size / 4, bytes: LIMITS.bytes / 8, ..LIMITS };
    for _ in 0..STEPS {
        model.step(&mut random, &limits);
        if model.len() > 0 && random.below(3) == 0 {
            let object = model.take(random.below(model.len()));
            senders[random.below(senders.len())]
                .send(object)
                .expect("everybody waits for the last");
        }
        for object in receiver.try_iter().take(2) {
            match random.below(2) {
                0 => model.add(object),
                _ => object.free(),
            }
        }
    }
    model.free_all(&mut random);
    // Others may still send: each drops its senders when it has done its work, and then waits.
    drop(senders);
    receiver.iter().for_each(Object::free);
}
