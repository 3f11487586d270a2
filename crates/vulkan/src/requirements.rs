//! What buffers and images need of their memory, as the driver says: of those that are there, and
//! of those that are yet to be made.

use crate::features::Features;
use ash::{khr, vk};
use polder_device::{DedicatedWish, Resource};

/// What a driver answers.
type Answer = (vk::MemoryRequirements, DedicatedWish);

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
    /// `device` is the one that the functions were loaded from; `resource` is its, live and not a
    /// disjoint image.
    pub unsafe fn ask(
        &self,
        device: vk::Device,
        resource: Resource<vk::Buffer, vk::Image>,
    ) -> Answer {
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
                // SAFETY: As above, for an image, which the caller promises is not disjoint.
                unsafe { (self.image)(device, &info, &mut answer) };
            }
        }
        let requirements = answer.memory_requirements;
        (requirements, dedicated_wish(&wish))
    }
}

/// The two questions that need no buffer and no image.
pub(crate) struct RequirementsByInfo {
    buffer: vk::PFN_vkGetDeviceBufferMemoryRequirements,
    image: vk::PFN_vkGetDeviceImageMemoryRequirements,
}

impl RequirementsByInfo {
    /// Takes them from Vulkan 1.3, or from the extension, where `features` names `maintenance4`.
    pub fn load(
        instance: &ash::Instance,
        device: &ash::Device,
        features: &Features,
    ) -> Option<Self> {
        features.maintenance4.then(|| {
            if features.api_version >= vk::API_VERSION_1_3 {
                let table = device.fp_v1_3();
                let buffer = table.get_device_buffer_memory_requirements;
                return Self { buffer, image: table.get_device_image_memory_requirements };
            }
            let extension = khr::maintenance4::Device::new(instance, device);
            let buffer = extension.fp().get_device_buffer_memory_requirements_khr;
            Self { buffer, image: extension.fp().get_device_image_memory_requirements_khr }
        })
    }

    /// # Safety
    ///
    /// `device` is the one that the functions were loaded from; a buffer could be made from `info`.
    pub unsafe fn of_buffer(&self, device: vk::Device, info: &vk::BufferCreateInfo<'_>) -> Answer {
        let mut wish = vk::MemoryDedicatedRequirements::default();
        let mut answer = vk::MemoryRequirements2::default().push_next(&mut wish);
        let info = vk::DeviceBufferMemoryRequirements::default().create_info(info);
        // SAFETY: The caller promises a valid create info; the chained structure is part of
        // Vulkan 1.1, which the feature stands on.
        unsafe { (self.buffer)(device, &info, &mut answer) };
        let requirements = answer.memory_requirements;
        (requirements, dedicated_wish(&wish))
    }

    /// # Safety
    ///
    /// As for [`of_buffer`](Self::of_buffer), with an image that is not disjoint.
    pub unsafe fn of_image(&self, device: vk::Device, info: &vk::ImageCreateInfo<'_>) -> Answer {
        let mut wish = vk::MemoryDedicatedRequirements::default();
        let mut answer = vk::MemoryRequirements2::default().push_next(&mut wish);
        let info = vk::DeviceImageMemoryRequirements::default().create_info(info);
        // SAFETY: As above.
        unsafe { (self.image)(device, &info, &mut answer) };
        let requirements = answer.memory_requirements;
        (requirements, dedicated_wish(&wish))
    }
}

/// Asks as in Vulkan 1.0, where no driver tells a wish.
///
/// # Safety
///
/// `resource` is of `device`, live and not a disjoint image.
pub(crate) unsafe fn plain_requirements(
    device: &ash::Device,
    resource: Resource<vk::Buffer, vk::Image>,
) -> vk::MemoryRequirements {
    match resource {
        // SAFETY: The caller promises a live buffer of this device.
        Resource::Buffer(buffer) => unsafe { device.get_buffer_memory_requirements(buffer) },
        // SAFETY: The caller promises a live image of this device, not disjoint.
        Resource::Image(image) => unsafe { device.get_image_memory_requirements(image) },
    }
}

fn dedicated_wish(wish: &vk::MemoryDedicatedRequirements<'_>) -> DedicatedWish {
    match (wish.requires_dedicated_allocation, wish.prefers_dedicated_allocation) {
        (vk::FALSE, vk::FALSE) => DedicatedWish::None,
        (vk::FALSE, _) => DedicatedWish::Preferred,
        _ => DedicatedWish::Required,
    }
}
