//! What an allocator can tell of itself.

use super::Allocator;
use crate::arena::Arena;
use crate::choice::names;
use crate::device::{Device, HeapBudget};
use crate::snapshot::{HeapSnapshot, Leak, Snapshot, TypeSnapshot};
use polder_core::stats::Stats;

impl<D: Device> Allocator<D> {
    /// Shows every heap, memory type, block and region. Asks the driver for its budgets; takes
    /// each arena's lock in turn, so it is one moment only if no other thread works.
    pub fn snapshot(&self) -> Snapshot {
        let properties = self.properties();
        let memory_types: Vec<_> = (0..)
            .zip(&properties.memory_types)
            .map(|(index, kind)| TypeSnapshot {
                heap: kind.heap,
                properties: names(kind.properties),
                blocks: self.arenas_of(index).flat_map(Arena::snapshot).collect(),
            })
            .collect();
        let budgets = self.supply.budgets();
        let heap = |(index, budget): (u32, &HeapBudget)| {
            let types = memory_types.iter().filter(|kind| kind.heap == index);
            let (held, used) =
                types.fold((0, 0), |(held, used), kind| (held + kind.held(), used + kind.used()));
            let limit = Some(self.supply.limit(index)).filter(|&limit| limit != u64::MAX);
            let crate::device::Heap { size, device_local } = properties.heaps[index as usize];
            let HeapBudget { budget, usage } = *budget;
            HeapSnapshot { size, device_local, budget, usage, limit, held, used }
        };
        let heaps = (0..).zip(&budgets).map(heap).collect();
        Snapshot { device: properties.name.clone(), kind: properties.kind, heaps, memory_types }
    }

    /// Returns the counters of a memory type. Takes its arenas' locks in turn.
    pub fn stats(&self, memory_type: u32) -> Stats {
        self.arenas_of(memory_type).map(Arena::stats).sum()
    }

    /// Returns what is allocated, as the leak report would name it.
    pub fn leaks(&self) -> Vec<Leak> {
        self.made_arenas().flat_map(Arena::leaks).collect()
    }

    /// Verifies every invariant; for tests.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn check(&self) {
        self.made_arenas().for_each(Arena::check);
    }

    fn arenas_of(&self, memory_type: u32) -> impl Iterator<Item = &Arena<D, super::Mixed>> {
        self.made_arenas().filter(move |arena| arena.config().memory_type == memory_type)
    }
}
