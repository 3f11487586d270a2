//! What an allocator can tell of itself.

use super::Allocator;
use crate::allocation::Allocation;
use crate::arena::{AllocationInfo, Arena};
use crate::choice::names;
use crate::device::{Device, HeapBudget};
use crate::error::Misuse;
use crate::snapshot::{BlockSnapshot, HeapSnapshot, Leak, Snapshot, TypeSnapshot};
use crate::supply::Budget;
use polder_core::stats::{DetailedStats, Stats};

/// Detailed figures of a whole allocator. Each adds up to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllStats {
    /// Of each memory type.
    pub memory_types: Vec<DetailedStats>,
    /// Of each heap.
    pub heaps: Vec<DetailedStats>,
    /// Of all.
    pub total: DetailedStats,
}

impl<D: Device> Allocator<D> {
    /// Shows every heap, memory type, block and region. Asks the driver for its budgets; takes
    /// each arena's lock in turn, so it is one moment only if no other thread works.
    pub fn snapshot(&self) -> Snapshot {
        let (properties, pools) = (self.properties(), self.pools());
        let memory_types: Vec<_> = (0..)
            .zip(&properties.memory_types)
            .map(|(index, kind)| {
                let mut blocks: Vec<_> = self.arenas_of(index).flat_map(Arena::snapshot).collect();
                // The numbers of pools come after those of the arenas.
                for (number, pool) in (self.arenas.len() as u32..).zip(&pools) {
                    if pool.memory_type() == index {
                        let of_pool = pool.snapshot().into_iter();
                        blocks
                            .extend(of_pool.map(|block| BlockSnapshot { arena: number, ..block }));
                    }
                }
                TypeSnapshot { heap: kind.heap, properties: names(kind.properties), blocks }
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

    /// Returns the counters of a memory type, those of its pools included. Takes the locks of its
    /// arenas and pools in turn.
    pub fn stats(&self, memory_type: u32) -> Stats {
        let arenas: Stats = self.arenas_of(memory_type).map(Arena::stats).sum();
        let pools = self.pools();
        let pools = pools.iter().filter(|pool| pool.memory_type() == memory_type);
        arenas + pools.map(|pool| pool.stats()).sum()
    }

    /// Returns the counters of a heap, as [`stats`](Self::stats) does.
    pub fn heap_stats(&self, heap: u32) -> Stats {
        let types = 0..self.properties().memory_types.len() as u32;
        let of_heap = types.filter(|&index| self.supply.heap_of(index) == heap);
        of_heap.map(|index| self.stats(index)).sum()
    }

    /// Returns the figures of every block, allocation and free region, by memory type, by heap and
    /// in total, pools included. Looks at each of them, arena by arena.
    ///
    /// ```
    /// use polder_device::sim::{BufferInfo, Preset, Sim};
    /// use polder_device::{Allocator, Factory, Options, Wish};
    ///
    /// let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), Options::default());
    /// let buffer = allocator.create_buffer(&BufferInfo::default(), &Wish::default())?;
    /// let total = allocator.detailed_stats().total;
    /// assert_eq!((total.blocks.count(), total.allocations.max()), (1, Some(64 << 10)));
    /// allocator.destroy_buffer(buffer)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detailed_stats(&self) -> AllStats {
        let properties = self.properties();
        let mut memory_types = vec![DetailedStats::default(); properties.memory_types.len()];
        for arena in self.made_arenas() {
            memory_types[arena.config().memory_type as usize] += arena.detailed_stats();
        }
        for pool in self.pools() {
            memory_types[pool.memory_type() as usize] += pool.detailed_stats();
        }
        let mut heaps = vec![DetailedStats::default(); properties.heaps.len()];
        for (kind, stats) in properties.memory_types.iter().zip(&memory_types) {
            heaps[kind.heap as usize] += *stats;
        }
        let total = heaps.iter().copied().sum();
        AllStats { memory_types, heaps, total }
    }

    /// Returns a heap's budget and what is held of it: quickly, without a lock. The driver is asked
    /// only when 16 blocks have come or gone, or a frame has [begun](Self::begin_frame), since it
    /// was asked last.
    ///
    /// ```
    /// use polder_device::sim::{Preset, Sim};
    /// use polder_device::{Allocator, Options};
    ///
    /// let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), Options::default());
    /// let budget = allocator.budget(0);
    /// assert!(budget.is_kept() && budget.held == 0);
    /// ```
    ///
    /// # Panics
    ///
    /// When the device has no such heap.
    pub fn budget(&self, heap: u32) -> Budget {
        self.supply.budget(heap)
    }

    /// Returns a heap's budget on one device of a [group](crate::device::Group), as
    /// [`budget`](Self::budget) does; that returns the one of the device with the least left. A
    /// heap that the devices share has one budget for all.
    ///
    /// # Panics
    ///
    /// When the device has no such heap.
    pub fn budget_on(&self, heap: u32, device: u32) -> Budget {
        self.supply.budget_on(heap, device)
    }

    /// Returns what is known of an allocation.
    ///
    /// ```
    /// use polder_device::sim::{BufferInfo, Preset, Sim};
    /// use polder_device::{Allocator, Factory, Options, Wish};
    ///
    /// let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), Options::default());
    /// let buffer = allocator.create_buffer(&BufferInfo::default(), &Wish::default())?;
    /// allocator.rename(buffer.allocation(), Some("vertices"))?;
    /// allocator.set_user_data(buffer.allocation(), 7)?;
    /// let info = allocator.info(buffer.allocation())?;
    /// assert_eq!((info.name.as_deref(), info.user_data), (Some("vertices"), 7));
    /// assert!(info.block_size >= info.size && !info.dedicated);
    /// allocator.destroy_buffer(buffer)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    pub fn info(&self, allocation: &Allocation<D>) -> Result<AllocationInfo<D::Memory>, Misuse> {
        self.arena_of(allocation.id())?.info(allocation.id())
    }

    /// Gives an allocation another name, or none.
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    pub fn rename(&self, allocation: &Allocation<D>, name: Option<&str>) -> Result<(), Misuse> {
        self.arena_of(allocation.id())?.set_name(allocation.id(), name)
    }

    /// Writes a number of the user's own on an allocation.
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    pub fn set_user_data(&self, allocation: &Allocation<D>, data: u64) -> Result<(), Misuse> {
        self.arena_of(allocation.id())?.set_user_data(allocation.id(), data)
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

    pub(super) fn arenas_of(
        &self,
        memory_type: u32,
    ) -> impl Iterator<Item = &Arena<D, super::Mixed>> {
        self.made_arenas().filter(move |arena| arena.config().memory_type == memory_type)
    }
}
