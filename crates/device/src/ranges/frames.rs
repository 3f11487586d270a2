//! Ranges that are freed when the device has completed a frame.

use super::{BufferArena, BufferRange, Divisible, RangeFreeError, RangeId, RangeMisuse, lock};
use std::collections::BTreeMap;

/// Ranges that wait for a frame.
pub(super) struct Frames<D: Divisible> {
    pub(super) waiting: BTreeMap<u64, Vec<BufferRange<D>>>,
    /// One more than the last frame that is completed.
    pub(super) completed_end: u64,
}

impl<D: Divisible> BufferArena<D> {
    /// Takes a range back when `frame` is completed; at once, if it is. Frames are numbered as the
    /// user likes, ascending.
    ///
    /// # Errors
    ///
    /// The range is another arena's, or was freed; it comes back.
    pub fn free_after(&self, frame: u64, range: BufferRange<D>) -> Result<(), RangeFreeError<D>> {
        if let Err(reason) = self.set_waiting(range.id) {
            return Err(RangeFreeError { reason, range });
        }
        let mut frames = lock(&self.frames);
        if frames.completed_end <= frame {
            frames.waiting.entry(frame).or_default().push(range);
            return Ok(());
        }
        drop(frames);
        self.free(range)
    }

    fn set_waiting(&self, id: RangeId) -> Result<(), RangeMisuse> {
        self.expect_own(id)?;
        let mut shard = self.lock(id.shard);
        let note = shard.block_mut(id)?.parts.data_mut(id.part);
        note.map_err(|_| RangeMisuse::Stale { id })?.is_waiting = true;
        Ok(())
    }

    /// Says that the device has completed `frame` and all before it, and takes back what waited
    /// for them.
    pub fn complete_frame(&self, frame: u64) {
        let end = frame.saturating_add(1);
        let mut frames = lock(&self.frames);
        frames.completed_end = frames.completed_end.max(end);
        let later = frames.waiting.split_off(&end);
        let ended = core::mem::replace(&mut frames.waiting, later);
        drop(frames);
        self.end_waits(ended);
    }

    pub(super) fn end_waits(&self, ended: BTreeMap<u64, Vec<BufferRange<D>>>) {
        for range in ended.into_values().flatten() {
            if let Err(error) = self.free(range) {
                log::error!("a range waited to be freed: {error}");
            }
        }
    }
}
