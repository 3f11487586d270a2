//! Guards of large objects: chunks around them that fault, and a margin that repeats a byte.
//!
//! A large object has whole chunks, and chunks before and behind them that fault at each access,
//! where a page is no longer than they are.
//! Between its end and the fence is what is left of its last chunk; the first bytes of that repeat
//! a byte that is the span's, and a free looks at them. An object that was freed faults until its
//! span is used for another.

use super::{MARGIN, PADDING, State, hash, misuse};
use crate::cache::CHUNKS_MOST;
use crate::map;
use crate::os;
use crate::page;
use crate::size::CHUNK;
use crate::span::Span;
use core::cell::Cell;
use core::ptr::NonNull;

/// From this many bytes on, an object that is freed gives its pages back. Below, zeros are written
/// over it: a tenth of the time of pages that are faulted in again (200 kB: 4 against 100 us), but
/// they cost memory where the object was never touched, so what no cache keeps gets none.
const DECOMMIT_LEAST: usize = CHUNKS_MOST * CHUNK;

/// So many bytes are cleared in the time that the system needs to hide memory and to show it again.
const COST_OF_CALLS: usize = 128 << 10;
/// So much longer than to clear memory it takes to have it anew from the system.
const COST_OF_PAGES: usize = 4;

/// Makes the padding of a large object fault. `front` chunks of it are before the object.
pub fn fence(span: &Span, front: usize) {
    span.carved.set(front as u32);
    // SAFETY: The padding is part of the span, and nobody's. Where the system refuses, for lack of
    // records of its own, or a page is longer, the object goes without.
    unsafe { page::protect(span.start(), front * CHUNK) };
    let behind = span.size() - PADDING * CHUNK;
    // SAFETY: The offset is within the span.
    let behind = unsafe { span.start().add(behind) };
    // SAFETY: As above.
    unsafe { page::protect(behind, PADDING * CHUNK) };
}

/// Returns how much of a large object the program may use.
pub fn usable_large(span: &Span) -> usize {
    span.large_size()
}

/// Returns where the object of a large span begins, and the room that it has.
pub fn object_of(span: &Span) -> (NonNull<u8>, usize) {
    let front = span.carved.get() as usize * CHUNK;
    // SAFETY: The offset is within the span (`fence`).
    let start = unsafe { span.start().add(front) };
    (start, span.size() - front - PADDING * CHUNK)
}

/// Makes an object of a span that is handed out.
pub fn seal_large(span: &Span, size: usize) {
    span.set_large_size(size);
    for byte in margin(span, size) {
        byte.set(margin_byte(span));
    }
}

/// What is left of the last chunk behind a large object, as far as it is looked at.
fn margin(span: &Span, size: usize) -> &'static [Cell<u8>] {
    let (start, room) = object_of(span);
    // SAFETY: The object's size is at most its room.
    let behind = unsafe { start.add(size) };
    // SAFETY: These bytes are the allocator's own as long as the object lives.
    unsafe { NonNull::slice_from_raw_parts(behind.cast(), (room - size).min(MARGIN)).as_ref() }
}

fn margin_byte(span: &Span) -> u8 {
    hash(span.start().addr().get()) as u8 | 1
}

/// Ends the process unless a live large object begins there, has that size, and was not written
/// past its end.
pub(super) fn check_large(span: &Span, object: usize, size: Option<usize>) {
    if object_of(span).0.addr().get() != object {
        misuse("free within the object at ", object);
    }
    if !span.is_large() {
        misuse("second free of ", object);
    }
    // An object of no bytes has one all the same.
    if size.is_some_and(|size| size.max(1) != span.large_size()) {
        misuse("free with a size that is not its own, of ", object);
    }
    if margin(span, span.large_size()).iter().any(|byte| byte.get() != margin_byte(span)) {
        misuse("write past the end of the object at ", object);
    }
}

/// Makes a large object that is free fault, for as long as its span is kept for the next; and
/// forgets what it held, which the next would show. A thread that has no time for that leaves the
/// object as it is.
pub fn hide(state: &State, span: &Span) {
    let (object, room) = object_of(span);
    let cost = if room < DECOMMIT_LEAST { room } else { room * COST_OF_PAGES };
    let is_hidden = state.pay(cost + COST_OF_CALLS);
    span.counted.set(is_hidden.into());
    if !is_hidden {
        return;
    }
    if room < DECOMMIT_LEAST || !give_back(object, room) {
        // SAFETY: The object is free, and usable until it is protected.
        unsafe { object.write_bytes(0, room) };
    }
    // SAFETY: The object is free.
    unsafe { page::protect(object, room) };
}

/// Gives the pages of an object that is free to the system. False where it shares them, or the
/// system refuses.
fn give_back(object: NonNull<u8>, room: usize) -> bool {
    let is_whole_pages = (object.addr().get() | room) & (os::page_size() - 1) == 0;
    // SAFETY: The object is free, and the pages are its alone.
    is_whole_pages && unsafe { os::decommit(object, room) }
}

/// Makes the memory of a kept span usable again, for an object of no special alignment. False when
/// the system has none.
pub fn show(span: &Span) -> bool {
    if span.carved.get() as usize != PADDING {
        // SAFETY: The span is the caller's.
        let usable = unsafe { page::commit(span.start(), span.size()) };
        if usable {
            fence(span, PADDING);
        }
        return usable;
    }
    if span.counted.get() == 0 {
        return true;
    }
    let (object, room) = object_of(span);
    // SAFETY: The span is the caller's.
    unsafe { page::commit(object, room) }
}

/// Moves the chunk that faults behind a large object, whose span had `before` chunks, to its end.
/// False when the system has no memory for what is now the object's.
pub fn fence_again(span: &Span, before: usize) -> bool {
    let (old, new) = ((before - PADDING) * CHUNK, span.size() - PADDING * CHUNK);
    // SAFETY: The offset is within the span.
    let end = unsafe { span.start().add(new) };
    if new > old {
        // SAFETY: As above.
        let start = unsafe { span.start().add(old) };
        // SAFETY: The range is the object's from now on.
        if !unsafe { page::commit(start, new - old) } {
            return false;
        }
    }
    // SAFETY: The padding is nobody's.
    unsafe { page::protect(end, PADDING * CHUNK) };
    true
}

/// Makes the whole of a span usable that may have been a large object's. False when the system has
/// no memory.
pub fn unfence(span: &Span) -> bool {
    let was_large = map::entry(span.start().addr().get()).tag().is_large();
    // SAFETY: The span is free, and the caller's.
    !was_large || unsafe { page::commit(span.start(), span.size()) }
}
