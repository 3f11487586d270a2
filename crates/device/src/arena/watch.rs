//! The [debug aids](crate::debug) of an arena: what it writes into its allocations and behind
//! them, and what it finds there.
//!
//! An allocation that is watched has a [mark](Marks::WATCHED), so those who free ask one question
//! for names and aids together. A margin is a part's last bytes: the division knows one longer
//! part, the entry has the size that was asked for.

use super::block::Contents;
use super::coherence::whole_atoms;
use super::entry::{Entry, Marks};
use super::state::State;
use super::{Arena, needs_flush};
use crate::allocation::{AllocationId, AllocatorId};
use crate::debug::{Aids, CREATED, Corruption, DESTROYED, Inspection, PATTERN};
use crate::device::{Device, MappedRange, MemoryProperties};
use crate::division::{Division, Region};
use crate::supply::Supply;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;
use polder_core::table::Key;

/// So many findings are kept, for who asks; the log has all.
const FOUND_MAX: usize = 256;

/// How many words of a margin are compared at a time.
const WORDS: usize = 16;
/// As many words as stand in a margin.
const PATTERNS: [u8; WORDS * size_of::<u32>()] = {
    let word = PATTERN.to_ne_bytes();
    let mut bytes = [0; WORDS * size_of::<u32>()];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = word[at % size_of::<u32>()];
        at += 1;
    }
    bytes
};

/// Whose allocations are watched, for their names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub allocator: AllocatorId,
    pub arena: u32,
    pub memory_type: u32,
}

/// What an arena watches. See the [module](self).
#[derive(Debug)]
pub(super) struct Watch {
    site: Site,
    /// Bytes at the end of every part of a shared block that are not the allocation's.
    pub margin: u64,
    /// Whether they have a pattern.
    detects: bool,
    /// Whether what is new and what is freed is filled.
    fills: bool,
    /// Where host and device are not coherent, what is flushed at once.
    atom: Option<u64>,
    /// By slot; what is said of one without the mark is of its last life.
    slots: Vec<Watched>,
    /// What was found, the first of it.
    found: Vec<Corruption>,
}

/// What is done for one allocation.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    generation: u32,
    /// The pattern stands behind it.
    has_pattern: bool,
    /// It is filled when it is freed.
    is_filled: bool,
}

impl Watch {
    pub fn new<D: Device>(aids: &Aids, site: Site, supply: &Supply<D>) -> Self {
        let properties = supply.properties();
        let kind = properties.memory_types[site.memory_type as usize].properties;
        let atom = needs_flush(kind).then_some(properties.limits.non_coherent_atom_size);
        let detects = aids.detect_corruption && is_readable(kind);
        let fills = aids.fill && kind.contains(MemoryProperties::HOST_VISIBLE);
        let (margin, slots, found) = (aids.margin, Vec::new(), Vec::new());
        Self { site, margin, detects, fills, atom, slots, found }
    }

    /// Tells whether allocations are to be watched.
    pub const fn is_on(&self) -> bool {
        self.detects || self.fills
    }

    fn id(&self, slot: u32) -> AllocationId {
        let (Site { allocator, arena, .. }, generation) =
            (self.site, self.slots[slot as usize].generation);
        AllocationId { allocator, arena, slot, generation }
    }

    /// Calls `visit` for a region of a block and for the margin at its end, if there is one.
    pub fn part(&self, region: Region, visit: &mut impl FnMut(Region)) {
        if region.slot.is_none() || self.margin == 0 {
            return visit(region);
        }
        let size = region.size - self.margin;
        visit(Region { size, ..region });
        visit(Region { offset: region.offset + size, size: self.margin, slot: None });
    }
}

/// Tells whether the host sees at any time what stands in memory of these properties.
pub const fn is_readable(properties: MemoryProperties) -> bool {
    properties.contains(MemoryProperties::HOST_VISIBLE.union(MemoryProperties::HOST_COHERENT))
}

/// Bytes of a mapped block that nobody else may use while this lives.
#[derive(Debug)]
struct Bytes<'a> {
    first: NonNull<u8>,
    len: usize,
    block: PhantomData<&'a mut u8>,
}

impl Bytes<'_> {
    /// # Safety
    ///
    /// For the lifetime, `first` points to `len` bytes of a mapped block, and nobody else has a
    /// right to use them.
    const unsafe fn new(first: NonNull<u8>, len: usize) -> Self {
        Self { first, len, block: PhantomData }
    }

    fn fill(&mut self, byte: u8) {
        // SAFETY: `new`'s caller promised that the bytes are there, and ours.
        unsafe { self.first.write_bytes(byte, self.len) };
    }

    /// Fills them with the pattern.
    fn mark(&mut self) {
        for at in (0..self.len).step_by(PATTERNS.len()) {
            let len = PATTERNS.len().min(self.len - at);
            // SAFETY: `at` is below the length, so the place is in the bytes.
            let target = unsafe { self.first.add(at) };
            // SAFETY: `len` is at most what is left behind `at`; the bytes are ours, and a
            // constant's are elsewhere.
            unsafe { target.as_ptr().copy_from_nonoverlapping(PATTERNS.as_ptr(), len) };
        }
    }

    /// Returns the place of the first byte that is not the pattern's.
    fn flaw(&self) -> Option<usize> {
        let mut found = PATTERNS;
        (0..self.len).step_by(PATTERNS.len()).find_map(|at| {
            let len = PATTERNS.len().min(self.len - at);
            // SAFETY: `at` is below the length, so the place is in the bytes.
            let source = unsafe { self.first.add(at) };
            // SAFETY: `len` is at most what is left behind `at` and the array's length; the bytes
            // are ours, and the array is elsewhere. They were written when they were marked.
            unsafe { source.as_ptr().copy_to_nonoverlapping(found.as_mut_ptr(), len) };
            let differs = |(one, other): (&u8, &u8)| one != other;
            found[..len].iter().zip(&PATTERNS).position(differs).map(|place| at + place)
        })
    }
}

impl<D: Device, V: Division> State<D, V> {
    /// Returns bytes of a block, which is mapped for it; nothing where that fails.
    ///
    /// They are of a margin, or of a place that no user has: a handle to it is not out yet, was
    /// given back, or is to another place.
    fn bytes(&mut self, block: u32, range: &Range<u64>) -> Option<Bytes<'_>> {
        let first = self.map_block(block).ok()?.at(range.start).get();
        assert!(range.end <= self.block(block).grant.size, "a part lies in its block");
        // SAFETY: The whole block is mapped, and stays so while we are borrowed: it is unmapped
        // by us alone. The range lies in it (asserted above), and no user has a right to it (said
        // above). Threads take turns, for we are behind the arena's lock.
        Some(unsafe { Bytes::new(first, (range.end - range.start) as usize) })
    }

    /// Fills a place, visibly for the device; where that fails, the bytes stay as they are.
    fn fill(&mut self, block: u32, range: Range<u64>, byte: u8) {
        let Some(mut bytes) = self.bytes(block, &range) else { return };
        bytes.fill(byte);
        let Some(atom) = self.watch.atom else { return };
        let block = self.block(block);
        let range = whole_atoms(range, atom, block.grant.size);
        let ranges = [MappedRange { memory: block.grant.memory, range }];
        // SAFETY: The block was just mapped, and we hold its lock; the range lies in it and begins
        // and ends at atoms, or at its end. No other allocation has an atom in common with it.
        //
        // Where it fails, what the device sees is as undefined as it was.
        let _ = unsafe { self.supply.device().flush(&ranges) };
    }

    /// Writes the pattern behind a part's allocation; tells whether it stands there.
    fn write_margin(&mut self, block: u32, end: u64) -> bool {
        let range = end..end + self.watch.margin;
        let bytes = self.bytes(block, &range);
        bytes.map(|mut bytes| bytes.mark()).is_some()
    }

    /// Begins to watch an allocation whose entry was just written; `is_ours` tells that nobody
    /// can have anything in its bytes.
    #[cold]
    pub(super) fn watch(&mut self, key: Key, is_ours: bool) {
        let Entry { block, offset, size, .. } = *self.entry(key.slot);
        let is_shared = matches!(self.block(block).contents, Contents::Shared { .. });
        let is_filled = self.watch.fills && (is_ours || is_shared);
        if is_filled {
            self.fill(block, offset..offset + size, CREATED);
        }
        let has_pattern =
            self.watch.detects && is_shared && self.write_margin(block, offset + size);
        let slots = &mut self.watch.slots;
        if slots.len() <= key.slot as usize {
            slots.resize(key.slot as usize + 1, Watched::default());
        }
        let generation = key.generation;
        slots[key.slot as usize] = Watched { generation, has_pattern, is_filled };
        self.entry_mut(key.slot).marks.set(Marks::WATCHED, has_pattern || is_filled);
    }

    fn watched(&self, slot: u32) -> Watched {
        let is_watched = self.entry(slot).marks.contains(Marks::WATCHED);
        if is_watched { self.watch.slots[slot as usize] } else { Watched::default() }
    }

    /// Ends the watch of an allocation that was freed. A moving one's places are filled when its
    /// pass ends, for a copy may be under way between them.
    #[cold]
    pub(super) fn unwatch(&mut self, slot: u32) {
        self.look_behind(slot);
        let Entry { block, offset, size, marks, .. } = *self.entry(slot);
        if self.watched(slot).is_filled && !marks.contains(Marks::MOVING) {
            self.fill(block, offset..offset + size, DESTROYED);
        }
    }

    /// Fills a place to which an allocation will move.
    pub(super) fn fill_target(&mut self, block: u32, offset: u64, size: u64) {
        if self.watch.fills {
            self.fill(block, offset..offset + size, CREATED);
        }
    }

    /// Fills a place that a move has left or did not need.
    pub(super) fn fill_left(&mut self, block: u32, offset: u64, size: u64) {
        if self.watch.fills {
            self.fill(block, offset..offset + size, DESTROYED);
        }
    }

    /// Looks at the margin of an allocation that goes from where it is, and says what it finds.
    pub(super) fn look_behind(&mut self, slot: u32) {
        if let Ok(Some(corruption)) = self.inspect(slot) {
            log::error!("{corruption}");
            if self.watch.found.len() < FOUND_MAX {
                self.watch.found.push(corruption);
            }
        }
    }

    /// Writes the margin of an allocation that has changed its place.
    pub(super) fn write_behind(&mut self, slot: u32) {
        if self.watched(slot).has_pattern {
            let Entry { block, offset, size, .. } = *self.entry(slot);
            self.watch.slots[slot as usize].has_pattern = self.write_margin(block, offset + size);
        }
    }

    /// Looks at an allocation's margin; an error where there is none that could be read.
    fn inspect(&mut self, slot: u32) -> Result<Option<Corruption>, Unread> {
        let Entry { block, offset, size, .. } = *self.entry(slot);
        if !self.watched(slot).has_pattern {
            return Err(Unread);
        }
        let range = offset + size..offset + size + self.watch.margin;
        let flaw = self.bytes(block, &range).ok_or(Unread)?.flaw();
        Ok(flaw.map(|place| {
            let note = self.note_of(slot);
            let name = note.and_then(|note| note.name.as_deref()).map(String::from);
            let backtrace = note.and_then(|note| note.backtrace.as_ref()).map(ToString::to_string);
            let (id, memory_type) = (self.watch.id(slot), self.watch.site.memory_type);
            let past_end = place as u64;
            Corruption { id, name, size, memory_type, offset, past_end, backtrace }
        }))
    }

    /// Tells whether an allocation lies in a shared block, where it has a margin.
    pub(super) fn is_shared(&self, slot: u32) -> bool {
        matches!(self.block(self.entry(slot).block).contents, Contents::Shared { .. })
    }
}

/// There is no margin, or it cannot be mapped.
struct Unread;

impl<D: Device, V: Division> Arena<D, V> {
    /// Looks at every margin; nothing where corruption cannot be seen.
    pub fn inspect(&self) -> Option<Inspection> {
        self.with(|session| {
            if !session.watch.detects {
                return None;
            }
            let mut inspection = Inspection::default();
            let live: Vec<_> = session.live_keys().map(|key| key.slot).collect();
            for slot in live {
                if !session.is_shared(slot) {
                    continue;
                }
                match session.inspect(slot) {
                    Ok(found) => {
                        inspection.margins += 1;
                        inspection.found.extend(found);
                    }
                    Err(Unread) => inspection.unread += 1,
                }
            }
            Some(inspection)
        })
    }

    /// Returns what was found when allocations moved or were freed, the first 256 of it.
    pub fn corruptions(&self) -> Vec<Corruption> {
        self.with(|session| session.watch.found.clone())
    }
}
