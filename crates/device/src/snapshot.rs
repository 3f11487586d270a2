//! Every heap, memory type, block and region at one moment, as data.
//!
//! Made for reports, for a page to look at, and for tests: two snapshots are equal when nothing
//! that a user could see differs. Sizes are in bytes.

use crate::allocation::AllocationId;
use crate::device::{DeviceKind, Tiling};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A whole allocator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The device's name.
    pub device: String,
    /// What sort of device it is.
    pub kind: DeviceKind,
    /// Each heap.
    pub heaps: Vec<HeapSnapshot>,
    /// Each memory type.
    pub memory_types: Vec<TypeSnapshot>,
}

/// One heap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapSnapshot {
    /// How large it is.
    pub size: u64,
    /// Whether it is the device's own memory.
    pub device_local: bool,
    /// What the driver grants, or an estimate of it.
    pub budget: u64,
    /// What the process uses, by the driver's account or by ours.
    pub usage: u64,
    /// What the user lets the allocator hold; nothing where no limit was set.
    pub limit: Option<u64>,
    /// In blocks.
    pub held: u64,
    /// In allocations.
    pub used: u64,
}

/// One memory type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeSnapshot {
    /// Its heap's number.
    pub heap: u32,
    /// What it can do, by the names of [`MemoryProperties`](crate::MemoryProperties).
    pub properties: Vec<String>,
    /// Its blocks.
    pub blocks: Vec<BlockSnapshot>,
}

impl TypeSnapshot {
    /// Returns the bytes in blocks.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.blocks.iter().map(|block| block.size).sum()
    }

    /// Returns the bytes in allocations.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.blocks.iter().map(|block| block.used).sum()
    }

    /// Returns the number of allocations.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.allocations)).sum()
    }

    /// Returns the size of the largest free region.
    #[must_use]
    pub fn largest_free(&self) -> u64 {
        self.blocks.iter().map(|block| block.largest_free).max().unwrap_or(0)
    }
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockSnapshot {
    /// The arena that it belongs to.
    pub arena: u32,
    /// How large it is.
    pub size: u64,
    /// In allocations.
    pub used: u64,
    /// How many allocations lie in it.
    pub allocations: u32,
    /// The largest free region.
    pub largest_free: u64,
    /// Whether it has exactly one allocation for ever.
    pub dedicated: bool,
    /// How often its allocations are mapped, and what an open pass of defragmentation has shown a
    /// pointer to.
    pub maps: u32,
    /// Its regions in the order of offsets; they tile the block.
    pub regions: Vec<RegionSnapshot>,
}

/// One region of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionSnapshot {
    /// Where in the block it begins.
    pub offset: u64,
    /// How long it is.
    pub size: u64,
    /// What lies in it; nothing while it is free, or kept for a move of an open pass of
    /// [defragmentation](crate::defragment).
    pub allocation: Option<AllocationSnapshot>,
}

/// One allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationSnapshot {
    /// Its slot with its arena.
    pub slot: u32,
    /// What was asked for.
    pub size: u64,
    /// How its bytes are laid out.
    pub tiling: Tiling,
    /// Its name.
    pub name: Option<String>,
}

/// An allocation that was still there when its allocator ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Its handle's name.
    pub id: AllocationId,
    /// Its name, if the user gave one.
    pub name: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Number of its memory type.
    pub memory_type: u32,
    /// Where it was made, if the allocator was told to remember.
    pub backtrace: Option<String>,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, size, memory_type, backtrace } = self;
        let name = name.as_deref().unwrap_or("unnamed");
        write!(f, "{name}: {size} bytes of memory type {memory_type} ({id})")?;
        backtrace.iter().try_for_each(|trace| write!(f, ", made at\n{trace}"))
    }
}

/// What was still allocated when an allocator ended. Its memory is freed all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LeakReport {
    /// In the order of memory types and arenas.
    pub leaks: Vec<Leak>,
}

impl fmt::Display for LeakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: u64 = self.leaks.iter().map(|leak| leak.size).sum();
        write!(f, "{} allocations of {bytes} bytes were not freed", self.leaks.len())?;
        self.leaks.iter().try_for_each(|leak| write!(f, "\n  {leak}"))
    }
}
