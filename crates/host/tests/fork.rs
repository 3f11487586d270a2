//! The child of a fork allocates and frees at once, whatever other threads were in the middle of.
#![cfg(all(unix, not(feature = "sim")))]

use polder_host::{Heap, HeapOptions, object};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

const FORKS: usize = 100;
/// A child that hangs is ended after so many seconds.
const PATIENCE: u32 = 10;

fn work(heap: &Heap) {
    for size in [24, 700, 40_000] {
        let own = object::allocate(size, 16).expect("there is memory");
        let of_heap = heap.allocate(size, 16).expect("there is memory");
        // SAFETY: It was allocated a moment ago.
        unsafe { heap.free(of_heap) };
        // SAFETY: As above.
        unsafe { object::free(own.as_ptr()) };
    }
}

/// Forks; the child works and ends, and what it ended with is the answer.
fn fork(heap: &Heap) -> i32 {
    // SAFETY: The child calls nothing but what this test is about, and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "there can be another process");
    if child == 0 {
        // SAFETY: The call has no conditions.
        unsafe { libc::alarm(PATIENCE) };
        (0..100).for_each(|_| work(heap));
        polder_host::trim();
        // SAFETY: As above.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: The place is the call's alone.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    status
}

#[test]
fn a_child_goes_on_whatever_other_threads_were_doing() {
    let heap = Heap::new(HeapOptions::new()).expect("there is memory");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    work(&heap);
                }
            });
        }
        let endings: Vec<_> = (0..FORKS).map(|_| fork(&heap)).collect();
        is_over.store(true, Relaxed);
        assert_eq!(endings, [0; FORKS]);
    });
}
