//! Host and device made to see the same bytes: ranges of allocations, in whole atoms, many of them
//! in one call of the device.
//!
//! A range is flushed or invalidated under the lock of its arena, so its block stays mapped
//! meanwhile: whoever unmaps its allocation waits. Ranges of several arenas are one call of the
//! device under all their locks.

use super::{Arena, Session};
use crate::allocation::{Allocation, AllocationId};
use crate::device::{Device, MappedRange};
use crate::division::Division;
use crate::error::{MapError, Misuse};
use core::ops::Range;

/// Which way a cache is made coherent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coherence {
    /// Host writes to the device.
    Flush,
    /// Device writes to the host.
    Invalidate,
}

impl Coherence {
    /// Asks the device for it.
    ///
    /// # Safety
    ///
    /// As for [`Device::flush`] and [`Device::invalidate`].
    unsafe fn of<D: Device>(
        self,
        device: &D,
        ranges: &[MappedRange<D::Memory>],
    ) -> Result<(), MapError> {
        let done = match self {
            // SAFETY: The caller promises it.
            Self::Flush => unsafe { device.flush(ranges) },
            // SAFETY: As above.
            Self::Invalidate => unsafe { device.invalidate(ranges) },
        };
        done.map_err(MapError::Device)
    }
}

impl<D: Device, V: Division> Arena<D, V> {
    /// Flushes or invalidates a range of an allocation that is mapped; does nothing where host and
    /// device are coherent. `range` is in bytes from the allocation's begin.
    #[inline]
    pub fn make_coherent(
        &self,
        allocation: &Allocation<D>,
        range: Range<u64>,
        which: Coherence,
    ) -> Result<(), MapError> {
        check_within(allocation.size, &range)?;
        // Where nothing is done nobody asks whether the allocation lives, which would take longer
        // than all the rest.
        if self.flushes && !range.is_empty() {
            return self.make_atoms_coherent(allocation, &range, which);
        }
        Ok(())
    }

    /// The same where host and device are not coherent, for a range that lies in the allocation.
    fn make_atoms_coherent(
        &self,
        allocation: &Allocation<D>,
        range: &Range<u64>,
        which: Coherence,
    ) -> Result<(), MapError> {
        self.with(|session| {
            let ranges = [self.atoms_of(session, allocation, range)?];
            // SAFETY: The range is in whole atoms of a block that is mapped while we hold the
            // lock. No other allocation shares an atom with this one, and that its owner keeps
            // still is what its handle, borrowed here, stands for.
            unsafe { which.of(&**self.supply.device(), &ranges) }
        })
    }

    /// Returns the atoms of a checked range, if its allocation is mapped. Its block stays mapped
    /// while the session lasts.
    fn atoms_of(
        &self,
        session: &Session<'_, D, V>,
        allocation: &Allocation<D>,
        range: &Range<u64>,
    ) -> Result<MappedRange<D::Memory>, MapError> {
        self.expect_live(allocation.id)?;
        let (entry, memory, _) = session.locate(allocation.id.slot);
        if entry.maps == 0 {
            return Err(MapError::NotMapped { id: allocation.id });
        }
        let atom = self.supply.properties().limits.non_coherent_atom_size;
        let block_size = session.block(entry.block).grant.size;
        let range = entry.offset + range.start..entry.offset + range.end;
        Ok(MappedRange { memory, range: whole_atoms(range, atom, block_size) })
    }
}

/// An arena, and its lock.
type Locked<'a, D, V> = (&'a Arena<D, V>, Session<'a, D, V>);

/// Does as [`Arena::make_coherent`] for ranges of many allocations, in one call of the device.
/// `arena_of` knows the arenas of one allocator. All is checked before the device is asked.
pub fn make_all_coherent<'a, D: Device, V: Division>(
    ranges: &[(&Allocation<D>, Range<u64>)],
    which: Coherence,
    arena_of: impl Fn(AllocationId) -> Result<&'a Arena<D, V>, Misuse>,
) -> Result<(), MapError> {
    let mut wanted = Vec::with_capacity(ranges.len());
    for (allocation, range) in ranges {
        let arena = arena_of(allocation.id)?;
        check_within(allocation.size, range)?;
        if arena.flushes && !range.is_empty() {
            wanted.push((arena, *allocation, range));
        }
    }
    let Some(&(arena, ..)) = wanted.first() else { return Ok(()) };
    let device = &**arena.supply.device();
    // Locks are taken in the order of the arenas' numbers, and nothing else holds two.
    wanted.sort_by_key(|(arena, ..)| arena.config.index);
    let mut sessions: Vec<Locked<'_, D, V>> = Vec::new();
    let mut atoms = Vec::with_capacity(wanted.len());
    let mut found = Ok(());
    for (arena, allocation, range) in wanted {
        if sessions.last().is_none_or(|(last, _)| last.config.index != arena.config.index) {
            sessions.push((arena, arena.lock()));
        }
        let (_, session) = sessions.last().expect("there is one for the arena");
        match arena.atoms_of(session, allocation, range) {
            Ok(range) => atoms.push(range),
            Err(error) => {
                found = Err(error);
                break;
            }
        }
    }
    let done = found.and_then(|()| {
        // SAFETY: The ranges are in whole atoms of blocks that are mapped while we hold the locks
        // of their arenas. No others share an atom with these allocations, and that their owners
        // keep still is what the handles, borrowed here, stand for.
        unsafe { which.of(device, &atoms) }
    });
    sessions.into_iter().for_each(|(arena, session)| arena.end(session));
    done
}

/// Returns the atoms that a range of a block touches; the last may end with the block.
pub(super) fn whole_atoms(range: Range<u64>, atom: u64, block_size: u64) -> Range<u64> {
    range.start & !(atom - 1)..range.end.next_multiple_of(atom).min(block_size)
}

/// Finds a range that ends behind an allocation of `size` bytes.
#[inline]
pub fn check_range(size: u64, offset: u64, len: u64) -> Result<(), MapError> {
    let fits = offset.checked_add(len).is_some_and(|end| end <= size);
    if fits { Ok(()) } else { Err(MapError::PastEnd { offset, len, size }) }
}

/// As [`check_range`]; a range that ends before it begins is empty.
#[inline]
pub fn check_within(size: u64, range: &Range<u64>) -> Result<(), MapError> {
    check_range(size, range.start, range.end.saturating_sub(range.start))
}
