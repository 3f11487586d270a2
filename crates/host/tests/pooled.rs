//! What is freed of threads that have ended.

#![cfg(not(feature = "sim"))]

use polder_host::{Settings, object, stats, trim};
use std::ptr;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// Several times as many as are tended in one go.
const THREADS: usize = 40;
const OBJECTS: usize = 64;
/// Of a class with so many objects in a slab that each is a message.
const SIZE: usize = 64;

/// Objects of threads that have lived all at a time, and have ended: a row of each.
fn rows() -> Vec<Vec<usize>> {
    let barrier = Arc::new(Barrier::new(THREADS));
    let start = |_| {
        let barrier = barrier.clone();
        thread::spawn(move || {
            barrier.wait();
            let objects = (0..OBJECTS).map(|_| object::allocate(SIZE, 8).expect("there is memory"));
            let objects = objects.map(|object| object.as_ptr().expose_provenance()).collect();
            barrier.wait();
            objects
        })
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
}

fn free(object: usize) {
    // SAFETY: Each object of the rows is freed once.
    unsafe { object::free(ptr::with_exposed_provenance_mut(object)) };
}

/// Does what leads to looks at the clock.
fn go_on(time: Duration) {
    thread::sleep(time);
    free(object::allocate(1 << 20, 8).expect("there is memory").as_ptr().expose_provenance());
}

#[test]
fn each_of_many_that_are_freed_for_has_its_turn() {
    Settings::new().purge_delay_ms(50).apply();
    let mut rows = rows();
    let before = stats().remote_frees;
    let rounds = 20;
    for _ in 0..rounds {
        for row in &mut rows {
            row.pop().into_iter().for_each(free);
        }
        go_on(Duration::from_millis(80));
    }
    let received = stats().remote_frees - before;
    // Eight in each round would be 160, of the same eight.
    let freed = (rounds * THREADS) as u64;
    assert!(received > freed / 2, "{received} of {freed} were taken in");
    rows.into_iter().flatten().for_each(free);
    trim();
}
