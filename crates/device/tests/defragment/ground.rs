//! What is defragmented: an allocator, or one of its pools.

use super::allocator;
use polder_device::defragment::{DefragmentError, Defragmentation, Options};
use polder_device::sim::Sim;
use polder_device::strategy::{Pool, Rules, Setup};
use polder_device::{Allocation, AllocationId, Allocator, Misuse, Strategy};
use std::sync::Arc;

/// Bytes of a block.
pub const BLOCK: u64 = 64 << 10;

pub trait Ground: Strategy<Sim> + Sized {
    fn begin(sim: &Sim) -> Arc<Self>;

    fn defragment(&self, options: &Options) -> Result<Defragmentation<'_, Sim>, DefragmentError>;

    fn check(&self);

    fn blocks(&self) -> u64;

    /// The handle of an allocation again, to look at it alone.
    fn twin(&self, id: AllocationId) -> Result<Allocation<Sim>, Misuse>;
}

impl Ground for Allocator<Sim> {
    fn begin(sim: &Sim) -> Arc<Self> {
        Arc::new(allocator(sim))
    }

    fn defragment(&self, options: &Options) -> Result<Defragmentation<'_, Sim>, DefragmentError> {
        self.defragment(options)
    }

    fn check(&self) {
        self.check();
    }

    fn blocks(&self) -> u64 {
        let types = self.properties().memory_types.len() as u32;
        (0..types).map(|memory_type| self.stats(memory_type).blocks).sum()
    }

    fn twin(&self, id: AllocationId) -> Result<Allocation<Sim>, Misuse> {
        // SAFETY: The twin is only looked at.
        unsafe { self.handle(id) }
    }
}

/// A pool whose blocks are all of one size and two of which stay.
impl Ground for Pool<Sim> {
    fn begin(sim: &Sim) -> Arc<Self> {
        pool(&allocator(sim), Rules { blocks_least: 2, ..Rules::default() })
    }

    fn defragment(&self, options: &Options) -> Result<Defragmentation<'_, Sim>, DefragmentError> {
        self.defragment(options)
    }

    fn check(&self) {
        self.check();
        assert!(self.stats().blocks >= 2, "the least blocks stay");
        assert!(self.snapshot().iter().all(|block| block.size == BLOCK));
    }

    fn blocks(&self) -> u64 {
        self.stats().blocks
    }

    fn twin(&self, id: AllocationId) -> Result<Allocation<Sim>, Misuse> {
        // SAFETY: The twin is only looked at.
        unsafe { self.handle(id) }
    }
}

/// A pool of small blocks, of memory that the host sees.
pub fn pool(allocator: &Allocator<Sim>, rules: Rules<u64>) -> Arc<Pool<Sim>> {
    let rules = Rules { block_size: Some(BLOCK), ..rules };
    allocator.create_pool(&Setup { rules, ..Setup::default() }, &[]).unwrap()
}
