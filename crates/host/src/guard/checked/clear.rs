//! Clearing of slots, without loops and calls as far as they are short.

use super::trailer::TRAILER;
use crate::size::SLOT;

/// Up to this many bytes a slot is always cleared.
pub const CLEARED_HERE_MOST: usize = 256;
/// Bytes of a link.
pub const LINK: usize = size_of::<usize>();

/// Writes zeros over a slot of at most [`CLEARED_HERE_MOST`] bytes up to its trailer, but for its
/// first word: there the link will be.
///
/// # Safety
///
/// The memory is a slot's, of that many bytes before the trailer, and nobody uses it.
#[inline(always)]
pub unsafe fn clear(slot: *mut u8, bytes: usize) {
    // SAFETY: A slot has more than a word.
    let (start, len) = (unsafe { slot.add(LINK) }, bytes - LINK);
    // From both ends to the middle, where the two may meet: no loop. Small slots are all cleared
    // alike: a processor that guesses wrong which it is needs longer than for a few writes.
    if bytes + TRAILER <= 64 {
        // SAFETY: As promised to us.
        unsafe { clear_small(start, len) }
    } else if bytes + TRAILER <= 128 {
        // SAFETY: As promised to us; it is longer than before.
        unsafe { clear_pairs::<4>(start, len) }
    } else {
        // SAFETY: As above.
        unsafe { clear_pairs::<8>(start, len) }
    }
}

/// Writes zeros over three pairs of words, which lie over one another where there is no room.
///
/// # Safety
///
/// `start` has `len` bytes, a pair at least and three at most, which nobody uses.
#[inline(always)]
unsafe fn clear_small(start: *mut u8, len: usize) {
    let last = len - SLOT;
    for offset in [0, last / 2, last] {
        // SAFETY: As promised to us.
        let pair = unsafe { start.add(offset) };
        // SAFETY: As promised to us.
        unsafe { pair.cast::<[u64; 2]>().write_unaligned([0; 2]) };
    }
}

/// Writes zeros over so many pairs of words from the beginning, and as many up to the end.
///
/// # Safety
///
/// `start` has `len` bytes, which nobody uses, and that many pairs have room in them.
#[inline(always)]
unsafe fn clear_pairs<const PAIRS: usize>(start: *mut u8, len: usize) {
    let zeros = [[0u64; 2]; PAIRS];
    // SAFETY: As promised to us.
    unsafe { start.cast::<[[u64; 2]; PAIRS]>().write_unaligned(zeros) };
    // SAFETY: As promised to us.
    let second = unsafe { start.add(len - size_of_val(&zeros)) };
    // SAFETY: As above.
    unsafe { second.cast::<[[u64; 2]; PAIRS]>().write_unaligned(zeros) };
}
