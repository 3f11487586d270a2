//! What is known of one allocation: where it is, and what the user has written on it.

use super::Arena;
use super::block::{Contents, Tied};
use super::entry::Marks;
use crate::allocation::{AllocationId, HostPointer};
use crate::device::Device;
use crate::division::Division;
use crate::error::Misuse;
use crate::pressure::Candidate;

/// One allocation at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationInfo<M> {
    /// The block that it lies in.
    pub memory: M,
    /// From the block's begin, in bytes.
    pub offset: u64,
    /// Bytes: what was asked for.
    pub size: u64,
    /// Number of its memory type.
    pub memory_type: u32,
    /// The host pointer to its first byte, when it is mapped at this moment.
    pub pointer: Option<HostPointer>,
    /// Its name.
    pub name: Option<String>,
    /// The user's own number; zero when none was set.
    pub user_data: u64,
    /// Bytes of its block.
    pub block_size: u64,
    /// Whether the block is its alone.
    pub dedicated: bool,
}

impl<D: Device, V: Division> Arena<D, V> {
    /// Returns what is known of an allocation.
    pub fn info(&self, id: AllocationId) -> Result<AllocationInfo<D::Memory>, Misuse> {
        self.with(|session| {
            self.expect_live(id)?;
            let (entry, memory, pointer) = session.locate(id.slot);
            let is_noted = entry.marks.contains(Marks::NOTED);
            let note = is_noted.then(|| session.note_of(id.slot)).flatten();
            let block = session.block(entry.block);
            Ok(AllocationInfo {
                memory,
                offset: entry.offset,
                size: entry.size,
                memory_type: self.config.memory_type,
                pointer: pointer.filter(|_| entry.maps > 0),
                name: note.and_then(|note| note.name.as_deref()).map(String::from),
                user_data: note.map_or(0, |note| note.user_data),
                block_size: block.grant.size,
                dedicated: matches!(block.contents, Contents::Dedicated { .. }),
            })
        })
    }

    /// Returns the one resource that an allocation's block is for, if it is for one.
    pub fn tied_to(&self, id: AllocationId) -> Result<Option<Tied<D>>, Misuse> {
        self.with(|session| {
            self.expect_live(id)?;
            Ok(session.block(session.entry(id.slot).block).tied)
        })
    }

    /// Gives an allocation another name, or none.
    pub fn set_name(&self, id: AllocationId, name: Option<&str>) -> Result<(), Misuse> {
        self.with(|session| {
            self.expect_live(id)?;
            session.change_note(id.slot, |note| note.name = name.map(Box::from));
            Ok(())
        })
    }

    /// Gives an allocation another number of the user's own.
    pub fn set_user_data(&self, id: AllocationId, user_data: u64) -> Result<(), Misuse> {
        self.with(|session| {
            self.expect_live(id)?;
            session.change_note(id.slot, |note| {
                note.user_data = user_data;
                note.evictable.iter().for_each(|own| own.set_user_data(user_data));
            });
            Ok(())
        })
    }

    /// Says how soon an allocation may go when memory is short; nothing when it has to stay.
    pub fn set_evictable(&self, id: AllocationId, priority: Option<f32>) -> Result<(), Misuse> {
        let memory_type = self.config.memory_type;
        let heap = self.supply.heap_of(memory_type);
        self.with(|session| {
            self.expect_live(id)?;
            let size = session.entry(id.slot).size;
            session.change_note(id.slot, |note| match (priority, &note.evictable) {
                (None, _) => note.evictable = None,
                (Some(priority), Some(own)) => own.set_priority(priority),
                (Some(priority), None) => {
                    let (user_data, last_use) = (note.user_data, 0);
                    let candidate =
                        Candidate { id, memory_type, size, priority, last_use, user_data };
                    note.evictable = Some(self.supply.watch().registry().add(heap, candidate));
                }
            });
            Ok(())
        })
    }
}
