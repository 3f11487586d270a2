//! Where memory comes from: one trait, and layers over it that count, limit and fail.
//!
//! A [`Source`] gives a block for an order and takes it back. The lowest one asks the operating
//! system or a device; each layer is a source over another, so `Counted<Limited<S>>` is one too,
//! and every nesting works. A layer looks at sizes alone and costs a few atomic operations on each
//! way. All of them are used by many threads at once if the lowest source is.
//!
//! # Invariants
//!
//! 1. A layer releases to the source within what it acquired there, and nothing else.
//! 2. What [`Counted`] says is never more than what its source has given and not got back.
//! 3. What a [`Limited`] source has given and not got back is never more than the largest limit
//!    there was while it was given.

use core::fmt;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Something of a size.
pub trait Bytes {
    /// Returns the size in bytes. It is the same each time.
    fn size(&self) -> u64;
}

/// Gives blocks of memory and takes them back.
pub trait Source {
    /// What is wanted of a block. May borrow, such as a chain of structures for the driver.
    type Order<'a>: Bytes;

    /// What was given.
    type Block: Bytes;

    /// Why nothing was given.
    type Error;

    /// Gives a block at least as large as `order`.
    ///
    /// # Errors
    ///
    /// The cause; nothing has changed.
    fn acquire(&self, order: &Self::Order<'_>) -> Result<Self::Block, Self::Error>;

    /// Takes back a block that came from [`acquire`](Self::acquire) of this source.
    fn release(&self, block: Self::Block);
}

/// A layer that counts what it gives, readable at any time by any thread.
///
/// A block counts from when the source has given it until just before the source gets it back, so
/// around a [`Limited`] source the peak is never more than the limit.
#[derive(Debug, Default)]
pub struct Counted<S> {
    inner: S,
    held: AtomicU64,
    blocks: AtomicU64,
    peak: AtomicU64,
}

// Relaxed in all of it: the counters are answers; they hand over nothing.
impl<S> Counted<S> {
    /// Counts from zero.
    pub const fn new(inner: S) -> Self {
        let [held, blocks, peak] = [const { AtomicU64::new(0) }; 3];
        Self { inner, held, blocks, peak }
    }

    /// Returns the source within.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns the bytes in blocks. Costs one load.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Returns the number of blocks. Costs one load.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks.load(Relaxed)
    }

    /// Returns the most bytes there ever were in blocks at once. Costs one load.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }
}

impl<S: Source> Source for Counted<S> {
    type Order<'a> = S::Order<'a>;
    type Block = S::Block;
    type Error = S::Error;

    fn acquire(&self, order: &S::Order<'_>) -> Result<S::Block, S::Error> {
        let block = self.inner.acquire(order)?;
        let held = self.held.fetch_add(block.size(), Relaxed) + block.size();
        self.peak.fetch_max(held, Relaxed);
        self.blocks.fetch_add(1, Relaxed);
        Ok(block)
    }

    fn release(&self, block: S::Block) {
        self.blocks.fetch_sub(1, Relaxed);
        self.held.fetch_sub(block.size(), Relaxed);
        self.inner.release(block);
    }
}

/// Why a [`Limited`] source gave nothing. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedError<E> {
    /// The limit would be passed: release something, order less, or raise the limit.
    Limit {
        /// The limit in bytes.
        limit: u64,
        /// The bytes in blocks, with what other threads were acquiring.
        held: u64,
        /// The bytes of the block that there was no room for.
        size: u64,
    },
    /// The source within gave nothing.
    Inner(E),
}

impl<E: fmt::Display> fmt::Display for LimitedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { limit, held, size } => {
                write!(f, "{size} bytes pass the limit of {limit}: {held} are held")
            }
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for LimitedError<E> {}

/// A layer that never holds more bytes than its limit, whatever threads race.
///
/// It reserves the size of the order before it acquires, and takes the reservation back when the
/// source within fails. A block larger than its order needs the room for all of its size, and goes
/// back at once when there is none.
#[derive(Debug)]
pub struct Limited<S> {
    inner: S,
    limit: AtomicU64,
    /// The bytes in blocks and in reservations.
    held: AtomicU64,
}

impl<S> Limited<S> {
    /// Sets a limit in bytes; `u64::MAX` is none.
    pub const fn new(inner: S, limit: u64) -> Self {
        Self { inner, limit: AtomicU64::new(limit), held: AtomicU64::new(0) }
    }

    /// Returns the source within.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns the limit in bytes. Costs one load.
    #[must_use]
    pub fn limit(&self) -> u64 {
        // No partner: an answer.
        self.limit.load(Relaxed)
    }

    /// Sets the limit in bytes from now on. Below [`held`](Self::held) it takes nothing back, but
    /// nothing more is given until enough was released. Costs one store, by any thread.
    pub fn set_limit(&self, limit: u64) {
        // No partner: an acquire that races this keeps the one limit or the other.
        self.limit.store(limit, Relaxed);
    }

    /// Returns the bytes in blocks, with what threads are acquiring right now. Costs one load.
    #[must_use]
    pub fn held(&self) -> u64 {
        // No partner: an answer.
        self.held.load(Relaxed)
    }

    /// Reserves `more` bytes for a block of `size` bytes.
    fn reserve<E>(&self, more: u64, size: u64) -> Result<(), LimitedError<E>> {
        let limit = self.limit();
        let fits = |held: u64| held.checked_add(more).filter(|&sum| sum <= limit);
        // Acquire: pairs with `unreserve`, so that what was released before it has left the
        // source within when this room is used. A failure hands over nothing.
        match self.held.fetch_update(Acquire, Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(held) => Err(LimitedError::Limit { limit, held, size }),
        }
    }

    fn unreserve(&self, size: u64) {
        // Release: pairs with `reserve`.
        self.held.fetch_sub(size, Release);
    }
}

impl<S: Source> Source for Limited<S> {
    type Order<'a> = S::Order<'a>;
    type Block = S::Block;
    type Error = LimitedError<S::Error>;

    fn acquire(&self, order: &S::Order<'_>) -> Result<S::Block, Self::Error> {
        let ordered = order.size();
        self.reserve(ordered, ordered)?;
        let block = self.inner.acquire(order).map_err(|error| {
            self.unreserve(ordered);
            LimitedError::Inner(error)
        })?;
        debug_assert!(ordered <= block.size(), "a block is at least as large as its order");
        let more = block.size() - ordered;
        if more > 0
            && let Err(error) = self.reserve(more, block.size())
        {
            self.inner.release(block);
            self.unreserve(ordered);
            return Err(error);
        }
        Ok(block)
    }

    fn release(&self, block: S::Block) {
        let size = block.size();
        self.inner.release(block);
        self.unreserve(size);
    }
}

/// Which acquires fail, counted from the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// How many come to the source within before the first that fails.
    pub after: u64,
    /// How many fail then; `u64::MAX` is all.
    pub times: u64,
}

/// A layer that fails on demand, for the tests of whatever stands above it.
#[derive(Debug)]
pub struct Failing<S, F> {
    inner: S,
    error: F,
    after: AtomicU64,
    times: AtomicU64,
}

// Relaxed in all of it: a test that wants to know which of two racing acquires fails orders them.
impl<S: Source, F: Fn() -> S::Error> Failing<S, F> {
    /// Fails never yet; `error` makes the error of each failure to come.
    pub const fn new(inner: S, error: F) -> Self {
        Self { inner, error, after: AtomicU64::new(0), times: AtomicU64::new(0) }
    }

    /// Returns the source within.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Plans the failures from now on; those planned before and still to come are forgotten.
    /// No thread acquires meanwhile.
    pub fn fail(&self, failures: Failures) {
        self.after.store(failures.after, Relaxed);
        self.times.store(failures.times, Relaxed);
    }

    /// Returns the failures that are still to come. When `times` is what was planned, none came.
    #[must_use]
    pub fn planned(&self) -> Failures {
        Failures { after: self.after.load(Relaxed), times: self.times.load(Relaxed) }
    }
}

impl<S: Source, F: Fn() -> S::Error> Source for Failing<S, F> {
    type Order<'a> = S::Order<'a>;
    type Block = S::Block;
    type Error = S::Error;

    fn acquire(&self, order: &S::Order<'_>) -> Result<S::Block, S::Error> {
        if !count_down(&self.after) && count_down(&self.times) {
            return Err((self.error)());
        }
        self.inner.acquire(order)
    }

    fn release(&self, block: S::Block) {
        self.inner.release(block);
    }
}

/// Takes one from `count`, unless it is zero.
fn count_down(count: &AtomicU64) -> bool {
    count.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
}
