//! The book of reservations and of what each page of them is.
//!
//! It takes its own memory from `System`, so that the heap on top of it may be the program's global
//! allocator.
//!
//! # Invariants
//!
//! 1. Reservations are apart from one another, and of whole pages.
//! 2. A page that is [`Access::Reserved`] reads as zero.

use super::{control, grant};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;
use std::alloc::{GlobalAlloc, Layout, System};

/// Reservations that there are at most.
const RESERVATIONS_MOST: usize = 1024;
/// What a protected page holds: nobody is to rely on what it held before.
const LOST: u8 = 0xa5;

/// What nobody has written to.
static ZERO: [u8; control::PAGE_MOST] = [0; control::PAGE_MOST];

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Access {
    /// Nothing; or reading, where the reservation is readable.
    Reserved,
    /// Everything.
    Committed,
    /// Nothing any more.
    Protected,
}

/// Address space of a caller's.
#[derive(Clone, Copy, Debug)]
pub struct Reservation {
    pub base: NonNull<u8>,
    pub size: usize,
    /// An [`Access`] for each page.
    accesses: NonNull<AtomicU8>,
}

/// All reservations.
#[derive(Debug)]
pub struct Ledger {
    reservations: [Option<Reservation>; RESERVATIONS_MOST],
    reserved: usize,
}

// SAFETY: The address space that is written down here belongs to no thread.
unsafe impl Send for Ledger {}

/// One page of a reservation.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    start: NonNull<u8>,
    access: &'static AtomicU8,
}

/// Ends the process: the heap has broken the contract.
pub fn broken(what: &str, base: NonNull<u8>) -> ! {
    std::eprintln!("sim: {what}, at {base:p}");
    std::process::abort()
}

impl Ledger {
    /// Makes an empty book.
    pub const fn new() -> Self {
        Self { reservations: [None; RESERVATIONS_MOST], reserved: 0 }
    }

    /// Reserves address space that is zero.
    pub fn reserve(&mut self, size: usize) -> Option<NonNull<u8>> {
        if size == 0 || !size.is_multiple_of(control::page()) {
            broken("reservation of parts of pages", NonNull::dangling());
        }
        if size > control::limit().saturating_sub(self.reserved) {
            return None;
        }
        let place = self.reservations.iter().position(Option::is_none)?;
        let base = grant::take(size, &self.reservations.iter().flatten())?;
        let accesses = accesses(size)?;
        self.reservations[place] = Some(Reservation { base, size, accesses });
        self.reserved += size;
        Some(base)
    }

    /// Ends a reservation.
    ///
    /// # Safety
    ///
    /// Nobody uses any of it.
    pub unsafe fn release(&mut self, base: NonNull<u8>, size: usize) {
        let is_it = |known: &Option<Reservation>| known.is_some_and(|known| known.base == base);
        let known = self.reservations.iter_mut().find(|known| is_it(known)).and_then(Option::take);
        let Some(known) = known.filter(|known| known.size == size) else {
            broken("release of what is no reservation", base)
        };
        for page in known.all_pages() {
            if page.access() != Access::Reserved {
                // SAFETY: The page is of the reservation, which nobody uses.
                unsafe { page.fill(0) };
            }
        }
        self.reserved -= size;
        // SAFETY: It was allocated with this layout, and the reservation is out of the book.
        unsafe { System.dealloc(known.accesses.as_ptr().cast(), layout_of(size)) };
        // SAFETY: The grant is the reservation's, whole.
        unsafe { grant::give(base, size) };
    }

    /// Returns the pages of a range, which must lie in one reservation.
    pub fn pages_of(
        &mut self,
        base: NonNull<u8>,
        size: usize,
        otherwise: &str,
    ) -> impl Iterator<Item = Page> {
        let start = base.addr().get();
        let known = self.reservations.iter().flatten().find(|known| known.holds(start, size));
        let Some(known) = known else { broken(otherwise, base) };
        let (page, first) = (control::page(), start - known.base.addr().get());
        if !first.is_multiple_of(page) || !size.is_multiple_of(page) {
            broken("a range of parts of pages", base);
        }
        known.pages(first / page..(first + size) / page)
    }

    /// Tells whether all pages that a range has a part of may be used.
    pub fn is_committed(&self, start: usize, size: usize) -> bool {
        let known = self.reservations.iter().flatten().find(|known| known.holds(start, size));
        known.is_some_and(|known| {
            let (page, first) = (control::page(), start - known.base.addr().get());
            let mut pages = known.pages(first / page..(first + size).div_ceil(page));
            pages.all(|page| page.access() == Access::Committed)
        })
    }

    /// Returns the bytes that are reserved.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Returns the bytes that are committed.
    pub fn committed(&self) -> usize {
        let pages = self.reservations.iter().flatten().flat_map(|known| known.all_pages());
        pages.filter(|page| page.access() == Access::Committed).count() * control::page()
    }
}

fn layout_of(size: usize) -> Layout {
    Layout::array::<u8>(size / control::page()).unwrap_or(Layout::new::<u8>())
}

fn accesses(size: usize) -> Option<NonNull<AtomicU8>> {
    // SAFETY: A reservation has a page at least.
    NonNull::new(unsafe { System.alloc_zeroed(layout_of(size)) }.cast())
}

impl Reservation {
    /// Returns where it ends.
    pub fn end(&self) -> usize {
        self.base.addr().get() + self.size
    }

    fn holds(&self, start: usize, size: usize) -> bool {
        start >= self.base.addr().get() && start < self.end() && size <= self.end() - start
    }

    fn all_pages(self) -> impl Iterator<Item = Page> {
        self.pages(0..self.size / control::page())
    }

    fn pages(self, numbers: Range<usize>) -> impl Iterator<Item = Page> {
        let page = control::page();
        numbers.map(move |index| {
            // SAFETY: The numbers are below that of the reservation's pages.
            let start = unsafe { self.base.add(index * page) };
            // SAFETY: As above.
            let access = unsafe { self.accesses.add(index) };
            // SAFETY: The byte is there until the reservation is released, and pages are used
            // under the lock of the ledger only.
            Page { start, access: unsafe { access.as_ref() } }
        })
    }
}

impl Page {
    fn access(self) -> Access {
        match self.access.load(Relaxed) {
            0 => Access::Reserved,
            1 => Access::Committed,
            _ => Access::Protected,
        }
    }

    fn set_access(self, access: Access) {
        self.access.store(access as u8, Relaxed);
    }

    /// Makes the page usable.
    ///
    /// # Safety
    ///
    /// The page is the caller's.
    pub unsafe fn commit(self) {
        if self.access() == Access::Reserved && !self.is_zero() {
            broken("somebody has written to what was not committed", self.start);
        }
        self.set_access(Access::Committed);
    }

    /// Makes the page unusable.
    ///
    /// # Safety
    ///
    /// The page is the caller's, and nobody needs what it holds.
    pub unsafe fn protect(self) {
        if self.access() == Access::Committed {
            // SAFETY: As promised to us.
            unsafe { self.fill(LOST) };
            self.set_access(Access::Protected);
        }
    }

    /// Writes all of the page.
    ///
    /// # Safety
    ///
    /// The page is the caller's, and nobody needs what it holds.
    pub unsafe fn fill(self, byte: u8) {
        // SAFETY: As promised to us.
        unsafe { self.start.write_bytes(byte, control::page()) };
    }

    /// Ends the process unless the page may be used.
    pub fn expect_committed(self, otherwise: &str) {
        if self.access() != Access::Committed {
            broken(otherwise, self.start);
        }
    }

    /// Tells whether nobody has written to the page. An interpreter would take too long.
    fn is_zero(self) -> bool {
        if cfg!(miri) {
            return true;
        }
        let bytes = NonNull::slice_from_raw_parts(self.start, control::page());
        // SAFETY: The page was granted by `System`, and nobody is to use it at this time.
        unsafe { bytes.as_ref() == &ZERO[..control::page()] }
    }
}
