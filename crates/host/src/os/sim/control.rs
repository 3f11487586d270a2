//! What a test decides about the system in software: which calls fail, what time it is, how long
//! a page is and how much address space there is.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// The longest page, in bytes.
pub const PAGE_MOST: usize = 64 << 10;

static PAGE: AtomicUsize = AtomicUsize::new(4096);
static LIMIT: AtomicUsize = AtomicUsize::new(if cfg!(miri) { 256 << 20 } else { 1 << 30 });
static CLOCK_MS: AtomicU64 = AtomicU64::new(1000);

/// A call that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Address space without memory.
    Reserve,
    /// Address space that reads as zero.
    ReserveReadable,
    /// Memory for a part of it.
    Commit,
    /// Memory goes back.
    Decommit,
    /// A part faults from then on.
    Protect,
    /// Pages are moved.
    Relocate,
    /// The place that pages are moved to stays usable.
    Lose,
    /// So does it when it is made a place like any other again.
    Renew,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Reserve,
        Self::ReserveReadable,
        Self::Commit,
        Self::Decommit,
        Self::Protect,
        Self::Relocate,
        Self::Lose,
        Self::Renew,
    ];
}

/// How often a kind of call was made, and which of them fail.
struct Plan {
    calls: AtomicU64,
    /// The numbers of the calls that fail, counted from 0: from the first up to the last, less one.
    first: AtomicU64,
    last: AtomicU64,
}

static PLANS: [Plan; Call::ALL.len()] = [const { Plan::new() }; Call::ALL.len()];
/// That of all calls together.
static ANY: Plan = Plan::new();

impl Plan {
    const fn new() -> Self {
        Self { calls: AtomicU64::new(0), first: AtomicU64::new(0), last: AtomicU64::new(0) }
    }

    fn set(&self, after: u64, times: u64) {
        let first = self.calls.load(Relaxed) + after;
        self.first.store(first, Relaxed);
        self.last.store(first.saturating_add(times), Relaxed);
    }

    fn fails(&self) -> bool {
        let number = self.calls.fetch_add(1, Relaxed);
        (self.first.load(Relaxed)..self.last.load(Relaxed)).contains(&number)
    }
}

/// Lets `after` more calls of this kind succeed, and then `times` of them fail.
pub fn fail(call: Call, after: u64, times: u64) {
    PLANS[call as usize].set(after, times);
}

/// Lets `after` more calls of whatever kind succeed, and then `times` of them fail.
pub fn fail_any(after: u64, times: u64) {
    ANY.set(after, times);
}

/// Lets all calls succeed again.
pub fn fail_none() {
    PLANS.iter().chain([&ANY]).for_each(|plan| plan.set(0, 0));
}

/// Returns how many calls of a kind were made.
#[must_use]
pub fn calls(call: Call) -> u64 {
    PLANS[call as usize].calls.load(Relaxed)
}

pub(super) fn fails(call: Call) -> bool {
    let (of_kind, of_any) = (PLANS[call as usize].fails(), ANY.fails());
    of_kind || of_any
}

/// Returns the clock's time, in milliseconds. It stands still but for [`pass_ms`].
#[must_use]
pub fn now_ms() -> u64 {
    CLOCK_MS.load(Relaxed)
}

/// Moves the clock.
pub fn pass_ms(time: u64) {
    CLOCK_MS.fetch_add(time, Relaxed);
}

/// Sets the bytes of a page, before the first allocation.
///
/// # Panics
///
/// If it is no power of two from 4 KiB to 64 KiB.
pub fn set_page(size: usize) {
    assert!(size.is_power_of_two() && (4096..=PAGE_MOST).contains(&size), "a page of {size} bytes");
    PAGE.store(size, Relaxed);
}

pub(super) fn page() -> usize {
    PAGE.load(Relaxed)
}

/// Sets the limit on address space, in bytes, before the first allocation.
pub fn set_limit(size: usize) {
    LIMIT.store(size, Relaxed);
}

pub(super) fn limit() -> usize {
    LIMIT.load(Relaxed)
}

/// Returns the bytes of address space in reservations.
#[must_use]
pub fn reserved() -> usize {
    super::ledger().reserved()
}

/// Returns the bytes that are committed, decommitted since or not.
#[must_use]
pub fn committed() -> usize {
    super::ledger().committed()
}

/// Tells whether `size` bytes from there on may be used: whether an access would not fault.
#[must_use]
pub fn is_committed(start: *const u8, size: usize) -> bool {
    super::ledger().is_committed(start.addr(), size)
}
