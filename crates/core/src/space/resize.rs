//! A used region's new size, in its place: the end moves, the begin and the name stay.
//!
//! What is free directly behind the region is first joined with it, and what the new size leaves
//! over is then split off as one free region. So growing into a part of the neighbour, growing into
//! all of it and shrinking beside it are one way through the code, and the split takes the record
//! that the join gave back: only a shrinking region with a used neighbour, or none, needs another.

use super::{Record, RegionId, Space};
use crate::store::{Full, Store};

/// The record of what a shrinking region gives back.
const SPARES_PER_RESIZE: u32 = 1;

/// Why a region kept its size. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResizeError {
    /// The new size is zero: ask for at least one, or free the region.
    ZeroSize,
    /// No used region has this name.
    NotUsed {
        /// The name that was given.
        id: RegionId,
    },
    /// Too little is free directly behind the region: ask for at most `size_max`, or allocate a
    /// new region and free this one.
    NoRoom {
        /// The largest size that the region can have where it is.
        size_max: u64,
    },
    /// The storage lent for records is full, and the part to give back needs a record of its own:
    /// lend more, or keep the size. Growing never needs one.
    NoRecords,
}

impl<R: Store<Record>, H: Store<u32>> Space<R, H> {
    /// Gives a used region another size where it lies, in constant time.
    ///
    /// The region keeps its name, its offset and its tag. It grows into the free region directly
    /// behind it, and what it gives back joins that region; the same size does nothing. No
    /// [`Fit`](super::Fit) is asked: whether the region may come so close to the next is the
    /// caller's to know.
    ///
    /// # Errors
    ///
    /// Those of [`ResizeError`]; nothing has changed.
    pub fn resize(&mut self, id: RegionId, size: u64) -> Result<(), ResizeError> {
        if size == 0 {
            return Err(ResizeError::ZeroSize);
        }
        let record = self.records.records().get(id.0 as usize).copied();
        let record = record.filter(Record::is_used).ok_or(ResizeError::NotUsed { id })?;
        let behind = self.free_record(record.after);
        let size_max = record.size + behind.map_or(0, |behind| behind.size);
        if size > size_max {
            return Err(ResizeError::NoRoom { size_max });
        }
        if size == record.size {
            return Ok(());
        }
        match behind {
            Some(behind) => self.join_behind(id.0, behind),
            None => {
                self.reserve_spares(SPARES_PER_RESIZE).map_err(|Full| ResizeError::NoRecords)?;
            }
        }
        if size < size_max {
            let rest = self.split(id.0, record.offset + size);
            self.list(rest);
        }
        self.used = self.used - record.size + size;
        Ok(())
    }

    /// Joins a used region with the free one directly behind it.
    fn join_behind(&mut self, index: u32, behind: Record) {
        let joined = self.record(index).after;
        self.unlist(joined);
        self.discard(joined);
        let record = self.record_mut(index);
        record.size += behind.size;
        record.after = behind.after;
        self.set_before(behind.after, index);
    }
}
