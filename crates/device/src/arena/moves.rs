//! The moves of one pass: an allocation with two places, until the pass ends.
//!
//! A move takes a second place for its allocation, under the same slot. When the user says that
//! the contents have arrived, the allocation's entry changes to the new place; what it leaves is
//! kept until the pass ends, and so are both places of one that somebody frees meanwhile, for a
//! copy may be under way between them.

use super::block::Contents;
use super::entry::{Entry, Marks};
use super::state::State;
use crate::allocation::HostPointer;
use crate::device::{Device, Tiling};
use crate::division::{Ask, Division};
use crate::request::{Mapping, Search};
use polder_core::table::Key;
use std::collections::HashSet;

/// A part of a block, and the use of its mapping: while a move keeps it, a pointer to it is good.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: u32,
    part: u32,
    offset: u64,
    /// One, where the allocation has a pointer of its own.
    maps: u32,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Nobody said that the contents have arrived.
    Open,
    /// The allocation lies at its target.
    Taken,
}

#[derive(Clone, Copy, Debug)]
struct Move {
    key: Key,
    size: u64,
    tiling: Tiling,
    source: Place,
    target: Place,
    course: Course,
}

/// Where a move may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Into whichever block has the tightest room.
    OtherBlock,
    /// To a lower offset in its own block, if that is what a search so finds.
    Below(Search),
}

/// The moves of the open pass. Their numbers are their places in the list.
#[derive(Debug, Default)]
pub struct Moves {
    list: Vec<Move>,
    /// The slots of those that were freed before they were taken.
    freed: Vec<u32>,
    /// Whether some defragmentation works here.
    claimed: bool,
}

/// Where an allocation lies and where it may go.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<M> {
    /// Whose.
    pub key: Key,
    /// Bytes.
    pub size: u64,
    /// Of its resource.
    pub tiling: Tiling,
    /// The memory, offset and pointer that it has and those that it may get; the pointers where
    /// the handle has one of its own.
    pub places: [(M, u64, Option<HostPointer>); 2],
}

/// Blocks that go back to the device when the session ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gone {
    /// How many.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A move was not taken, for the allocation's owner has mapped it. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped;

impl Moves {
    /// Returns how many there are.
    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Keeps both places of an allocation that was freed while it moved.
    #[cold]
    fn add_freed(&mut self, slot: u32) {
        self.freed.push(slot);
    }

    /// The parts that are kept beside those of live allocations, each with its block and how often
    /// it is mapped; for tests.
    pub(super) fn kept(&self) -> impl Iterator<Item = (u32, u32)> {
        let places = |one: &Move| {
            let is_freed = self.freed.contains(&one.key.slot);
            let source = is_freed || one.course == Course::Taken;
            let target = one.course == Course::Open;
            [(source, one.source), (target, one.target)]
        };
        let kept = self.list.iter().flat_map(places).filter(|(is_kept, _)| *is_kept);
        kept.map(|(_, Place { block, maps, .. })| (block, maps))
    }
}

impl<D: Device, V: Division> State<D, V> {
    /// Tells whether the allocation in a slot may move: its block is a shared one (its number may
    /// have been another's when the move was planned), nobody holds a pointer that it did not get
    /// with its handle, and no move of it is open.
    pub(super) fn is_movable(&self, slot: u32) -> bool {
        let entry = self.entry(slot);
        matches!(self.contents(entry.block), Some(Contents::Shared { .. }))
            && entry.maps == u32::from(entry.is_persistent())
            && !entry.marks.contains(Marks::MOVING)
    }

    /// Opens a move; `false` when there is no place for it.
    pub(super) fn open_move(&mut self, key: Key, to: To) -> bool {
        if self.moves.freed.contains(&key.slot) {
            // The slot's life before this one has a move that is not over.
            return false;
        }
        let entry = *self.entry(key.slot);
        let mapping = if entry.is_persistent() { Mapping::Persistent } else { Mapping::Counted };
        let search = match to {
            To::OtherBlock => Search::Tight,
            To::Below(search) => search,
        };
        let (size, align) = (entry.size + self.watch.margin, 1 << entry.align_log);
        let ask = Ask { size, align, tiling: entry.tiling, search, slot: key.slot };
        let found = match to {
            To::OtherBlock => self.find(&ask).or_else(|| self.find_below(&ask)),
            To::Below(_) => self.find_in(entry.block, &ask).map(|part| (entry.block, part)),
        };
        let Some((block, part)) = found else { return false };
        let is_better = to == To::OtherBlock || part.offset < entry.offset;
        if !is_better || self.prepare(block, mapping).is_err() {
            self.put_back(block, part.key);
            return false;
        }
        self.fill_target(block, part.offset, entry.size);
        let Entry { size, tiling, maps, .. } = entry;
        debug_assert_eq!(maps, u32::from(entry.is_persistent()), "a map by its owner keeps it");
        let source = Place { block: entry.block, part: entry.part, offset: entry.offset, maps };
        let target = Place { block, part: part.key, offset: part.offset, maps };
        // The target's pointer is shown: others' frees there must not end its mapping.
        self.block_mut(block).maps += maps;
        let course = Course::Open;
        self.moves.list.push(Move { key, size, tiling, source, target, course });
        self.entry_mut(key.slot).marks |= Marks::MOVING;
        true
    }

    /// Takes back the moves from number `first` on: nobody was told of them.
    pub(super) fn cancel_moves(&mut self, first: usize) {
        for Move { key, size, source, target, .. } in self.moves.list.split_off(first) {
            self.vacate(target, size);
            let freed = self.moves.freed.iter().position(|&freed| freed == key.slot);
            match freed {
                Some(place) => {
                    self.moves.freed.swap_remove(place);
                    self.vacate(source, size);
                }
                None => self.entry_mut(key.slot).marks.remove(Marks::MOVING),
            }
        }
    }

    /// Notes that a moving allocation was freed. Its slot may get another allocation before the
    /// pass ends, so its entry must name no place; its own pointer stays good, for the copy may
    /// read by it.
    pub(super) fn give_up_moving(&mut self, slot: u32) {
        self.moves.add_freed(slot);
        let entry = self.entry_mut(slot);
        let by_owner = entry.maps - u32::from(entry.is_persistent());
        let block = core::mem::replace(&mut entry.block, u32::MAX);
        if by_owner > 0 {
            self.release_maps(block, by_owner);
        }
    }

    /// Returns the move of this number.
    pub fn proposal(&self, number: usize) -> Proposal<D::Memory> {
        let Move { key, size, tiling, source, target, .. } = self.moves.list[number];
        let show = |place: Place| {
            let block = self.block(place.block);
            let pointer = block.pointer.filter(|_| place.maps > 0);
            let pointer = pointer.map(|pointer| pointer.at(place.offset));
            (block.grant.memory, place.offset, pointer)
        };
        Proposal { key, size, tiling, places: [show(source), show(target)] }
    }

    /// Returns how many moves the open pass has.
    pub fn move_count(&self) -> usize {
        self.moves.len()
    }

    /// Lets an allocation, which is live, change to the target of its move. The maps of both places
    /// change sides with it, so no block's count changes.
    pub fn take_move(&mut self, number: usize) -> Result<(), Mapped> {
        let Move { key, target, course, .. } = self.moves.list[number];
        debug_assert_eq!(course, Course::Open, "a move is taken once");
        debug_assert!(!self.moves.freed.contains(&key.slot), "it lives, so nobody has given it up");
        let entry = self.entry_mut(key.slot);
        if entry.maps > u32::from(entry.is_persistent()) {
            return Err(Mapped);
        }
        entry.marks.remove(Marks::MOVING | Marks::FRESH);
        let is_watched = entry.marks.contains(Marks::WATCHED);
        if is_watched {
            self.look_behind(key.slot);
        }
        let Place { block, part, offset, .. } = target;
        let entry = self.entry_mut(key.slot);
        (entry.block, entry.part, entry.offset) = (block, part, offset);
        if is_watched {
            self.write_behind(key.slot);
        }
        self.moves.list[number].course = Course::Taken;
        Ok(())
    }

    /// Ends the pass: what its moves kept becomes free, and blocks that were to become empty and
    /// are go out, but for as many as stay by the arena's rules.
    pub fn end_moves(&mut self) {
        let freed: HashSet<u32> = core::mem::take(&mut self.moves.freed).into_iter().collect();
        let moves = core::mem::take(&mut self.moves.list);
        for Move { key, size, source, target, course, .. } in moves {
            match course {
                Course::Taken => self.vacate(source, size),
                Course::Open if freed.contains(&key.slot) => {
                    self.vacate(source, size);
                    self.vacate(target, size);
                }
                Course::Open => {
                    self.entry_mut(key.slot).marks.remove(Marks::MOVING);
                    self.vacate(target, size);
                }
            }
        }
        let emptied: Vec<_> =
            self.closed.iter().copied().filter(|block| self.empty.contains(block)).collect();
        for block in emptied.into_iter().take(self.blocks_to_spare()) {
            self.discard(block);
        }
    }

    /// Claims the arena for one defragmentation; `false` when another has it.
    pub fn claim(&mut self) -> bool {
        !core::mem::replace(&mut self.moves.claimed, true)
    }

    /// Ends a defragmentation: what it closed is open again.
    pub fn release(&mut self) {
        self.reopen_all();
        self.moves.claimed = false;
    }

    pub(super) fn reopen_all(&mut self) {
        self.closed.clone().into_iter().for_each(|block| self.reopen(block));
    }

    /// Returns what goes back to the device when the session ends.
    pub fn gone(&self) -> Gone {
        let bytes = self.surplus.iter().map(|grant| grant.size).sum();
        Gone { blocks: self.surplus.len() as u64, bytes }
    }

    /// Gives up a place that was kept, where `size` bytes were the allocation's.
    fn vacate(&mut self, place: Place, size: u64) {
        self.fill_left(place.block, place.offset, size);
        if place.maps > 0 {
            self.release_maps(place.block, place.maps);
        }
        self.rest(place.block);
        self.put_back(place.block, place.part);
    }

    /// Tells whether the part at `offset` of a block is where a slot's allocation lies, not a
    /// place that is only kept.
    pub(super) fn is_at(&self, slot: u32, block: u32, offset: u64) -> bool {
        let entry = self.entry(slot);
        entry.block == block && entry.offset == offset
    }
}
