//! No guards: every function is nothing, or the least that does the work.

use crate::local::Local;
use crate::map::Entry;
use crate::size::Class;
use crate::slot::{List, Slot};
use crate::span::Span;
use core::ops::Range;
use core::ptr::NonNull;

/// Whether large objects have fences.
pub const FENCES: bool = false;
/// Chunks behind a large object that fault; as many as its alignment before it.
pub const PADDING: usize = 0;
/// Bytes between records and objects that fault.
pub const GAP: usize = 0;

/// What a local keeps.
pub struct State;

impl State {
    /// Makes the state of a new local.
    pub const fn new() -> Self {
        Self
    }
}

/// Makes the process's keys.
pub fn begin() {}

/// Returns the bytes to allocate for an object of `size`.
#[inline(always)]
pub fn padded(size: usize) -> usize {
    size
}

/// Makes an object of a slot that is handed out.
#[inline(always)]
pub fn seal(_object: NonNull<u8>, _size: usize, _class: Class) {}

/// Gives an object that stays where it is another size.
#[inline(always)]
pub fn seal_again(_object: NonNull<u8>, _size: usize, _class: Class) {}

/// Makes an object of a span that is handed out.
#[inline(always)]
pub fn seal_large(_span: &Span, _size: usize) {}

/// Checks an object that is given up, and clears it.
///
/// # Safety
///
/// It is null, or the program has said that it is live and will not be used again.
#[inline(always)]
pub unsafe fn open(_object: *mut u8, _entry: &Entry, _size: Option<usize>) {}

/// Checks an object that gets another size, on the slow ways of that.
#[inline(always)]
pub fn ensure_live(_object: NonNull<u8>) {}

/// Returns the slots of a slab that came back, in the order in which they are handed out.
#[inline(always)]
pub fn take_all(_local: &Local, list: &List) -> Option<Slot> {
    list.take()
}

/// Returns how much of an object's room the program may use; none when it is free.
#[inline(always)]
pub fn usable(_object: NonNull<u8>, room: usize) -> Option<usize> {
    Some(room)
}

/// Returns how much of a large object the program may use.
#[inline(always)]
pub fn usable_large(span: &Span) -> usize {
    span.size()
}

/// Reads a free slot's link.
#[inline(always)]
pub fn load(slot: Slot) -> Option<Slot> {
    slot.plain_next()
}

/// Writes a free slot's link.
#[inline(always)]
pub fn store(slot: Slot, next: Option<Slot>) {
    slot.set_plain_next(next);
}

/// Links fresh slots, but for the one that is returned first, which is handed out.
#[inline(always)]
pub fn link_fresh(
    _local: &Local,
    _class: Class,
    slots: Range<u32>,
    slot: impl Fn(u32) -> Slot,
) -> (Slot, Option<Slot>) {
    let mut rest = None;
    for index in (slots.start + 1..slots.end).rev() {
        let one = slot(index);
        one.set_next(rest);
        rest = Some(one);
    }
    (slot(slots.start), rest)
}

/// Makes the padding of a large object fault. `front` chunks of it are before the object.
#[inline(always)]
pub fn fence(_span: &Span, _front: usize) {}

/// Returns where the object of a large span begins, and the room that it has.
#[inline(always)]
pub fn object_of(span: &Span) -> (NonNull<u8>, usize) {
    (span.start(), span.size())
}

/// Makes a large object that is free fault, for as long as its span is kept for the next.
#[inline(always)]
pub fn hide(_span: &Span) {}

/// Makes the memory of a kept span usable again, for an object of no special alignment. False when
/// the system has none.
#[inline(always)]
pub fn show(_span: &Span) -> bool {
    true
}

/// Moves the chunk that faults behind a large object, whose span had `before` chunks, to its end.
/// False when the system has no memory for what is now the object's.
#[inline(always)]
pub fn fence_again(_span: &Span, _before: usize) -> bool {
    true
}

/// Makes the whole of a span usable that may have been a large object's. False when the system has
/// no memory.
#[inline(always)]
pub fn unfence(_span: &Span) -> bool {
    true
}
