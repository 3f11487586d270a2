//! Spans that a local has given up and keeps for a while, so that the supply's lock does not show.
//!
//! A bin for each length; up to 16 chunks every length has its own. What is kept is bounded, and
//! goes to the supply when it was not used for long enough, or at once when memory is short: that
//! may be done by any thread, so the cache has a lock of its own, which its local finds free.

use crate::clock::is_old;
use crate::lock::{Guard, Lock};
use crate::size::CHUNK;
use crate::span::{Span, SpanList};
use crate::spans::Spans;
use polder_core::bins::Bins;
use polder_core::bitset::BitSet;

/// The longest span that is kept, in chunks.
const CHUNKS_MOST: usize = (8 << 20) / CHUNK;
/// What a local keeps at most, in chunks.
const KEPT_MOST: usize = (16 << 20) / CHUNK;
/// Spans of one bin that are looked at for one that is long enough.
const LOOKS: usize = 4;

type Lengths = Bins<3>;
const BINS: usize = Lengths::floor(CHUNKS_MOST as u64) as usize + 1;

/// Spans of one local.
#[derive(Debug)]
pub struct Cache {
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    bins: [SpanList; BINS],
    filled: BitSet<{ BINS.div_ceil(64) }>,
    chunks: usize,
}

// SAFETY: The spans are in nobody else's hands, and go from thread to thread with the state.
unsafe impl Send for State {}

impl Cache {
    /// Makes an empty cache.
    pub const fn new() -> Self {
        let bins = [const { SpanList::new() }; BINS];
        Self { state: Lock::new(State { bins, filled: BitSet::new(), chunks: 0 }) }
    }

    /// Takes a span of `chunks`, or a little more where it is longer than 16.
    #[inline]
    pub fn take(&self, chunks: usize) -> Option<&'static Span> {
        if chunks > CHUNKS_MOST {
            return None;
        }
        self.state.lock().take(chunks)
    }

    /// Keeps a span. False when it is too long or there is no room for it.
    #[inline]
    pub fn give(&self, span: &'static Span) -> bool {
        span.chunks() <= CHUNKS_MOST && self.state.lock().give(span)
    }

    /// Hands what has been here for long enough to the supply; everything, when that is what is
    /// wanted.
    pub fn hand_over(&self, supply: &Spans, which: Which) {
        let mut state = self.state.lock();
        while let Some(span) = state.next(which) {
            supply.give(span, span.stamp.get());
        }
    }

    /// Returns the bytes that are kept.
    pub fn size(&self) -> usize {
        self.state.lock().chunks * CHUNK
    }

    /// Takes the lock for as long as a fork lasts.
    pub fn hold(&self) {
        core::mem::forget::<Guard<'_, State>>(self.state.lock());
    }

    /// Frees the lock that [`hold`](Self::hold) took.
    pub fn let_go(&self) {
        self.state.unlock();
    }
}

/// Which spans leave a cache.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// Those that are old in this epoch.
    Old(u8),
    /// All.
    All,
}

impl State {
    #[inline]
    fn take(&mut self, chunks: usize) -> Option<&'static Span> {
        let bin = Lengths::floor(chunks as u64);
        let fits = |span: &&Span| span.chunks() >= chunks;
        let found = self.bins[bin as usize].iter().take(LOOKS).find(fits)?;
        self.remove(bin, found);
        Some(found)
    }

    #[inline]
    fn give(&mut self, span: &'static Span) -> bool {
        let chunks = self.chunks + span.chunks();
        if chunks > KEPT_MOST {
            return false;
        }
        self.chunks = chunks;
        let bin = Lengths::floor(span.chunks() as u64);
        self.bins[bin as usize].push(span);
        self.filled.insert(bin);
        true
    }

    fn remove(&mut self, bin: u32, span: &Span) {
        let list = &self.bins[bin as usize];
        list.remove(span);
        self.chunks -= span.chunks();
        if list.first().is_none() {
            self.filled.remove(bin);
        }
    }

    /// Takes a span that shall leave.
    fn next(&mut self, which: Which) -> Option<&'static Span> {
        let leaves = |span: &&Span| match which {
            Which::Old(now) => is_old(span.stamp.get(), now),
            Which::All => true,
        };
        let mut bin = self.filled.next(0);
        while let Some(at) = bin {
            let found = self.bins[at as usize].iter().find(leaves);
            if let Some(span) = found {
                self.remove(at, span);
                return Some(span);
            }
            bin = self.filled.next(at + 1);
        }
        None
    }
}
