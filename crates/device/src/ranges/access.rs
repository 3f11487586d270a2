//! What the host writes to ranges and reads from them.

use super::{BufferArena, BufferRange, Divisible, RangeError, RangeMisuse};
use crate::allocation::{Allocation, HostPointer};
use crate::arena::check_range;
use crate::strategy::{Coherence, Strategy};
use core::ops::Range;

impl<D: Divisible> BufferArena<D> {
    /// Copies `bytes` to the range, `offset` bytes from its begin, and makes them visible to the
    /// device. The device does not use that part meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`RangeError`].
    pub fn write(
        &self,
        range: &mut BufferRange<D>,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), RangeError> {
        self.with_pointer(range, offset, bytes.len() as u64, |target, buffer, part| {
            // SAFETY: The part lies in the range, whose buffer is mapped while the shard's lock is
            // held (`with_pointer`), and `bytes` is host memory. `&mut` keeps other hosts out, and
            // that the device keeps out is the caller's part.
            unsafe { target.get().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            Ok(self.allocator.make_coherent(buffer, part, Coherence::Flush)?)
        })
    }

    /// Copies from the range, `offset` bytes from its begin, what the device wrote there. The
    /// device does not write that part meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`RangeError`].
    pub fn read(
        &self,
        range: &BufferRange<D>,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), RangeError> {
        self.with_pointer(range, offset, bytes.len() as u64, |source, buffer, part| {
            self.allocator.make_coherent(buffer, part, Coherence::Invalidate)?;
            let (source, len) = (source.get().as_ptr(), bytes.len());
            // SAFETY: As in `write`; memory of a device is bytes from the moment it is mapped.
            unsafe { source.copy_to_nonoverlapping(bytes.as_mut_ptr(), len) };
            Ok(())
        })
    }

    /// Calls `work` with the pointer to a part of a live range, its buffer's memory, and where in
    /// that the part lies. The shard is locked meanwhile: a pass that ends frees what has moved,
    /// whoever has the range in hand.
    fn with_pointer(
        &self,
        range: &BufferRange<D>,
        offset: u64,
        len: u64,
        work: impl FnOnce(HostPointer, &Allocation<D>, Range<u64>) -> Result<(), RangeError>,
    ) -> Result<(), RangeError> {
        check_range(range.size, offset, len)?;
        self.expect_own(range.id)?;
        let mut shard = self.lock(range.id.shard);
        let block = shard.block_mut(range.id)?;
        block.parts.info(range.id.part).map_err(|_| RangeMisuse::Stale { id: range.id })?;
        let pointer = range.pointer.ok_or(RangeError::NoHostAccess { access: self.access })?;
        let begin = range.offset + offset;
        work(pointer.at(offset), block.buffer.allocation(), begin..begin + len)
    }
}
