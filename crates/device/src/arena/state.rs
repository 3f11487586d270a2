//! The account of an arena: its blocks, its allocations, and which part is whose.

use super::block::{Block, Contents, Kept};
use super::entry::{Entry, Marks};
use super::moves::Moves;
use super::notes::Note;
use super::shelves::Shelves;
use super::usages::Usages;
use super::watch::Watch;
use crate::allocation::HostPointer;
use crate::device::Device;
use crate::division::{Ask, Division, Part};
use crate::handover::TakeBack;
use crate::supply::{Grant, Supply};
use polder_core::stats::Stats;
use std::collections::HashMap;
use std::sync::Arc;

/// What is kept of what is used.
const KEPT_SHARE: u64 = 16;
/// With each block that becomes empty, this part of what was used of late is forgotten.
const RECENT_DECAY: u64 = 1024;

/// See the [module](self).
#[derive(Debug)]
pub struct State<D: Device, V> {
    pub(super) supply: Arc<Supply<D>>,
    kept: Kept,
    /// So many shared blocks stay, empty or not.
    blocks_least: u32,
    /// How many shared blocks there are.
    shared: u32,
    blocks: Vec<Option<Block<D, V>>>,
    vacant: Vec<u32>,
    /// The shared blocks, by the room they have.
    shelves: Shelves,
    /// The shared blocks in which nothing lies.
    pub(super) empty: Vec<u32>,
    /// The shared blocks that a defragmentation is emptying, on no shelf.
    pub(super) closed: Vec<u32>,
    /// The most bytes that were in allocations of late.
    recent: u64,
    entries: Vec<Entry>,
    pub(super) notes: HashMap<u32, Note>,
    pub(super) usages: Usages,
    /// What goes back to the device when the lock is let go.
    pub(super) surplus: Vec<Grant<D::Memory>>,
    /// What a defragmentation is about to move.
    pub(super) moves: Moves,
    /// What is done for the debug aids.
    pub(super) watch: Watch,
    used: u64,
    count: u32,
    held: u64,
}

impl<D: Device, V: Division> State<D, V> {
    pub(super) fn new(supply: Arc<Supply<D>>, kept: Kept, blocks_least: u32, watch: Watch) -> Self {
        Self {
            supply,
            kept,
            blocks_least,
            shared: 0,
            blocks: Vec::new(),
            vacant: Vec::new(),
            shelves: Shelves::new(),
            empty: Vec::new(),
            closed: Vec::new(),
            recent: 0,
            entries: Vec::new(),
            notes: HashMap::new(),
            usages: Usages::default(),
            surplus: Vec::new(),
            moves: Moves::default(),
            watch,
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

    /// Finds and takes a part for `ask`, in the tightest block that has room for as much rounded up
    /// to the alignment: regions mostly end at multiples of it, and then hold that or do not fit.
    #[inline(always)]
    pub(super) fn find(&mut self, ask: &Ask) -> Option<(u32, Part)> {
        let mut next = self.first_rounded(ask);
        while let Some(block) = next {
            if let Some(part) = self.try_block(block, ask) {
                return Some((block, part));
            }
            next = self.shelves.after(block);
        }
        None
    }

    #[inline]
    fn first_rounded(&self, ask: &Ask) -> Option<u32> {
        self.shelves.first(ask.size.wrapping_add(ask.align - 1) & !(ask.align - 1))
    }

    /// Finds and takes a part where [`find`](Self::find) does not look.
    #[cold]
    pub(super) fn find_late(&mut self, ask: &Ask) -> Option<(u32, Part)> {
        self.find_below(ask).or_else(|| self.find_in_closed(ask))
    }

    /// Finds and takes a part in the blocks with less room, which [`find`](Self::find) passes over.
    pub(super) fn find_below(&mut self, ask: &Ask) -> Option<(u32, Part)> {
        let end = self.first_rounded(ask);
        let mut next = self.shelves.first(ask.size);
        while let Some(block) = next
            && next != end
        {
            if let Some(part) = self.try_block(block, ask) {
                return Some((block, part));
            }
            next = self.shelves.after(block);
        }
        None
    }

    /// Takes a part of a block that is on a shelf or closed, if it has room.
    #[inline(always)]
    fn try_block(&mut self, block: u32, ask: &Ask) -> Option<Part> {
        let tried = self.block_mut(block);
        let part = tried.division().allocate(ask)?;
        if let Some(room) = tried.new_room() {
            self.shelves.put(block, room);
        }
        if !self.empty.is_empty() && self.division(block).count() == 1 {
            self.empty.retain(|&empty| empty != block);
        }
        Some(part)
    }

    /// The same in a block that a defragmentation is emptying: late is better than another block.
    fn find_in_closed(&mut self, ask: &Ask) -> Option<(u32, Part)> {
        let closed = self.closed.clone();
        closed.into_iter().find_map(|block| Some((block, self.try_block(block, ask)?)))
    }

    /// Takes a shared block from its shelf: nothing new comes into it while there is room
    /// elsewhere.
    pub(super) fn close(&mut self, block: u32) {
        self.shelves.close(block);
        self.closed.push(block);
    }

    /// Puts a block that was closed back on its shelf; nothing, when it is gone.
    pub(super) fn reopen(&mut self, block: u32) {
        if let Some(place) = self.closed.iter().position(|&closed| closed == block) {
            self.closed.swap_remove(place);
            self.shelves.take(block);
            self.settle(block);
        }
    }

    /// Tells whether a block is being emptied.
    pub(super) fn is_closed(&self, block: u32) -> bool {
        self.closed.contains(&block)
    }

    /// Takes a part of a block, wherever that stands.
    pub(super) fn find_in(&mut self, block: u32, ask: &Ask) -> Option<Part> {
        let part = self.division(block).allocate(ask)?;
        self.settle(block);
        Some(part)
    }

    /// Undoes [`find`](Self::find).
    #[inline]
    pub(super) fn put_back(&mut self, block: u32, part: u32) {
        let freed = self.block_mut(block);
        freed.division().free(part);
        let is_empty = freed.division().count() == 0;
        if let Some(room) = freed.new_room() {
            self.shelves.put(block, room);
        }
        if is_empty {
            self.keep_empty(block);
        }
    }

    /// Notes that nothing lies in a block any more, and takes out what is not kept.
    #[cold]
    fn keep_empty(&mut self, block: u32) {
        self.note_empty(block);
        self.discard_surplus_empty();
    }

    /// Takes out empty blocks, the largest first, while those that stay are enough of what is
    /// [kept](Kept): a program that frees and allocates in turns calls no driver each time, and one
    /// that has ended its work holds little. One empty block always stays.
    fn discard_surplus_empty(&mut self) {
        let enough = match self.kept {
            Kept::Share => self.used / KEPT_SHARE,
            Kept::Recent => self.recent,
            Kept::WithinBudget if self.is_within_budget() => return,
            Kept::WithinBudget => 0,
        };
        self.recent -= self.recent / RECENT_DECAY;
        let size = |state: &Self, index: u32| state.block(index).grant.size;
        let mut total: u64 = self.empty.iter().map(|&index| size(self, index)).sum();
        while self.empty.len() > 1 && self.may_lose_block() {
            let largest = self.empty.iter().copied().max_by_key(|&index| size(self, index));
            let largest = largest.expect("there are two");
            total -= size(self, largest);
            if total < enough {
                return;
            }
            self.discard(largest);
        }
    }

    /// Tells whether the heap of the empty blocks is within its budget.
    fn is_within_budget(&self) -> bool {
        let Some(&block) = self.empty.last() else { return true };
        let heap = self.supply.heap_of(self.block(block).grant.memory_type);
        self.supply.budget(heap).is_kept()
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
            self.shared += 1;
            self.settle(index);
        }
        index
    }

    /// Takes a block out; its memory goes back when the session ends.
    pub(super) fn discard(&mut self, index: u32) {
        let grant = self.remove(index);
        self.surplus.push(grant);
    }

    /// Takes a block out and hands over its memory.
    pub(super) fn remove(&mut self, index: u32) -> Grant<D::Memory> {
        let block = self.blocks[index as usize].take().expect("the block is there");
        self.vacant.push(index);
        self.held -= block.grant.size;
        self.shared -= u32::from(matches!(block.contents, Contents::Shared { .. }));
        self.empty.retain(|&empty| empty != index);
        self.closed.retain(|&closed| closed != index);
        self.shelves.take(index);
        block.grant
    }

    /// Takes the empty blocks out.
    pub fn discard_empty(&mut self) {
        while let Some(&block) = self.empty.last()
            && self.may_lose_block()
        {
            self.discard(block);
        }
    }

    fn may_lose_block(&self) -> bool {
        self.blocks_to_spare() > 0
    }

    /// How many shared blocks there are beyond those that stay, empty or not.
    pub(super) fn blocks_to_spare(&self) -> usize {
        self.shared.saturating_sub(self.blocks_least) as usize
    }

    /// Tells that nothing lies in a block that was just added.
    pub(super) fn note_empty(&mut self, block: u32) {
        self.empty.push(block);
    }

    /// Takes back a slot that the user was never told of: a block that was taken for it goes too,
    /// if nothing else has come into it, and the empty ones that were kept before stay.
    pub(super) fn undo(&mut self, slot: u32) {
        let Entry { marks, block, .. } = self.entries[slot as usize];
        let kept = core::mem::take(&mut self.empty);
        self.take_back(slot);
        if marks.contains(Marks::FRESH) && self.empty.contains(&block) {
            self.discard(block);
        }
        self.empty.extend(kept);
    }

    /// Puts a shared block on the shelf for the room it has.
    #[inline]
    fn settle(&mut self, block: u32) {
        let settled = self.block_mut(block);
        settled.room = settled.division().room();
        let room = settled.room;
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
        self.recent = self.recent.max(self.used);
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

    /// Ends what was done for an allocation beside its entry.
    #[inline]
    fn forget(&mut self, slot: u32, marks: Marks) {
        if marks.contains(Marks::WATCHED) {
            self.unwatch(slot);
        }
        if marks.contains(Marks::NOTED) {
            self.notes.remove(&slot);
        }
    }

    #[inline]
    pub(super) fn entry(&self, slot: u32) -> &Entry {
        &self.entries[slot as usize]
    }

    pub(super) fn entry_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    /// What lies in a block, if there is one of this number.
    pub(super) fn contents(&self, index: u32) -> Option<&Contents<V>> {
        Some(&self.blocks.get(index as usize)?.as_ref()?.contents)
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

    pub(super) fn check_shelves(&self) {
        let mut shared = 0;
        for index in self.blocks() {
            let Contents::Shared { division } = &self.block(index).contents else { continue };
            shared += 1;
            let is_there = self.shelves.is_right(index, division.room());
            assert_eq!(is_there, !self.is_closed(index), "invariant 2");
            assert_eq!(self.block(index).room, division.room(), "what the shelf was chosen by");
            let empty = self.empty.iter().filter(|&&empty| empty == index).count();
            assert_eq!(empty == 1, division.count() == 0, "invariant 6");
        }
        assert_eq!(self.shared, shared, "how many blocks are shared");
    }

    pub(super) fn division(&mut self, index: u32) -> &mut V {
        self.block_mut(index).division()
    }
}

impl<D: Device, V: Division> TakeBack for State<D, V> {
    #[inline]
    fn take_back(&mut self, slot: u32) {
        let Entry { block, part, size, maps, marks, .. } = self.entries[slot as usize];
        self.used -= size;
        self.count -= 1;
        if marks.intersects(Marks::NOTED | Marks::WATCHED) {
            self.forget(slot, marks);
        }
        if marks.contains(Marks::MOVING) {
            // Its contents are on their way: both places stay until the pass ends.
            return self.give_up_moving(slot);
        }
        if maps > 0 {
            self.release_maps(block, maps);
        }
        // The block is looked up once: this is half of every pair of allocation and free.
        let freed = self.block_mut(block);
        let is_idle = freed.pointer.is_some() && freed.maps == 0;
        let Contents::Shared { division } = &mut freed.contents else {
            return self.discard(block);
        };
        division.free(part);
        let (room, is_empty) = (division.room(), division.count() == 0);
        let is_new = core::mem::replace(&mut freed.room, room) != room;
        if is_idle {
            self.rest(block);
        }
        if is_new {
            self.shelves.put(block, room);
        }
        if is_empty {
            self.keep_empty(block);
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
