//! Which arena a thread keeps to.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// Threads are given their first arena in turn.
static NEXT: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The arena that the thread used last, in every memory type.
    static HOME: Cell<u32> = const { Cell::new(UNKNOWN) };
}

const UNKNOWN: u32 = u32::MAX;

/// Returns the number of this thread's arena, among `count`.
#[inline]
pub fn home(count: u32) -> u32 {
    let home = HOME.get();
    if home < count {
        return home;
    }
    if home == UNKNOWN {
        // Relaxed: only that the numbers differ matters.
        HOME.set(NEXT.fetch_add(1, Ordering::Relaxed) & (UNKNOWN >> 1));
    }
    HOME.get() % count
}

/// Makes this thread keep to another arena.
pub fn move_home(home: u32) {
    HOME.set(home);
}

/// Returns how many processors there are, as the system says; one if it does not.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
