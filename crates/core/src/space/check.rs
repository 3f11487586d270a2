//! The invariants of a space, verified record by record.

use super::{FIRST, NONE, Record, Space, SpaceBins};
use crate::check::{Broken, ensure};
use crate::store::Store;

impl<R: Store<Record>, H: Store<u32>> Space<R, H> {
    /// Verifies every invariant; takes time in proportion to the number of records.
    ///
    /// # Errors
    ///
    /// [`Broken`] names the first invariant that does not hold.
    pub fn check(&self) -> Result<(), Broken> {
        let regions = self.check_tiling()?;
        self.check_lists()?;
        self.check_counters()?;
        let spares = self.count_spares();
        let all =
            regions + spares == self.records.records().len() && spares == self.spare_count as usize;
        ensure(all, 5)
    }

    /// Returns the number of regions.
    fn check_tiling(&self) -> Result<usize, Broken> {
        let (mut index, mut before, mut offset, mut count) = (FIRST, NONE, 0, 0);
        let mut was_free = false;
        while index != NONE {
            let record = self.record(index);
            ensure(record.offset == offset && record.before == before && record.size > 0, 1)?;
            ensure(record.is_used() || !was_free, 2)?;
            was_free = !record.is_used();
            offset = record.end();
            before = index;
            index = record.after;
            count += 1;
            ensure(count <= self.records.records().len(), 1)?;
        }
        ensure(offset == self.size && before == self.last, 1)?;
        Ok(count)
    }

    fn check_lists(&self) -> Result<(), Broken> {
        let mut listed = 0;
        for (bin, &head) in (0..).zip(self.heads.records()) {
            ensure(self.bins.contains(bin) == (head != NONE), 3)?;
            let mut previous = NONE;
            for index in self.members(bin) {
                let record = self.record(index);
                ensure(record.links[0] == previous && SpaceBins::floor(record.size) == bin, 3)?;
                previous = index;
                listed += 1;
                ensure(listed <= self.free_count, 3)?;
            }
        }
        ensure(listed == self.free_count, 3)
    }

    fn check_counters(&self) -> Result<(), Broken> {
        let used = self.walk().filter(|region| region.tag.is_some());
        let (count, bytes) =
            used.fold((0, 0), |(count, bytes), region| (count + 1, bytes + region.size));
        let free = self.walk().filter(|region| region.tag.is_none()).count();
        ensure(count == self.used_count && bytes == self.used, 4)?;
        ensure(free == self.free_count as usize, 4)
    }

    fn count_spares(&self) -> usize {
        let some = |index: u32| (index != NONE).then_some(index);
        let limit = self.records.records().len() + 1;
        core::iter::successors(some(self.spare), |&index| some(self.record(index).after))
            .take(limit)
            .count()
    }
}
