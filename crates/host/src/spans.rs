//! The supply of spans: blocks under one lock, and the epochs by which free memory goes back.
//!
//! There is one for all threads, and one for each heap that a user makes. Locals keep spans they
//! have given up for a while (see [`cache`](crate::cache)), so the lock is seldom met.
//!
//! Time is counted in epochs of half the purge delay. A free chunk carries the epoch in which it
//! became free, and its memory goes back when that is two epochs ago: so no sooner than half the
//! delay and no later than the delay plus the time to the next look. How much goes back in one
//! look is bounded, and nothing that is used again in time goes back at all.

use crate::block::{Block, Taken};
use crate::clock::{epoch, is_old};
use crate::ensure::ensure;
use crate::guard;
use crate::lock::Lock;
use crate::os;
use crate::page;
use crate::size::CHUNK;
use crate::span::Span;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// Blocks that one supply has at most. They double, so nobody meets it.
const BLOCKS_MOST: usize = 256;
/// Spans that pages were moved to, at most. The system keeps books of each, and has 65,530 places
/// in them for all that a process maps.
const MOVED_MOST: usize = 4096;
/// Chunks whose memory goes back in one look at most.
const PURGE_MOST: usize = (64 << 20) / CHUNK;
/// And with the lock held: they take 0.1 ms, all of one look 2 to 8.
const PURGE_STEP: usize = (4 << 20) / CHUNK;

/// How large blocks begin.
#[cfg(not(feature = "1mib"))]
mod first_block {
    /// The size of the first block of all threads, in bytes. Address space, not memory.
    pub const SIZE: usize = 64 << 20;
}
#[cfg(feature = "1mib")]
mod first_block {
    /// The size of the first block of all threads, in bytes. The next ones double.
    pub const SIZE: usize = 1 << 20;
}

/// The spans of all threads.
pub static SHARED: Spans = Spans::new(first_block::SIZE);

/// A supply of spans.
#[derive(Debug)]
pub struct Spans {
    /// Bytes of the first block.
    block: usize,
    state: Lock<State>,
    /// Bytes in spans that are in use, and the most that there ever were.
    used: AtomicU64,
    peak: AtomicU64,
    /// Bytes that are given at most.
    limit: AtomicU64,
    /// Bytes whose memory went back to the system.
    purged: AtomicU64,
    /// Spans that pages were moved to.
    moved: AtomicUsize,
}

#[derive(Debug)]
struct State {
    blocks: [Option<NonNull<Block>>; BLOCKS_MOST],
    len: usize,
}

// SAFETY: The blocks belong to the supply, which goes from thread to thread whole.
unsafe impl Send for State {}

/// What a supply holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// In spans that are in use.
    pub used: u64,
    /// The most that was ever in spans in use.
    pub peak: u64,
    /// Free, and still costing memory.
    pub dirty: u64,
    /// Given back to the system, all together.
    pub purged: u64,
    /// Address space.
    pub reserved: u64,
}

impl Spans {
    /// Makes a supply without a block. The first will have `block` bytes.
    pub const fn new(block: usize) -> Self {
        Self {
            block,
            state: Lock::new(State { blocks: [None; BLOCKS_MOST], len: 0 }),
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            purged: AtomicU64::new(0),
            moved: AtomicUsize::new(0),
        }
    }

    /// Takes a span of `chunks` at a multiple of `align` chunks, from a block or a new one.
    pub fn take(&self, chunks: usize, align: usize) -> Option<Taken> {
        let mut state = self.state.lock();
        if !self.is_within_limit(chunks) {
            return None;
        }
        let taken = match state.take(chunks, align) {
            Some(taken) => taken,
            None => state.take_from_new(chunks, align, self.block)?,
        };
        self.add_used(chunks);
        Some(taken)
    }

    fn is_within_limit(&self, chunks: usize) -> bool {
        let used = self.used.load(Relaxed);
        let more = (chunks as u64).saturating_mul(CHUNK as u64);
        used.saturating_add(more) <= self.limit.load(Relaxed)
    }

    /// Called with the lock held, so nobody else writes.
    fn add_used(&self, chunks: usize) {
        let used = self.used.load(Relaxed) + (chunks * CHUNK) as u64;
        self.used.store(used, Relaxed);
        if used > self.peak.load(Relaxed) {
            self.peak.store(used, Relaxed);
        }
    }

    fn remove_used(&self, chunks: usize) {
        self.used.store(self.used.load(Relaxed) - (chunks * CHUNK) as u64, Relaxed);
    }

    /// Takes a span back whose contents are old since `epoch`. One that can't be made usable again
    /// for others, for lack of memory, stays in use.
    pub fn give(&self, span: &Span, epoch: u8) {
        if !guard::unfence(span) || !self.settle(span) {
            return;
        }
        let mut state = self.state.lock();
        self.remove_used(span.chunks());
        state.block_of(span).give(span, epoch);
    }

    /// Tells whether pages may be moved to one span more.
    pub fn takes_moved(&self) -> bool {
        // No partner: some more do no harm.
        self.moved.load(Relaxed) < MOVED_MOST
    }

    /// Notes that pages were moved to a span in use. One that a thread has kept may have been such
    /// a span before.
    pub fn note_moved(&self, span: &Span) {
        if !span.is_moved.replace(true) {
            // No partner: a number on its own.
            self.moved.fetch_add(1, Relaxed);
        }
    }

    /// Undoes what pages that were moved to a span that is given up have cost. False when it is
    /// lost by that.
    fn settle(&self, span: &Span) -> bool {
        if !span.is_moved.get() {
            return true;
        }
        let is_settled = renew(span);
        if is_settled {
            span.is_moved.set(false);
            // No partner: as above.
            self.moved.fetch_sub(1, Relaxed);
        }
        is_settled
    }

    /// Gives a span another length where it stands, if what lies behind it is free. False, and
    /// nothing has changed, where it is not, and for a shorter one of a span that pages were moved
    /// to: what the span would lose has to be renewed first, and may be lost by that.
    pub fn resize(&self, span: &Span, chunks: usize) -> bool {
        let may_be = chunks >= span.chunks() || !span.is_moved.get();
        may_be && self.resize_as_it_is(span, chunks)
    }

    /// Gives a span that was made longer a moment ago the length back that it had: no pages were
    /// moved to what it loses.
    pub fn undo_growth(&self, span: &Span, chunks: usize) {
        let undone = self.resize_as_it_is(span, chunks);
        ensure!(undone, "a span can always be as short as it was");
    }

    fn resize_as_it_is(&self, span: &Span, chunks: usize) -> bool {
        let before = span.chunks();
        let mut state = self.state.lock();
        if chunks > before && !self.is_within_limit(chunks - before) {
            return false;
        }
        if !state.block_of(span).resize(span, chunks, epoch()) {
            return false;
        }
        if chunks > before {
            self.add_used(chunks - before);
        } else {
            self.remove_used(before - chunks);
        }
        true
    }

    /// Gives some memory that was free for long enough back to the system. Bounded in work; does
    /// nothing while another thread is in the supply. True when there may be more.
    pub fn purge(&self) -> bool {
        let now = epoch();
        for _ in 0..PURGE_MOST / PURGE_STEP {
            let Some(mut state) = self.state.try_lock() else { return true };
            let purged = state.purge(PURGE_STEP, |stamp| is_old(stamp, now));
            self.count_purged(purged);
            if purged < PURGE_STEP {
                return false;
            }
        }
        true
    }

    /// Gives all free memory back to the system.
    pub fn trim(&self) {
        let mut state = self.state.lock();
        self.count_purged(state.purge(usize::MAX, |_| true));
    }

    fn count_purged(&self, chunks: usize) {
        let purged = self.purged.load(Relaxed) + (chunks * CHUNK) as u64;
        self.purged.store(purged, Relaxed);
    }

    /// Sets the bytes that are given at most, from now on.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// Returns what the supply holds.
    pub fn held(&self) -> Held {
        let state = self.state.lock();
        let sum = |each: fn(&Block) -> usize| {
            state.blocks().map(|block| (each(block) * CHUNK) as u64).sum()
        };
        Held {
            used: self.used.load(Relaxed),
            peak: self.peak.load(Relaxed),
            dirty: sum(Block::dirty_chunks),
            purged: self.purged.load(Relaxed),
            reserved: sum(Block::chunks),
        }
    }

    /// Calls `each` with every span in use. The supply is locked meanwhile: `each` neither takes
    /// nor gives.
    pub fn each(&self, each: impl FnMut(&'static Span)) {
        let state = self.state.lock();
        state.blocks().flat_map(Block::spans).for_each(each);
    }

    /// Releases all blocks.
    ///
    /// # Safety
    ///
    /// Nobody uses a span of this supply any more.
    pub unsafe fn release(&self) {
        let mut state = self.state.lock();
        let len = core::mem::take(&mut state.len);
        for block in state.blocks[..len].iter_mut().filter_map(Option::take) {
            // SAFETY: The caller promises that no span is used.
            unsafe { Block::release(block) };
        }
        self.used.store(0, Relaxed);
    }

    /// Takes the lock for as long as a fork lasts.
    pub fn hold(&self) {
        core::mem::forget(self.state.lock());
    }

    /// Frees the lock that [`hold`](Self::hold) took.
    pub fn let_go(&self) {
        self.state.unlock();
    }
}

/// Makes the chunks of a span what they were before pages were moved to them. Pages are only moved
/// to whole ones. False when they are lost by that.
fn renew(span: &Span) -> bool {
    // SAFETY: The chunks are ours, and nobody needs what they hold.
    page::within(span.start(), span.size())
        .is_none_or(|(pages, size)| unsafe { os::renew(pages, size) })
}

impl State {
    fn take(&mut self, chunks: usize, align: usize) -> Option<Taken> {
        self.blocks_mut().find_map(|block| block.take(chunks, align))
    }

    fn take_from_new(&mut self, chunks: usize, align: usize, least: usize) -> Option<Taken> {
        if self.len == BLOCKS_MOST {
            return None;
        }
        let held = self.blocks().map(Block::chunks).sum::<usize>() * CHUNK;
        let block = Block::reserve(chunks, align, held.max(least))?;
        self.blocks[self.len] = Some(block);
        self.len += 1;
        let taken = self.take(chunks, align);
        if taken.is_none() {
            // There is room, so there is no memory: with a block left by each request that fails
            // there would soon be no place for another.
            self.len -= 1;
            self.blocks[self.len] = None;
            // SAFETY: The block is new, and no span of it was taken.
            unsafe { Block::release(block) };
        }
        taken
    }

    fn purge(&mut self, most: usize, is_due: impl Fn(u8) -> bool) -> usize {
        // A block gives whole pages, so a few chunks more than it is asked for.
        let rest = |purged: usize| most.saturating_sub(purged);
        self.blocks_mut().fold(0, |purged, block| purged + block.purge(rest(purged), &is_due))
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        // SAFETY: The blocks are this supply's, and are reached through its lock alone.
        self.blocks[..self.len].iter().flatten().map(|block| unsafe { block.as_ref() })
    }

    fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Block> {
        let len = self.len;
        // SAFETY: As above, and the supply is borrowed alone.
        self.blocks[..len].iter_mut().flatten().map(|block| unsafe { block.as_mut() })
    }

    fn block_of(&mut self, span: &Span) -> &mut Block {
        let mut block = span.block();
        // SAFETY: A span's block is its supply's, which is borrowed alone.
        unsafe { block.as_mut() }
    }
}
