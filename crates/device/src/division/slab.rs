//! The division for many parts of like size: equal slots, found in one word.
//!
//! Sizes are rounded up to size classes, four a doubling (after gfx-memory's chunked allocator).
//! A slab is a run of equal slots of one class with a bit for each slot, and lies somewhere in the
//! block: an inner [`Tlsf`] places it, and takes it back when its last slot is free. Slabs with a
//! free slot are listed by class, so a part is one list's head and one bit.
//!
//! A class's slots are aligned to the largest power of two that divides its size, for the slab is.
//! A request is first rounded up to a multiple of its alignment: the class that holds it then has
//! an alignment that holds too, because a class is a multiple of every power of two up to the
//! step between its neighbours, and a size that is no multiple of the step is none of a larger
//! alignment.
//!
//! With a granularity all slots of a slab have one tiling, slabs are listed by tiling too, and the
//! inner division keeps slabs of different tiling out of each other's pages.
//!
//! When the block has no room for a slab of all slots, one of half as many is tried, and so on
//! down to a single slot.
//!
//! Costs: [`allocate`](Division::allocate) and [`free`](Division::free) take constant time; a slot
//! costs 16 bytes and a slab 40, beside what the inner division costs. At most a fifth of a slot
//! is rounding, when alignment does not add to it.
//!
//! # Invariants
//!
//! 1. Those of the inner [`Tlsf`], whose parts are the slabs.
//! 2. A slab lies at a multiple of its class's alignment and has at least one used slot.
//! 3. A slab with a free slot is once in the list of its class and tiling, a full one in none; the
//!    bit set has exactly the classes with a listed slab.
//! 4. A part's slot holds what was asked for.
//! 5. The counters are those of the used slots; a record that is no slab is on the spare list.

use super::ensure::ensure;
use super::granularity::SLOTS_MAX;
use super::tlsf::{self, Tlsf};
use super::{Ask, Division, Part, Region};
use crate::device::Tiling;
use polder_core::bins::Bins;
use polder_core::bitset::BitSet;

/// Four classes a doubling.
type Classes = Bins<2>;
const CLASS_WORDS: usize = Classes::COUNT.div_ceil(u64::BITS) as usize;

/// Most slots of a slab: the bits of a word.
pub const SLOTS_PER_SLAB_MAX: u32 = u64::BITS;

const NONE: u32 = u32::MAX;

/// What is the same for all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Slots are not smaller, in bytes.
    pub size_least: u64,
    /// Requests that are larger when rounded up to their alignment are not served, in bytes.
    pub size_most: u64,
    /// How many slots a slab has: from 1 to [`SLOTS_PER_SLAB_MAX`].
    pub slots_per_slab: u32,
}

impl Default for Config {
    /// From 256 bytes to 1 MiB; a slab of the largest has 16 MiB.
    fn default() -> Self {
        Self { size_least: 256, size_most: 1 << 20, slots_per_slab: 16 }
    }
}

impl Config {
    /// Returns the class for a request, or nothing when it is too large.
    fn class(&self, size: u64, align: u64) -> Option<u32> {
        let size = size.max(self.size_least).checked_next_multiple_of(align)?;
        (size <= self.size_most).then(|| Classes::ceil(size))
    }
}

/// A run of equal slots, or a spare record.
#[derive(Clone, Copy, Debug)]
struct Run {
    offset: u64,
    /// A bit for each free slot.
    free: u64,
    /// How many slots; zero in a spare record.
    len: u32,
    class: u32,
    tiling: Tiling,
    /// The inner division's key.
    key: u32,
    /// The previous and next in the list. In a spare record, the next spare one.
    links: [u32; 2],
}

const _: () = assert!(size_of::<Run>() == 40, "as the documentation says");

impl Run {
    const fn all(&self) -> u64 {
        match u64::MAX.checked_shr(SLOTS_PER_SLAB_MAX - self.len) {
            Some(bits) => bits,
            None => 0,
        }
    }

    const fn slot_size(&self) -> u64 {
        Classes::least(self.class)
    }

    const fn slot_offset(&self, index: u32) -> u64 {
        self.offset + index as u64 * self.slot_size()
    }
}

/// What is known of a used slot.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// As it was asked for.
    size: u64,
    /// The slot of the allocation, in the table of the arena.
    owner: u32,
}

/// Slabs of equal slots in one block. See the [module](self).
#[derive(Debug)]
pub struct Slab {
    config: Config,
    granularity: u64,
    inner: Tlsf,
    runs: Vec<Run>,
    /// `1 << stride_log` for each run; the key of a part is its index here.
    slots: Vec<Used>,
    stride_log: u32,
    /// The first listed run by class and tiling.
    heads: Vec<[u32; 2]>,
    /// The classes with a listed run.
    listed: BitSet<CLASS_WORDS>,
    used: u64,
    count: u32,
    spare: u32,
}

// SAFETY: A part is a slot whose bit was clear, of a slab that is a part of the inner space's.
unsafe impl Division for Slab {
    type Config = Config;

    fn new(config: &Config, size: u64, granularity: u64) -> Self {
        let counts = 1..=SLOTS_PER_SLAB_MAX;
        assert!(counts.contains(&config.slots_per_slab), "a slab has 1 to 64 slots");
        assert!(config.size_least > 0, "a slot has at least one byte");
        assert!(config.size_least <= config.size_most, "the least size is not above the most");
        Self {
            config: *config,
            granularity,
            inner: Tlsf::new(&tlsf::Config::default(), size, granularity),
            runs: Vec::new(),
            slots: Vec::new(),
            stride_log: config.slots_per_slab.next_power_of_two().ilog2(),
            heads: vec![[NONE; 2]; Classes::ceil(config.size_most) as usize + 1],
            listed: BitSet::new(),
            used: 0,
            count: 0,
            spare: NONE,
        }
    }

    /// What is suggested, or a single slot: slabs adapt to the room that there is.
    fn block_size(config: &Config, size: u64, align: u64, suggested: u64) -> Option<u64> {
        config.class(size, align).map(|class| suggested.max(Classes::least(class)))
    }

    /// A single slot.
    fn block_size_least(config: &Config, size: u64, align: u64) -> u64 {
        config.class(size, align).map_or(u64::MAX, Classes::least)
    }

    fn size_max(config: &Config) -> u64 {
        config.size_most
    }

    fn allocate(&mut self, ask: &Ask) -> Option<Part> {
        debug_assert!(ask.size > 0, "a part has at least one byte");
        let class = self.config.class(ask.size, ask.align)?;
        let tiling = if self.granularity == 1 { Tiling::Linear } else { ask.tiling };
        let head = self.heads[class as usize][tiling as usize];
        let run = if head == NONE { self.add_run(class, &Ask { tiling, ..*ask })? } else { head };
        let index = self.take_slot(run);
        let key = run << self.stride_log | index;
        self.slots[key as usize] = Used { size: ask.size, owner: ask.slot };
        self.used += ask.size;
        self.count += 1;
        Some(Part { key, offset: self.runs[run as usize].slot_offset(index) })
    }

    fn free(&mut self, key: u32) {
        let (index, bit) = (key >> self.stride_log, 1 << self.slot_index(key));
        let run = &mut self.runs[index as usize];
        assert!(run.all() & !run.free & bit != 0, "a key names a live part");
        let was_full = run.free == 0;
        run.free |= bit;
        let is_empty = run.free == run.all();
        self.used -= self.slots[key as usize].size;
        self.count -= 1;
        match (was_full, is_empty) {
            (true, false) => self.list(index),
            (_, true) => self.remove_run(index, was_full),
            (false, false) => {}
        }
    }

    fn used(&self) -> u64 {
        self.used
    }

    fn count(&self) -> u32 {
        self.count
    }

    /// The largest slot that is free, or that there may be room for.
    fn room(&self) -> u64 {
        let slot = self.listed.last().map_or(0, Classes::least);
        slot.max(self.inner.room().min(self.config.size_most))
    }

    /// The largest free slot, or the largest free region outside the slabs.
    fn largest_free(&self) -> u64 {
        let slot = self.listed.last().map_or(0, Classes::least);
        slot.max(self.inner.largest_free())
    }

    fn walk(&self, visit: &mut dyn FnMut(Region)) {
        self.inner.walk(&mut |region| match region.slot {
            Some(run) => self.walk_run(run, visit),
            None => visit(region),
        });
    }

    fn check(&self) -> Result<(), &'static str> {
        self.inner.check().map_err(|_| "1: the inner division's invariants hold")?;
        self.check_inner()?;
        let mut runs = 0;
        let (mut used, mut count, mut with_free) = (0, 0, 0);
        for (index, run) in (0..).zip(&self.runs).filter(|(_, run)| run.len > 0) {
            self.check_run(index, run)?;
            runs += 1;
            with_free += usize::from(run.free != 0);
            used += self.used_slots(index).map(|(_, slot)| slot.size).sum::<u64>();
            count += self.used_slots(index).count();
        }
        ensure(self.check_lists()? == with_free, "3: a slab with a free slot is listed once")?;
        let counted = used == self.used && count == self.count as usize;
        ensure(counted, "5: the counters are those of the used slots")?;
        let next = |&run: &u32| some(self.runs[run as usize].links[1]);
        let spares = core::iter::successors(some(self.spare), next).take(self.runs.len() + 1);
        let all = spares.count() + runs == self.runs.len() && runs == self.inner.count() as usize;
        ensure(all, "5: a record that is no slab is on the spare list")
    }
}

impl Slab {
    /// Returns the number of slabs in the block.
    #[must_use]
    pub fn slab_count(&self) -> u32 {
        self.inner.count()
    }

    fn slot_index(&self, key: u32) -> u32 {
        key & ((1 << self.stride_log) - 1)
    }

    /// Places a new slab, with as many slots as there is room for, and lists it.
    fn add_run(&mut self, class: u32, ask: &Ask) -> Option<u32> {
        let slot_size = Classes::least(class);
        let index = self.spare_run()?;
        let ask = Ask { align: 1 << slot_size.trailing_zeros(), slot: index, ..*ask };
        let room = u32::try_from(self.inner.room() / slot_size).unwrap_or(u32::MAX);
        let most = self.config.slots_per_slab.min(room);
        let lens = core::iter::successors(Some(most), |len| Some(len / 2));
        let (len, part) = lens.take_while(|&len| len > 0).find_map(|len| {
            let size = slot_size.checked_mul(u64::from(len))?;
            Some((len, self.inner.allocate(&Ask { size, ..ask })?))
        })?;
        self.spare = self.runs[index as usize].links[1];
        self.runs[index as usize] = Run {
            offset: part.offset,
            free: 0,
            len,
            class,
            tiling: ask.tiling,
            key: part.key,
            links: [NONE; 2],
        };
        self.runs[index as usize].free = self.runs[index as usize].all();
        self.list(index);
        Some(index)
    }

    /// Gives a slab whose slots are all free back to the inner division.
    fn remove_run(&mut self, index: u32, was_full: bool) {
        if !was_full {
            self.unlist(index);
        }
        self.inner.free(self.runs[index as usize].key);
        self.runs[index as usize].len = 0;
        self.runs[index as usize].links = [NONE, self.spare];
        self.spare = index;
    }

    /// Makes sure that there is a spare record, with the slots that belong to it, and names it.
    fn spare_run(&mut self) -> Option<u32> {
        if self.spare == NONE {
            let index = u32::try_from(self.runs.len()).ok()?;
            let stride = 1_usize << self.stride_log;
            (index < SLOTS_MAX >> self.stride_log).then_some(())?;
            self.runs.try_reserve(1).ok()?;
            self.slots.try_reserve(stride).ok()?;
            self.slots.resize(self.slots.len() + stride, Used::default());
            self.runs.push(Run {
                offset: 0,
                free: 0,
                len: 0,
                class: 0,
                tiling: Tiling::Linear,
                key: 0,
                links: [NONE; 2],
            });
            self.spare = index;
        }
        Some(self.spare)
    }

    /// Takes the lowest free slot of a listed slab.
    fn take_slot(&mut self, index: u32) -> u32 {
        let run = &mut self.runs[index as usize];
        let slot = run.free.trailing_zeros();
        run.free &= run.free - 1;
        if run.free == 0 {
            self.unlist(index);
        }
        slot
    }

    fn head(&mut self, index: u32) -> &mut u32 {
        let Run { class, tiling, .. } = self.runs[index as usize];
        &mut self.heads[class as usize][tiling as usize]
    }

    /// Puts a slab at the front of its list.
    fn list(&mut self, index: u32) {
        let next = core::mem::replace(self.head(index), index);
        self.listed.insert(self.runs[index as usize].class);
        self.runs[index as usize].links = [NONE, next];
        if let Some(next) = self.runs.get_mut(next as usize) {
            next.links[0] = index;
        }
    }

    /// Takes a slab out of its list.
    fn unlist(&mut self, index: u32) {
        let Run { links: [previous, next], class, .. } = self.runs[index as usize];
        if let Some(next) = self.runs.get_mut(next as usize) {
            next.links[0] = previous;
        }
        match self.runs.get_mut(previous as usize) {
            Some(previous) => previous.links[1] = next,
            None => *self.head(index) = next,
        }
        if self.heads[class as usize] == [NONE; 2] {
            self.listed.remove(class);
        }
    }

    fn used_slots(&self, index: u32) -> impl Iterator<Item = (u32, &Used)> {
        let Run { len, free, .. } = self.runs[index as usize];
        let used = (0..len).filter(move |slot| free >> slot & 1 == 0);
        used.map(move |slot| (slot, &self.slots[(index << self.stride_log | slot) as usize]))
    }

    fn walk_run(&self, index: u32, visit: &mut dyn FnMut(Region)) {
        let run = &self.runs[index as usize];
        for slot in 0..run.len {
            let used = self.slots[(index << self.stride_log | slot) as usize];
            let owner = (run.free >> slot & 1 == 0).then_some(used.owner);
            visit(Region { offset: run.slot_offset(slot), size: run.slot_size(), slot: owner });
        }
    }

    /// Whether each part of the inner division is the slab that it names.
    fn check_inner(&self) -> Result<(), &'static str> {
        let mut right = true;
        self.inner.walk(&mut |region| {
            let Some(index) = region.slot else { return };
            let run = &self.runs[index as usize];
            let size = run.slot_size() * u64::from(run.len);
            right &= run.offset == region.offset && size == region.size;
        });
        ensure(right, "1: the inner division's parts are the slabs")
    }

    fn check_run(&self, index: u32, run: &Run) -> Result<(), &'static str> {
        let align = 1 << run.slot_size().trailing_zeros();
        ensure(run.offset.is_multiple_of(align), "2: a slab has its class's alignment")?;
        ensure(run.free & !run.all() == 0, "2: a free slot is one of the slab's")?;
        ensure(run.free != run.all(), "2: a slab has a used slot")?;
        let holds = self.used_slots(index).all(|(_, slot)| slot.size <= run.slot_size());
        ensure(holds, "4: a part's slot holds what was asked for")
    }

    /// Returns how many slabs are listed.
    fn check_lists(&self) -> Result<usize, &'static str> {
        let mut listed = 0;
        for (class, heads) in (0..).zip(&self.heads) {
            let marked = self.listed.contains(class) == (*heads != [NONE; 2]);
            ensure(marked, "3: the bit set has the classes with a listed slab")?;
            for tiling in [Tiling::Linear, Tiling::Optimal] {
                listed += self.check_list(heads[tiling as usize], class, tiling)?;
            }
        }
        Ok(listed)
    }

    /// Returns how many slabs are in the list.
    fn check_list(&self, head: u32, class: u32, tiling: Tiling) -> Result<usize, &'static str> {
        let (mut index, mut before, mut len) = (head, NONE, 0);
        while let Some(run) = self.runs.get(index as usize) {
            let own = run.class == class && run.tiling == tiling && run.links[0] == before;
            let sound = own && len < self.runs.len();
            ensure(sound, "3: a slab is in the list of its class and tiling")?;
            ensure(run.len > 0 && run.free != 0, "3: a listed slab has a free slot")?;
            (index, before, len) = (run.links[1], index, len + 1);
        }
        Ok(len)
    }
}

fn some(index: u32) -> Option<u32> {
    (index != NONE).then_some(index)
}
