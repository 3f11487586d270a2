//! How a [`Vulkan`] is made when more is to be said than [`Vulkan::new`] takes.

use crate::blocks::BlockCallbacks;
use crate::features::Features;
use crate::vulkan::Vulkan;
use ash::{khr, vk};

/// Makes a [`Vulkan`]. Nothing is asked of the device before [`build`](Self::build).
///
/// ```no_run
/// use ash::vk;
/// use polder_vulkan::{Block, BlockCallbacks, Builder, Features, Vulkan};
///
/// struct Printed;
///
/// impl BlockCallbacks for Printed {
///     fn allocated(&self, block: &Block) {
///         println!("{} bytes more", block.size);
///     }
///     fn freeing(&self, block: &Block) {
///         println!("{} bytes less", block.size);
///     }
/// }
///
/// # fn make(
/// #     instance: &ash::Instance,
/// #     physical_device: vk::PhysicalDevice,
/// #     device: &ash::Device,
/// #     features: Features,
/// # ) -> Vulkan {
/// let builder = Builder::new(instance, physical_device, device, features)
///     .block_callbacks(Box::new(Printed))
///     .exports(&[vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD]);
/// // SAFETY: The handles belong together and outlive the answer, and `features` names what was
/// // enabled; this driver exports blocks of its first memory type so.
/// unsafe { builder.build() }
/// # }
/// ```
#[must_use = "it makes nothing until `build`"]
pub struct Builder<'a> {
    pub(crate) instance: &'a ash::Instance,
    pub(crate) physical_device: vk::PhysicalDevice,
    pub(crate) device: &'a ash::Device,
    pub(crate) features: Features,
    pub(crate) group: Option<&'a [vk::PhysicalDevice]>,
    pub(crate) host: Option<vk::AllocationCallbacks<'static>>,
    pub(crate) block_callbacks: Option<Box<dyn BlockCallbacks>>,
    pub(crate) exports: Vec<vk::ExternalMemoryHandleTypeFlags>,
    pub(crate) properties2: Option<khr::get_physical_device_properties2::Instance>,
}

impl<'a> Builder<'a> {
    /// Begins with what [`Vulkan::new`] takes.
    pub const fn new(
        instance: &'a ash::Instance,
        physical_device: vk::PhysicalDevice,
        device: &'a ash::Device,
        features: Features,
    ) -> Self {
        Self {
            instance,
            physical_device,
            device,
            features,
            group: None,
            host: None,
            block_callbacks: None,
            exports: Vec::new(),
            properties2: None,
        }
    }

    /// Says from which group of physical devices the device was made
    /// (`VkDeviceGroupDeviceCreateInfo`), in their order: shared blocks are on all of them where
    /// each has its own of the heap, others where [`Wish::device_mask`](polder_device::Wish) or a
    /// pool's rules say. Budgets are asked of each.
    ///
    /// On a group without `subsetAllocation` the driver may take memory of all devices whatever the
    /// mask; then a mask saves nothing, and what is held on a device is more than is counted. The
    /// pages of sparse resources are bound on the first device alone.
    pub const fn group(mut self, physical_devices: &'a [vk::PhysicalDevice]) -> Self {
        self.group = Some(physical_devices);
        self
    }

    /// Lets the driver take the host memory for blocks, buffers and images by the program's own
    /// functions. Buffers and images that the program makes itself, and hands over to be destroyed,
    /// are made with the same.
    pub const fn allocation_callbacks(mut self, host: vk::AllocationCallbacks<'static>) -> Self {
        self.host = Some(host);
        self
    }

    /// Has every block told that comes from the driver and goes back to it.
    pub fn block_callbacks(mut self, callbacks: Box<dyn BlockCallbacks>) -> Self {
        self.block_callbacks = Some(callbacks);
        self
    }

    /// Lets every block of a memory type be exported by the handles that stand at its number;
    /// types beyond the end by none. A block for which something else is said
    /// ([`Extra::export`](crate::Extra::export), or in its chain) keeps to that, and one that is
    /// imported is exported only when that is said.
    pub fn exports(mut self, by_type: &[vk::ExternalMemoryHandleTypeFlags]) -> Self {
        self.exports = by_type.to_vec();
        self
    }

    /// Names the functions of the instance extension `VK_KHR_get_physical_device_properties2`, by
    /// which budgets are asked for beneath Vulkan 1.1 ([`Features::memory_budget`]).
    pub fn properties2(
        mut self,
        functions: &khr::get_physical_device_properties2::Instance,
    ) -> Self {
        self.properties2 = Some(functions.clone());
        self
    }

    /// Makes the heap's view of the device; asks it for its properties and takes nothing from it.
    ///
    /// # Panics
    ///
    /// When a group has no device, more than 32, or several without Vulkan 1.1.
    ///
    /// # Safety
    ///
    /// Beside all that [`Vulkan::new`] asks for:
    ///
    /// - The allocation callbacks are valid, may be called from any thread, and stay so until the
    ///   `Vulkan`, and whatever owns it, is dropped. What they are told of as `p_user_data` lives
    ///   as long.
    /// - Handles named for a memory type are such as the device exports together, of each block of
    ///   that type that is taken; every buffer and image that comes to lie there was made with one
    ///   of them in its create info's chain (`VkExternalMemoryBufferCreateInfo` and its sister).
    /// - The device was made from the group that is named, if one is, and its first physical device
    ///   is the one that [`new`](Self::new) was given.
    /// - The functions of the instance extension were loaded from `instance`, which has it.
    #[must_use]
    pub unsafe fn build(self) -> Vulkan {
        // SAFETY: The caller promises what `Vulkan::new` and this ask for.
        unsafe { Vulkan::of(self) }
    }
}
