//! The arenas and pools of one allocator.
//!
//! They take blocks from the same heaps, so an empty block that one keeps may be what another
//! lacks: where memory is short, all give back theirs.
//!
//! # Invariants
//!
//! 1. Of a pool in which something waits for a frame the family has an `Arc`, so that what waits is
//!    not freed before its frame because the pool's last handle goes. It goes with the family, and
//!    that with the allocator: pools know it by a `Weak`.
//! 2. No pool is dropped, and nothing is freed, under a lock of the family's.

use super::Suballocator;
use crate::arena::Arena;
use crate::device::Device;
use crate::division::Division;
use crate::error::ShortageCause;
use crate::frame_queue::FrameQueue;
use crate::supply::Refusal;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// See the [module](self).
#[derive(Debug)]
pub struct Family<D: Device, V: Division> {
    /// The allocator's, made or not.
    arenas: Arc<[OnceLock<Arena<D, V>>]>,
    /// Those that may still be in use.
    pools: Mutex<Vec<Weak<Suballocator<D, V>>>>,
    /// Those in which something waits; some in which nothing does any more.
    waiting: Mutex<Vec<Arc<Suballocator<D, V>>>>,
}

/// A pool's place in its family.
#[derive(Debug)]
pub struct Member<D: Device, V: Division> {
    own: Weak<Suballocator<D, V>>,
    family: Weak<Family<D, V>>,
}

impl<D: Device, V: Division> Family<D, V> {
    /// Makes one without pools.
    pub const fn new(arenas: Arc<[OnceLock<Arena<D, V>>]>) -> Self {
        Self { arenas, pools: Mutex::new(Vec::new()), waiting: Mutex::new(Vec::new()) }
    }

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

    /// Gives every empty block of a heap, or of all, back to the device, but for the least numbers
    /// that the pools' setups say.
    pub fn trim(&self, heap: Option<u32>) {
        let is_of = |arena: &Arena<D, V>| {
            let own = arena.supply().heap_of(arena.config().memory_type);
            heap.is_none_or(|heap| heap == own)
        };
        let made = self.arenas.iter().filter_map(OnceLock::get);
        made.filter(|arena| is_of(arena)).for_each(Arena::trim);
        let pools = self.pools();
        pools.iter().filter(|pool| is_of(&pool.arena)).for_each(|pool| pool.trim());
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

    /// Gives the empty blocks of the allocator and its other pools back to the device, if they may
    /// be why a request of this one was refused; whether it did.
    pub(super) fn trim_others(&self, refusal: Refusal) -> bool {
        let (supply, memory_type) = (self.arena.supply(), self.memory_type());
        let own = supply.heap_of(memory_type);
        // A limit of this pool's alone is no concern of theirs.
        let heap = match refusal {
            Refusal::Short(ShortageCause::Limit { limit }) if limit == supply.limit(own) => {
                Some(own)
            }
            Refusal::Short(ShortageCause::BlockCount { count_max })
                if count_max == supply.properties().limits.block_count_max =>
            {
                None
            }
            Refusal::Short(ShortageCause::Budget | ShortageCause::Driver) => Some(own),
            _ => return false,
        };
        let family = self.member.as_ref().and_then(|member| member.family.upgrade());
        family.is_some_and(|family| {
            family.trim(heap);
            true
        })
    }

    /// Gives the empty blocks of heaps, a bit each, back to the device, those of the allocator and
    /// its other pools too.
    pub(super) fn trim_heaps(&self, heaps: u32) {
        if heaps == 0 {
            return;
        }
        match self.member.as_ref().and_then(|member| member.family.upgrade()) {
            Some(family) => {
                (0..u32::BITS).filter(|heap| heaps >> heap & 1 == 1).for_each(|heap| {
                    family.trim(Some(heap));
                });
            }
            None => self.trim(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
