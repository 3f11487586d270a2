//! A range, its name, and what is asked for.

use super::Divisible;
use crate::allocation::{AllocatorId, HostPointer};
use crate::virtual_block::VirtualAllocation;
use core::fmt;
use core::num::NonZeroU64;

/// What is wanted of a [`BufferArena`](super::BufferArena).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeRequest<'a> {
    /// Bytes; not zero.
    pub size: u64,
    /// What the offset is a multiple of, beside what the usage demands: a power of two.
    pub align: u64,
    /// A name for reports.
    pub name: Option<&'a str>,
}

impl RangeRequest<'_> {
    /// A request for `size` bytes, aligned as the usage demands.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self { size, align: 1, name: None }
    }
}

/// The name of a range: a copy of it proves nothing, and a stale one is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RangeId {
    pub(super) arena: AllocatorId,
    pub(super) shard: u32,
    pub(super) block: u32,
    pub(super) part: VirtualAllocation,
}

/// A part of a buffer, given back by value to the arena that gave it. Dropping it frees nothing.
#[must_use = "a range that is dropped stays in use until its arena ends"]
pub struct BufferRange<D: Divisible> {
    pub(super) id: RangeId,
    pub(super) buffer: D::Buffer,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) pointer: Option<HostPointer>,
    pub(super) address: Option<NonZeroU64>,
}

impl<D: Divisible> BufferRange<D> {
    /// Returns its name.
    #[must_use]
    pub const fn id(&self) -> RangeId {
        self.id
    }

    /// Returns the buffer that it lies in, which is the arena's.
    #[must_use]
    pub const fn buffer(&self) -> D::Buffer {
        self.buffer
    }

    /// Returns where in the buffer it begins, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns its size in bytes: what was asked for.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the host pointer to its first byte, where the arena's access is a host's.
    #[must_use]
    pub const fn pointer(&self) -> Option<HostPointer> {
        self.pointer
    }

    /// Returns the device address of its first byte, where the arena's usage has one.
    #[must_use]
    pub const fn address(&self) -> Option<NonZeroU64> {
        self.address
    }
}

impl<D: Divisible> fmt::Debug for BufferRange<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {} of {:?}", self.size, self.offset, self.buffer)
    }
}
