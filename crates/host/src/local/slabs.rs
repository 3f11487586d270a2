//! The slabs of a local: where slots come from when a class's list is empty, and what becomes of
//! a slab whose slots come back.
//!
//! A list is refilled with all free slots of one slab at once, and that slab sleeps until a part
//! of its slots came back: so a slab is looked at once in many frees. The order is: slabs with free
//! slots, the spare one, the next page of the fresh one, a new one. A fresh slab is handed out page
//! by page, so what was never needed was never touched.

mod check;

pub use check::check;

use super::Local;
use crate::cache::CHUNKS_MOST;
use crate::clock;
use crate::fail;
use crate::guard;
use crate::map::{self, Tag};
use crate::queue::Row;
use crate::size::{Class, Shape};
use crate::slot::Slot;
use crate::span::{Span, SpanList, State};
use core::cell::Cell;
use core::ptr::NonNull;

/// How much of a fresh slab is handed out at once, in bytes: the least page there is.
const STEP: u32 = 4096;
/// Messages that are taken in by one visit to the queue.
const MESSAGES_MOST: usize = 256;

/// Counts down from here in the current slab, so that it is never counted down.
const NEVER: u32 = 1 << 31;

/// The slabs of one class.
#[derive(Debug)]
pub struct Slabs {
    /// The one whose slots are on the class's list.
    current: Cell<Option<&'static Span>>,
    /// Those with free slots that are worth a look.
    available: SpanList,
    /// The one with slots that were never handed out.
    fresh: Cell<Option<&'static Span>>,
    /// One whose slots are all free: kept, so that the last free does not undo the next
    /// allocation's work.
    spare: Cell<Option<&'static Span>>,
}

impl Slabs {
    /// Makes an empty set.
    pub const fn new() -> Self {
        Self {
            current: Cell::new(None),
            available: SpanList::new(),
            fresh: Cell::new(None),
            spare: Cell::new(None),
        }
    }
}

impl Local {
    /// Allocates from a class whose list is empty.
    #[cold]
    #[inline(never)]
    pub fn refill(&'static self, class: Class) -> Option<NonNull<u8>> {
        if let Some(slot) = self.list(class).first() {
            // There is a slot, and the quick way did not like it.
            guard::ensure_free(slot, class);
        }
        let current = self.slabs(class).current.get();
        if let Some(span) = current
            && NEVER - span.needed.get() >= wake(class.shape(), span.carved.get())
        {
            return self.take_slots(class, span);
        }
        self.refill_from_others(class)
    }

    #[inline(never)]
    fn refill_from_others(&'static self, class: Class) -> Option<NonNull<u8>> {
        if self.is_nobody() {
            return Self::with_own(|local| local.allocate_class(class));
        }
        self.tick();
        if !self.incoming.is_empty() {
            self.receive(MESSAGES_MOST);
        }
        self.look_over(class);
        let slabs = self.slabs(class);
        if let Some(span) = slabs.available.pop().or_else(|| slabs.spare.take()) {
            self.make_current(class, span);
            return self.take_slots(class, span);
        }
        if let Some(span) = slabs.current.get().filter(|span| span.freed.first().is_some()) {
            return self.take_slots(class, span);
        }
        let span = slabs.fresh.get().or_else(|| self.begin_slab(class))?;
        self.make_current(class, span);
        Some(self.carve(class, span))
    }

    /// Takes all free slots of the current slab, and hands out the first.
    #[inline(always)]
    fn take_slots(&self, class: Class, span: &Span) -> Option<NonNull<u8>> {
        span.needed.set(NEVER);
        let first = guard::take_all(self, class, &span.freed)?;
        self.list(class).set(first.next(class));
        self.tally.allocated(class);
        Some(first.object())
    }

    /// Makes a slab the current one: one that sleeps or is in no list.
    fn make_current(&'static self, class: Class, span: &'static Span) {
        let before = self.slabs(class).current.replace(Some(span));
        if before.is_some_and(|before| core::ptr::eq(before, span)) {
            return;
        }
        let carved = span.carved.get();
        let free = match span.state() {
            State::Available => carved - span.needed.get(),
            State::Sleeping => wake(class.shape(), carved) - span.needed.get(),
            _ => 0,
        };
        self.tally.took(class, span.counted.take());
        span.needed.set(NEVER - free);
        span.set_state(State::Current);
        if let Some(before) = before {
            self.leave(class, before);
        }
    }

    /// Lets what was the current slab sleep, or wait for its next turn.
    fn leave(&'static self, class: Class, span: &'static Span) {
        let free = NEVER - span.needed.get();
        let wake = wake(class.shape(), span.carved.get());
        span.set_state(State::Sleeping);
        if free < wake {
            span.needed.set(wake - free);
        } else {
            self.make_available(class, span, free);
        }
    }

    /// Puts a slab of which so many slots are free where it is found.
    fn make_available(&'static self, class: Class, span: &'static Span, free: u32) {
        span.set_state(State::Available);
        span.needed.set(span.carved.get() - free);
        self.slabs(class).available.push(span);
        span.counted.set(free);
        self.tally.returned(class, free);
        if span.needed.get() == 0 {
            self.on_all_free(class, span);
        }
    }

    /// Begins a slab of which nothing was handed out.
    fn begin_slab(&'static self, class: Class) -> Option<&'static Span> {
        let chunks = class.shape().chunks as usize;
        let span = match self.cache.take(chunks) {
            Some(span) if self.is_usable_slab(span) => span,
            Some(span) => {
                self.supply().give(span, span.stamp.get());
                self.take_new_span(chunks, 1)?.span
            }
            None => self.take_new_span(chunks, 1)?.span,
        };
        span.begin_slab(class);
        map::set(span, Tag::slab(self, class));
        self.slabs(class).fresh.set(Some(span));
        self.tally.began(class);
        Some(span)
    }

    /// Tells whether a span that was kept can be a slab as it is: one of a guarded object can't.
    fn is_usable_slab(&self, span: &Span) -> bool {
        !guard::FENCES || !map::entry(span.start().addr().get()).tag().is_large()
    }

    /// Hands out the next slots of the fresh slab, which is the current one: those that begin in
    /// one page, at least one. The first is the caller's, the others become the list.
    fn carve(&self, class: Class, span: &Span) -> NonNull<u8> {
        let shape = class.shape();
        let first = span.first_slot();
        let before = (first.addr().get() - span.start().addr().get()) as u32;
        let from = span.carved.get();
        let page_end = ((before + from * shape.size) / STEP + 1) * STEP;
        let to = (page_end - before).div_ceil(shape.size).clamp(from + 1, shape.slots);
        let slot = |index: u32| {
            // SAFETY: The index is below the class's number of slots, so the place is in the slab.
            let place = unsafe { first.add((index * shape.size) as usize) };
            // SAFETY: It is a slot that was never handed out.
            unsafe { Slot::new(place) }
        };
        let (first, rest) = guard::link_fresh(self, class, from..to, slot);
        self.list(class).set(rest);
        span.carved.set(to);
        self.tally.took(class, to - from);
        self.tally.allocated(class);
        if to == shape.slots {
            self.slabs(class).fresh.set(None);
        }
        first.object()
    }

    /// Changes the state of a slab of which the slots that were waited for have come back.
    #[cold]
    #[inline(never)]
    pub(super) fn on_counted_down(&'static self, span: &'static Span) {
        let class = span.class();
        if span.state() == State::Sleeping {
            self.make_available(class, span, wake(class.shape(), span.carved.get()));
        } else {
            self.on_all_free(class, span);
        }
    }

    /// Keeps a slab all of whose slots are free as the spare one, or gives it up.
    fn on_all_free(&'static self, class: Class, span: &'static Span) {
        let slabs = self.slabs(class);
        slabs.available.remove(span);
        let counted = span.counted.replace(span.carved.get());
        self.tally.returned(class, span.carved.get() - counted);
        if slabs.spare.get().is_none() {
            slabs.spare.set(Some(span));
        } else {
            self.retire(class, span);
        }
    }

    /// Gives up a slab all of whose slots are free and which is in no list.
    fn retire(&'static self, class: Class, span: &'static Span) {
        let fresh = &self.slabs(class).fresh;
        if fresh.get().is_some_and(|fresh| core::ptr::eq(fresh, span)) {
            fresh.set(None);
        }
        self.tally.retired(class);
        self.give_span(span);
    }

    /// Gives up all slabs that have no object in use.
    pub(super) fn retire_unused(&'static self) {
        for class in Class::all() {
            let slabs = self.slabs(class);
            if let Some(span) = slabs.current.get() {
                self.return_list(class, span);
                if NEVER - span.needed.get() == span.carved.get() {
                    slabs.current.set(None);
                    self.leave(class, span);
                }
            }
            if let Some(span) = slabs.spare.take() {
                self.retire(class, span);
            }
        }
    }

    /// Returns the slots of a class's list to the slab they are of, the current one.
    fn return_list(&self, class: Class, span: &Span) {
        while let Some(slot) = self.list(class).pop(class) {
            span.freed.push(slot, class);
            span.needed.set(span.needed.get() - 1);
        }
    }

    /// Keeps a span for a while, or gives it to the supply.
    #[inline(always)]
    pub(super) fn give_span(&'static self, span: &'static Span) {
        span.set_state(State::Free);
        span.stamp.set(clock::epoch());
        if span.chunks() > CHUNKS_MOST {
            self.supply_span(span);
        } else if let Some(other) = self.cache.give(span) {
            self.keep_span(other);
        }
    }

    #[inline(never)]
    fn keep_span(&'static self, span: &'static Span) {
        if let Some(span) = self.cache.keep(span) {
            self.supply_span(span);
        }
    }

    #[inline(never)]
    fn supply_span(&'static self, span: &'static Span) {
        self.supply().give(span, span.stamp.get());
    }

    /// Takes in what others have freed, up to that many messages.
    pub(super) fn receive(&'static self, most: usize) {
        for _ in 0..most {
            // SAFETY: A local is touched by its thread alone.
            let Some(row) = (unsafe { self.incoming.pop() }) else { break };
            self.take_row_back(row);
        }
    }

    /// Takes in what can be had of what others have freed, and loses what can't.
    ///
    /// # Safety
    ///
    /// No other thread is in the process: it is the child of a fork.
    pub unsafe fn repair_incoming(&'static self) {
        if !self.is_nobody() {
            self.receive(usize::MAX);
            // SAFETY: The caller is alone.
            unsafe { self.incoming.reset() };
        }
    }

    fn take_row_back(&'static self, row: Row) {
        let entry = map::entry(row.last.address());
        // SAFETY: A freed slot lies in a slab.
        let span = unsafe { entry.span_unchecked() };
        guard::arrived(row.last);
        span.freed.push_row(row.first, row.last, span.class());
        self.tally.received(row.count);
        let mut count = row.count;
        while count > 0 {
            let step = count.min(span.needed.get());
            if step == 0 {
                fail::invalid_free(row.last.address());
            }
            span.needed.set(span.needed.get() - step);
            count -= step;
            if span.needed.get() == 0 {
                self.on_counted_down(span);
            }
        }
    }

    #[inline]
    fn slabs(&self, class: Class) -> &Slabs {
        &self.slabs[class.index()]
    }
}

/// How many slots of a sleeping slab have to come back until it is looked at.
fn wake(shape: &Shape, carved: u32) -> u32 {
    shape.wake.min(carved)
}
