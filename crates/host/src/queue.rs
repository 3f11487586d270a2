//! The queue by which freed slots reach the thread that owns their slab.
//!
//! The queue is the core's; its nodes are the freed slots themselves. A message is a row of linked
//! slots of one slab: its last slot, whose first word holds where the row begins, as a distance in
//! slots' alignments, and how many they are.

use crate::size::SLOT;
use crate::slot::{Slot, Words};
use crate::sync::AtomicPtr;
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use polder_core::queue::{Batch, Links, Owner, Queue};

/// Messages on their way to one owner.
pub type Messages = Batch<*mut Words>;

/// Where messages keep their links.
#[derive(Debug)]
pub struct Nodes;

impl Links for Nodes {
    type Word = AtomicPtr<Words>;

    const NONE: *mut Words = null_mut();

    #[inline]
    fn link(&self, node: *mut Words) -> &AtomicPtr<Words> {
        // SAFETY: Only nodes that were put into a batch come here; those are messages, of slots.
        let words = unsafe { &*node };
        words.link()
    }
}

/// What others have freed of one owner's slots.
#[derive(Debug)]
#[repr(align(64))]
pub struct Incoming {
    queue: Queue<AtomicPtr<Words>>,
    owner: UnsafeCell<Owner<*mut Words>>,
}

/// A row of linked slots of one slab.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where it begins.
    pub first: Slot,
    /// Where it ends.
    pub last: Slot,
    /// How many slots it has.
    pub count: u32,
}

/// Makes a message of a row.
pub fn message(first: Slot, last: Slot, count: u32) -> *mut Words {
    let distance = first.address().wrapping_sub(last.address()) as isize / SLOT as isize;
    let header = (distance as i32 as u32 as usize) << u32::BITS | count as usize;
    last.set_numbers([header]);
    last.node()
}

impl Incoming {
    /// Makes an empty queue.
    pub const fn new() -> Self {
        let none = AtomicPtr::new(null_mut());
        let (queue, owner) = Queue::new(none, AtomicPtr::new(null_mut()));
        Self { queue, owner: UnsafeCell::new(owner) }
    }

    /// Posts messages, with one exchange.
    pub fn post(&self, messages: Messages) {
        self.queue.post(&Nodes, messages);
    }

    /// Tells whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty(&Nodes)
    }

    /// Takes a message.
    ///
    /// # Safety
    ///
    /// The caller is the owner: no other thread is in here.
    pub unsafe fn pop(&self) -> Option<Row> {
        // SAFETY: The caller is the only one.
        let owner = unsafe { &mut *self.owner.get() };
        let node = NonNull::new(self.queue.pop(&Nodes, owner)?)?;
        // SAFETY: Only nodes of slots are posted.
        let last = unsafe { Slot::from_node(node) };
        let [header] = last.numbers();
        let distance = (header >> u32::BITS) as u32 as i32 as isize * SLOT as isize;
        // SAFETY: Both are slots of one slab, so the distance stays in it.
        let first = unsafe { last.at_distance(distance) };
        Some(Row { first, last, count: header as u32 })
    }

    /// Empties the queue, of what a pusher that is gone has made unreachable too: in the child of
    /// a fork.
    ///
    /// # Safety
    ///
    /// No other thread is in the process.
    pub unsafe fn reset(&self) {
        // SAFETY: The caller is alone.
        let owner = unsafe { &mut *self.owner.get() };
        self.queue.reset(&Nodes, owner);
    }
}
