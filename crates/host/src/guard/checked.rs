//! All guards: what the feature `hardened` brings.
//!
//! **Objects in slabs** end with a trailer of eight bytes that says how much room is left behind
//! the object, under a keyed hash of that and the object's address. The first bytes of that room
//! repeat it. A free checks both, and the trailer of the object before: so a write past the end or
//! before the beginning, a size that is not the one asked for, and an address where no object
//! begins are found. A free then clears the object, trailer and all: a second free finds no trailer.
//! What was cleared is looked at again before it is handed out, up to [`LOOKED_AT`] bytes: writes
//! after the free are found. Cleared memory also means that nothing is read from before.
//!
//! **Free lists** hold their links masked, and beside each a hash of the link and its place (a
//! signed edge, from both its ends): a changed link ends the process before it is followed. Fresh
//! slots are handed out in random order. A freed object waits in a random place among
//! [`DELAYED`] others until another takes its place.
//!
//! **Large objects** have chunks before and behind them that fault; what is left in the last chunk
//! repeats a hash. Spans that are free fault, and come back zero.
//!
//! The keys are the process's own, and random. Hashes are one multiplication: they stop mistakes
//! and blind guesses, not somebody who can read memory.

use crate::fail;
use crate::local::Local;
use crate::map::{self, Tag};
use crate::os;
use crate::size::{CHUNK, Class, SLOT};
use crate::slot::Slot;
use crate::span::Span;
use core::cell::Cell;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// Chunks behind a large object that fault; as many as its alignment before it.
pub const PADDING: usize = 1;
/// Bytes between records and objects that fault.
pub const GAP: usize = CHUNK;

/// Bytes of a trailer.
const TRAILER: usize = size_of::<u64>();
/// The least slot: two words of links, and the trailer beyond them.
const ROOM_LEAST: usize = 2 * SLOT;
/// Freed objects of one thread that wait, at most.
const DELAYED: usize = 32;
/// The largest object that waits, in bytes.
const DELAYED_SIZE_MOST: usize = 4096;
/// Bytes of a free slot that are looked at before it is handed out.
const LOOKED_AT: usize = 128;
/// Bytes behind a large object that are looked at.
const MARGIN: usize = 64;
/// Bits of a trailer that say how much room is left.
const ROOM_BITS: u32 = 16;
/// Fresh slots that are put in random order together.
const SHUFFLED_MOST: usize = 256;

static LINK_KEY: AtomicUsize = AtomicUsize::new(0);
static HASH_KEY: AtomicU64 = AtomicU64::new(1);

/// What a local keeps.
pub struct State {
    delayed: [Cell<*mut u8>; DELAYED],
    random: Cell<u64>,
}

impl State {
    /// Makes the state of a new local.
    pub const fn new() -> Self {
        Self { delayed: [const { Cell::new(null_mut()) }; DELAYED], random: Cell::new(0) }
    }

    /// Returns the next number: xorshift (Marsaglia, 2003), from a seed that is the system's.
    fn random(&self) -> u64 {
        let mut number = self.random.get();
        if number == 0 {
            number = os::random() | 1;
        }
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        self.random.set(number);
        number
    }

    fn below(&self, end: usize) -> usize {
        ((self.random() >> 32) as usize * end) >> 32
    }
}

/// Makes the process's keys.
pub fn begin() {
    // No partner: the first thread has them before there is a list, and is alone; the others have
    // them from whoever made them threads.
    if LINK_KEY.load(Relaxed) == 0 {
        HASH_KEY.store(os::random() | 1, Relaxed);
        LINK_KEY.store(os::random() as usize | 1, Relaxed);
    }
}

fn hash(address: usize, what: u64) -> u64 {
    let key = HASH_KEY.load(Relaxed);
    let mixed = (address as u64 ^ key.rotate_left(32) ^ what.rotate_left(40)).wrapping_mul(key);
    mixed ^ mixed >> 29
}

/// Returns the bytes to allocate for an object of `size`.
#[inline(always)]
pub fn padded(size: usize) -> usize {
    size.saturating_add(TRAILER).max(ROOM_LEAST)
}

/// The trailer of an object behind which `left` bytes of its room are left.
#[inline(always)]
fn trailer(object: usize, left: usize) -> u64 {
    hash(object, left as u64) & !0 << ROOM_BITS | left as u64
}

fn trailer_place(end: usize) -> &'static AtomicU64 {
    let place = core::ptr::with_exposed_provenance::<AtomicU64>(end - TRAILER);
    // SAFETY: A slot ends at a multiple of 16, and its last eight bytes are no object's.
    unsafe { &*place }
}

fn room_of(object: usize) -> Option<usize> {
    let class = Class::from_index(map::entry(object).tag().class_index())?;
    Some(class.shape().size as usize)
}

/// Makes an object of a slot that is handed out.
pub fn seal(object: NonNull<u8>, size: usize) {
    let address = object.expose_provenance().get();
    let room = room_of(address).unwrap_or(0);
    look_at(object, room);
    // The links go too: nothing is left of before.
    // SAFETY: The slot has more than its two words of links.
    unsafe { object.cast::<[usize; 2]>().write([0; 2]) };
    mark(address, size, room);
}

/// Gives an object that stays where it is another size.
pub fn seal_again(object: NonNull<u8>, size: usize) {
    let address = object.addr().get();
    let room = room_of(address).unwrap_or(0);
    check(address, room);
    mark(address, size, room);
}

/// Writes the trailer, and repeats it right behind the object.
fn mark(object: usize, size: usize, room: usize) {
    let value = trailer(object, room - size);
    let end = object + room;
    let behind = core::ptr::with_exposed_provenance_mut::<u64>(object + size);
    // SAFETY: At least a trailer's length is left behind the object (`padded`).
    unsafe { behind.write_unaligned(value) };
    trailer_place(end).store(value, Relaxed);
}

/// Ends the process if a free slot was written to: what lies behind its links and was cleared is
/// not zero any more.
fn look_at(object: NonNull<u8>, room: usize) {
    let looked_at = room.min(LOOKED_AT);
    let words = object.cast::<u64>();
    let mut all = trailer_place(object.addr().get() + room).load(Relaxed);
    for index in 2..looked_at / TRAILER {
        // SAFETY: The index is within the slot, which nobody uses.
        all |= unsafe { words.add(index).read() };
    }
    if all != 0 {
        fail::misuse("write to freed memory at ", object.addr().get());
    }
}

/// Reads the trailer of the object, and checks it. Returns the object's size.
fn check(object: usize, room: usize) -> usize {
    let value = trailer_place(object + room).load(Relaxed);
    let left = (value & ((1 << ROOM_BITS) - 1)) as usize;
    if value == 0 {
        fail::misuse("second free of ", object);
    }
    if left < TRAILER || left > room || value != trailer(object, left) {
        fail::misuse("write past the end, or free within, of the object at ", object);
    }
    let size = room - left;
    let behind = core::ptr::with_exposed_provenance::<u64>(object + size);
    // SAFETY: The trailer says that at least eight bytes of the slot are left.
    let repeated = unsafe { behind.read_unaligned() };
    // Where less than sixteen bytes are left the trailer itself has overwritten the end of it.
    let bits = 8 * (left - TRAILER).min(TRAILER) as u32;
    let differs = repeated ^ value;
    if bits > 0 && differs << (u64::BITS - bits) != 0 {
        fail::misuse("write past the end of the object at ", object);
    }
    size
}

/// Checks the trailer of the slot before an object, for what was written before its beginning.
fn check_before(object: usize, room: usize) {
    if object & (CHUNK - 1) == 0 {
        return;
    }
    let value = trailer_place(object).load(Relaxed);
    let left = (value & ((1 << ROOM_BITS) - 1)) as usize;
    if value != 0 && value != trailer(object - room, left) {
        fail::misuse("write before the beginning of the object at ", object);
    }
}

/// Checks an object that is given up; returns what is to be freed in its stead.
///
/// # Safety
///
/// It is null, or the program has said that it is live and will not be used again.
pub unsafe fn open(local: &Local, object: *mut u8, size: Option<usize>) -> *mut u8 {
    let address = object.expose_provenance();
    let entry = map::entry(address);
    let tag = entry.tag();
    if tag == Tag::NONE {
        return object;
    }
    // SAFETY: The tag says that there is a span.
    let span = unsafe { entry.span_unchecked() };
    if tag.is_large() {
        check_large(span, address, size);
        return object;
    }
    let room = room_of(address).unwrap_or(0);
    if address & (SLOT - 1) != 0 {
        fail::misuse("free within an object, at ", address);
    }
    let found = check(address, room);
    if size.is_some_and(|size| size != found) {
        fail::misuse("free with a size that is not its own, of ", address);
    }
    check_before(address, room);
    // SAFETY: The object is live, by its trailer, and the program has given it up.
    unsafe { object.write_bytes(0, room - TRAILER) };
    trailer_place(address + room).store(0, Relaxed);
    if room > DELAYED_SIZE_MOST || !tag.is_slab_of_thread() || local.is_nobody() {
        return object;
    }
    local.guard.delayed[local.guard.below(DELAYED)].replace(object)
}

/// Returns an object that waits to be freed.
pub fn overdue(local: &Local) -> Option<NonNull<u8>> {
    let waits = local.guard.delayed.iter().find(|place| !place.get().is_null())?;
    NonNull::new(waits.replace(null_mut()))
}

/// Returns how much of an object's room the program may use; none when it is free.
pub fn usable(object: NonNull<u8>, room: usize) -> Option<usize> {
    let address = object.addr().get();
    let value = trailer_place(address + room).load(Relaxed);
    let left = (value & ((1 << ROOM_BITS) - 1)) as usize;
    (value != 0 && value == trailer(address, left)).then(|| room - left.min(room))
}

/// Reads a free slot's link, and ends the process if it is not as it was written.
#[inline(always)]
pub fn load(slot: Slot) -> Option<Slot> {
    let (masked, signature) = slot.pair();
    if signature != sign(slot, masked) {
        fail::misuse("write to freed memory at ", slot.address());
    }
    let next = masked ^ LINK_KEY.load(Relaxed) & !(SLOT - 1);
    NonNull::new(core::ptr::with_exposed_provenance_mut(next)).map(|next| {
        // SAFETY: The signature says that `store` has written it, so it was a slot's address.
        unsafe { Slot::new(next) }
    })
}

/// Writes a free slot's link.
#[inline(always)]
pub fn store(slot: Slot, next: Option<Slot>) {
    let next = next.map_or(0, |next| next.object().expose_provenance().get());
    let masked = next ^ LINK_KEY.load(Relaxed) & !(SLOT - 1);
    slot.set_pair(masked, sign(slot, masked));
}

#[inline(always)]
fn sign(slot: Slot, masked: usize) -> usize {
    hash(slot.address(), masked as u64) as usize
}

/// Links fresh slots in random order, but for the one that is returned first, which is handed out.
pub fn link_fresh(
    local: &Local,
    slots: Range<u32>,
    slot: impl Fn(u32) -> Slot,
) -> (Slot, Option<Slot>) {
    let mut order = [0u8; SHUFFLED_MOST];
    let count = slots.len().min(SHUFFLED_MOST);
    for index in 0..count {
        let other = local.guard.below(index + 1);
        order[index] = order[other];
        order[other] = index as u8;
    }
    let one = |index: usize| {
        let one = slot(slots.start + u32::from(order[index]));
        clear(one);
        one
    };
    let first = one(0);
    let mut rest = None;
    for index in 1..count {
        let one = one(index);
        one.set_next(rest);
        rest = Some(one);
    }
    (first, rest)
}

fn clear(slot: Slot) {
    let room = room_of(slot.address()).unwrap_or(0);
    // SAFETY: The slot was never handed out, or not since its span was free.
    unsafe { slot.object().write_bytes(0, room) };
}

/// Makes the padding of a large object fault. `front` chunks of it are before the object.
pub fn fence(span: &Span, front: usize) {
    span.carved.set(front as u32);
    // SAFETY: The padding is part of the span, and nobody's. Where the system refuses, for lack of
    // records of its own, the object goes without.
    unsafe { os::protect(span.start(), front * CHUNK) };
    let behind = span.size() - PADDING * CHUNK;
    // SAFETY: The offset is within the span.
    let behind = unsafe { span.start().add(behind) };
    // SAFETY: As above.
    unsafe { os::protect(behind, PADDING * CHUNK) };
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
    hash(span.start().addr().get(), 0) as u8 | 1
}

fn check_large(span: &Span, object: usize, size: Option<usize>) {
    if !span.is_large() || object_of(span).0.addr().get() != object {
        fail::invalid_free(object);
    }
    if size.is_some_and(|size| size != span.large_size()) {
        fail::misuse("free with a size that is not its own, of ", object);
    }
    if margin(span, span.large_size()).iter().any(|byte| byte.get() != margin_byte(span)) {
        fail::misuse("write past the end of the object at ", object);
    }
}

/// Hides the memory of a span that is free. True when it reads as zero from then on.
///
/// # Safety
///
/// The range is a committed span, and nobody uses it.
pub unsafe fn conceal(start: NonNull<u8>, size: usize) -> bool {
    // SAFETY: As promised to us.
    let is_zero = unsafe { os::decommit(start, size) };
    // SAFETY: As promised to us.
    unsafe { os::protect(start, size) };
    is_zero
}

/// Makes the memory of a span usable again. False when the system has none.
///
/// # Safety
///
/// The range is a span that is the caller's.
pub unsafe fn reveal(start: NonNull<u8>, size: usize) -> bool {
    // SAFETY: As promised to us.
    unsafe { os::commit(start, size) }
}
