//! Large objects: each has a span of its own, in whole chunks, of which only the pages that are
//! used cost memory.
//!
//! A span that is given up stays in the local's cache for a while, entries in the map and all, so
//! that repeating a size costs neither a lock nor a system call.

use super::Local;
use crate::block::{Taken, page_chunks};
use crate::cache::Which;
use crate::clock;
use crate::fail;
use crate::guard;
use crate::heap;
use crate::map::{self, Tag};
use crate::os::{self, Relocation};
use crate::pool;
use crate::size::{CHUNK, chunks_of};
use crate::span::{Span, State};
use crate::spans::SHARED;
use core::ptr::NonNull;

/// Objects from this many bytes on are moved by moving their pages.
const RELOCATE_LEAST: usize = 1 << 20;

/// A large object, and what its memory holds.
#[derive(Clone, Copy, Debug)]
pub struct Large {
    /// Where it begins.
    pub object: NonNull<u8>,
    /// Whether every byte of it is zero.
    pub is_zero: bool,
}

/// How an object got its new size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grown {
    /// It stays where it is.
    InPlace,
    /// It moved there, with its contents.
    Moved(NonNull<u8>),
}

impl Local {
    /// Allocates an object of `size` bytes with a span of its own, at a multiple of `align` chunks.
    #[inline(never)]
    pub fn allocate_large(&'static self, size: usize, align: usize) -> Option<Large> {
        match self.take_last(size, align) {
            Some(span) => Some(self.make_large(Taken::kept(span), size)),
            None => self.allocate_other_large(size, align),
        }
    }

    /// Takes the span that was given up last, if it is as it is to be: what repeats a size comes no
    /// further. Those of heaps and those with guards do.
    #[inline(always)]
    fn take_last(&self, size: usize, align: usize) -> Option<&'static Span> {
        if align > 1 || guard::FENCES {
            return None;
        }
        let is_large = |span: &Span| map::entry(span.address()).tag() == Tag::large(None);
        self.cache.take_last(|span| span.chunks() == chunks_of(size) && is_large(span))
    }

    #[inline(always)]
    fn make_large(&self, taken: Taken, size: usize) -> Large {
        guard::seal_large(taken.span, size);
        taken.span.set_state(State::Large);
        self.tally.large_began(taken.span.size());
        Large { object: guard::object_of(taken.span).0, is_zero: taken.is_zero }
    }

    #[inline(never)]
    fn allocate_other_large(&'static self, size: usize, align: usize) -> Option<Large> {
        if self.is_nobody() {
            return Self::with_own(|local| local.allocate_large(size, align));
        }
        let tag = Tag::large(self.is_heap().then_some(self));
        let front = if guard::FENCES { align } else { 0 };
        let chunks = chunks_of(size) + front + guard::PADDING;
        let taken = match self.take_kept(chunks, align, tag) {
            Some(taken) => taken,
            None => {
                self.tick();
                let taken = self.take_new_span(chunks, align)?;
                map::set(taken.span, tag);
                guard::fence(&self.guard, taken.span, front);
                taken
            }
        };
        Some(self.make_large(taken, size))
    }

    /// Takes a span from the cache, for an object of no special alignment.
    #[inline(always)]
    fn take_kept(&'static self, chunks: usize, align: usize, tag: Tag) -> Option<Taken> {
        if align > 1 {
            return None;
        }
        let span = self.cache.take(chunks)?;
        // All entries of a span that was kept are alike.
        if map::entry(span.start().addr().get()).tag() != tag {
            map::set(span, tag);
            guard::fence(&self.guard, span, guard::PADDING);
        } else if !guard::show(&self.guard, span) {
            self.supply().give(span, span.stamp.get());
            return None;
        }
        Some(Taken::kept(span))
    }

    /// Takes a span from the supply, which gets all that is kept first: put together, that may be
    /// what the span is made of, in the place of memory that was never used. When memory is short,
    /// it gets what other locals keep too.
    pub(super) fn take_new_span(&'static self, chunks: usize, align: usize) -> Option<Taken> {
        self.cache.hand_over(self.supply(), Which::All);
        self.supply().take(chunks, align).or_else(|| {
            // What threads keep is of no use to a heap: its blocks are its own.
            if self.is_heap() {
                return None;
            }
            pool::hand_over_caches();
            self.supply().take(chunks, align)
        })
    }

    /// Frees a large object that belongs to no heap.
    #[inline(never)]
    pub(super) fn free_large(&'static self, object: NonNull<u8>, span: &'static Span) {
        check_large(object, span);
        if self.is_nobody() {
            return Self::free_large_of_nobody(object, span);
        }
        self.tally.large_ended(span.size());
        guard::hide(&self.guard, span);
        self.give_span(span);
        self.tick();
    }

    #[cold]
    fn free_large_of_nobody(object: NonNull<u8>, span: &'static Span) {
        let done = Self::with_own(|local| {
            local.free_large(object, span);
            Some(())
        });
        if done.is_none() {
            // Without memory for a local the span itself is what there is. No local counts its
            // end: the figures have one large object too many.
            SHARED.give(span, clock::epoch());
        }
    }

    /// Gives a large object another size without copying it: where it is, or by moving its pages.
    /// None when neither can be had; nothing has changed.
    pub fn resize_large(
        &'static self,
        span: &'static Span,
        size: usize,
        align: usize,
    ) -> Option<Grown> {
        if self.resize_large_here(span, size) {
            return Some(Grown::InPlace);
        }
        self.relocate(span, size, align)
    }

    /// Gives a large object another size where it is. False when it has no room there.
    pub fn resize_large_here(&'static self, span: &'static Span, size: usize) -> bool {
        let tag = map::entry(span.start().addr().get()).tag();
        match tag.owner() {
            // The counters of a heap are its own.
            Some(heap) if !core::ptr::eq(heap, self) => {
                heap::within(heap, || heap.resize_counted(span, size, tag))
            }
            _ => self.resize_counted(span, size, tag),
        }
    }

    fn resize_counted(&'static self, span: &'static Span, size: usize, tag: Tag) -> bool {
        let (before, room) = (span.chunks(), guard::object_of(span).1);
        let chunks = before - room / CHUNK + chunks_of(size);
        // Guards only move outwards.
        let stays = guard::FENCES && size < room && size >= room / 2;
        if chunks == before || stays {
            guard::seal_large(span, size);
            return true;
        }
        if guard::FENCES && size < room {
            return false;
        }
        let supply = self.supply();
        if self.is_nobody() || !supply.resize(span, chunks) {
            return false;
        }
        if !guard::fence_again(&self.guard, span, before) {
            supply.undo_growth(span, before);
            return false;
        }
        map::set(span, tag);
        self.tally.large_ended(before * CHUNK);
        self.tally.large_began(chunks * CHUNK);
        guard::seal_large(span, size);
        true
    }

    /// Moves an object to another span by moving its pages. The last of them is copied.
    fn relocate(&'static self, span: &'static Span, size: usize, align: usize) -> Option<Grown> {
        let ((source, room), page) = (guard::object_of(span), os::page_size());
        let kept = chunks_of(size).min(room / CHUNK) * CHUNK;
        let is_ours = map::entry(source.addr().get()).tag() == Tag::large(None);
        let is_page = source.addr().get() % page == 0;
        let is_worth_it = kept >= RELOCATE_LEAST && self.supply().takes_moved();
        if !is_worth_it || !is_ours || !is_page || self.is_nobody() {
            return None;
        }
        let target = self.allocate_large(size, align.max(page_chunks()))?.object;
        let target_span = map::entry(target.addr().get()).span()?;
        // One page less, for there has to be one behind what is moved.
        let moved = (kept & !(page - 1)) - page;
        // SAFETY: Both are spans in use of our own, and nobody needs what the new one holds. The
        // page behind what is moved is the source's last.
        match unsafe { os::relocate(source, target, moved) } {
            Relocation::Moved => self.supply().note_moved(target_span),
            Relocation::Stayed => {
                self.free_large(target, target_span);
                return None;
            }
            Relocation::Lost => {
                target_span.set_state(State::Internal);
                self.tally.large_ended(target_span.size());
                return None;
            }
        }
        // SAFETY: Both spans have `kept` bytes at least.
        let from = unsafe { source.add(moved) };
        // SAFETY: As above.
        let to = unsafe { target.add(moved) };
        // SAFETY: As above; they are apart from one another.
        unsafe { to.copy_from_nonoverlapping(from, kept - moved) };
        // With the pages of the source came what its guards had written behind its end.
        guard::seal_large(target_span, size);
        self.free_large(source, span);
        Some(Grown::Moved(target))
    }
}

/// Ends the process unless `object` is a live large object.
fn check_large(object: NonNull<u8>, span: &Span) {
    if !span.is_large() || guard::object_of(span).0 != object {
        fail::invalid_free(object.addr().get());
    }
}
