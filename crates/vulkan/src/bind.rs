//! Binding with a chain of the program's own.

use crate::error::device_error;
use crate::features::Features;
use crate::vulkan::Vulkan;
use ash::{khr, vk};
use core::slice;
use polder_device::factory::expect_place;
use polder_device::{Allocation, CreateError, DeviceError, Resource, Strategy};

/// The two calls that take a chain.
pub(crate) struct Bind2 {
    buffers: vk::PFN_vkBindBufferMemory2,
    images: vk::PFN_vkBindImageMemory2,
}

impl Bind2 {
    /// Takes them from Vulkan 1.1, or from the extension where `features` names it.
    pub fn load(
        instance: &ash::Instance,
        device: &ash::Device,
        features: &Features,
    ) -> Option<Self> {
        if features.is_1_1() {
            let table = device.fp_v1_1();
            let buffers = table.bind_buffer_memory2;
            return Some(Self { buffers, images: table.bind_image_memory2 });
        }
        features.bind_memory2.then(|| {
            let extension = khr::bind_memory2::Device::new(instance, device);
            let buffers = extension.fp().bind_buffer_memory2_khr;
            Self { buffers, images: extension.fp().bind_image_memory2_khr }
        })
    }
}

impl Vulkan {
    /// Binds a buffer to an allocation with the chain of `info`. Its `memory_offset` counts from
    /// the allocation's begin, and its `memory` is filled in here.
    ///
    /// # Errors
    ///
    /// [`CreateError::Place`] when the buffer cannot lie there, and nothing has changed;
    /// [`CreateError::Bind`] without the feature `bind_memory2`, or when the device fails, and
    /// then the buffer can only be destroyed.
    ///
    /// # Safety
    ///
    /// - The buffer came from the strategy's device, is live and has no memory.
    /// - The chain is valid usage with it.
    /// - What else lies where it will lie was allocated, as this was, with `Aliasing::Allowed`, and
    ///   is used in turns with it as Vulkan says of memory aliasing.
    pub unsafe fn bind_buffer2<S: Strategy<Self> + ?Sized>(
        strategy: &S,
        info: vk::BindBufferMemoryInfo<'_>,
        allocation: &Allocation<Self>,
    ) -> Result<(), CreateError> {
        let (vulkan, offset) = (strategy.device(), info.memory_offset);
        let calls = vulkan.bind2_calls().map_err(CreateError::Bind)?;
        let resource = Resource::Buffer(info.buffer);
        // SAFETY: The caller promises a live buffer of the strategy's device.
        let placed = unsafe { expect_place(strategy, resource, allocation, offset) };
        placed.map_err(CreateError::Place)?;
        let info = info.memory(allocation.memory()).memory_offset(allocation.offset() + offset);
        let infos = slice::from_ref(&info);
        // SAFETY: The functions are this device's; the caller promises a live buffer without
        // memory and a valid chain; the place satisfies the buffer's needs, as was just checked.
        let bound = unsafe { (calls.buffers)(vulkan.ash().handle(), 1, infos.as_ptr()) };
        bound.result().map_err(|result| CreateError::Bind(device_error(result)))
    }

    /// Binds an image to an allocation with the chain of `info`. Its `memory_offset` counts from
    /// the allocation's begin, and its `memory` is filled in here.
    ///
    /// # Errors
    ///
    /// As [`bind_buffer2`](Self::bind_buffer2).
    ///
    /// # Safety
    ///
    /// As for [`bind_buffer2`](Self::bind_buffer2), and the image is not disjoint.
    pub unsafe fn bind_image2<S: Strategy<Self> + ?Sized>(
        strategy: &S,
        info: vk::BindImageMemoryInfo<'_>,
        allocation: &Allocation<Self>,
    ) -> Result<(), CreateError> {
        let (vulkan, offset) = (strategy.device(), info.memory_offset);
        let calls = vulkan.bind2_calls().map_err(CreateError::Bind)?;
        let resource = Resource::Image(info.image);
        // SAFETY: The caller promises a live image of the strategy's device, not disjoint.
        let placed = unsafe { expect_place(strategy, resource, allocation, offset) };
        placed.map_err(CreateError::Place)?;
        let info = info.memory(allocation.memory()).memory_offset(allocation.offset() + offset);
        let infos = slice::from_ref(&info);
        // SAFETY: As for a buffer.
        let bound = unsafe { (calls.images)(vulkan.ash().handle(), 1, infos.as_ptr()) };
        bound.result().map_err(|result| CreateError::Bind(device_error(result)))
    }

    fn bind2_calls(&self) -> Result<&Bind2, DeviceError> {
        let rule = "a bind with a chain wants Vulkan 1.1 or the feature `bind_memory2`";
        self.bind2().ok_or(DeviceError::Invalid { rule })
    }
}
