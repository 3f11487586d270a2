//! An allocator in VMA's own text.

use super::{Allocator, Mixed};
use crate::arena::Arena;
use crate::device::{Device, Heap};
use crate::strategy::Pool;
use crate::supply::Budget;
use crate::virtual_block::Detail;
use crate::vma_json::{Json, Layout};
use std::sync::Arc;

impl<D: Device> Allocator<D> {
    /// Returns VMA's own text about an allocator, which its viewers read: JSON with the device, its
    /// heaps and memory types, their figures and, with [`Detail::Regions`], every block and
    /// allocation. Looks at each of them, arena by arena.
    ///
    /// A block's number is its place in the text. The usage flags are those that the
    /// [`Factory`](crate::Factory) made the resource with; where the program made it, they stand as
    /// zero, as in VMA's text.
    ///
    /// ```
    /// use polder_device::sim::{BufferInfo, Preset, Sim};
    /// use polder_device::virtual_block::Detail;
    /// use polder_device::{Allocator, Factory, Options, Wish};
    ///
    /// let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), Options::default());
    /// let named = Wish { name: Some("vertices"), ..Wish::default() };
    /// let info = BufferInfo::default();
    /// let buffer = allocator.create_buffer(&info, &named)?;
    /// let text = allocator.vma_json(Detail::Regions);
    /// assert!(text.contains(r#""Type": "BUFFER", "Size": 65536, "Usage": "#));
    /// assert!(text.contains(&format!(r#""Usage": {}, "Name": "vert"#, info.usage.bits())));
    /// allocator.destroy_buffer(buffer)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn vma_json(&self, detail: Detail) -> String {
        let (mut json, stats) = (Json::default(), self.detailed_stats());
        json.begin('{');
        json.key("General");
        json.general(self.properties());
        json.key("Total");
        json.stats(&stats.total);
        json.key("MemoryInfo");
        json.begin('{');
        for (index, heap) in (0..).zip(&self.properties().heaps) {
            json.key_with("Heap ", index.into());
            json.begin('{');
            self.write_heap(&mut json, index, heap);
            json.key("Stats");
            json.stats(&stats.heaps[index as usize]);
            json.key("MemoryPools");
            json.begin('{');
            for (number, kind) in (0..).zip(&self.properties().memory_types) {
                if kind.heap == index {
                    json.key_with("Type ", number);
                    json.begin('{');
                    json.type_flags(kind.properties);
                    json.key("Stats");
                    json.stats(&stats.memory_types[number as usize]);
                    json.end('}');
                }
            }
            json.end('}');
            json.end('}');
        }
        json.end('}');
        if detail == Detail::Regions {
            self.write_arenas(&mut json);
            self.write_pools(&mut json);
        }
        json.end('}');
        json.into_text()
    }

    fn write_heap(&self, json: &mut Json, index: u32, heap: &Heap) {
        json.key("Flags");
        json.begin_in('[', Layout::Line);
        if heap.device_local {
            json.string("DEVICE_LOCAL");
        }
        json.end(']');
        json.member("Size", heap.size);
        let Budget { budget, usage, .. } = self.budget(index);
        json.key("Budget");
        json.begin('{');
        json.member("BudgetBytes", budget);
        json.member("UsageBytes", usage);
        json.end('}');
    }

    fn write_arenas(&self, json: &mut Json) {
        json.key("DefaultPools");
        json.begin('{');
        for number in 0..self.properties().memory_types.len() as u32 {
            let arenas = || self.arenas_of(number);
            if let Some(first) = arenas().next() {
                json.key_with("Type ", number.into());
                json.begin('{');
                write_all(json, preferred_size(first), arenas);
                json.end('}');
            }
        }
        json.end('}');
    }

    fn write_pools(&self, json: &mut Json) {
        let pools = self.pools();
        json.key("CustomPools");
        json.begin('{');
        for number in 0..self.properties().memory_types.len() as u32 {
            let of_type = || pools.iter().filter(|pool| pool.memory_type() == number);
            if of_type().next().is_none() {
                continue;
            }
            json.key_with("Type ", number.into());
            json.begin('[');
            of_type().enumerate().for_each(|(index, pool)| write_pool(json, index, pool));
            json.end(']');
        }
        json.end('}');
    }
}

fn write_pool<D: Device>(json: &mut Json, index: usize, pool: &Arc<Pool<D>>) {
    let name = pool.name().map_or_else(|| index.to_string(), |name| format!("{index} - {name}"));
    json.begin('{');
    json.text_member("Name", &name);
    let arena = pool.arena();
    write_all(json, preferred_size(arena), || core::iter::once(arena));
    json.end('}');
}

/// Writes the blocks and dedicated allocations of some arenas as if they were one.
fn write_all<'a, D: Device, I: Iterator<Item = &'a Arena<D, Mixed>>>(
    json: &mut Json,
    preferred_size: u64,
    arenas: impl Fn() -> I,
) {
    json.member("PreferredBlockSize", preferred_size);
    json.key("Blocks");
    json.begin('{');
    arenas().fold(0, |first, arena| arena.write_shared(json, first));
    json.end('}');
    json.key("DedicatedAllocations");
    json.begin('[');
    arenas().for_each(|arena| arena.write_dedicated(json));
    json.end(']');
}

fn preferred_size<D: Device>(arena: &Arena<D, Mixed>) -> u64 {
    let config = arena.config();
    config.rules.block_size.unwrap_or(config.growth.size_most)
}
