//! Spans that a local has given up and keeps for a while, so that the supply's lock does not show.
//!
//! A bin for each length up to 15 chunks, and eight bins a doubling from there: what is taken may
//! be a little longer than what was asked for. What is kept is bounded, and goes to the supply when
//! it is not what is wanted, when it was not used for long enough, or when memory is short: that
//! may be done by any thread, so the cache has a lock of its own, which its local finds free.

use crate::clock::is_old;
use crate::lock::{Guard, Lock};
use crate::size::CHUNK;
use crate::span::{Span, SpanList};
use crate::spans::Spans;
use crate::sync::AtomicPtr;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use polder_core::bins::Bins;

/// The longest span that is kept, in chunks.
pub const CHUNKS_MOST: usize = (8 << 20) / CHUNK;
/// What a local keeps at most, in chunks: of short spans, of which other threads go without, and of
/// long ones.
const KEPT_MOST: [usize; 2] = [(1 << 20) / CHUNK, (16 << 20) / CHUNK];
/// The longest of the short ones, in chunks: the slabs.
const SHORT_MOST: usize = 15;
/// Spans of one bin that are looked at for one that is long enough.
const LOOKS: usize = 4;

type Lengths = Bins<3>;
const BINS: usize = Lengths::floor(CHUNKS_MOST as u64) as usize + 1;

/// Spans of one local.
#[derive(Debug)]
pub struct Cache {
    /// The one given up last: one exchange takes it, and one puts it here.
    last: AtomicPtr<Span>,
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    bins: [SpanList; BINS],
    /// Of the short ones, and of the long ones.
    chunks: [usize; 2],
}

// SAFETY: The spans are in nobody else's hands, and go from thread to thread with the state.
unsafe impl Send for State {}

impl Cache {
    /// Makes an empty cache.
    pub const fn new() -> Self {
        let bins = [const { SpanList::new() }; BINS];
        let state = Lock::new(State { bins, chunks: [0; 2] });
        Self { last: AtomicPtr::new(null_mut()), state }
    }

    /// Takes the span given up last, if it is what is wanted.
    #[inline(always)]
    pub fn take_last(&self, is_wanted: impl FnOnce(&Span) -> bool) -> Option<&'static Span> {
        // No partner, here and below: what is found was put here by this thread, or by the one
        // whose local this was, before a lock gave it to this one.
        let last = self.last.load(Relaxed);
        // SAFETY: Null, or a record that `give` has put here; records live as long as their block.
        let span = unsafe { last.as_ref() }?;
        // Who has taken it meanwhile has not put it back: only the local's thread does. So what was
        // seen of it still holds.
        let is_taken = is_wanted(span)
            && self.last.compare_exchange(last, null_mut(), Relaxed, Relaxed).is_ok();
        is_taken.then_some(span)
    }

    /// Takes a span of `chunks`, or a little more where it is longer than 15.
    pub fn take(&self, chunks: usize) -> Option<&'static Span> {
        self.take_last(|span| span.chunks() == chunks).or_else(|| self.take_kept(chunks))
    }

    fn take_kept(&self, chunks: usize) -> Option<&'static Span> {
        if chunks > CHUNKS_MOST { None } else { self.state.lock().take(chunks) }
    }

    /// Takes a span, of [`CHUNKS_MOST`] at most, as the one given up last. Returns the one before,
    /// to be [kept](Self::keep).
    #[inline(always)]
    pub fn give(&self, span: &'static Span) -> Option<&'static Span> {
        self.replace_last((&raw const *span).cast_mut())
    }

    /// Keeps a span that was [given](Self::give). Returns it when there is no room for it.
    pub fn keep(&self, span: &'static Span) -> Option<&'static Span> {
        let (mut state, kind) = (self.state.lock(), kind_of(span));
        if state.chunks[kind] + span.chunks() > KEPT_MOST[kind] {
            return Some(span);
        }
        state.keep(span);
        None
    }

    #[inline(always)]
    fn replace_last(&self, span: *mut Span) -> Option<&'static Span> {
        // Acquire and release: the span's record goes from who put it here to who takes it.
        let before = self.last.swap(span, AcqRel);
        // SAFETY: Null, or a record that `give` has put here; records live as long as their block.
        unsafe { before.as_ref() }
    }

    /// Hands what has been here for long enough to the supply; everything, when that is what is
    /// wanted.
    pub fn hand_over(&self, supply: &Spans, which: Which) {
        let mut state = self.state.lock();
        if let Some(last) = self.replace_last(null_mut()) {
            state.keep(last);
        }
        state.take_out(which, |span| {
            let since = if let Which::Since(epoch) = which { epoch } else { span.stamp.get() };
            supply.give(span, since);
        });
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
    /// All, as if they had been free since this epoch.
    Since(u8),
}

impl State {
    #[inline]
    fn take(&mut self, chunks: usize) -> Option<&'static Span> {
        let list = &self.bins[Lengths::floor(chunks as u64) as usize];
        let first = list.first()?;
        let found = if first.chunks() >= chunks { first } else { longer(first, chunks)? };
        list.remove(found);
        self.chunks[kind_of(found)] -= found.chunks();
        Some(found)
    }

    fn keep(&mut self, span: &'static Span) {
        self.chunks[kind_of(span)] += span.chunks();
        self.bins[Lengths::floor(span.chunks() as u64) as usize].push(span);
    }

    /// Hands each span that shall leave to `give`.
    fn take_out(&mut self, which: Which, give: impl Fn(&'static Span)) {
        let leaves = |span: &Span| match which {
            Which::Old(now) => is_old(span.stamp.get(), now),
            Which::All | Which::Since(_) => true,
        };
        // Who asks for new spans one after another has none.
        if self.chunks == [0; 2] {
            return;
        }
        for list in &self.bins {
            let mut rest = list.first();
            while let Some(span) = rest {
                rest = span.behind().next();
                if leaves(span) {
                    list.remove(span);
                    self.chunks[kind_of(span)] -= span.chunks();
                    give(span);
                }
            }
        }
    }
}

fn kind_of(span: &Span) -> usize {
    usize::from(span.chunks() > SHORT_MOST)
}

/// One of the next in a bin that is long enough.
#[cold]
fn longer(first: &'static Span, chunks: usize) -> Option<&'static Span> {
    first.behind().take(LOOKS).find(|span| span.chunks() >= chunks)
}
