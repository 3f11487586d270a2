//! offset-allocator: offsets of 32 bits, no alignment.

use super::{Need, Peer};
use offset_allocator::{Allocation, Allocator};

/// How alignment is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// Not at all: the offsets are wherever they are.
    Ignored,
    /// By asking for so much more that an aligned offset lies in it.
    Padded,
}

/// An allocator of offsets.
pub struct Space {
    allocator: Allocator,
    alignment: Alignment,
}

impl Space {
    /// Makes a range of `size` bytes.
    pub fn new(size: u64, alignment: Alignment) -> Self {
        let size = u32::try_from(size).expect("its ranges are below 4 GiB");
        Self { allocator: Allocator::new(size), alignment }
    }
}

impl Peer for Space {
    type Handle = Allocation;

    #[inline]
    fn allocate(&mut self, Need { size, align }: Need) -> Allocation {
        let padding = match self.alignment {
            Alignment::Ignored => 0,
            Alignment::Padded => align - 1,
        };
        self.allocator.allocate((size + padding) as u32).expect("the range has room")
    }

    #[inline]
    fn free(&mut self, handle: Allocation) {
        self.allocator.free(handle);
    }
}
