//! What the end of a heap costs.

#![cfg(all(target_os = "linux", not(feature = "sim")))]

use polder_host::{Heap, HeapOptions};
use std::fs;

const MIB: usize = 1 << 20;

/// Memory of this process that is in no file, in KiB.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("the system tells");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it is there");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

#[test]
fn a_heap_that_goes_touches_nothing_that_it_never_used() {
    let heap = Heap::new(HeapOptions::new()).expect("there is memory");
    // The block behind this one has as many chunks, of which the next object uses two.
    let _large = heap.allocate(1024 * MIB, 8).expect("there is memory");
    let _small = heap.allocate(32 << 10, 8).expect("there is memory");
    let before = memory();
    drop(heap);
    let after = memory();
    assert!(after < before + 512, "{before} KiB before, {after} KiB after");
}
