//! What waits until the device has completed a frame.
//!
//! A user numbers its frames as it likes, ascending; `u64::MAX` counts as the frame before it.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last frame: one more has a number too.
const FRAME_MAX: u64 = u64::MAX - 1;

/// One more than a frame's number.
pub const fn end_of(frame: u64) -> u64 {
    if frame < FRAME_MAX { frame + 1 } else { FRAME_MAX + 1 }
}

/// A queue of what waits, by frame.
#[derive(Debug)]
pub struct Frames<T> {
    waiting: Mutex<BTreeMap<u64, Vec<T>>>,
    /// One more than the last frame that is completed; written under the lock alone.
    completed_end: AtomicU64,
}

impl<T> Default for Frames<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), completed_end: AtomicU64::new(0) }
    }
}

impl<T> Frames<T> {
    /// Lets an item wait for a frame. It comes back when that is completed.
    pub fn add(&self, frame: u64, item: T) -> Option<T> {
        let frame = frame.min(FRAME_MAX);
        let mut waiting = self.lock();
        // Read under the lock that `complete` writes it under, so none is put aside for a frame
        // whose items have been taken.
        if self.completed_end.load(Ordering::Relaxed) > frame {
            return Some(item);
        }
        waiting.entry(frame).or_default().push(item);
        None
    }

    /// Says that a frame and all before it are completed. Returns what waited for them.
    pub fn complete(&self, frame: u64) -> impl Iterator<Item = T> {
        let end = end_of(frame);
        let mut waiting = self.lock();
        self.completed_end.fetch_max(end, Ordering::Relaxed);
        let later = waiting.split_off(&end);
        core::mem::replace(&mut *waiting, later).into_values().flatten()
    }

    /// Takes the frames that another knows to be completed for completed, while nothing waits here.
    pub fn follow(&self, other: &Self) {
        let end = other.completed_end.load(Ordering::Relaxed);
        let _waiting = self.lock();
        self.completed_end.fetch_max(end, Ordering::Relaxed);
    }

    /// Returns everything that waits, whatever its frame.
    pub fn take(&self) -> impl Iterator<Item = T> {
        core::mem::take(&mut *self.lock()).into_values().flatten()
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
