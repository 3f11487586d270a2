//! Systems that have no call to move pages: whoever would move them copies.

use super::{Relocation, decommit};
use core::ptr::NonNull;

/// Moves no pages.
///
/// # Safety
///
/// - Both ranges are committed, do not overlap, and are the caller's.
/// - The page behind the source is of the same reservation.
/// - What the target holds is needed by nobody.
pub unsafe fn relocate(_: NonNull<u8>, _: NonNull<u8>, _size: usize) -> Relocation {
    Relocation::Stayed
}

/// Gives back what pages were moved to: nothing ever is.
///
/// # Safety
///
/// The range is committed, and what it holds is needed by nobody.
pub unsafe fn renew(base: NonNull<u8>, size: usize) -> bool {
    // SAFETY: As promised to us.
    unsafe { decommit(base, size) }
}
