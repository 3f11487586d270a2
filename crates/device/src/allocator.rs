//! The default allocator: every memory type, every thread, one handle.
//!
//! It ranks the memory types for a request ([`Allocator::explain`] says how), and allocates from
//! the first that has room. Each memory type has a few arenas; a thread keeps to one of them and
//! goes to the next when it finds it busy, so threads share neither blocks nor locks. What is
//! asked to live shortly goes to arenas of its own. A plain allocation or free touches the arena
//! alone: no driver call, no lock that all threads share.
//!
//! When memory is short it tries, in this order: a smaller block, what other arenas have, the
//! empty blocks that were kept, a block of exactly the size, the next memory type; what is for the
//! device alone leaves its memory only where the wish lets it [spill](crate::Spill). Then it asks
//! who wants to [know](Allocator::on_pressure), and tries once more.

mod corruption;
mod pools;
mod pressure;
mod report;
mod short;
mod threads;
mod vma;

pub use pools::PoolSetup;
pub use report::AllStats;
pub(crate) use threads::{home, processors};

use crate::allocation::{Allocation, AllocationId, AllocatorId, HostPointer};
use crate::arena::{Arena, Coherence, Config, Kept, Rules, make_all_coherent};
use crate::choice::{Explanation, Ranking, validate};
use crate::debug::{Aids, Care};
use crate::device::{Device, DeviceError, DeviceProperties, Resource, Resources};
use crate::division::linear;
use crate::division::mixed::{self, Mixed};
use crate::error::{AllocError, FreeError, MapError, Misuse};
use crate::frame_queue::{FrameQueue, Framed, Freeable};
use crate::frames::end_of;
use crate::growth::Growth;
use crate::request::{Access, Lifetime, Mapping, Request, Wish};
use crate::snapshot::LeakReport;
use crate::strategy::{Family, Strategy, Tied};
use crate::supply::{Refusal, Supply};
use core::ops::Range;
use std::sync::{Arc, OnceLock};

/// How an [`Allocator`] is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many arenas each memory type has, at most [`ARENAS_MAX`]; 0 for one per processor, at
    /// most eight.
    pub arenas: u32,
    /// Bytes of the first and of the largest shared block; nothing for what suits each heap.
    pub growth: Option<Growth>,
    /// The most bytes that may be held of each heap; heaps beyond its end have no limit.
    pub heap_limits: Vec<Option<u64>>,
    /// Which empty blocks are kept for what comes next.
    pub empty_blocks: EmptyBlocks,
    /// Whether each allocation remembers where it was made, for the leak report. Slow.
    pub backtraces: bool,
    /// What lets mistakes with memory show while a program is developed.
    pub aids: Aids,
}

/// Which empty blocks stay with an allocator. One of each arena always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EmptyBlocks {
    /// A small share of what is used: little is held in vain.
    #[default]
    Share,
    /// All while their heap is within its budget, so that no frame waits for the driver to give
    /// memory that was given back the frame before. When a budget shrinks, they go with the next
    /// frame or the next block that becomes empty.
    WithinBudget,
}

/// Most arenas of one memory type and lifetime.
pub const ARENAS_MAX: u32 = 64;
/// As many as are made when nobody says.
const ARENAS_DEFAULT_MAX: usize = 8;
/// How blocks for what lives shortly are parted.
const RING: mixed::Config = mixed::Config::Linear(linear::Config { mode: linear::Mode::Ring });
/// The lifetimes that have arenas of their own.
const LIFETIMES: u32 = 2;

/// The default strategy, for all memory types of a device. See the [module](self).
///
/// Share it by reference or in an [`Arc`]: every function takes `&self`.
///
/// ```
/// use polder_device::sim::{BufferInfo, Preset, Sim};
/// use polder_device::{Access, Allocator, Factory, Options, Strategy, Wish};
///
/// let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
/// let info = BufferInfo { size: 64 << 10, ..BufferInfo::default() };
/// let mut staging = allocator.create_buffer(&info, &Wish::of(Access::HostWrites))?;
/// allocator.write(staging.allocation_mut(), 0, &[1, 2, 3])?;
/// allocator.destroy_buffer(staging)?;
/// allocator.shutdown()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Allocator<D: Device> {
    id: AllocatorId,
    supply: Arc<Supply<D>>,
    options: Options,
    /// Arenas of each memory type and lifetime.
    arena_count: u32,
    /// By memory type, lifetime and number; made when first used.
    arenas: Arc<[OnceLock<Arena<D, Mixed>>]>,
    /// The ranking for each access when nothing else is wished.
    rankings: [Ranking; Access::ALL.len()],
    /// What is to be freed when the device has completed a frame.
    frames: FrameQueue<D>,
    /// The arenas and the pools.
    family: Arc<Family<D, Mixed>>,
}

impl<D: Device> Allocator<D> {
    /// Makes an allocator that holds nothing yet.
    ///
    /// # Panics
    ///
    /// When the [aids](Options::aids) are not for this device ([`Aids::check`]).
    pub fn new(device: D, options: Options) -> Self {
        Self::of(Arc::new(device), options)
    }

    /// Makes an allocator over a device that others use too.
    ///
    /// # Panics
    ///
    /// When the [aids](Options::aids) are not for this device ([`Aids::check`]).
    pub fn of(device: Arc<D>, options: Options) -> Self {
        let supply = Arc::new(Supply::new(device, &options.heap_limits));
        let properties = supply.properties();
        options.aids.expect_good(properties);
        let rank = |access| Ranking::new(properties, &Wish::of(access));
        let rankings = Access::ALL.map(rank);
        let arena_count = match options.arenas {
            0 => threads::processors().min(ARENAS_DEFAULT_MAX) as u32,
            count => count.min(ARENAS_MAX),
        };
        let arenas = properties.memory_types.len() as u32 * LIFETIMES * arena_count;
        let arenas: Arc<[_]> = (0..arenas).map(|_| OnceLock::new()).collect();
        let (id, frames) = (AllocatorId::fresh(), FrameQueue::default());
        let family = Arc::new(Family::new(arenas.clone()));
        Self { id, supply, options, arena_count, arenas, rankings, frames, family }
    }

    /// Returns what tells this allocator's handles from others'.
    pub const fn id(&self) -> AllocatorId {
        self.id
    }

    /// Returns what the device answers once and for all. Where each device of a group has its own
    /// of a heap, memory of it is not visible to the host here, whatever the device says: Vulkan
    /// maps no block with several instances.
    pub fn properties(&self) -> &DeviceProperties {
        self.supply.properties()
    }

    /// Tells for every memory type whether a request with this wish may get it, and why.
    pub fn explain(&self, memory_types: u32, wish: &Wish<'_>) -> Explanation {
        Explanation::new(self.properties(), memory_types, wish)
    }

    /// Returns the memory type that a request with this wish gets while there is room, among those
    /// that `memory_types` has a bit for; nothing when none will do. What a resource allows is in
    /// its [`Requirements`](crate::Requirements).
    pub fn find_memory_type(&self, memory_types: u32, wish: &Wish<'_>) -> Option<u32> {
        let ranking = Ranking::new(self.properties(), wish);
        let best = ranking.among(memory_types & wish.memory_types).next();
        best.map(|(memory_type, _)| memory_type)
    }

    /// Lets the allocator hold at most `limit` bytes of a heap from here on; what it holds beyond
    /// that it keeps.
    ///
    /// # Panics
    ///
    /// When the device has no such heap.
    pub fn set_heap_limit(&self, heap: u32, limit: u64) {
        self.supply.set_limit(heap, limit);
    }

    /// Gives every empty block back to the device, but for those of pools, which have a
    /// [`trim`](crate::strategy::Suballocator::trim) of their own.
    pub fn trim(&self) {
        self.made_arenas().for_each(Arena::trim);
    }

    /// Turns the name of a live allocation into its handle again, for interfaces that hand out
    /// names. The old handle and the new one are the same allocation: it is freed once.
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    ///
    /// # Safety
    ///
    /// Of all handles of the allocation only one is used: to touch its memory while another lives
    /// is to have two owners.
    pub unsafe fn handle(&self, id: AllocationId) -> Result<Allocation<D>, Misuse> {
        self.arena_of(id)?.handle(id)
    }

    /// Says which frame is being recorded: the driver's budgets are asked for again when somebody
    /// wants them, and what the owning handles give up from here on waits for it, in the pools
    /// too. Who wants to know of it ([`on_pressure`](Self::on_pressure)) is told when a budget has
    /// become too small.
    pub fn begin_frame(&self, frame: u64) {
        let is_later = self.frames.begin(frame);
        // Before anybody is told: what is given up in a pool then waits for this frame too.
        self.pools().iter().for_each(|pool| pool.begin_frame(frame));
        if is_later {
            self.supply.watch().registry().begin_frame(end_of(frame) - 1);
            self.keep_budgets();
        }
    }

    /// Says that the device has completed `frame` and all before it, and frees what waited for
    /// them, in the pools too.
    pub fn complete_frame(&self, frame: u64) {
        self.frames.complete(self, frame);
        self.family.complete_frame(frame);
    }

    /// Frees an allocation or a resource when `frame` is completed; at once, if it is.
    ///
    /// # Errors
    ///
    /// The allocation is not this allocator's, or was freed; it comes back.
    pub fn free_after<T: Freeable<D>>(&self, frame: u64, item: T) -> Result<(), FreeError<T>> {
        self.frames.free_after(self, frame, item)
    }

    /// Ends the allocator and gives all its memory back.
    ///
    /// # Errors
    ///
    /// What was still allocated; its memory is given back all the same.
    pub fn shutdown(self) -> Result<(), LeakReport> {
        self.frames.free_all(&self);
        let leaks = self.leaks();
        for id in leaks.iter().map(|leak| leak.id) {
            // Freed here, so that `drop` finds nothing to report a second time.
            let freed = self.arena_of(id).and_then(|arena| arena.free(id));
            debug_assert_eq!(freed, Ok(()), "nobody else can free while we own the allocator");
        }
        if leaks.is_empty() { Ok(()) } else { Err(LeakReport { leaks }) }
    }

    /// The ranking made in advance for the access, if nothing special is wished.
    fn plain_ranking(&self, wish: &Wish<'_>) -> Option<&Ranking> {
        let is_plain = (wish.required | wish.preferred | wish.avoided).is_empty()
            && (wish.access.is_host() || wish.mapping != Mapping::Persistent);
        is_plain.then(|| &self.rankings[wish.access as usize])
    }

    pub(crate) const fn supply(&self) -> &Arc<Supply<D>> {
        &self.supply
    }

    pub(crate) fn made_arenas(&self) -> impl Iterator<Item = &Arena<D, Mixed>> {
        self.arenas.iter().filter_map(OnceLock::get)
    }

    /// The arenas of a memory type and a lifetime, made or not: the first one's number.
    const fn first_arena(&self, memory_type: u32, lifetime: Lifetime) -> u32 {
        (memory_type * LIFETIMES + lifetime as u32) * self.arena_count
    }

    fn arena(&self, index: u32) -> &Arena<D, Mixed> {
        self.arenas[index as usize].get_or_init(|| self.make_arena(index))
    }

    #[cold]
    fn make_arena(&self, index: u32) -> Arena<D, Mixed> {
        let memory_type = index / self.arena_count / LIFETIMES;
        let short_lived = index / self.arena_count % LIFETIMES == Lifetime::ShortLived as u32;
        let heap = &self.properties().heaps[self.supply.heap_of(memory_type) as usize];
        let config = Config {
            allocator: self.id,
            index,
            memory_type,
            division: if short_lived { RING } else { mixed::Config::default() },
            kept: match self.options.empty_blocks {
                EmptyBlocks::WithinBudget => Kept::WithinBudget,
                EmptyBlocks::Share if short_lived => Kept::Recent,
                EmptyBlocks::Share => Kept::Share,
            },
            growth: self.options.growth.unwrap_or_else(|| Growth::of_heap(heap.size)),
            care: self.care(),
            rules: Rules::default(),
        };
        Arena::new(config, self.supply.clone())
    }

    /// What its arenas and pools remember and watch.
    const fn care(&self) -> Care {
        Care { backtraces: self.options.backtraces, aids: self.options.aids }
    }

    #[inline]
    fn arena_of(&self, id: AllocationId) -> Result<&Arena<D, Mixed>, Misuse> {
        let (expected, found) = (self.id, id.allocator);
        if found != expected {
            return Err(Misuse::WrongAllocator { expected, found });
        }
        let arena = self.arenas.get(id.arena as usize).and_then(OnceLock::get);
        arena.ok_or(Misuse::Stale { id, generation: 0 })
    }
}

impl<D: Resources> Allocator<D> {
    /// Returns the memory type that a buffer gets while there is room. Where the device cannot say
    /// what it would need, makes one to ask, and destroys it.
    ///
    /// # Errors
    ///
    /// The device did not make the buffer.
    pub fn find_memory_type_for_buffer(
        &self,
        info: &D::BufferInfo<'_>,
        wish: &Wish<'_>,
    ) -> Result<Option<u32>, DeviceError> {
        if let Some(needs) = self.device().buffer_requirements(info) {
            return Ok(self.find_memory_type(needs.memory_types, wish));
        }
        let buffer = self.device().create_buffer(info)?;
        Ok(self.find_and_destroy(Resource::Buffer(buffer), wish))
    }

    /// Returns the memory type that an image gets while there is room. Where the device cannot say
    /// what it would need, makes one to ask, and destroys it.
    ///
    /// # Errors
    ///
    /// The device did not make the image.
    pub fn find_memory_type_for_image(
        &self,
        info: &D::ImageInfo<'_>,
        wish: &Wish<'_>,
    ) -> Result<Option<u32>, DeviceError> {
        if let Some(needs) = self.device().image_requirements(info) {
            return Ok(self.find_memory_type(needs.memory_types, wish));
        }
        let image = self.device().create_image(info)?;
        Ok(self.find_and_destroy(Resource::Image(image), wish))
    }

    /// For a resource that was just made.
    fn find_and_destroy(
        &self,
        resource: Resource<D::Buffer, D::Image>,
        wish: &Wish<'_>,
    ) -> Option<u32> {
        // SAFETY: The device just made the resource.
        let needs = unsafe { self.device().requirements(resource) };
        // SAFETY: As above, and nobody else knows it.
        unsafe { self.device().destroy(resource) };
        self.find_memory_type(needs.memory_types, wish)
    }
}

// SAFETY: Every answer is an arena's, whose parts are those of a division or whole blocks, and
// whose table says which of them live.
unsafe impl<D: Device> Strategy<D> for Allocator<D> {
    fn device(&self) -> &D {
        self.supply.device()
    }

    #[inline]
    fn allocate(&self, request: &Request<'_, D>) -> Result<Allocation<D>, AllocError> {
        let special;
        let ranking = match self.plain_ranking(&request.wish) {
            Some(ranking) => ranking,
            None => {
                special = Ranking::new(self.properties(), &request.wish);
                &special
            }
        };
        let best = validate(request, self.properties(), ranking)?;
        // A mask of devices, which is rare, may be wrong: that is found on the slow way.
        if request.wish.device_mask == 0 && !self.is_alone(request) {
            match self.place(best, request) {
                Ok(Some(allocation)) => return Ok(allocation),
                Ok(None) | Err(Refusal::Short(_)) => {}
                Err(Refusal::Device(error)) => return Err(AllocError::Device(error)),
            }
        }
        self.allocate_slowly(ranking, request)
    }

    fn free(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        let id = allocation.id();
        let freed = self.arena_of(id).and_then(|arena| arena.free(id));
        freed.map_err(|reason| FreeError { reason, allocation })
    }

    fn undo(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        let id = allocation.id();
        let undone = self.arena_of(id).and_then(|arena| arena.undo(id));
        undone.map_err(|reason| FreeError { reason, allocation })
    }

    fn expect_live(&self, allocation: &Allocation<D>) -> Result<(), Misuse> {
        self.arena_of(allocation.id())?.expect_live(allocation.id())
    }

    fn tied_to(&self, allocation: &Allocation<D>) -> Result<Option<Tied<D>>, Misuse> {
        self.arena_of(allocation.id())?.tied_to(allocation.id())
    }

    fn used(&self) -> u64 {
        self.made_arenas().map(|arena| arena.stats().used).sum()
    }

    fn held(&self) -> u64 {
        self.made_arenas().map(|arena| arena.stats().held).sum()
    }

    fn live(&self) -> Vec<AllocationId> {
        self.made_arenas().flat_map(Arena::live).collect()
    }

    fn map(&self, allocation: &Allocation<D>) -> Result<HostPointer, MapError> {
        self.arena_of(allocation.id())?.map(allocation)
    }

    fn unmap(&self, allocation: &Allocation<D>) -> Result<(), MapError> {
        self.arena_of(allocation.id())?.unmap(allocation)
    }

    fn make_coherent(
        &self,
        allocation: &Allocation<D>,
        range: Range<u64>,
        which: Coherence,
    ) -> Result<(), MapError> {
        self.arena_of(allocation.id())?.make_coherent(allocation, range, which)
    }

    fn make_all_coherent(
        &self,
        ranges: &[(&Allocation<D>, Range<u64>)],
        which: Coherence,
    ) -> Result<(), MapError> {
        make_all_coherent(ranges, which, |id| self.arena_of(id))
    }
}

impl<D: Device> Framed<D> for Allocator<D> {
    fn frame_queue(&self) -> &FrameQueue<D> {
        &self.frames
    }
}

impl<D: Device> Drop for Allocator<D> {
    fn drop(&mut self) {
        self.frames.free_all(self);
        let leaks = self.leaks();
        if !leaks.is_empty() {
            log::error!("{}", LeakReport { leaks });
        }
    }
}
