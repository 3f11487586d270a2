//! What an allocator does when a budget shrinks or a heap becomes full: its empty blocks go, and
//! its user is told.

use super::{Allocator, EmptyBlocks};
use crate::allocation::{Allocation, AllocationId};
use crate::device::Device;
use crate::error::Misuse;
use crate::pressure::{Pressure, Watermarks};
use std::sync::Arc;

impl<D: Device> Allocator<D> {
    /// Calls `callback` from here on, instead of one that was set before, when memory runs short:
    /// with each [frame](Self::begin_frame) and each new block for which a heap's usage is found
    /// past its budget or its high mark, and before a request of the allocator's or of one of its
    /// pools fails for want of room, which is then tried once more.
    ///
    /// It is told once of each crossing: again only when the usage was beneath the low mark
    /// meanwhile (for the budget, beneath the high mark), when a sixteenth of the budget has come
    /// on top, or when a heap has been past its budget for another 64 frames. Before a frame tells
    /// of a budget that is passed, and before a request fails, the allocator has given back its
    /// empty blocks and those of its pools, but for what their setups keep; after the call it gives
    /// back those that became empty.
    ///
    /// The callback may call everything: free, allocate, hand frees in for a
    /// [frame](Self::free_after), set another. No lock is held while it runs, and what it asks for
    /// in vain fails without a call within the call. It runs on the thread that met the shortage,
    /// so on several at once when several do. The allocator keeps it: what it catches holds the
    /// allocator by a `Weak`, or neither ever ends.
    ///
    /// ```
    /// use polder_device::sim::{BufferInfo, Layout, Sim};
    /// use polder_device::{Allocator, Factory, Options, Watermarks, Wish};
    /// use std::collections::HashMap;
    /// use std::sync::{Arc, Mutex};
    ///
    /// // One heap of 256 MiB.
    /// let sim = Sim::new(Layout::default())?;
    /// let allocator = Arc::new(Allocator::new(sim, Options::default()));
    /// let textures = Arc::new(Mutex::new(HashMap::new()));
    ///
    /// let (weak, cached) = (Arc::downgrade(&allocator), textures.clone());
    /// allocator.on_pressure(Watermarks::default(), move |pressure| {
    ///     let Some(allocator) = weak.upgrade() else { return };
    ///     for candidate in pressure.suggested() {
    ///         let texture = cached.lock().unwrap().remove(&candidate.id);
    ///         // What the device still uses goes to `free_after` instead.
    ///         if let Some(texture) = texture {
    ///             allocator.destroy_buffer(texture).unwrap();
    ///         }
    ///     }
    /// });
    ///
    /// let info = BufferInfo { size: 20 << 20, ..BufferInfo::default() };
    /// for frame in 0..100 {
    ///     allocator.begin_frame(frame);
    ///     let texture = allocator.create_buffer(&info, &Wish::default())?;
    ///     let id = texture.allocation().id();
    ///     allocator.set_evictable(texture.allocation(), Some(0.5))?;
    ///     textures.lock().unwrap().insert(id, texture);
    ///     allocator.touch(frame, [id]);
    /// }
    /// assert!((10..=12).contains(&textures.lock().unwrap().len()), "the oldest have gone");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// When the high mark is above 100, or the low one above the high one.
    pub fn on_pressure(
        &self,
        marks: Watermarks,
        callback: impl Fn(&Pressure<'_>) + Send + Sync + 'static,
    ) {
        assert!(marks.high <= 100, "a heap is nearly full below its budget");
        assert!(marks.low <= marks.high, "the low mark is not above the high one");
        self.supply.watch().set(marks, Arc::new(callback));
    }

    /// Says how soon an allocation may go when memory is short: of those that may, the lowest
    /// `priority` first. Nothing when it has to stay, as all have to by default.
    ///
    /// It counts as used in the frame that is recorded. Takes the locks of its arena and of the
    /// table of what may go; its free takes the second one too.
    ///
    /// # Errors
    ///
    /// The allocation is another's, or was freed.
    pub fn set_evictable(
        &self,
        allocation: &Allocation<D>,
        priority: Option<f32>,
    ) -> Result<(), Misuse> {
        self.arena_of(allocation.id())?.set_evictable(allocation.id(), priority)
    }

    /// Says that a frame uses these allocations, of this allocator or of its pools, so that they
    /// are not the first to go. Those that have to stay anyway, and those that were freed, are
    /// passed over. Takes one lock for all.
    pub fn touch(&self, frame: u64, used: impl IntoIterator<Item = AllocationId>) {
        // Before the lock is taken, for what is asked for them may be anything.
        let used: Vec<_> = used.into_iter().collect();
        self.supply.watch().registry().touch(frame, &used);
    }

    /// Lets the next question about a budget go to the driver. Where a budget is passed, empty
    /// blocks go back if they were kept within it or somebody would be told of them; then who wants
    /// to know is told.
    pub(super) fn keep_budgets(&self) {
        self.supply.forget_budgets();
        let is_watched = self.supply.watch().is_set();
        if !is_watched && self.options.empty_blocks == EmptyBlocks::Share {
            return;
        }
        let heaps = || 0..self.properties().heaps.len() as u32;
        let passed = heaps().filter(|&heap| !self.budget(heap).is_kept());
        passed.for_each(|heap| self.family.trim(Some(heap)));
        let told = heaps().filter(|&heap| self.supply.tell_if_full(heap));
        told.for_each(|heap| self.family.trim(Some(heap)));
    }

    /// Tells who wants to know when a new block has made a heap's usage too high, and gives back
    /// what became empty.
    pub(super) fn tell_of_growth(&self) {
        let told = self.supply.tell_of_growth();
        if told != 0 {
            let heaps = 0..self.properties().heaps.len() as u32;
            heaps
                .filter(|heap| told >> heap & 1 == 1)
                .for_each(|heap| self.family.trim(Some(heap)));
        }
    }
}
