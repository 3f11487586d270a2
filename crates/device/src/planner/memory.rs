//! A plan that has become memory: one allocation a group, and who lies where in it.

use super::{Group, Place, Plan};
use crate::allocation::Allocation;
use crate::device::{Device, Requirements, Tiling};
use crate::error::{AllocError, FreeError};
use crate::request::{Request, Wish};
use crate::strategy::Strategy;

/// The memory of a [`Plan`]: one allocation for each group. It is given back by
/// [`free`](Self::free); dropped, it stays allocated until its allocator ends.
#[derive(Debug)]
#[must_use = "memory that is dropped stays allocated until its allocator ends"]
pub struct PlanMemory<D: Device> {
    allocations: Vec<Allocation<D>>,
    places: Vec<Place>,
}

impl Plan {
    /// Allocates memory for every group, with the same wish, or none at all.
    ///
    /// Whoever binds resources to it sees to it that their contents are written anew before they
    /// are read: others had the bytes meanwhile.
    ///
    /// ```
    /// use polder_device::planner::{Life, Planner, Transient};
    /// use polder_device::sim::{Preset, Sim};
    /// use polder_device::{Allocator, Device, Options, Requirements, Strategy, Tiling, Wish};
    ///
    /// let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
    /// let granularity = allocator.properties().limits.granularity;
    /// let needs = Requirements { size: 1 << 20, align: 256, ..Requirements::ANY };
    /// let resource = |first, last| Transient {
    ///     requirements: needs,
    ///     tiling: Tiling::Optimal,
    ///     life: Life { first, last },
    /// };
    /// let resources = [resource(0, 1), resource(1, 2), resource(2, 3)];
    /// let plan = Planner { granularity, ..Planner::default() }.plan(&resources)?;
    ///
    /// let memory = plan.allocate(&allocator, &Wish::default())?;
    /// assert_eq!(allocator.used(), 2 << 20, "the third has the bytes of the first");
    /// let (allocation, offset) = memory.place(2);
    /// assert!(offset + needs.size <= allocation.size());
    /// memory.free(&allocator)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`AllocError`]; nothing has changed.
    pub fn allocate<D: Device>(
        &self,
        strategy: &impl Strategy<D>,
        wish: &Wish<'_>,
    ) -> Result<PlanMemory<D>, AllocError> {
        let requests: Vec<_> = self.groups.iter().map(|group| request(group, wish)).collect();
        let allocations = strategy.allocate_all(&requests)?;
        Ok(PlanMemory { allocations, places: self.places.clone() })
    }
}

fn request<'a, D: Device>(group: &Group, wish: &Wish<'a>) -> Request<'a, D> {
    let &Group { size, align, memory_types, tiling, .. } = group;
    let requirements = Requirements { size, align, memory_types, ..Requirements::ANY };
    let request = Request::new(requirements, *wish);
    // A group of both tilings takes whole pages, so any tiling is right.
    let tiling = tiling.unwrap_or(Tiling::Linear);
    // Buffers may need it, and it costs nothing.
    Request { tiling, device_address: tiling == Tiling::Linear, ..request }
}

impl<D: Device> PlanMemory<D> {
    /// Returns the allocation of each group, in their order.
    pub fn allocations(&self) -> &[Allocation<D>] {
        &self.allocations
    }

    /// Returns the allocation that a resource lies in, and where in it, in bytes. To bind it, the
    /// allocation's own offset is added.
    ///
    /// # Panics
    ///
    /// When the plan has no resource of this number.
    pub fn place(&self, resource: usize) -> (&Allocation<D>, u64) {
        let Place { group, offset } = self.places[resource];
        (&self.allocations[group], offset)
    }

    /// Gives all of it back. Nothing may use it any more.
    ///
    /// # Errors
    ///
    /// It is another allocator's, and comes back; nothing has changed.
    pub fn free(mut self, strategy: &impl Strategy<D>) -> Result<(), FreeError<Self>> {
        let live = self.allocations.iter().try_for_each(|one| strategy.expect_live(one));
        if let Err(reason) = live {
            return Err(FreeError { reason, allocation: self });
        }
        while let Some(allocation) = self.allocations.pop() {
            if let Err(FreeError { reason, allocation }) = strategy.free(allocation) {
                self.allocations.push(allocation);
                return Err(FreeError { reason, allocation: self });
            }
        }
        Ok(())
    }
}
