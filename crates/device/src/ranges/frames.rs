//! Ranges that are freed when the device has completed a frame.

use super::{BufferArena, BufferRange, Divisible, RangeFreeError, RangeId, RangeMisuse, State};

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
        self.frames.add(frame, range).map_or(Ok(()), |range| self.free(range))
    }

    fn set_waiting(&self, id: RangeId) -> Result<(), RangeMisuse> {
        self.expect_own(id)?;
        let mut shard = self.lock(id.shard);
        let note = shard.block_mut(id)?.parts.data_mut(id.part);
        note.map_err(|_| RangeMisuse::Stale { id })?.state = State::Waiting;
        Ok(())
    }

    /// Says that the device has completed `frame` and all before it, and takes back what waited
    /// for them.
    pub fn complete_frame(&self, frame: u64) {
        self.frames.complete(frame).for_each(|range| self.end_wait(range));
    }

    pub(super) fn end_wait(&self, range: BufferRange<D>) {
        if let Err(error) = self.free(range) {
            log::error!("a range waited to be freed: {error}");
        }
    }
}
