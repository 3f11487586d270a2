//! Pages that are moved instead of copied, where that works.
//!
//! Kernels before 5.7 refuse. An emulator of programs (qemu-user 7.2, in which containers of
//! another architecture run) obeys, but loses count of what lies where: afterwards a decommit of
//! either range is answered with success and does nothing. So a process tries it once, on pages
//! that nobody needs.
//!
//! Pages that were moved stay a mapping of their own, so a range that looks whole may be several.
//! Of those a kernel before 6.17 moves none; a later one may stop half way. So the pages of one
//! mapping are moved at a time, and what can't be moved is copied. A new mapping in the place of
//! such a one is again what its neighbours are, and the kernel makes one of them all: in a process
//! that was forked not always.
//!
//! The kernel unmaps the target before it looks whether it has what it needs. What it leaves
//! unmapped is mapped anew, and when there is no memory for that, lost.

use super::UNCOUNTED;
use super::trial::{Page, Trial};
use crate::os::{Relocation, decommit, error_place, keep_error_number, page_size};
use core::ffi::c_void;
use core::ptr::NonNull;

/// Pieces below this many bytes are copied, and so are those that are less than one part in this
/// many of the whole: so there are never more pieces.
const PIECE_LEAST: usize = 256 << 10;
const PIECES_MOST: usize = 8;

static TRIAL: Trial = Trial::new();

/// Moves the pages of `source` to `target`, and copies those that can't be moved.
///
/// # Safety
///
/// - Both ranges are committed, do not overlap, and are the caller's.
/// - The page behind the source is of the same reservation.
/// - What the target holds is needed by nobody.
pub unsafe fn relocate(source: NonNull<u8>, target: NonNull<u8>, size: usize) -> Relocation {
    if !TRIAL.works(is_moved) {
        return Relocation::Stayed;
    }
    let least = PIECE_LEAST.max(size / PIECES_MOST);
    let mut done = 0;
    while done < size {
        // SAFETY: `done` is below `size`, and both ranges have that many bytes.
        let from = unsafe { source.add(done) };
        // SAFETY: As above.
        let to = unsafe { target.add(done) };
        let piece = piece(from, size - done);
        // SAFETY: As promised to us.
        if piece < least || !unsafe { remap(from, to, piece) } {
            // SAFETY: As promised to us.
            if piece >= least && !unsafe { renew(to, piece) } {
                // SAFETY: What was done is in the target, and the source is still mapped.
                unsafe { source.copy_from_nonoverlapping(target, done) };
                return Relocation::Lost;
            }
            // SAFETY: Both ranges are committed and apart, the target at least by now.
            unsafe { to.copy_from_nonoverlapping(from, piece) };
        }
        done += piece;
    }
    Relocation::Moved
}

/// Puts a new mapping in the place of a range that pages were moved to: it is committed, reads as
/// zero, and is of one mapping with what is around it. False when the system has no memory for
/// that: then nobody may use the range any more.
///
/// # Safety
///
/// The range is part of a reservation of the caller's, and what it holds is needed by nobody.
pub unsafe fn renew(base: NonNull<u8>, size: usize) -> bool {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | UNCOUNTED | libc::MAP_FIXED;
    let place = base.as_ptr().cast();
    // SAFETY: The mapping takes the place of the caller's range alone, whose contents are given up.
    let new = keep_error_number(|| unsafe { libc::mmap(place, size, protection, flags, -1, 0) });
    // SAFETY: The caller gives the contents up. A range that is not mapped is refused.
    new != libc::MAP_FAILED || unsafe { decommit(base, size) }
}

/// How many of the first bytes are of one mapping: a page at least.
fn piece(source: NonNull<u8>, size: usize) -> usize {
    if is_one_mapping(source, size) {
        return size;
    }
    let page = page_size();
    let (mut one, mut several) = (1, size / page);
    while several - one > 1 {
        let middle = one.midpoint(several);
        if is_one_mapping(source, middle * page) {
            one = middle;
        } else {
            several = middle;
        }
    }
    one * page
}

/// Tells whether a range is of one mapping: if it is, the kernel refuses to make it longer where it
/// is for lack of room, for the page behind it is there, or because no more may be locked; else
/// before it looks at either.
fn is_one_mapping(source: NonNull<u8>, size: usize) -> bool {
    let longer = size + page_size();
    keep_error_number(|| {
        // SAFETY: A call that is refused changes nothing, and so is this one.
        let there = unsafe { libc::mremap(source.as_ptr().cast(), size, longer, 0) };
        // SAFETY: The C library says that the place is this thread's.
        let error = unsafe { *error_place() };
        there == libc::MAP_FAILED && (error == libc::ENOMEM || error == libc::EAGAIN)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::tests::child::holds_in_a_child;
    use crate::os::{commit, release, reserve};

    /// Ranges of so many bytes, and a page behind each.
    fn ranges<const COUNT: usize>(size: usize) -> [NonNull<u8>; COUNT] {
        [(); COUNT].map(|()| {
            let start = reserve(size + page_size(), 0).unwrap();
            // SAFETY: The range is ours.
            assert!(unsafe { commit(start, size + page_size()) });
            start
        })
    }

    fn fill(start: NonNull<u8>, size: usize, byte: u8) {
        // SAFETY: The tests fill what they have committed.
        unsafe { start.write_bytes(byte, size) };
    }

    /// Volatile reads: pages have come and gone.
    fn holds(start: NonNull<u8>, size: usize, byte: u8) -> bool {
        (0..size).step_by(page_size()).all(|offset| {
            // SAFETY: The tests look at what they have committed.
            let place = unsafe { start.add(offset) };
            // SAFETY: As above.
            unsafe { place.read_volatile() == byte }
        })
    }

    fn moves(source: NonNull<u8>, target: NonNull<u8>, size: usize) -> bool {
        // SAFETY: Both ranges are a test's, and it needs neither.
        (unsafe { relocate(source, target, size) }) == Relocation::Moved
    }

    /// A page that was moved leaves zeros behind; one that was copied does not.
    #[test]
    fn pages_of_one_mapping_and_of_several_are_moved_not_copied() {
        if !TRIAL.works(is_moved) {
            return;
        }
        let size = 8 << 20;
        let [first, second, third] = ranges(size);
        fill(first, size, 2);
        assert!(is_one_mapping(first, size));
        assert!(moves(first, second, size / 4));
        assert!(holds(first, size / 4, 0) && holds(second, size / 4, 2));
        fill(second, size, 3);
        assert!(!is_one_mapping(second, size), "what was moved there is one of its own");
        assert_eq!(piece(second, size), size / 4);
        assert!(moves(second, third, size));
        assert!(holds(second, size, 0) && holds(third, size, 3));
        for place in [first, second, third] {
            // SAFETY: The reservation is whole.
            unsafe { release(place, size + page_size()) };
        }
    }

    #[test]
    fn what_is_locked_up_to_the_limit_is_one_mapping() {
        const NOBODY: libc::uid_t = 65534;
        let size = 4 * page_size();
        let limit = libc::rlimit { rlim_cur: size as libc::rlim_t, rlim_max: size as libc::rlim_t };
        let [start] = ranges(size);
        let is_one = holds_in_a_child(|| {
            // SAFETY: The call has no conditions. Who may do everything has no limit.
            unsafe { libc::setuid(NOBODY) };
            // SAFETY: The limit is given.
            let is_limited =
                unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) } == 0;
            // SAFETY: The range is ours.
            let is_locked = unsafe { libc::mlock(start.as_ptr().cast(), size) } == 0;
            is_limited && is_locked && piece(start, size) == size
        });
        assert!(is_one || !TRIAL.works(is_moved));
    }
}
