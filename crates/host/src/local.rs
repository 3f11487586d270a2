//! One thread's state: its lists of free slots, its slabs, and what travels to and from others.
//!
//! An allocation takes the first slot of its class's list. A free finds the owner in the map: a
//! slot of the thread's own goes back to its slab, one of another's onto its way there. Both touch
//! nothing that another thread writes to. All else is in the files below: [`slabs`] refills an
//! empty list and takes back slabs that have become free, [`large`] gives objects spans of their
//! own, [`foreign`] frees what is not the thread's.
//!
//! A thread that has no local yet has [`EMPTY`], which nobody writes to: its lists are empty, so
//! its first allocation finds its way to the slow side like any other, and there is no question on
//! the quick one. A thread whose local was taken back at its end has [`DEPARTED`].
//!
//! # Invariants
//!
//! 1. All slots of a class's list are of its current slab.
//! 2. A slab that sleeps has fewer slots on its own list than its wake threshold.
//! 3. `fresh` has slots that were never handed out; `spare` has all its slots on its own list, and
//!    is in no list itself.
//! 4. A slab's `needed` and state say how many slots are on its own list, and those are slots of
//!    its that were handed out.
//! 5. The entries of a slab's chunks name the slab, its class and its owner.

mod foreign;
mod large;
mod slabs;

pub use large::Grown;
pub use slabs::check;

use crate::cache::{Cache, Which};
use crate::clock;
use crate::counter;
use crate::guard;
use crate::map::{self, Entry, Tag};
use crate::outgoing::Outgoing;
use crate::pool;
use crate::purge;
use crate::queue::Incoming;
use crate::size::Class;
use crate::slot::{List, Slot};
use crate::span::Span;
use crate::spans::{SHARED, Spans};
use crate::tally::Tally;
use crate::thread;
use core::cell::Cell;
use core::ptr::NonNull;
use slabs::Slabs;

/// Who uses a local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A thread, or nobody until a thread begins.
    Thread,
    /// A heap that a user made, under its lock.
    Heap,
    /// Threads that have none yet.
    Empty,
    /// Threads that had one.
    Departed,
}

/// One thread's state, or one heap's.
#[repr(C, align(256))]
pub struct Local {
    lists: [List; Class::COUNT],
    outgoing: Outgoing,
    /// The processor's counter when the clock was looked at last.
    looked: Cell<u64>,
    /// The epoch in which it was tidied last.
    epoch: Cell<u8>,
    kind: Cell<Kind>,
    /// A heap's own; a pointer, for it lies beside this in what is moved as a whole.
    supply: Cell<Option<NonNull<Spans>>>,
    slabs: [Slabs; Class::COUNT],
    /// What guards objects.
    pub guard: guard::State,
    /// Spans given up.
    pub cache: Cache,
    /// What is counted.
    pub tally: Tally,
    /// The next in the list of all, and in the pool's; the pool's own.
    pub links: pool::PoolLinks,
    /// What others free.
    pub incoming: Incoming,
}

// SAFETY: What is not atomic and not behind a lock is touched by the local's thread alone, or,
// between threads, by who took it from the pool. `EMPTY` and `DEPARTED` are never written to.
unsafe impl Sync for Local {}

/// The local of threads that have none yet.
pub static EMPTY: Local = Local::new(Kind::Empty);
/// The local of threads that had one.
pub static DEPARTED: Local = Local::new(Kind::Departed);

/// Messages that are taken in when a local is tidied: others may go on to send some.
const MESSAGES_TIDIED: usize = 1 << 16;

const _: () = assert!(Local::ALIGN >= 2 * Tag::CLASSES_END, "a tag has room below the address");

impl Local {
    /// Its address is a multiple of this many bytes.
    pub const ALIGN: usize = align_of::<Self>();

    /// Makes one without a slab.
    pub const fn new(kind: Kind) -> Self {
        Self {
            lists: [const { List::new() }; Class::COUNT],
            outgoing: Outgoing::new(),
            looked: Cell::new(0),
            epoch: Cell::new(0),
            kind: Cell::new(kind),
            supply: Cell::new(None),
            slabs: [const { Slabs::new() }; Class::COUNT],
            guard: guard::State::new(),
            cache: Cache::new(),
            tally: Tally::new(),
            links: pool::PoolLinks::new(),
            incoming: Incoming::new(),
        }
    }

    /// Makes one for a heap that takes its spans from `supply`.
    ///
    /// # Safety
    ///
    /// There will be a supply as long as this is used.
    pub const unsafe fn of_heap(supply: NonNull<Spans>) -> Self {
        Self { supply: Cell::new(Some(supply)), ..Self::new(Kind::Heap) }
    }

    /// Returns its address, which stands for it in tags.
    #[inline(always)]
    pub fn address(&self) -> usize {
        (&raw const *self).expose_provenance()
    }

    /// Tells whether it is a heap's.
    pub fn is_heap(&self) -> bool {
        self.kind.get() == Kind::Heap
    }

    /// Tells whether it stands for threads that have none.
    pub fn is_nobody(&self) -> bool {
        matches!(self.kind.get(), Kind::Empty | Kind::Departed)
    }

    /// Returns where it takes its spans.
    pub fn supply(&self) -> &'static Spans {
        // SAFETY: Whoever made this with a supply has promised that there is one.
        self.supply.get().map_or(&SHARED, |supply| unsafe { supply.as_ref() })
    }

    /// Takes a slot of a class, if its list has one.
    #[inline(always)]
    pub fn allocate_quick(&'static self, class: Class) -> Option<NonNull<u8>> {
        let list = self.list(class);
        let slot = list.first()?;
        list.set(guard::load_quick(slot, class)?);
        self.tally.allocated(class);
        Some(slot.object())
    }

    /// Takes a slot of a class.
    #[inline(always)]
    pub fn allocate_class(&'static self, class: Class) -> Option<NonNull<u8>> {
        match self.allocate_quick(class) {
            Some(slot) => Some(slot),
            None => self.refill(class),
        }
    }

    /// Allocates what has no class: nothing, or much.
    #[cold]
    #[inline(never)]
    pub fn allocate_odd(&'static self, size: usize) -> Option<NonNull<u8>> {
        match Class::of(1) {
            Some(least) if size == 0 => self.allocate_class(least),
            _ => Some(self.allocate_large(size, 1)?.object),
        }
    }

    /// Frees an object.
    ///
    /// # Safety
    ///
    /// It is null, or an object of Polder's that is live and never used again.
    #[inline(always)]
    pub unsafe fn free(&'static self, object: *mut u8) {
        // SAFETY: As promised to us.
        unsafe { self.free_at(object, map::entry(object.addr())) };
    }

    /// Frees an object whose entry in the map is at hand.
    ///
    /// # Safety
    ///
    /// As of [`free`](Self::free), and `entry` is the object's.
    #[inline(always)]
    pub unsafe fn free_at(&'static self, object: *mut u8, entry: &'static Entry) {
        if let Some(class_index) = entry.tag().class_in(self) {
            // SAFETY: As promised to us.
            unsafe { self.free_own(object, entry, class_index) };
        } else {
            // SAFETY: As promised to us.
            unsafe { self.free_foreign(object, entry) };
        }
    }

    /// Frees an object of one of its own slabs.
    ///
    /// # Safety
    ///
    /// As of [`free_at`](Self::free_at), and the entry's tag says that the slab is its own, of the
    /// class of that number.
    #[inline(always)]
    pub unsafe fn free_own(
        &'static self,
        object: *mut u8,
        entry: &'static Entry,
        class_index: usize,
    ) {
        // SAFETY: A tag of a slab has a class.
        let class = unsafe { Class::from_index(class_index).unwrap_unchecked() };
        // SAFETY: The tag says that there is a span.
        let span = unsafe { entry.span_unchecked() };
        // SAFETY: The caller gives the object up; a tag of a slab is never that of address 0.
        let slot = unsafe { Slot::given_back(object) };
        self.take_back(slot, span, class);
    }

    /// Takes a slot of one of its own slabs back.
    #[inline(always)]
    fn take_back(&'static self, slot: Slot, span: &'static Span, class: Class) {
        self.tally.freed(span);
        span.freed.push(slot, class);
        let needed = span.needed.get().wrapping_sub(1);
        span.needed.set(needed);
        if needed == 0 {
            self.on_counted_down(span);
        }
    }

    #[inline(always)]
    fn list(&self, class: Class) -> &List {
        // SAFETY: There is a list for each class.
        unsafe { self.lists.get_unchecked(class.index()) }
    }

    /// Looks at the clock now and then, and gives memory back that was free for long enough.
    /// Called on slow ways; costs a look at the processor's counter, mostly.
    #[inline]
    fn tick(&'static self) {
        let count = counter::read();
        self.guard.earn(count);
        if count.wrapping_sub(self.looked.get()) >= counter::PERIOD || clock::is_purging() {
            self.looked.set(count);
            self.look_at_clock();
        }
    }

    #[cold]
    fn look_at_clock(&'static self) {
        purge::look();
        let epoch = clock::epoch();
        if self.epoch.replace(epoch) != epoch {
            self.tidy(Which::Old(epoch));
        }
        if self.is_heap() {
            self.supply().purge();
        }
    }

    /// Gives up what it does not use: what waits to be posted, spare slabs and old spans.
    pub fn tidy(&'static self, which: Which) {
        self.receive(MESSAGES_TIDIED);
        self.outgoing.post();
        self.retire_unused();
        self.cache.hand_over(self.supply(), which);
    }

    /// Ends its use by a thread: nothing waits any more, and nothing is gathered.
    pub fn depart(&'static self) {
        self.outgoing.close_all();
    }

    /// Runs `work` with a local of the thread's own, which may have none yet, or not any more.
    fn with_own<R>(work: impl FnOnce(&'static Self) -> Option<R>) -> Option<R> {
        thread::with_own(work)
    }
}
