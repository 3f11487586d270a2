//! What can go wrong, and what the caller can do about it. Nothing has changed after any of these.

use crate::allocation::{AllocationId, AllocatorId};
use crate::device::{DeviceError, MemoryProperties};
use core::fmt;
use thiserror::Error;

/// Why no memory was given. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AllocError {
    /// The size is zero: ask for at least one byte.
    #[error("an allocation has at least one byte, and zero were asked for")]
    ZeroSize,
    /// The alignment is no power of two.
    #[error("an alignment is a power of two, and {align} was asked for")]
    BadAlign {
        /// What was asked for.
        align: u64,
    },
    /// No memory type has what the resource and the wish need: the request can never succeed.
    #[error("no memory type of {memory_types:#b} has {required:?}")]
    NoMemoryType {
        /// What the resource allows, a bit for each type.
        memory_types: u32,
        /// What the wish requires.
        required: MemoryProperties,
    },
    /// The size is more than any fitting heap, or the largest block of the device, can hold: the
    /// request can never succeed. Host memory fits what is for the device alone only where the wish
    /// lets it [spill](crate::Spill).
    #[error("{size} bytes are more than the {most} that heap {heap} can give in one block")]
    TooLarge {
        /// What was asked for.
        size: u64,
        /// The roomiest heap that fits.
        heap: u32,
        /// What it can give.
        most: u64,
    },
    /// What is wished for contradicts itself: the request can never succeed.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// There is no room now: free something, or raise the limit that is named.
    #[error(transparent)]
    OutOfMemory(#[from] Shortage),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Two things that cannot both be had. Give one of them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// The resource works only in a block of its own, and no new block may be taken.
    #[error("the resource needs a block of its own, and a new block is forbidden")]
    NewBlockForbidden,
    /// A block of its own is asked for, or needed, in a pool whose blocks all have one size.
    #[error("a pool whose blocks have one size has none for one allocation")]
    BlocksAreShared,
    /// An upper address is asked for where parts are placed upwards alone: ask for it of a general
    /// block or of a double stack.
    #[error("a stack or a ring has no upper end")]
    NoUpperEnd,
    /// The mask names devices that the group, or the pool, does not have.
    #[error("the mask {mask:#b} names others than the devices {devices:#b}")]
    DeviceMask {
        /// What was asked for.
        mask: u32,
        /// The devices that there are, a bit each.
        devices: u32,
    },
    /// The memory is to be mapped, and no access of the host was announced.
    #[error("memory that is mapped needs an access of the host")]
    MappedWithoutHostAccess,
    /// The usage follows from what the resource is for, and that is not known: name the resource,
    /// or another usage.
    #[error("this usage is chosen by what the resource is for, which is unknown")]
    UnknownUse,
}

/// The state of a heap that had no room for a request. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "no {size} bytes in memory type {memory_type} (heap {heap}): {cause}; budget {budget}, \
     used {used}, held {held}, largest free region {largest_free}{}",
    Spilt(self.spill)
)]
pub struct Shortage {
    /// What was asked for.
    pub size: u64,
    /// The memory type that was tried last.
    pub memory_type: u32,
    /// Its heap.
    pub heap: u32,
    /// What stood in the way.
    pub cause: ShortageCause,
    /// What the driver grants of the heap, or an estimate of it.
    pub budget: u64,
    /// In allocations of this heap, those of who was asked: of pools only where a pool was.
    pub used: u64,
    /// In blocks of this heap, theirs.
    pub held: u64,
    /// The largest free region in any of these blocks.
    pub largest_free: u64,
    /// The memory type that would be tried next if the wish let it [spill](crate::Spill): host
    /// memory.
    pub spill: Option<u32>,
}

/// What an error says of a memory type that was left out.
struct Spilt(Option<u32>);

impl fmt::Display for Spilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(memory_type) => write!(f, "; nothing may spill to memory type {memory_type}"),
            None => Ok(()),
        }
    }
}

/// What stands in the way of another block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShortageCause {
    /// The driver says that it has no more memory.
    #[error("the driver is out of memory")]
    Driver,
    /// The block would pass the driver's budget, and the wish forbids that.
    #[error("the budget would be passed")]
    Budget,
    /// The block would pass the limit that the user set.
    #[error("the limit of {limit} bytes would be passed")]
    Limit {
        /// Bytes.
        limit: u64,
    },
    /// The device allows no more blocks.
    #[error("no more than {count_max} blocks may be held")]
    BlockCount {
        /// How many it allows.
        count_max: u64,
    },
    /// The heap, or the device, has no block as large.
    #[error("no block can have more than {size_max} bytes")]
    BlockSize {
        /// The largest block.
        size_max: u64,
    },
    /// The driver could not map the block.
    #[error("the block could not be mapped")]
    Mapping,
    /// No block has room, and the wish forbids a new one.
    #[error("no block has room, and a new one is forbidden")]
    NewBlockForbidden,
    /// The strategy's blocks hold no allocation of this size.
    #[error("the strategy serves no such size and alignment, and at most {size_max} bytes")]
    Strategy {
        /// The most that it serves, in bytes.
        size_max: u64,
    },
}

/// How a handle was misused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The allocation belongs to another allocator: free it there.
    #[error("the allocation belongs to {found}, not to {expected}")]
    WrongAllocator {
        /// Who was asked.
        expected: AllocatorId,
        /// Whose it is.
        found: AllocatorId,
    },
    /// The allocation was freed before, or never was.
    #[error("{id} is stale: its slot is at generation {generation}")]
    Stale {
        /// The handle.
        id: AllocationId,
        /// The generation that lives in its slot, or lived last.
        generation: u32,
    },
}

/// A free that was refused: what was handed in comes back.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct FreeError<T> {
    /// Why.
    #[source]
    pub reason: Misuse,
    /// What was handed in, as it was.
    pub allocation: T,
}

/// Why memory could not be mapped, written, read, flushed or invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MapError {
    /// The memory type is not visible to the host: ask for another access.
    #[error("memory type {memory_type} is not visible to the host")]
    NotHostVisible {
        /// The type.
        memory_type: u32,
    },
    /// The range ends behind the allocation.
    #[error("{len} bytes at {offset} end behind the allocation's {size}")]
    PastEnd {
        /// Where the range begins, in bytes from the allocation's begin.
        offset: u64,
        /// How long it is.
        len: u64,
        /// How long the allocation is.
        size: u64,
    },
    /// The allocation was unmapped more often than mapped.
    #[error("{id} is not mapped")]
    NotMapped {
        /// The handle.
        id: AllocationId,
    },
    /// The handle was misused.
    #[error(transparent)]
    Misuse(#[from] Misuse),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// At which step the making of a resource failed; every step before it is undone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The device did not make the resource.
    #[error("the resource could not be created: {0}")]
    Create(#[source] DeviceError),
    /// There was no memory for it.
    #[error("there is no memory for the resource: {0}")]
    Allocate(#[source] AllocError),
    /// It cannot lie where it was to be bound.
    #[error("the resource cannot lie there: {0}")]
    Place(#[source] PlaceError),
    /// It could not be bound to its memory.
    #[error("the resource could not be bound: {0}")]
    Bind(#[source] DeviceError),
}

/// Why a resource cannot lie at a place in an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// It ends behind the allocation.
    #[error("{size} bytes at {offset} end behind the allocation's {room}")]
    PastEnd {
        /// Where it was to begin, in bytes from the allocation's begin.
        offset: u64,
        /// How many bytes it needs.
        size: u64,
        /// How long the allocation is.
        room: u64,
    },
    /// The place is not aligned as the resource needs it.
    #[error("the place at {offset} in the block is no multiple of {align}")]
    Align {
        /// From the block's begin, in bytes.
        offset: u64,
        /// What it has to be a multiple of.
        align: u64,
    },
    /// The resource does not allow the allocation's memory type.
    #[error("memory type {memory_type} is none of {allowed:#b}")]
    MemoryType {
        /// The allocation's.
        memory_type: u32,
        /// What the resource allows, a bit for each type.
        allowed: u32,
    },
    /// The resource works only in a block that is made for it.
    #[error("it works only in a block that is made for it")]
    NeedsOwnBlock,
    /// The allocation's block is made for another resource alone:
    /// [`Aliasing::Allowed`](crate::Aliasing) prevents that.
    #[error("the block is made for another resource alone")]
    BlockOfOther,
    /// The handle was misused.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}
