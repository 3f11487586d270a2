//! The program's own functions: for the driver's host memory, and for blocks that come and go.

use crate::gpu::Gpu;
use crate::work::{buffer_info, image_info};
use ash::vk;
use core::alloc::Layout;
use core::ffi::c_void;
use polder_device::device::Order;
use polder_device::{
    Access, Aliasing, Allocator, Device, Factory, Options, Placement, Resource, Resources,
    Strategy, Wish,
};
use polder_vulkan::sparse::{SparseBuffer, SparseImage, SparseOptions};
use polder_vulkan::{Block, BlockCallbacks, Vulkan};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The host memory that the driver has been given, and what it did with it.
#[derive(Debug, Default)]
pub struct Ledger {
    live: Mutex<HashMap<usize, Layout>>,
    calls: Mutex<u64>,
    /// How often it still gets some; always, when nothing is said.
    calls_left: Mutex<Option<u64>>,
}

impl Ledger {
    /// The functions that keep this ledger, for as long as it lives.
    pub fn callbacks(&self) -> vk::AllocationCallbacks<'static> {
        let user: *const Self = self;
        vk::AllocationCallbacks::default()
            .user_data(user.cast_mut().cast())
            .pfn_allocation(Some(allocate))
            .pfn_reallocation(Some(reallocate))
            .pfn_free(Some(free))
    }

    /// How often the driver asked for memory so far.
    pub fn calls(&self) -> u64 {
        *self.calls.lock().unwrap()
    }

    fn live_count(&self) -> usize {
        self.live.lock().unwrap().len()
    }

    fn give(&self, size: usize, align: usize) -> *mut c_void {
        *self.calls.lock().unwrap() += 1;
        if let Some(left) = &mut *self.calls_left.lock().unwrap() {
            let Some(less) = left.checked_sub(1) else { return core::ptr::null_mut() };
            *left = less;
        }
        let layout = Layout::from_size_align(size.max(1), align).expect("Vulkan asks for powers");
        // SAFETY: The layout has at least one byte.
        let memory = unsafe { std::alloc::alloc(layout) };
        self.live.lock().unwrap().insert(memory.addr(), layout);
        memory.cast()
    }

    fn take(&self, memory: *mut c_void) {
        let layout = self.live.lock().unwrap().remove(&memory.addr());
        let layout = layout.expect("what comes back was given");
        // SAFETY: It was allocated with this layout, and is freed once.
        unsafe { std::alloc::dealloc(memory.cast(), layout) };
    }
}

/// # Safety
///
/// As Vulkan says of its allocation functions; `user` is a ledger that lives. So below.
unsafe extern "system" fn allocate(
    user: *mut c_void,
    size: usize,
    align: usize,
    _scope: vk::SystemAllocationScope,
) -> *mut c_void {
    // SAFETY: The caller promises a ledger that lives.
    unsafe { &*user.cast::<Ledger>() }.give(size, align)
}

unsafe extern "system" fn reallocate(
    user: *mut c_void,
    old: *mut c_void,
    size: usize,
    align: usize,
    _scope: vk::SystemAllocationScope,
) -> *mut c_void {
    // SAFETY: As above.
    let ledger = unsafe { &*user.cast::<Ledger>() };
    if old.is_null() {
        return ledger.give(size, align);
    }
    if size == 0 {
        ledger.take(old);
        return core::ptr::null_mut();
    }
    let new = ledger.give(size, align);
    let old_size = ledger.live.lock().unwrap()[&old.addr()].size();
    if new.is_null() {
        return new;
    }
    // SAFETY: Both have at least so many bytes, and the new one is nobody else's.
    unsafe { new.copy_from_nonoverlapping(old, old_size.min(size)) };
    ledger.take(old);
    new
}

unsafe extern "system" fn free(user: *mut c_void, memory: *mut c_void) {
    if !memory.is_null() {
        // SAFETY: As above.
        unsafe { &*user.cast::<Ledger>() }.take(memory);
    }
}

#[test]
fn the_driver_takes_host_memory_from_the_program_and_gives_all_back() {
    let Some(gpu) = Gpu::open() else { return };
    let ledger = Ledger::default();
    let allocator = Allocator::new(
        gpu.build(|builder| builder.allocation_callbacks(ledger.callbacks())),
        Options::default(),
    );
    let shared = Wish { aliasing: Aliasing::Allowed, ..Wish::default() };
    let alone = Wish { placement: Placement::Dedicated, ..shared };
    for wish in [shared, Wish { access: Access::HostWrites, ..shared }, alone] {
        let before = ledger.calls();
        let buffer = allocator.create_buffer(&buffer_info(5000), &wish).unwrap();
        let image = allocator.create_image(&image_info(16), &wish).unwrap();
        let alias = allocator.create_aliasing_buffer(&buffer_info(64), buffer.allocation(), 0);
        assert!(before < ledger.calls() || !gpu.executes(), "the driver asks the program");
        // SAFETY: It was just made, and no queue uses it.
        unsafe { allocator.device().destroy(Resource::Buffer(alias.unwrap())) };
        allocator.destroy_image(image).unwrap();
        allocator.destroy_buffer(buffer).unwrap();
    }
    if gpu.sparse.sparse_residency_image2_d == vk::TRUE && gpu.executes() {
        let before = ledger.calls();
        let flags = vk::BufferCreateFlags::SPARSE_BINDING;
        let (info, options) = (buffer_info(1 << 20).flags(flags), SparseOptions::default());
        drop(SparseBuffer::new(&allocator, &info, &options).unwrap());
        let flags = vk::ImageCreateFlags::SPARSE_BINDING;
        let info = image_info(64).flags(flags);
        drop(SparseImage::new(&allocator, &info, &options).unwrap());
        assert!(before < ledger.calls(), "the driver asks the program");
    }
    allocator.shutdown().unwrap();
    assert_eq!(ledger.live_count(), 0, "the driver gives back what it took");
}

#[test]
fn a_host_without_memory_is_an_error_at_every_step_and_leaves_nothing() {
    const STEPS_MAX: u64 = 20;
    let Some(gpu) = Gpu::open() else { return };
    let ledger = Ledger::default();
    let host = ledger.callbacks();
    let allocator =
        Allocator::new(gpu.build(|builder| builder.allocation_callbacks(host)), Options::default());
    let wish = Wish { placement: Placement::Dedicated, ..Wish::default() };
    let steps = (0..STEPS_MAX).take_while(|&step| {
        *ledger.calls_left.lock().unwrap() = Some(step);
        let made = allocator.create_buffer(&buffer_info(5000), &wish);
        let is_refused = made.is_err();
        if let Ok(buffer) = made {
            allocator.destroy_buffer(buffer).unwrap();
            allocator.trim();
        }
        assert_eq!(ledger.live_count(), 0, "step {step} leaves nothing");
        assert_eq!(allocator.held(), 0, "step {step} leaves nothing");
        is_refused
    });
    let count = steps.count() as u64;
    assert!(count < STEPS_MAX, "with enough memory it succeeds");
    assert!(2 <= count || !gpu.executes(), "the buffer and the block can fail");
    // Some drivers say so to the messenger too.
    let said = gpu.take_messages().unwrap_or_default();
    assert!(said.iter().all(|text| text.contains("OUT_OF_HOST_MEMORY")), "{said:?}");
    allocator.shutdown().unwrap();
}

/// The blocks that live, by what was told of them.
#[derive(Debug, Default)]
struct Told {
    live: Mutex<HashMap<vk::DeviceMemory, Block>>,
    freed: Mutex<u64>,
}

impl Told {
    fn held(&self) -> u64 {
        self.live.lock().unwrap().values().map(|block| block.size).sum()
    }
}

struct Listener(Arc<Told>);

impl BlockCallbacks for Listener {
    fn allocated(&self, block: &Block) {
        let before = self.0.live.lock().unwrap().insert(block.memory, *block);
        assert_eq!(before, None, "a block that comes was not there");
    }

    fn freeing(&self, block: &Block) {
        let before = self.0.live.lock().unwrap().remove(&block.memory);
        assert_eq!(before, Some(*block), "a block goes as it came");
        *self.0.freed.lock().unwrap() += 1;
    }
}

fn listened(gpu: &Gpu) -> (Vulkan, Arc<Told>) {
    let told = Arc::new(Told::default());
    let listener = Box::new(Listener(told.clone()));
    (gpu.build(|builder| builder.block_callbacks(listener)), told)
}

#[test]
fn every_block_that_comes_and_goes_is_told() {
    let Some(gpu) = Gpu::open() else { return };
    let (vulkan, told) = listened(&gpu);
    let allocator = Allocator::new(vulkan, Options::default());
    let mut buffers = Vec::new();
    for step in 0..40 {
        let placement = if step % 3 == 0 { Placement::Dedicated } else { Placement::Auto };
        let wish = Wish { placement, ..Wish::of(Access::ALL[step % 4]) };
        let info = buffer_info(1000 << (step % 10));
        buffers.push(allocator.create_buffer(&info, &wish).unwrap());
        if step % 4 == 3 {
            allocator.destroy_buffer(buffers.swap_remove(step % buffers.len())).unwrap();
        }
        assert_eq!(told.held(), allocator.held(), "after step {step}");
    }
    for buffer in &buffers {
        let block = told.live.lock().unwrap()[&buffer.allocation().memory()];
        assert_eq!(block.memory_type, buffer.allocation().memory_type());
        assert_eq!(allocator.device().block(block.memory), Some(block));
    }
    for buffer in buffers {
        allocator.destroy_buffer(buffer).unwrap();
    }
    allocator.shutdown().unwrap();
    assert_eq!(told.held(), 0);
    assert_ne!(*told.freed.lock().unwrap(), 0);
}

#[test]
fn a_block_that_was_refused_is_not_told() {
    let Some(gpu) = Gpu::open() else { return };
    let (vulkan, told) = listened(&gpu);
    let size = vulkan.properties().heaps.iter().map(|heap| heap.size).max().unwrap() + 1;
    let (dedicated, extra) = (None, None);
    let device_address = false;
    let order = Order {
        size,
        memory_type: 0,
        priority: 0.5,
        device_address,
        dedicated,
        device_mask: 0,
        extra,
    };
    assert!(vulkan.allocate(&order).is_err());
    assert_eq!(told.held(), 0);
    drop(vulkan);
    assert_eq!(*told.freed.lock().unwrap(), 0);
}
