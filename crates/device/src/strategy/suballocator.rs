//! A division made into a strategy: one arena over one memory type.

mod family;
mod frames;

pub use family::Family;

use super::{Coherence, Strategy, Tied};
use crate::allocation::{Allocation, AllocationId, AllocatorId, HostPointer};
use crate::arena::{AllocationInfo, Arena, Config, Kept, Rules, make_all_coherent};
use crate::choice::{expect_possible, validate_for_type};
use crate::debug::{Aids, Care, Corruption, Inspection, NotInspected};
use crate::device::{DedicatedWish, Device};
use crate::division::{Division, buddy, linear, mixed, slab, tlsf, whole};
use crate::error::{AllocError, Contradiction, FreeError, MapError, Misuse, ShortageCause};
use crate::frame_queue::FrameQueue;
use crate::growth::Growth;
use crate::request::{BudgetRule, Placement, Request};
use crate::snapshot::{BlockSnapshot, Leak, LeakReport};
use crate::supply::{HeapAccount, Refusal, Supply, shortage};
use core::ops::Range;
use family::Member;
use polder_core::stats::{DetailedStats, Stats};
use std::sync::{Arc, Mutex, PoisonError};

/// A block for each allocation.
pub type Dedicated<D> = Suballocator<D, whole::Whole>;
/// Two-level segregated fit.
pub type Tlsf<D> = Suballocator<D, tlsf::Tlsf>;
/// Stack, double stack or ring.
pub type Linear<D> = Suballocator<D, linear::Linear>;
/// Size classes of equal slots.
pub type Slab<D> = Suballocator<D, slab::Slab>;
/// Halves of halves.
pub type Buddy<D> = Suballocator<D, buddy::Buddy>;

/// A group of blocks that the user made, general or linear: a strategy that shares its limits with
/// an [`Allocator`](crate::Allocator) and nothing else. Made by its
/// [`create_pool`](crate::Allocator::create_pool).
pub type Pool<D> = Suballocator<D, mixed::Mixed>;

/// What a [`Suballocator`] is made with. `X` is the device's [`Extra`](Device::Extra).
#[derive(Clone, Debug)]
pub struct Setup<C, X> {
    /// Number of the memory type of its blocks.
    pub memory_type: u32,
    /// Bytes of the first block and of the largest; nothing for what suits the heap. Powers of
    /// two.
    pub growth: Option<Growth>,
    /// What is said of its blocks beside.
    pub rules: Rules<X>,
    /// How its blocks are parted.
    pub division: C,
    /// A name for reports.
    pub name: Option<String>,
}

impl<C: Default, X> Default for Setup<C, X> {
    fn default() -> Self {
        Self {
            memory_type: 0,
            growth: None,
            rules: Rules::default(),
            division: C::default(),
            name: None,
        }
    }
}

/// A strategy of one memory type whose blocks are parted by `V`. Threads take turns; a free does
/// not wait.
#[derive(Debug)]
pub struct Suballocator<D: Device, V: Division> {
    arena: Arena<D, V>,
    name: Mutex<Option<String>>,
    frames: FrameQueue<D>,
    /// A pool's place among its allocator's.
    member: Option<Member<D, V>>,
}

impl<D: Device, V: Division> Suballocator<D, V> {
    /// Makes a strategy that holds nothing yet.
    ///
    /// # Panics
    ///
    /// When the device has no such memory type, an alignment is no power of two, a block's size is
    /// zero, or the mask names devices that are not in the group.
    #[must_use]
    pub fn new(device: Arc<D>, setup: Setup<V::Config, D::Extra>) -> Self {
        Self::over(Arc::new(Supply::new(device, &[])), setup, Care::default())
    }

    /// As [`new`](Self::new), with aids. A pool has those of its allocator.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new), and when the aids are not for the device ([`Aids::check`]).
    #[must_use]
    pub fn with_aids(device: Arc<D>, setup: Setup<V::Config, D::Extra>, aids: Aids) -> Self {
        let supply = Arc::new(Supply::new(device, &[]));
        aids.expect_good(supply.properties());
        Self::over(supply, setup, Care { aids, ..Care::default() })
    }

    /// Makes a strategy whose blocks count where `supply` counts them, with aids that were checked.
    pub(crate) fn over(
        supply: Arc<Supply<D>>,
        setup: Setup<V::Config, D::Extra>,
        care: Care,
    ) -> Self {
        let Setup { memory_type, growth, rules, division, name } = setup;
        assert!(rules.align.is_power_of_two(), "an alignment is a power of two");
        assert_ne!(rules.block_size, Some(0), "a block has at least one byte");
        let is_there = supply.properties().group.has(rules.device_mask);
        assert!(is_there, "a mask names devices of the group");
        let types = &supply.properties().memory_types;
        let heap = types.get(memory_type as usize).expect("the device has the memory type").heap;
        let heap_size = supply.properties().heaps[heap as usize].size;
        let config = Config {
            allocator: AllocatorId::fresh(),
            index: 0,
            memory_type,
            division,
            growth: growth.unwrap_or(Growth::of_heap(heap_size)),
            kept: Kept::Share,
            care,
            rules,
        };
        let frames = FrameQueue::default();
        let (arena, name) = (Arena::new(config, supply), Mutex::new(name));
        Self { arena, name, frames, member: None }
    }

    /// Takes blocks until there are as many as the setup says at least; smaller ones where memory
    /// is short, unless their size is the rule.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] or the device's; blocks that were taken before it stay.
    pub fn fill(&self) -> Result<(), AllocError> {
        self.arena.fill(BudgetRule::Prefer).map_err(|refusal| {
            let size = self.arena.config().rules.block_size;
            self.refuse(refusal, size.unwrap_or(self.arena.config().growth.size_least))
        })
    }

    /// Returns what tells its handles from others'.
    pub const fn id(&self) -> AllocatorId {
        self.arena.config().allocator
    }

    pub(crate) const fn arena(&self) -> &Arena<D, V> {
        &self.arena
    }

    /// Returns the number of the memory type of its blocks.
    pub const fn memory_type(&self) -> u32 {
        self.arena.config().memory_type
    }

    /// Returns its name.
    pub fn name(&self) -> Option<String> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives it another name, or none.
    pub fn set_name(&self, name: Option<&str>) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = name.map(String::from);
    }

    /// Shows every block.
    pub fn snapshot(&self) -> Vec<BlockSnapshot> {
        self.arena.snapshot()
    }

    /// Returns the counters; takes the lock, and constant time.
    pub fn stats(&self) -> Stats {
        self.arena.stats()
    }

    /// Returns the figures of every block, allocation and free region; looks at each of them.
    pub fn detailed_stats(&self) -> DetailedStats {
        self.arena.detailed_stats()
    }

    /// Returns what is known of an allocation.
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    pub fn info(&self, allocation: &Allocation<D>) -> Result<AllocationInfo<D::Memory>, Misuse> {
        self.expect_mine(allocation.id())?;
        self.arena.info(allocation.id())
    }

    /// Gives an allocation another name, or none.
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    pub fn rename(&self, allocation: &Allocation<D>, name: Option<&str>) -> Result<(), Misuse> {
        self.expect_mine(allocation.id())?;
        self.arena.set_name(allocation.id(), name)
    }

    /// Writes a number of the user's own on an allocation.
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    pub fn set_user_data(&self, allocation: &Allocation<D>, data: u64) -> Result<(), Misuse> {
        self.expect_mine(allocation.id())?;
        self.arena.set_user_data(allocation.id(), data)
    }

    /// Says how soon an allocation may go when memory is short, as
    /// [`Allocator::set_evictable`](crate::Allocator::set_evictable) does. Who is told of it is
    /// told by the allocator that made the pool; a strategy of its own has nobody to tell.
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    pub fn set_evictable(
        &self,
        allocation: &Allocation<D>,
        priority: Option<f32>,
    ) -> Result<(), Misuse> {
        self.expect_mine(allocation.id())?;
        self.arena.set_evictable(allocation.id(), priority)
    }

    /// Looks at the margin behind every allocation. Takes the lock, and maps blocks that are not.
    ///
    /// # Errors
    ///
    /// It does not detect corruption, or its memory is not visible to the host and coherent.
    pub fn check_corruption(&self) -> Result<Inspection, NotInspected> {
        let memory_types = 1 << self.memory_type();
        self.arena.inspect().ok_or(NotInspected { memory_types })
    }

    /// Returns what was found behind allocations when they moved or were freed, the first 256 of
    /// it.
    #[must_use]
    pub fn corruptions(&self) -> Vec<Corruption> {
        self.arena.corruptions()
    }

    /// Returns what is allocated, as the leak report would name it.
    #[must_use]
    pub fn leaks(&self) -> Vec<Leak> {
        self.arena.leaks()
    }

    /// Gives empty blocks back to the device, but for the least number that its setup says.
    pub fn trim(&self) {
        self.arena.trim();
    }

    /// Turns the name of a live allocation into its handle again.
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
        self.expect_mine(id)?;
        self.arena.handle(id)
    }

    /// Verifies every invariant; for tests.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn check(&self) {
        self.arena.check();
    }

    /// Tells whether the aids want a block of its own for a request.
    fn is_dedicated_by_aids(&self, request: &Request<'_, D>) -> bool {
        let Config { care, rules, .. } = self.arena.config();
        care.aids.always_dedicated
            && rules.block_size.is_none()
            && request.wish.placement != Placement::Existing
    }

    fn expect_mine(&self, id: AllocationId) -> Result<(), Misuse> {
        let expected = self.arena.config().allocator;
        if id.allocator == expected {
            return Ok(());
        }
        Err(Misuse::WrongAllocator { expected, found: id.allocator })
    }

    fn refuse(&self, refusal: Refusal, size: u64) -> AllocError {
        let memory_type = self.arena.config().memory_type;
        let Stats { used, held, .. } = self.arena.stats();
        let largest_free = self.arena.largest_free();
        let account = HeapAccount { memory_type, used, held, largest_free, spill: None };
        shortage(self.arena.supply(), refusal, size, account)
    }

    /// Takes in the one way, and where memory is short in others: after the empty blocks went back,
    /// and in the other way if it may change.
    fn search(
        &self,
        request: &Request<'_, D>,
        alone: bool,
        may_change: bool,
    ) -> Result<Allocation<D>, Refusal> {
        let mut result = self.take(request, alone);
        if request.wish.placement == Placement::Existing {
            return result;
        }
        if is_short(&result) {
            // Its own empty blocks may be what fills the heap.
            self.trim();
            result = self.take(request, alone);
        }
        if let Err(refusal) = result
            && self.trim_others(refusal)
        {
            result = self.take(request, alone);
        }
        if is_short(&result) && may_change {
            let other = self.take(request, !alone);
            // What the strategy never serves is not why there was nothing.
            let serves = !matches!(other, Err(Refusal::Short(ShortageCause::Strategy { .. })));
            result = if serves { other } else { result };
        }
        result
    }

    /// Takes from a shared block, if need be a new one, or a block of its own.
    fn take(&self, request: &Request<'_, D>, alone: bool) -> Result<Allocation<D>, Refusal> {
        let rule = request.wish.budget;
        self.arena.with(|session| {
            if alone {
                return self.arena.dedicate(session, request, rule);
            }
            match self.arena.place(session, request) {
                Ok(Some(allocation)) => Ok(allocation),
                Err(error @ Refusal::Device(_)) => Err(error),
                _ if request.wish.placement == Placement::Existing => {
                    Err(Refusal::Short(ShortageCause::NewBlockForbidden))
                }
                _ => self.arena.grow(session, request, rule),
            }
        })
    }
}

// SAFETY: Every answer is the arena's, whose parts are those of its division or whole blocks, and
// whose table says which of them live.
unsafe impl<D: Device, V: Division> Strategy<D> for Suballocator<D, V> {
    fn device(&self) -> &D {
        self.arena.supply().device()
    }

    fn allocate(&self, request: &Request<'_, D>) -> Result<Allocation<D>, AllocError> {
        let memory_type = self.arena.config().memory_type;
        validate_for_type(request, self.arena.supply().properties(), memory_type)?;
        let has_upper_end = V::has_upper_end(&self.arena.config().division);
        expect_possible(request, has_upper_end, self.arena.devices())?;
        let must_be_alone = V::ALONE
            || request.wish.placement == Placement::Dedicated
            || request.requirements.dedicated == DedicatedWish::Required;
        if V::ALONE && request.wish.placement == Placement::Existing {
            return Err(Contradiction::NewBlockForbidden.into());
        }
        // Where the size of blocks is the rule, there is none for one allocation.
        let is_ruled = self.arena.config().rules.block_size.is_some();
        if is_ruled && must_be_alone {
            return Err(Contradiction::BlocksAreShared.into());
        }
        let must_be_alone = must_be_alone || self.is_dedicated_by_aids(request);
        let may_be_alone = request.wish.placement == Placement::Auto && !is_ruled;
        let prefers = request.requirements.dedicated == DedicatedWish::Preferred;
        let alone = must_be_alone || may_be_alone && prefers;
        let may_change = !must_be_alone && !is_ruled;
        let mut result = self.search(request, alone, may_change);
        let size = request.requirements.size;
        if let Err(refusal) = result {
            let supply = self.arena.supply();
            if supply.tell_no_room(supply.heap_of(memory_type), size, refusal) {
                result = self.search(request, alone, may_change);
            }
        }
        self.trim_heaps(self.arena.supply().tell_of_growth());
        result.map_err(|refusal| self.refuse(refusal, size))
    }

    fn free(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        let id = allocation.id();
        self.expect_mine(id)
            .and_then(|()| self.arena.free(id))
            .map_err(|reason| FreeError { reason, allocation })
    }

    fn undo(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        let id = allocation.id();
        self.expect_mine(id)
            .and_then(|()| self.arena.undo(id))
            .map_err(|reason| FreeError { reason, allocation })
    }

    fn expect_live(&self, allocation: &Allocation<D>) -> Result<(), Misuse> {
        self.expect_mine(allocation.id())?;
        self.arena.expect_live(allocation.id())
    }

    fn tied_to(&self, allocation: &Allocation<D>) -> Result<Option<Tied<D>>, Misuse> {
        self.expect_mine(allocation.id())?;
        self.arena.tied_to(allocation.id())
    }

    fn used(&self) -> u64 {
        self.arena.stats().used
    }

    fn held(&self) -> u64 {
        self.arena.stats().held
    }

    fn live(&self) -> Vec<AllocationId> {
        self.arena.live()
    }

    fn map(&self, allocation: &Allocation<D>) -> Result<HostPointer, MapError> {
        self.expect_mine(allocation.id())?;
        self.arena.map(allocation)
    }

    fn unmap(&self, allocation: &Allocation<D>) -> Result<(), MapError> {
        self.expect_mine(allocation.id())?;
        self.arena.unmap(allocation)
    }

    fn make_coherent(
        &self,
        allocation: &Allocation<D>,
        range: Range<u64>,
        which: Coherence,
    ) -> Result<(), MapError> {
        self.expect_mine(allocation.id())?;
        self.arena.make_coherent(allocation, range, which)
    }

    fn make_all_coherent(
        &self,
        ranges: &[(&Allocation<D>, Range<u64>)],
        which: Coherence,
    ) -> Result<(), MapError> {
        make_all_coherent(ranges, which, |id| self.expect_mine(id).map(|()| &self.arena))
    }
}

/// Tells whether another way may have memory; what the strategy never serves has none.
const fn is_short<D: Device>(result: &Result<Allocation<D>, Refusal>) -> bool {
    match result {
        Err(Refusal::Short(cause)) => !matches!(cause, ShortageCause::Strategy { .. }),
        _ => false,
    }
}

impl<D: Device, V: Division> Drop for Suballocator<D, V> {
    fn drop(&mut self) {
        self.frames.free_all(self);
        let leaks = self.arena.leaks();
        if !leaks.is_empty() {
            log::error!("{}", LeakReport { leaks });
        }
    }
}
