//! Frames on their way: each brings bytes to the device, and bytes back.
//!
//! [`Frames::play`] lets the crew work, fills a staging buffer for what it made, starts the copies,
//! and, as soon as the device is done with the frame three before, compares what came back.
//! Staging buffers are handed to the allocator at once, to be freed after their frame.
//!
//! # Invariants
//!
//! 1. At most [`FRAMES_IN_FLIGHT`] frames are on their way.
//! 2. A frame that is completed has been waited for.

use super::crew::Crew;
use super::phase::Progress;
use super::probe::Work;
use super::scene::BufferRole;
use super::stage::{Batch, FRAMES_IN_FLIGHT, PayloadOf, Stage, TransferOf};
use super::transfer::{Comparison, Passage, Scratch};
use super::worker::Order;
use crate::Failure;
use polder::{Allocator, Factory, Snapshot};
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
}

/// A frame that the device may be at.
struct Flight<S: Stage> {
    frame: u64,
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
        let download = self.expect(downloads)?;
        let upload = self.stage_bytes(uploads)?;
        // SAFETY: The workers keep what they named until this frame is completed, `free_after`
        // keeps the staging buffer and the flight the read-back buffer until then, and completed
        // is what was waited for (invariant 2). The host is done with writing, and reads what comes
        // back in `land`, after the waiting. Above, a frame was landed if this is one too many.
        unsafe { self.stage.submit(self.frame, &Batch { upload, download }) }?;
        progress.add_bytes(self.traffic.uploaded - before);
        Ok(())
    }

    /// Makes the frame a flight, with a buffer for what comes back.
    fn expect(
        &mut self,
        payloads: Vec<PayloadOf<S::Device>>,
    ) -> Result<Option<TransferOf<S::Device>>, Failure> {
        let read_back = Passage::new(self.allocator, BufferRole::ReadBack, payloads)?;
        let transfer = read_back.as_ref().map(Passage::transfer);
        self.flights.push_back(Flight { frame: self.frame, read_back });
        Ok(transfer)
    }

    /// Fills a staging buffer, which is freed after the frame.
    fn stage_bytes(
        &mut self,
        payloads: Vec<PayloadOf<S::Device>>,
    ) -> Result<Option<TransferOf<S::Device>>, Failure> {
        let staging = Passage::<S>::new(self.allocator, BufferRole::Staging, payloads)?;
        let Some(mut staging) = staging else { return Ok(None) };
        let written = staging.write(self.allocator, &mut self.scratch.first);
        let transfer = staging.transfer();
        self.allocator.free_after(self.frame, staging.buffer)?;
        self.traffic.uploaded += written?;
        Ok(Some(transfer))
    }

    /// Waits for the oldest frame, and compares what it brought back.
    fn land(&mut self) -> Result<(), Failure> {
        let Some(Flight { frame, read_back }) = self.flights.pop_front() else { return Ok(()) };
        self.stage.wait(frame)?;
        self.completed = frame;
        self.allocator.complete_frame(frame);
        let Some(read_back) = read_back else { return Ok(()) };
        if self.work == Work::Executed {
            let found = read_back.compare(self.allocator, &mut self.scratch)?;
            self.traffic.comparison.compared += found.compared;
            self.traffic.comparison.different += found.different;
        }
        self.allocator.destroy_buffer(read_back.buffer)?;
        Ok(())
    }

    /// Waits for all frames; the device is idle then.
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
        result
    }
}
