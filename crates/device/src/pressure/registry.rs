//! What may go when memory is short.
//!
//! # Invariants
//!
//! 1. Exactly those allocations stand here whose note holds a [`Registration`]. The note goes with
//!    its allocation, and the registration with the note: no stale name stays, and there are never
//!    more names than allocations.
//! 2. The lock is the last that a thread takes: an arena's may be held, and nothing is called.

use super::Candidate;
use crate::allocation::AllocationId;
use core::cmp::Reverse;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Registry {
    candidates: Mutex<HashMap<AllocationId, OfHeap>>,
    /// The frame that is recorded; 0 when no frames are used.
    frame: AtomicU64,
}

#[derive(Debug)]
struct OfHeap {
    heap: u32,
    candidate: Candidate,
}

/// Keeps an allocation in its registry.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    id: AllocationId,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.id);
    }
}

impl Registration {
    /// Gives it another priority.
    pub fn set_priority(&self, priority: f32) {
        self.change(|candidate| candidate.priority = priority);
    }

    /// Gives it another number of the user's own.
    pub fn set_user_data(&self, user_data: u64) {
        self.change(|candidate| candidate.user_data = user_data);
    }

    fn change(&self, change: impl FnOnce(&mut Candidate)) {
        let mut candidates = self.registry.lock();
        let own = candidates.get_mut(&self.id).expect("it stands there until it is dropped");
        change(&mut own.candidate);
    }
}

impl Registry {
    /// Adds an allocation of a heap, which is used in the frame that is recorded.
    #[must_use]
    pub fn add(self: &Arc<Self>, heap: u32, candidate: Candidate) -> Registration {
        let candidate = Candidate { last_use: self.frame(), ..candidate };
        let id = candidate.id;
        self.lock().insert(id, OfHeap { heap, candidate });
        Registration { registry: self.clone(), id }
    }

    /// Notes that `frame` uses what of `used` stands here.
    pub fn touch(&self, frame: u64, used: &[AllocationId]) {
        let mut candidates = self.lock();
        for id in used {
            if let Some(OfHeap { candidate, .. }) = candidates.get_mut(id) {
                candidate.last_use = candidate.last_use.max(frame);
            }
        }
    }

    /// Returns what may go of a heap, the first first.
    pub fn candidates(&self, heap: u32) -> Vec<Candidate> {
        let candidates = self.lock();
        let of_heap = candidates.values().filter(|one| one.heap == heap);
        let mut of_heap: Vec<_> = of_heap.map(|one| one.candidate).collect();
        drop(candidates);
        let order = |one: &Candidate| {
            let AllocationId { allocator, arena, slot, .. } = one.id;
            (one.last_use, Reverse(one.size), allocator, arena, slot)
        };
        of_heap.sort_by(|one, other| {
            one.priority.total_cmp(&other.priority).then_with(|| order(one).cmp(&order(other)))
        });
        of_heap
    }

    /// Notes which frame is recorded.
    pub fn begin_frame(&self, frame: u64) {
        self.frame.fetch_max(frame, Ordering::Relaxed);
    }

    /// Returns the frame that is recorded.
    pub fn frame(&self) -> u64 {
        self.frame.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AllocationId, OfHeap>> {
        self.candidates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
