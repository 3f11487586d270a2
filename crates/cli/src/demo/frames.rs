//! Frames on their way: each brings bytes to the device, and bytes back.
//!
//! [`Frames::play`] lets the crew work, fills a staging buffer for what it made, starts the copies,
//! and, as soon as the device is done with the frame three before, compares what came back.
//! Only then are its buffers used again.
//!
//! # Invariants
//!
//! 1. At most [`FRAMES_IN_FLIGHT`] frames are on their way.
//! 2. A frame that is completed has been waited for.

use super::crew::Crew;
use super::phase::Progress;
use super::probe::Work;
use super::scene::BufferRole;
use super::stage::{Batch, BatchOf, FRAMES_IN_FLIGHT, PayloadOf, Stage};
use super::transfer::{Comparison, Passage, Ring, Scratch};
use super::worker::Order;
use crate::Failure;
use polder::{Allocator, Snapshot};
use std::collections::VecDeque;

/// The bytes that went to and fro.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub uploaded: u64,
    pub comparison: Comparison,
}

/// The frames of a run.
pub struct Frames<'a, S: Stage> {
    stage: &'a mut S,
    allocator: &'a Allocator<S::Device>,
    work: Work,
    /// The last frame that was begun.
    frame: u64,
    completed: u64,
    flights: VecDeque<Flight<S>>,
    traffic: Traffic,
    scratch: Scratch,
    staging: Ring<S>,
    read_back: Ring<S>,
}

/// A frame that the device may be at.
struct Flight<S: Stage> {
    frame: u64,
    staging: Option<Passage<S>>,
    read_back: Option<Passage<S>>,
}

impl<'a, S: Stage> Frames<'a, S> {
    pub fn new(stage: &'a mut S, allocator: &'a Allocator<S::Device>, work: Work) -> Self {
        Self {
            stage,
            allocator,
            work,
            frame: 0,
            completed: 0,
            flights: VecDeque::new(),
            traffic: Traffic::default(),
            scratch: Scratch::default(),
            staging: Ring::new(BufferRole::Staging),
            read_back: Ring::new(BufferRole::ReadBack),
        }
    }

    /// Returns the bytes that went to and fro.
    pub fn into_traffic(self) -> Traffic {
        self.traffic
    }

    /// Shows the allocator.
    pub fn snapshot(&self) -> Snapshot {
        self.allocator.snapshot()
    }

    /// Plays one frame, by an order whose frames are filled in here.
    ///
    /// # Errors
    ///
    /// The crew's, the allocator's or the device's.
    pub fn play(
        &mut self,
        crew: &mut Crew<'_, S::Device>,
        order: &Order,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        if self.flights.len() as u64 == FRAMES_IN_FLIGHT {
            self.land()?;
        }
        self.frame += 1;
        let order = Order { frame: self.frame, completed: self.completed, ..*order };
        let (mut uploads, mut downloads) = (Vec::new(), Vec::new());
        let before = self.traffic.uploaded;
        for mut done in crew.obey(&order)? {
            uploads.append(&mut done.uploads);
            downloads.append(&mut done.downloads);
            self.traffic.uploaded += done.written;
            progress.count(done.made as u64, done.retired as u64);
        }
        let batch = self.begin_flight(uploads, downloads)?;
        // SAFETY: The workers keep what they named until this frame is completed, and the flight
        // keeps both buffers until then; completed is what was waited for (invariant 2). The host
        // is done with writing, and reads what comes back in `land`, after the waiting. Above, a
        // frame was landed if this is one too many.
        unsafe { self.stage.submit(self.frame, &batch) }?;
        progress.add_bytes(self.traffic.uploaded - before);
        Ok(())
    }

    /// Makes the frame a flight, with buffers for what goes and what comes back.
    fn begin_flight(
        &mut self,
        uploads: Vec<PayloadOf<S::Device>>,
        downloads: Vec<PayloadOf<S::Device>>,
    ) -> Result<BatchOf<S::Device>, Failure> {
        // First of all, so that `land` finds the buffers also when a step fails.
        self.flights.push_back(Flight { frame: self.frame, staging: None, read_back: None });
        let flight = self.flights.back_mut().expect("one was just pushed");
        flight.read_back = self.read_back.take(self.allocator, self.frame, downloads)?;
        flight.staging = self.staging.take(self.allocator, self.frame, uploads)?;
        if let Some(staging) = &mut flight.staging {
            self.traffic.uploaded += staging.write(self.allocator, &mut self.scratch.first)?;
        }
        let upload = flight.staging.as_ref().map(Passage::transfer);
        let download = flight.read_back.as_ref().map(Passage::transfer);
        Ok(Batch { upload, download })
    }

    /// Waits for the oldest frame, and compares what it brought back.
    fn land(&mut self) -> Result<(), Failure> {
        let Some(flight) = self.flights.pop_front() else { return Ok(()) };
        self.stage.wait(flight.frame)?;
        self.completed = flight.frame;
        self.allocator.complete_frame(flight.frame);
        flight.staging.into_iter().for_each(|staging| self.staging.put(staging));
        let Some(read_back) = flight.read_back else { return Ok(()) };
        let compared = match self.work {
            Work::Executed => read_back.compare(self.allocator, &mut self.scratch),
            Work::Dropped => Ok(Comparison::default()),
        };
        self.read_back.put(read_back);
        self.traffic.comparison += compared?;
        Ok(())
    }

    /// Waits for all frames, and gives up their buffers; the device is idle then.
    ///
    /// # Errors
    ///
    /// The first one's that failed; the others were waited for all the same.
    pub fn land_all(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        while !self.flights.is_empty() {
            let landed = self.land();
            result = result.and(landed);
        }
        result = result.and(self.staging.end(self.allocator));
        result.and(self.read_back.end(self.allocator))
    }
}
