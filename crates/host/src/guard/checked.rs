//! All guards: what the feature `hardened` brings.
//!
//! **Objects in slabs** end with a trailer of eight bytes that says how much room is left behind
//! the object, under a keyed hash of that and the object's address. The first bytes of that room
//! repeat it. A free checks both, and the trailer of the object before: so a write past the end or
//! before the beginning, a size that is not the one asked for, and an address where no object
//! begins are found. A free then clears the object, trailer and all: a second free finds none.
//! The first four words and the last of what was cleared are looked at again before it is handed
//! out: writes after the free are found. Nothing is left to be read from before.
//!
//! **Free lists** hold their links masked, and beside each a hash of the link and its place (a
//! signed edge, from both its ends): a changed link ends the process before it is followed. Fresh
//! slots are handed out in random order; a freed one waits on its slab's list until the list in use
//! is empty, and comes back in an order that is not that of the frees.
//!
//! **Large objects** have chunks before and behind them that fault; what is left in the last chunk
//! repeats a byte. One that was freed faults until its span is used for another.
//!
//! # What is not found
//!
//! A write after the free to the middle of a slot in a slab: all of a slot would have to be read
//! when it is handed out. A write after the free when the place is another's already. A write
//! before the first object of a slab, where no fence is. A write past the end that happens to be
//! what stands there: of one byte, one in 128 behind a large object (never a zero). Reads past the
//! end that stay in the slot or the last chunk. What the program reads of a freed slot is zeros
//! and two masked words: the read itself is found of large objects alone. The tests in
//! `tests/misuse.rs` have a table of all this.
//!
//! The keys are the process's own, and random. Hashes are a multiplication or less: they stop
//! mistakes and blind guesses, not somebody who can read memory.

mod large;
mod misuse;

pub use large::{fence, fence_again, hide, object_of, seal_large, show, unfence, usable_large};

use crate::local::Local;
use crate::map::{self, Entry, Tag};
use crate::os;
use crate::size::{CHUNK, Class, SLOT};
use crate::slot::{List, Slot};
use crate::span::Span;
use core::cell::Cell;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};
use large::check_large;
use misuse::misuse;

/// Whether large objects have fences.
pub const FENCES: bool = true;
/// Chunks behind a large object that fault; as many as its alignment before it.
pub const PADDING: usize = 1;
/// Bytes between records and objects that fault.
pub const GAP: usize = CHUNK;

/// Bytes of a trailer.
const TRAILER: usize = size_of::<u64>();
/// The least slot: two words of links, and the trailer beyond them.
const ROOM_LEAST: usize = 2 * SLOT;
/// Up to this many bytes a slot is cleared without a call.
const CLEARED_HERE_MOST: usize = 64;
/// Bytes behind a large object that are looked at.
const MARGIN: usize = 64;
/// Bits of a trailer that say how much room is left.
const ROOM_BITS: u32 = 16;
/// The least room is four words, the most has its number in those bits.
const _: () = assert!(crate::size::SMALL_MAX < 1 << ROOM_BITS);
/// Slots that came back and change places with one behind them, at most.
const MOVED_MOST: u64 = 8;
/// Fresh slots that are put in random order together.
const SHUFFLED_MOST: usize = 256;

static LINK_KEY: AtomicUsize = AtomicUsize::new(0);
static HASH_KEY: AtomicU64 = AtomicU64::new(1);

/// What a local keeps.
pub struct State {
    random: Cell<u64>,
}

impl State {
    /// Makes the state of a new local.
    pub const fn new() -> Self {
        Self { random: Cell::new(0) }
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

/// What only who knows the key can tell of an address and a small number: in few steps, for it is
/// asked several times for each object.
#[inline(always)]
fn hash(address: usize, what: u64) -> u64 {
    (address as u64 ^ HASH_KEY.load(Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ what << 24
}

/// Returns the bytes to allocate for an object of `size`.
#[inline(always)]
pub fn padded(size: usize) -> usize {
    size.saturating_add(TRAILER).max(ROOM_LEAST)
}

/// The trailer of an object behind which `left` bytes of its room are left.
#[inline(always)]
fn trailer(object: usize, left: u64) -> u64 {
    hash(object, left) & !0 << ROOM_BITS | left
}

/// How much room is left, by a trailer.
#[inline(always)]
fn left(trailer: u64) -> u64 {
    trailer & ((1 << ROOM_BITS) - 1)
}

#[inline(always)]
fn trailer_at(end: usize) -> &'static AtomicU64 {
    let place = core::ptr::with_exposed_provenance::<AtomicU64>(end - TRAILER);
    // SAFETY: A slot ends at a multiple of 16, and its last eight bytes are no object's.
    unsafe { &*place }
}

#[inline(always)]
fn room_of(class_index: usize) -> usize {
    // SAFETY: Tags of slabs hold classes.
    let class = unsafe { Class::from_index(class_index).unwrap_unchecked() };
    class.size() as usize
}

/// Makes an object of a slot that is handed out.
#[inline(always)]
pub fn seal(object: NonNull<u8>, size: usize, class: Class) {
    let room = class.size() as usize;
    let address = object.as_ptr().expose_provenance();
    let words = object.cast::<[usize; 2]>();
    // SAFETY: The slot has more than four words.
    let second = unsafe { words.add(1) };
    // SAFETY: As above, and nobody uses it.
    let behind = unsafe { second.read() };
    // Behind the links there is nothing if nobody has written to the slot since it was cleared;
    // where the slot is of four words, the trailer's place is one of those read.
    if behind[0] | behind[1] | trailer_at(address + room).load(Relaxed) as usize != 0 {
        misuse("write to freed memory at ", address);
    }
    // SAFETY: As above. The links go too: nothing is left of before.
    unsafe { words.write([0; 2]) };
    mark(address, size, room);
}

/// Writes the trailer, which is zero, and repeats it right behind the object. Who frees the next
/// slot reads the trailer at the same time, so it is never seen in parts.
#[inline(always)]
fn mark(object: usize, size: usize, room: usize) {
    let value = trailer(object, (room - size) as u64);
    let behind = core::ptr::with_exposed_provenance_mut::<u64>(object + size);
    // What would lie in the trailer's place is written as the zero that it is. A shift by all bits
    // is none: there the one is the other.
    let lost = u64::BITS - 8 * bytes_repeated(room - size);
    let repeated = value.wrapping_shl(lost).wrapping_shr(lost);
    // SAFETY: At least a trailer's length is left behind the object (`padded`).
    unsafe { behind.write_unaligned(repeated) };
    trailer_at(object + room).store(value, Relaxed);
}

/// How much of what repeats a trailer there is room for before the trailer itself.
#[inline(always)]
fn bytes_repeated(left: usize) -> u32 {
    left.min(2 * TRAILER) as u32 - TRAILER as u32
}

/// Gives an object that stays where it is another size.
pub fn seal_again(object: NonNull<u8>, size: usize, class: Class) {
    let (address, room) = (object.addr().get(), class.shape().size as usize);
    // SAFETY: A live object's entry has a span.
    check(unsafe { map::entry(address).span_unchecked() }, address, room);
    trailer_at(address + room).store(0, Relaxed);
    mark(address, size, room);
}

/// Checks trailers: the object's own, what repeats it, and that of the slot before. Returns the
/// object's trailer.
#[inline(always)]
fn check(span: &Span, object: usize, room: usize) -> u64 {
    let value = trailer_at(object + room).load(Relaxed);
    let left = left(value);
    if value != trailer(object, left) {
        not_live(object, value);
    }
    if left > TRAILER as u64 {
        check_repeated(object + room - left as usize, object, value);
    }
    check_before(span, object, room);
    value
}

/// Checks what repeats the trailer right behind an object that has more than a trailer's room.
#[inline(always)]
fn check_repeated(end: usize, object: usize, trailer: u64) {
    let behind = core::ptr::with_exposed_provenance::<u64>(end);
    // SAFETY: The trailer says that more than eight bytes of the slot are left.
    let repeated = unsafe { behind.read_unaligned() };
    // Where less than sixteen bytes are left the trailer itself is in the place of the end of it.
    let lost = u64::BITS - 8 * bytes_repeated(left(trailer) as usize);
    if (repeated ^ trailer) << lost != 0 {
        misuse("write past the end of the object at ", object);
    }
}

#[inline(always)]
fn check_before(span: &Span, object: usize, room: usize) {
    if object == span.first_slot().addr().get() {
        return;
    }
    let value = trailer_at(object).load(Relaxed);
    if value != 0 && value != trailer(object - room, left(value)) {
        misuse("write before the beginning of the object at ", object);
    }
}

#[cold]
#[inline(never)]
fn not_live(object: usize, trailer: u64) -> ! {
    match trailer {
        0 => misuse("second free of ", object),
        _ => misuse("write past the end, or free within, of the object at ", object),
    }
}

/// Checks an object that is given up, and clears it.
///
/// # Safety
///
/// It is null, or the program has said that it is live and will not be used again.
#[inline(always)]
pub unsafe fn open(object: *mut u8, entry: &Entry, size: Option<usize>) {
    let address = object.expose_provenance();
    let tag = entry.tag();
    if tag == Tag::NONE {
        return;
    }
    // SAFETY: The tag says that there is a span.
    let span = unsafe { entry.span_unchecked() };
    if tag.is_large() {
        return check_large(span, address, size);
    }
    ensure_aligned(address);
    let room = room_of(tag.class_index());
    let value = check(span, address, room);
    if size.is_some_and(|size| size as u64 + left(value) != room as u64) {
        misuse("free with a size that is not its own, of ", address);
    }
    // The program's pointer may be to what it asked for alone.
    let slot = core::ptr::with_exposed_provenance_mut(address);
    // SAFETY: The object is live, by its trailer, and the program has given it up.
    unsafe { clear(slot, room) };
}

#[inline(always)]
fn ensure_aligned(object: usize) {
    if object & (SLOT - 1) != 0 {
        misuse("free within an object, at ", object);
    }
}

/// Checks an object that gets another size, on the slow ways of that. What is not ours is nothing.
pub fn ensure_live(object: NonNull<u8>) {
    let address = object.addr().get();
    let entry = map::entry(address);
    let tag = entry.tag();
    if tag == Tag::NONE {
        return;
    }
    // SAFETY: The tag says that there is a span.
    let span = unsafe { entry.span_unchecked() };
    if tag.is_large() {
        return check_large(span, address, None);
    }
    ensure_aligned(address);
    check(span, address, room_of(tag.class_index()));
}

/// Writes zeros over a slot, over its trailer in one piece (see `mark`).
///
/// # Safety
///
/// The memory is a slot's, and nobody uses it.
#[inline(always)]
unsafe fn clear(object: *mut u8, room: usize) {
    trailer_at(object.expose_provenance() + room).store(0, Relaxed);
    let rest = room - TRAILER;
    if rest > CLEARED_HERE_MOST {
        // SAFETY: As promised to us.
        return unsafe { object.write_bytes(0, rest) };
    }
    // Each pair but the first behind a branch, then the word before the trailer: no loop.
    let pairs = object.cast::<[u64; 2]>();
    // SAFETY: The least room is two pairs, aligned as slots are.
    unsafe { pairs.write([0; 2]) };
    for index in [1, 2] {
        if (index + 1) * SLOT < room {
            // SAFETY: The slot goes on behind this pair.
            let pair = unsafe { pairs.add(index) };
            // SAFETY: As above.
            unsafe { pair.write([0; 2]) };
        }
    }
    // SAFETY: A slot has at least two words.
    let before = unsafe { object.add(rest - TRAILER) };
    // SAFETY: As above, and it is aligned as the trailer is.
    unsafe { before.cast::<u64>().write(0) };
}

/// Returns how much of an object's room the program may use; none when it is free.
pub fn usable(object: NonNull<u8>, room: usize) -> Option<usize> {
    let address = object.addr().get();
    let value = trailer_at(address + room).load(Relaxed);
    (value != 0 && value == trailer(address, left(value))).then(|| room - left(value) as usize)
}

/// Reads a free slot's link, and ends the process if it is not as it was written.
#[inline(always)]
pub fn load(slot: Slot) -> Option<Slot> {
    let (masked, signature) = slot.pair();
    if signature != sign(slot, masked) {
        misuse("write to freed memory at ", slot.address());
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
    let next = next.map_or(0, |next| next.object().as_ptr().expose_provenance());
    let masked = next ^ LINK_KEY.load(Relaxed) & !(SLOT - 1);
    slot.set_pair(masked, sign(slot, masked));
}

#[inline(always)]
fn sign(slot: Slot, masked: usize) -> usize {
    (slot.address() ^ masked).rotate_left(13).wrapping_add(HASH_KEY.load(Relaxed) as usize)
}

/// Returns the slots of a slab that came back, in the order in which they are handed out: some, a
/// number that only a coin knows, are moved behind the one after them.
pub fn take_all(local: &Local, list: &List) -> Option<Slot> {
    let first = list.take()?;
    let mut last = first;
    for _ in 0..local.guard.random() % MOVED_MOST {
        let Some(next) = last.next() else { return Some(first) };
        last = next;
    }
    let Some(one) = last.next() else { return Some(first) };
    last.set_next(one.next());
    one.set_next(Some(first));
    Some(one)
}

/// Links fresh slots in random order, but for the one that is returned first, which is handed out.
pub fn link_fresh(
    local: &Local,
    class: Class,
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
        // SAFETY: The slot was never handed out, or not since its span was free.
        unsafe { clear(one.object().as_ptr(), class.shape().size as usize) };
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
