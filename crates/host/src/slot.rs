//! The place of an object that nobody uses, and lists of such places.
//!
//! A [`Slot`] is the proof that its memory is the allocator's: the program has given the object
//! up, or never had it. Its first word links it into a list; on its way to another thread its two
//! words are a message (see [`outgoing`](crate::outgoing)).

use crate::guard;
use crate::size::{Class, SLOT};
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::AtomicPtr;

/// The place of one object that nobody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Slot(NonNull<Words>);

/// What a slot holds while it is free.
#[derive(Debug)]
#[repr(C)]
pub struct Words {
    /// The next in a list; of a message, what `queue` says.
    next: Cell<Option<Slot>>,
    /// The link of a message in its owner's queue.
    link: AtomicPtr<Words>,
}

impl Words {
    /// Returns the second word. The slot is a message: nothing but the queue touches it.
    #[inline]
    pub fn link(&self) -> &AtomicPtr<Words> {
        &self.link
    }
}

const _: () = assert!(size_of::<Words>() == SLOT, "the least slot holds both words");

impl Slot {
    /// Takes an object's place.
    ///
    /// # Safety
    ///
    /// - `object` is a slot of a slab, or will be one: aligned to [`SLOT`], at least as long,
    ///   committed.
    /// - Nobody uses its memory as long as this value or a copy of it is in a list or a message.
    #[inline(always)]
    pub unsafe fn new(object: NonNull<u8>) -> Self {
        Self(object.cast())
    }

    /// Takes the place of an object that the program gives back. Its pointer may be one to the
    /// bytes that were asked for, and to no more; the slot is reached by its address, through the
    /// block that it lies in.
    ///
    /// # Safety
    ///
    /// As of [`new`](Self::new), and the slot lies in a block.
    #[inline(always)]
    pub unsafe fn given_back(object: *mut u8) -> Self {
        let place = core::ptr::with_exposed_provenance_mut(object.addr());
        // SAFETY: An object's address is not 0.
        Self(unsafe { NonNull::new_unchecked(place) })
    }

    /// Makes a slot of a message's node again.
    ///
    /// # Safety
    ///
    /// `node` came from [`node`](Self::node).
    #[inline(always)]
    pub unsafe fn from_node(node: NonNull<Words>) -> Self {
        Self(node)
    }

    /// Returns the slot as a node of a queue.
    #[inline(always)]
    pub fn node(self) -> *mut Words {
        self.0.as_ptr()
    }

    /// Returns the memory, to hand it out.
    #[inline(always)]
    pub fn object(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Returns the address.
    #[inline(always)]
    pub fn address(self) -> usize {
        self.0.addr().get()
    }

    #[inline(always)]
    fn words(&self) -> &Words {
        // SAFETY: `new` was promised that the memory is a slot's and nobody else's.
        unsafe { self.0.as_ref() }
    }

    /// Returns the slot behind this one in its list, one of a slab of that class.
    #[inline(always)]
    pub fn next(self, class: Class) -> Option<Self> {
        guard::load(self, class)
    }

    /// Puts a slot behind this one, which is of a slab of that class.
    #[inline(always)]
    pub fn set_next(self, next: Option<Self>, class: Class) {
        guard::store(self, next, class);
    }

    /// Returns the first word as a link.
    #[inline(always)]
    pub fn plain_next(self) -> Option<Self> {
        self.words().next.get()
    }

    /// Sets the first word to a link, whatever is there: a cell would look at it first.
    #[inline(always)]
    pub fn set_plain_next(self, next: Option<Self>) {
        // SAFETY: As in `words`.
        unsafe { self.words().next.as_ptr().write(next) };
    }

    /// Returns the first words as numbers, as they are since [`set_numbers`](Self::set_numbers).
    #[inline(always)]
    pub fn numbers<const COUNT: usize>(self) -> [usize; COUNT] {
        const { assert!(size_of::<[usize; COUNT]>() <= guard::ROOM_LEAST) };
        // SAFETY: As in `words`, and no slot is shorter.
        unsafe { self.0.cast().read() }
    }

    /// Sets the first words to numbers.
    #[inline(always)]
    pub fn set_numbers<const COUNT: usize>(self, numbers: [usize; COUNT]) {
        const { assert!(size_of::<[usize; COUNT]>() <= guard::ROOM_LEAST) };
        // SAFETY: As in `words`, and no slot is shorter.
        unsafe { self.0.cast().write(numbers) };
    }

    /// Returns the slot that many bytes from here.
    ///
    /// # Safety
    ///
    /// There is one, in the same slab, and it is free as this one is.
    pub unsafe fn at_distance(self, bytes: isize) -> Self {
        // SAFETY: By the caller's promise the address is in the same slab.
        Self(unsafe { self.0.byte_offset(bytes) })
    }
}

/// A list of free slots of one slab, the one freed last first. Who uses it names the slab's class.
#[derive(Debug)]
#[repr(transparent)]
pub struct List(Cell<Option<Slot>>);

impl List {
    /// Makes an empty list.
    pub const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Returns the first slot.
    #[inline(always)]
    pub fn first(&self) -> Option<Slot> {
        self.0.get()
    }

    /// Takes the first slot.
    #[inline(always)]
    pub fn pop(&self, class: Class) -> Option<Slot> {
        let slot = self.0.get()?;
        self.0.set(slot.next(class));
        Some(slot)
    }

    /// Puts a slot to the front.
    #[inline(always)]
    pub fn push(&self, slot: Slot, class: Class) {
        slot.set_next(self.0.get(), class);
        self.0.set(Some(slot));
    }

    /// Puts a row of linked slots to the front, in constant time.
    #[inline]
    pub fn push_row(&self, first: Slot, last: Slot, class: Class) {
        last.set_next(self.0.get(), class);
        self.0.set(Some(first));
    }

    /// Takes all slots.
    #[inline]
    pub fn take(&self) -> Option<Slot> {
        self.0.take()
    }

    /// Makes the list one of `first` and what is linked behind it.
    #[inline]
    pub fn set(&self, first: Option<Slot>) {
        self.0.set(first);
    }
}
