//! The software device: presets against recorded answers, each rule broken once, each failure,
//! what non-coherent memory hides, and budgets that move.

mod failures;
mod layouts;
mod memory;
mod model;
mod needs;
mod presets;
mod rules;
mod shortage;

use polder_device::device::{
    DedicatedWish, DeviceKind, Group, Heap, Limits, MappedRange, MemoryType, Order, Tiling,
};
use polder_device::sim::{
    Buffer, BufferCopy, BufferInfo, BufferUsage, Call, ImageCopy, ImageInfo, ImageUsage, Layout,
    LayoutError, Live, Memory, Preset, Rule, Sim, SimOrder, SimResource,
};
use polder_device::{Device, DeviceError, MemoryProperties, Requirements, Resource, Resources};
use std::ops::Range;
use std::ptr::NonNull;

type Result<T = ()> = std::result::Result<T, DeviceError>;

/// The device's calls as safe functions: the tests use host pointers on one thread, between calls.
trait Safe {
    fn release(&self, memory: Memory);
    fn map_it(&self, memory: Memory) -> Result<NonNull<u8>>;
    fn unmap_it(&self, memory: Memory);
    fn flush_it(&self, memory: Memory, range: Range<u64>) -> Result;
    fn invalidate_it(&self, memory: Memory, range: Range<u64>) -> Result;
    fn needs(&self, resource: SimResource) -> Requirements;
    fn bind_it(&self, resource: SimResource, memory: Memory, offset: u64) -> Result;
    fn destroy_it(&self, resource: SimResource);
    fn copy(&self, copy: BufferCopy) -> Result;
    fn fill(&self, buffer: Buffer, range: Range<u64>, byte: u8) -> Result;
    fn read(&self, resource: SimResource, range: Range<u64>) -> Result<Vec<u8>>;
    fn write(&self, resource: SimResource, offset: u64, bytes: &[u8]) -> Result;
}

impl Safe for Sim {
    fn release(&self, memory: Memory) {
        // SAFETY: The device checks the handle; no test uses a pointer into a freed block.
        unsafe { self.free(memory) }
    }
    fn map_it(&self, memory: Memory) -> Result<NonNull<u8>> {
        // SAFETY: The device checks the handle and whether it is mapped.
        unsafe { self.map(memory) }
    }
    fn unmap_it(&self, memory: Memory) {
        // SAFETY: The device checks the handle; no test uses a pointer into an unmapped block.
        unsafe { self.unmap(memory) }
    }
    fn flush_it(&self, memory: Memory, range: Range<u64>) -> Result {
        // SAFETY: The device checks block and range; no host pointer is used meanwhile.
        unsafe { self.flush(&[MappedRange { memory, range }]) }
    }
    fn invalidate_it(&self, memory: Memory, range: Range<u64>) -> Result {
        // SAFETY: As for flush.
        unsafe { self.invalidate(&[MappedRange { memory, range }]) }
    }
    fn needs(&self, resource: SimResource) -> Requirements {
        // SAFETY: The device checks the handle.
        unsafe { self.requirements(resource) }
    }
    fn bind_it(&self, resource: SimResource, memory: Memory, offset: u64) -> Result {
        // SAFETY: The device checks all that is promised here.
        unsafe { self.bind(resource, memory, offset) }
    }
    fn destroy_it(&self, resource: SimResource) {
        // SAFETY: The device checks the handle.
        unsafe { self.destroy(resource) }
    }
    fn copy(&self, copy: BufferCopy) -> Result {
        // SAFETY: No host pointer is used meanwhile.
        unsafe { self.copy_buffer(&copy) }
    }
    fn fill(&self, buffer: Buffer, range: Range<u64>, byte: u8) -> Result {
        // SAFETY: No host pointer is used meanwhile.
        unsafe { self.fill_buffer(buffer, range, byte) }
    }
    fn read(&self, resource: SimResource, range: Range<u64>) -> Result<Vec<u8>> {
        // SAFETY: No host pointer is used meanwhile.
        unsafe { self.read_device(resource, range) }
    }
    fn write(&self, resource: SimResource, offset: u64, bytes: &[u8]) -> Result {
        // SAFETY: No host pointer is used meanwhile.
        unsafe { self.write_device(resource, offset, bytes) }
    }
}

/// A device with a type for each rule: 0 does everything, 1 is not coherent, 2 is the device's
/// alone, 3 lazily allocated, 4 protected.
fn layout() -> Layout {
    use MemoryProperties as P;
    let mut layout = Layout::default();
    let everything = P::DEVICE_LOCAL | P::HOST_VISIBLE | P::HOST_COHERENT;
    let types = [
        everything,
        P::HOST_VISIBLE | P::HOST_CACHED,
        P::DEVICE_LOCAL,
        P::DEVICE_LOCAL | P::LAZILY_ALLOCATED,
        P::DEVICE_LOCAL | P::PROTECTED,
    ];
    layout.properties.memory_types =
        types.map(|properties| MemoryType { properties, heap: 0 }).to_vec();
    layout.properties.heaps = vec![Heap { size: 1 << 20, device_local: true }];
    layout.properties.limits = Limits {
        granularity: 1 << 16,
        non_coherent_atom_size: 64,
        block_count_max: 8,
        block_size_max: 1 << 19,
        map_align_min: 4096,
    };
    layout.resources.dedicated_preferred_size = Some(1 << 17);
    layout
}

fn sim() -> Sim {
    Sim::new(layout()).unwrap()
}

fn order(size: u64, memory_type: u32) -> SimOrder {
    Order {
        size,
        memory_type,
        priority: 0.5,
        device_address: false,
        dedicated: None,
        device_mask: 0,
        extra: None,
    }
}

fn buffer(sim: &Sim, size: u64) -> SimResource {
    Resource::Buffer(raw_buffer(sim, size, BufferUsage::TRANSFER))
}

fn raw_buffer(sim: &Sim, size: u64, usage: BufferUsage) -> Buffer {
    sim.create_buffer(&BufferInfo { size, usage }).unwrap()
}

fn image(sim: &Sim, info: ImageInfo) -> SimResource {
    Resource::Image(sim.create_image(&info).unwrap())
}

const SMALL_IMAGE: ImageInfo = ImageInfo {
    width: 16,
    height: 16,
    layers: 1,
    mip_levels: 1,
    bytes_per_texel: 4,
    tiling: Tiling::Optimal,
    usage: ImageUsage::TRANSFER,
};
