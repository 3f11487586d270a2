//! Trailers: the last eight bytes of a slot, which say under a keyed hash what the slot holds.

use crate::lock::Lock;
use crate::os;
use crate::size::SMALL_MAX;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

/// Bytes of a trailer.
pub const TRAILER: usize = size_of::<u64>();
/// In a trailer, how much room is left behind an object begins at this bit: the lowest byte, which
/// is repeated, is the hash's alone, and so are the highest two, to which a write before the next
/// slot comes first.
const LEFT_SHIFT: u32 = 16;
/// More than is ever left behind an object.
pub const LEFT_END: u64 = 1 << 16;
const _: () = assert!((SMALL_MAX as u64) < LEFT_END);
/// In a trailer, says that there is no object; a bit of no link.
pub const FREE: u64 = 1;
/// Bits of an address.
pub const ADDRESS_BITS: u32 = 48;

/// The process's key, an odd number.
static KEY: Key = Key(UnsafeCell::new(1));
static IS_MADE: AtomicBool = AtomicBool::new(false);
static MAKING: Lock<()> = Lock::new(());

struct Key(UnsafeCell<u64>);

// SAFETY: It is written once, before any thread reads it (`begin`).
unsafe impl Sync for Key {}

/// Makes the process's key, if there is none. Called by each thread before it has a slot.
pub fn begin() {
    // Acquire: pairs with the store below, so that the key is read as it was made.
    if IS_MADE.load(Acquire) {
        return;
    }
    let _alone = MAKING.lock();
    if !IS_MADE.load(Acquire) {
        // SAFETY: The lock is held, and nobody reads before it is said that there is a key.
        unsafe { KEY.0.get().write(os::random() | 1) };
        IS_MADE.store(true, Release);
    }
}

/// What only who knows the key can tell of where a slot ends: in one step, for it is asked several
/// times for each object. Its lowest byte is an odd number.
#[inline(always)]
pub fn hash(end: usize) -> u64 {
    // SAFETY: Nobody writes to it any more: it was made before there was a slot, and the caller has
    // learned of one.
    (end as u64 - 1).wrapping_mul(unsafe { KEY.0.get().read() })
}

/// The trailer of an object in a slot that ends there, behind which `left` bytes are left.
#[inline(always)]
pub fn trailer(end: usize, left: u64) -> u64 {
    hash(end) ^ left << LEFT_SHIFT
}

/// The trailer of a free slot that ends there, whose link is that.
#[inline(always)]
pub fn free_trailer(end: usize, link: usize) -> u64 {
    hash(end) ^ link as u64 ^ FREE
}

/// What a trailer says beside the hash. With bits above those of an address it is no trailer of a
/// slot that ends there.
#[inline(always)]
pub fn said(end: usize, trailer: u64) -> u64 {
    trailer ^ hash(end)
}

/// How much room is left behind a live object, by what its trailer says; more than there is when
/// that is not of a live object.
#[inline(always)]
pub fn left(said: u64) -> u64 {
    said.rotate_right(LEFT_SHIFT)
}

/// Says in its trailer that there is no object in a slot, and signs its link. Who frees the next
/// slot reads the trailer at the same time, so it is never seen in parts.
#[inline(always)]
pub fn mark_free(end: usize, link: usize) {
    trailer_at(end).store(free_trailer(end, link), Relaxed);
}

#[inline(always)]
pub fn trailer_at(end: usize) -> &'static AtomicU64 {
    let place = core::ptr::with_exposed_provenance::<AtomicU64>(end - TRAILER);
    // SAFETY: A slot ends at a multiple of 16, and its last eight bytes are no object's. Where a
    // program breaks its promise and frees what is no slot, the word may lie behind the slab: it
    // is another's, or faults.
    unsafe { &*place }
}

/// A byte behind an object.
#[inline(always)]
pub fn byte_at(address: usize) -> &'static AtomicU8 {
    let place = core::ptr::with_exposed_provenance::<AtomicU8>(address);
    // SAFETY: At least a trailer's length of a slot is left behind its object (`padded`).
    unsafe { &*place }
}
