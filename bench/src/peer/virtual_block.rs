//! Polder's virtual block, with user data of the size that VMA's has.

use super::{Need, Peer};
use polder_device::{Algorithm, Search, VirtualAllocation, VirtualBlock, VirtualRequest};

/// A virtual block.
pub struct Space {
    block: VirtualBlock<usize>,
    search: Search,
}

impl Space {
    /// Makes a block of `size` bytes.
    pub fn new(size: u64, search: Search) -> Self {
        Self { block: Self::block(size, Algorithm::Tlsf), search }
    }

    /// Makes a linear block of `size` bytes.
    pub fn linear(size: u64) -> Self {
        Self { block: Self::block(size, Algorithm::Linear), search: Search::Quick }
    }

    fn block(size: u64, algorithm: Algorithm) -> VirtualBlock<usize> {
        VirtualBlock::new(size, algorithm).expect("a block has a size")
    }

    /// Allocates if there is room.
    #[inline]
    pub fn try_allocate(&mut self, Need { size, align }: Need) -> Option<VirtualAllocation> {
        let request = VirtualRequest { size, align, search: self.search };
        Some(self.block.allocate(request, 0).ok()?.allocation)
    }
}

impl Peer for Space {
    type Handle = VirtualAllocation;

    #[inline]
    fn allocate(&mut self, need: Need) -> VirtualAllocation {
        self.try_allocate(need).expect("the block has room")
    }

    #[inline]
    fn free(&mut self, handle: VirtualAllocation) {
        self.block.free(handle).expect("the allocation is live");
    }
}
