//! What a heap tells of itself when its objects were changed by other ways than its own.

use core::alloc::Layout;
use polder_host::{Heap, HeapOptions, Polder};

#[test]
fn a_heap_s_used_bytes_are_never_below_zero() {
    let heap = Heap::new(HeapOptions::new()).expect("there is memory");
    let _small = heap.allocate(16, 8).expect("there is memory");
    let large = heap.allocate(1 << 20, 8).expect("there is memory");
    let layout = Layout::from_size_align(1 << 20, 8).expect("it is a layout");
    // SAFETY: The object is live and has this layout.
    let longer = unsafe { Polder.resize_in_place(large, layout, 2 << 20) };
    assert!(longer, "nothing lies behind it");
    assert!(heap.stats().large_used >= 2 << 20, "the heap counts what is its");
    // SAFETY: The object is not used again.
    unsafe { heap.free(large) };
    assert!(heap.stats().used < 1 << 20);
}
