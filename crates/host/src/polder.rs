//! The process's allocator, as Rust programs name it.

use crate::object;
use crate::purge;
use crate::stats::{Stats, stats};
use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

/// The process's allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOC: polder_host::Polder = polder_host::Polder;
///
/// let object = Box::new(7);
/// assert!(ALLOC.usable_size(&raw const *object) >= Some(4));
/// ```
///
/// It is a value of no size: every `Polder` is the same heap. All functions may be called by any
/// thread at any time, and none of them unwinds. A question about an address that lies in a
/// [`Heap`](crate::Heap) is asked while there is that heap: whoever drops it waits for those who
/// ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polder;

/// A copy would leave the object that it begins in. Nothing was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// Where the bytes begin.
    pub address: usize,
    /// How many they are.
    pub len: usize,
    /// From where to where the object goes.
    pub object: (usize, usize),
}

impl core::fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { address, len, object: (start, end) } = self;
        write!(f, "{len} bytes at {address:#x} leave their object, {start:#x} to {end:#x}")
    }
}

impl core::error::Error for OutOfBounds {}

impl Polder {
    /// Makes the allocator's name.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Allocates what the layout says, a size of zero too: then the object is of its own and is
    /// freed like any other. None when there is no memory.
    #[must_use]
    pub fn alloc_aligned(&self, layout: Layout) -> Option<NonNull<u8>> {
        object::allocate(layout.size(), layout.align())
    }

    /// Returns how many bytes of an object may be used: at least as many as were asked for. None
    /// when no live object of ours begins at this address. Takes constant time, for any address;
    /// nobody drops the heap meanwhile that it lies in.
    #[must_use]
    pub fn usable_size<T>(&self, object: *const T) -> Option<usize> {
        object::usable_size(object.cast())
    }

    /// Returns from where to where the object goes that this address lies in, as addresses; none
    /// when it is not in our memory. Takes constant time, for any address, also in the middle of an
    /// object. Memory of ours that is free may be shown like an object. Nobody drops the
    /// heap meanwhile that it lies in; with the feature `hardened` nobody frees the object.
    #[must_use]
    pub fn bounds<T>(&self, address: *const T) -> Option<Range<usize>> {
        object::bounds(address.cast())
    }

    /// Tells whether an address lies in an object of ours, as far as [`bounds`](Self::bounds) does.
    #[must_use]
    pub fn owns<T>(&self, address: *const T) -> bool {
        self.bounds(address).is_some()
    }

    /// Makes an object longer or shorter where it is. False when that can't be; it is as it was. A
    /// large one that a reallocation has moved is not made shorter where it is.
    ///
    /// # Safety
    ///
    /// `object` is live and was allocated with this layout.
    #[must_use]
    pub unsafe fn resize_in_place(&self, object: NonNull<u8>, layout: Layout, size: usize) -> bool {
        object::resize_in_place(object, size, layout.align())
    }

    /// Copies bytes, unless that would leave an object of ours. What is not ours is not checked.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`] for the side that leaves its object; nothing was copied.
    ///
    /// # Safety
    ///
    /// As of [`core::ptr::copy`], but for the ends of our objects; nobody drops the heaps meanwhile
    /// that they are of.
    pub unsafe fn copy(
        &self,
        source: *const u8,
        target: *mut u8,
        len: usize,
    ) -> Result<(), OutOfBounds> {
        self.check(source, len)?;
        self.check(target, len)?;
        // SAFETY: As promised to us.
        unsafe { core::ptr::copy(source, target, len) };
        Ok(())
    }

    fn check(&self, start: *const u8, len: usize) -> Result<(), OutOfBounds> {
        let address = start.addr();
        match self.bounds(start) {
            Some(object) if object.end - address < len => {
                Err(OutOfBounds { address, len, object: (object.start, object.end) })
            }
            _ => Ok(()),
        }
    }

    /// Gives all free memory that can be had back to the system, now. Returns how many bytes.
    ///
    /// Slabs of other threads that are free stay theirs until those threads allocate again or end.
    #[allow(clippy::must_use_candidate, reason = "mostly called for what it does")]
    pub fn trim(&self) -> u64 {
        purge::trim()
    }

    /// Returns what is used and held.
    #[must_use]
    pub fn stats(&self) -> Stats {
        stats()
    }
}

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
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: The caller gives up a live object of this layout.
        unsafe { object::free_sized(object, layout.size()) };
    }

    #[inline]
    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: A live object is never null.
        let object = unsafe { NonNull::new_unchecked(object) };
        // SAFETY: The caller gives up a live object of ours if it gets another.
        pointer(unsafe { object::reallocate(object, size, layout.align()) })
    }
}
