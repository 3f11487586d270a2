//! The host memory behind a block of the software device.
//!
//! A [`Store`] is zeroed host memory that the system provides page by page as it is touched, so
//! that a block of many gigabytes costs what is used of it. Its bytes are shared between the
//! device and whoever holds a mapped pointer; therefore nothing here ever makes a reference to
//! them, and every function that touches them takes a [`Quiet`], the proof that nobody else does.
//!
//! # Invariants
//!
//! 1. `first..first + len` lies in the one grant that `base` and `layout` describe.
//! 2. `first` is a multiple of the alignment that was asked for, and of [`ALIGN_MIN`].
//! 3. All bytes are initialised, from the begin on.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::Range;
use std::ptr::{self, NonNull};

/// What every block's begin is a multiple of: the usual page of an operating system.
const ALIGN_MIN: u64 = 4 << 10;

/// The proof that no host pointer is used, while a call runs, for the bytes that it works on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet(());

impl Quiet {
    /// Takes a caller's word for it.
    ///
    /// # Safety
    ///
    /// - Until the value is gone, no host pointer writes the bytes that are read with it.
    /// - Nor does one read or write the bytes that are written with it.
    pub(super) const unsafe fn promised() -> Self {
        Self(())
    }
}

/// Zeroed host memory.
#[derive(Debug)]
pub(super) struct Store {
    base: NonNull<u8>,
    layout: Layout,
    first: NonNull<u8>,
    len: usize,
}

// SAFETY: A store owns its memory, which no thread is tied to, and gives out nothing but raw
// pointers, whose users answer for races (`Quiet`, and the contract of `Device::map`).
unsafe impl Send for Store {}

impl Store {
    /// Takes zeroed memory of `size` bytes from the host, or nothing when it has none.
    ///
    /// The alignment is made by taking more and beginning later: the standard allocator clears
    /// memory of a large alignment by writing it, which would touch every page of a block.
    pub(super) fn new(size: u64, align: u64) -> Option<Self> {
        let len = usize::try_from(size).ok().filter(|&len| len > 0)?;
        let align = usize::try_from(align.max(ALIGN_MIN)).ok()?;
        let layout = Layout::from_size_align(len.checked_add(align)?, 1).ok()?;
        // SAFETY: The layout's size is at least `len`, which is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let padding = base.as_ptr().align_offset(align);
        debug_assert!(padding < align, "an address is less than its alignment before a multiple");
        // SAFETY: The grant has `len + align` bytes, and `padding` is less than `align`.
        let first = unsafe { base.add(padding) };
        Some(Self { base, layout, first, len })
    }

    /// Returns the pointer to the first byte, good while the store lives.
    pub(super) const fn pointer(&self) -> NonNull<u8> {
        self.first
    }

    /// Copies `range` of `source` to the same place here.
    pub(super) fn copy_same(&self, source: &Self, range: &Range<u64>, quiet: Quiet) {
        let len = range.end - range.start;
        self.copy(range.start, source, range.start, len, quiet);
    }

    /// Copies `len` bytes at `source_offset` of `source` to `offset` here.
    pub(super) fn copy(&self, offset: u64, source: &Self, source_offset: u64, len: u64, _: Quiet) {
        let source = source.part(source_offset, len);
        let target = self.part(offset, len);
        // SAFETY: `part` made sure that both lie in their stores; `ptr::copy` allows them to
        // overlap. The `Quiet` says that nobody else uses the bytes.
        unsafe { ptr::copy(source.pointer.as_ptr(), target.pointer.as_ptr(), target.len) };
    }

    /// Sets `len` bytes at `offset` to `byte`.
    pub(super) fn fill(&self, offset: u64, len: u64, byte: u8, _: Quiet) {
        let target = self.part(offset, len);
        // SAFETY: `part` made sure that the bytes lie in the store. The `Quiet` says that nobody
        // else uses them.
        unsafe { ptr::write_bytes(target.pointer.as_ptr(), byte, target.len) };
    }

    /// Reads from `offset` on until `bytes` is full.
    pub(super) fn read(&self, offset: u64, bytes: &mut [u8], _: Quiet) {
        let source = self.part(offset, bytes.len() as u64);
        let target = bytes.as_mut_ptr();
        // SAFETY: `part` made sure that the source lies in the store; the target is a slice that
        // we alone hold, so the two do not overlap. The `Quiet` says that nobody writes.
        unsafe { ptr::copy_nonoverlapping(source.pointer.as_ptr(), target, source.len) };
    }

    /// Writes all of `bytes` from `offset` on.
    pub(super) fn write(&self, offset: u64, bytes: &[u8], _: Quiet) {
        let target = self.part(offset, bytes.len() as u64);
        // SAFETY: `part` made sure that the target lies in the store. The `Quiet` says that
        // nobody else uses it, so the slice, which may be read all the while, is not in it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target.pointer.as_ptr(), target.len) };
    }

    /// Finds a part, and stops when it does not lie in the store.
    fn part(&self, offset: u64, len: u64) -> Part {
        let end = offset.checked_add(len).expect("a part ends below 2^64");
        assert!(end <= self.len as u64, "a part of a block's memory lies in it");
        let (offset, len) = (offset as usize, len as usize);
        // SAFETY: The assertion above: `offset` is at most the store's length.
        let pointer = unsafe { self.first.add(offset) };
        Part { pointer, len }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: `base` came from `alloc_zeroed` with this layout, in `new`, and only a drop
        // gives it back.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

/// A part that lies in its store.
struct Part {
    pointer: NonNull<u8>,
    len: usize,
}
