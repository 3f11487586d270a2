//! The driver alone: what every factory of buffers asks of it.

use super::{Need, Peer};
use crate::gpu::{Gpu, buffer_info};
use ash::vk;

/// What the tables call it.
pub const NAME: &str = "driver alone";

/// The largest buffer that it makes, in bytes.
const SIZE_MAX: u64 = 1 << 20;

/// Makes buffers, and binds all of them to the same memory.
pub struct Factory<'a> {
    device: &'a ash::Device,
    memory: vk::DeviceMemory,
}

impl<'a> Factory<'a> {
    /// Takes the memory.
    pub fn new(gpu: &'a Gpu) -> Self {
        let info = vk::MemoryAllocateInfo::default()
            .allocation_size(SIZE_MAX)
            .memory_type_index(gpu.memory_types.trailing_zeros());
        // SAFETY: The device is live and has this memory type.
        let memory = unsafe { gpu.device.allocate_memory(&info, None) };
        Self { device: &gpu.device, memory: memory.expect("there is memory") }
    }
}

impl Peer for Factory<'_> {
    type Handle = vk::Buffer;

    fn allocate(&mut self, Need { size, .. }: Need) -> vk::Buffer {
        // SAFETY: The create info is valid.
        let buffer = unsafe { self.device.create_buffer(&buffer_info(size), None) };
        let buffer = buffer.expect("the driver makes buffers");
        // SAFETY: The buffer is live.
        let requirements = unsafe { self.device.get_buffer_memory_requirements(buffer) };
        assert!(requirements.size <= SIZE_MAX, "the memory is large enough");
        // SAFETY: The buffer is new, and the memory fits; buffers may share it, none is used.
        let bound = unsafe { self.device.bind_buffer_memory(buffer, self.memory, 0) };
        bound.expect("the driver binds buffers");
        buffer
    }

    fn free(&mut self, handle: vk::Buffer) {
        // SAFETY: The buffer came from `allocate` and no queue ever used it.
        unsafe { self.device.destroy_buffer(handle, None) };
    }
}

impl Drop for Factory<'_> {
    fn drop(&mut self) {
        // SAFETY: The memory is ours, and no queue ever used it.
        unsafe { self.device.free_memory(self.memory, None) };
    }
}
