//! Which blocks a device has given, and what was said of them when they were ordered.
//!
//! Vulkan answers neither for a block's size nor for the handles by which others may get it, and
//! whoever asks for such a handle has to know. An entry is written where `vkAllocateMemory` and
//! `vkFreeMemory` are called, so no plain allocation comes here.
//!
//! # Invariants
//!
//! 1. A block has an entry from its first moment until just before it is freed: who finds one
//!    under the lock finds a block that lives while the lock is held.

use crate::external::Cache;
use ash::vk;
use core::fmt;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A block of device memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The driver's handle.
    pub memory: vk::DeviceMemory,
    /// Number of its memory type.
    pub memory_type: u32,
    /// Bytes.
    pub size: u64,
    /// The handles by which others may get it.
    pub exports: vk::ExternalMemoryHandleTypeFlags,
}

// By hand, for the flags say what they are only with a feature of ash's.
impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, memory_type, size, exports } = self;
        let mut debug = f.debug_struct("Block");
        debug.field("memory", memory).field("memory_type", memory_type).field("size", size);
        debug.field("exports", &exports.as_raw()).finish()
    }
}

/// What is told of every block that comes and goes.
///
/// The calls come from whatever thread needs a block or gives one back, often inside a call of an
/// allocator with its lock held: what is done here is short, calls no allocator of this device,
/// and does not panic.
pub trait BlockCallbacks: Send + Sync + 'static {
    /// The driver has just given a block.
    fn allocated(&self, block: &Block);
    /// A block is about to go back to the driver.
    fn freeing(&self, block: &Block);
}

/// Each block that lives, with the handles to it that are kept.
type Entries = HashMap<vk::DeviceMemory, (Block, Cache)>;

/// See the [module](self).
pub(crate) struct Blocks {
    entries: Mutex<Entries>,
    callbacks: Option<Box<dyn BlockCallbacks>>,
}

impl Blocks {
    pub fn new(callbacks: Option<Box<dyn BlockCallbacks>>) -> Self {
        Self { entries: Mutex::default(), callbacks }
    }

    /// Notes a block that the driver has just given.
    pub fn enter(&self, block: Block) {
        self.lock().insert(block.memory, (block, Cache::default()));
        if let Some(callbacks) = &self.callbacks {
            callbacks.allocated(&block);
        }
    }

    /// Forgets a block that is about to go back.
    pub fn leave(&self, memory: vk::DeviceMemory) {
        let entry = self.lock().remove(&memory);
        if let (Some(callbacks), Some((block, _))) = (&self.callbacks, entry) {
            callbacks.freeing(&block);
        }
    }

    /// Works with a block that stays meanwhile; nothing when there is none of this name.
    pub fn with<R>(
        &self,
        memory: vk::DeviceMemory,
        work: impl FnOnce(&Block, &mut Cache) -> R,
    ) -> Option<R> {
        self.lock().get_mut(&memory).map(|(block, handles)| work(block, handles))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
