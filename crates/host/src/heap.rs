//! First-class heaps: a part of the program's memory that has its own limit and statistics, and
//! goes as a whole.
//!
//! A heap is a local with a supply of its own, under a lock. Its blocks are nobody else's, so what
//! is left in it goes with them in a few system calls, however many objects it is. Any thread may
//! allocate and free; frees go through the lock too, so nothing of a heap is ever on its way.
//!
//! # Invariants
//!
//! 1. The local of a heap and its supply are touched under the heap's lock.
//! 2. No message and no span of a heap is kept by a thread.

use crate::ensure::ensure;
use crate::guard;
use crate::local::{Grown, Local};
use crate::lock::Lock;
use crate::map::Entry;
use crate::object;
use crate::spans::Spans;
use crate::stats::Stats;
use crate::tally::Totals;
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::{NonNull, null};

/// The first block of a heap, in bytes. Address space, not memory.
const BLOCK: usize = 4 << 20;

/// A heap of one's own.
///
/// Objects come from the functions here or through `allocator-api2`, from any thread, and are
/// freed by any thread through this heap or as any object of Polder's. Dropping the heap frees
/// what is left in it. Free memory goes back to the system when the heap is used again after a
/// while, or by [`trim`](Self::trim).
///
/// ```
/// use polder_host::{Heap, HeapOptions};
///
/// let heap = Heap::new(HeapOptions::new().limit(16 << 20)).expect("there is memory");
/// let object = heap.allocate(100, 8).expect("it is within the limit");
/// assert!(heap.allocate(32 << 20, 8).is_none(), "that would pass the limit");
/// // SAFETY: It came from this heap and is not used again.
/// unsafe { heap.free(object) };
/// ```
#[derive(Debug)]
pub struct Heap {
    inner: NonNull<Inner>,
}

// SAFETY: What is inside is touched under its lock.
unsafe impl Send for Heap {}
// SAFETY: As above.
unsafe impl Sync for Heap {}

/// How a heap shall be.
#[derive(Clone, Copy, Debug)]
pub struct HeapOptions {
    limit: u64,
}

/// The local comes first: a tag names the heap by the local's address.
#[repr(C)]
struct Inner {
    local: Local,
    lock: Lock<()>,
    supply: Spans,
    /// The next and the previous in the list of all heaps, under its lock.
    next: Cell<*const Inner>,
    previous: Cell<*const Inner>,
}

/// All heaps, for forks.
static ALL: Lock<List> = Lock::new(List { first: null() });

struct List {
    first: *const Inner,
}

// SAFETY: Heaps leave the list before they end.
unsafe impl Send for List {}

impl List {
    fn each(&self, work: impl Fn(&Inner)) {
        let mut at = self.first;
        // SAFETY: Links are null or to heaps, which leave the list before they end.
        while let Some(inner) = unsafe { at.as_ref() } {
            work(inner);
            at = inner.next.get();
        }
    }

    fn add(&mut self, inner: &Inner) {
        inner.next.set(self.first);
        // SAFETY: As above.
        if let Some(next) = unsafe { self.first.as_ref() } {
            next.previous.set(inner);
        }
        self.first = inner;
    }

    fn remove(&mut self, inner: &Inner) {
        let (next, previous) = (inner.next.get(), inner.previous.get());
        // SAFETY: As above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.set(previous);
        }
        // SAFETY: As above.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.first = next,
        }
    }
}

/// Takes the locks of all heaps for as long as a fork lasts.
pub fn hold_all() {
    let all = ALL.lock();
    all.each(|inner| {
        core::mem::forget(inner.lock.lock());
        inner.local.cache.hold();
        inner.supply.hold();
    });
    core::mem::forget(all);
}

/// Frees the locks that [`hold_all`] took.
pub fn let_all_go() {
    // SAFETY: `hold_all` has taken the lock for this thread.
    let all = unsafe { ALL.held() };
    all.each(|inner| {
        inner.supply.let_go();
        inner.local.cache.let_go();
        inner.lock.unlock();
    });
}

impl Default for HeapOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl HeapOptions {
    /// Without a limit.
    #[must_use]
    pub const fn new() -> Self {
        Self { limit: u64::MAX }
    }

    /// The heap takes no more than this many bytes, counted in whole spans of 16 KiB or more.
    #[must_use]
    pub const fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }
}

impl Heap {
    /// Makes a heap. None when there is no memory for its records, some 10 KiB.
    #[must_use]
    pub fn new(options: HeapOptions) -> Option<Self> {
        let place = object::allocate(size_of::<Inner>(), align_of::<Inner>())?.cast::<Inner>();
        // SAFETY: The place was allocated for it a moment ago.
        let supply = unsafe { place.byte_add(offset_of!(Inner, supply)) }.cast::<Spans>();
        // SAFETY: The supply comes to stand where the local looks for it: in the same `Inner`.
        let local = unsafe { Local::of_heap(supply) };
        // SAFETY: As above.
        unsafe {
            place.write(Inner {
                local,
                lock: Lock::new(()),
                supply: Spans::new(BLOCK),
                next: Cell::new(null()),
                previous: Cell::new(null()),
            });
        }
        place.as_ptr().expose_provenance();
        let heap = Self { inner: place };
        heap.set_limit(options.limit);
        ALL.lock().add(heap.inner());
        Some(heap)
    }

    fn inner(&self) -> &'static Inner {
        // SAFETY: It lives until the heap is dropped, and is used no longer: references to it stay
        // in the functions of this file.
        unsafe { self.inner.as_ref() }
    }

    /// Allocates `size` bytes aligned to `align`, a power of two. None when there is no memory, or
    /// the limit would be passed.
    #[must_use]
    pub fn allocate(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let inner = self.inner();
        let _guard = inner.lock.lock();
        object::allocate_in(&inner.local, size, align)
    }

    /// Allocates like [`allocate`](Self::allocate), and all bytes are zero.
    #[must_use]
    pub fn allocate_zeroed(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let inner = self.inner();
        let _guard = inner.lock.lock();
        object::allocate_zeroed_in(&inner.local, size, align)
    }

    /// Gives an object another size, with its contents as far as both sizes go. None when there is
    /// no memory; the object is as it was.
    ///
    /// # Safety
    ///
    /// `object` came from this heap with this alignment, is live, and if the answer is another
    /// address, is never used again.
    #[must_use]
    pub unsafe fn reallocate(
        &self,
        object: NonNull<u8>,
        size: usize,
        align: usize,
    ) -> Option<NonNull<u8>> {
        if self.resize_in_place(object, size, align) {
            return Some(object);
        }
        guard::ensure_live(object);
        let kept = object::usable_size(object.as_ptr())?.min(size);
        let target = self.allocate(size, align)?;
        // SAFETY: Both objects have that many bytes, and one of them is new.
        unsafe { target.copy_from_nonoverlapping(object, kept) };
        // SAFETY: As promised to us.
        unsafe { self.free(object) };
        Some(target)
    }

    fn resize_in_place(&self, object: NonNull<u8>, size: usize, align: usize) -> bool {
        let inner = self.inner();
        let _guard = inner.lock.lock();
        let grown = object::resize(&inner.local, object, size, align);
        matches!(grown, Some(Grown::InPlace))
    }

    /// Frees an object.
    ///
    /// # Safety
    ///
    /// `object` came from this heap, is live, and is never used again.
    pub unsafe fn free(&self, object: NonNull<u8>) {
        // SAFETY: As promised to us.
        unsafe { object::free(object.as_ptr()) };
    }

    /// Sets the bytes that the heap takes at most, from now on. What it has already it keeps.
    pub fn set_limit(&self, bytes: u64) {
        self.inner().supply.set_limit(bytes);
    }

    /// Returns what the heap uses and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let inner = self.inner();
        let mut totals = Totals::ZERO;
        totals.add(&inner.local.tally);
        Stats::of(inner.supply.held(), &totals)
    }

    /// Gives free memory back to the system.
    pub fn trim(&self) {
        let inner = self.inner();
        let _guard = inner.lock.lock();
        inner.local.tidy(crate::cache::Which::All);
        inner.supply.trim();
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        let inner = self.inner();
        ALL.lock().remove(inner);
        if guard::FENCES {
            inner.supply.each(guard::forget);
        }
        // SAFETY: Who drops a heap uses nothing of it any more.
        unsafe { inner.supply.release() };
        // SAFETY: It was allocated in `new`, and this is its last use.
        unsafe { object::free(self.inner.cast().as_ptr()) };
    }
}

/// Frees an object of a heap, by whatever thread.
///
/// # Safety
///
/// `object` is live, belongs to the heap whose local `owner` is, and is never used again; `entry`
/// is its entry.
pub unsafe fn free_in(owner: &'static Local, object: NonNull<u8>, entry: &'static Entry) {
    // SAFETY: As promised to us, and the lock is held.
    within(owner, || unsafe { owner.free_of_heap(object, entry) });
}

/// Does what touches the local of a heap, by whatever thread.
pub fn within<R>(owner: &'static Local, work: impl FnOnce() -> R) -> R {
    ensure!(owner.is_heap(), "no other local has a lock");
    let inner = core::ptr::with_exposed_provenance::<Inner>(owner.address());
    // SAFETY: A heap's local is the first part of its `Inner`, whose address `new` has exposed.
    let inner = unsafe { &*inner };
    let _guard = inner.lock.lock();
    work()
}
