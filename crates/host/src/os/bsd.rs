//! What macOS and FreeBSD do alike, and other than Linux.

use super::keep_error_number;
use core::ptr::NonNull;

/// Returns the bytes of a page.
pub fn page_size() -> usize {
    // SAFETY: The call has no conditions; it tells what the process learnt at its start.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    size as usize
}

/// Gives the memory of a committed part back; it stays usable, and reads as zero. False where
/// the system refuses, and nothing has changed.
///
/// A new mapping takes the place of the old one, in one step: of what `madvise` offers here,
/// nothing promises that the pages read as zero, or that they are given back at all.
///
/// # Safety
///
/// The range is committed, and what it holds is needed by nobody.
pub unsafe fn decommit(base: NonNull<u8>, size: usize) -> bool {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
    let place = base.as_ptr().cast();
    // SAFETY: The mapping takes the place of the caller's range alone, whose contents are given up.
    keep_error_number(|| unsafe {
        libc::mmap(place, size, protection, flags, -1, 0) != libc::MAP_FAILED
    })
}

/// Returns where C keeps this thread's `errno`.
pub fn error_place() -> *mut i32 {
    // SAFETY: The call has no conditions.
    unsafe { libc::__error() }
}

/// Fills a word with random bits; false when the system has none.
pub fn fill_random(word: &mut u64) -> bool {
    let place = &raw mut *word;
    // SAFETY: The place has that many bytes.
    unsafe { libc::getentropy(place.cast(), size_of::<u64>()) == 0 }
}
