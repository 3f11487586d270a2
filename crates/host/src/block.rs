//! A block: one reservation of address space, divided into spans by the core's `space`.
//!
//! Its header lies at its beginning: this structure, the stores of the space, a byte for each
//! chunk that says since when it lies free with old contents, and the records of spans. All of it
//! is reserved whole and touched where it is used. Chunks are committed from the first one up, in
//! growing steps, so that a small program makes one system call and none is charged for more than
//! it uses where overcommitting is off.
//!
//! The system's pages may be longer than a chunk. Then chunks share a page: what is committed ends
//! with a page, and a page goes back when all of its chunks are free.
//!
//! # Invariants
//!
//! 1. Chunks below `committed` are usable. `base`, `committed` and `chunks` stand at pages' ends.
//! 2. The byte of a chunk in `dirty` is [`USED`] where it is in a span, 0 where it is free and
//!    reads as zero, else the epoch in which it became free.
//! 3. `dirty_chunks` of those bytes are epochs.

use crate::clock;
use crate::ensure::ensure;
use crate::guard;
use crate::map;
use crate::os;
use crate::size::CHUNK;
use crate::span::{Span, State};
use core::ops::Range;
use core::ptr::NonNull;
use polder_core::bins::Bins;
use polder_core::space::{Candidate, Fit, Record, Request, Space, Strategy};
use polder_core::store::Lent;

/// The largest block that is not made for a single object, in bytes.
const SIZE_MOST: usize = 64 << 30;
/// Of a limit on address space a block takes one part in this many.
const LIMIT_SHARE: usize = 8;
/// What is committed beyond need: at least this many chunks, or a part of what is committed.
const COMMIT_LEAST: usize = 16;
const COMMIT_SHARE: usize = 4;
/// Stands for an epoch where a chunk is used.
const USED: u8 = clock::EPOCHS + 1;
/// Bins of a space with the most chunks that a block can have.
const HEADS_MOST: usize = 1024;

type ChunkSpace = Space<Lent<'static, Record>, Lent<'static, u32>>;

/// One reservation.
#[derive(Debug)]
pub struct Block {
    reservation: NonNull<u8>,
    reserved: usize,
    /// The first chunk.
    base: NonNull<u8>,
    chunks: usize,
    /// Chunks of a page; 1 where pages are shorter.
    page_chunks: usize,
    committed: usize,
    space: ChunkSpace,
    spans: NonNull<Span>,
    dirty: &'static mut [u8],
    dirty_chunks: usize,
    /// Where the purge goes on: a page's end.
    purge_at: usize,
}

/// A span that was taken, and what its memory holds.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The span.
    pub span: &'static Span,
    /// Whether every byte of it reads as zero.
    pub is_zero: bool,
}

impl Taken {
    /// A span that was kept: its contents are old.
    pub const fn kept(span: &'static Span) -> Self {
        Self { span, is_zero: false }
    }
}

/// The place rule of spans: the address is a multiple of `align`, a power of two, all in chunks.
struct AlignedAddress {
    base: u64,
    align: u64,
}

impl Fit for AlignedAddress {
    fn slack(&self) -> u64 {
        self.align - 1
    }

    fn lowest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64> {
        let address = (self.base + candidate.start() + self.align - 1) & !(self.align - 1);
        let offset = address - self.base;
        (offset.checked_add(size)? <= candidate.end()).then_some(offset)
    }

    fn highest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64> {
        let address = self.base + candidate.end().checked_sub(size)?;
        let offset = (address & !(self.align - 1)).checked_sub(self.base)?;
        (offset >= candidate.start()).then_some(offset)
    }
}

/// Of how many chunks a block is, and where the parts of its header lie, in bytes from its
/// beginning.
struct Header {
    chunks: usize,
    page_chunks: usize,
    heads: usize,
    dirty: usize,
    records: usize,
    spans: usize,
    size: usize,
}

impl Header {
    /// The header of a block of so many chunks, or a few more that fill the last page.
    fn of(chunks: usize, page_chunks: usize) -> Self {
        let chunks = chunks.next_multiple_of(page_chunks);
        let heads = size_of::<Block>().next_multiple_of(64);
        let dirty = heads + HEADS_MOST.min(heads_of(chunks)) * size_of::<u32>();
        let records = (dirty + chunks).next_multiple_of(align_of::<Span>());
        // A space of this many chunks has at most as many regions, and two spare records.
        let spans = records + (chunks + 2) * size_of::<Record>();
        let spans = spans.next_multiple_of(align_of::<Span>());
        let size = (spans + chunks * size_of::<Span>()).next_multiple_of(page_chunks * CHUNK);
        Self { chunks, page_chunks, heads, dirty, records, spans, size }
    }
}

/// Returns how many chunks a page has; 1 where pages are shorter.
pub fn page_chunks() -> usize {
    os::page_size().div_ceil(CHUNK)
}

/// Bytes between a header and the first chunk, whole pages of so many chunks.
const fn gap_of(page_chunks: usize) -> usize {
    guard::GAP.next_multiple_of(page_chunks * CHUNK)
}

fn heads_of(chunks: usize) -> usize {
    Bins::<4>::floor(chunks as u64) as usize + 1
}

impl Block {
    /// Reserves a block with room for `chunks` at any alignment of `align` chunks, and of `size`
    /// bytes if that is more; smaller where address space is short. None where there is none.
    pub fn reserve(chunks: usize, align: usize, size: usize) -> Option<NonNull<Self>> {
        let least = chunks.checked_add(align - 1)?;
        let limit = os::address_limit().map_or(SIZE_MOST, |limit| limit / LIMIT_SHARE);
        let wished = size.min(SIZE_MOST).min(limit) / CHUNK;
        let mut tried = wished.max(least);
        loop {
            if let Some(block) = Self::reserve_pages(tried, page_chunks()) {
                return Some(block);
            }
            if tried == least {
                return None;
            }
            tried = (tried / 2).max(least);
        }
    }

    fn reserve_pages(chunks: usize, page_chunks: usize) -> Option<NonNull<Self>> {
        let most = chunks.checked_add(2 * page_chunks)?;
        // Header and chunks together are less than twice the chunks, and some pages.
        most.checked_mul(2 * CHUNK)?;
        let header = Header::of(chunks, page_chunks);
        // One page or chunk more, to begin at a multiple of a chunk.
        let size = header.size + gap_of(page_chunks) + (header.chunks + page_chunks) * CHUNK;
        Self::place(size, &header)
    }

    /// Reserves where the system likes; where the map can't have that, near a hint of the map's.
    fn place(size: usize, header: &Header) -> Option<NonNull<Self>> {
        let reservation = os::reserve(size, 0)?;
        Self::begin_or_release(reservation, size, header).or_else(|| {
            let other = os::reserve(size, map::hint(reservation, size))?;
            Self::begin_or_release(other, size, header)
        })
    }

    fn begin_or_release(
        reservation: NonNull<u8>,
        size: usize,
        header: &Header,
    ) -> Option<NonNull<Self>> {
        let begun = Self::begin(reservation, size, header);
        if begun.is_none() {
            // SAFETY: It was reserved a moment ago, and nobody else knows of it.
            unsafe { os::release(reservation, size) };
        }
        begun
    }

    fn begin(reservation: NonNull<u8>, reserved: usize, header: &Header) -> Option<NonNull<Self>> {
        let (chunks, page_chunks) = (header.chunks, header.page_chunks);
        let skip = reservation.addr().get().wrapping_neg() & (CHUNK - 1);
        // SAFETY: The reservation is a chunk longer than header and chunks.
        let start = unsafe { reservation.add(skip) };
        // SAFETY: As above.
        let base = unsafe { start.add(header.size + gap_of(page_chunks)) };
        let committed = COMMIT_LEAST.next_multiple_of(page_chunks).min(chunks);
        if !Self::commit_first(start, base, header.size, committed * CHUNK)
            || !map::cover(base, chunks * CHUNK)
        {
            return None;
        }
        let records = Lent::new(part(start, header.records, chunks + 2));
        let heads = Lent::new(part(start, header.heads, heads_of(chunks).min(HEADS_MOST)));
        let block = Self {
            reservation,
            reserved,
            base,
            chunks,
            page_chunks,
            committed,
            space: Space::new(chunks as u64, records, heads).ok()?,
            // SAFETY: The offset is in the header.
            spans: unsafe { start.add(header.spans) }.cast(),
            dirty: part(start, header.dirty, chunks),
            dirty_chunks: 0,
            purge_at: 0,
        };
        // What the program gives back is reached by its address alone.
        reservation.as_ptr().expose_provenance();
        let place = start.cast::<Self>();
        // SAFETY: The header begins with room for this structure.
        unsafe { place.write(block) };
        Some(place)
    }

    /// Makes the header and the first chunks usable, with what is between them if that is nothing.
    fn commit_first(start: NonNull<u8>, base: NonNull<u8>, header: usize, chunks: usize) -> bool {
        if guard::GAP == 0 {
            // SAFETY: The range is in our reservation.
            return unsafe { os::commit(start, header + chunks) };
        }
        // SAFETY: As above.
        let records = unsafe { os::commit(start, header) };
        // SAFETY: As above.
        records && unsafe { os::commit(base, chunks) }
    }

    /// Takes a span of `chunks` whose address is a multiple of `align` chunks. None when there is
    /// no room, or no memory; nothing has changed.
    pub fn take(&mut self, chunks: usize, align: usize) -> Option<Taken> {
        if self.space.largest_free_bound() < chunks as u64 {
            return None;
        }
        let request = Request { size: chunks as u64, align: 1, strategy: Strategy::Quick, tag: 0 };
        let base = (self.base.addr().get() / CHUNK) as u64;
        let fit = AlignedAddress { base, align: align as u64 };
        let placed = self.space.allocate_where(request, &fit).ok()?;
        let first = placed.offset as usize;
        // SAFETY: `first` is below `chunks`, so the chunk is in our reservation.
        let start = unsafe { self.base.add(first * CHUNK) };
        if !self.commit(first + chunks) {
            let freed = self.space.free(placed.id);
            ensure!(freed.is_ok(), "the region was allocated a moment ago");
            return None;
        }
        let is_zero = self.claim(first, chunks);
        let span = self.span(first);
        span.begin(self.place_of_self(), start, chunks, placed.id);
        Some(Taken { span, is_zero })
    }

    /// Returns this block by the pointer that it was made with, which outlives the borrow.
    fn place_of_self(&self) -> NonNull<Self> {
        self.reservation.with_addr(NonNull::from(self).addr()).cast()
    }

    /// Takes a span back. Its contents are old since `epoch`, which is not 0.
    pub fn give(&mut self, span: &Span, epoch: u8) {
        let first = self.index_of(span);
        let chunks = span.chunks();
        span.set_state(State::Free);
        let freed = self.space.free(span.region());
        ensure!(freed.is_ok(), "a span in use is a used region");
        self.dirty[first..first + chunks].fill(epoch);
        self.dirty_chunks += chunks;
    }

    /// Makes a span longer or shorter where it stands. False when what is behind it is used, or
    /// there is no memory; nothing has changed. The contents of new chunks are whatever they are.
    pub fn resize(&mut self, span: &Span, chunks: usize, epoch: u8) -> bool {
        let (first, before) = (self.index_of(span), span.chunks());
        if self.space.resize(span.region(), chunks as u64).is_err() {
            return false;
        }
        if !self.commit(first + chunks) {
            let undone = self.space.resize(span.region(), before as u64);
            ensure!(undone.is_ok(), "a region can always be as short as it was");
            return false;
        }
        span.set_chunks(chunks);
        if chunks < before {
            self.dirty[first + chunks..first + before].fill(epoch);
            self.dirty_chunks += before - chunks;
        } else {
            self.claim(first + before, chunks - before);
        }
        true
    }

    /// Marks chunks as used, and tells whether they all read as zero.
    fn claim(&mut self, first: usize, chunks: usize) -> bool {
        let dirty = &mut self.dirty[first..first + chunks];
        // All bytes at once is what the compiler makes quick.
        let is_zero = dirty.iter().fold(0, |all, epoch| all | epoch) == 0;
        if !is_zero {
            self.dirty_chunks -= dirty.iter().filter(|&&epoch| epoch != 0).count();
        }
        dirty.fill(USED);
        is_zero
    }

    /// Makes the chunks below `end` usable.
    fn commit(&mut self, end: usize) -> bool {
        if end <= self.committed {
            return true;
        }
        let more = COMMIT_LEAST.max(self.committed / COMMIT_SHARE);
        let wished = end.max(self.committed + more).next_multiple_of(self.page_chunks);
        let needed = end.next_multiple_of(self.page_chunks);
        self.commit_to(wished.min(self.chunks)) || self.commit_to(needed)
    }

    fn commit_to(&mut self, end: usize) -> bool {
        // SAFETY: `committed` is at most `chunks`, so the address is in our reservation.
        let from = unsafe { self.base.add(self.committed * CHUNK) };
        // SAFETY: The range is in our reservation.
        let usable = unsafe { os::commit(from, (end - self.committed) * CHUNK) };
        if usable {
            self.committed = end;
        }
        usable
    }

    /// Gives back the memory of about `most` free chunks that `is_due` says so of, by their epoch.
    /// Returns how many; goes on where it stopped before.
    pub fn purge(&mut self, most: usize, is_due: impl Fn(u8) -> bool) -> usize {
        let is_due = |epoch: u8| epoch != 0 && epoch != USED && is_due(epoch);
        let middle = self.purge_at;
        let purged = self.purge_in(middle..self.committed, most, is_due);
        purged + self.purge_in(0..middle, most.saturating_sub(purged), is_due)
    }

    fn purge_in(
        &mut self,
        range: Range<usize>,
        most: usize,
        is_due: impl Fn(u8) -> bool + Copy,
    ) -> usize {
        let (mut purged, mut at) = (0, range.start);
        while purged < most && at < range.end && self.dirty_chunks > 0 {
            let mut rest = self.dirty[at..range.end].iter();
            let Some(found) = rest.position(|&epoch| is_due(epoch)) else { break };
            let first = (at + found) / self.page_chunks * self.page_chunks;
            let pages = (most - purged).div_ceil(self.page_chunks);
            let chunks = self.pages_due(first, pages, is_due) * self.page_chunks;
            purged += self.purge_run(first, chunks);
            at = first + chunks.max(self.page_chunks);
            self.purge_at = at;
        }
        purged
    }

    /// Returns how many pages from a chunk on, up to `most`, have no chunk that is used or not due.
    fn pages_due(&self, first: usize, most: usize, is_due: impl Fn(u8) -> bool) -> usize {
        let is_page_due = |page: &&[u8]| {
            page.iter().any(|&epoch| is_due(epoch))
                && page.iter().all(|&epoch| epoch == 0 || is_due(epoch))
        };
        let pages = self.dirty[first..self.committed].chunks_exact(self.page_chunks);
        pages.take(most).take_while(is_page_due).count()
    }

    /// Gives back the memory of free chunks, whole pages. Returns how many were dirty.
    fn purge_run(&mut self, first: usize, chunks: usize) -> usize {
        // SAFETY: The chunks are ours.
        let start = unsafe { self.base.add(first * CHUNK) };
        // SAFETY: They are committed and free (invariant 2), so nobody needs what they hold.
        if chunks == 0 || !unsafe { os::decommit(start, chunks * CHUNK) } {
            return 0;
        }
        let dirty = &mut self.dirty[first..first + chunks];
        let purged = dirty.iter().filter(|&&epoch| epoch != 0).count();
        dirty.fill(0);
        self.dirty_chunks -= purged;
        purged
    }

    /// Releases a block no span of which is used, and its entries.
    ///
    /// # Safety
    ///
    /// Nobody holds a span of the block, or uses the block after this.
    pub unsafe fn release(block: NonNull<Self>) {
        // SAFETY: The caller holds the block alone.
        let (reservation, reserved, base, committed) = {
            // SAFETY: As above.
            let block = unsafe { block.as_ref() };
            (block.reservation, block.reserved, block.base, block.committed)
        };
        // What is behind was never in a span, and its entries cost no memory.
        map::clear(base, committed);
        // SAFETY: The reservation is whole, and nobody uses it.
        unsafe { os::release(reservation, reserved) };
    }

    /// Returns the number of free chunks that still cost memory.
    pub const fn dirty_chunks(&self) -> usize {
        self.dirty_chunks
    }

    /// Returns the number of chunks.
    pub const fn chunks(&self) -> usize {
        self.chunks
    }

    /// Returns all spans in use.
    pub fn spans(&self) -> impl Iterator<Item = &'static Span> {
        let used = self.space.walk().filter(|region| region.tag.is_some());
        used.map(|region| self.span(region.offset as usize))
    }

    fn span(&self, index: usize) -> &'static Span {
        // SAFETY: The index is below `chunks`, and the header has that many records.
        let span = unsafe { self.spans.add(index) };
        // SAFETY: A record is valid when it is all zero, and lives as long as the block.
        unsafe { span.as_ref() }
    }

    fn index_of(&self, span: &Span) -> usize {
        (span.start().addr().get() - self.base.addr().get()) / CHUNK
    }
}

/// A part of a header as a slice.
fn part<T>(start: NonNull<u8>, offset: usize, len: usize) -> &'static mut [T] {
    // SAFETY: `Header::of` puts each part in the header, apart from the others and aligned.
    let place = unsafe { start.add(offset) }.cast();
    // SAFETY: As above; the memory is committed and zero, which is valid for the integers that
    // these parts are made of, and each part is taken once.
    unsafe { NonNull::slice_from_raw_parts(place, len).as_mut() }
}

#[cfg(test)]
mod tests {
    use super::{Block, Taken, USED};
    use crate::size::CHUNK;
    use std::vec::Vec;

    /// As on a system whose pages have four chunks.
    const PAGE_CHUNKS: usize = 4;
    const CHUNKS: usize = 1001;

    fn block() -> &'static mut Block {
        let mut block = Block::reserve_pages(CHUNKS, PAGE_CHUNKS).unwrap();
        // SAFETY: The block is new, and never released.
        unsafe { block.as_mut() }
    }

    fn fill(taken: Taken) {
        // SAFETY: The span was taken a moment ago, and has that many bytes.
        unsafe { taken.span.start().write_bytes(7, taken.span.size()) };
    }

    fn holds(taken: Taken, byte: u8) -> bool {
        // SAFETY: The span is in the test's hands, and has that many bytes.
        let bytes =
            unsafe { core::slice::from_raw_parts(taken.span.start().as_ptr(), taken.span.size()) };
        // One comparison, which an interpreter does as one step.
        bytes[0] == byte && bytes[1..] == bytes[..bytes.len() - 1]
    }

    #[test]
    fn what_is_committed_ends_with_a_page() {
        let block = block();
        let header = block.base.addr().get() - (&raw const *block).addr();
        assert_eq!(header % (PAGE_CHUNKS * CHUNK), 0);
        assert!(block.chunks >= CHUNKS);
        while block.take(7, 1).is_some() {
            assert_eq!(block.committed % PAGE_CHUNKS, 0);
        }
        assert_eq!(block.committed, block.chunks);
    }

    #[test]
    fn a_page_goes_back_when_all_of_its_chunks_are_free() {
        let block = block();
        let taken: [Taken; 2 * PAGE_CHUNKS] = core::array::from_fn(|_| block.take(1, 1).unwrap());
        taken.into_iter().for_each(fill);
        for index in [0, 1, 2, 4, 5, 6, 7] {
            block.give(taken[index].span, 1);
        }
        assert_eq!(block.purge(usize::MAX, |_| true), PAGE_CHUNKS);
        assert!(holds(taken[3], 7), "a chunk in use shares its page with free ones");
        assert_eq!(block.dirty_chunks(), PAGE_CHUNKS - 1);
        block.give(taken[3].span, 1);
        assert_eq!(block.purge(usize::MAX, |_| true), PAGE_CHUNKS);
        let again = block.take(2 * PAGE_CHUNKS, 1).unwrap();
        assert!(again.is_zero && holds(again, 0));
    }

    #[test]
    fn a_purge_in_steps_finds_what_one_step_does() {
        let block = block();
        let taken: Vec<_> = (0..40 * PAGE_CHUNKS).map(|_| block.take(1, 1).unwrap()).collect();
        for round in 0..3 {
            taken.iter().skip(round).step_by(3).for_each(|taken| block.give(taken.span, 1));
            while block.purge(1 + round, |_| true) > round {}
            let pages = block.dirty[..taken.len()].chunks(PAGE_CHUNKS);
            let whole = |page: &&[u8]| page.iter().all(|&epoch| epoch != USED);
            assert!(pages.filter(whole).all(|page| page.iter().all(|&epoch| epoch == 0)));
        }
        assert_eq!(block.dirty_chunks(), 0);
    }

    #[test]
    fn a_growth_without_room_commits_nothing() {
        let block = block();
        let [first, _behind] = [(); 2].map(|()| block.take(1, 1).unwrap().span);
        let committed = block.committed;
        assert!(!block.resize(first, CHUNKS / 2, 1));
        assert_eq!(block.committed, committed);
    }

    #[test]
    fn a_page_with_a_chunk_that_is_free_for_too_short_stays() {
        let block = block();
        let taken: [Taken; PAGE_CHUNKS] = core::array::from_fn(|_| block.take(1, 1).unwrap());
        for (index, taken) in taken.into_iter().enumerate() {
            block.give(taken.span, 1 + index as u8);
        }
        assert_eq!(block.purge(usize::MAX, |epoch| epoch < 4), 0);
        assert_eq!(block.purge(usize::MAX, |epoch| epoch < 5), PAGE_CHUNKS);
    }

    #[test]
    fn a_purge_may_pass_its_bound_by_part_of_a_page() {
        let block = block();
        let taken: [Taken; PAGE_CHUNKS] = core::array::from_fn(|_| block.take(1, 1).unwrap());
        taken.iter().for_each(|taken| block.give(taken.span, 1));
        assert_eq!(block.purge(1, |_| true), PAGE_CHUNKS);
    }
}
