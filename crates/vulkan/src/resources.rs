//! Buffers and images of a Vulkan device.

use crate::error::device_error;
use crate::features::Features;
use crate::modifier;
use crate::vulkan::Vulkan;
use ash::{khr, vk};
use core::num::NonZeroU64;
use polder_device::ranges::Divisible;
use polder_device::{
    DedicatedWish, Device, DeviceError, Requirements, Resource, Resources, Tiling, UsedBy,
};

/// The two questions that also tell the driver's wish for a block alone.
pub(crate) struct Requirements2 {
    buffer: vk::PFN_vkGetBufferMemoryRequirements2,
    image: vk::PFN_vkGetImageMemoryRequirements2,
}

impl Requirements2 {
    /// Takes them from Vulkan 1.1, or from the extensions where `features` names these.
    pub fn load(
        instance: &ash::Instance,
        device: &ash::Device,
        features: &Features,
    ) -> Option<Self> {
        if features.is_1_1() {
            let table = device.fp_v1_1();
            let buffer = table.get_buffer_memory_requirements2;
            return Some(Self { buffer, image: table.get_image_memory_requirements2 });
        }
        features.dedicated_allocation.then(|| {
            let extension = khr::get_memory_requirements2::Device::new(instance, device);
            let buffer = extension.fp().get_buffer_memory_requirements2_khr;
            Self { buffer, image: extension.fp().get_image_memory_requirements2_khr }
        })
    }

    /// # Safety
    ///
    /// `device` is the one that the functions were loaded from; `resource` is its and live.
    unsafe fn ask(
        &self,
        device: vk::Device,
        resource: Resource<vk::Buffer, vk::Image>,
    ) -> (vk::MemoryRequirements, DedicatedWish) {
        let mut wish = vk::MemoryDedicatedRequirements::default();
        let mut answer = vk::MemoryRequirements2::default().push_next(&mut wish);
        match resource {
            Resource::Buffer(buffer) => {
                let info = vk::BufferMemoryRequirementsInfo2::default().buffer(buffer);
                // SAFETY: The caller promises a live buffer of this device; the chained structure
                // is part of Vulkan 1.1 and of the second extension.
                unsafe { (self.buffer)(device, &info, &mut answer) };
            }
            Resource::Image(image) => {
                let info = vk::ImageMemoryRequirementsInfo2::default().image(image);
                // SAFETY: As above, for an image; `create_image` makes none that is disjoint.
                unsafe { (self.image)(device, &info, &mut answer) };
            }
        }
        let requirements = answer.memory_requirements;
        (requirements, dedicated_wish(&wish))
    }
}

fn dedicated_wish(wish: &vk::MemoryDedicatedRequirements<'_>) -> DedicatedWish {
    match (wish.requires_dedicated_allocation, wish.prefers_dedicated_allocation) {
        (vk::FALSE, vk::FALSE) => DedicatedWish::None,
        (vk::FALSE, _) => DedicatedWish::Preferred,
        _ => DedicatedWish::Required,
    }
}

impl Vulkan {
    /// Refuses buffers that the heap's memory cannot back.
    fn check_buffer(&self, info: &vk::BufferCreateInfo<'_>) -> Result<(), DeviceError> {
        let invalid = |rule| Err(DeviceError::Invalid { rule });
        if info.flags.contains(vk::BufferCreateFlags::SPARSE_BINDING) {
            return invalid("a sparse buffer is bound on a queue, not here");
        }
        if self.needs_device_address(info) && !self.features().device_address {
            return invalid("a buffer's device address wants the feature `device_address`");
        }
        Ok(())
    }

    /// Refuses images that one piece of memory cannot back.
    fn check_image(&self, info: &vk::ImageCreateInfo<'_>) -> Result<(), DeviceError> {
        let invalid = |rule| Err(DeviceError::Invalid { rule });
        if info.flags.contains(vk::ImageCreateFlags::SPARSE_BINDING) {
            return invalid("a sparse image is bound on a queue, not here");
        }
        if info.flags.contains(vk::ImageCreateFlags::DISJOINT) {
            return invalid("the planes of a disjoint image are bound one by one, not here");
        }
        let granularity = self.properties().limits.granularity;
        if granularity > 1 && modifier::tiling(info).is_none() {
            return invalid("DRM format modifiers to choose from are all linear or all not");
        }
        Ok(())
    }
}

// SAFETY: The needs are those that the driver itself states.
unsafe impl Resources for Vulkan {
    type BufferInfo<'a> = vk::BufferCreateInfo<'a>;
    type ImageInfo<'a> = vk::ImageCreateInfo<'a>;

    fn create_buffer(&self, info: &vk::BufferCreateInfo<'_>) -> Result<vk::Buffer, DeviceError> {
        self.check_buffer(info)?;
        // SAFETY: `Vulkan::new`'s caller promises a live device and valid create infos.
        unsafe { self.ash().create_buffer(info, None) }.map_err(device_error)
    }

    fn create_image(&self, info: &vk::ImageCreateInfo<'_>) -> Result<vk::Image, DeviceError> {
        self.check_image(info)?;
        // SAFETY: `Vulkan::new`'s caller promises a live device and valid create infos.
        unsafe { self.ash().create_image(info, None) }.map_err(device_error)
    }

    fn needs_device_address(&self, info: &vk::BufferCreateInfo<'_>) -> bool {
        info.usage.contains(vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS)
    }

    fn buffer_used_by(&self, info: &vk::BufferCreateInfo<'_>) -> UsedBy {
        let transfers = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
        used_by(info.usage.is_empty(), transfers.contains(info.usage))
    }

    fn image_used_by(&self, info: &vk::ImageCreateInfo<'_>) -> UsedBy {
        let transfers = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
        used_by(info.usage.is_empty(), transfers.contains(info.usage))
    }

    fn tiling(&self, info: &vk::ImageCreateInfo<'_>) -> Tiling {
        // Where the driver chooses, `create_image` has seen to it that nothing hangs on it.
        modifier::tiling(info).unwrap_or(Tiling::Optimal)
    }

    unsafe fn requirements(&self, resource: Resource<vk::Buffer, vk::Image>) -> Requirements {
        let (answer, dedicated) = match self.requirements2() {
            // SAFETY: The functions were loaded from this device; the caller promises that the
            // resource is its and live.
            Some(requirements2) => unsafe { requirements2.ask(self.ash().handle(), resource) },
            // SAFETY: The caller promises that the resource is this device's and live.
            None => (unsafe { plain_requirements(self.ash(), resource) }, DedicatedWish::None),
        };
        Requirements {
            size: answer.size,
            align: answer.alignment,
            memory_types: answer.memory_type_bits & self.usable_types(),
            dedicated,
        }
    }

    unsafe fn bind(
        &self,
        resource: Resource<vk::Buffer, vk::Image>,
        memory: vk::DeviceMemory,
        offset: u64,
    ) -> Result<(), DeviceError> {
        let bound = match resource {
            // SAFETY: The caller promises that both are this device's and live, that the buffer
            // has no memory, and that this memory satisfies its requirements.
            Resource::Buffer(buffer) => unsafe {
                self.ash().bind_buffer_memory(buffer, memory, offset)
            },
            // SAFETY: As above, for an image.
            Resource::Image(image) => unsafe {
                self.ash().bind_image_memory(image, memory, offset)
            },
        };
        bound.map_err(device_error)
    }

    unsafe fn destroy(&self, resource: Resource<vk::Buffer, vk::Image>) {
        match resource {
            // SAFETY: The caller promises that it is this device's, live and unused.
            Resource::Buffer(buffer) => unsafe { self.ash().destroy_buffer(buffer, None) },
            // SAFETY: As above, for an image.
            Resource::Image(image) => unsafe { self.ash().destroy_image(image, None) },
        }
    }
}

/// What drivers want of vertex data, whose attributes are at most this long.
const VERTEX_ALIGN: u64 = 16;
/// What Vulkan wants of acceleration structures and micromaps, and the most that a device may want
/// of descriptors (`descriptorBufferOffsetAlignment`).
const MOST_ALIGN: u64 = 256;
/// The most that `shaderGroupBaseAlignment` may be.
const SHADER_BINDING_TABLE_ALIGN: u64 = 64;
/// What Vulkan wants of indices, and of the parameters of indirect commands.
const INDEX_ALIGN: u64 = 4;

// SAFETY: The offsets that Vulkan's valid usage and the device's limits ask for, by usage; what is
// not named gets the most that any of them asks for, but for video, whose buffers' needs a profile
// says: that is for the user, as `Vulkan::new` says of create infos.
unsafe impl Divisible for Vulkan {
    type Usage = vk::BufferUsageFlags;

    fn buffer_info(&self, size: u64, usage: Self::Usage) -> vk::BufferCreateInfo<'static> {
        vk::BufferCreateInfo::default().size(size).usage(usage)
    }

    fn range_align(&self, usage: Self::Usage) -> u64 {
        use vk::BufferUsageFlags as Usage;
        let limits = self.limits();
        let aligns = [
            (Usage::UNIFORM_BUFFER, limits.min_uniform_buffer_offset_alignment),
            (Usage::STORAGE_BUFFER, limits.min_storage_buffer_offset_alignment),
            (
                Usage::UNIFORM_TEXEL_BUFFER | Usage::STORAGE_TEXEL_BUFFER,
                limits.min_texel_buffer_offset_alignment,
            ),
            (
                Usage::TRANSFER_SRC | Usage::TRANSFER_DST,
                limits.optimal_buffer_copy_offset_alignment,
            ),
            (Usage::INDEX_BUFFER | Usage::INDIRECT_BUFFER, INDEX_ALIGN),
            (Usage::VERTEX_BUFFER | Usage::SHADER_DEVICE_ADDRESS, VERTEX_ALIGN),
            (Usage::ACCELERATION_STRUCTURE_BUILD_INPUT_READ_ONLY_KHR, VERTEX_ALIGN),
            (Usage::SHADER_BINDING_TABLE_KHR, SHADER_BINDING_TABLE_ALIGN),
        ];
        let known = aligns.iter().fold(Usage::empty(), |known, &(bits, _)| known | bits);
        let rest = if known.contains(usage) { INDEX_ALIGN } else { MOST_ALIGN };
        let wanted = aligns.into_iter().filter(|(bits, _)| usage.intersects(*bits));
        wanted.map(|(_, align)| align).fold(rest, u64::max)
    }

    unsafe fn device_address(&self, buffer: vk::Buffer, usage: Self::Usage) -> Option<NonZeroU64> {
        let ask =
            self.ask_address().filter(|_| usage.contains(Self::Usage::SHADER_DEVICE_ADDRESS))?;
        let info = vk::BufferDeviceAddressInfo::default().buffer(buffer);
        // SAFETY: The caller promises a live and bound buffer of this device, made for an address;
        // the function was loaded from the device, with the feature switched on.
        NonZeroU64::new(unsafe { ask(self.ash().handle(), &info) })
    }
}

/// The question for a buffer's device address, where the feature is switched on: by Vulkan 1.2, or
/// the extension.
pub(crate) fn load_address(
    instance: &ash::Instance,
    device: &ash::Device,
    features: &Features,
) -> Option<vk::PFN_vkGetBufferDeviceAddress> {
    features.device_address.then(|| {
        if features.api_version >= vk::API_VERSION_1_2 {
            return device.fp_v1_2().get_buffer_device_address;
        }
        let extension = khr::buffer_device_address::Device::new(instance, device);
        extension.fp().get_buffer_device_address_khr
    })
}

/// Usage flags that stand in a chained structure leave the create info's own empty.
const fn used_by(is_unknown: bool, is_transfers: bool) -> UsedBy {
    match (is_unknown, is_transfers) {
        (true, _) => UsedBy::Unknown,
        (false, true) => UsedBy::Transfers,
        (false, false) => UsedBy::Device,
    }
}

/// Asks as in Vulkan 1.0, where no driver tells a wish.
///
/// # Safety
///
/// `resource` is of `device` and live.
unsafe fn plain_requirements(
    device: &ash::Device,
    resource: Resource<vk::Buffer, vk::Image>,
) -> vk::MemoryRequirements {
    match resource {
        // SAFETY: The caller promises a live buffer of this device.
        Resource::Buffer(buffer) => unsafe { device.get_buffer_memory_requirements(buffer) },
        // SAFETY: The caller promises a live image of this device.
        Resource::Image(image) => unsafe { device.get_image_memory_requirements(image) },
    }
}
