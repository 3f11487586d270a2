//! Pages that are moved instead of copied, where that works.
//!
//! Kernels before 5.7 refuse. An emulator of programs (qemu-user 7.2, in which containers of
//! another architecture run) obeys, but loses count of what lies where: afterwards a decommit of
//! either range is answered with success and does nothing. So a process tries it once, on pages
//! that nobody needs.
//!
//! Pages that were moved stay a mapping of their own, so a range that looks whole may be several.
//! Of those a kernel before 6.17 moves none, and has unmapped the target by the time it says so; a
//! later one may stop half way. So the pages of one mapping are moved at a time, and what can't be
//! moved is copied.

use super::trial::{Page, Trial};
use crate::os::{decommit, error_place, keep_error_number, page_size};
use core::ffi::c_void;
use core::ptr::NonNull;

/// Pieces below this many bytes are copied.
const PIECE_LEAST: usize = 256 << 10;

static TRIAL: Trial = Trial::new();

/// Moves the pages of `source` to `target`, and copies those that can't be moved. False where the
/// system can't, and nothing has changed. Else nobody may ask what the source holds.
///
/// # Safety
///
/// - Both ranges are committed, do not overlap, and are the caller's.
/// - The page behind the source is of the same reservation.
/// - What the target holds is needed by nobody.
pub unsafe fn relocate(source: NonNull<u8>, target: NonNull<u8>, size: usize) -> bool {
    let mut done = 0;
    while TRIAL.works(is_moved) && done < size {
        // SAFETY: `done` is below `size`, and both ranges have that many bytes.
        let from = unsafe { source.add(done) };
        // SAFETY: As above.
        let to = unsafe { target.add(done) };
        let piece = piece(from, size - done);
        // SAFETY: As promised to us.
        if piece == 0 || !unsafe { remap(from, to, piece) } {
            break;
        }
        done += piece;
    }
    if done == 0 {
        return false;
    }
    // SAFETY: As above.
    let from = unsafe { source.add(done) };
    // SAFETY: As above.
    let to = unsafe { target.add(done) };
    // SAFETY: Both ranges have `size` bytes, and are apart.
    unsafe { to.copy_from_nonoverlapping(from, size - done) };
    true
}

/// How many of the first bytes can be moved at once; 0 when they are not worth it.
fn piece(source: NonNull<u8>, size: usize) -> usize {
    let page = page_size();
    let halves = core::iter::successors(Some(size), |len| Some(len / 2 / page * page));
    let worth = |len: &usize| *len == size || *len >= PIECE_LEAST;
    halves.take_while(worth).find(|&len| is_one_mapping(source, len)).unwrap_or(0)
}

/// Tells whether a range is of one mapping: if it is, the kernel refuses to make it longer where it
/// is for lack of room, for the page behind it is there; else before it looks at the room.
fn is_one_mapping(source: NonNull<u8>, size: usize) -> bool {
    let longer = size + page_size();
    keep_error_number(|| {
        // SAFETY: A call that is refused changes nothing, and so is this one.
        let there = unsafe { libc::mremap(source.as_ptr().cast(), size, longer, 0) };
        // SAFETY: The C library says that the place is this thread's.
        there == libc::MAP_FAILED && unsafe { *error_place() } == libc::ENOMEM
    })
}

/// # Safety
///
/// As of [`relocate`].
unsafe fn remap(source: NonNull<u8>, target: NonNull<u8>, size: usize) -> bool {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    let (source, target) = (source.as_ptr().cast::<c_void>(), target.as_ptr().cast::<c_void>());
    // SAFETY: Both ranges are the caller's, the target's contents are given up, and the source
    // stays mapped.
    keep_error_number(|| unsafe {
        libc::mremap(source, size, size, flags, target) != libc::MAP_FAILED
    })
}

/// Moves one page to the other, and tells whether both can be decommitted afterwards.
fn is_moved(source: Page, target: Page) -> bool {
    source.set(1);
    // SAFETY: Both pages are committed, and nobody needs them.
    if !unsafe { remap(source.start, target.start, source.size) } {
        return false;
    }
    let is_moved = source.get() == 0 && target.get() == 1;
    is_moved && is_decommitted(source) && is_decommitted(target)
}

fn is_decommitted(page: Page) -> bool {
    page.set(1);
    // SAFETY: The page is committed, and nobody needs it.
    unsafe { decommit(page.start, page.size) && page.get() == 0 }
}
