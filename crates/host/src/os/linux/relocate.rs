//! Pages that are moved instead of copied, where that works.
//!
//! Kernels before 5.7 refuse. An emulator of programs (qemu-user 7.2, in which containers of
//! another architecture run) obeys, but loses count of what lies where: afterwards a decommit of
//! either range is answered with success and does nothing. So a process tries it once, on pages
//! that nobody needs.

use crate::os::{commit, decommit, keep_error_number, page_size, release, reserve};
use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

const UNKNOWN: u8 = 0;
const WORKS: u8 = 1;
const FAILS: u8 = 2;

/// What the trial has shown.
static TRIAL: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Moves the pages of `source` to `target` without copying them; the source then reads as zero.
/// False where the system can't, and nothing has changed.
///
/// # Safety
///
/// - Both ranges are committed, do not overlap, and are the caller's.
/// - What the target holds is needed by nobody.
pub unsafe fn relocate(source: NonNull<u8>, target: NonNull<u8>, size: usize) -> bool {
    // SAFETY: As promised to us.
    works() && unsafe { remap(source, target, size) }
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

fn works() -> bool {
    // No partner: threads that try at once come to the same answer.
    let known = TRIAL.load(Relaxed);
    if known != UNKNOWN {
        return known == WORKS;
    }
    let works = try_once();
    TRIAL.store(if works { WORKS } else { FAILS }, Relaxed);
    works
}

fn try_once() -> bool {
    let page = page_size();
    let Some(source) = reserve(2 * page, 0) else { return false };
    // SAFETY: The reservation has two pages.
    let works = unsafe { commit(source, 2 * page) } && is_moved(source, page);
    // SAFETY: The reservation is whole, and nobody else knows of it.
    unsafe { release(source, 2 * page) };
    works
}

/// Moves a committed page to the committed page behind it, and tells whether both can be
/// decommitted afterwards.
fn is_moved(source: NonNull<u8>, page: usize) -> bool {
    // SAFETY: The caller has two pages there.
    let target = unsafe { source.add(page) };
    set(source, 1);
    // SAFETY: Both pages are committed, and nobody needs them.
    if !unsafe { remap(source, target, page) } {
        return false;
    }
    let is_moved = get(source) == 0 && get(target) == 1;
    is_moved && is_decommitted(source, page) && is_decommitted(target, page)
}

fn is_decommitted(place: NonNull<u8>, page: usize) -> bool {
    set(place, 1);
    // SAFETY: The page is committed, and nobody needs it.
    unsafe { decommit(place, page) && get(place) == 0 }
}

/// Volatile, as is `get`: the contents change by more than what is written.
fn set(place: NonNull<u8>, byte: u8) {
    // SAFETY: The trial's pages are committed.
    unsafe { place.write_volatile(byte) };
}

fn get(place: NonNull<u8>) -> u8 {
    // SAFETY: The trial's pages are committed.
    unsafe { place.read_volatile() }
}
