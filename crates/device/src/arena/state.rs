//! The account of an arena: its blocks, its allocations, and which part is whose.

use super::Tiling;
use super::shelves::Shelves;
use crate::allocation::HostPointer;
use crate::device::Device;
use crate::division::{Ask, Division, Part};
use crate::growth::Growth;
use crate::handover::TakeBack;
use crate::request::Request;
use crate::supply::{Grant, Supply};
use polder_core::stats::Stats;
use std::backtrace::Backtrace;
use std::collections::HashMap;
use std::sync::Arc;

/// One block: memory of the device, parted or whole.
#[derive(Debug)]
pub(super) struct Block<D: Device, V> {
    pub grant: Grant<D::Memory>,
    pub contents: Contents<V>,
    /// Of all its allocations.
    pub maps: u32,
    pub pointer: Option<HostPointer>,
    /// How many more operations an unused mapping is kept for.
    pub idle: u32,
}

/// What lies in a block.
#[derive(Debug)]
pub(super) enum Contents<V> {
    /// Parts.
    Shared { division: V },
    /// One allocation, by its slot.
    Dedicated { slot: u32 },
}

impl<D: Device, V: Division> Block<D, V> {
    pub fn shared(grant: Grant<D::Memory>, division: V) -> Self {
        let contents = Contents::Shared { division };
        Self { grant, contents, maps: 0, pointer: None, idle: 0 }
    }

    pub const fn dedicated(grant: Grant<D::Memory>, slot: u32) -> Self {
        let contents = Contents::Dedicated { slot };
        Self { grant, contents, maps: 0, pointer: None, idle: 0 }
    }

    /// The division of a block that is known to be shared.
    #[inline]
    fn division(&mut self) -> &mut V {
        match &mut self.contents {
            Contents::Shared { division } => division,
            Contents::Dedicated { .. } => unreachable!("only shared blocks are on shelves"),
        }
    }
}

/// What one allocation is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub offset: u64,
    pub size: u64,
    pub block: u32,
    /// The division's name for the part.
    pub part: u32,
    pub maps: u32,
    pub tiling: Tiling,
    /// Whether one of the maps is the handle's own, for all its life.
    pub persistent: bool,
    /// Whether its block was taken for it.
    pub fresh: bool,
    pub noted: bool,
}

impl Entry {
    pub const fn new(block: u32, part: Part, size: u64) -> Self {
        let Part { key, offset } = part;
        let tiling = Tiling::Linear;
        let (persistent, fresh, noted) = (false, false, false);
        Self { offset, size, block, part: key, maps: 0, tiling, persistent, fresh, noted }
    }

    pub const fn dedicated<D: Device>(block: u32, request: &Request<'_, D>) -> Self {
        Self::new(block, Part { key: 0, offset: 0 }, request.requirements.size)
    }
}

/// What is remembered of an allocation for people.
#[derive(Debug, Default)]
pub struct Note {
    pub name: Option<Box<str>>,
    pub backtrace: Option<Box<Backtrace>>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct State<D: Device, V> {
    pub(super) supply: Arc<Supply<D>>,
    growth: Growth,
    blocks: Vec<Option<Block<D, V>>>,
    vacant: Vec<u32>,
    /// The shared blocks, by the room they have.
    shelves: Shelves,
    /// The shared block in which nothing lies.
    empty: Option<u32>,
    entries: Vec<Entry>,
    notes: HashMap<u32, Note>,
    /// What goes back to the device when the lock is let go.
    pub(super) surplus: Vec<Grant<D::Memory>>,
    used: u64,
    count: u32,
    held: u64,
}

impl<D: Device, V: Division> State<D, V> {
    pub(super) fn new(supply: Arc<Supply<D>>, growth: Growth) -> Self {
        Self {
            supply,
            growth,
            blocks: Vec::new(),
            vacant: Vec::new(),
            shelves: Shelves::new(),
            empty: None,
            entries: Vec::new(),
            notes: HashMap::new(),
            surplus: Vec::new(),
            used: 0,
            count: 0,
            held: 0,
        }
    }

    /// Returns the bytes in allocations.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Returns the bytes in blocks.
    pub const fn held(&self) -> u64 {
        self.held
    }

    /// Returns how many allocations live.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Returns the counters.
    pub const fn stats(&self) -> Stats {
        Stats {
            blocks: (self.blocks.len() - self.vacant.len()) as u64,
            held: self.held,
            allocations: self.count as u64,
            used: self.used,
        }
    }

    /// Finds and takes a part for `ask`, in the tightest block that has room.
    #[inline(always)]
    pub(super) fn find(&mut self, ask: &Ask) -> Option<(u32, Part)> {
        let mut next = self.shelves.first(ask.size);
        while let Some(block) = next {
            if let Some(part) = self.division(block).allocate(ask) {
                if self.empty == Some(block) {
                    self.empty = None;
                }
                self.settle(block);
                return Some((block, part));
            }
            next = self.shelves.after(block);
        }
        None
    }

    /// Undoes [`find`](Self::find).
    #[inline]
    pub(super) fn put_back(&mut self, block: u32, part: u32) {
        let division = self.division(block);
        division.free(part);
        let is_empty = division.count() == 0;
        self.settle(block);
        if is_empty {
            self.keep_one_empty(block);
        }
    }

    /// Of two empty blocks keeps one: the larger, so long as it is no larger than what growth
    /// would take anew, so that a program that frees and allocates in turns takes no block each
    /// time and one that has ended its work holds little.
    fn keep_one_empty(&mut self, block: u32) {
        let Some(other) = self.empty.replace(block) else { return };
        let size = |index| self.block(index).grant.size;
        let (small, large) =
            if size(block) < size(other) { (block, other) } else { (other, block) };
        let wanted = self.growth.next(self.used);
        let (kept, dropped) = if size(large) <= wanted { (large, small) } else { (small, large) };
        self.empty = Some(kept);
        self.discard(dropped);
    }

    /// Adds a block and returns its number.
    pub(super) fn add(&mut self, block: Block<D, V>) -> u32 {
        self.held += block.grant.size;
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.blocks.push(None);
            self.blocks.len() as u32 - 1
        });
        let shared = matches!(block.contents, Contents::Shared { .. });
        self.blocks[index as usize] = Some(block);
        if shared {
            self.settle(index);
        }
        index
    }

    /// Takes a block out; its memory goes back when the session ends.
    pub(super) fn discard(&mut self, index: u32) {
        let block = self.blocks[index as usize].take().expect("the block is there");
        self.vacant.push(index);
        self.held -= block.grant.size;
        if self.empty == Some(index) {
            self.empty = None;
        }
        self.shelves.take(index);
        self.surplus.push(block.grant);
    }

    /// Takes the empty block out, if there is one.
    pub fn discard_empty(&mut self) {
        if let Some(block) = self.empty {
            self.discard(block);
        }
    }

    /// Takes back a slot that the user was never told of: a block that was taken for it goes too,
    /// and an empty one that was kept before stays.
    pub(super) fn undo(&mut self, slot: u32) {
        let fresh = self.entries[slot as usize].fresh;
        let kept = self.empty.take();
        self.take_back(slot);
        if fresh {
            self.discard_empty();
        }
        self.empty = kept.or(self.empty);
    }

    /// Puts a shared block on the shelf for the room it has.
    #[inline]
    fn settle(&mut self, block: u32) {
        let room = self.division(block).room();
        self.shelves.put(block, room);
    }

    /// Writes a new allocation's entry; returns its block's memory and its own host pointer.
    #[inline(always)]
    pub(super) fn enter(&mut self, slot: u32, entry: Entry) -> (D::Memory, Option<HostPointer>) {
        if self.entries.len() <= slot as usize {
            self.entries.resize(slot as usize + 1, entry);
        }
        self.entries[slot as usize] = entry;
        self.used += entry.size;
        self.count += 1;
        let block = self.block_mut(entry.block);
        block.maps += entry.maps;
        (block.grant.memory, block.pointer.map(|pointer| pointer.at(entry.offset)))
    }

    /// Returns where a live allocation is: its entry, its memory, its host pointer.
    pub(super) fn locate(&self, slot: u32) -> (Entry, D::Memory, Option<HostPointer>) {
        let entry = self.entries[slot as usize];
        let block = self.block(entry.block);
        let pointer = block.pointer.map(|pointer| pointer.at(entry.offset));
        (entry, block.grant.memory, pointer)
    }

    #[inline]
    pub(super) fn note(&mut self, slot: u32, name: Option<&str>, backtraces: bool) {
        if name.is_none() && !backtraces {
            return;
        }
        let backtrace = backtraces.then(|| Box::new(Backtrace::force_capture()));
        self.notes.insert(slot, Note { name: name.map(Box::from), backtrace });
        self.entries[slot as usize].noted = true;
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    pub(super) fn block(&self, index: u32) -> &Block<D, V> {
        self.blocks[index as usize].as_ref().expect("the block is there")
    }

    pub(super) fn block_mut(&mut self, index: u32) -> &mut Block<D, V> {
        self.blocks[index as usize].as_mut().expect("the block is there")
    }

    /// Returns the numbers of all blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.blocks).filter_map(|(index, block)| block.as_ref().map(|_| index))
    }

    pub(super) fn note_of(&self, slot: u32) -> Option<&Note> {
        self.notes.get(&slot)
    }

    pub(super) fn check_shelves(&self) {
        for index in self.blocks() {
            let Contents::Shared { division } = &self.block(index).contents else { continue };
            assert!(self.shelves.is_right(index, division.room()), "invariant 2");
            assert_eq!(self.empty == Some(index), division.count() == 0, "invariant 6");
        }
    }

    fn division(&mut self, index: u32) -> &mut V {
        self.block_mut(index).division()
    }
}

impl<D: Device, V: Division> TakeBack for State<D, V> {
    #[inline]
    fn take_back(&mut self, slot: u32) {
        let Entry { block, part, size, maps, noted, .. } = self.entries[slot as usize];
        self.used -= size;
        self.count -= 1;
        if noted {
            self.notes.remove(&slot);
        }
        if maps > 0 {
            self.release_maps(block, maps);
        }
        match self.block(block).contents {
            Contents::Dedicated { .. } => self.discard(block),
            Contents::Shared { .. } => {
                self.rest(block);
                self.put_back(block, part);
            }
        }
    }
}

impl<D: Device, V> Drop for State<D, V> {
    /// Gives every block back, also those in which something is still allocated: who ends an
    /// arena has reported it.
    fn drop(&mut self) {
        let blocks = self.blocks.drain(..).flatten().map(|block| block.grant);
        blocks.chain(self.surplus.drain(..)).for_each(|grant| self.supply.release(grant));
    }
}
