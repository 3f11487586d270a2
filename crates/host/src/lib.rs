//! The host heap: a general-purpose process allocator in pure Rust.
#![no_std]
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

#[cfg(feature = "std")]
extern crate std;

mod block;
mod cache;
mod clock;
mod fail;
mod fork;
mod heap;
mod local;
mod lock;
mod map;
pub mod object;
mod os;
mod outgoing;
mod pool;
mod queue;
mod settings;
mod size;
mod slot;
mod span;
mod spans;
mod start;
mod tally;
mod thread;

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

/// The process's allocator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Polder;

fn pointer(object: Option<NonNull<u8>>) -> *mut u8 {
    object.map_or(null_mut(), NonNull::as_ptr)
}

// SAFETY: Objects are apart from one another, as long and as aligned as the layout says, and stay
// until they are freed. Nothing in here unwinds.
unsafe impl GlobalAlloc for Polder {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pointer(object::allocate(layout.size(), layout.align()))
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        pointer(object::allocate_zeroed(layout.size(), layout.align()))
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, _layout: Layout) {
        // SAFETY: The caller gives up a live object of ours.
        unsafe { object::free(object) };
    }

    #[inline]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: A live object is never null.
        let object = unsafe { NonNull::new_unchecked(object) };
        // SAFETY: The caller gives up a live object of ours if it gets another.
        pointer(unsafe { object::reallocate(object, size, layout.align()) })
    }
}
