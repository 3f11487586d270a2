//! Blocks from the allocator itself: pairs, queues, stacks, zeroes, alignments, growth.

use crate::Pattern;
use crate::random::Random;
use crate::sizes;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error, realloc};
use std::hint::black_box;
use std::ptr::NonNull;

/// These patterns.
pub const PATTERNS: &[Pattern] = &[
    Pattern::new("pair, 16 B", |times| pairs(times, 16)),
    Pattern::new("pair, 64 B", |times| pairs(times, 64)),
    Pattern::new("pair, 256 B", |times| pairs(times, 256)),
    Pattern::new("pair, 1 KiB", |times| pairs(times, 1 << 10)),
    Pattern::new("pair, 4 KiB", |times| pairs(times, 4 << 10)),
    Pattern::new("pair, 32 KiB", |times| pairs(times, 32 << 10)),
    Pattern::new("pair, 256 KiB", |times| pairs(times, 256 << 10)),
    Pattern::new("pair, 1 MiB", |times| pairs(times, 1 << 20)),
    Pattern::new("pair, 4 MiB", |times| pairs(times, 4 << 20)),
    Pattern::new("fifo, 64 B", |times| fifo(times, 64)),
    Pattern::new("fifo, 1 KiB", |times| fifo(times, 1 << 10)),
    Pattern::new("lifo, 64 B", |times| lifo(times, 64)),
    Pattern::new("lifo, 1 KiB", |times| lifo(times, 1 << 10)),
    Pattern::new("churn, 16 B to 1 KiB", |times| churn(times, 1 << 10)),
    Pattern::new("churn, 16 B to 32 KiB", |times| churn(times, 32 << 10)),
    Pattern::new("zeroed, 64 B", |times| zeroed(times, 64)),
    Pattern::new("zeroed, 4 KiB", |times| zeroed(times, 4 << 10)),
    Pattern::new("zeroed, 256 KiB", |times| zeroed(times, 256 << 10)),
    Pattern::new("zeroed, 4 MiB", |times| zeroed(times, 4 << 20)),
    Pattern::new("aligned to 64", |times| aligned(times, 64)),
    Pattern::new("aligned to 4096", |times| aligned(times, 4096)),
    Pattern::new("realloc in steps", growth),
];

const LIVE: usize = 1_000;
const ALIGN: usize = 8;
const SEED: u64 = 0x5eed;
const STEP: usize = 16;
const STEPS_END: usize = 1 << 10;

/// A live block; two of its bytes have been written.
struct Block {
    address: NonNull<u8>,
    layout: Layout,
}

impl Block {
    #[inline(always)]
    fn new(size: usize, align: usize) -> Self {
        let layout = layout(size, align);
        // SAFETY: No size here is zero.
        let mut block = Self::from_raw(unsafe { alloc(layout) }, layout);
        block.write(0);
        block.write(size - 1);
        block
    }

    #[inline(always)]
    fn zeroed(size: usize) -> Self {
        let layout = layout(size, ALIGN);
        // SAFETY: No size here is zero.
        let mut block = Self::from_raw(unsafe { alloc_zeroed(layout) }, layout);
        block.write(size - 1);
        block
    }

    #[inline(always)]
    fn grow(&mut self, size: usize) {
        // SAFETY: It is live, its old address is overwritten, and the size is not zero.
        let block = unsafe { realloc(self.address.as_ptr(), self.layout, size) };
        self.address = NonNull::new(block).expect("the system has memory");
        self.layout = layout(size, self.layout.align());
        self.write(size - 1);
    }

    #[inline(always)]
    fn from_raw(block: *mut u8, layout: Layout) -> Self {
        match NonNull::new(black_box(block)) {
            Some(address) => Self { address, layout },
            None => handle_alloc_error(layout),
        }
    }

    #[inline(always)]
    fn write(&mut self, offset: usize) {
        debug_assert!(offset < self.layout.size(), "a block is written inside");
        // SAFETY: The callers write below the size.
        let place = unsafe { self.address.add(offset) };
        // SAFETY: The block is live, and nobody else knows it.
        unsafe { place.write_volatile(1) };
    }
}

impl Drop for Block {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: It came from the allocator with this layout, and this is its end.
        unsafe { dealloc(self.address.as_ptr(), self.layout) };
    }
}

#[inline(always)]
fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("sizes and alignments here are small")
}

fn pairs(times: u64, size: usize) {
    for _ in 0..times {
        drop(Block::new(size, ALIGN));
    }
}

fn zeroed(times: u64, size: usize) {
    for _ in 0..times {
        drop(Block::zeroed(size));
    }
}

fn aligned(times: u64, align: usize) {
    for _ in 0..times {
        drop(Block::new(align, align));
    }
}

fn fifo(times: u64, size: usize) {
    let mut live: Vec<_> = (0..LIVE).map(|_| Block::new(size, ALIGN)).collect();
    for oldest in (0..LIVE).cycle().take(times as usize) {
        live[oldest] = Block::new(size, ALIGN);
    }
}

fn lifo(times: u64, size: usize) {
    let mut live = Vec::with_capacity(LIVE);
    for number in 0..times {
        live.push(Block::new(size, ALIGN));
        if number % LIVE as u64 == 0 {
            while live.pop().is_some() {}
        }
    }
}

fn churn(times: u64, end: usize) {
    let mut random = Random::new(SEED);
    let mut live: Vec<_> =
        (0..LIVE).map(|_| Block::new(sizes::doublings(&mut random, 16, end), ALIGN)).collect();
    for _ in 0..times {
        let place = random.below(LIVE as u64) as usize;
        live[place] = Block::new(sizes::doublings(&mut random, 16, end), ALIGN);
    }
}

fn growth(times: u64) {
    let mut block = Block::new(STEP, ALIGN);
    for _ in 0..times {
        match block.layout.size() {
            STEPS_END => block = Block::new(STEP, ALIGN),
            size => block.grow(size + STEP),
        }
    }
}
