//! gpu-allocator, what wgpu uses.

use super::{Locked, Need, Peer};
use crate::gpu::Gpu;
use ash::vk;
use gpu_allocator::vulkan::{
    Allocation, AllocationCreateDesc, AllocationScheme, Allocator, AllocatorCreateDesc,
};
use gpu_allocator::{AllocationSizes, AllocatorDebugSettings, MemoryLocation};

/// What the tables call it.
pub const NAME: &str = "gpu-allocator";

/// The allocator with default sizes; the benchmark has no logger.
pub struct Heap {
    allocator: Allocator,
    memory_types: u32,
}

impl Heap {
    /// Makes an allocator.
    pub fn new(gpu: &Gpu) -> Self {
        let allocator = Allocator::new(&AllocatorCreateDesc {
            instance: gpu.instance.clone(),
            device: gpu.device.clone(),
            physical_device: gpu.physical_device,
            debug_settings: AllocatorDebugSettings::default(),
            buffer_device_address: false,
            allocation_sizes: AllocationSizes::default(),
        });
        Self { allocator: allocator.expect("the device is there"), memory_types: gpu.memory_types }
    }
}

impl Peer for Heap {
    type Handle = Allocation;

    fn allocate(&mut self, Need { size, align }: Need) -> Allocation {
        let memory_type_bits = self.memory_types;
        let allocated = self.allocator.allocate(&AllocationCreateDesc {
            name: "",
            requirements: vk::MemoryRequirements { size, alignment: align, memory_type_bits },
            location: MemoryLocation::GpuOnly,
            linear: true,
            allocation_scheme: AllocationScheme::GpuAllocatorManaged,
        });
        allocated.expect("there is memory")
    }

    fn free(&mut self, handle: Allocation) {
        self.allocator.free(handle).expect("the allocation is live");
    }
}

impl super::Heap for Heap {
    type Shared = Locked<Self>;

    fn held(&self) -> u64 {
        self.allocator.capacity()
    }

    fn share(self) -> Locked<Self> {
        Locked::new(self)
    }
}
