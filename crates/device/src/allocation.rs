//! The handle of an allocation: whose it is, where it is, and which life of its slot.

use crate::device::Device;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

/// The number of an allocator, never given twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocatorId(u32);

impl AllocatorId {
    /// Returns a number that no other allocator of this process has.
    ///
    /// # Panics
    ///
    /// After 2^32 - 1 allocators.
    #[must_use]
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        // Relaxed: only that the numbers differ matters, and an exchange is atomic by itself.
        let id = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| id.checked_add(1));
        Self(id.expect("a process makes less than 2^32 allocators"))
    }
}

impl fmt::Display for AllocatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "allocator {}", self.0)
    }
}

/// The name of an allocation: a copy of it proves nothing, and a stale one is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AllocationId {
    /// Whose it is.
    pub allocator: AllocatorId,
    /// Which arena of the allocator's.
    pub arena: u32,
    /// Which slot of the arena's.
    pub slot: u32,
    /// Which life of the slot.
    pub generation: u32,
}

impl fmt::Display for AllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocator, arena, slot, generation } = self;
        write!(f, "allocation {arena}:{slot}#{generation} of {allocator}")
    }
}

/// A host pointer to the begin of an allocation, good while it is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPointer(NonNull<u8>);

// SAFETY: The pointer is an address that any thread may know; every use of it is `unsafe` and
// answers for races itself.
unsafe impl Send for HostPointer {}
// SAFETY: As above; nothing can be reached through a shared `HostPointer` without `unsafe`.
unsafe impl Sync for HostPointer {}

impl HostPointer {
    /// Wraps a pointer to the first byte of a mapped block or allocation.
    #[must_use]
    pub const fn new(pointer: NonNull<u8>) -> Self {
        Self(pointer)
    }

    /// Returns the pointer `offset` bytes further on, in the same mapped block.
    pub(crate) fn at(self, offset: u64) -> Self {
        let address = self.0.as_ptr().wrapping_add(offset as usize);
        Self(NonNull::new(address).expect("a block does not wrap around the address space"))
    }

    /// Returns the pointer.
    #[must_use]
    pub const fn get(self) -> NonNull<u8> {
        self.0
    }
}

/// Memory that a user holds: a part of a block, or a whole one.
///
/// It is given back by value, to the allocator that gave it. Dropping it frees nothing: that
/// allocator reports it as a leak when it ends.
#[must_use = "an allocation that is dropped stays allocated until its allocator ends"]
pub struct Allocation<D: Device> {
    pub(crate) id: AllocationId,
    pub(crate) memory: D::Memory,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) memory_type: u32,
    pub(crate) pointer: Option<HostPointer>,
}

/// Where an allocation lies. What a strategy of one's own makes an [`Allocation`] from.
#[derive(Clone, Copy, Debug)]
pub struct Parts<M> {
    /// Its name.
    pub id: AllocationId,
    /// Its block.
    pub memory: M,
    /// From the block's begin, in bytes.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The block's memory type.
    pub memory_type: u32,
    /// The host pointer to its first byte, when it is mapped all its life.
    pub pointer: Option<HostPointer>,
}

impl<D: Device> Allocation<D> {
    /// Makes a handle, for a strategy of one's own.
    ///
    /// # Safety
    ///
    /// - `memory` is live until the allocation is freed, and `offset..offset + size` lies in it
    ///   and is nobody else's.
    /// - `pointer`, if there is one, is the mapped address of `offset` until then.
    pub const unsafe fn from_parts(parts: Parts<D::Memory>) -> Self {
        let Parts { id, memory, offset, size, memory_type, pointer } = parts;
        Self { id, memory, offset, size, memory_type, pointer }
    }

    /// Returns its name.
    #[must_use]
    pub const fn id(&self) -> AllocationId {
        self.id
    }

    /// Returns the block that it lies in.
    #[must_use]
    pub const fn memory(&self) -> D::Memory {
        self.memory
    }

    /// Returns where in the block it begins, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns its size in bytes: what was asked for.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the number of its memory type.
    #[must_use]
    pub const fn memory_type(&self) -> u32 {
        self.memory_type
    }

    /// Returns the host pointer to its first byte, when it is mapped all its life
    /// ([`Mapping::Persistent`](crate::Mapping)).
    #[must_use]
    pub const fn pointer(&self) -> Option<HostPointer> {
        self.pointer
    }
}

impl<D: Device> fmt::Debug for Allocation<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, memory, offset, size, memory_type, .. } = self;
        write!(f, "{id}: {size} bytes at {offset} of {memory:?}, memory type {memory_type}")
    }
}
