//! Blocks follow the heap's size and what the program uses.

use polder_device::sim::{Layout, Sim};
use polder_device::{
    Allocation, Allocator, Growth, Options, Request, Requirements, Strategy, Wish,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// One heap of `size` bytes, of which the device gives so many blocks.
fn allocator(size: u64, block_count_max: u64) -> Allocator<Sim> {
    let mut layout = Layout::default();
    layout.properties.heaps[0].size = size;
    layout.properties.limits.block_size_max = size;
    layout.properties.limits.block_count_max = block_count_max;
    let options = Options { arenas: 1, ..Options::default() };
    Allocator::new(Sim::new(layout).unwrap(), options)
}

fn allocate(allocator: &Allocator<Sim>, size: u64) -> Allocation<Sim> {
    let needs = Requirements { size, align: 16, ..Requirements::ANY };
    allocator.allocate(&Request::new(needs, Wish::default())).unwrap()
}

/// Allocates so many bytes in requests of `size`; the sizes of the blocks, as they came.
fn fill(allocator: &Allocator<Sim>, bytes: u64, size: u64) -> (Vec<Allocation<Sim>>, Vec<u64>) {
    let (mut live, mut sizes) = (Vec::new(), Vec::new());
    let mut held = allocator.held();
    for _ in 0..bytes / size {
        live.push(allocate(allocator, size));
        let now = allocator.held();
        if now > held {
            sizes.push(now - held);
        }
        held = now;
    }
    (live, sizes)
}

fn free_all(allocator: &Allocator<Sim>, live: Vec<Allocation<Sim>>) {
    live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
    allocator.trim();
    assert_eq!(allocator.held(), 0);
}

#[test]
fn who_uses_little_gets_small_blocks_and_who_uses_much_gets_large_ones() {
    let allocator = allocator(16 << 30, 4096);
    let (little, sizes) = fill(&allocator, 3 * MIB, 64 * KIB);
    assert_eq!(sizes, [MIB; 3]);
    let used = if cfg!(miri) { 8 * MIB } else { 1 << 30 };
    let (much, sizes) = fill(&allocator, used, 64 * KIB);
    assert!(sizes.is_sorted(), "blocks grow with what is held: {sizes:?}");
    let mut held = 3 * MIB;
    for &size in &sizes {
        let share = (held / 64).max(1);
        assert_eq!(size, (1 << share.ilog2()).max(MIB), "a sixty-fourth of {held}");
        held += size;
    }
    if !cfg!(miri) {
        assert_eq!(sizes.last(), Some(&(16 * MIB)));
        assert!(sizes.len() < 400, "{} blocks", sizes.len());
    }
    let idle = held - used - 3 * MIB;
    assert!(idle <= 1.max(held / 64).max(MIB), "{idle} bytes lie idle");
    free_all(&allocator, much.into_iter().chain(little).collect());
    let (little, sizes) = fill(&allocator, MIB, 64 * KIB);
    assert_eq!(sizes, [MIB], "who has become small gets small blocks again");
    free_all(&allocator, little);
}

#[test]
fn a_shared_block_takes_at_most_an_eighth_of_its_heap() {
    for heap_size in [256 * KIB, MIB, 7 * MIB, 8 * MIB, 100 * MIB, 1 << 30] {
        let growth = Growth::of_heap(heap_size);
        assert!(growth.size_most <= heap_size / 8);
        assert!(growth.size_most > heap_size / 16 || growth.size_most == 256 * MIB);
        // Few blocks are to be had, so they are as large as may be; or many.
        for block_count_max in [64, 4096] {
            let allocator = allocator(heap_size, block_count_max);
            let (live, sizes) = fill(&allocator, heap_size / 4, heap_size / 1024);
            let largest = sizes.iter().max().unwrap();
            assert!(*largest <= heap_size / 8, "{largest} of {heap_size}");
            if block_count_max == 64 {
                assert_eq!(*largest, growth.size_most);
            }
            free_all(&allocator, live);
        }
    }
}

#[test]
fn a_request_that_needs_more_gets_more() {
    let allocator = allocator(8 * MIB, 4096);
    let (live, sizes) = fill(&allocator, 6 * MIB, 3 * MIB);
    assert_eq!(sizes, [3 * MIB; 2], "exactly what it needs");
    free_all(&allocator, live);
}

#[test]
fn what_the_user_says_of_sizes_counts() {
    let growth = Some(Growth { size_least: 4 * MIB, size_most: 4 * MIB });
    let options = Options { arenas: 1, growth, ..Options::default() };
    let allocator = Allocator::new(Sim::new(Layout::default()).unwrap(), options);
    let (live, sizes) = fill(&allocator, 16 * MIB, 64 * KIB);
    assert_eq!(sizes, [4 * MIB; 4]);
    free_all(&allocator, live);
}
