//! What a virtual block tells of itself: counters, every region, and VMA's own text.

use super::VirtualBlock;
use crate::device::Tiling;
use crate::division::{Division, Region};
use crate::snapshot::{AllocationSnapshot, BlockSnapshot, RegionSnapshot};
use core::fmt::{self, Write};
use polder_core::stats::{DetailedStats, Sizes, Stats};

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
        let mut text = String::new();
        let written = self.write_json(&mut text, detail, &|slot| custom(self.data_of(slot)));
        debug_assert_eq!(written, Ok(()), "a string takes any text");
        text
    }

    fn write_json(
        &self,
        text: &mut String,
        detail: Detail,
        custom: &dyn Fn(u32) -> Option<String>,
    ) -> fmt::Result {
        let stats = self.detailed_stats();
        text.write_str("{\n  \"Stats\": {")?;
        write_fields(text, &fields_of(&stats))?;
        text.write_str("\n  }")?;
        if detail == Detail::Regions {
            let DetailedStats { allocations, free_regions, .. } = stats;
            text.write_str(", \n  \"Details\": {")?;
            write_fields(
                text,
                &[
                    ("TotalBytes", self.size),
                    ("UnusedBytes", self.size - allocations.total()),
                    ("Allocations", allocations.count()),
                    ("UnusedRanges", free_regions.count()),
                ],
            )?;
            text.write_str(", \n    \"Suballocations\": [")?;
            let (mut result, mut separator) = (Ok(()), "");
            self.division.walk(&mut |region| {
                let written = write_region(text, separator, region, custom);
                result = result.and(written);
                separator = ", ";
            });
            result?;
            text.write_str("\n    ]\n  }")?;
        }
        text.write_str("\n}")
    }

    /// The data of a slot that the division named.
    fn data_of(&self, slot: u32) -> &T {
        self.entries[slot as usize].data()
    }
}

/// What VMA says of its blocks; the extremes only where there is more than one.
fn fields_of(stats: &DetailedStats) -> Vec<(&'static str, u64)> {
    let mut fields = vec![
        ("BlockCount", stats.blocks.count()),
        ("BlockBytes", stats.blocks.total()),
        ("AllocationCount", stats.allocations.count()),
        ("AllocationBytes", stats.allocations.total()),
        ("UnusedRangeCount", stats.free_regions.count()),
    ];
    let mut extremes = |sizes: &Sizes, names: [&'static str; 2]| {
        let both = sizes.min().zip(sizes.max()).filter(|_| sizes.count() > 1);
        fields.extend(both.iter().flat_map(|&(min, max)| names.into_iter().zip([min, max])));
    };
    extremes(&stats.allocations, ["AllocationSizeMin", "AllocationSizeMax"]);
    extremes(&stats.free_regions, ["UnusedRangeSizeMin", "UnusedRangeSizeMax"]);
    fields
}

fn write_fields(text: &mut String, fields: &[(&str, u64)]) -> fmt::Result {
    fields.iter().enumerate().try_for_each(|(index, (name, value))| {
        let separator = if index == 0 { "" } else { ", " };
        write!(text, "{separator}\n    \"{name}\": {value}")
    })
}

fn write_region(
    text: &mut String,
    separator: &str,
    Region { offset, size, slot }: Region,
    custom: &dyn Fn(u32) -> Option<String>,
) -> fmt::Result {
    write!(text, "{separator}\n      {{\"Offset\": {offset}, ")?;
    let Some(slot) = slot else {
        return write!(text, "\"Type\": \"FREE\", \"Size\": {size}}}");
    };
    write!(text, "\"Size\": {size}")?;
    if let Some(custom) = custom(slot) {
        text.write_str(", \"CustomData\": \"")?;
        custom.chars().try_for_each(|char| write_escaped(text, char))?;
        text.write_char('"')?;
    }
    text.write_char('}')
}

/// A character of a JSON string.
fn write_escaped(text: &mut String, char: char) -> fmt::Result {
    match char {
        '"' | '\\' => write!(text, "\\{char}"),
        '\n' => text.write_str("\\n"),
        '\r' => text.write_str("\\r"),
        '\t' => text.write_str("\\t"),
        '\0'..' ' => write!(text, "\\u{:04x}", char as u32),
        _ => text.write_char(char),
    }
}
