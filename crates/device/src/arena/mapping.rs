//! Host pointers into an arena's blocks: counted, and kept a little longer than needed.
//!
//! A block is mapped whole, once, however many of its allocations are mapped. When the last of
//! them is unmapped the mapping stays for some frees more, for it is often wanted again.

use super::Arena;
use super::state::State;
use crate::allocation::{Allocation, HostPointer};
use crate::device::{Device, DeviceError};
use crate::division::Division;
use crate::error::MapError;
use crate::request::Mapping;

/// How many frees in a block its mapping outlives its last use.
const IDLE_FREES: u32 = 32;

impl<D: Device, V: Division> State<D, V> {
    /// Maps a block if its next allocation wants that.
    #[inline]
    pub(super) fn prepare(&mut self, block: u32, mapping: Mapping) -> Result<(), DeviceError> {
        match mapping {
            Mapping::Counted | Mapping::WhereVisible => Ok(()),
            Mapping::Persistent => self.map_block(block).map(|_| ()),
        }
    }

    /// Returns the pointer to a block's first byte, and maps the block if it is not.
    pub(super) fn map_block(&mut self, index: u32) -> Result<HostPointer, DeviceError> {
        let block = self.block(index);
        if let Some(pointer) = block.pointer {
            return Ok(pointer);
        }
        // SAFETY: The block is in the arena, so its grant is live; it is not mapped, for it has no
        // pointer; we hold the arena's lock, and nothing else maps its blocks. The callers saw to
        // it that the type is host-visible.
        let pointer = HostPointer::new(unsafe { self.supply.device().map(block.grant.memory) }?);
        let block = self.block_mut(index);
        block.pointer = Some(pointer);
        block.idle = IDLE_FREES;
        Ok(pointer)
    }

    /// Maps a live allocation once more.
    #[inline]
    fn add_map(&mut self, slot: u32) -> Result<HostPointer, DeviceError> {
        let (index, offset) = (self.entry(slot).block, self.entry(slot).offset);
        let pointer = match self.block(index).pointer {
            Some(pointer) => pointer,
            None => self.map_block(index)?,
        };
        self.block_mut(index).maps += 1;
        self.entry_mut(slot).maps += 1;
        Ok(pointer.at(offset))
    }

    /// Ends `count` uses of a block's mapping.
    pub(super) fn release_maps(&mut self, index: u32, count: u32) {
        let block = self.block_mut(index);
        block.maps -= count;
        block.idle = IDLE_FREES;
    }

    /// Counts a free in a block whose mapping nobody uses; after some of them it ends.
    pub(super) fn rest(&mut self, index: u32) {
        let block = self.block_mut(index);
        if block.pointer.is_none() || block.maps > 0 {
            return;
        }
        block.idle = block.idle.saturating_sub(1);
        if block.idle == 0 {
            block.pointer = None;
            let memory = block.grant.memory;
            // SAFETY: The block was mapped, for it had a pointer. Nobody uses one: its map count is
            // zero, and that counts each allocation with a pointer of its own, each map by an
            // owner, and each place of an open pass's moves whose pointer was shown.
            unsafe { self.supply.device().unmap(memory) };
        }
    }
}

impl<D: Device, V: Division> Arena<D, V> {
    /// Maps an allocation once more and returns the pointer to its first byte.
    pub fn map(&self, allocation: &Allocation<D>) -> Result<HostPointer, MapError> {
        if self.where_visible != Mapping::Persistent {
            return Err(MapError::NotHostVisible { memory_type: self.config.memory_type });
        }
        self.with(|session| {
            self.expect_live(allocation.id)?;
            Ok(session.add_map(allocation.id.slot)?)
        })
    }

    /// Takes one mapping of an allocation back.
    pub fn unmap(&self, allocation: &Allocation<D>) -> Result<(), MapError> {
        self.with(|session| {
            self.expect_live(allocation.id)?;
            let entry = session.entry_mut(allocation.id.slot);
            // What a handle's own pointer counts for is not the user's to take back.
            if entry.maps <= u32::from(entry.is_persistent()) {
                return Err(MapError::NotMapped { id: allocation.id });
            }
            entry.maps -= 1;
            let block = entry.block;
            session.release_maps(block, 1);
            Ok(())
        })
    }
}
