//! All guards: what the feature `hardened` brings.
//!
//! **Objects in slabs** end with a trailer of eight bytes: a keyed hash of where the slot ends, and
//! how much room is left behind the object. The hash's lowest byte stands right behind the object
//! too. A free checks both, and the trailer of the slot before: so a write past the end or before
//! the beginning, a size that is not the one asked for, and an address where no object begins are
//! found. The trailer of a free slot says that it is free: a second free is found.
//!
//! **Free lists** hold their links in the first word of a slot, signed with the hash in its
//! trailer, and nothing in the second: before a slot is handed out all three are checked, so a
//! write after the free to either end of it ends the process, and no changed link is followed.
//! Fresh slots are handed out in random order; a freed one waits on its slab's list until the list
//! in use is empty, and comes back in an order that is not that of the frees.
//!
//! **Large objects** have chunks before and behind them that fault; what is left in the last chunk
//! repeats a byte. One of up to 8 MiB that was freed faults for as long as its thread keeps its
//! span, which is not yet part of what others are made of.
//!
//! **Nothing is left** to be read from before: what is freed is cleared.
//!
//! # What is not always done
//!
//! Objects in slots above 256 bytes are cleared, and large ones fenced and hidden, for about a
//! twentieth of a thread's time, and no more than so many large ones are fenced at a time. One that
//! has more of them leaves the rest as it is: a write after the free is then found at the ends of a
//! slot alone, and of a large object not at all; a write past the end of one is found by what
//! stands behind it, when it is freed. What a thread frees of a heap is paid for by the thread, and
//! one that allocates nothing of its own earns nothing.
//!
//! # What is not found
//!
//! A write after the free to the middle of a slot in a slab: all of a slot would have to be read
//! when it is handed out. A write after the free when the place is another's already, or on its way
//! to the thread that owns it. Two frees of one object by two threads at the same moment. A write
//! before the first object of a chunk, where no fence is. A write past the end that happens to be
//! what stands there: of one byte, one in 128 (never a zero). Reads past the end that stay in the
//! slot or the last chunk. What the program reads of a freed slot is a link and zeros: the read
//! itself is found of large objects alone. A free within the last slot of a slab looks behind the
//! slab: where a fence stands there, the process ends by a fault and without a line. The tests in
//! `tests/misuse.rs` have a table of all this.
//!
//! The key is the process's own, and random. The hash is a multiplication: it stops mistakes and
//! blind guesses, not somebody who can read memory.

#[cfg(target_endian = "big")]
compile_error!("a trailer's lowest byte is expected to be its first");

mod clear;
mod large;
mod misuse;
mod trailer;

pub use large::{
    fence, fence_again, forget, hide, object_of, seal_large, show, unfence, usable_large,
};
pub use trailer::begin;

use crate::counter;
use crate::local::Local;
use crate::map::{self, Entry, Tag};
use crate::os;
use crate::size::{CHUNK, Class, SLOT, SMALL_MAX};
use crate::slot::{List, Slot};
use clear::{CLEARED_HERE_MOST, LINK, clear};
use core::cell::Cell;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use large::check_large;
use misuse::misuse;
use trailer::{
    ADDRESS_BITS, FREE, LEFT_END, TRAILER, byte_at, free_trailer, hash, left, mark_free, said,
    trailer, trailer_at,
};

/// Whether large objects have fences.
pub const FENCES: bool = true;
/// Chunks behind a large object that fault; as many as its alignment before it.
pub const PADDING: usize = 1;
/// Bytes between records and objects that fault.
pub const GAP: usize = CHUNK;

/// Bytes at the beginning of a free slot that are looked at.
const CHECKED: usize = 3 * LINK;
/// The least slot: two words of links, and the trailer beyond them.
pub const ROOM_LEAST: usize = 2 * SLOT;
/// Bytes behind a large object that are looked at.
const MARGIN: usize = 64;
/// Bytes of longer slots and of large objects that a thread clears in a second: a twentieth of its
/// time or less, for memory that no cache has.
const CLEARED_A_SECOND: u64 = 512 << 20;
/// What it may save of that, and what it may clear beyond it at once.
const CREDIT_MOST: i64 = 8 << 20;
const DEBT_MOST: i64 = 64 << 20;
/// Counts that are looked at together at most, some seconds: times what is cleared in one they are
/// a number of 64 bits.
const PASSED_MOST: u64 = 1 << 34;
/// Of the slots that come back together at least, one in so many may change places.
const MOVED_SHARE: u32 = 4;
/// Coins in a random number.
const COINS: usize = u64::BITS as usize;

/// What a local keeps.
pub struct State {
    random: Cell<u64>,
    /// The processor's counter when it earned something last.
    earned: Cell<u64>,
    /// Bytes that it may clear, and less than nothing when it has cleared more than that.
    credit: Cell<i64>,
}

/// What is wrong with an object that should be live.
enum Wrong {
    Free,
    NotLive,
    Behind,
    Before,
}

impl State {
    /// Makes the state of a new local.
    pub const fn new() -> Self {
        Self { random: Cell::new(0), earned: Cell::new(0), credit: Cell::new(0) }
    }

    /// Earns what the time since it was last asked is worth, by the processor's counter. Called on
    /// slow ways.
    pub fn earn(&self, now: u64) {
        let bytes = worth(now.wrapping_sub(self.earned.replace(now)), counter::a_second());
        self.credit.set((self.credit.get() + bytes).min(CREDIT_MOST));
    }

    /// Pays for work as long as that of clearing so many bytes. False when nothing is left. What
    /// nobody writes to never has anything.
    #[inline(always)]
    fn pay(&self, bytes: usize) -> bool {
        let credit = self.credit.get();
        if credit <= 0 {
            return false;
        }
        self.credit.set((credit - bytes as i64).max(-DEBT_MOST));
        true
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
}

/// Bytes that may be cleared for so many counts, as far as they matter: an emulator may say that a
/// second has one.
fn worth(passed: u64, a_second: u64) -> i64 {
    let bytes = passed.min(PASSED_MOST) * CLEARED_A_SECOND / a_second;
    bytes.min((CREDIT_MOST + DEBT_MOST) as u64) as i64
}

/// Returns the class of an object of `size` bytes; none when it is a large one.
#[inline(always)]
pub fn class_of(size: usize) -> Option<Class> {
    if size > SMALL_MAX - TRAILER { None } else { Class::of(size + TRAILER) }
}

/// Returns the bytes to allocate for an object of `size`.
#[inline(always)]
pub fn padded(size: usize) -> usize {
    size.saturating_add(TRAILER)
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
    let address = object.as_ptr().expose_provenance();
    // SAFETY: The slot has more than two words, and nobody uses it. The links go: nothing is left
    // of before.
    unsafe { object.cast::<[usize; 2]>().write([0; 2]) };
    mark(address, size, class.size() as usize);
}

/// Writes the trailer, and repeats its lowest byte right behind the object; where the object ends
/// at its trailer that is the same place.
#[inline(always)]
fn mark(object: usize, size: usize, room: usize) {
    let end = object + room;
    let value = trailer(end, (room - size) as u64);
    trailer_at(end).store(value, Relaxed);
    if room - size > TRAILER {
        byte_at(object + size).store(value as u8, Relaxed);
    }
}

/// Gives an object that stays where it is another size.
pub fn seal_again(object: NonNull<u8>, size: usize, class: Class) {
    let (address, room) = (object.addr().get(), class.shape().size as usize);
    ensure(address, room);
    mark(address, size, room);
}

/// Checks what is behind a live object and before it: its trailer, the byte that repeats it, and
/// the trailer of the slot before. Returns how much room is left behind the object.
#[inline(always)]
fn check(object: usize, room: usize) -> Result<u64, Wrong> {
    let end = object + room;
    let value = trailer_at(end).load(Relaxed);
    let said = said(end, value);
    let left = left(said);
    if left >= LEFT_END {
        let is_free = said >> ADDRESS_BITS == 0 && said & FREE != 0;
        return Err(if is_free { Wrong::Free } else { Wrong::NotLive });
    }
    if byte_at(end - left as usize).load(Relaxed) != value as u8 {
        return Err(Wrong::Behind);
    }
    if is_before_wrong(object) {
        return Err(Wrong::Before);
    }
    Ok(left)
}

/// Checks the trailer that ends where an object begins: a live object's or that of a free slot. In
/// front of the first slot of a slab there is none.
#[inline(always)]
fn is_before_wrong(object: usize) -> bool {
    if object & (CHUNK - 1) == 0 {
        return false;
    }
    said(object, trailer_at(object).load(Relaxed)) >> ADDRESS_BITS != 0
}

/// Checks an object as [`check`] does, and ends the process where something is wrong.
fn ensure(object: usize, room: usize) -> u64 {
    if object & (SLOT - 1) != 0 {
        misuse("free within an object, at ", object);
    }
    check(object, room).unwrap_or_else(|wrong| match wrong {
        Wrong::Free => misuse("second free of ", object),
        Wrong::NotLive => misuse("write past the end, or free within, of the object at ", object),
        Wrong::Behind => misuse("write past the end of the object at ", object),
        Wrong::Before => misuse("write before the beginning of the object at ", object),
    })
}

/// Checks and clears an object in a slab that is given up. False, and nothing is done, when
/// something is wrong with it or it is long: then [`open`] is what does it.
///
/// # Safety
///
/// It lies in a slab of the class of that number, and the program has said that it is live and will
/// not be used again.
#[inline(always)]
pub unsafe fn open_quick(object: *mut u8, class_index: usize, size: Option<usize>) -> bool {
    let (address, room) = (object.expose_provenance(), room_of(class_index));
    if room > CLEARED_HERE_MOST || address & (SLOT - 1) != 0 {
        return false;
    }
    let Ok(left) = check(address, room) else { return false };
    if size.is_some_and(|size| size as u64 + left != room as u64) {
        return false;
    }
    // The program's pointer may be to what it asked for alone.
    let slot = core::ptr::with_exposed_provenance_mut(address);
    // SAFETY: The object is live, by its trailer, and the program has given it up.
    unsafe { clear(slot, room - TRAILER) };
    true
}

/// Checks an object that is given up, and clears it.
///
/// # Safety
///
/// It is null, or the program has said that it is live and will not be used again.
pub unsafe fn open(state: &State, object: *mut u8, entry: &Entry, size: Option<usize>) {
    let (address, tag) = (object.expose_provenance(), entry.tag());
    if tag == Tag::NONE {
        return;
    }
    if tag.is_large() {
        // SAFETY: The tag says that there is a span.
        return check_large(unsafe { entry.span_unchecked() }, address, size);
    }
    let room = room_of(tag.class_index());
    let left = ensure(address, room);
    if size.is_some_and(|size| size as u64 + left != room as u64) {
        misuse("free with a size that is not its own, of ", address);
    }
    mark_free(address + room, 0);
    let slot: *mut u8 = core::ptr::with_exposed_provenance_mut(address);
    if room <= CLEARED_HERE_MOST {
        // SAFETY: The object is live, by its trailer, and the program has given it up.
        return unsafe { clear(slot, room - TRAILER) };
    }
    let bytes = if state.pay(room) { room - TRAILER } else { CHECKED };
    // SAFETY: As above.
    unsafe { slot.write_bytes(0, bytes) };
}

/// Checks an object that gets another size, on the slow ways of that. What is not ours is nothing.
pub fn ensure_live(object: NonNull<u8>) {
    let address = object.addr().get();
    let entry = map::entry(address);
    let tag = entry.tag();
    if tag == Tag::NONE {
        return;
    }
    if tag.is_large() {
        // SAFETY: The tag says that there is a span.
        return check_large(unsafe { entry.span_unchecked() }, address, None);
    }
    ensure(address, room_of(tag.class_index()));
}

/// Returns how much of an object's room the program may use; none when it is free. Where others
/// free it meanwhile the word read may be a next owner's: it is nothing that the hash lets pass.
pub fn usable(object: NonNull<u8>, room: usize) -> Option<usize> {
    let end = object.addr().get() + room;
    let left = left(said(end, trailer_at(end).load(Relaxed)));
    room.checked_sub(left as usize).filter(|_| left < LEFT_END)
}

/// Reads the link of a free slot of a class; none when something is wrong with the slot.
#[inline(always)]
pub fn load_quick(slot: Slot, class: Class) -> Option<Option<Slot>> {
    let ([link, second, third], end) = (slot.numbers(), slot.address() + class.size() as usize);
    let wrong = trailer_at(end).load(Relaxed) ^ free_trailer(end, link);
    // Behind the link is nothing, unless somebody has written there.
    if wrong | (second | third) as u64 != 0 {
        return None;
    }
    Some(NonNull::new(core::ptr::with_exposed_provenance_mut(link)).map(|next| {
        // SAFETY: The trailer says that `store` has written it, so it was a slot's address.
        unsafe { Slot::new(next) }
    }))
}

/// Reads a free slot's link, and ends the process if it or what is beside it is not as it was
/// written.
pub fn load(slot: Slot, class: Class) -> Option<Slot> {
    load_quick(slot, class).unwrap_or_else(|| misuse("write to freed memory at ", slot.address()))
}

/// Ends the process if somebody has written to a free slot's ends.
pub fn ensure_free(slot: Slot, class: Class) {
    let _ = load(slot, class);
}

/// Writes a free slot's link, and signs it in the trailer.
#[inline(always)]
pub fn store(slot: Slot, next: Option<Slot>, class: Class) {
    let link = next.map_or(0, |next| next.object().as_ptr().expose_provenance());
    slot.set_numbers([link]);
    mark_free(slot.address() + class.size() as usize, link);
}

/// Makes a slot that was a message a free one again.
pub fn arrived(slot: Slot) {
    slot.set_numbers([0; 2]);
}

/// Returns the slots of a slab that came back, in the order in which they are handed out: some, a
/// number that only a coin knows, are moved behind the one after them. Where few come back that are
/// long it is fewer: each look at one is a look at memory that no cache has.
pub fn take_all(local: &Local, class: Class, list: &List) -> Option<Slot> {
    let first = list.take()?;
    ensure_free(first, class);
    if class.size() as usize > CLEARED_HERE_MOST {
        local.guard.earn(counter::read());
    }
    let mut last = first;
    let steps = (class.shape().wake / MOVED_SHARE).max(1);
    for _ in 0..local.guard.random() % u64::from(steps) {
        let Some(next) = last.next(class) else { return Some(first) };
        last = next;
    }
    let Some(one) = last.next(class) else { return Some(first) };
    last.set_next(one.next(class), class);
    one.set_next(Some(first), class);
    Some(one)
}

/// Links fresh slots in random order, but for the one that is returned first, which is handed out:
/// for each a coin says in which of two rows it goes, and one row is behind the other.
pub fn link_fresh(
    local: &Local,
    class: Class,
    slots: Range<u32>,
    slot: impl Fn(u32) -> Slot,
) -> (Slot, Option<Slot>) {
    let start = slot(slots.start).address();
    if slots.start == 0 && start & (CHUNK - 1) != 0 {
        // `is_before_wrong` looks there.
        mark_free(start, 0);
    }
    let mut rows = [None; 2];
    let mut last = None;
    let mut coins = 0;
    for (thrown, index) in slots.rev().enumerate() {
        if thrown % COINS == 0 {
            coins = local.guard.random();
        }
        let (one, row) = (slot(index), coins as usize & 1);
        coins >>= 1;
        one.set_numbers([0; CHECKED / LINK]);
        if row == 0 && last.is_none() {
            last = Some(one);
        }
        one.set_next(rows[row], class);
        rows[row] = Some(one);
    }
    let [before, behind] = rows;
    if let Some(last) = last {
        last.set_next(behind, class);
    }
    // One at least was put into a row.
    let first = before.or(behind).unwrap_or_else(|| slot(0));
    (first, first.next(class))
}

#[cfg(test)]
mod tests {
    use super::{CLEARED_A_SECOND, CREDIT_MOST, DEBT_MOST, worth};

    #[test]
    fn no_time_is_worth_more_than_from_the_deepest_debt_to_the_most_that_is_saved() {
        let most = CREDIT_MOST + DEBT_MOST;
        for a_second in [1, 1000, 1 << 24, 1 << 31] {
            assert_eq!(worth(u64::MAX, a_second), most);
            assert_eq!(worth(0, a_second), 0);
        }
        assert_eq!(worth(1 << 20, 1 << 31), CLEARED_A_SECOND as i64 >> 11);
    }
}
