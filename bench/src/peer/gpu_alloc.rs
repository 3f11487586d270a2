//! gpu-alloc: its buddy for what stays, and its free list for what is short-lived.

use super::{Locked, Need, Peer};
use crate::gpu::Gpu;
use ash::vk;
use gpu_alloc::{
    AllocationFlags, Config, DeviceMapError, GpuAllocator, MappedMemoryRange, MemoryBlock,
    MemoryDevice, OutOfMemory, Request, UsageFlags,
};
use gpu_alloc_ash::AshMemoryDevice;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr::NonNull;

/// What the tables call its buddy.
pub const BUDDY: &str = "gpu-alloc, buddy";
/// What the tables call its free list.
pub const FREE_LIST: &str = "gpu-alloc, transient";

/// Which of its strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For general requests.
    Buddy,
    /// For requests that are said to be transient.
    FreeList,
}

/// The allocator, with the only configuration that it brings for other than tiny devices.
pub struct Heap<'a> {
    allocator: GpuAllocator<vk::DeviceMemory>,
    device: Counted<'a>,
    memory_types: u32,
    usage: UsageFlags,
}

impl<'a> Heap<'a> {
    /// Makes an allocator.
    pub fn new(gpu: &'a Gpu, kind: Kind) -> Self {
        let usage = match kind {
            Kind::Buddy => UsageFlags::FAST_DEVICE_ACCESS,
            Kind::FreeList => UsageFlags::FAST_DEVICE_ACCESS | UsageFlags::TRANSIENT,
        };
        // SAFETY: The physical device belongs to the instance.
        let properties = unsafe {
            gpu_alloc_ash::device_properties(&gpu.instance, Gpu::API_VERSION, gpu.physical_device)
        };
        let mut properties = properties.expect("the device is there");
        properties.buffer_device_address = false;
        Self {
            allocator: GpuAllocator::new(Config::i_am_prototyping(), properties),
            device: Counted::new(&gpu.device),
            memory_types: gpu.memory_types,
            usage,
        }
    }
}

impl Peer for Heap<'_> {
    type Handle = MemoryBlock<vk::DeviceMemory>;

    fn allocate(&mut self, Need { size, align }: Need) -> Self::Handle {
        let Self { memory_types, usage, .. } = *self;
        let request = Request { size, align_mask: align - 1, usage, memory_types };
        // SAFETY: It is always the same device.
        let allocated = unsafe { self.allocator.alloc(&self.device, request) };
        allocated.expect("there is memory")
    }

    fn free(&mut self, handle: Self::Handle) {
        // SAFETY: As above; the handle came from `allocate`.
        unsafe { self.allocator.dealloc(&self.device, handle) };
    }
}

impl<'a> super::Heap for Heap<'a> {
    type Shared = Locked<Heap<'a>>;

    fn held(&self) -> u64 {
        self.device.held.get()
    }

    fn share(self) -> Self::Shared {
        Locked::new(self)
    }
}

impl Drop for Heap<'_> {
    fn drop(&mut self) {
        // SAFETY: It is always the same device.
        unsafe { self.allocator.cleanup(&self.device) };
    }
}

/// The device with a count of what is held, for the allocator itself does not say.
struct Counted<'a> {
    device: &'a AshMemoryDevice,
    held: Cell<u64>,
    sizes: RefCell<HashMap<vk::DeviceMemory, u64>>,
}

impl<'a> Counted<'a> {
    fn new(device: &'a ash::Device) -> Self {
        let device = AshMemoryDevice::wrap(device);
        Self { device, held: Cell::new(0), sizes: RefCell::default() }
    }
}

/// Passes every call on, with the promises of its caller.
impl MemoryDevice<vk::DeviceMemory> for Counted<'_> {
    unsafe fn allocate_memory(
        &self,
        size: u64,
        memory_type: u32,
        flags: AllocationFlags,
    ) -> Result<vk::DeviceMemory, OutOfMemory> {
        // SAFETY: The caller's promises are those of the device.
        let memory = unsafe { self.device.allocate_memory(size, memory_type, flags) }?;
        self.sizes.borrow_mut().insert(memory, size);
        self.held.set(self.held.get() + size);
        Ok(memory)
    }

    unsafe fn deallocate_memory(&self, memory: vk::DeviceMemory) {
        let size = self.sizes.borrow_mut().remove(&memory).expect("the memory is held");
        self.held.set(self.held.get() - size);
        // SAFETY: The caller's promises are those of the device.
        unsafe { self.device.deallocate_memory(memory) };
    }

    unsafe fn map_memory(
        &self,
        memory: &mut vk::DeviceMemory,
        offset: u64,
        size: u64,
    ) -> Result<NonNull<u8>, DeviceMapError> {
        // SAFETY: The caller's promises are those of the device.
        unsafe { self.device.map_memory(memory, offset, size) }
    }

    unsafe fn unmap_memory(&self, memory: &mut vk::DeviceMemory) {
        // SAFETY: The caller's promises are those of the device.
        unsafe { self.device.unmap_memory(memory) };
    }

    unsafe fn invalidate_memory_ranges(
        &self,
        ranges: &[MappedMemoryRange<'_, vk::DeviceMemory>],
    ) -> Result<(), OutOfMemory> {
        // SAFETY: The caller's promises are those of the device.
        unsafe { self.device.invalidate_memory_ranges(ranges) }
    }

    unsafe fn flush_memory_ranges(
        &self,
        ranges: &[MappedMemoryRange<'_, vk::DeviceMemory>],
    ) -> Result<(), OutOfMemory> {
        // SAFETY: The caller's promises are those of the device.
        unsafe { self.device.flush_memory_ranges(ranges) }
    }
}
