//! What Vulkan can be told of a block that other devices know nothing of.

use ash::vk;
use core::ffi::c_void;
use core::fmt;
use core::ptr::NonNull;

/// What else is said of a pool's blocks, or of a block for one allocation.
///
/// ```
/// use ash::vk;
/// use polder_vulkan::Extra;
/// let extra = Extra { export: vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD, ..Extra::default() };
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Extra {
    /// The handles by which other processes and interfaces may get the block, if any. Wants Vulkan
    /// 1.1 or `VK_KHR_external_memory`, and the extension of the handle.
    pub export: vk::ExternalMemoryHandleTypeFlags,
    /// Structures of the user's own that extend `VkMemoryAllocateInfo`.
    pub chain: Option<Chain>,
}

// By hand, for the flags say what they are only with a feature of ash's.
impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let export = self.export.as_raw();
        f.debug_struct("Extra").field("export", &export).field("chain", &self.chain).finish()
    }
}

/// A chain of structures, the first one's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(NonNull<c_void>);

// SAFETY: The chain is read alone, and whoever makes a `Chain` promises that it stays as it is.
unsafe impl Send for Chain {}
// SAFETY: As above.
unsafe impl Sync for Chain {}

impl Chain {
    /// Names a chain by its first structure.
    ///
    /// # Safety
    ///
    /// - Until the pool that has it is gone, or the call that is given it has returned, the
    ///   structures live and nobody writes them.
    /// - Each of them may extend `VkMemoryAllocateInfo`, its feature is enabled on the device, and
    ///   none is a structure that this crate chains: those for a dedicated block, for the device
    ///   address, for the priority and, beside [`Extra::export`], for the export.
    /// - Every block that is ordered with them is valid usage with them.
    #[must_use]
    pub const unsafe fn new(first: NonNull<c_void>) -> Self {
        Self(first)
    }

    pub(crate) const fn first(self) -> *const c_void {
        self.0.as_ptr()
    }
}
