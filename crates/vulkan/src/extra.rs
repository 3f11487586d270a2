//! What Vulkan can be told of a block that other devices know nothing of.

use crate::chain;
use crate::external::Import;
use ash::vk;
use core::ffi::c_void;
use core::fmt;
use core::ptr::{self, NonNull};

/// What else is said of a pool's blocks, or of a block for one allocation.
///
/// ```
/// use ash::vk;
/// use polder_vulkan::Extra;
/// let extra = Extra { export: vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD, ..Extra::default() };
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Extra {
    /// The handles by which other processes and interfaces may get the block, if any, in place of
    /// those that [`Builder::exports`](crate::Builder::exports) names for its memory type. The
    /// order is refused without the handle's feature in [`Features`](crate::Features) or, of
    /// handles that have none there, without Vulkan 1.1; the rest is promised to
    /// [`Vulkan::new`](crate::Vulkan::new).
    pub export: vk::ExternalMemoryHandleTypeFlags,
    /// The memory of another device, process or interface that the block is to be.
    pub import: Option<Import>,
    /// Structures of the user's own that extend `VkMemoryAllocateInfo`.
    pub chain: Option<Chain>,
}

// By hand, for the flags say what they are only with a feature of ash's.
impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let export = self.export.as_raw();
        let mut debug = f.debug_struct("Extra");
        debug.field("export", &export).field("import", &self.import);
        debug.field("chain", &self.chain).finish()
    }
}

/// The handles by which a block can be had.
#[derive(Clone, Copy)]
pub(crate) struct Exports {
    /// Those that the order has yet to be told of.
    pub untold: vk::ExternalMemoryHandleTypeFlags,
    /// All of them.
    pub all: vk::ExternalMemoryHandleTypeFlags,
}

impl Extra {
    /// The handles by which a block can be had, of a memory type whose blocks are exported as
    /// `by_type` says. That word is not for memory that comes from elsewhere: what may be done
    /// with it is its exporter's to know.
    pub(crate) fn exports(&self, by_type: vk::ExternalMemoryHandleTypeFlags) -> Exports {
        let by_chain = self.chain.and_then(Chain::exports);
        let is_imported = self.import.is_some() || self.chain.is_some_and(Chain::imports);
        let untold = if self.export.is_empty() && by_chain.is_none() && !is_imported {
            by_type
        } else {
            self.export
        };
        Exports { untold, all: untold | by_chain.unwrap_or_default() }
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
    ///   address and mask, for the priority and, beside [`Extra::export`] and [`Extra::import`],
    ///   for the export and the import.
    /// - Every block that is ordered with them is valid usage with them. One order may become
    ///   several, while memory is short: what is good for one block alone, as an import of a file
    ///   descriptor is, belongs into [`Extra::import`].
    #[must_use]
    pub const unsafe fn new(first: NonNull<c_void>) -> Self {
        Self(first)
    }

    pub(crate) const fn first(self) -> *const c_void {
        self.0.as_ptr()
    }

    /// The handles by which the chain itself says that the block can be had.
    fn exports(self) -> Option<vk::ExternalMemoryHandleTypeFlags> {
        // SAFETY: `new`'s caller promises a chain that lives and stays as it is.
        let info = unsafe { chain::find::<vk::ExportMemoryAllocateInfo<'_>>(self.first()) };
        info.map(|info| info.handle_types)
    }

    /// Whether the chain says that the block comes from elsewhere.
    fn imports(self) -> bool {
        // SAFETY: As above.
        unsafe { chain::links(self.first()) }.any(|(_, kind)| IMPORTS.contains(&kind))
    }
}

/// The structures by which a block comes from elsewhere.
const IMPORTS: [vk::StructureType; 8] = [
    vk::StructureType::IMPORT_MEMORY_FD_INFO_KHR,
    vk::StructureType::IMPORT_MEMORY_WIN32_HANDLE_INFO_KHR,
    vk::StructureType::IMPORT_MEMORY_WIN32_HANDLE_INFO_NV,
    vk::StructureType::IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
    vk::StructureType::IMPORT_ANDROID_HARDWARE_BUFFER_INFO_ANDROID,
    vk::StructureType::IMPORT_MEMORY_ZIRCON_HANDLE_INFO_FUCHSIA,
    vk::StructureType::IMPORT_MEMORY_BUFFER_COLLECTION_FUCHSIA,
    vk::StructureType::IMPORT_SCREEN_BUFFER_INFO_QNX,
];

/// The address of the user's chain, or null.
pub(crate) fn first_of(chain: Option<Chain>) -> *const c_void {
    chain.map_or(ptr::null(), Chain::first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FD: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;
    const DMA_BUF: vk::ExternalMemoryHandleTypeFlags =
        vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
    const NONE: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::empty();

    /// What is told, and what is noted, of a block whose memory type is exported by `FD`.
    fn exports(extra: Extra) -> (u32, u32) {
        let Exports { untold, all } = extra.exports(FD);
        (untold.as_raw(), all.as_raw())
    }

    fn chained<T>(first: &T) -> Option<Chain> {
        // SAFETY: The tests keep their structures while they use the chain.
        Some(unsafe { Chain::new(NonNull::from(first).cast()) })
    }

    #[test]
    fn a_memory_type_is_exported_unless_more_was_said() {
        assert_eq!(exports(Extra::default()), (FD.as_raw(), FD.as_raw()));
        let extra = Extra { export: DMA_BUF, ..Extra::default() };
        assert_eq!(exports(extra), (DMA_BUF.as_raw(), DMA_BUF.as_raw()));
    }

    #[test]
    fn what_a_chain_says_of_export_is_not_said_twice() {
        let info = vk::ExportMemoryAllocateInfo::default().handle_types(DMA_BUF);
        let extra = Extra { chain: chained(&info), ..Extra::default() };
        assert_eq!(exports(extra), (NONE.as_raw(), DMA_BUF.as_raw()));
    }

    #[test]
    fn memory_from_elsewhere_is_exported_only_when_asked() {
        let import = vk::ImportMemoryHostPointerInfoEXT::default();
        let last = vk::MemoryOpaqueCaptureAddressAllocateInfo {
            p_next: (&raw const import).cast(),
            ..Default::default()
        };
        for chain in [chained(&import), chained(&last)] {
            let extra = Extra { chain, ..Extra::default() };
            assert_eq!(exports(extra), (NONE.as_raw(), NONE.as_raw()));
            let extra = Extra { chain, export: FD, ..Extra::default() };
            assert_eq!(exports(extra), (FD.as_raw(), FD.as_raw()));
        }
    }
}
