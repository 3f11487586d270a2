//! Memory by Windows' handles: those that the system counts, which can be duplicated and closed.

use super::{ExternalError, Switch, expect_exported};
use crate::error::device_error;
use crate::features::Features;
use crate::vulkan::Vulkan;
use ash::{khr, vk};
use core::fmt;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle, RawHandle};

const OPAQUE: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::OPAQUE_WIN32;

/// The handles of a block that were exported, each with its type: Vulkan gives one of a type once.
/// They are closed when the block goes.
#[derive(Default)]
pub(crate) struct Cache(Vec<(vk::ExternalMemoryHandleTypeFlags, OwnedHandle)>);

impl Cache {
    fn find(&self, handle_type: vk::ExternalMemoryHandleTypeFlags) -> Option<&OwnedHandle> {
        let mut handles = self.0.iter();
        handles.find(|(kind, _)| *kind == handle_type).map(|(_, handle)| handle)
    }
}

/// The calls of `VK_KHR_external_memory_win32`.
pub(crate) struct Functions(khr::external_memory_win32::Device);

impl Functions {
    pub fn load(
        instance: &ash::Instance,
        device: &ash::Device,
        features: &Features,
    ) -> Option<Self> {
        let load = || Self(khr::external_memory_win32::Device::new(instance, device));
        features.external_memory_win32.then(load)
    }
}

/// The switch that a type of handle stands behind.
pub(super) fn feature(handle_type: vk::ExternalMemoryHandleTypeFlags) -> Option<Switch> {
    match handle_type {
        OPAQUE
        | vk::ExternalMemoryHandleTypeFlags::D3D11_TEXTURE
        | vk::ExternalMemoryHandleTypeFlags::D3D12_HEAP
        | vk::ExternalMemoryHandleTypeFlags::D3D12_RESOURCE => {
            Some(("external_memory_win32", |features| features.external_memory_win32))
        }
        _ => None,
    }
}

/// Memory from elsewhere, by its handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Import {
    handle: vk::HANDLE,
    handle_type: vk::ExternalMemoryHandleTypeFlags,
}

// By hand, for the flags say what they are only with a feature of ash's.
impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handle_type = self.handle_type.as_raw();
        let mut debug = f.debug_struct("Import");
        debug.field("handle", &self.handle).field("handle_type", &handle_type).finish()
    }
}

impl Import {
    /// Names memory by a handle: `OPAQUE_WIN32`, `D3D11_TEXTURE`, `D3D12_HEAP` or
    /// `D3D12_RESOURCE`. The handle stays the caller's.
    ///
    /// # Safety
    ///
    /// - Until the pool that has it is gone, or the call that is given it has returned, `handle`
    ///   stays open.
    /// - It is of `handle_type`. If that is opaque, a device of the same driver exported it (the
    ///   UUIDs of device and driver are the same), and every block that is ordered with this has
    ///   the size, the memory type and, if there is one, the dedicated resource of that one.
    /// - Every buffer and image that is bound to the memory was made with this type of handle in
    ///   its create info's chain.
    /// - While the host writes the memory through an allocator, nobody elsewhere accesses that
    ///   range, and while the host reads it nobody elsewhere writes it.
    #[must_use]
    pub unsafe fn win32(
        handle: BorrowedHandle<'_>,
        handle_type: vk::ExternalMemoryHandleTypeFlags,
    ) -> Self {
        Self { handle: handle.as_raw_handle() as vk::HANDLE, handle_type }
    }
}

/// One order for memory from elsewhere. The driver takes a reference of its own.
pub(crate) struct Attempt(vk::ImportMemoryWin32HandleInfoKHR<'static>);

impl Attempt {
    // Fails on other systems.
    #[allow(clippy::unnecessary_wraps)]
    pub fn new(import: Import) -> Result<Self, ExternalError> {
        let info = vk::ImportMemoryWin32HandleInfoKHR::default();
        Ok(Self(info.handle_type(import.handle_type).handle(import.handle)))
    }

    pub const fn info(&mut self) -> &mut vk::ImportMemoryWin32HandleInfoKHR<'static> {
        &mut self.0
    }

    /// The driver has given the block: nothing of ours went with it.
    pub const fn succeed(self) {}
}

impl Vulkan {
    /// Returns a handle by which others get a block that was ordered for it, as `OPAQUE_WIN32`,
    /// `D3D11_TEXTURE`, `D3D12_HEAP` or `D3D12_RESOURCE`. It is the caller's: Vulkan's own is kept
    /// with the block and closed with it, each call gives a duplicate, and while one is open, or
    /// imported, the memory stays even when the block is freed.
    ///
    /// It is the whole block's; where an allocation begins in it is its
    /// [`offset`](polder_device::Allocation::offset).
    ///
    /// # Errors
    ///
    /// [`ExternalError`]: the type of handle, its feature, or a block that was not ordered for it.
    pub fn memory_win32_handle(
        &self,
        memory: vk::DeviceMemory,
        handle_type: vk::ExternalMemoryHandleTypeFlags,
    ) -> Result<OwnedHandle, ExternalError> {
        let Functions(functions) = self.functions_for(handle_type)?;
        let export = self.blocks().with(memory, |block, handles| {
            expect_exported(block, handle_type)?;
            if let Some(handle) = handles.find(handle_type) {
                return duplicate(handle);
            }
            let info =
                vk::MemoryGetWin32HandleInfoKHR::default().memory(memory).handle_type(handle_type);
            // SAFETY: The block lives, for its entry is there and we hold it, was ordered for this
            // type of handle, and was not asked for it before; the feature is on.
            let handle =
                unsafe { functions.get_memory_win32_handle(&info) }.map_err(device_error)?;
            // SAFETY: The driver has just opened it, and says that it is the caller's.
            let handle = unsafe { OwnedHandle::from_raw_handle(handle as RawHandle) };
            let copy = duplicate(&handle);
            handles.0.push((handle_type, handle));
            copy
        });
        export.unwrap_or(Err(ExternalError::NoBlock))
    }

    /// Returns a bit for each memory type as which memory from elsewhere can be imported; of an
    /// opaque handle that is every type that this device may use, for Vulkan does not ask. How
    /// many bytes there are no handle of Windows' tells, so `size` is not looked at.
    ///
    /// # Errors
    ///
    /// [`ExternalError`]: the type of handle, its feature, or a handle that the driver does not
    /// know.
    pub fn importable_types(&self, import: Import, size: u64) -> Result<u32, ExternalError> {
        let _ = size;
        let Functions(functions) = self.functions_for(import.handle_type)?;
        if import.handle_type == OPAQUE {
            return Ok(self.usable_types());
        }
        let mut answer = vk::MemoryWin32HandlePropertiesKHR::default();
        // SAFETY: `Import::win32`'s caller promises an open handle of this type, which is not the
        // opaque one; the function is there, for the feature is on.
        let asked = unsafe {
            functions.get_memory_win32_handle_properties(
                import.handle_type,
                import.handle,
                &mut answer,
            )
        };
        asked.map_err(device_error)?;
        Ok(answer.memory_type_bits & self.usable_types())
    }
}

fn duplicate(handle: &OwnedHandle) -> Result<OwnedHandle, ExternalError> {
    handle.try_clone().map_err(|error| ExternalError::system(&error))
}
