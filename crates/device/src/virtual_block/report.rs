//! What a virtual block tells of itself: counters, every region, and VMA's own text.

use super::VirtualBlock;
use crate::device::Tiling;
use crate::division::{Division, Region};
use crate::snapshot::{AllocationSnapshot, BlockSnapshot, RegionSnapshot};
use crate::vma_json::{Json, Layout};
use polder_core::stats::{DetailedStats, Stats};

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Detail {
    /// The figures of the whole.
    #[default]
    Stats,
    /// Every region too.
    Regions,
}

impl<T> VirtualBlock<T> {
    /// Returns how much is held (the whole range, as one block) and used, in constant time.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock, VirtualRequest};
    /// let mut block = VirtualBlock::new(100, Algorithm::Linear)?;
    /// block.allocate(VirtualRequest::new(30), ())?;
    /// let stats = block.stats();
    /// assert_eq!((stats.held, stats.allocations, stats.used), (100, 1, 30));
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (allocations, used) = (self.division.count().into(), self.division.used());
        Stats { blocks: 1, held: self.size, allocations, used }
    }

    /// Returns the same with what the pieces are: how many free regions there are, and the
    /// smallest and the largest allocation and free region. Looks at every region.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock, VirtualRequest};
    /// let mut block = VirtualBlock::new(100, Algorithm::Tlsf)?;
    /// for size in [30, 20] {
    ///     block.allocate(VirtualRequest::new(size), ())?;
    /// }
    /// let stats = block.detailed_stats();
    /// assert_eq!((stats.allocations.min(), stats.allocations.max()), (Some(20), Some(30)));
    /// assert_eq!(stats.free_regions.total(), 50);
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    #[must_use]
    pub fn detailed_stats(&self) -> DetailedStats {
        let mut stats = DetailedStats::default();
        stats.blocks.push(self.size);
        self.division.walk(&mut |Region { size, slot, .. }| match slot {
            Some(_) => stats.allocations.push(size),
            None => stats.free_regions.push(size),
        });
        stats
    }

    /// Returns every region, each allocation with the name that `name` finds in its data.
    ///
    /// ```
    /// use polder_device::{Algorithm, VirtualBlock, VirtualRequest};
    /// let mut block = VirtualBlock::new(100, Algorithm::Tlsf)?;
    /// block.allocate(VirtualRequest::new(30), "glyphs")?;
    /// let shot = block.snapshot(|name| Some(name.to_string()));
    /// let first = shot.regions[0].allocation.as_ref().unwrap();
    /// assert_eq!((first.size, first.name.as_deref()), (30, Some("glyphs")));
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self, name: impl Fn(&T) -> Option<String>) -> BlockSnapshot {
        let mut regions = Vec::new();
        self.division.walk(&mut |Region { offset, size, slot }| {
            let allocation = slot.map(|slot| AllocationSnapshot {
                slot,
                size,
                tiling: Tiling::Linear,
                name: name(self.data_of(slot)),
            });
            regions.push(RegionSnapshot { offset, size, allocation });
        });
        BlockSnapshot {
            arena: 0,
            size: self.size,
            used: self.division.used(),
            allocations: self.division.count(),
            largest_free: self.division.largest_free(),
            dedicated: false,
            maps: 0,
            regions,
        }
    }

    /// Returns VMA's own text about a virtual block, which its viewers read: JSON with `Stats`
    /// and, with [`Detail::Regions`], `Details`. What `custom` finds in an allocation's data is
    /// its `CustomData`.
    ///
    /// ```
    /// use polder_device::virtual_block::Detail;
    /// use polder_device::{Algorithm, VirtualBlock, VirtualRequest};
    /// let mut block = VirtualBlock::new(100, Algorithm::Linear)?;
    /// block.allocate(VirtualRequest::new(30), "glyphs")?;
    /// let text = block.vma_json(Detail::Regions, |name| Some(name.to_string()));
    /// assert!(text.contains(r#"{"Offset": 0, "Size": 30, "CustomData": "glyphs"}"#));
    /// # Ok::<(), polder_device::VirtualError>(())
    /// ```
    #[must_use]
    pub fn vma_json(&self, detail: Detail, custom: impl Fn(&T) -> Option<String>) -> String {
        let (mut json, stats) = (Json::default(), self.detailed_stats());
        json.begin('{');
        json.key("Stats");
        json.stats(&stats);
        if detail == Detail::Regions {
            json.key("Details");
            json.begin('{');
            json.block_head(self.size, &stats);
            json.key("Suballocations");
            json.begin('[');
            self.division.walk(&mut |Region { offset, size, slot }| match slot {
                None => json.free_region(offset, size),
                Some(slot) => {
                    json.begin_in('{', Layout::Line);
                    json.member("Offset", offset);
                    json.member("Size", size);
                    let data = custom(self.data_of(slot));
                    data.iter().for_each(|data| json.text_member("CustomData", data));
                    json.end('}');
                }
            });
            json.end(']');
            json.end('}');
        }
        json.end('}');
        json.into_text()
    }

    /// The data of a slot that the division named.
    fn data_of(&self, slot: u32) -> &T {
        self.entries[slot as usize].data()
    }
}
