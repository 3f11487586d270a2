//! Polder's device heap: memory for buffers and images on any device.
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

pub mod allocation;
mod arena;
pub mod device;
pub mod division;
pub mod error;
mod growth;
mod handover;
pub mod request;
mod supply;
mod sync;

pub use allocation::{Allocation, AllocationId, AllocatorId, HostPointer};
pub use device::{
    DedicatedWish, Device, DeviceError, DeviceProperties, MemoryProperties, Requirements, Resource,
    Resources, Tiling,
};
pub use error::{AllocError, CreateError, FreeError, MapError, Misuse, Shortage, ShortageCause};
pub use request::{Access, BudgetRule, Lifetime, Mapping, Placement, Request, Search, Wish};
