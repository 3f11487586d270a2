//! Polder's device heap: memory for buffers and images on any device.
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

pub mod allocation;
pub mod allocator;
mod arena;
mod choice;
pub mod debug;
pub mod defragment;
pub mod device;
pub mod division;
pub mod error;
pub mod factory;
pub mod frame_queue;
mod frames;
pub mod growth;
#[cfg(not(loom))]
mod handover;
#[cfg(loom)]
#[doc(hidden)]
pub mod handover;
pub mod owned;
pub mod planner;
pub mod pressure;
pub mod ranges;
pub mod request;
pub mod sim;
pub mod snapshot;
pub mod strategy;
mod supply;
mod sync;
pub mod usage;
pub mod virtual_block;
mod vma_json;

pub use polder_core::stats::{DetailedStats, Sizes, Stats};

pub use allocation::{Allocation, AllocationId, AllocatorId, HostPointer};
pub use allocator::{AllStats, Allocator, EmptyBlocks, Options};
pub use arena::AllocationInfo;
pub use choice::{Explanation, Verdict};
pub use debug::Aids;
pub use defragment::{Defragmentation, Effort};
pub use device::{
    DedicatedWish, Device, DeviceError, DeviceKind, DeviceProperties, MemoryProperties,
    Requirements, Resource, Resources, Tiling,
};
pub use error::{
    AllocError, Contradiction, CreateError, FreeError, MapError, Misuse, PlaceError, Shortage,
    ShortageCause,
};
pub use factory::{Buffer, Factory, Image};
pub use frame_queue::{FrameQueue, Framed, Freeable};
pub use growth::Growth;
pub use owned::{Owned, OwnedAllocation, OwnedBuffer, OwnedImage};
pub use pressure::{Candidate, Pressure, PressureCause, Watermarks};
pub use ranges::{BufferArena, BufferRange, RangeRequest};
pub use request::{
    Access, Aliasing, BudgetRule, Lifetime, Mapping, Placement, Request, Search, Spill, Wish,
};
pub use snapshot::{Leak, LeakReport, Snapshot};
pub use strategy::{Pool, Strategy};
pub use supply::Budget;
pub use usage::{HostAccess, Intent, Usage, UsedBy};
pub use virtual_block::{
    Algorithm, VirtualAllocation, VirtualBlock, VirtualError, VirtualInfo, VirtualMisuse,
    VirtualPart, VirtualRequest,
};
