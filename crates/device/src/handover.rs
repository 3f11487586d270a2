//! A state that one thread at a time may touch, and the way by which other threads' frees reach it.
//!
//! A handover is a lock around a state, a [table](polder_core::table) of slots that anybody can
//! retire without the lock, and a [queue](polder_core::queue). Who frees a slot retires it first,
//! so that of two frees one wins. Then it tries the lock: when it is free, the state takes the
//! slot back at once. When it is taken, the slot goes into the queue, and whoever gets the lock
//! next takes it in before anything else. Nobody waits for a lock to free. If nobody comes again,
//! the slot stays in the queue: what wants all memory back (trim, statistics, the end) comes.
//!
//! # Invariants
//!
//! 1. A slot is live, or retired and in the queue or in one thread's hands, or vacant.
//! 2. Who holds the lock has taken in everything whose free had ended before it got the lock.

use crate::sync::{Mutex, MutexGuard, TryLockError, Word};
use polder_core::queue::{Batch, Links, Owner, Queue};
use polder_core::store::Full;
use polder_core::table::{Key, Retired, Slot, SlotStore, Stale, Table, Vacant};
use std::sync::OnceLock;

/// A state that takes its freed slots back.
pub trait TakeBack {
    /// Undoes what the slot stands for.
    fn take_back(&mut self, slot: u32);
}

/// Slots that never move, in segments that double.
#[derive(Debug, Default)]
pub struct Segments {
    segments: [OnceLock<Box<[Slot<Word>]>>; SEGMENTS],
}

/// Slots in the first segment; each other has twice its predecessor's.
const FIRST_LEN: u32 = 64;
/// All segments together hold nearly 2^32 slots.
const SEGMENTS: usize = 26;

impl SlotStore for Segments {
    type Word = Word;

    #[inline]
    fn get(&self, index: u32) -> Option<&Slot<Word>> {
        // Segment k begins at FIRST_LEN * (2^k - 1): the leading one of this sum says which it is.
        let place = u64::from(index) + u64::from(FIRST_LEN);
        let segment = place.ilog2() - FIRST_LEN.ilog2();
        let within = place - (u64::from(FIRST_LEN) << segment);
        self.segments.get(segment as usize)?.get()?.get(within as usize)
    }

    fn grow(&self) -> Result<(), Full> {
        let next = self.segments.iter().position(|segment| segment.get().is_none()).ok_or(Full)?;
        let len = (FIRST_LEN as usize) << next;
        self.segments[next].get_or_init(|| (0..len).map(|_| Slot::default()).collect());
        Ok(())
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Handover<T> {
    table: Table<Segments>,
    queue: Queue<Word>,
    locked: Mutex<Locked<T>>,
}

#[derive(Debug)]
struct Locked<T> {
    state: T,
    vacant: Vacant,
    owner: Owner<u32>,
}

/// The lock of a [`Handover`], held.
#[derive(Debug)]
pub struct Held<'a, T> {
    shared: &'a Handover<T>,
    locked: MutexGuard<'a, Locked<T>>,
}

impl<T: TakeBack> Handover<T> {
    /// Makes a handover with no slots.
    pub fn new(state: T) -> Self {
        let (table, vacant) = Table::new(Segments::default());
        let none = || Word::new(<Table<Segments> as Links>::NONE);
        let (queue, owner) = Queue::new(none(), none());
        Self { table, queue, locked: Mutex::new(Locked { state, vacant, owner }) }
    }

    /// Waits for the lock, and takes in what was freed meanwhile.
    pub fn lock(&self) -> Held<'_, T> {
        let locked = self.locked.lock();
        self.held(locked.unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Takes the lock if nobody holds it, and takes in what was freed meanwhile.
    #[inline(always)]
    pub fn try_lock(&self) -> Option<Held<'_, T>> {
        match self.locked.try_lock() {
            Ok(locked) => Some(self.held(locked)),
            // A panic under the lock was a user's division; the state is whole between calls.
            Err(TryLockError::Poisoned(error)) => Some(self.held(error.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Frees a slot: at once when the lock is free, else by the queue. Returns the lock if it was
    /// had, for what else there is to do.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the key is not live; nothing has changed.
    #[inline]
    pub fn free(&self, key: Key) -> Result<Option<Held<'_, T>>, Stale> {
        let retired = self.table.retire(key)?;
        if let Some(mut held) = self.try_lock() {
            held.take_back(retired);
            return Ok(Some(held));
        }
        self.queue.post(&self.table, Batch::of(&self.table, retired.into_node()));
        // The lock may have been let go between the try and the post: look again.
        Ok(self.try_lock())
    }

    /// Tells whether the key is live.
    ///
    /// # Errors
    ///
    /// [`Stale`] with the generation that the slot has reached.
    #[inline]
    pub fn expect_live(&self, key: Key) -> Result<(), Stale> {
        self.table.expect_live(key)
    }

    #[inline(always)]
    fn held<'a>(&'a self, locked: MutexGuard<'a, Locked<T>>) -> Held<'a, T> {
        let mut held = Held { shared: self, locked };
        if !self.queue.is_empty(&self.table) {
            held.take_in();
        }
        held
    }
}

impl<T: TakeBack> Held<'_, T> {
    /// Makes a slot live.
    ///
    /// # Errors
    ///
    /// [`Full`] after nearly 2^32 slots.
    #[inline(always)]
    pub fn insert(&mut self) -> Result<Key, Full> {
        self.shared.table.insert(&mut self.locked.vacant)
    }

    /// Gives up a slot that was made live and that nobody was told of.
    pub fn give_up(&mut self, key: Key) {
        let retired = self.shared.table.retire(key).expect("nobody else knows the key");
        self.shared.table.vacate(&mut self.locked.vacant, retired);
    }

    /// Frees a slot in a way of one's own.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the key is not live; nothing has changed.
    pub fn free_by(&mut self, key: Key, undo: impl FnOnce(&mut T, u32)) -> Result<(), Stale> {
        let retired = self.shared.table.retire(key)?;
        undo(&mut self.locked.state, key.slot);
        self.shared.table.vacate(&mut self.locked.vacant, retired);
        Ok(())
    }

    /// Returns the keys of all live slots.
    pub fn live_keys(&self) -> impl Iterator<Item = Key> {
        self.shared.table.live_keys()
    }

    /// Returns the key of a slot that is live.
    pub fn live_key(&self, slot: u32) -> Option<Key> {
        self.shared.table.live_key(slot)
    }

    fn take_back(&mut self, retired: Retired) {
        self.locked.state.take_back(retired.key().slot);
        self.shared.table.vacate(&mut self.locked.vacant, retired);
    }

    #[cold]
    fn take_in(&mut self) {
        let table = &self.shared.table;
        while let Some(node) = self.shared.queue.pop(table, &mut self.locked.owner) {
            let retired = table.take_in(&mut self.locked.vacant, node);
            self.take_back(retired.expect("only retired slots are posted"));
        }
    }
}

impl<T> core::ops::Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.locked.state
    }
}

impl<T> core::ops::DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.locked.state
    }
}
