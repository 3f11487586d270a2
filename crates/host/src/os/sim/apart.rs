//! Address space from `System`, for each reservation apart: so that an interpreter sees each use
//! of what was released.

use super::control;
use super::ledger::Reservation;
use core::ptr::NonNull;
use std::alloc::{GlobalAlloc, Layout, System};

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, control::page()).ok()
}

/// Takes address space that is zero.
pub fn take<'a>(
    size: usize,
    _others: &impl Iterator<Item = &'a Reservation>,
) -> Option<NonNull<u8>> {
    // SAFETY: A reservation has a page at least.
    NonNull::new(unsafe { System.alloc_zeroed(layout(size)?) })
}

/// Gives address space back.
///
/// # Safety
///
/// It came from [`take`] with this size, and nobody uses it.
pub unsafe fn give(base: NonNull<u8>, size: usize) {
    if let Some(layout) = layout(size) {
        // SAFETY: As promised to us.
        unsafe { System.dealloc(base.as_ptr(), layout) };
    }
}
