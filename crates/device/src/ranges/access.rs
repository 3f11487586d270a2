//! What the host writes to ranges and reads from them.

use super::{BufferArena, BufferRange, Divisible, RangeError};
use crate::allocation::HostPointer;
use crate::arena::check_range;
use crate::strategy::{Coherence, Strategy};

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
        let target = self.pointer_to(range, offset, bytes.len() as u64)?;
        // SAFETY: The part lies in the range (checked), whose buffer is mapped while it lives, and
        // `bytes` is host memory. `&mut` keeps other hosts out, and that the device keeps out is
        // the caller's part.
        unsafe { target.get().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.make_coherent(range, offset, bytes.len() as u64, Coherence::Flush)
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
        let source = self.pointer_to(range, offset, bytes.len() as u64)?;
        self.make_coherent(range, offset, bytes.len() as u64, Coherence::Invalidate)?;
        // SAFETY: As in `write`; memory of a device is bytes from the moment it is mapped.
        unsafe { source.get().as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn pointer_to(
        &self,
        range: &BufferRange<D>,
        offset: u64,
        len: u64,
    ) -> Result<HostPointer, RangeError> {
        check_range(range.size, offset, len)?;
        self.expect_live(range.id)?;
        match range.pointer {
            Some(pointer) => Ok(pointer.at(offset)),
            None => Err(RangeError::NoHostAccess { access: self.access }),
        }
    }

    fn make_coherent(
        &self,
        range: &BufferRange<D>,
        offset: u64,
        len: u64,
        which: Coherence,
    ) -> Result<(), RangeError> {
        let begin = range.offset + offset;
        let mut shard = self.lock(range.id.shard);
        let buffer = &shard.block_mut(range.id)?.buffer;
        let made = self.allocator.make_coherent(buffer.allocation(), begin..begin + len, which);
        Ok(made?)
    }
}
