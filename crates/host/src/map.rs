//! The map from an address to the span that it lies in: a flat array, an entry for each chunk.
//!
//! One load of an entry gives the owner and the size class, the other word of it the span's
//! record. The array is reserved whole and costs memory only where it was written. It covers a
//! window of address space, not all of it, so that it also fits where address space is short
//! (under `ulimit -v`, under valgrind, with 39-bit kernels): an address is taken modulo the
//! window's size, and all blocks lie within that many bytes, wherever they begin. An address of
//! somebody else's may so meet an entry of ours; who has to know looks at the bounds in the span's
//! record. Any address may be asked about, so all of the array can be read: a program that locks
//! all of its memory (`mlockall`) pays for that with 32 MiB of page tables.
//!
//! Before the first block there is a window of one empty entry, so that nobody has to ask whether
//! there is a map.
//!
//! # Invariants
//!
//! 1. The entries of a chunk in a live span name that span; entries are changed by who holds the
//!    span alone, before an object in it is handed out.
//! 2. The entry of address 0 is empty.
//! 3. No block lies across a multiple of the window's size, so its entries stand in a row.

use crate::local::Local;
use crate::lock::Lock;
use crate::os;
use crate::size::{CHUNK, CHUNK_BITS};
use crate::span::Span;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicUsize};

/// What is known of one chunk.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Entry {
    span: AtomicPtr<Span>,
    /// The address of the owner, and below it the kind.
    tag: AtomicUsize,
}

/// Whose a chunk is and what lies in it, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(usize);

impl Tag {
    /// The tag of what is not ours.
    pub const NONE: Self = Self(0);
    /// Kinds below this are the numbers of size classes.
    pub const CLASSES_END: usize = 64;
    /// The kind of an object with a span of its own.
    const LARGE: usize = 64;
    /// Set where the owner is a heap that a user made: no thread's own.
    const HEAP: usize = 128;
    /// The bits below an owner's address.
    const KIND: usize = Local::ALIGN - 1;

    /// The tag of a slab: its owner and its class.
    pub fn slab(owner: &Local, class: crate::size::Class) -> Self {
        Self(owner.address() | class.index() | if owner.is_heap() { Self::HEAP } else { 0 })
    }

    /// The tag of a large object. One of a thread's has no owner: who frees it may keep its span.
    pub fn large(heap: Option<&Local>) -> Self {
        Self(Self::LARGE | heap.map_or(0, |heap| heap.address() | Self::HEAP))
    }

    /// Returns the number of the class, of the tag of a slab that `local`, a thread's, owns: the
    /// one question of the quick way.
    #[inline(always)]
    pub fn class_in(self, local: &Local) -> Option<usize> {
        let index = self.0 ^ local.address();
        (index < Self::CLASSES_END).then_some(index)
    }

    /// Tells whether this is the tag of a slab that some thread owns.
    #[inline(always)]
    pub fn is_slab_of_thread(self) -> bool {
        self.0 & (Self::LARGE | Self::HEAP) == 0 && self != Self::NONE
    }

    /// Tells whether this is the tag of a large object.
    pub fn is_large(self) -> bool {
        self.0 & Self::LARGE != 0
    }

    /// Returns the size class, of a slab's tag.
    #[inline(always)]
    pub fn class_index(self) -> usize {
        self.0 & (Self::CLASSES_END - 1)
    }

    /// Returns the owner.
    #[inline(always)]
    pub fn owner(self) -> Option<&'static Local> {
        let owner = core::ptr::with_exposed_provenance::<Local>(self.0 & !Self::KIND);
        // SAFETY: The address is zero or that of a local, from `slab` or `large`; locals are never
        // unmapped, and are shared by reference only.
        unsafe { owner.as_ref() }
    }
}

const _: () = assert!(size_of::<Entry>() == 1 << ENTRY_BITS);
const ENTRY_BITS: u32 = 4;
/// The window's size where address space is plenty: more than any machine has memory.
const WINDOW_BITS_MOST: u32 = 44;
/// The window's least size; below that a map is no use.
const WINDOW_BITS_LEAST: u32 = 30;
/// Of a limit on address space the map takes one part in this many.
const LIMIT_SHARE: usize = 64;

static NO_ENTRY: Entry = Entry { span: AtomicPtr::new(null_mut()), tag: AtomicUsize::new(0) };

/// Where the map is. Every free reads both words, so nothing that others write to lies beside them.
#[repr(align(64))]
struct Window {
    base: AtomicPtr<Entry>,
    /// The offset of an entry in the map, in bytes, is `address >> (CHUNK_BITS - ENTRY_BITS)` and
    /// this.
    mask: AtomicUsize,
}

static WINDOW: Window =
    Window { base: AtomicPtr::new((&raw const NO_ENTRY).cast_mut()), mask: AtomicUsize::new(0) };
/// Taken by who changes the bounds or begins the map.
static COVERING: Lock<()> = Lock::new(());
/// The first byte of the lowest block that there was. It stays where it is when that block goes, as
/// does the other end: a window is sixteen times as long as address space may become, or 16 TiB,
/// and systems put mappings beside one another, so no block is refused for that.
static LOWEST: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The last byte of the highest.
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

/// Returns the entry of an address, whatever it is. Costs no branch.
#[inline(always)]
pub fn entry(address: usize) -> &'static Entry {
    // SAFETY: There is an entry, and the map is never released.
    unsafe { &*place(address) }
}

/// Returns where the entry of an address is: a pointer to those behind it too.
#[inline(always)]
fn place(address: usize) -> *const Entry {
    // Acquire: pairs with the store in `begin`, so that the base is that of the mask.
    let offset = address >> (CHUNK_BITS - ENTRY_BITS) & WINDOW.mask.load(Acquire);
    // SAFETY: The mask keeps the offset in the map that begins at the base.
    unsafe { WINDOW.base.load(Relaxed).byte_add(offset) }
}

impl Entry {
    #[inline(always)]
    fn set(&self, span: &Span, tag: Tag) {
        // No partner: who learns of an object in the span learns of this with it.
        self.span.store((&raw const *span).cast_mut(), Relaxed);
        self.tag.store(tag.0, Relaxed);
    }

    /// Returns whose the chunk is and what lies in it.
    #[inline(always)]
    pub fn tag(&self) -> Tag {
        // No partner: as in `entry`.
        Tag(self.tag.load(Relaxed))
    }

    /// Returns the span, of an entry whose tag is of a slab or a large object.
    ///
    /// # Safety
    ///
    /// The entry's tag is not [`Tag::NONE`].
    #[inline(always)]
    pub unsafe fn span_unchecked(&self) -> &'static Span {
        // SAFETY: `set` writes both words, and only `set` writes a tag that is not `NONE`. Records
        // of spans live as long as their block, which outlives its entries.
        unsafe { &*self.span.load(Relaxed) }
    }

    /// Returns the span that the chunk belongs or has belonged to.
    pub fn span(&self) -> Option<&'static Span> {
        // SAFETY: As above. Who asks about an address that is in no object of its own asks while
        // nobody drops the heap that it may be in (`object::bounds`).
        unsafe { self.span.load(Relaxed).as_ref() }
    }
}

/// Makes the entries of a span's chunks name it.
pub fn set(span: &Span, tag: Tag) {
    let first = place(span.start().addr().get());
    // SAFETY: The chunks of a block are in one window, so their entries stand in a row.
    let entries = unsafe { core::slice::from_raw_parts(first, span.chunks()) };
    let (rows, rest) = entries.as_chunks::<4>();
    // Rows of a known length are what the compiler makes quick.
    for row in rows {
        row.iter().for_each(|entry| entry.set(span, tag));
    }
    rest.iter().for_each(|entry| entry.set(span, tag));
}

/// Empties the entries of a range that is about to be released.
pub fn clear(start: NonNull<u8>, chunks: usize) {
    for index in 0..chunks {
        let entry = entry(start.addr().get() + index * CHUNK);
        entry.tag.store(Tag::NONE.0, Relaxed);
        entry.span.store(null_mut(), Relaxed);
    }
}

/// Makes room in the map for a block. False when the block can't be with the others in one window,
/// or lies across an end of it, or when the system has no memory for entries.
pub fn cover(start: NonNull<u8>, size: usize) -> bool {
    // Each supply has a lock of its own. Who is here holds one of those, which forks wait for.
    let _alone = COVERING.lock();
    if WINDOW.mask.load(Relaxed) == 0 && !begin() {
        return false;
    }
    let (first, last) = (start.addr().get(), start.addr().get() + size - 1);
    let (lowest, highest) = (LOWEST.load(Relaxed).min(first), HIGHEST.load(Relaxed).max(last));
    let window = window_size(WINDOW.mask.load(Relaxed));
    // The byte before is looked at too: the first entry is that of address 0 (invariant 2).
    let is_in_row = (first - 1) / window == last / window;
    if !is_in_row || highest - lowest >= window || !commit(place(first), place(last)) {
        return false;
    }
    LOWEST.store(lowest, Relaxed);
    HIGHEST.store(highest, Relaxed);
    true
}

/// Returns where to try again for a reservation of `size` bytes that was refused there: below the
/// end of a window that it lies across, else below all blocks.
pub fn hint(refused: NonNull<u8>, size: usize) -> usize {
    let window = window_size(WINDOW.mask.load(Relaxed));
    let end = (refused.addr().get() + size) / window * window;
    let top = if end > refused.addr().get() { end } else { LOWEST.load(Relaxed) };
    (top - top % CHUNK).saturating_sub(size)
}

fn window_size(mask: usize) -> usize {
    (mask + size_of::<Entry>()) << (CHUNK_BITS - ENTRY_BITS)
}

/// Reserves the map, as large as address space allows.
fn begin() -> bool {
    let most = os::address_limit()
        .map_or(WINDOW_BITS_MOST, |limit| {
            bits_within(limit / LIMIT_SHARE) + CHUNK_BITS - ENTRY_BITS
        })
        .min(WINDOW_BITS_MOST);
    let reserved = (WINDOW_BITS_LEAST..=most).rev().find_map(|bits| {
        let size = 1usize << (bits - CHUNK_BITS + ENTRY_BITS);
        Some((os::reserve_readable(size)?, size))
    });
    let Some((base, size)) = reserved else { return false };
    WINDOW.base.store(base.as_ptr().cast(), Relaxed);
    // Release: pairs with the load in `entry`.
    WINDOW.mask.store(size - size_of::<Entry>(), Release);
    true
}

fn bits_within(size: usize) -> u32 {
    size.max(1).ilog2()
}

fn commit(first: *const Entry, last: *const Entry) -> bool {
    let page = os::page_size();
    let (from, to) = (first.addr(), last.addr() + size_of::<Entry>());
    let (from, to) = (from & !(page - 1), to.next_multiple_of(page));
    let base = WINDOW.base.load(Relaxed).cast::<u8>();
    let base = NonNull::new(base.with_addr(from)).unwrap_or(NonNull::dangling());
    // SAFETY: The pages lie in the map, which is ours; those already in use stay as they are.
    unsafe { os::commit(base, to - from) }
}
