//! Frees of what is not a slot of one of the thread's own slabs.

use super::{Kind, Local};
use crate::fail;
use crate::heap;
use crate::map::{Entry, Tag};
use crate::size::Class;
use crate::slot::Slot;
use crate::thread;
use core::ptr::NonNull;

impl Local {
    /// Frees an object of another thread, or whatever else is not ours.
    ///
    /// # Safety
    ///
    /// As of [`free`](Self::free).
    #[inline(never)]
    pub unsafe fn free_foreign(&'static self, object: *mut u8, entry: &'static Entry) {
        let tag = entry.tag();
        if tag.is_slab_of_thread() {
            // SAFETY: The map has no slab at address 0.
            let place = unsafe { NonNull::new_unchecked(object) };
            // SAFETY: As promised to us.
            if !unsafe { self.put(place, tag, entry) } {
                // SAFETY: As promised to us.
                unsafe { self.free_odd(place, entry) };
            }
            return;
        }
        let Some(place) = NonNull::new(object) else { return };
        if tag == Tag::large(None) {
            // SAFETY: The tag says that there is a span.
            return self.free_large(place, unsafe { entry.span_unchecked() });
        }
        // SAFETY: As promised to us.
        unsafe { self.free_odd(place, entry) };
    }

    /// Puts an object of another thread's slab onto its way. False when there is no room.
    ///
    /// # Safety
    ///
    /// As of [`free`](Self::free), and `tag` is of another thread's slab.
    #[inline(always)]
    unsafe fn put(&'static self, object: NonNull<u8>, tag: Tag, entry: &'static Entry) -> bool {
        // SAFETY: A tag of a slab has a class.
        let class = unsafe { Class::from_index(tag.class_index()).unwrap_unchecked() };
        // SAFETY: The tag says that there is a span.
        let span = unsafe { entry.span_unchecked() };
        // SAFETY: The caller gives the object up.
        let slot = unsafe { Slot::given_back(object.as_ptr()) };
        let is_put = self.outgoing.put(slot, span, class);
        if is_put {
            self.tally.freed(span);
        }
        is_put
    }

    /// # Safety
    ///
    /// As of [`free`](Self::free).
    #[cold]
    #[inline(never)]
    unsafe fn free_odd(&'static self, object: NonNull<u8>, entry: &'static Entry) {
        let tag = entry.tag();
        if tag == Tag::NONE {
            fail::invalid_free(object.addr().get());
        }
        if let Some(owner) = tag.owner().filter(|owner| owner.is_heap()) {
            // SAFETY: As promised to us; the owner is a heap.
            return unsafe { heap::free_in(owner, object, entry) };
        }
        self.make_room();
        // There is room, or the slot is our own by this time. Who has no local, and there is no
        // memory for one, loses the object: it stays used.
        let _ = thread::with_own(|local| {
            // SAFETY: As promised to us.
            unsafe { local.free(object.as_ptr()) };
            Some(())
        });
    }

    /// Frees an object of the heap that this is the local of.
    ///
    /// # Safety
    ///
    /// As of [`free`](Self::free); the heap's lock is held.
    pub unsafe fn free_of_heap(&'static self, object: NonNull<u8>, entry: &'static Entry) {
        // SAFETY: The entry is of a heap's span.
        let span = unsafe { entry.span_unchecked() };
        if entry.tag().is_large() {
            return self.free_large(object, span);
        }
        // SAFETY: The caller gives the object up.
        let slot = unsafe { Slot::given_back(object.as_ptr()) };
        self.take_back(slot, span, span.class());
    }

    fn make_room(&'static self) {
        if self.kind.get() == Kind::Thread {
            self.tick();
            self.outgoing.post();
        }
    }

    /// Begins to gather what it frees of others.
    pub fn arrive(&self) {
        self.outgoing.post();
    }
}
