//! Memory by file descriptor: opaque ones, and those of the kernel's own buffers.

use super::{ExternalError, Switch, expect_exported};
use crate::error::device_error;
use crate::features::Features;
use crate::vulkan::Vulkan;
use ash::{khr, vk};
use core::fmt;
use core::mem::ManuallyDrop;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;

const OPAQUE: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;
const DMA_BUF: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;

/// Every export gives a descriptor of its own, so none is kept.
#[derive(Default)]
pub(crate) struct Cache(());

/// The calls of `VK_KHR_external_memory_fd`.
pub(crate) struct Functions(khr::external_memory_fd::Device);

impl Functions {
    pub fn load(
        instance: &ash::Instance,
        device: &ash::Device,
        features: &Features,
    ) -> Option<Self> {
        let is_on = features.external_memory_fd || features.external_memory_dma_buf;
        is_on.then(|| Self(khr::external_memory_fd::Device::new(instance, device)))
    }
}

/// The switch that a type of handle stands behind.
pub(super) fn feature(handle_type: vk::ExternalMemoryHandleTypeFlags) -> Option<Switch> {
    match handle_type {
        OPAQUE => Some(("external_memory_fd", |features| features.external_memory_fd)),
        DMA_BUF => Some(("external_memory_dma_buf", |features| features.external_memory_dma_buf)),
        _ => None,
    }
}

/// Memory from elsewhere, by its handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Import {
    fd: RawFd,
    handle_type: vk::ExternalMemoryHandleTypeFlags,
}

// By hand, for the flags say what they are only with a feature of ash's.
impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handle_type = self.handle_type.as_raw();
        f.debug_struct("Import").field("fd", &self.fd).field("handle_type", &handle_type).finish()
    }
}

impl Import {
    /// Names memory by a file descriptor: `OPAQUE_FD` or `DMA_BUF_EXT`. The descriptor stays the
    /// caller's; the driver is given duplicates.
    ///
    /// # Safety
    ///
    /// - Until the pool that has it is gone, or the call that is given it has returned, `fd`
    ///   stays open.
    /// - It is of `handle_type`. If that is opaque, a device of the same driver exported it (the
    ///   UUIDs of device and driver are the same), and every block that is ordered with this has
    ///   the size, the memory type and, if there is one, the dedicated resource of that one.
    /// - Every buffer and image that is bound to the memory was made with this type of handle in
    ///   its create info's chain.
    /// - While the host writes the memory through an allocator, nobody elsewhere accesses that
    ///   range, and while the host reads it nobody elsewhere writes it.
    #[must_use]
    pub unsafe fn fd(fd: BorrowedFd<'_>, handle_type: vk::ExternalMemoryHandleTypeFlags) -> Self {
        Self { fd: fd.as_raw_fd(), handle_type }
    }

    fn duplicate(self) -> Result<OwnedFd, ExternalError> {
        // SAFETY: `Import::fd`'s caller promises that it stays open while an order can have it.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        fd.try_clone_to_owned().map_err(|error| ExternalError::system(&error))
    }

    /// How many bytes there are, where the system can say.
    fn room(self) -> Result<Option<u64>, ExternalError> {
        let mut file = File::from(self.duplicate()?);
        Ok(file.seek(SeekFrom::End(0)).ok())
    }
}

/// One order for memory from elsewhere: the driver owns the descriptor when it has given the block,
/// and not before.
pub(crate) struct Attempt {
    /// None once it is the driver's.
    fd: Option<OwnedFd>,
    import: Import,
    info: vk::ImportMemoryFdInfoKHR<'static>,
}

impl Attempt {
    pub fn new(import: Import) -> Result<Self, ExternalError> {
        let fd = import.duplicate()?;
        let info =
            vk::ImportMemoryFdInfoKHR::default().handle_type(import.handle_type).fd(fd.as_raw_fd());
        Ok(Self { fd: Some(fd), import, info })
    }

    pub const fn info(&mut self) -> &mut vk::ImportMemoryFdInfoKHR<'static> {
        &mut self.info
    }

    /// The driver has given the block.
    pub fn succeed(mut self) {
        self.give_up();
    }

    /// Leaves the descriptor open, for it is not ours.
    fn give_up(&mut self) {
        let _not_ours = self.fd.take().map(IntoRawFd::into_raw_fd);
    }
}

/// Vulkan leaves the descriptor of a block that was refused to the caller, and yet some drivers
/// have closed it: its number may be another file's, which must stay open.
impl Drop for Attempt {
    fn drop(&mut self) {
        let is_ours = |fd: &OwnedFd| {
            let found = identity(fd.as_raw_fd());
            found.is_some() && found == identity(self.import.fd)
        };
        if !self.fd.as_ref().is_some_and(is_ours) {
            self.give_up();
        }
    }
}

/// What tells one file from another; nothing when the number is no open file's.
fn identity(fd: RawFd) -> Option<(u64, u64)> {
    // SAFETY: Nothing is closed, and the system answers for any number.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Vulkan {
    /// Returns a descriptor by which others get a block that was ordered for it, as `OPAQUE_FD` or
    /// `DMA_BUF_EXT`. It is the caller's: each call gives a new one, and while one is open, or
    /// imported, the memory stays even when the block is freed.
    ///
    /// It is the whole block's; where an allocation begins in it is its
    /// [`offset`](polder_device::Allocation::offset).
    ///
    /// # Errors
    ///
    /// [`ExternalError`]: the type of handle, its feature, or a block that was not ordered for it.
    pub fn memory_fd(
        &self,
        memory: vk::DeviceMemory,
        handle_type: vk::ExternalMemoryHandleTypeFlags,
    ) -> Result<OwnedFd, ExternalError> {
        let Functions(functions) = self.functions_for(handle_type)?;
        let export = self.blocks().with(memory, |block, _| {
            expect_exported(block, handle_type)?;
            let info = vk::MemoryGetFdInfoKHR::default().memory(memory).handle_type(handle_type);
            // SAFETY: The block lives, for its entry is there and we hold it, and was ordered for
            // this type of handle; the function is there, for the feature is on.
            let fd = unsafe { functions.get_memory_fd(&info) }.map_err(device_error)?;
            // SAFETY: The driver has just opened it, and says that it is the caller's.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        });
        export.unwrap_or(Err(ExternalError::NoBlock))
    }

    /// Returns a bit for each memory type as which `size` bytes of memory from elsewhere can be
    /// imported; of an opaque handle that is every type that this device may use, for Vulkan does
    /// not ask.
    ///
    /// # Errors
    ///
    /// [`ExternalError`]: the type of handle, its feature, its size, or a handle that the driver
    /// does not know.
    pub fn importable_types(&self, import: Import, size: u64) -> Result<u32, ExternalError> {
        let Functions(functions) = self.functions_for(import.handle_type)?;
        if import.handle_type == OPAQUE {
            return Ok(self.usable_types());
        }
        if let Some(room) = import.room()?
            && size > room
        {
            return Err(ExternalError::TooLarge { size, room });
        }
        let mut answer = vk::MemoryFdPropertiesKHR::default();
        // SAFETY: `Import::fd`'s caller promises an open descriptor of this type, which is not the
        // opaque one; the function is there, for the feature is on.
        let asked = unsafe {
            functions.get_memory_fd_properties(import.handle_type, import.fd, &mut answer)
        };
        asked.map_err(device_error)?;
        Ok(answer.memory_type_bits & self.usable_types())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn attempt(fd: &OwnedFd) -> Attempt {
        // SAFETY: It stays open, and no driver is given it.
        Attempt::new(unsafe { Import::fd(fd.as_fd(), OPAQUE) }).unwrap()
    }

    /// One test, for the numbers of descriptors are the process's.
    #[test]
    fn a_duplicate_is_closed_unless_a_driver_has_it_or_closed_it() {
        let (pipe, writer) = std::io::pipe().unwrap();
        let pipe = OwnedFd::from(pipe);
        let ours = identity(pipe.as_raw_fd());
        assert!(ours.is_some());

        let refused = attempt(&pipe);
        let number = refused.info.fd;
        assert_eq!(identity(number), ours);
        drop(refused);
        assert_ne!(identity(number), ours, "what was refused is closed");

        let taken = attempt(&pipe);
        let number = taken.info.fd;
        taken.succeed();
        assert_eq!(identity(number), ours, "what the driver has stays open");
        // SAFETY: `succeed` has given it up, and here the test is the driver.
        drop(unsafe { OwnedFd::from_raw_fd(number) });

        let closed = attempt(&pipe);
        let number = closed.info.fd;
        // SAFETY: Drivers do this to what they refuse; `closed` looks before it closes.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
        let other = File::open("/dev/null").unwrap();
        let is_reused = other.as_raw_fd() == number;
        drop(closed);
        assert!(other.metadata().is_ok(), "another file stays open, reused: {is_reused}");
        assert_eq!(identity(pipe.as_raw_fd()), ours);
        drop(writer);
    }
}
