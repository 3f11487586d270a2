//! Memory that one kind of object has left is there for another.

use polder_host::{object, stats};

const MIB: usize = 1 << 20;

fn fill(size: usize, bytes: usize) -> Vec<*mut u8> {
    let count = bytes / size;
    (0..count).map(|_| object::allocate(size, 8).expect("there is memory").as_ptr()).collect()
}

fn empty(objects: Vec<*mut u8>) {
    for object in objects {
        // SAFETY: The object came from `fill`, and is not used again.
        unsafe { object::free(object) };
    }
}

#[test]
fn what_slabs_of_one_length_have_left_becomes_slabs_of_another_and_large_objects() {
    let bytes = 12 * MIB;
    // Slabs of one chunk, of five, and spans of nine.
    for size in [1_000, 10_000, 140_000] {
        empty(fill(size, bytes));
    }
    let peak = stats().peak;
    assert!(peak < (bytes + bytes / 3) as u64, "{peak} B were in spans");
}
