//! rusty_alloc as a global allocator.

use rusty_alloc::alloc;
use std::alloc::{GlobalAlloc, Layout};

/// What every block is aligned to.
const ALIGN: usize = 16;

/// The allocator.
pub struct Rusty;

// SAFETY: The functions keep the contract of their namesakes in C, and know any alignment.
unsafe impl GlobalAlloc for Rusty {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGN {
            alloc::malloc(layout.size())
        } else {
            alloc::malloc_aligned(layout.size(), layout.align())
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGN {
            alloc::zalloc(layout.size())
        } else {
            alloc::zalloc_aligned(layout.size(), layout.align())
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: The caller gives up a live block of ours.
        unsafe { alloc::free_inline_flags_first(block) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= ALIGN {
            // SAFETY: The caller gives up a live block of ours for what is returned.
            unsafe { alloc::realloc(block, size) }
        } else {
            // SAFETY: As above.
            unsafe { alloc::realloc_aligned(block, size, layout.align()) }
        }
    }
}
