//! One block at a time.

use crate::block::Block;

/// Allocates and frees at once.
pub fn pairs(times: u64, size: usize) {
    for _ in 0..times {
        drop(Block::new(size));
    }
}

/// Allocates zeroes and frees at once.
pub fn zeroed(times: u64, size: usize) {
    for _ in 0..times {
        drop(Block::zeroed(size));
    }
}

/// Allocates as much as the alignment and frees at once.
pub fn aligned(times: u64, align: usize) {
    for _ in 0..times {
        drop(Block::aligned(align, align));
    }
}

/// Lets a block grow by steps of `step` bytes up to `end`, then begins with a new one.
pub fn growth(times: u64, step: usize, end: usize) {
    let mut block = Block::new(step);
    for _ in 0..times {
        if block.size() == end {
            block = Block::new(step);
        } else {
            block.resize(block.size() + step);
        }
    }
}
