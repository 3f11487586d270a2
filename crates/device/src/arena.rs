//! A group of blocks of one memory type, and the allocations in them.
//!
//! An arena takes blocks from the [supply](crate::supply), lets a [`Division`] part each of them,
//! and keeps the account: whose every part is, which life of its slot, how often it is mapped. It
//! is the one machine below every strategy; they differ in their division and in how many arenas
//! they have. One thread at a time works in an arena; frees by others travel by its
//! [handover](crate::handover).
//!
//! # Invariants
//!
//! 1. A live slot has an entry, and the entry's part of its block is the slot's.
//! 2. A block that is shared is on the shelf for its division's room, or closed, on none.
//! 3. A dedicated block has exactly one slot.
//! 4. A block's map count is the sum of its allocations' and of one for each part in it that an
//!    open pass keeps of an allocation with a pointer of its own; it is mapped while that is not
//!    zero.
//! 5. Held bytes are the sum of the blocks' sizes, used bytes that of the live allocations'.
//! 6. The list of empty blocks has exactly the shared blocks in which nothing lies.
//! 7. A part is a live slot's place, or one that an open pass keeps: the target of a move, or what
//!    a move has left or a free has given up meanwhile.

mod account;
mod block;
mod coherence;
mod entry;
mod info;
mod mapping;
mod moves;
mod notes;
mod packing;
mod rules;
mod shelves;
mod state;
mod usages;
mod vma;
mod watch;

pub use block::{Kept, Tied};
pub use coherence::{Coherence, check_range, check_within, make_all_coherent};
pub use info::AllocationInfo;
pub use moves::Mapped;
pub use packing::{Effort, Left, Outcome, Packing};
pub use rules::{Neighbours, Rules};
pub use state::State;
pub use watch::is_readable;

use crate::allocation::{Allocation, AllocationId, AllocatorId};
use crate::debug::{Aids, Care};
use crate::device::{Device, MemoryProperties, Order, Tiling};
use crate::division::{Ask, Division, Part};
use crate::error::{Misuse, ShortageCause};
use crate::growth::Growth;
use crate::handover::{Handover, Held};
use crate::request::{BudgetRule, Mapping, Request, Wish};
use crate::supply::{Refusal, Supply};
use block::Block;
use entry::{Entry, Marks};
use polder_core::stats::Stats;
use polder_core::table::{Key, Stale};
use std::sync::Arc;
use watch::{Site, Watch};

/// What an arena is made with.
#[derive(Clone, Debug)]
pub struct Config<D: Device, V: Division> {
    /// Whose it is.
    pub allocator: AllocatorId,
    /// Its number with its allocator.
    pub index: u32,
    /// Number of the memory type of its blocks.
    pub memory_type: u32,
    /// How its blocks are parted.
    pub division: V::Config,
    /// How large its blocks are.
    pub growth: Growth,
    /// Which empty blocks it keeps.
    pub kept: Kept,
    /// What it remembers and watches.
    pub care: Care,
    /// What a user says of its blocks.
    pub rules: Rules<D::Extra>,
}

/// See the [module](self). Two arenas share no cache line, nor the pair that processors fetch.
#[derive(Debug)]
#[repr(align(128))]
pub struct Arena<D: Device, V: Division> {
    config: Config<D, V>,
    supply: Arc<Supply<D>>,
    /// What every offset is a multiple of: at least the atom where host and device are not
    /// coherent, so that no two allocations share one.
    align_least: u64,
    /// Bytes at the end of every part of a shared block that are not the allocation's.
    margin: u64,
    /// Whether something is done for every allocation beside its entry.
    is_attentive: bool,
    /// What [`Mapping::WhereVisible`] means for this memory.
    where_visible: Mapping,
    /// Whether host accesses need flush and invalidate.
    flushes: bool,
    shared: Handover<State<D, V>>,
}

/// The arena's lock, held.
pub type Session<'a, D, V> = Held<'a, State<D, V>>;

impl<D: Device, V: Division> Arena<D, V> {
    /// Makes an arena without blocks.
    pub fn new(config: Config<D, V>, supply: Arc<Supply<D>>) -> Self {
        let properties = supply.properties();
        let memory_type = properties.memory_types[config.memory_type as usize];
        let flushes = needs_flush(memory_type.properties);
        let align_least = if flushes { properties.limits.non_coherent_atom_size } else { 1 };
        let Care { backtraces, ref aids } = config.care;
        let align_least = align_least.max(config.rules.align).max(aids.align_least);
        let is_visible = memory_type.properties.contains(MemoryProperties::HOST_VISIBLE);
        let where_visible = if is_visible { Mapping::Persistent } else { Mapping::Counted };
        let Config { allocator, index: arena, memory_type, kept, .. } = config;
        // What a user says of all blocks may be whose bytes they have.
        let fill = aids.fill && config.rules.extra.is_none();
        let aids = Aids { fill, ..*aids };
        let watch = Watch::new(&aids, Site { allocator, arena, memory_type }, &supply);
        let (margin, is_attentive) = (aids.margin, backtraces || watch.is_on());
        let state = State::new(supply.clone(), kept, config.rules.blocks_least, watch);
        let shared = Handover::new(state);
        Self { config, supply, align_least, margin, is_attentive, where_visible, flushes, shared }
    }

    /// Returns what the arena was made with.
    pub const fn config(&self) -> &Config<D, V> {
        &self.config
    }

    /// Returns where its blocks come from.
    pub const fn supply(&self) -> &Arc<Supply<D>> {
        &self.supply
    }

    /// Waits for the arena.
    pub fn lock(&self) -> Session<'_, D, V> {
        self.shared.lock()
    }

    /// Takes the arena if nobody works in it.
    pub fn try_lock(&self) -> Option<Session<'_, D, V>> {
        self.shared.try_lock()
    }

    /// Ends a session: what became superfluous goes back to the device, after the lock is let go.
    #[inline]
    pub fn end(&self, session: Session<'_, D, V>) {
        if !session.surplus.is_empty() {
            self.give_back(session);
        }
    }

    /// Does some work in a session of its own.
    pub fn with<R>(&self, work: impl FnOnce(&mut Session<'_, D, V>) -> R) -> R {
        let mut session = self.lock();
        let result = work(&mut session);
        self.end(session);
        result
    }

    #[cold]
    fn give_back(&self, mut session: Session<'_, D, V>) {
        let surplus = core::mem::take(&mut session.surplus);
        drop(session);
        surplus.into_iter().for_each(|grant| self.supply.release(grant));
    }

    // Inlined by force, with what it calls: moving the handle through memory at each step of the
    // way costs a sixth of a pair.
    /// Allocates from the blocks that the arena has; `None` when they have no room.
    #[inline(always)]
    pub fn place(
        &self,
        session: &mut Session<'_, D, V>,
        request: &Request<'_, D>,
    ) -> Result<Option<Allocation<D>>, Refusal> {
        let key = session.insert().map_err(|_| NO_SLOTS)?;
        let ask = self.ask(request, key.slot);
        let found = session.find(&ask).or_else(|| session.find_late(&ask));
        let Some((block, part)) = found else {
            session.give_up(key);
            return Ok(None);
        };
        if let Err(error) = session.prepare(block, self.mapping(request)) {
            session.put_back(block, part.key);
            session.give_up(key);
            return Err(Refusal::of_mapping(error));
        }
        let entry = Entry::new(block, part, &ask, request.requirements.size);
        Ok(Some(self.hand_out(session, request, key, entry)))
    }

    /// Allocates from a new block that others will share.
    pub fn grow(
        &self,
        session: &mut Session<'_, D, V>,
        request: &Request<'_, D>,
        rule: BudgetRule,
    ) -> Result<Allocation<D>, Refusal> {
        let (ask, config) = (self.ask(request, 0), &self.config);
        let refused = || {
            let size_max = V::size_max(&config.division).saturating_sub(self.margin);
            Refusal::Short(ShortageCause::Strategy { size_max })
        };
        if config.rules.block_size.is_some() {
            return self.grow_by_rule(session, request, rule);
        }
        let suggested = self.block_size(ask.size);
        let first = V::block_size(&config.division, ask.size, ask.align, suggested);
        let first = first.ok_or_else(refused)?;
        let least = V::block_size_least(&config.division, ask.size, ask.align);
        let sizes = Growth::sizes(first, least);
        let block = self.take_one_of(session, self.mapping(request), sizes, rule)?;
        self.place_first(session, request, block)?.ok_or_else(refused)
    }

    /// The size of the next shared block for a request of `size` bytes.
    fn block_size(&self, size: u64) -> u64 {
        let Config { growth, kept, .. } = &self.config;
        if !self.supply.has_blocks_to_spare() {
            return growth.size_most;
        }
        let suggested = growth.for_request(self.held_of_type(), size);
        suggested.unwrap_or_else(|| kept.round(size, growth.size_most))
    }

    /// Allocates from a block that was just taken for the request, or gives it back.
    fn place_first(
        &self,
        session: &mut Session<'_, D, V>,
        request: &Request<'_, D>,
        block: u32,
    ) -> Result<Option<Allocation<D>>, Refusal> {
        let key = session.insert().map_err(|_| NO_SLOTS)?;
        let ask = self.ask(request, key.slot);
        let Some(part) = session.find_in(block, &ask) else {
            session.give_up(key);
            session.discard(block);
            return Ok(None);
        };
        let entry = Entry::new(block, part, &ask, request.requirements.size);
        let entry = Entry { marks: Marks::FRESH, ..entry };
        Ok(Some(self.hand_out(session, request, key, entry)))
    }

    /// Tells whether a request for which no block has room gets one of its own.
    pub fn is_large(&self, size: u64) -> bool {
        self.config.growth.is_large(size)
    }

    fn held_of_type(&self) -> u64 {
        self.supply.held_of_type(self.config.memory_type)
    }

    /// Adds an empty shared block of the first of some sizes that there is memory for.
    fn take_one_of(
        &self,
        session: &mut Session<'_, D, V>,
        mapping: Mapping,
        sizes: impl Iterator<Item = u64>,
        rule: BudgetRule,
    ) -> Result<u32, Refusal> {
        let mut refusal = Refusal::Short(ShortageCause::Driver);
        for size in sizes {
            match self.take_block(session, mapping, size, rule) {
                Err(error @ Refusal::Short(_)) => refusal = error,
                result => return result,
            }
        }
        Err(refusal)
    }

    /// Adds an empty shared block, mapped if the request will want that, and returns its number.
    fn take_block(
        &self,
        session: &mut Session<'_, D, V>,
        mapping: Mapping,
        size: u64,
        rule: BudgetRule,
    ) -> Result<u32, Refusal> {
        self.expect_allowed(session, size)?;
        let granularity = self.granularity();
        // First, for a user's own division may panic.
        let division = V::new(&self.config.division, size, granularity);
        let grant = self.supply.acquire(&self.order(size, None), rule)?;
        let block = session.add(Block::shared(grant, division));
        match session.prepare(block, mapping) {
            Ok(()) => Ok(block),
            Err(error) => {
                // At once, for a smaller one is asked for next.
                self.supply.release(session.remove(block));
                Err(Refusal::of_mapping(error))
            }
        }
    }

    /// Allocates a block of its own.
    pub fn dedicate(
        &self,
        session: &mut Session<'_, D, V>,
        request: &Request<'_, D>,
        rule: BudgetRule,
    ) -> Result<Allocation<D>, Refusal> {
        let size = request.requirements.size;
        self.expect_allowed(session, size)?;
        let key = session.insert().map_err(|_| NO_SLOTS)?;
        let order = self.order(size, Some(request));
        let grant = self.supply.acquire(&order, rule).inspect_err(|_| session.give_up(key))?;
        let block = session.add(Block::dedicated(grant, key.slot, order.dedicated));
        let part = Part { key: 0, offset: 0 };
        let entry = Entry::new(block, part, &self.ask(request, key.slot), size);
        if let Err(error) = session.prepare(entry.block, self.mapping(request)) {
            session.discard(entry.block);
            session.give_up(key);
            return Err(Refusal::of_mapping(error));
        }
        Ok(self.hand_out(session, request, key, entry))
    }

    /// Writes the entry of a new allocation and makes its handle; nothing fails here.
    #[inline(always)]
    fn hand_out(
        &self,
        session: &mut Session<'_, D, V>,
        request: &Request<'_, D>,
        key: Key,
        entry: Entry,
    ) -> Allocation<D> {
        let persistent = self.mapping(request) == Mapping::Persistent;
        let maps = u32::from(persistent);
        let own = if persistent { Marks::PERSISTENT } else { Marks::empty() };
        let entry = Entry { maps, marks: entry.marks | own, ..entry };
        let (memory, pointer) = session.enter(key.slot, entry);
        // Calls, so that who wants nothing of it pays the tests.
        if self.is_attentive {
            self.attend(session, request, key);
        } else if request.resource.is_some() || request.wish.name.is_some() {
            session.describe(key.slot, request, false);
        }
        Allocation {
            id: self.id(key),
            memory,
            offset: entry.offset,
            size: entry.size,
            memory_type: self.config.memory_type,
            pointer: pointer.filter(|_| persistent),
        }
    }

    /// Remembers and writes what there is beside an entry, which was just written.
    #[cold]
    fn attend(&self, session: &mut Session<'_, D, V>, request: &Request<'_, D>, key: Key) {
        session.describe(key.slot, request, self.config.care.backtraces);
        if session.watch.is_on() {
            // What the user says of a block of its own may be whose bytes it has.
            session.watch(key, request.extra.is_none());
        }
    }

    /// Frees an allocation; by the queue, when another thread works in the arena.
    #[inline]
    pub fn free(&self, id: AllocationId) -> Result<(), Misuse> {
        let session = self.shared.free(key(id)).map_err(|stale| self.misuse(stale))?;
        if let Some(session) = session {
            self.end(session);
        }
        Ok(())
    }

    /// Frees an allocation that the user was never told of, as if it had not been.
    pub fn undo(&self, id: AllocationId) -> Result<(), Misuse> {
        self.with(|session| session.free_by(key(id), State::undo))
            .map_err(|stale| self.misuse(stale))
    }

    /// Tells whether the allocation lives.
    #[inline]
    pub fn expect_live(&self, id: AllocationId) -> Result<(), Misuse> {
        self.shared.expect_live(key(id)).map_err(|stale| self.misuse(stale))
    }

    /// Gives empty blocks back to the device.
    pub fn trim(&self) {
        self.with(|session| session.discard_empty());
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        self.with(|session| session.stats())
    }

    /// Returns the size of the largest free region of any shared block.
    pub fn largest_free(&self) -> u64 {
        self.with(|session| session.largest_free())
    }

    /// Returns the names of all live allocations.
    pub fn live(&self) -> Vec<AllocationId> {
        self.with(|session| session.live_keys().map(|key| self.id(key)).collect())
    }

    /// Turns a live id into its handle again.
    pub fn handle(&self, id: AllocationId) -> Result<Allocation<D>, Misuse> {
        self.with(|session| {
            self.expect_live(id)?;
            let (entry, memory, pointer) = session.locate(id.slot);
            Ok(Allocation {
                id,
                memory,
                offset: entry.offset,
                size: entry.size,
                memory_type: self.config.memory_type,
                pointer: pointer.filter(|_| entry.is_persistent()),
            })
        })
    }

    /// Returns the name of the allocation with this key.
    pub fn id(&self, key: Key) -> AllocationId {
        let Config { allocator, index, .. } = self.config;
        AllocationId { allocator, arena: index, slot: key.slot, generation: key.generation }
    }

    #[cold]
    fn misuse(&self, stale: Stale) -> Misuse {
        Misuse::Stale { id: self.id(stale.asked), generation: stale.found }
    }

    #[inline(always)]
    fn ask(&self, request: &Request<'_, D>, slot: u32) -> Ask {
        let Request { requirements, tiling, ref wish, .. } = *request;
        let align = requirements.align.max(self.align_least);
        // No overflow: the size is at most a heap's, and the aids were checked beside those.
        let size = requirements.size + self.margin;
        Ask { size, align, tiling, search: wish.search, slot }
    }

    /// Asks last for what is rare.
    #[inline(always)]
    fn mapping(&self, request: &Request<'_, D>) -> Mapping {
        match request.wish.mapping {
            Mapping::Counted => Mapping::Counted,
            Mapping::Persistent => Mapping::Persistent,
            Mapping::WhereVisible => self.where_visible,
        }
    }

    fn order(
        &self,
        size: u64,
        alone: Option<&Request<'_, D>>,
    ) -> Order<D::Buffer, D::Image, D::Extra> {
        let rules = &self.config.rules;
        let wished = alone.map_or(Wish::PRIORITY_DEFAULT, |request| request.wish.priority);
        let wished_mask = alone.map_or(0, |request| request.wish.device_mask);
        Order {
            size,
            memory_type: self.config.memory_type,
            priority: rules.priority.unwrap_or(wished),
            device_mask: if wished_mask == 0 { rules.device_mask } else { wished_mask },
            extra: alone.and_then(|request| request.extra.copied()).or(rules.extra),
            device_address: alone.is_none_or(|request| request.device_address),
            dedicated: alone.filter(|request| request.is_for_one()).and_then(|one| one.resource),
        }
    }
}

/// Every slot of an arena is taken: some four thousand million allocations.
const NO_SLOTS: Refusal = Refusal::Device(crate::device::DeviceError::OutOfHostMemory);

/// Tells whether host accesses to this memory need flush and invalidate.
const fn needs_flush(properties: MemoryProperties) -> bool {
    properties.contains(MemoryProperties::HOST_VISIBLE)
        && !properties.contains(MemoryProperties::HOST_COHERENT)
}

const fn key(id: AllocationId) -> Key {
    Key { slot: id.slot, generation: id.generation }
}
