//! Who is told, and what was told already.
//!
//! # Invariants
//!
//! 1. The user's function runs, and goes, outside of every lock of the allocator's; on no thread it
//!    runs within itself.
//! 2. Of a heap that stays as it is something is told once; of one past its budget, now and then.

use super::{Pressure, PressureCause, Registry, Watermarks};
use crate::error::ShortageCause;
use crate::supply::Budget;
use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, ThreadId};

/// Of a heap that stays past its budget it is told again after so many frames.
const REMIND_FRAMES: u64 = 64;

/// It is told again when the excess has grown by this part of the budget.
const GROWTH_SHARE: u64 = 16;

/// See the [module](self).
#[derive(Debug)]
pub struct Watch {
    registry: Arc<Registry>,
    listener: RwLock<Option<Listener>>,
    /// Of each heap.
    told: Mutex<Vec<Told>>,
    /// The threads on which the user's function runs.
    running: Mutex<Vec<ThreadId>>,
}

/// Who wants to be told.
#[derive(Clone)]
struct Listener {
    marks: Watermarks,
    callback: Arc<dyn Fn(&Pressure<'_>) + Send + Sync>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("marks", &self.marks).finish_non_exhaustive()
    }
}

/// How full a heap is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Roomy,
    NearlyFull,
    OverBudget,
}

/// What was told of a heap last.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    level: Level,
    excess: u64,
    frame: u64,
    /// The budget when it was looked at last.
    budget: u64,
}

/// A thread on which the user's function runs, until this is dropped.
struct Running<'a>(&'a Watch);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let own = thread::current().id();
        lock(&self.0.running).retain(|&running| running != own);
    }
}

impl Watch {
    /// Makes one that tells nobody.
    pub fn new(heaps: usize) -> Self {
        Self {
            registry: Arc::default(),
            listener: RwLock::default(),
            told: Mutex::new(vec![Told::default(); heaps]),
            running: Mutex::default(),
        }
    }

    /// Returns what may go.
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Sets who is told from here on.
    pub fn set(&self, marks: Watermarks, callback: Arc<dyn Fn(&Pressure<'_>) + Send + Sync>) {
        let mut listener = self.listener.write().unwrap_or_else(PoisonError::into_inner);
        let before = listener.replace(Listener { marks, callback });
        drop(listener);
        lock(&self.told).fill(Told::default());
        // Outside of the locks: what it caught may call anything when it goes.
        drop(before);
    }

    /// Tells whether anybody is to be told.
    pub fn is_set(&self) -> bool {
        self.listener.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Tells of a heap whose usage is too high, unless that was told. Returns whether it did.
    pub fn look(&self, heap: u32, budget: Budget) -> bool {
        self.tell(heap, budget, |told, marks, frame| told.look(budget, marks, frame))
    }

    /// Tells of a request that found no room. Returns whether it did.
    pub fn no_room(&self, heap: u32, budget: Budget, size: u64, cause: ShortageCause) -> bool {
        let Budget { budget: granted, usage, .. } = budget;
        let excess = match cause {
            ShortageCause::Budget => usage.saturating_add(size).saturating_sub(granted).max(1),
            _ => size,
        };
        self.tell(heap, budget, |told, marks, frame| {
            // Who hears this need not hear as well that the heap is full.
            told.look(budget, marks, frame);
            Some((PressureCause::NoRoom { size, cause }, excess))
        })
    }

    /// Calls the user's function if there is one and `decide` has something to tell.
    fn tell(
        &self,
        heap: u32,
        budget: Budget,
        decide: impl FnOnce(&mut Told, Watermarks, u64) -> Option<(PressureCause, u64)>,
    ) -> bool {
        let listener = self.listener.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Listener { marks, callback }) = listener else { return false };
        let Some(running) = self.enter() else { return false };
        let frame = self.registry.frame();
        let decided = decide(&mut lock(&self.told)[heap as usize], marks, frame);
        let Some((cause, excess)) = decided else { return false };
        let candidates = self.registry.candidates(heap);
        callback(&Pressure { heap, cause, excess, budget, candidates: &candidates });
        drop(running);
        true
    }

    /// Tells whether the user's function runs on this thread.
    pub fn is_telling(&self) -> bool {
        lock(&self.running).contains(&thread::current().id())
    }

    /// Notes that the function runs on this thread; nothing, when it does so already.
    fn enter(&self) -> Option<Running<'_>> {
        let (own, mut running) = (thread::current().id(), lock(&self.running));
        if running.contains(&own) {
            return None;
        }
        running.push(own);
        Some(Running(self))
    }
}

impl Told {
    /// Looks at a heap, and says what is new and how many bytes should go.
    fn look(
        &mut self,
        budget: Budget,
        marks: Watermarks,
        frame: u64,
    ) -> Option<(PressureCause, u64)> {
        let Budget { budget, usage, .. } = budget;
        let share = |percent: u8| (u128::from(budget) * u128::from(percent) / 100) as u64;
        let (high, low) = (share(marks.high), share(marks.low));
        let budget_before = match core::mem::replace(&mut self.budget, budget) {
            0 => budget,
            before => before,
        };
        if usage <= high {
            // Beneath the high mark the next crossing of the budget is news, beneath the low one
            // that of the high mark is too.
            let most = if usage > low { Level::NearlyFull } else { Level::Roomy };
            self.level = self.level.min(most);
            return None;
        }
        let level = if usage > budget { Level::OverBudget } else { Level::NearlyFull };
        let excess = usage - low;
        let has_grown = excess > self.excess.saturating_add(budget / GROWTH_SHARE);
        let is_old = frame.saturating_sub(self.frame) >= REMIND_FRAMES;
        let is_news = level > self.level || has_grown || is_old && level == Level::OverBudget;
        if !is_news {
            return None;
        }
        (self.level, self.excess, self.frame) = (level.max(self.level), excess, frame);
        let cause = match level {
            Level::OverBudget => PressureCause::OverBudget { budget_before },
            _ => PressureCause::NearlyFull,
        };
        Some((cause, excess))
    }
}

/// A panic under one of the locks leaves what it guards whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
