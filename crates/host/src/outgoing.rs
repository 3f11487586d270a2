//! Frees on their way to the threads that own the slabs.
//!
//! Slots of one slab are gathered in a ring until another slab needs the ring: a closed ring is one
//! message, however many slots it has (BatchIt, ISMM 2024). Messages are gathered by owner, and
//! each owner's are posted with one exchange when the bytes on their way pass a bound. The last
//! slot of a row is the message: its first word says where the row begins and how long it is, its
//! second links it into the queue, so 16 bytes are enough and the owner takes in a whole row in
//! constant time.
//!
//! # Invariants
//!
//! 1. A ring with a span has at least one slot of it, linked from `first` to `last`.
//! 2. What is in rings and batches has less than [`BYTES_MOST`] bytes, and one object more.

use crate::local::Local;
use crate::map;
use crate::queue::{self, Messages};
use crate::size::Class;
use crate::slot::Slot;
use crate::span::Span;
use crate::sync::Cell;
use core::ptr::null;

/// Bytes of objects that wait to be posted, at most.
const BYTES_MOST: i32 = 16 << 10;
const RINGS: usize = 16;
const BATCHES: usize = 8;

/// What one thread has freed of others' objects.
pub struct Outgoing {
    /// Bytes that may still be gathered. Zero or less: the slow way. That of a thread without a
    /// local is zero for ever.
    room: Cell<i32>,
    rings: [Ring; RINGS],
    batches: [Batch; BATCHES],
}

/// Slots of one slab.
struct Ring {
    span: Cell<*const Span>,
    first: Cell<Option<Slot>>,
    last: Cell<Option<Slot>>,
    count: Cell<u32>,
}

/// Messages for one owner.
struct Batch {
    owner: Cell<*const Local>,
    messages: Cell<Messages>,
}

impl Outgoing {
    /// Makes one that takes nothing until it is [posted](Self::post).
    pub const fn new() -> Self {
        Self {
            room: Cell::new(0),
            rings: [const { Ring::new() }; RINGS],
            batches: [const { Batch::new() }; BATCHES],
        }
    }

    /// Takes a slot of another thread's slab, of that class. False when there is no room: post
    /// first.
    #[inline(always)]
    pub fn put(&self, slot: Slot, span: &'static Span, class: Class) -> bool {
        let room = self.room.get();
        if room <= 0 {
            return false;
        }
        self.room.set(room - class.size() as i32);
        let ring = &self.rings[ring_of(span)];
        if core::ptr::eq(ring.span.get(), span) {
            slot.set_next(ring.first.get(), class);
            ring.first.set(Some(slot));
            ring.count.set(ring.count.get() + 1);
        } else {
            self.reopen(ring, slot, span);
        }
        true
    }

    /// Closes a ring and begins it anew with a slot of another slab.
    #[inline(never)]
    fn reopen(&self, ring: &Ring, slot: Slot, span: &'static Span) {
        self.close(ring);
        ring.span.set(span);
        ring.first.set(Some(slot));
        ring.last.set(Some(slot));
        ring.count.set(1);
    }

    fn close(&self, ring: &Ring) {
        let (Some(first), Some(last)) = (ring.first.take(), ring.last.take()) else { return };
        ring.span.set(null());
        // Nobody but the owner of their slab changes the entry of free slots.
        let Some(owner) = map::entry(last.address()).tag().owner() else { return };
        let message = queue::message(first, last, ring.count.get());
        let batch = &self.batches[batch_of(owner)];
        if !core::ptr::eq(batch.owner.get(), owner) {
            batch.post();
            batch.owner.set(owner);
        }
        let mut messages = batch.messages.take();
        messages.push_back(&queue::Nodes, message);
        batch.messages.set(messages);
    }

    /// Sends everything to its owners, and makes room.
    pub fn post(&self) {
        if self.room.get() < BYTES_MOST {
            self.rings.iter().for_each(|ring| self.close(ring));
            self.batches.iter().for_each(Batch::post);
        }
        self.room.set(BYTES_MOST);
    }

    /// Sends everything, and takes nothing until it is posted again.
    pub fn close_all(&self) {
        self.post();
        self.room.set(0);
    }
}

impl Ring {
    const fn new() -> Self {
        Self {
            span: Cell::new(null()),
            first: Cell::new(None),
            last: Cell::new(None),
            count: Cell::new(0),
        }
    }
}

impl Batch {
    const fn new() -> Self {
        Self { owner: Cell::new(null()), messages: Cell::new(Messages::new()) }
    }

    fn post(&self) {
        // SAFETY: Null, or an owner that `close` has put here; locals are never unmapped.
        if let Some(owner) = unsafe { self.owner.get().as_ref() } {
            owner.incoming.post(self.messages.take());
        }
    }
}

/// Records are 64 bytes apart, and spans of neighbours often as many records.
#[inline(always)]
fn ring_of(span: &Span) -> usize {
    let record = (&raw const *span).addr() / size_of::<Span>();
    (record ^ (record / RINGS)) % RINGS
}

fn batch_of(owner: &Local) -> usize {
    owner.address() / size_of::<Local>() % BATCHES
}
