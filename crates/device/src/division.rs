//! Which part of a block is whose.
//!
//! A division is what makes one suballocation strategy differ from another: given one block, it
//! hands out parts of it and takes them back. Everything else (taking blocks from the device,
//! names and generations, mapping, threads) is the arena's, written once. Write
//! your own division and [`Suballocator`](crate::strategy::Suballocator) makes a strategy of it.

pub mod buddy;
mod ensure;
pub mod granularity;
pub mod linear;
pub mod mixed;
pub mod slab;
pub mod tlsf;
pub mod whole;

pub use buddy::Buddy;
pub use linear::Linear;
pub use slab::Slab;
pub use tlsf::Tlsf;
pub use whole::Whole;

use crate::device::Tiling;
use crate::request::Search;
use core::fmt::Debug;

/// What is wanted of a block. Sizes and alignments are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// How much; not zero.
    pub size: u64,
    /// What the offset is a multiple of: a power of two.
    pub align: u64,
    /// Linear and optimal neighbours do not share a page of the granularity.
    pub tiling: Tiling,
    /// Where to look, for divisions that have a choice.
    pub search: Search,
    /// The allocation's slot, which [`Division::walk`] names.
    pub slot: u32,
}

/// A part of a block that was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The division's own name for it.
    pub key: u32,
    /// From the block's begin, in bytes.
    pub offset: u64,
}

/// A range of a block, used or free. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// From the block's begin.
    pub offset: u64,
    /// How long.
    pub size: u64,
    /// The slot of the allocation that uses it, or nothing while it is free.
    pub slot: Option<u32>,
}

/// Divides one block.
///
/// # Invariants
///
/// 1. Parts that are handed out do not overlap and lie in the block.
/// 2. Their offsets are multiples of the alignment that was asked for.
/// 3. Between a linear and an optimal part lies at least a page boundary of the granularity.
///
/// # Safety
///
/// Safe code writes to the parts: invariant 1 holds whatever is asked. No function but
/// [`new`](Division::new) panics, for keys that come from [`allocate`](Division::allocate).
pub unsafe trait Division: Debug + Send + 'static {
    /// Whether every allocation gets a block of its own, so that no block is ever divided.
    const ALONE: bool = false;

    /// Whether a part's region, as [`walk`](Self::walk) shows it, has the size that was asked for,
    /// to the byte. Figures are counted faster then.
    const EXACT: bool = false;

    /// What is the same for all blocks of a strategy.
    type Config: Clone + Debug + Send + Sync;

    /// Divides a block of `size` bytes on a device of this `granularity` (a power of two).
    fn new(config: &Self::Config, size: u64, granularity: u64) -> Self;

    /// Returns the size of the block to take for a request of `size` bytes aligned to `align`,
    /// when growth suggests `suggested` bytes; `None` when the division serves none so large.
    /// A shorter block may be given when memory is short, never one below `block_size_least`.
    fn block_size(config: &Self::Config, size: u64, align: u64, suggested: u64) -> Option<u64> {
        let _ = config;
        Some(suggested.max(Self::block_size_least(config, size, align)))
    }

    /// Returns the least size of an empty block in which the request surely finds room.
    fn block_size_least(config: &Self::Config, size: u64, align: u64) -> u64 {
        let _ = (config, align);
        size
    }

    /// Returns the most bytes that one part can have, in a block of any size.
    fn size_max(config: &Self::Config) -> u64 {
        let _ = config;
        u64::MAX
    }

    /// Tells whether [`Search::UpperAddress`] is served; a strategy refuses it where it is not.
    fn has_upper_end(config: &Self::Config) -> bool {
        let _ = config;
        false
    }

    /// Hands out a part, or nothing when no fitting one is found; nothing has changed then.
    fn allocate(&mut self, ask: &Ask) -> Option<Part>;

    /// Takes a part back. `key` is that of a live part: the arena's generations see to it.
    fn free(&mut self, key: u32);

    /// Returns the bytes in parts, as they were asked for.
    fn used(&self) -> u64;

    /// Returns the number of parts.
    fn count(&self) -> u32;

    /// Returns a size above which `allocate` surely fails; quick, for choosing a block.
    fn room(&self) -> u64;

    /// Returns the size of the largest free region, in bytes.
    fn largest_free(&self) -> u64;

    /// Shows every region in the order of offsets. What padding and rounding take counts as free
    /// or as the part's, as the division sees it; the regions tile the block.
    fn walk(&self, visit: &mut dyn FnMut(Region));

    /// Verifies the division's own invariants; for tests.
    ///
    /// # Errors
    ///
    /// The rule that is broken.
    fn check(&self) -> Result<(), &'static str>;
}
