//! Slots with generations: who holds a key can ask, without a lock, whether it still counts.
//!
//! A slot is two words: its state and a link. The state is a generation and a phase, and only ever
//! advances: the owner makes a vacant slot live and gives out a [`Key`] of slot and generation;
//! any thread retires the key by one compare-exchange, so of two frees that race one wins and the
//! other is told that it is [`Stale`]; the owner makes the retired slot vacant again. Whoever
//! retires a key gets a [`Retired`], the proof that the slot is now his to bring to its owner. The
//! link that chains the vacant slots is free while a slot is live or retired, so it carries the
//! slot through a [queue](crate::queue). Vacant slots are used again last in, first out: their
//! cache lines are warm. What else belongs to a slot lies in tables beside this one.
//!
//! A slot whose generation is [`GENERATION_MAX`] is never used again once it is vacant: its keys
//! could not be told from older ones. That is one slot for each 2^30 uses of it.
//!
//! # Invariants
//!
//! 1. The slots that were never used have generation 0 and come after all others.
//! 2. The vacancy list has only vacant slots that were used and whose generation is not the last.
//! 3. It has all of them, each once.

use crate::check::{Broken, ensure};
use crate::queue::{Links, Word};
use crate::store::Full;
use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

/// The last generation of a slot.
pub const GENERATION_MAX: u32 = u32::MAX >> PHASE_BITS;

const PHASE_BITS: u32 = 2;
/// The index that names no slot.
const NONE: u32 = u32::MAX;

/// What a slot goes through, in this order, again and again.
const VACANT: u32 = 0;
const LIVE: u32 = 1;
const RETIRED: u32 = 2;

/// A generation and a phase; what a slot that was never used holds is 0.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u32);

impl State {
    const UNUSED: Self = Self::new(0, VACANT);

    const fn new(generation: u32, phase: u32) -> Self {
        Self(generation << PHASE_BITS | phase)
    }

    const fn generation(self) -> u32 {
        self.0 >> PHASE_BITS
    }

    const fn phase(self) -> u32 {
        self.0 & ((1 << PHASE_BITS) - 1)
    }

    /// Whether this is a vacant slot for the vacancy list.
    const fn is_usable_again(self) -> bool {
        self.phase() == VACANT && self.generation() != 0 && self.generation() < GENERATION_MAX
    }
}

/// A place in a table; one that was never used is all zero.
#[derive(Debug, Default)]
pub struct Slot<W> {
    state: W,
    link: W,
}

const _: () = assert!(size_of::<Slot<core::sync::atomic::AtomicU32>>() == 8);

/// Storage of slots that the caller lends. It may grow, and a slot never moves.
pub trait SlotStore {
    /// The words of a slot.
    type Word: Word<Value = u32>;

    /// Returns the slot of this index, or none behind the last. Called by any thread at any time,
    /// also while the owner grows the storage, and with any index.
    fn get(&self, index: u32) -> Option<&Slot<Self::Word>>;

    /// Adds at least one slot behind the last. Called by the owner of the table alone.
    ///
    /// # Errors
    ///
    /// [`Full`] when there is no more storage; nothing has changed.
    fn grow(&self) -> Result<(), Full>;
}

/// Storage that does not grow.
impl<W: Word<Value = u32>> SlotStore for &[Slot<W>] {
    type Word = W;

    fn get(&self, index: u32) -> Option<&Slot<W>> {
        <[Slot<W>]>::get(self, index as usize)
    }

    fn grow(&self) -> Result<(), Full> {
        Err(Full)
    }
}

/// The name of one use of a slot. No two keys of a table are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Which slot.
    pub slot: u32,
    /// The how-manieth use of it, from 1: a key of zeros is never live.
    pub generation: u32,
}

/// The key is not live: it was retired before, or never given out by this table. Nothing has
/// changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The key that was asked for.
    pub asked: Key,
    /// The generation that the slot has reached; 0 if it was never used.
    ///
    /// As large as the one asked for: that use is over. Larger: the slot was used again since.
    /// Smaller: the key is of another table.
    pub found: u32,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked: Key { slot, generation }, found } = self;
        write!(f, "use {generation} of slot {slot} is not live; its last use was {found}")
    }
}

impl core::error::Error for Stale {}

/// A slot that was retired and is on its way to the owner, who has to [vacate](Table::vacate) it.
///
/// One that is dropped is lost to the table.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a retired slot that is not vacated is lost"]
pub struct Retired {
    key: Key,
}

impl Retired {
    /// Returns the key that was retired.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// Turns the proof into a node for a [queue](crate::queue) with the table's links. The owner
    /// gets it back from [`Table::take_in`].
    #[must_use]
    pub const fn into_node(self) -> u32 {
        self.key.slot
    }
}

/// The right to insert and to vacate, and the list of vacant slots. The owner of the table keeps
/// it. Takes two words of 32 bits.
#[derive(Debug)]
pub struct Vacant {
    /// The slot vacated last.
    first: u32,
    /// The first slot that was never used.
    unused: u32,
}

/// Slots with generations in storage that the caller lends.
#[derive(Debug)]
pub struct Table<S> {
    slots: S,
}

impl<S: SlotStore> Table<S> {
    /// Makes an empty table of slots that were never used, and the right to insert into it.
    ///
    /// The [`Vacant`] belongs to this table and to no other.
    #[must_use]
    pub const fn new(slots: S) -> (Self, Vacant) {
        (Self { slots }, Vacant { first: NONE, unused: 0 })
    }

    /// Makes a slot live, in constant time; a vacant one if there is one.
    ///
    /// # Errors
    ///
    /// [`Full`] when no slot is vacant and the storage does not grow; nothing has changed.
    #[inline]
    pub fn insert(&self, vacant: &mut Vacant) -> Result<Key, Full> {
        let (index, slot) = self.take_vacant(vacant)?;
        let generation = state(slot).generation() + 1;
        // No partner: a key that nobody was told yet is retired by nobody, and who is told it is
        // told this too.
        slot.state.store(State::new(generation, LIVE).0, Relaxed);
        Ok(Key { slot: index, generation })
    }

    /// Takes the slot vacated last or else the first that was never used.
    fn take_vacant(&self, vacant: &mut Vacant) -> Result<(u32, &Slot<S::Word>), Full> {
        let index = vacant.first;
        if index != NONE {
            let slot = self.slot(index);
            // No partner: only the owner touches the links of vacant slots.
            vacant.first = slot.link.load(Relaxed);
            return Ok((index, slot));
        }
        let index = vacant.unused;
        if index == NONE {
            return Err(Full);
        }
        if self.slots.get(index).is_none() {
            self.slots.grow()?;
        }
        vacant.unused += 1;
        Ok((index, self.slot(index)))
    }

    /// Ends the use that `key` names: at most one load and one compare-exchange, by any thread.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the key is not live, also when another thread was faster; nothing has
    /// changed.
    #[inline]
    pub fn retire(&self, key: Key) -> Result<Retired, Stale> {
        let stale = |found: State| Stale { asked: key, found: found.generation() };
        let slot = self.slots.get(key.slot).ok_or(stale(State::UNUSED))?;
        let found = state(slot);
        if found.phase() != LIVE || found.generation() != key.generation {
            return Err(stale(found));
        }
        let retired = State::new(key.generation, RETIRED);
        // No partner: that one thread wins is all that is told. What the winner did goes to the
        // owner with the slot, by the queue or the owner's lock.
        match slot.state.compare_exchange(found.0, retired.0, Relaxed, Relaxed) {
            Ok(_) => Ok(Retired { key }),
            Err(found) => Err(stale(State(found))),
        }
    }

    /// Tells whether the use that `key` names goes on. Costs one load, by any thread; unless the
    /// asker keeps others from retiring the key, the answer may be old when it comes.
    #[must_use]
    pub fn is_live(&self, key: Key) -> bool {
        self.live_key(key.slot) == Some(key)
    }

    /// As [`is_live`](Self::is_live), with the reason if not.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the key is not live.
    #[inline]
    pub fn expect_live(&self, asked: Key) -> Result<(), Stale> {
        let found = self.slots.get(asked.slot).map_or(State::UNUSED, state);
        if found == State::new(asked.generation, LIVE) {
            return Ok(());
        }
        Err(Stale { asked, found: found.generation() })
    }

    /// Returns the key of a slot that is live, for whoever knows only the slot. Costs one load, by
    /// any thread, with any number.
    #[must_use]
    pub fn live_key(&self, slot: u32) -> Option<Key> {
        let found = state(self.slots.get(slot)?);
        (found.phase() == LIVE).then_some(Key { slot, generation: found.generation() })
    }

    /// Returns the keys that are live, in the order of their slots; one that is inserted or
    /// retired meanwhile may be among them or not. Costs one load for each slot ever used.
    pub fn live_keys(&self) -> impl Iterator<Item = Key> {
        self.used_slots().filter_map(|(slot, _)| self.live_key(slot))
    }

    fn used_slots(&self) -> impl Iterator<Item = (u32, State)> {
        (0..NONE)
            .map_while(|index| Some((index, state(self.slots.get(index)?))))
            .take_while(|&(_, state)| state != State::UNUSED)
    }

    /// Gives the proof back for a node that the owner popped from a queue, in constant time; none
    /// if that slot is not retired. Only the owner may ask, and once a node.
    pub fn take_in(&self, _vacant: &mut Vacant, node: u32) -> Option<Retired> {
        // The queue handed over the slot, so this sees what the one who retired it wrote.
        let found = state(self.slots.get(node)?);
        let key = Key { slot: node, generation: found.generation() };
        (found.phase() == RETIRED).then_some(Retired { key })
    }

    /// Makes a retired slot vacant, in constant time. Its next key has the next generation; after
    /// the last there is none, and the slot stays unused for ever.
    ///
    /// # Panics
    ///
    /// When `retired` is of another table, or was taken in twice.
    #[inline]
    pub fn vacate(&self, vacant: &mut Vacant, retired: Retired) {
        let generation = retired.key.generation;
        let index = retired.into_node();
        let slot = self.slot(index);
        let is_retired = state(slot) == State::new(generation, RETIRED);
        assert!(is_retired, "a slot is vacated once each time it was retired");
        let next = State::new(generation, VACANT);
        // No partner, twice: until the owner makes the slot live, nobody else's retire succeeds.
        slot.state.store(next.0, Relaxed);
        if next.is_usable_again() {
            slot.link.store(vacant.first, Relaxed);
            vacant.first = index;
        }
    }

    /// Verifies every invariant; takes time in proportion to the number of slots.
    ///
    /// # Errors
    ///
    /// [`Broken`] names the first invariant that does not hold.
    pub fn check(&self, vacant: &Vacant) -> Result<(), Broken> {
        let used = self.used_slots().count();
        let later = (vacant.unused..NONE).map_while(|index| self.slots.get(index));
        let later_is_unused = later.map(state).all(|found| found == State::UNUSED);
        ensure(used == vacant.unused as usize && later_is_unused, 1)?;
        let (mut listed, mut index) = (0, vacant.first);
        while index != NONE {
            ensure(index < vacant.unused && state(self.slot(index)).is_usable_again(), 2)?;
            listed += 1;
            ensure(listed <= used, 3)?;
            index = self.link(index).load(Relaxed);
        }
        let usable = self.used_slots().filter(|(_, found)| found.is_usable_again()).count();
        ensure(listed == usable, 3)
    }

    /// Returns the storage, for what its lender knows of it.
    pub const fn slots(&self) -> &S {
        &self.slots
    }

    /// The slot of an index that this table gave out.
    fn slot(&self, index: u32) -> &Slot<S::Word> {
        self.slots.get(index).expect("a slot that was given out is in the table")
    }
}

/// A retired slot travels to its owner by the link it does not need then.
impl<S: SlotStore> Links for Table<S> {
    type Word = S::Word;

    const NONE: u32 = NONE;

    fn link(&self, node: u32) -> &S::Word {
        &self.slot(node).link
    }
}

// No partner: who may act on an answer got the key, the slot or the owner's right by a hand-over
// that has one.
fn state<W: Word<Value = u32>>(slot: &Slot<W>) -> State {
    State(slot.state.load(Relaxed))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{GENERATION_MAX, Key, LIVE, Slot, State, Table};
    use crate::store::Full;
    use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn a_slot_whose_generations_are_used_up_is_never_used_again() {
        let slots = [Slot::<AtomicU32>::default()];
        let (table, mut vacant) = Table::new(&slots[..]);
        table.insert(&mut vacant).unwrap();
        slots[0].state.store(State::new(GENERATION_MAX - 1, LIVE).0, Relaxed);

        for generation in [GENERATION_MAX - 1, GENERATION_MAX] {
            let key = Key { slot: 0, generation };
            assert!(table.is_live(key));
            let retired = table.retire(key).unwrap();
            table.vacate(&mut vacant, retired);
            assert_eq!(table.check(&vacant), Ok(()));
            let next = Key { slot: 0, generation: generation + 1 };
            let more = generation < GENERATION_MAX;
            assert_eq!(table.insert(&mut vacant), if more { Ok(next) } else { Err(Full) });
        }
        assert_eq!(table.retire(Key { slot: 0, generation: 0 }).unwrap_err().found, GENERATION_MAX);
        // Cut to the bits of a state this generation would be 0.
        assert!(table.retire(Key { slot: 0, generation: GENERATION_MAX + 1 }).is_err());
    }
}
