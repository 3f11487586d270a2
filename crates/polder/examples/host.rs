//! Polder as the allocator of a whole program, and a heap of one's own beside it.

use std::error::Error;

// The README shows this.
use polder::{Heap, HeapOptions, Polder};

#[global_allocator]
static ALLOC: Polder = Polder;
// So far.

fn main() -> Result<(), Box<dyn Error>> {
    let names: Vec<String> = (0..1000).map(|number| format!("name {number}")).collect();

    // The README shows this.
    // Any address may be asked about, also one in the middle of an object.
    let middle = &raw const names[names.len() / 2];
    println!("{middle:p} lies in {:x?}", ALLOC.bounds(middle));

    // A heap of one's own has a limit and statistics, and goes as a whole.
    let heap = Heap::new(HeapOptions::new().limit(16 << 20)).ok_or("no memory")?;
    let mut squares = allocator_api2::vec::Vec::new_in(&heap);
    squares.extend((0..1000u64).map(|number| number * number));
    assert!(squares.try_reserve(32 << 20).is_err(), "that would pass the limit");
    println!("{} bytes used in the heap", heap.stats().used);

    println!("{} bytes used by the process, {} held", ALLOC.stats().used, ALLOC.stats().held);
    drop(names);
    println!("{} bytes given back to the system", ALLOC.trim());
    // So far.
    Ok(())
}
