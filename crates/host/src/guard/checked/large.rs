//! Guards of large objects: chunks around them that fault, and a margin that repeats a byte.
//!
//! A large object has whole chunks, and chunks before and behind them that fault at each access,
//! where a page is no longer than they are.
//! Between its end and the fence is what is left of its last chunk; the first bytes of that repeat
//! a byte that is the span's, and a free looks at them; without a fence, also at what is in its
//! place. An object that was freed faults for as long as its span is kept.

use super::{MARGIN, PADDING, State, hash, misuse};
use crate::cache::CHUNKS_MOST;
use crate::map;
use crate::os;
use crate::page;
use crate::size::CHUNK;
use crate::span::Span;
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// From this many bytes on, an object that is freed gives its pages back. Below, zeros are written
/// over it: a tenth of the time of pages that are faulted in again (200 kB: 4 against 100 us), but
/// they cost memory where the object was never touched, so what no cache keeps gets none.
const DECOMMIT_LEAST: usize = CHUNKS_MOST * CHUNK;

/// So many bytes are cleared in the time that the system needs for a call that protects memory, and
/// for another that makes it usable again.
const COST_OF_CALLS: usize = 128 << 10;
/// So much longer than to clear memory it takes to have it anew from the system.
const COST_OF_PAGES: usize = 4;

/// What of a span faults, as its `counted` says.
mod protected {
    /// The padding before the object.
    pub const FRONT: u32 = 1;
    /// The padding behind it.
    pub const BEHIND: u32 = 2;
    /// The object, which is free.
    pub const OBJECT: u32 = 4;
}

/// Spans of which something faults, and the most there may be: each costs the process some
/// mappings, of which the kernel grants some 65,000.
static PROTECTED: AtomicUsize = AtomicUsize::new(0);
const PROTECTED_MOST: usize = 8192;

/// Makes the padding of a large object fault, if there is time. `front` chunks of it are before the
/// object. Nothing of the span faults as yet.
pub fn fence(state: &State, span: &Span, front: usize) {
    span.carved.set(front as u32);
    span.counted.set(0);
    // No partner: some more do no harm.
    if PROTECTED.load(Relaxed) >= PROTECTED_MOST || !state.pay(2 * COST_OF_CALLS) {
        return;
    }
    PROTECTED.fetch_add(1, Relaxed);
    // SAFETY: The padding is part of the span, and nobody's. Where the system refuses, for lack of
    // records of its own, or a page is longer, the object goes without.
    unsafe { page::protect(span.start(), front * CHUNK) };
    span.counted.set(protected::FRONT);
    fence_behind(span);
}

fn fence_behind(span: &Span) {
    // SAFETY: The offset is within the span.
    let behind = unsafe { span.start().add(span.size() - PADDING * CHUNK) };
    let has_page = page::within(behind, PADDING * CHUNK).is_some();
    // SAFETY: The padding is nobody's.
    if has_page && unsafe { page::protect(behind, PADDING * CHUNK) } {
        span.counted.set(span.counted.get() | protected::BEHIND);
    }
}

/// Returns how much of a large object the program may use; none when it is free.
pub fn usable_large(span: &Span) -> Option<usize> {
    span.large_size()
}

/// Returns where the object of a large span begins, and the room that it has.
pub fn object_of(span: &Span) -> (NonNull<u8>, usize) {
    let front = span.carved.get() as usize * CHUNK;
    // SAFETY: The offset is within the span (`fence`).
    let start = unsafe { span.start().add(front) };
    (start, span.size().saturating_sub(front + PADDING * CHUNK))
}

/// Makes an object of a span that is handed out.
pub fn seal_large(span: &Span, size: usize) {
    span.set_large_size(size);
    for byte in margin(span, size) {
        byte.set(margin_byte(span));
    }
}

/// What is left of the last chunk behind a large object, and of what does not fault behind that, as
/// far as it is looked at.
fn margin(span: &Span, size: usize) -> &'static [Cell<u8>] {
    let (start, mut room) = object_of(span);
    if span.counted.get() & protected::BEHIND == 0 {
        room += PADDING * CHUNK;
    }
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
    let Some(large_size) = span.large_size().filter(|_| span.is_large()) else {
        misuse("second free of ", object);
    };
    // An object of no bytes has one all the same.
    if size.is_some_and(|size| size.max(1) != large_size) {
        misuse("free with a size that is not its own, of ", object);
    }
    if margin(span, large_size).iter().any(|byte| byte.get() != margin_byte(span)) {
        misuse("write past the end of the object at ", object);
    }
}

/// Makes a large object that is free fault, if its span is one that is kept for the next; and
/// forgets what it held, which the next would show. A thread that has no time for that leaves the
/// object as it is.
pub fn hide(state: &State, span: &Span) {
    let (object, room) = object_of(span);
    let cost = if room < DECOMMIT_LEAST { room } else { room * COST_OF_PAGES };
    if !state.pay(cost + COST_OF_CALLS) {
        return;
    }
    if room < DECOMMIT_LEAST || !give_back(object, room) {
        // SAFETY: The object is free, and usable until it is protected.
        unsafe { object.write_bytes(0, room) };
    }
    if span.counted.get() == 0 || span.chunks() > CHUNKS_MOST {
        return;
    }
    // SAFETY: The object is free.
    unsafe { page::protect(object, room) };
    span.counted.set(span.counted.get() | protected::OBJECT);
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
pub fn show(state: &State, span: &Span) -> bool {
    let faults = span.counted.get();
    if span.carved.get() as usize != PADDING || faults & protected::BEHIND == 0 {
        if !unfence(span) {
            return false;
        }
        fence(state, span, PADDING);
        return true;
    }
    if faults & protected::OBJECT == 0 {
        return true;
    }
    let (object, room) = object_of(span);
    span.counted.set(faults & !protected::OBJECT);
    // SAFETY: The span is the caller's.
    unsafe { page::commit(object, room) }
}

/// Moves the chunk that faults behind a large object, whose span had `before` chunks, to its end.
/// False when the system has no memory for what is now the object's.
pub fn fence_again(state: &State, span: &Span, before: usize) -> bool {
    let faults = span.counted.get();
    if faults & protected::BEHIND == 0 {
        return true;
    }
    let (old, new) = ((before - PADDING) * CHUNK, span.size() - PADDING * CHUNK);
    if new > old {
        // SAFETY: The offset is within the span.
        let start = unsafe { span.start().add(old) };
        // SAFETY: The range is the object's from now on.
        if !unsafe { page::commit(start, new - old) } {
            return false;
        }
    }
    span.counted.set(faults & !protected::BEHIND);
    if state.pay(COST_OF_CALLS) {
        fence_behind(span);
    }
    true
}

/// Makes the whole of a span usable that may have been a large object's. False when the system has
/// no memory.
pub fn unfence(span: &Span) -> bool {
    // SAFETY: The span is free, and the caller's.
    if has_fences(span) && !unsafe { page::commit(span.start(), span.size()) } {
        // It is not forgotten: whoever gets the span next asks again.
        return false;
    }
    forget(span);
    true
}

fn has_fences(span: &Span) -> bool {
    let is_large = map::entry(span.start().addr().get()).tag().is_large();
    is_large && span.counted.get() != 0
}

/// Forgets what of a span faults, if anything does: it is usable, or about to be gone.
pub fn forget(span: &Span) {
    if has_fences(span) {
        span.counted.set(0);
        // No partner: as in `fence`.
        PROTECTED.fetch_sub(1, Relaxed);
    }
}
