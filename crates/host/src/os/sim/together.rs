//! Address space from one great allocation of `System`'s that costs memory where it is written to:
//! all of it lies in one window of the heap's map.

use super::ledger::Reservation;
use core::ptr::NonNull;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;
use std::alloc::{GlobalAlloc, Layout, System};

/// All address space that there is, in bytes. It begins at a multiple of itself.
const SPACE: usize = 1 << 30;

/// Where it begins; null before the first grant. Used under the ledger's lock.
static FIRST: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

fn first() -> Option<NonNull<u8>> {
    if let Some(first) = NonNull::new(FIRST.load(Relaxed)) {
        return Some(first);
    }
    // Of the least alignment: then the allocation is not touched to make it zero.
    let layout = Layout::from_size_align(2 * SPACE, 1).ok()?;
    // SAFETY: The layout has a size.
    let base = NonNull::new(unsafe { System.alloc_zeroed(layout) })?;
    let skip = base.addr().get().wrapping_neg() % SPACE;
    // SAFETY: What is skipped is less than half of the allocation.
    let first = unsafe { base.add(skip) };
    FIRST.store(first.as_ptr(), Relaxed);
    Some(first)
}

/// Takes address space that is zero: the lowest that lies apart from the others.
pub fn take<'a>(
    size: usize,
    others: &(impl Iterator<Item = &'a Reservation> + Clone),
) -> Option<NonNull<u8>> {
    let first = first()?;
    let start = first.addr().get();
    let mut offset = 0;
    while size <= SPACE - offset {
        let (from, to) = (start + offset, start + offset + size);
        let in_the_way = |other: &&Reservation| other.base.addr().get() < to && from < other.end();
        match others.clone().find(in_the_way) {
            Some(other) => offset = other.end() - start,
            // SAFETY: The range is within the space.
            None => return Some(unsafe { first.add(offset) }),
        }
    }
    None
}

/// Gives address space back, which is zero again.
///
/// # Safety
///
/// It came from [`take`] with this size, and nobody uses it.
pub unsafe fn give(_base: NonNull<u8>, _size: usize) {}
