//! VulkanMemoryAllocator, through vk-mem: its virtual block and its allocator.

use super::{Need, Peer};
use crate::gpu::{Gpu, buffer_info};
use ash::vk;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::Arc;
use vk_mem::{
    Alloc, Allocation, AllocationCreateInfo, Allocator, MemoryUsage, VirtualAllocation,
    VirtualAllocationCreateFlags as Flags, VirtualAllocationCreateInfo, VirtualBlock,
    VirtualBlockCreateFlags, VirtualBlockCreateInfo,
};

/// What the tables call it.
pub const NAME: &str = "VMA";

/// A virtual block.
pub struct Space {
    block: VirtualBlock,
    flags: Flags,
}

impl Space {
    /// The strategy when nobody says another.
    pub const DEFAULT: Flags = Flags::empty();
    /// The strategy that takes the best fit.
    pub const MIN_MEMORY: Flags = Flags::VMA_VIRTUAL_ALLOCATION_CREATE_STRATEGY_MIN_MEMORY_BIT;
    /// The strategy that is quickest.
    pub const MIN_TIME: Flags = Flags::VMA_VIRTUAL_ALLOCATION_CREATE_STRATEGY_MIN_TIME_BIT;
    /// The strategy that takes the lowest fit.
    pub const MIN_OFFSET: Flags = Flags::VMA_VIRTUAL_ALLOCATION_CREATE_STRATEGY_MIN_OFFSET_BIT;

    /// Makes a block of `size` bytes.
    pub fn new(size: u64, flags: Flags) -> Self {
        Self::of(VirtualBlockCreateInfo { size, ..VirtualBlockCreateInfo::default() }, flags)
    }

    /// Makes a linear block of `size` bytes.
    pub fn linear(size: u64) -> Self {
        let flags = VirtualBlockCreateFlags::VMA_VIRTUAL_BLOCK_CREATE_LINEAR_ALGORITHM_BIT;
        let info = VirtualBlockCreateInfo { size, flags, ..VirtualBlockCreateInfo::default() };
        Self::of(info, Self::DEFAULT)
    }

    fn of(info: VirtualBlockCreateInfo<'_>, flags: Flags) -> Self {
        Self { block: VirtualBlock::new(info).expect("a block has a size"), flags }
    }

    /// Allocates if there is room.
    #[inline]
    pub fn try_allocate(&mut self, Need { size, align }: Need) -> Option<VirtualAllocation> {
        let flags = self.flags;
        let info = VirtualAllocationCreateInfo { size, alignment: align, user_data: 0, flags };
        // SAFETY: The size is not zero and the alignment a power of two.
        let allocated = unsafe { self.block.allocate(info) };
        Some(allocated.ok()?.0)
    }
}

impl Peer for Space {
    type Handle = VirtualAllocation;

    fn allocate(&mut self, need: Need) -> VirtualAllocation {
        self.try_allocate(need).expect("the block has room")
    }

    fn free(&mut self, mut handle: VirtualAllocation) {
        // SAFETY: The handle came from `allocate` and is given back once.
        unsafe { self.block.free(&mut handle) };
    }
}

/// The allocator, as it is when nothing is switched on: without the budget extension it asks the
/// driver nothing.
#[derive(Clone)]
pub struct Heap {
    allocator: Arc<Allocator>,
    memory_types: u32,
    info: AllocationCreateInfo,
}

impl Heap {
    /// Makes an allocator with default options.
    pub fn new(gpu: &Gpu) -> Self {
        let allocator = Arc::new(gpu.vma());
        let info = AllocationCreateInfo::default();
        Self { allocator, memory_types: gpu.memory_types, info }
    }
}

// vk-mem has no way to these two, and links them.
unsafe extern "C" {
    fn vmaBuildStatsString(allocator: *mut c_void, text: *mut *mut c_char, detailed: u32);
    fn vmaFreeStatsString(allocator: *mut c_void, text: *mut c_char);
}

impl Heap {
    /// Returns how many allocations the detailed figures count.
    pub fn figures(&self) -> u64 {
        let stats = self.allocator.calculate_statistics().expect("the call cannot fail");
        stats.total.statistics.allocationCount.into()
    }

    /// Returns the length of the text with every region.
    pub fn text_len(&self) -> usize {
        const { assert!(size_of::<Allocator>() == size_of::<*mut c_void>()) };
        // SAFETY: vk-mem's allocator is a struct with one field, VMA's handle.
        let handle = unsafe { ptr::from_ref(&*self.allocator).cast::<*mut c_void>().read() };
        let mut text = ptr::null_mut();
        // SAFETY: The handle is live, and `text` takes the pointer.
        unsafe { vmaBuildStatsString(handle, &raw mut text, 1) };
        // SAFETY: VMA has just written a text that ends with a zero.
        let len = unsafe { CStr::from_ptr(text) }.count_bytes();
        // SAFETY: The text is this allocator's and is freed once.
        unsafe { vmaFreeStatsString(handle, text) };
        len
    }
}

impl Peer for Heap {
    type Handle = Allocation;

    fn allocate(&mut self, Need { size, align }: Need) -> Allocation {
        let memory_type_bits = self.memory_types;
        let requirements = vk::MemoryRequirements { size, alignment: align, memory_type_bits };
        // SAFETY: The requirements are those of some resource on this device.
        let allocated = unsafe { self.allocator.allocate_memory(&requirements, &self.info) };
        allocated.expect("there is memory")
    }

    fn free(&mut self, mut handle: Allocation) {
        // SAFETY: The handle came from `allocate` and is given back once; nothing uses its memory.
        unsafe { self.allocator.free_memory(&mut handle) };
    }
}

impl super::Heap for Heap {
    type Shared = Self;

    fn held(&self) -> u64 {
        let budgets = self.allocator.get_heap_budgets().expect("the call cannot fail");
        budgets.iter().map(|budget| budget.statistics.blockBytes).sum()
    }

    fn share(self) -> Self {
        self
    }
}

/// The same allocator as a factory of buffers.
pub struct Factory {
    allocator: Allocator,
    info: AllocationCreateInfo,
}

impl Factory {
    /// Makes an allocator with default options.
    pub fn new(gpu: &Gpu) -> Self {
        let usage = MemoryUsage::Auto;
        let info = AllocationCreateInfo { usage, ..AllocationCreateInfo::default() };
        Self { allocator: gpu.vma(), info }
    }
}

impl Peer for Factory {
    type Handle = (vk::Buffer, Allocation);

    fn allocate(&mut self, Need { size, .. }: Need) -> Self::Handle {
        // SAFETY: The create info is valid.
        let created = unsafe { self.allocator.create_buffer(&buffer_info(size), &self.info) };
        created.expect("there is memory")
    }

    fn free(&mut self, (buffer, mut allocation): Self::Handle) {
        // SAFETY: Both came from `allocate`, and no queue ever used them.
        unsafe { self.allocator.destroy_buffer(buffer, &mut allocation) };
    }
}
