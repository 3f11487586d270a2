//! VMA's part of the comparison, through vk-mem.

use super::{BLOCK, Effort, Outcome, Scene};
use crate::gpu::Gpu;
use ash::vk;
use std::time::Instant;
use vk_mem::{Alloc, Allocation, AllocationCreateInfo, Allocator, DefragmentationContext};

/// `VMA_DEFRAGMENTATION_FLAG_ALGORITHM_FAST_BIT` and `_FULL_BIT`.
const FLAGS: [u32; 2] = [1, 4];

pub fn run(gpu: &Gpu, scene: &Scene, effort: Effort) -> Outcome {
    let mut info =
        vk_mem::AllocatorCreateInfo::new(&gpu.instance, &gpu.device, gpu.physical_device);
    info.vulkan_api_version = Gpu::API_VERSION;
    info.preferred_large_heap_block_size = BLOCK;
    // SAFETY: The three belong together and outlive the allocator.
    let allocator = unsafe { Allocator::new(info) }.expect("the device is there");
    let create = AllocationCreateInfo::default();
    let allocate = |&size: &u64| {
        let memory_type_bits = gpu.memory_types;
        let needs = vk::MemoryRequirements { size, alignment: 256, memory_type_bits };
        // SAFETY: The requirements are those of some resource on this device.
        Some(unsafe { allocator.allocate_memory(&needs, &create) }.expect("there is memory"))
    };
    let mut all: Vec<Option<Allocation>> = scene.sizes.iter().map(allocate).collect();
    for &number in &scene.freed {
        let mut allocation = all[number].take().expect("each is freed once");
        // SAFETY: It is given back once, and nothing uses it.
        unsafe { allocator.free_memory(&mut allocation) };
    }
    let blocks = || {
        let budgets = allocator.get_heap_budgets().expect("the call cannot fail");
        budgets.iter().map(|budget| u64::from(budget.statistics.blockCount)).sum()
    };
    let blocks_before = blocks();

    let begin = Instant::now();
    let work = context(&allocator, FLAGS[effort as usize]);
    // Every move is taken, as it is when nobody says otherwise.
    while work.begin_pass(|_| {}) {}
    let stats = work.end();
    let time = begin.elapsed();

    let blocks = blocks();
    for mut allocation in all.into_iter().flatten() {
        // SAFETY: As above.
        unsafe { allocator.free_memory(&mut allocation) };
    }
    Outcome {
        time,
        moved: u64::from(stats.allocationsMoved),
        bytes_moved: stats.bytesMoved,
        blocks_before,
        blocks,
    }
}

/// Begins a defragmentation. The crate does not export the type that the flags go into; the
/// function that takes it names it.
fn context(allocator: &Allocator, flags: u32) -> DefragmentationContext<'_> {
    // SAFETY: The structure is plain numbers and pointers, and zeros are its defaults.
    let mut info = zeroed(Allocator::begin_defragmentation);
    info.flags = flags;
    // SAFETY: No pool and no callback are named.
    unsafe { allocator.begin_defragmentation(&info) }.expect("it is supported")
}

fn zeroed<'a, T, R>(_of: unsafe fn(&'a Allocator, &T) -> R) -> T {
    // SAFETY: Only called above.
    unsafe { core::mem::zeroed() }
}
