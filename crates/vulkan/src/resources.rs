//! Buffers and images of a Vulkan device.

use crate::chain;
use crate::error::device_error;
use crate::features::Features;
use crate::modifier;
use crate::requirements::plain_requirements;
use crate::vulkan::Vulkan;
use ash::{khr, vk};
use core::num::NonZeroU64;
use polder_device::ranges::Divisible;
use polder_device::{
    DedicatedWish, Device, DeviceError, Requirements, Resource, Resources, Tiling, UsedBy,
};

impl Vulkan {
    /// Refuses buffers that the heap's memory cannot back.
    fn check_buffer(&self, info: &vk::BufferCreateInfo<'_>) -> Result<(), DeviceError> {
        let invalid = |rule| Err(DeviceError::Invalid { rule });
        if info.flags.contains(vk::BufferCreateFlags::SPARSE_BINDING) {
            return invalid("a sparse buffer is bound on a queue, not here");
        }
        if info.size > self.buffer_size_max() {
            return invalid("a buffer is at most as large as `maintenance4` says");
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

    /// A driver's answer, in the heap's words.
    fn requirements_of(
        &self,
        (answer, dedicated): (vk::MemoryRequirements, DedicatedWish),
    ) -> Requirements {
        Requirements {
            size: answer.size,
            align: answer.alignment,
            memory_types: answer.memory_type_bits & self.usable_types(),
            dedicated,
        }
    }
}

// SAFETY: The needs are those that the driver itself states.
unsafe impl Resources for Vulkan {
    type BufferInfo<'a> = vk::BufferCreateInfo<'a>;
    type ImageInfo<'a> = vk::ImageCreateInfo<'a>;

    fn create_buffer(&self, info: &vk::BufferCreateInfo<'_>) -> Result<vk::Buffer, DeviceError> {
        self.check_buffer(info)?;
        // SAFETY: `Vulkan::new`'s caller promises a live device and valid create infos.
        unsafe { self.ash().create_buffer(info, self.host()) }.map_err(device_error)
    }

    fn create_image(&self, info: &vk::ImageCreateInfo<'_>) -> Result<vk::Image, DeviceError> {
        self.check_image(info)?;
        // SAFETY: `Vulkan::new`'s caller promises a live device and valid create infos.
        unsafe { self.ash().create_image(info, self.host()) }.map_err(device_error)
    }

    fn needs_device_address(&self, info: &vk::BufferCreateInfo<'_>) -> bool {
        usage(info).contains(vk::BufferUsageFlags2KHR::SHADER_DEVICE_ADDRESS)
    }

    fn buffer_used_by(&self, info: &vk::BufferCreateInfo<'_>) -> UsedBy {
        let usage = usage(info);
        used_by(usage.is_empty(), TRANSFERS.contains(usage))
    }

    fn image_used_by(&self, info: &vk::ImageCreateInfo<'_>) -> UsedBy {
        let transfers = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
        used_by(info.usage.is_empty(), transfers.contains(info.usage))
    }

    fn buffer_usage(&self, info: &vk::BufferCreateInfo<'_>) -> u64 {
        usage(info).as_raw()
    }

    fn image_usage(&self, info: &vk::ImageCreateInfo<'_>) -> u64 {
        info.usage.as_raw().into()
    }

    fn tiling(&self, info: &vk::ImageCreateInfo<'_>) -> Tiling {
        // Where the driver chooses, `create_image` has seen to it that nothing hangs on it.
        modifier::tiling(info).unwrap_or(Tiling::Optimal)
    }

    unsafe fn requirements(&self, resource: Resource<vk::Buffer, vk::Image>) -> Requirements {
        self.requirements_of(match self.requirements2() {
            // SAFETY: The functions were loaded from this device; the caller promises that the
            // resource is its, live and no disjoint image.
            Some(requirements2) => unsafe { requirements2.ask(self.ash().handle(), resource) },
            // SAFETY: The caller promises this device's resource, live and no disjoint image.
            None => (unsafe { plain_requirements(self.ash(), resource) }, DedicatedWish::None),
        })
    }

    fn buffer_requirements(&self, info: &vk::BufferCreateInfo<'_>) -> Option<Requirements> {
        let ask = self.requirements_by_info().filter(|_| self.check_buffer(info).is_ok())?;
        // SAFETY: The functions were loaded from this device; `Vulkan::new`'s caller promises
        // valid create infos.
        Some(self.requirements_of(unsafe { ask.of_buffer(self.ash().handle(), info) }))
    }

    fn image_requirements(&self, info: &vk::ImageCreateInfo<'_>) -> Option<Requirements> {
        // Vulkan does not take the question of an image whose modifier is named.
        let may_ask = info.tiling != vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT;
        let may_ask = may_ask && self.check_image(info).is_ok();
        let ask = self.requirements_by_info().filter(|_| may_ask)?;
        // SAFETY: As above; an image that is disjoint was just refused.
        Some(self.requirements_of(unsafe { ask.of_image(self.ash().handle(), info) }))
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
            Resource::Buffer(buffer) => unsafe { self.ash().destroy_buffer(buffer, self.host()) },
            // SAFETY: As above, for an image.
            Resource::Image(image) => unsafe { self.ash().destroy_image(image, self.host()) },
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

/// What copies need, and copies alone.
pub(crate) const TRANSFERS: vk::BufferUsageFlags2KHR = vk::BufferUsageFlags2KHR::from_raw(
    vk::BufferUsageFlags2KHR::TRANSFER_SRC.as_raw()
        | vk::BufferUsageFlags2KHR::TRANSFER_DST.as_raw(),
);

/// What a buffer is for. Flags in the chain of `maintenance5` stand in place of the info's own;
/// the low ones mean the same.
pub(crate) fn usage(info: &vk::BufferCreateInfo<'_>) -> vk::BufferUsageFlags2KHR {
    type Flags2<'a> = vk::BufferUsageFlags2CreateInfoKHR<'a>;
    // SAFETY: A create info that is valid usage, as `Vulkan::new`'s caller promises, has a chain
    // of live structures.
    let flags2 = unsafe { chain::find::<Flags2<'_>>(info.p_next) };
    let own = || vk::BufferUsageFlags2KHR::from_raw(info.usage.as_raw().into());
    flags2.map_or_else(own, |flags2| flags2.usage)
}

/// Flags of a kind that is not known here leave what is known empty.
const fn used_by(is_unknown: bool, is_transfers: bool) -> UsedBy {
    match (is_unknown, is_transfers) {
        (true, _) => UsedBy::Unknown,
        (false, true) => UsedBy::Transfers,
        (false, false) => UsedBy::Device,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_flags_in_the_chain_stand_for_the_info_s_own() {
        let address = vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS;
        let info = vk::BufferCreateInfo::default().usage(address);
        assert!(usage(&info) == vk::BufferUsageFlags2KHR::SHADER_DEVICE_ADDRESS);

        let mut flags2 = vk::BufferUsageFlags2CreateInfoKHR::default().usage(TRANSFERS);
        let mut last = vk::ExternalMemoryBufferCreateInfo::default();
        let info = info.push_next(&mut flags2).push_next(&mut last);
        assert!(usage(&info) == TRANSFERS);
    }
}
