//! A lock of one word that allocates nothing.
//!
//! Three states, after Drepper's "Futexes are tricky" (2011): free, taken, taken with others
//! asleep. Who meets it taken looks a few more times before it sleeps in the kernel.
//!
//! # Invariants
//!
//! 1. Whoever sleeps has left the word at [`CONTENDED`], so the holder wakes one at its end.

use crate::os;
use crate::sync::{AtomicU32, SPINS, spin_loop};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const CONTENDED: u32 = 2;

/// A value that one thread at a time may touch.
#[derive(Debug)]
pub struct Lock<T> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: The word lets one thread at a time reach the value, which may go to that thread.
unsafe impl<T: Send> Sync for Lock<T> {}

/// The right to touch the value, until it is dropped.
#[derive(Debug)]
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Lock<T> {
    /// Makes a free lock.
    pub const fn new(value: T) -> Self {
        Self { word: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    /// Waits until the lock is free, and takes it.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        self.try_lock().unwrap_or_else(|| self.wait())
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        // Acquire: pairs with the exchange in `unlock`.
        let taken = self.word.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_ok();
        taken.then(|| Guard { lock: self })
    }

    #[cold]
    fn wait(&self) -> Guard<'_, T> {
        for _ in 0..SPINS {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            spin_loop();
        }
        // Acquire: as in `try_lock`. That others may not be asleep any more costs one wake.
        while self.word.swap(CONTENDED, Acquire) != FREE {
            os::wait(&self.word, CONTENDED);
        }
        Guard { lock: self }
    }

    /// Returns the guard of a lock that the caller holds, through a guard that it has forgotten.
    ///
    /// # Safety
    ///
    /// It does, and has no other guard of it.
    pub unsafe fn held(&self) -> Guard<'_, T> {
        Guard { lock: self }
    }

    /// Frees the lock. Its holder is the caller, through a guard that it has forgotten.
    #[inline]
    pub fn unlock(&self) {
        // Release: pairs with whoever takes it next.
        if self.word.swap(FREE, Release) == CONTENDED {
            os::wake(&self.word);
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: This guard is the only one.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: This guard is the only one, and it is borrowed alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.unlock();
    }
}
