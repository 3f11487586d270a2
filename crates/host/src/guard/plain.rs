//! No guards: every function is nothing, or the least that does the work.

use crate::local::Local;
use crate::map::Entry;
use crate::size::{Class, SLOT};
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

    /// Time has passed, by the processor's counter.
    #[inline(always)]
    pub fn earn(&self, _now: u64) {}
}

/// Makes the process's key.
pub fn begin() {}

/// The least slot that is handed out.
pub const ROOM_LEAST: usize = SLOT;

/// Returns the class of an object of `size` bytes; none when it is a large one, or has no bytes.
#[inline(always)]
pub fn class_of(size: usize) -> Option<Class> {
    Class::of(size)
}

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

/// Checks and clears an object in a slab that is given up. False when [`open`] has to do it.
///
/// # Safety
///
/// It lies in a slab of the class of that number, and the program has said that it is live and will
/// not be used again.
#[inline(always)]
pub unsafe fn open_quick(_object: *mut u8, _class_index: usize, _size: Option<usize>) -> bool {
    true
}

/// Checks an object that is given up, and clears it.
///
/// # Safety
///
/// It is null, or the program has said that it is live and will not be used again.
#[inline(always)]
pub unsafe fn open(_state: &State, _object: *mut u8, _entry: &Entry, _size: Option<usize>) {}

/// Checks an object that gets another size, on the slow ways of that.
#[inline(always)]
pub fn ensure_live(_object: NonNull<u8>) {}

/// Returns the slots of a slab that came back, in the order in which they are handed out.
#[inline(always)]
pub fn take_all(_local: &Local, _class: Class, list: &List) -> Option<Slot> {
    list.take()
}

/// Returns how much of an object's room the program may use; none when it is free.
#[inline(always)]
pub fn usable(_object: NonNull<u8>, room: usize) -> Option<usize> {
    Some(room)
}

/// Returns how much of a large object the program may use; none when it is free.
#[inline(always)]
pub fn usable_large(span: &Span) -> Option<usize> {
    Some(span.size())
}

/// Reads the link of a free slot of a class; none when something is wrong with the slot.
#[inline(always)]
pub fn load_quick(slot: Slot, _class: Class) -> Option<Option<Slot>> {
    Some(slot.plain_next())
}

/// Ends the process if somebody has written to a free slot.
#[inline(always)]
pub fn ensure_free(_slot: Slot, _class: Class) {}

/// Reads a free slot's link.
#[inline(always)]
pub fn load(slot: Slot, _class: Class) -> Option<Slot> {
    slot.plain_next()
}

/// Writes a free slot's link.
#[inline(always)]
pub fn store(slot: Slot, next: Option<Slot>, _class: Class) {
    slot.set_plain_next(next);
}

/// Makes a slot that was a message a free one again.
#[inline(always)]
pub fn arrived(_slot: Slot) {}

/// Links fresh slots, but for the one that is returned first, which is handed out.
#[inline(always)]
pub fn link_fresh(
    _local: &Local,
    class: Class,
    slots: Range<u32>,
    slot: impl Fn(u32) -> Slot,
) -> (Slot, Option<Slot>) {
    let mut rest = None;
    for index in (slots.start + 1..slots.end).rev() {
        let one = slot(index);
        one.set_next(rest, class);
        rest = Some(one);
    }
    (slot(slots.start), rest)
}

/// Makes the padding of a large object fault. `front` chunks of it are before the object.
#[inline(always)]
pub fn fence(_state: &State, _span: &Span, _front: usize) {}

/// Returns where the object of a large span begins, and the room that it has.
#[inline(always)]
pub fn object_of(span: &Span) -> (NonNull<u8>, usize) {
    (span.start(), span.size())
}

/// Makes a large object that is free fault, for as long as its span is kept for the next.
#[inline(always)]
pub fn hide(_state: &State, _span: &Span) {}

/// Makes the memory of a kept span usable again, for an object of no special alignment. False when
/// the system has none.
#[inline(always)]
pub fn show(_state: &State, _span: &Span) -> bool {
    true
}

/// Moves the chunk that faults behind a large object, whose span had `before` chunks, to its end.
/// False when the system has no memory for what is now the object's.
#[inline(always)]
pub fn fence_again(_state: &State, _span: &Span, _before: usize) -> bool {
    true
}

/// Forgets what of a span faults.
#[inline(always)]
pub fn forget(_span: &Span) {}

/// Makes the whole of a span usable that may have been a large object's. False when the system has
/// no memory.
#[inline(always)]
pub fn unfence(_span: &Span) -> bool {
    true
}
