//! The record of a span: whole chunks that are a slab, one large object, or free.
//!
//! Records lie in the header of their block, one for each chunk, apart from the memory that they
//! describe; that of the first chunk is the span's. A slab's record is touched by its owner alone:
//! what others free reaches the owner as messages. What may be asked about any address, the place
//! and the kind of a span, is in atomic words (always relaxed: no partner), so that a question
//! about memory that is just then freed has an old answer or a new one.
//!
//! # Invariants
//!
//! 1. `start`, `chunks` and `region` are set when a span is taken from its block, and stay.
//! 2. Of a slab: `carved` slots were ever handed out; the others, at its end, were never touched.
//! 3. A slab's `needed` counts down the slots that have to come back until its state changes.

use crate::block::Block;
use crate::size::{CHUNK, Class};
use crate::slot::List;
use core::cell::Cell;
use core::ptr::{NonNull, null, null_mut};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32};
use polder_core::space::RegionId;

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// In nobody's hands: in its block, or in a local's cache.
    Free,
    /// The slab of its class whose slots are handed out.
    Current,
    /// A slab all of whose slots are used, or in a local's list, but for fewer than are worth a
    /// look.
    Sleeping,
    /// A slab with free slots, in its class's list.
    Available,
    /// One large object.
    Large,
    /// Holds records of the allocator's own.
    Internal,
}

/// The record of one span.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Span {
    /// Of a slab: the slots that came back.
    pub freed: List,
    /// Of a slab: invariant 3.
    pub needed: Cell<u32>,
    state: AtomicU8,
    class: AtomicU8,
    /// Of a free span: the epoch in which it became free.
    pub stamp: Cell<u8>,
    /// Whether pages were moved here: to be undone before its block gets it back.
    pub is_moved: Cell<bool>,
    start: AtomicPtr<u8>,
    /// The next in the list that the span is in; of a large object, which is in none, the size
    /// that was asked for (`set_large_size`).
    next: AtomicPtr<Span>,
    /// The previous in the list.
    previous: Cell<*const Span>,
    block: Cell<*const Block>,
    chunks: AtomicU32,
    region: Cell<u32>,
    /// Of a slab: invariant 2. Of a large object with guards: the chunks before it.
    pub carved: Shown,
    /// Of a slab: how many of its slots the tally has as free. Of a large object with guards: what
    /// of its span faults.
    pub counted: Cell<u32>,
}

const _: () = assert!(size_of::<Span>() == 64, "a record is a cache line");

impl Span {
    /// Fills the record of a span that was taken from its block.
    pub fn begin(
        &self,
        block: NonNull<Block>,
        start: NonNull<u8>,
        chunks: usize,
        region: RegionId,
    ) {
        self.block.set(block.as_ptr());
        self.start.store(start.as_ptr(), Relaxed);
        self.chunks.store(chunks as u32, Relaxed);
        self.region.set(region.index());
        self.is_moved.set(false);
    }

    /// Says that the span is longer or shorter than it was.
    pub fn set_chunks(&self, chunks: usize) {
        self.chunks.store(chunks as u32, Relaxed);
    }

    /// Makes the span a slab of which nothing was handed out.
    pub fn begin_slab(&self, class: Class) {
        self.freed.set(None);
        self.class.store(class.index() as u8, Relaxed);
        self.carved.set(0);
        self.counted.set(0);
        self.set_next(null_mut());
        self.previous.set(null_mut());
    }

    /// Returns the bytes that a large object was asked to have, where that is kept; none when there
    /// is no such object.
    pub fn large_size(&self) -> Option<usize> {
        let word = self.next.load(Relaxed).addr();
        (word & 1 != 0).then_some(word >> 1)
    }

    /// Keeps the bytes that a large object was asked to have; it is in no list. Links are even.
    pub fn set_large_size(&self, size: usize) {
        self.next.store(core::ptr::without_provenance_mut(size << 1 | 1), Relaxed);
    }

    fn next(&self) -> Option<&'static Span> {
        // SAFETY: Links are null or to records, which live as long as their block; a block goes
        // when no span of it is in anybody's hands. Who follows them holds the list.
        unsafe { self.next.load(Relaxed).as_ref() }
    }

    fn set_next(&self, next: *const Span) {
        self.next.store(next.cast_mut(), Relaxed);
    }

    /// Tells whether the span is one large object.
    pub fn is_large(&self) -> bool {
        self.state.load(Relaxed) == State::Large as u8
    }

    /// Returns the first byte.
    #[inline(always)]
    pub fn start(&self) -> NonNull<u8> {
        // SAFETY: `begin` has set it, from a pointer that is not null (invariant 1).
        unsafe { NonNull::new_unchecked(self.start.load(Relaxed)) }
    }

    /// Returns the address of the first byte.
    #[inline(always)]
    pub fn address(&self) -> usize {
        self.start().addr().get()
    }

    /// Returns where the first slot of a slab begins.
    #[inline(always)]
    pub fn first_slot(&self) -> NonNull<u8> {
        let offset = self.class().shape().first_slot(self.start().addr().get());
        // SAFETY: The first slot lies in the slab, whose record this is.
        unsafe { self.start().add(offset) }
    }

    /// Returns what the span is.
    #[inline]
    pub fn state(&self) -> State {
        const STATES: [State; 6] = [
            State::Free,
            State::Current,
            State::Sleeping,
            State::Available,
            State::Large,
            State::Internal,
        ];
        STATES[self.state.load(Relaxed) as usize % STATES.len()]
    }

    /// Says what the span is from now on.
    #[inline]
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// Returns how many chunks the span has.
    pub fn chunks(&self) -> usize {
        self.chunks.load(Relaxed) as usize
    }

    /// Returns how many bytes the span has.
    pub fn size(&self) -> usize {
        self.chunks() * CHUNK
    }

    /// Returns the offset of an address in the span; none when it lies outside.
    pub fn offset_of(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.start.load(Relaxed).addr());
        (offset < self.size()).then_some(offset)
    }

    /// Returns the block that the span was taken from.
    pub fn block(&self) -> NonNull<Block> {
        // SAFETY: `begin` has set it (invariant 1).
        unsafe { NonNull::new_unchecked(self.block.get().cast_mut()) }
    }

    /// Returns the name of the span in its block's space.
    pub fn region(&self) -> RegionId {
        RegionId::from_index(self.region.get())
    }

    /// Returns the spans behind this one in its list.
    pub fn behind(&self) -> impl Iterator<Item = &'static Span> {
        core::iter::successors(self.next(), |span| span.next())
    }

    /// Returns a slab's class.
    #[inline(always)]
    pub fn class(&self) -> Class {
        // SAFETY: `begin_slab` has set it from a class.
        unsafe { Class::from_index(self.class.load(Relaxed) as usize).unwrap_unchecked() }
    }
}

/// A number of a record that questions about any address read too: always relaxed, like the rest
/// that they read.
#[derive(Debug)]
pub struct Shown(AtomicU32);

impl Shown {
    /// Returns it.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Changes it.
    #[inline]
    pub fn set(&self, number: u32) {
        self.0.store(number, Relaxed);
    }
}

/// A list of spans, the one added last first.
#[derive(Debug)]
pub struct SpanList(Cell<*const Span>);

impl SpanList {
    /// Makes an empty list.
    pub const fn new() -> Self {
        Self(Cell::new(null_mut()))
    }

    /// Returns the first span.
    #[inline]
    pub fn first(&self) -> Option<&'static Span> {
        reference(self.0.get())
    }

    /// Puts a span to the front; it is in no list.
    #[inline]
    pub fn push(&self, span: &'static Span) {
        let next = self.0.replace(span);
        span.previous.set(null_mut());
        span.set_next(next);
        if let Some(next) = reference(next) {
            next.previous.set(span);
        }
    }

    /// Takes a span of this list out of it.
    #[inline]
    pub fn remove(&self, span: &Span) {
        let (previous, next) = (span.previous.get(), span.next());
        if let Some(next) = next {
            next.previous.set(previous);
        }
        let next = next.map_or(null(), core::ptr::from_ref);
        match reference(previous) {
            Some(previous) => previous.set_next(next),
            None => self.0.set(next),
        }
    }

    /// Takes the first span.
    #[inline]
    pub fn pop(&self) -> Option<&'static Span> {
        let span = self.first()?;
        self.remove(span);
        Some(span)
    }

    /// Returns the spans, the first first.
    pub fn iter(&self) -> impl Iterator<Item = &'static Span> {
        core::iter::successors(self.first(), |span| span.next())
    }
}

#[inline(always)]
fn reference(span: *const Span) -> Option<&'static Span> {
    // SAFETY: Links are null or to records, which live as long as their block; a block goes when
    // no span of it is in anybody's hands.
    unsafe { span.as_ref() }
}
