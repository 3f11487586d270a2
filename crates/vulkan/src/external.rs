//! Memory that goes to other devices, processes and interfaces, and memory that comes from them.
//!
//! A block can be had from elsewhere when it was ordered so: by [`Extra::export`], or because all
//! blocks of its memory type are ([`Builder::exports`](crate::Builder::exports)). The handle is
//! asked for with `Vulkan::memory_fd`, on Windows `Vulkan::memory_win32_handle`; what the other
//! side has to be told beside, [`Vulkan::block`] knows. Memory from elsewhere becomes an
//! allocation like any other by [`Vulkan::import`], or the memory of a new buffer or image when an
//! [`Extra::import`] goes into `Factory::create_dedicated_buffer` or its sister.
//!
//! Handles have one rule on all systems: who has one keeps it. An import leaves the caller's
//! handle as it is, whether it fails or not; an export gives one that is the caller's to close.

#[cfg(unix)]
#[path = "external/fd.rs"]
mod platform;
#[cfg(windows)]
#[path = "external/win32.rs"]
mod platform;

pub use platform::Import;
pub(crate) use platform::{Attempt, Cache, Functions};

use crate::blocks::Block;
use crate::extra::Extra;
use crate::features::Features;
use crate::vulkan::Vulkan;
use ash::vk;
use polder_device::{
    AllocError, Allocation, DedicatedWish, DeviceError, Placement, Request, Requirements, Resource,
    Strategy, Wish,
};
use std::io;
use thiserror::Error;

/// What the exporter says of a block that is imported.
#[derive(Clone, Copy, Debug)]
pub struct Imported {
    /// Bytes. Of a block that a Vulkan device exported by an opaque handle, exactly its size.
    pub size: u64,
    /// The memory types that will do, a bit each; the handle itself may allow fewer. Of a block
    /// that a Vulkan device exported by an opaque handle, exactly its type.
    pub memory_types: u32,
    /// The buffer or image, made here like the exporter's, that the block is for alone, if it is
    /// for one.
    pub resource: Option<Resource<vk::Buffer, vk::Image>>,
}

/// Why memory could not be exported or imported. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// A feature is not switched on: enable what [`Features`] names so.
    #[error("this wants the feature `{feature}`")]
    Feature {
        /// The field of [`Features`].
        feature: &'static str,
    },
    /// The bits name no one type of handle that is passed in this way.
    #[error("{handle_type:#x} is no type of handle that is passed in this way")]
    HandleType {
        /// Bits of `VkExternalMemoryHandleTypeFlags`.
        handle_type: u32,
    },
    /// The device has no such block.
    #[error("the device has no such block")]
    NoBlock,
    /// The block was not ordered for this type of handle.
    #[error("the block can be had by handles {exports:#x}, not by {handle_type:#x}")]
    NotExported {
        /// What was asked for, a bit of `VkExternalMemoryHandleTypeFlags`.
        handle_type: u32,
        /// What the block was ordered for.
        exports: u32,
    },
    /// None of the memory types that will do can be had by the handle.
    #[error("the handle allows memory types {allowed:#b}, none of {asked:#b}")]
    MemoryType {
        /// A bit for each type that would do.
        asked: u32,
        /// A bit for each type that the handle allows.
        allowed: u32,
    },
    /// There are fewer bytes behind the handle.
    #[error("{size} bytes are more than the {room} behind the handle")]
    TooLarge {
        /// What was asked for.
        size: u64,
        /// What there is.
        room: u64,
    },
    /// The system did not give another handle: close some.
    #[error("the system gave no handle: {kind}")]
    System {
        /// What it said.
        kind: io::ErrorKind,
    },
    /// The strategy did not make an allocation of it.
    #[error(transparent)]
    Allocate(#[from] AllocError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl ExternalError {
    fn system(error: &io::Error) -> Self {
        Self::System { kind: error.kind() }
    }

    /// What it means to who orders a block.
    fn of_order(self) -> DeviceError {
        let rule = match self {
            Self::Device(error) => return error,
            Self::System { .. } => return DeviceError::OutOfHostMemory,
            Self::Feature { .. } => "an import wants its feature",
            Self::MemoryType { .. } => "memory is imported as a type that its handle allows",
            Self::TooLarge { .. } => "no more memory is imported than is behind the handle",
            _ => "memory is imported by one handle of this system's",
        };
        DeviceError::Invalid { rule }
    }
}

impl Vulkan {
    /// Returns what is known of a block: what the other side has to be told when it is exported.
    /// An [`Allocation`] in it begins at its [`offset`](Allocation::offset).
    #[must_use]
    pub fn block(&self, memory: vk::DeviceMemory) -> Option<Block> {
        self.blocks().with(memory, |block, _| *block)
    }

    /// Makes an allocation of memory from elsewhere: a block of its own, given back like any
    /// other. The handle stays the caller's, who may close it at once.
    ///
    /// # Errors
    ///
    /// [`ExternalError`] says what does not fit; nothing has changed.
    pub fn import<S: Strategy<Self> + ?Sized>(
        strategy: &S,
        import: Import,
        block: &Imported,
        wish: &Wish<'_>,
    ) -> Result<Allocation<Self>, ExternalError> {
        let &Imported { size, memory_types: asked, resource } = block;
        let allowed = strategy.device().importable_types(import, size)?;
        if asked & allowed == 0 {
            return Err(ExternalError::MemoryType { asked, allowed });
        }
        // The block is for the resource alone, whatever the wish says of others in its place.
        let dedicated = resource.map_or(DedicatedWish::None, |_| DedicatedWish::Required);
        let requirements =
            Requirements { size, align: 1, memory_types: asked & allowed, dedicated };
        let extra = Extra { import: Some(import), ..Extra::default() };
        let wish = Wish { placement: Placement::Dedicated, ..*wish };
        let mut request = Request::new(requirements, wish);
        (request.resource, request.extra) = (resource, Some(&extra));
        // Which buffers will be bound to it is not known.
        request.device_address = !matches!(resource, Some(Resource::Image(_)));
        Ok(strategy.allocate(&request)?)
    }

    /// Makes ready what an order says of memory from elsewhere.
    pub(crate) fn attempt(
        &self,
        import: Import,
        size: u64,
        memory_type: u32,
    ) -> Result<Attempt, DeviceError> {
        let asked = 1 << memory_type;
        let allowed = self.importable_types(import, size).map_err(ExternalError::of_order)?;
        if asked & allowed == 0 {
            return Err(ExternalError::MemoryType { asked, allowed }.of_order());
        }
        Attempt::new(import).map_err(ExternalError::of_order)
    }

    /// Refuses handles to export by that want a feature which is not switched on. Those that no
    /// feature here names are the user's to have enabled, where the structure that names them is
    /// known at all.
    pub(crate) fn expect_exportable(
        &self,
        handle_types: vk::ExternalMemoryHandleTypeFlags,
    ) -> Result<(), DeviceError> {
        if handle_types.is_empty() {
            return Ok(());
        }
        let features = self.features();
        let is_off = |bit: u32| {
            let one = vk::ExternalMemoryHandleTypeFlags::from_raw(1 << bit);
            let switch = platform::feature(handle_types & one);
            switch.is_some_and(|(_, is_on)| !is_on(features))
        };
        let is_known = features.is_1_1() || self.external().is_some();
        if !is_known || (0..u32::BITS).any(is_off) {
            let rule = "an export wants the feature of its handle, or Vulkan 1.1 if it has none";
            return Err(DeviceError::Invalid { rule });
        }
        Ok(())
    }

    /// Returns the functions for one type of handle, if its feature is switched on.
    fn functions_for(
        &self,
        handle_type: vk::ExternalMemoryHandleTypeFlags,
    ) -> Result<&Functions, ExternalError> {
        let (feature, is_on) = platform::feature(handle_type)
            .ok_or(ExternalError::HandleType { handle_type: handle_type.as_raw() })?;
        let functions = self.external().filter(|_| is_on(self.features()));
        functions.ok_or(ExternalError::Feature { feature })
    }
}

/// A feature's name, and how it is asked for.
type Switch = (&'static str, fn(&Features) -> bool);

/// Refuses a type of handle for which a block was not ordered.
fn expect_exported(
    block: &Block,
    handle_type: vk::ExternalMemoryHandleTypeFlags,
) -> Result<(), ExternalError> {
    let exports = block.exports;
    if exports.contains(handle_type) {
        return Ok(());
    }
    let (handle_type, exports) = (handle_type.as_raw(), exports.as_raw());
    Err(ExternalError::NotExported { handle_type, exports })
}
