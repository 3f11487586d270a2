//! The seam between benchmarks and the allocators that are measured: one file each.

pub mod driver;
pub mod gpu_alloc;
pub mod gpu_allocator;
pub mod offset_allocator;
pub mod polder;
pub mod virtual_block;
pub mod vma;

use crate::gpu::Gpu;
use std::sync::{Arc, Mutex};

/// What is asked for. Bytes.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// How much.
    pub size: u64,
    /// What the offset is a multiple of: a power of two.
    pub align: u64,
}

/// An allocator under test, of device memory or of a mere range.
///
/// # Panics
///
/// Its functions panic when the allocator refuses: a benchmark asks for nothing that it may refuse.
pub trait Peer {
    /// What it hands out.
    type Handle: Send;

    /// Allocates.
    fn allocate(&mut self, need: Need) -> Self::Handle;

    /// Frees.
    fn free(&mut self, handle: Self::Handle);
}

/// Allocations that the host sees, and what a program asks of them again and again. Each function
/// takes the next allocation, round after round.
pub trait Calls {
    /// Maps it and unmaps it.
    fn map(&mut self);

    /// Asks where it is.
    fn place(&mut self);

    /// Asks for all that is known of it.
    fn info(&mut self);

    /// Flushes all of it; the memory is coherent.
    fn flush(&mut self);

    /// Asks for every heap's budget.
    fn budgets(&mut self);
}

/// How many allocations there are.
pub const CALLS_LIVE: usize = 1_000;
/// Bytes of each, and what their offsets are multiples of.
pub const CALLS_NEED: Need = Need { size: 4 << 10, align: 256 };

/// An allocator of device memory.
pub trait Heap: Peer {
    /// The same allocator for several threads: itself, or in a mutex.
    type Shared: Peer<Handle = Self::Handle> + Clone + Send;

    /// Returns the bytes in blocks.
    fn held(&self) -> u64;

    /// Makes it ready for several threads, in the way its users have to.
    fn share(self) -> Self::Shared;
}

/// What is to be done with each heap.
pub trait ForEachHeap<'a> {
    /// Does it; `make` makes the heap anew each time.
    fn visit<H: Heap + 'a>(&mut self, name: &'static str, make: impl Fn() -> H);
}

/// Visits the heaps of all peers, Polder's first.
pub fn for_each_heap<'a>(gpu: &'a Gpu, visitor: &mut impl ForEachHeap<'a>) {
    visitor.visit(polder::NAME, || polder::Heap::new(gpu));
    visitor.visit(vma::NAME, || vma::Heap::new(gpu));
    visitor.visit(gpu_allocator::NAME, || gpu_allocator::Heap::new(gpu));
    visitor.visit(gpu_alloc::BUDDY, || gpu_alloc::Heap::new(gpu, gpu_alloc::Kind::Buddy));
    visitor.visit(gpu_alloc::FREE_LIST, || gpu_alloc::Heap::new(gpu, gpu_alloc::Kind::FreeList));
}

/// An allocator that wants `&mut`, shared by threads in the only way there is.
pub struct Locked<P>(Arc<Mutex<P>>);

impl<P> Locked<P> {
    /// Puts it into a mutex.
    pub fn new(peer: P) -> Self {
        Self(Arc::new(Mutex::new(peer)))
    }
}

impl<P> Clone for Locked<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Peer> Peer for Locked<P> {
    type Handle = P::Handle;

    fn allocate(&mut self, need: Need) -> P::Handle {
        self.0.lock().expect("no peer panics").allocate(need)
    }

    fn free(&mut self, handle: P::Handle) {
        self.0.lock().expect("no peer panics").free(handle);
    }
}

/// A peer with what is allocated in it; frees all of it at the end.
pub struct Live<P: Peer> {
    /// The peer.
    pub peer: P,
    /// What is allocated.
    pub handles: Vec<P::Handle>,
}

impl<P: Peer> Live<P> {
    /// Allocates `count` times.
    pub fn fill(mut peer: P, count: usize, mut need: impl FnMut() -> Need) -> Self {
        let handles = (0..count).map(|_| peer.allocate(need())).collect();
        Self { peer, handles }
    }
}

impl<P: Peer> Drop for Live<P> {
    fn drop(&mut self) {
        let Self { peer, handles } = self;
        handles.drain(..).for_each(|handle| peer.free(handle));
    }
}
