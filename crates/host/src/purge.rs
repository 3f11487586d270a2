//! Memory goes back to the system: along the way, now, or from a thread that does nothing else.

use crate::cache::Which;
use crate::clock;
use crate::os;
use crate::pool;
use crate::settings;
use crate::spans::SHARED;
use crate::thread;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

static IS_STARTED: AtomicBool = AtomicBool::new(false);
/// Whether this process is the child of one that had the thread, and has none.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Looks at the clock, and gives some of what was free for long enough back: a bounded part. Once
/// in an epoch it also looks at every local, in use or pooled, and takes the lock of its cache:
/// that takes time for each thread that there was at once.
pub fn look() {
    if clock::advance() {
        pool::tidy(clock::epoch());
        clock::set_purging(true);
    }
    if clock::is_purging() {
        clock::set_purging(SHARED.purge());
    }
    // No partner: one thread takes the news.
    if IS_LOST.load(Relaxed) && IS_LOST.swap(false, Relaxed) {
        start();
    }
}

/// Notes that the thread that purges did not come along into the child of a fork.
pub fn lose_thread() {
    // No partner: the child has one thread.
    let was_started = IS_STARTED.swap(false, Relaxed);
    IS_LOST.store(was_started, Relaxed);
}

/// Gives all free memory back to the system that can be had: spare slabs and kept spans of the
/// calling thread, kept spans of all others, and what pooled locals have. Returns how many bytes.
///
/// Slabs of other threads stay theirs. Takes the time that the system needs to take the pages.
pub fn trim() -> u64 {
    let before = SHARED.held().purged;
    let _ = thread::with_own(|local| {
        local.tidy(Which::All);
        Some(())
    });
    pool::tend_all(Which::All);
    pool::hand_over_caches();
    SHARED.trim();
    SHARED.held().purged - before
}

/// Starts the thread that purges; once.
pub fn start() {
    // No partner: whoever swaps first starts it.
    if !IS_STARTED.swap(true, Relaxed) && !os::start_thread(work) {
        IS_STARTED.store(false, Relaxed);
    }
}

fn work() {
    loop {
        os::sleep_ms(settings::epoch_ms());
        look();
        while clock::is_purging() {
            clock::set_purging(SHARED.purge());
        }
    }
}
