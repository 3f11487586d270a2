//! The pools of one allocator.
//!
//! # Invariants
//!
//! 1. Of a pool in which something waits for a frame the family has an `Arc`, so that what waits is
//!    not freed before its frame because the pool's last handle goes. It goes with the family, and
//!    that with the allocator: pools know it by a `Weak`.
//! 2. No pool is dropped, and nothing is freed, under a lock of the family's.

use super::Suballocator;
use crate::device::Device;
use crate::division::Division;
use crate::frame_queue::FrameQueue;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// See the [module](self).
#[derive(Debug)]
pub struct Family<D: Device, V: Division> {
    /// Those that may still be in use.
    pools: Mutex<Vec<Weak<Suballocator<D, V>>>>,
    /// Those in which something waits; some in which nothing does any more.
    waiting: Mutex<Vec<Arc<Suballocator<D, V>>>>,
}

impl<D: Device, V: Division> Default for Family<D, V> {
    fn default() -> Self {
        Self { pools: Mutex::default(), waiting: Mutex::default() }
    }
}

/// A pool's place in its family.
#[derive(Debug)]
pub struct Member<D: Device, V: Division> {
    own: Weak<Suballocator<D, V>>,
    family: Weak<Family<D, V>>,
}

impl<D: Device, V: Division> Family<D, V> {
    /// Takes a pool in, which goes on from the frames of `frames`.
    pub fn join(
        this: &Arc<Self>,
        mut pool: Suballocator<D, V>,
        frames: &FrameQueue<D>,
    ) -> Arc<Suballocator<D, V>> {
        let pool = Arc::new_cyclic(|own| {
            pool.member = Some(Member { own: own.clone(), family: Arc::downgrade(this) });
            pool
        });
        let mut pools = lock(&this.pools);
        // Under the lock, so that the pool hears of every frame: from here, or as one of these.
        pool.frames.follow(frames);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Returns the pools that are in use, or in which something waits.
    pub fn pools(&self) -> Vec<Arc<Suballocator<D, V>>> {
        lock(&self.pools).iter().filter_map(Weak::upgrade).collect()
    }

    /// Says that the device has completed `frame` and all before it, and lets the pools go that
    /// only what waited for it kept.
    pub fn complete_frame(&self, frame: u64) {
        self.pools().iter().for_each(|pool| pool.complete_frame(frame));
        // Under the lock that `keep_waiting` looks under: what is put aside in a pool meanwhile is
        // seen here, or takes the pool in again.
        let ended: Vec<_> =
            lock(&self.waiting).extract_if(.., |pool| pool.frames.is_empty()).collect();
        drop(ended);
    }
}

impl<D: Device, V: Division> Suballocator<D, V> {
    /// Lets the family keep this pool while something waits in it.
    pub(super) fn stay_while_waiting(&self) {
        let Some(Member { own, family }) = &self.member else { return };
        // Without an allocator, or an `Arc` of the pool, nobody is there to keep it.
        let (Some(own), Some(family)) = (own.upgrade(), family.upgrade()) else { return };
        let mut waiting = lock(&family.waiting);
        let is_kept = waiting.iter().any(|pool| Arc::ptr_eq(pool, &own));
        if !is_kept && !self.frames.is_empty() {
            waiting.push(own);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
