//! Polder: the core's space and the default allocator on Vulkan.

use super::{CALLS_LIVE, CALLS_NEED, Need, Peer};
use crate::gpu::{Gpu, buffer_info};
use polder_core::space::{self, Record, RegionId, Strategy as Search};
use polder_core::store::{Full, Store};
use polder_device::virtual_block::Detail;
use polder_device::{
    Access, Allocation, Allocator, Buffer, Device, Factory as _, MemoryProperties, Options,
    Request, Requirements, Strategy, Wish,
};
use polder_vulkan::Vulkan;
use std::hint::black_box;
use std::sync::Arc;

/// What the tables call it.
pub const NAME: &str = "Polder";

/// A space with records in vectors, as the device half has it.
pub struct Space {
    space: space::Space<Grown<Record>, Grown<u32>>,
    search: Search,
}

impl Space {
    /// Makes a space of `size` bytes.
    pub fn new(size: u64, search: Search) -> Self {
        let space = space::Space::new(size, Grown(Vec::new()), Grown(Vec::new()));
        Self { space: space.expect("a space has a size"), search }
    }
}

impl Peer for Space {
    type Handle = RegionId;

    #[inline]
    fn allocate(&mut self, Need { size, align }: Need) -> RegionId {
        let request = space::Request { size, align, strategy: self.search, tag: 0 };
        self.space.allocate(request).expect("the space has room").id
    }

    #[inline]
    fn free(&mut self, handle: RegionId) {
        self.space.free(handle).expect("the region is used");
    }
}

/// A store in a vector.
struct Grown<T>(Vec<T>);

impl<T> Store<T> for Grown<T> {
    #[inline]
    fn records(&self) -> &[T] {
        &self.0
    }

    #[inline]
    fn records_mut(&mut self) -> &mut [T] {
        &mut self.0
    }

    fn push(&mut self, record: T) -> Result<(), Full> {
        self.0.push(record);
        Ok(())
    }
}

/// The default allocator.
#[derive(Clone)]
pub struct Heap {
    allocator: Arc<Allocator<Vulkan>>,
    memory_types: u32,
}

impl Heap {
    /// Makes an allocator with default options.
    pub fn new(gpu: &Gpu) -> Self {
        let allocator = Arc::new(Allocator::new(gpu.polder(), Options::default()));
        Self { allocator, memory_types: gpu.memory_types }
    }
}

impl Heap {
    /// Returns how many allocations the detailed figures count.
    pub fn figures(&self) -> u64 {
        self.allocator.detailed_stats().total.allocations.count()
    }

    /// Returns the length of VMA's text with every region.
    pub fn text_len(&self) -> usize {
        self.allocator.vma_json(Detail::Regions).len()
    }
}

impl Peer for Heap {
    type Handle = Allocation<Vulkan>;

    fn allocate(&mut self, Need { size, align }: Need) -> Self::Handle {
        let memory_types = self.memory_types;
        let requirements = Requirements { size, align, memory_types, ..Requirements::ANY };
        let request = Request::new(requirements, Wish::default());
        self.allocator.allocate(&request).expect("there is memory")
    }

    fn free(&mut self, handle: Self::Handle) {
        self.allocator.free(handle).expect("the allocation is live");
    }
}

impl super::Heap for Heap {
    type Shared = Self;

    fn held(&self) -> u64 {
        self.allocator.held()
    }

    fn share(self) -> Self {
        self
    }
}

/// The same allocator as a factory of buffers.
pub struct Factory(Allocator<Vulkan>);

impl Factory {
    /// Makes an allocator with default options.
    pub fn new(gpu: &Gpu) -> Self {
        Self(Allocator::new(gpu.polder(), Options::default()))
    }
}

impl Peer for Factory {
    type Handle = Buffer<Vulkan>;

    fn allocate(&mut self, Need { size, .. }: Need) -> Self::Handle {
        let created = self.0.create_buffer(&buffer_info(size), &Wish::default());
        created.expect("there is memory")
    }

    fn free(&mut self, handle: Self::Handle) {
        self.0.destroy_buffer(handle).expect("the buffer is live");
    }
}

/// The same allocator with allocations that the host sees.
pub struct Calls {
    allocator: Allocator<Vulkan>,
    live: Vec<Allocation<Vulkan>>,
    next: usize,
}

impl Calls {
    /// Makes an allocator with default options, and the allocations.
    pub fn new(gpu: &Gpu) -> Self {
        let allocator = Allocator::new(gpu.polder(), Options::default());
        let Need { size, align } = CALLS_NEED;
        let requirements = Requirements { size, align, ..Requirements::ANY };
        let required = MemoryProperties::HOST_COHERENT;
        let wish = Wish { required, ..Wish::of(Access::HostWrites) };
        let request = Request::new(requirements, wish);
        let allocate = |_| allocator.allocate(&request).expect("there is memory");
        let live = (0..CALLS_LIVE).map(allocate).collect();
        Self { allocator, live, next: 0 }
    }

    /// The next allocation, and whose it is.
    #[inline]
    fn next(&mut self) -> (&Allocator<Vulkan>, &Allocation<Vulkan>) {
        self.next = (self.next + 1) % CALLS_LIVE;
        (&self.allocator, &self.live[self.next])
    }
}

impl super::Calls for Calls {
    #[inline]
    fn map(&mut self) {
        let (allocator, allocation) = self.next();
        black_box(allocator.map(allocation).expect("the host sees it"));
        allocator.unmap(allocation).expect("it is mapped");
    }

    #[inline]
    fn place(&mut self) {
        let handle = black_box(self.next().1);
        black_box((handle.memory(), handle.offset(), handle.size()));
        black_box((handle.memory_type(), handle.pointer()));
    }

    #[inline]
    fn info(&mut self) {
        let (allocator, allocation) = self.next();
        black_box(allocator.info(allocation).expect("the allocation is live"));
    }

    #[inline]
    fn flush(&mut self) {
        let (allocator, allocation) = self.next();
        let flushed = allocator.flush(allocation, 0..allocation.size());
        flushed.expect("coherent memory needs nothing");
    }

    #[inline]
    fn budgets(&mut self) {
        let heaps = self.allocator.device().properties().heaps.len() as u32;
        for heap in 0..heaps {
            black_box(self.allocator.budget(heap));
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        for allocation in self.live.drain(..) {
            self.allocator.free(allocation).expect("the allocation is live");
        }
    }
}
