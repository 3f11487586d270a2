//! The `Allocator` trait of `allocator-api2`, for collections that live in a heap.

use crate::ensure::ensure;
use crate::heap::Heap;
use crate::object;
use crate::polder::Polder;
use allocator_api2::alloc::{AllocError, Allocator};
use core::alloc::Layout;
use core::ptr::NonNull;

fn slice(object: Option<NonNull<u8>>, size: usize) -> Result<NonNull<[u8]>, AllocError> {
    object.map(|object| NonNull::slice_from_raw_parts(object, size)).ok_or(AllocError)
}

// SAFETY: Objects stay until they are freed, whatever becomes of the `Polder` value.
unsafe impl Allocator for Polder {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(object::allocate(layout.size(), layout.align()), layout.size())
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(object::allocate_zeroed(layout.size(), layout.align()), layout.size())
    }

    #[inline]
    unsafe fn deallocate(&self, object: NonNull<u8>, layout: Layout) {
        // SAFETY: The caller gives up a live object of this layout.
        unsafe { object::free_sized(object.as_ptr(), layout.size()) };
    }

    #[inline]
    unsafe fn grow(
        &self,
        object: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        ensure!(old.size() <= new.size(), "growing does not shrink");
        // SAFETY: The caller gives up a live object of ours if it gets another.
        slice(unsafe { object::reallocate(object, new.size(), new.align()) }, new.size())
    }

    #[inline]
    unsafe fn shrink(
        &self,
        object: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        ensure!(old.size() >= new.size(), "shrinking does not grow");
        // SAFETY: As above.
        slice(unsafe { object::reallocate(object, new.size(), new.align()) }, new.size())
    }
}

// SAFETY: Objects stay until they are freed or the heap is dropped; moving a heap moves none.
unsafe impl Allocator for Heap {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(self.allocate(layout.size(), layout.align()), layout.size())
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(self.allocate_zeroed(layout.size(), layout.align()), layout.size())
    }

    unsafe fn deallocate(&self, object: NonNull<u8>, _layout: Layout) {
        // SAFETY: The caller gives up a live object of this heap.
        unsafe { self.free(object) };
    }

    unsafe fn grow(
        &self,
        object: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        ensure!(old.size() <= new.size(), "growing does not shrink");
        // SAFETY: The caller gives up a live object of this heap if it gets another.
        slice(unsafe { self.reallocate(object, new.size(), new.align()) }, new.size())
    }

    unsafe fn shrink(
        &self,
        object: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        ensure!(old.size() >= new.size(), "shrinking does not grow");
        // SAFETY: As above.
        slice(unsafe { self.reallocate(object, new.size(), new.align()) }, new.size())
    }
}
