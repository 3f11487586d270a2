//! Who wrote behind an allocation's end: what the [aids](crate::debug) have seen of all arenas and
//! pools.

use super::Allocator;
use crate::arena::{Arena, is_readable};
use crate::debug::{Corruption, Inspection, NotInspected};
use crate::device::Device;

impl<D: Device> Allocator<D> {
    /// Looks at the margin behind every allocation of the memory types that `memory_types` has a
    /// bit for, those of pools included. Takes the lock of each arena in turn, and maps blocks
    /// that are not.
    ///
    /// # Errors
    ///
    /// In none of these types it could be seen: the allocator does not
    /// [detect corruption](crate::debug::Aids::detect_corruption), or their memory is not visible
    /// to the host and coherent.
    pub fn check_corruption(&self, memory_types: u32) -> Result<Inspection, NotInspected> {
        let kinds = (0..).zip(&self.properties().memory_types);
        let asked = kinds.filter(|(index, _)| memory_types >> index & 1 == 1);
        let (mut readable, mut skipped) = (0, 0);
        for (index, kind) in asked {
            let detects = self.options.aids.detect_corruption && is_readable(kind.properties);
            *if detects { &mut readable } else { &mut skipped } |= 1 << index;
        }
        if readable == 0 {
            return Err(NotInspected { memory_types: skipped });
        }
        let mut inspection = Inspection { skipped, ..Inspection::default() };
        let pools = self.pools();
        for index in 0..self.properties().memory_types.len() as u32 {
            if readable >> index & 1 == 1 {
                let arenas = self.arenas_of(index).filter_map(Arena::inspect);
                arenas.for_each(|found| inspection.add(found));
                let pools = pools.iter().filter(|pool| pool.memory_type() == index);
                pools
                    .filter_map(|pool| pool.arena().inspect())
                    .for_each(|found| inspection.add(found));
            }
        }
        Ok(inspection)
    }

    /// Returns what was found behind allocations when they moved or were freed: of each arena, and
    /// of each pool that is in use, the first 256. The log has all.
    pub fn corruptions(&self) -> Vec<Corruption> {
        let arenas = self.made_arenas().flat_map(Arena::corruptions);
        let pools = self.pools();
        arenas.chain(pools.iter().flat_map(|pool| pool.corruptions())).collect()
    }
}
