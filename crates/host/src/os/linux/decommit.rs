//! Memory that goes back to the system, also where the program has locked it.
//!
//! Locked pages are refused to the plain call, and since 5.18 can be asked for by another name. An
//! emulator of programs (qemu-user) answers names that it does not know with success and does
//! nothing, so a process tries that one first.

use super::trial::{Page, Trial};
use crate::os::keep_error_number;
use core::ptr::NonNull;

static LOCKED: Trial = Trial::new();

/// Gives the memory of a committed part back; it stays usable, and reads as zero. False where
/// the system refuses, and nothing has changed.
///
/// # Safety
///
/// The range is committed, and what it holds is needed by nobody.
pub unsafe fn decommit(base: NonNull<u8>, size: usize) -> bool {
    // SAFETY: As promised to us.
    if unsafe { advise(base, size, libc::MADV_DONTNEED) } {
        return true;
    }
    // SAFETY: As promised to us.
    LOCKED.works(is_taken) && unsafe { advise(base, size, libc::MADV_DONTNEED_LOCKED) }
}

/// # Safety
///
/// As of [`decommit`].
unsafe fn advise(base: NonNull<u8>, size: usize, advice: i32) -> bool {
    // SAFETY: The caller gives the contents up.
    keep_error_number(|| unsafe { libc::madvise(base.as_ptr().cast(), size, advice) == 0 })
}

fn is_taken(page: Page, _: Page) -> bool {
    page.set(1);
    // SAFETY: The page is committed, and nobody needs it.
    unsafe { advise(page.start, page.size, libc::MADV_DONTNEED_LOCKED) && page.get() == 0 }
}
