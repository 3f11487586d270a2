//! A strategy that measures another one.
//!
//! It stands between the factory and the allocator, so that it sees an allocation and a free and
//! not the driver's part of making and destroying a resource.

use polder::device::error::Misuse;
use polder::device::strategy::Coherence;
use polder::device::{AllocationId, Device, HostPointer, Request};
use polder::{AllocError, Allocation, Allocator, FreeError, MapError, Strategy};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What the demo is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Load,
    Stream,
    Unload,
}

/// How long the calls of one thread took, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Times {
    pub load: Vec<u64>,
    pub stream: Vec<u64>,
    pub free: Vec<u64>,
}

impl Times {
    /// Joins those of all threads.
    pub fn all(threads: &[Self]) -> Self {
        let join = |part: fn(&Self) -> &Vec<u64>| threads.iter().flat_map(part).copied().collect();
        Self {
            load: join(|times| &times.load),
            stream: join(|times| &times.stream),
            free: join(|times| &times.free),
        }
    }
}

/// Returns what measuring itself costs, in nanoseconds: the median of some tries.
pub fn clock_cost() -> u64 {
    const TRIES: usize = 1001;
    let mut costs = [(); TRIES].map(|()| elapsed(Instant::now()));
    *costs.select_nth_unstable(TRIES / 2).1
}

fn elapsed(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// An allocator, measured by one thread.
pub struct Timed<'a, D: Device> {
    allocator: &'a Allocator<D>,
    /// Locked by one thread only, and outside of what is measured.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    times: Times,
}

impl<'a, D: Device> Timed<'a, D> {
    pub fn new(allocator: &'a Allocator<D>) -> Self {
        Self { allocator, state: Mutex::default() }
    }

    /// Says what the next calls belong to.
    pub fn enter(&self, phase: Phase) {
        self.update(|state| state.phase = phase);
    }

    pub fn into_times(self) -> Times {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).times
    }

    fn update(&self, work: impl FnOnce(&mut State)) {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

// SAFETY: Every answer is the inner strategy's.
unsafe impl<D: Device> Strategy<D> for Timed<'_, D> {
    fn device(&self) -> &D {
        self.allocator.device()
    }

    fn allocate(&self, request: &Request<'_, D>) -> Result<Allocation<D>, AllocError> {
        let begin = Instant::now();
        let result = self.allocator.allocate(request);
        let time = elapsed(begin);
        self.update(|state| match state.phase {
            Phase::Load => state.times.load.push(time),
            Phase::Stream | Phase::Unload => state.times.stream.push(time),
        });
        result
    }

    fn free(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        let begin = Instant::now();
        let result = self.allocator.free(allocation);
        let time = elapsed(begin);
        self.update(|state| state.times.free.push(time));
        result
    }

    fn undo(&self, allocation: Allocation<D>) -> Result<(), FreeError<Allocation<D>>> {
        self.allocator.undo(allocation)
    }

    fn expect_live(&self, allocation: &Allocation<D>) -> Result<(), Misuse> {
        self.allocator.expect_live(allocation)
    }

    fn used(&self) -> u64 {
        self.allocator.used()
    }

    fn held(&self) -> u64 {
        self.allocator.held()
    }

    fn live(&self) -> Vec<AllocationId> {
        self.allocator.live()
    }

    fn map(&self, allocation: &Allocation<D>) -> Result<HostPointer, MapError> {
        self.allocator.map(allocation)
    }

    fn unmap(&self, allocation: &Allocation<D>) -> Result<(), MapError> {
        self.allocator.unmap(allocation)
    }

    fn make_coherent(
        &self,
        allocation: &Allocation<D>,
        range: Range<u64>,
        which: Coherence,
    ) -> Result<(), MapError> {
        self.allocator.make_coherent(allocation, range, which)
    }
}
