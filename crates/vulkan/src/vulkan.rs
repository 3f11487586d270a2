//! Blocks of memory from a Vulkan device.
//!
//! A [`Vulkan`] holds copies of the caller's function tables, asks the device once for what never
//! changes, and passes each call of the heap on as one call of the driver. Checks stand here only
//! for what a safe call could get wrong.
//!
//! # Invariants
//!
//! 1. No block is of a memory type that the features forbid (Vulkan: device coherent memory and
//!    protected memory want their switch).
//! 2. No structure of an extension is in a chain unless the features name it.

use crate::bind::Bind2;
use crate::blocks::{Block, Blocks};
use crate::builder::Builder;
use crate::error::device_error;
use crate::external::{Attempt, Functions};
use crate::extra::{Extra, first_of};
use crate::features::Features;
use crate::properties;
use crate::requirements::{Requirements2, RequirementsByInfo};
use crate::resources::load_address;
use ash::vk;
use core::fmt;
use core::ptr::NonNull;
use core::slice;
use polder_device::device::{DEVICES_MAX, Heap, HeapBudget, MappedRange, Order};
use polder_device::{Device, DeviceError, DeviceProperties, Resource};

/// Most ranges that one call of the driver flushes; they lie on the stack.
const RANGES_PER_CALL_MAX: usize = 16;

/// A Vulkan device, as the heap sees it.
///
/// It owns no Vulkan object: dropping it destroys nothing.
pub struct Vulkan {
    instance: ash::Instance,
    /// Those that the device is made of, in its own order: mostly one.
    physical_devices: Box<[vk::PhysicalDevice]>,
    device: ash::Device,
    features: Features,
    properties: DeviceProperties,
    /// A bit for each memory type that may be used.
    usable_types: u32,
    /// Bytes; nothing larger may be asked of the driver.
    buffer_size_max: u64,
    /// The program's own functions for the host memory of the driver's objects.
    host: Option<vk::AllocationCallbacks<'static>>,
    blocks: Blocks,
    /// By memory type.
    exports: Vec<vk::ExternalMemoryHandleTypeFlags>,
    requirements2: Option<Requirements2>,
    requirements_by_info: Option<RequirementsByInfo>,
    bind2: Option<Bind2>,
    external: Option<Functions>,
    address: Option<vk::PFN_vkGetBufferDeviceAddress>,
    memory_properties2: Option<vk::PFN_vkGetPhysicalDeviceMemoryProperties2>,
}

impl Vulkan {
    /// Makes the heap's view of a device; asks it for its properties and takes nothing from it.
    ///
    /// # Safety
    ///
    /// This is the one contract with Vulkan; all that is made from it relies on it.
    ///
    /// - `device` was made from `physical_device`, and that belongs to `instance`.
    /// - Instance and device live until the `Vulkan`, and whatever owns it, is dropped.
    /// - `features` names only what the instance was made for and what was enabled on the device.
    /// - Every create info that is handed to it, with its chain, is valid usage of this device,
    ///   and so is every buffer and image named in an order for a block.
    /// - What an [`Extra`] or its chain says that a block is exported by, the device exports
    ///   together, of that block; what it is behind is enabled, and every buffer and image that
    ///   comes to lie there was made with one of them in its create info's chain.
    /// - What is freed, destroyed, or still allocated when its allocator ends, is used by no
    ///   command that the device has yet to execute and bound to no resource that is used again;
    ///   a frame is completed only when the device has executed it. So is a pass of defragmentation
    ///   ended, and a mover dropped.
    /// - While the host writes memory through an allocator the device does not access that range,
    ///   and while the host reads it the device does not write it.
    #[must_use]
    pub unsafe fn new(
        instance: &ash::Instance,
        physical_device: vk::PhysicalDevice,
        device: &ash::Device,
        features: Features,
    ) -> Self {
        // SAFETY: The caller promises what is asked for; of what a builder adds nothing is said.
        unsafe { Self::of(Builder::new(instance, physical_device, device, features)) }
    }

    /// # Safety
    ///
    /// As for [`Builder::build`].
    pub(crate) unsafe fn of(builder: Builder<'_>) -> Self {
        let Builder { instance, physical_device, device, features, .. } = builder;
        let physical_devices = builder.group.unwrap_or(slice::from_ref(&physical_device));
        let count = physical_devices.len();
        assert!((1..=DEVICES_MAX as usize).contains(&count), "a group has 1 to 32 devices");
        assert!(count == 1 || features.is_1_1(), "groups came with Vulkan 1.1");
        // SAFETY: The caller promises that the instance is live, that the physical devices are
        // its, and that `features` names no version that they lack.
        let properties = unsafe { properties::ask(instance, physical_devices, &features) };
        // SAFETY: As above.
        let buffer_size_max =
            unsafe { properties::buffer_size_max(instance, physical_device, &features) };
        let extension = builder.properties2;
        let by_extension =
            || extension.map(|functions| functions.fp().get_physical_device_memory_properties2_khr);
        let memory_properties2 = match features.is_1_1() {
            true => Some(instance.fp_v1_1().get_physical_device_memory_properties2),
            false => by_extension(),
        };
        Self {
            usable_types: properties::usable_types(&properties.memory_types, &features),
            buffer_size_max,
            host: builder.host,
            blocks: Blocks::new(builder.block_callbacks),
            exports: builder.exports,
            requirements2: Requirements2::load(instance, device, &features),
            requirements_by_info: RequirementsByInfo::load(instance, device, &features),
            bind2: Bind2::load(instance, device, &features),
            external: Functions::load(instance, device, &features),
            address: load_address(instance, device, &features),
            memory_properties2,
            instance: instance.clone(),
            physical_devices: physical_devices.into(),
            device: device.clone(),
            features,
            properties,
        }
    }

    /// Returns the device's function table.
    #[must_use]
    pub const fn ash(&self) -> &ash::Device {
        &self.device
    }

    /// Returns what it was told to make use of.
    #[must_use]
    pub const fn features(&self) -> &Features {
        &self.features
    }

    pub(crate) const fn usable_types(&self) -> u32 {
        self.usable_types
    }

    pub(crate) const fn buffer_size_max(&self) -> u64 {
        self.buffer_size_max
    }

    pub(crate) const fn requirements2(&self) -> Option<&Requirements2> {
        self.requirements2.as_ref()
    }

    pub(crate) const fn requirements_by_info(&self) -> Option<&RequirementsByInfo> {
        self.requirements_by_info.as_ref()
    }

    pub(crate) const fn bind2(&self) -> Option<&Bind2> {
        self.bind2.as_ref()
    }

    pub(crate) const fn external(&self) -> Option<&Functions> {
        self.external.as_ref()
    }

    pub(crate) const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// What every call takes that makes or destroys something.
    pub(crate) const fn host(&self) -> Option<&vk::AllocationCallbacks<'static>> {
        self.host.as_ref()
    }

    pub(crate) const fn ask_address(&self) -> Option<vk::PFN_vkGetBufferDeviceAddress> {
        self.address
    }

    /// Asks for all limits of the device.
    pub(crate) fn limits(&self) -> vk::PhysicalDeviceLimits {
        // SAFETY: `new`'s caller promises that the instance lives as long as this and that the
        // physical device is its.
        unsafe { self.instance.get_physical_device_properties(self.physical_devices[0]) }.limits
    }

    pub(crate) const fn physical(&self) -> (&ash::Instance, vk::PhysicalDevice) {
        (&self.instance, self.physical_devices[0])
    }

    /// Checks what Vulkan leaves to the caller of `vkAllocateMemory`.
    fn check(&self, order: &Order<vk::Buffer, vk::Image, Extra>) -> Result<(), DeviceError> {
        let invalid = |rule| Err(DeviceError::Invalid { rule });
        let Some(memory_type) = self.properties.memory_types.get(order.memory_type as usize) else {
            return invalid("a block is of one of the device's memory types");
        };
        if order.size == 0 {
            return invalid("a block has at least one byte");
        }
        if self.usable_types >> order.memory_type & 1 == 0 {
            return invalid("a memory type behind a feature is used only with the feature");
        }
        if !(0.0..=1.0).contains(&order.priority) {
            return invalid("a priority lies between 0 and 1");
        }
        if order.device_mask != 0 && !self.features.is_1_1() {
            return invalid("device masks came with Vulkan 1.1");
        }
        if !self.properties.group.has(order.device_mask) {
            return invalid("a device mask names devices of the group");
        }
        if order.size > self.properties.heaps[memory_type.heap as usize].size {
            return Err(DeviceError::OutOfDeviceMemory);
        }
        Ok(())
    }
}

/// What a block is ordered with beside its size and type.
impl Vulkan {
    fn flags(
        &self,
        order: &Order<vk::Buffer, vk::Image, Extra>,
    ) -> Option<vk::MemoryAllocateFlagsInfo<'static>> {
        let mut flags = vk::MemoryAllocateFlags::empty();
        // Blocks that are shared are ordered for every buffer; without the feature there is no
        // buffer with an address.
        if order.device_address && self.features.device_address {
            flags |= vk::MemoryAllocateFlags::DEVICE_ADDRESS;
        }
        if order.device_mask != 0 {
            flags |= vk::MemoryAllocateFlags::DEVICE_MASK;
        }
        let info = vk::MemoryAllocateFlagsInfo::default().device_mask(order.device_mask);
        (!flags.is_empty()).then(|| info.flags(flags))
    }
}

impl fmt::Debug for Vulkan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Vulkan");
        debug.field("device", &self.device.handle()).field("features", &self.features);
        debug.field("properties", &self.properties).finish_non_exhaustive()
    }
}

// SAFETY: `vkAllocateMemory` gives memory of its own, and `vkMapMemory` with the whole size a
// pointer to all of it, until it is unmapped or freed. That the handles are good is `new`'s
// contract.
unsafe impl Device for Vulkan {
    type Memory = vk::DeviceMemory;
    type Buffer = vk::Buffer;
    type Image = vk::Image;
    type Extra = Extra;

    fn properties(&self) -> &DeviceProperties {
        &self.properties
    }

    fn allocate(
        &self,
        order: &Order<vk::Buffer, vk::Image, Extra>,
    ) -> Result<vk::DeviceMemory, DeviceError> {
        self.check(order)?;
        let resource = order.dedicated.filter(|_| self.requirements2.is_some());
        let mut dedicated = resource.map(dedicated_info);
        let mut flags = self.flags(order);
        let mut priority = self
            .features
            .memory_priority
            .then(|| vk::MemoryPriorityAllocateInfoEXT::default().priority(order.priority));

        let extra = order.extra.unwrap_or_default();
        let by_type = self.exports.get(order.memory_type as usize).copied().unwrap_or_default();
        let exports = extra.exports(by_type);
        self.expect_exportable(exports.untold)?;
        let mut export = (!exports.untold.is_empty())
            .then(|| vk::ExportMemoryAllocateInfo::default().handle_types(exports.untold));
        let import = |import| self.attempt(import, order.size, order.memory_type);
        let mut import = extra.import.map(import).transpose()?;

        let mut info = vk::MemoryAllocateInfo::default()
            .allocation_size(order.size)
            .memory_type_index(order.memory_type);
        // First of all, for what is pushed comes before it, and the user's chain is not written.
        info.p_next = first_of(extra.chain);
        if let Some(export) = &mut export {
            info = info.push_next(export);
        }
        if let Some(import) = &mut import {
            info = info.push_next(import.info());
        }
        if let Some(dedicated) = &mut dedicated {
            info = info.push_next(dedicated);
        }
        if let Some(flags) = &mut flags {
            info = info.push_next(flags);
        }
        if let Some(priority) = &mut priority {
            info = info.push_next(priority);
        }
        // SAFETY: `new`'s caller promises a live device and that a resource named in an order is
        // valid, as well as the handles of an export; `check` saw to size, memory type and
        // priority; each chained structure is of a feature that is enabled, the user's own by the
        // promise that `Chain::new` asks for, and what is imported by that of `Import`.
        let memory = unsafe { self.device.allocate_memory(&info, self.host()) };
        let memory = memory.map_err(device_error)?;
        import.into_iter().for_each(Attempt::succeed);
        let Order { size, memory_type, .. } = *order;
        self.blocks.enter(Block { memory, memory_type, size, exports: exports.all });
        Ok(memory)
    }

    unsafe fn free(&self, memory: vk::DeviceMemory) {
        self.blocks.leave(memory);
        // SAFETY: The caller promises that the memory is ours, live and unused. Vulkan unmaps it.
        unsafe { self.device.free_memory(memory, self.host()) };
    }

    unsafe fn map(&self, memory: vk::DeviceMemory) -> Result<NonNull<u8>, DeviceError> {
        let flags = vk::MemoryMapFlags::empty();
        // SAFETY: The caller promises live, host-visible, unmapped memory, and that nobody else
        // calls for it; the whole of it is always a valid range.
        let pointer = unsafe { self.device.map_memory(memory, 0, vk::WHOLE_SIZE, flags) };
        NonNull::new(pointer.map_err(device_error)?.cast()).ok_or(DeviceError::MapFailed)
    }

    unsafe fn unmap(&self, memory: vk::DeviceMemory) {
        // SAFETY: The caller promises that it is mapped, and that nobody else calls for it.
        unsafe { self.device.unmap_memory(memory) };
    }

    unsafe fn flush(&self, ranges: &[MappedRange<vk::DeviceMemory>]) -> Result<(), DeviceError> {
        by_calls(ranges, |ranges| {
            // SAFETY: The caller promises that the blocks are mapped, that the ranges lie in
            // them and end at an atom or at the block's end: as Vulkan wants them.
            unsafe { self.device.flush_mapped_memory_ranges(ranges) }
        })
    }

    unsafe fn invalidate(
        &self,
        ranges: &[MappedRange<vk::DeviceMemory>],
    ) -> Result<(), DeviceError> {
        by_calls(ranges, |ranges| {
            // SAFETY: As in `flush`.
            unsafe { self.device.invalidate_mapped_memory_ranges(ranges) }
        })
    }

    fn budgets(&self) -> Option<Vec<HeapBudget>> {
        self.budgets_on(0)
    }

    fn budgets_on(&self, device: u32) -> Option<Vec<HeapBudget>> {
        let ask = self.memory_properties2.filter(|_| self.features.memory_budget)?;
        let mut answer = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
        let mut properties = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut answer);
        // SAFETY: `new`'s caller promises that instance and physical device are live, and that
        // the extensions are there; the function is that of Vulkan 1.1 or of the instance's own.
        unsafe { ask(self.physical_devices[device as usize], &mut properties) };
        let heaps = self.properties.heaps.iter().zip(answer.heap_budget).zip(answer.heap_usage);
        // Vulkan says that no budget is zero or passes its heap; some drivers have not filled
        // theirs, which is as if they could not say.
        let budget = |((heap, budget), usage): ((&Heap, u64), u64)| {
            let budget = budget.min(heap.size);
            (budget != 0).then_some(HeapBudget { budget, usage })
        };
        heaps.map(budget).collect()
    }
}

fn dedicated_info<'a>(
    resource: Resource<vk::Buffer, vk::Image>,
) -> vk::MemoryDedicatedAllocateInfo<'a> {
    match resource {
        Resource::Buffer(buffer) => vk::MemoryDedicatedAllocateInfo::default().buffer(buffer),
        Resource::Image(image) => vk::MemoryDedicatedAllocateInfo::default().image(image),
    }
}

/// Hands `ranges` to `call` in Vulkan's words, as many at once as fit on the stack.
fn by_calls(
    ranges: &[MappedRange<vk::DeviceMemory>],
    call: impl Fn(&[vk::MappedMemoryRange<'_>]) -> Result<(), vk::Result>,
) -> Result<(), DeviceError> {
    for some in ranges.chunks(RANGES_PER_CALL_MAX) {
        let mut mapped = [vk::MappedMemoryRange::default(); RANGES_PER_CALL_MAX];
        for (mapped, MappedRange { memory, range }) in mapped.iter_mut().zip(some) {
            // A size that ends at the block's end need be no multiple of the atom: it is passed
            // as it is, and `VK_WHOLE_SIZE` is not needed.
            *mapped = vk::MappedMemoryRange::default()
                .memory(*memory)
                .offset(range.start)
                .size(range.end - range.start);
        }
        call(&mapped[..some.len()]).map_err(device_error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;

    #[test]
    fn every_range_goes_to_the_driver_once_and_in_order() {
        let count = RANGES_PER_CALL_MAX as u64 * 2 + 1;
        let memory = vk::DeviceMemory::null();
        let ranges: Vec<_> =
            (0..count).map(|i| MappedRange { memory, range: i * 64..i * 64 + 32 }).collect();
        let seen = RefCell::new(Vec::new());
        let calls = by_calls(&ranges, |some| {
            assert!(!some.is_empty(), "Vulkan takes at least one range");
            seen.borrow_mut().extend(some.iter().map(|one| one.offset..one.offset + one.size));
            Ok(())
        });

        assert_eq!(calls, Ok(()));
        assert!(seen.borrow().iter().eq(ranges.iter().map(|one| &one.range)));
        assert_eq!(by_calls(&[], |_| Err(vk::Result::ERROR_UNKNOWN)), Ok(()));
    }

    #[test]
    fn the_first_refusal_ends_a_flush() {
        let memory = vk::DeviceMemory::null();
        let ranges = vec![MappedRange { memory, range: 0..64 }; RANGES_PER_CALL_MAX + 1];
        let calls = RefCell::new(0);
        let refused = by_calls(&ranges, |_| {
            *calls.borrow_mut() += 1;
            Err(vk::Result::ERROR_OUT_OF_HOST_MEMORY)
        });

        assert_eq!(refused, Err(DeviceError::OutOfHostMemory));
        assert_eq!(*calls.borrow(), 1);
    }
}
