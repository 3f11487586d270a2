//! VulkanMemoryAllocator, through vk-mem: its virtual block and its allocator.

use super::{CALLS_LIVE, CALLS_NEED, Need, Peer};
use crate::gpu::{Gpu, buffer_info};
use ash::vk;
use std::ffi::{CStr, c_char, c_void};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use vk_mem::{
    Alloc, Allocation, AllocationCreateInfo, Allocator, AllocatorCreateFlags, MemoryUsage,
    VirtualAllocation, VirtualAllocationCreateFlags as Flags, VirtualAllocationCreateInfo,
    VirtualBlock, VirtualBlockCreateFlags, VirtualBlockCreateInfo,
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

// vk-mem has no way to the first two, and a way to the others that does more; it links them all.
unsafe extern "C" {
    fn vmaBuildStatsString(allocator: *mut c_void, text: *mut *mut c_char, detailed: u32);
    fn vmaFreeStatsString(allocator: *mut c_void, text: *mut c_char);
    fn vmaMapMemory(
        allocator: *mut c_void,
        allocation: *mut c_void,
        data: *mut *mut c_void,
    ) -> vk::Result;
    fn vmaUnmapMemory(allocator: *mut c_void, allocation: *mut c_void);
    fn vmaGetAllocationInfo(allocator: *mut c_void, allocation: *mut c_void, info: *mut Info);
    fn vmaGetAllocationInfo2(allocator: *mut c_void, allocation: *mut c_void, info: *mut Info2);
    fn vmaFlushAllocation(
        allocator: *mut c_void,
        allocation: *mut c_void,
        offset: u64,
        size: u64,
    ) -> vk::Result;
    fn vmaGetHeapBudgets(allocator: *mut c_void, budgets: *mut Budget);
}

/// As large as VMA's `VmaAllocationInfo`: a memory type, a block, offset, size, three pointers.
type Info = [u64; 7];
/// As large as VMA's `VmaAllocationInfo2`: the block's size and whether it is one's own beside.
type Info2 = [u64; 9];
/// As large as VMA's `VmaBudget`: two counts, and four numbers of bytes.
type Budget = [u64; 5];

/// The handle of an allocator in VMA's own words.
fn handle_of(allocator: &Allocator) -> *mut c_void {
    const { assert!(size_of::<Allocator>() == size_of::<*mut c_void>()) };
    // SAFETY: vk-mem's allocator is a struct with one field, VMA's handle.
    unsafe { ptr::from_ref(allocator).cast::<*mut c_void>().read() }
}

impl Heap {
    /// Returns how many allocations the detailed figures count.
    pub fn figures(&self) -> u64 {
        let stats = self.allocator.calculate_statistics().expect("the call cannot fail");
        stats.total.statistics.allocationCount.into()
    }

    /// Returns the length of the text with every region.
    pub fn text_len(&self) -> usize {
        let handle = handle_of(&self.allocator);
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

/// The same allocator with allocations that the host sees.
pub struct Calls {
    allocator: Allocator,
    /// VMA's name for the allocator.
    handle: *mut c_void,
    live: Vec<Allocation>,
    next: usize,
}

impl Calls {
    /// Makes an allocator, which asks the driver for its budgets if that is switched on, and the
    /// allocations.
    pub fn new(gpu: &Gpu, flags: AllocatorCreateFlags) -> Self {
        let allocator = gpu.vma_with(flags);
        let (usage, flags) = (
            MemoryUsage::Unknown,
            vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT,
        );
        let info = AllocationCreateInfo { usage, required_flags: flags, ..Default::default() };
        let Need { size, align: alignment } = CALLS_NEED;
        let requirements = vk::MemoryRequirements { size, alignment, memory_type_bits: u32::MAX };
        let allocate = |_| {
            // SAFETY: The requirements are those of some resource on this device.
            let allocated = unsafe { allocator.allocate_memory(&requirements, &info) };
            allocated.expect("there is memory")
        };
        let live = (0..CALLS_LIVE).map(allocate).collect();
        Self { handle: handle_of(&allocator), allocator, live, next: 0 }
    }

    /// The next allocation in VMA's own words.
    #[inline]
    fn next(&mut self) -> *mut c_void {
        const { assert!(size_of::<Allocation>() == size_of::<*mut c_void>()) };
        self.next = (self.next + 1) % CALLS_LIVE;
        // SAFETY: vk-mem's allocation is a struct with one field, VMA's handle.
        unsafe { ptr::from_ref(&self.live[self.next]).cast::<*mut c_void>().read() }
    }
}

impl super::Calls for Calls {
    #[inline]
    fn map(&mut self) {
        let (allocation, mut data) = (self.next(), ptr::null_mut());
        // SAFETY: The allocation is live and visible to the host, and `data` takes the pointer.
        let mapped = unsafe { vmaMapMemory(self.handle, allocation, &raw mut data) };
        black_box(mapped.result_with_success(data).expect("the host sees it"));
        // SAFETY: It was just mapped.
        unsafe { vmaUnmapMemory(self.handle, allocation) };
    }

    #[inline]
    fn place(&mut self) {
        let (allocation, mut info) = (self.next(), MaybeUninit::<Info>::uninit());
        // SAFETY: The allocation is live, and `info` is VMA's struct.
        unsafe { vmaGetAllocationInfo(self.handle, allocation, info.as_mut_ptr()) };
        black_box(&info);
    }

    #[inline]
    fn info(&mut self) {
        let (allocation, mut info) = (self.next(), MaybeUninit::<Info2>::uninit());
        // SAFETY: The allocation is live, and `info` is VMA's struct.
        unsafe { vmaGetAllocationInfo2(self.handle, allocation, info.as_mut_ptr()) };
        black_box(&info);
    }

    #[inline]
    fn flush(&mut self) {
        let allocation = self.next();
        // SAFETY: The allocation is live and has so many bytes.
        let flushed = unsafe { vmaFlushAllocation(self.handle, allocation, 0, CALLS_NEED.size) };
        flushed.result().expect("coherent memory needs nothing");
    }

    #[inline]
    fn budgets(&mut self) {
        let mut budgets = MaybeUninit::<[Budget; vk::MAX_MEMORY_HEAPS]>::uninit();
        // SAFETY: The allocator is live, and `budgets` has room for as many heaps as a device has
        // at the most.
        unsafe { vmaGetHeapBudgets(self.handle, budgets.as_mut_ptr().cast()) };
        black_box(&budgets);
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        for mut allocation in self.live.drain(..) {
            // SAFETY: The allocation is live, and nothing uses its memory.
            unsafe { self.allocator.free_memory(&mut allocation) };
        }
    }
}
