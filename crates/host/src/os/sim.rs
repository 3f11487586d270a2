//! The operating system in software: the same contract, kept by bookkeeping, for tests.
//!
//! Memory comes from `std`'s `System`; what the contract asks of the caller is checked, and a
//! breach ends the process with one line (see [`ledger`]). Tests make calls fail, move the clock
//! and choose the page and the limit through [`control`].
//!
//! # Invariants
//!
//! 1. Whatever a call fails for, nothing has changed.

pub mod control;
#[cfg(miri)]
#[path = "sim/apart.rs"]
mod grant;
#[cfg(not(miri))]
#[path = "sim/together.rs"]
mod grant;
mod ledger;

use super::Relocation;
use crate::thread;
use control::Call;
use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use ledger::{Ledger, broken};
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static LEDGER: Mutex<Ledger> = Mutex::new(Ledger::new());

fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the bytes of a page.
pub fn page_size() -> usize {
    control::page()
}

/// Returns the limit on address space.
pub fn address_limit() -> Option<usize> {
    Some(control::limit())
}

/// Reserves address space without memory. The hint is not heard.
pub fn reserve(size: usize, _hint: usize) -> Option<NonNull<u8>> {
    if control::fails(Call::Reserve) { None } else { ledger().reserve(size) }
}

/// Reserves address space that reads as zero.
pub fn reserve_readable(size: usize) -> Option<NonNull<u8>> {
    if control::fails(Call::ReserveReadable) { None } else { ledger().reserve(size) }
}

/// Makes a part of a reservation usable.
///
/// # Safety
///
/// The range is part of a reservation of the caller's.
pub unsafe fn commit(base: NonNull<u8>, size: usize) -> bool {
    let fails = control::fails(Call::Commit);
    let mut ledger = ledger();
    let pages = ledger.pages_of(base, size, "commit of what is not reserved");
    if !fails {
        // SAFETY: The pages are those of the caller's range.
        pages.for_each(|page| unsafe { page.commit() });
    }
    !fails
}

/// Gives the memory of a committed part back; it stays usable, and reads as zero.
///
/// # Safety
///
/// The range is committed, and what it holds is needed by nobody.
pub unsafe fn decommit(base: NonNull<u8>, size: usize) -> bool {
    let fails = control::fails(Call::Decommit);
    let mut ledger = ledger();
    for page in ledger.pages_of(base, size, "decommit of what is not reserved") {
        page.expect_committed("decommit of what is not committed");
        if !fails {
            // SAFETY: The page is the caller's, who gives its contents up.
            unsafe { page.fill(0) };
        }
    }
    !fails
}

/// Makes each access to a part of a reservation fault; here, what it held is lost.
///
/// # Safety
///
/// The range is part of a reservation of the caller's, and used by nobody.
pub unsafe fn protect(base: NonNull<u8>, size: usize) -> bool {
    let fails = control::fails(Call::Protect);
    let mut ledger = ledger();
    let pages = ledger.pages_of(base, size, "protection of what is not reserved");
    if !fails {
        // SAFETY: The pages are those of the caller's range, which nobody uses.
        pages.for_each(|page| unsafe { page.protect() });
    }
    !fails
}

/// Gives a reservation back.
///
/// # Safety
///
/// The range is a reservation, whole, and nobody uses any of it.
pub unsafe fn release(base: NonNull<u8>, size: usize) {
    // SAFETY: As promised to us.
    unsafe { ledger().release(base, size) };
}

/// Copies the pages of `source` to `target` and makes the source zero.
///
/// # Safety
///
/// - Both ranges are committed, do not overlap, and are the caller's.
/// - The page behind the source is of the same reservation.
/// - What the target holds is needed by nobody.
pub unsafe fn relocate(source: NonNull<u8>, target: NonNull<u8>, size: usize) -> Relocation {
    if source.addr().get().abs_diff(target.addr().get()) < size {
        broken("move of pages over themselves", source);
    }
    let fails = control::fails(Call::Relocate);
    let mut ledger = ledger();
    for range in [source, target] {
        let pages = ledger.pages_of(range, size, "move of what is not reserved");
        pages.for_each(|page| page.expect_committed("move of what is not committed"));
    }
    if fails {
        return Relocation::Stayed;
    }
    if control::fails(Call::Lose) {
        let pages = ledger.pages_of(target, size, "move to what is not reserved");
        // SAFETY: What the target holds is needed by nobody.
        pages.for_each(|page| unsafe { page.protect() });
        return Relocation::Lost;
    }
    // SAFETY: Both ranges are committed and the caller's, and apart.
    unsafe { target.copy_from_nonoverlapping(source, size) };
    // SAFETY: As above.
    unsafe { source.write_bytes(0, size) };
    Relocation::Moved
}

/// Makes a range that pages were moved to zero; when that fails, it is lost.
///
/// # Safety
///
/// The range is part of a reservation of the caller's, and what it holds is needed by nobody.
pub unsafe fn renew(base: NonNull<u8>, size: usize) -> bool {
    let fails = control::fails(Call::Renew);
    for page in ledger().pages_of(base, size, "renewal of what is not reserved") {
        if fails {
            // SAFETY: The page is the caller's, who gives its contents up.
            unsafe { page.protect() };
        } else {
            // SAFETY: As above.
            unsafe { page.commit() };
            // SAFETY: As above.
            unsafe { page.fill(0) };
        }
    }
    !fails
}

/// Returns what the test's clock shows.
pub fn now_ms() -> u64 {
    control::now_ms()
}

/// Waits, and moves the test's clock.
pub fn sleep_ms(time: u64) {
    std::thread::sleep(Duration::from_millis(time));
    control::pass_ms(time);
}

static SLEEPERS: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());

/// Sleeps while `word` holds `value`; may return early.
pub fn wait(word: &AtomicU32, value: u32) {
    let guard = SLEEPERS.0.lock().unwrap_or_else(PoisonError::into_inner);
    // No partner: whoever changes the word afterwards wakes under the same mutex.
    if word.load(Relaxed) == value {
        drop(SLEEPERS.1.wait(guard));
    }
}

/// Wakes all who wait, for whatever word.
pub fn wake(_word: &AtomicU32) {
    let _guard = SLEEPERS.0.lock().unwrap_or_else(PoisonError::into_inner);
    SLEEPERS.1.notify_all();
}

/// Returns the next of a row of words, the same in each run.
pub fn random() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // No partner: a number on its own.
    let word = LAST.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
    (word ^ word >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ word >> 7
}

/// Calls `each` with every `NAME=value` of the environment that begins so.
pub fn variables(begin: &[u8], mut each: impl FnMut(&[u8])) {
    for (name, value) in std::env::vars_os() {
        let mut text = name.into_encoded_bytes();
        text.push(b'=');
        text.extend_from_slice(value.as_encoded_bytes());
        if text.starts_with(begin) {
            each(&text);
        }
    }
}

/// Runs `work` in a thread.
pub fn start_thread(work: fn()) -> bool {
    std::thread::Builder::new().spawn(work).is_ok()
}

/// Writes text to the standard error.
pub fn write(text: &[u8]) {
    let _ = std::io::stderr().write_all(text);
}

/// Ends the process.
pub fn abort() -> ! {
    std::process::abort()
}

/// Tells the heap of the thread's end.
struct Exit(Cell<Option<NonNull<c_void>>>);

impl Drop for Exit {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            thread::on_exit(value);
        }
    }
}

std::thread_local! {
    static EXIT: Exit = const { Exit(Cell::new(None)) };
}

/// Hands `value` to `thread::on_exit` when this thread ends.
pub fn at_thread_exit(value: NonNull<c_void>) {
    // A thread whose destructors have run already keeps what it has.
    let _ = EXIT.try_with(|exit| exit.0.set(Some(value)));
}

/// Does nothing: processes of this system do not fork.
pub fn at_fork(_before: extern "C" fn(), _parent: extern "C" fn(), _child: extern "C" fn()) {}

/// Does nothing: nobody hears of a process's end.
pub fn at_exit(_function: extern "C" fn()) {}
