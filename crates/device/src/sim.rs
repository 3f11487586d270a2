//! A device in software, for any machine: tests, examples, and programs without a GPU.
//!
//! A [`Sim`] is made from a [`Layout`]: heaps, memory types and limits, your own or a
//! [`Preset`]'s, which are what real drivers answer. Every block has real host memory behind it,
//! so that data arrives or does not, as on a device. Non-coherent memory has two views, the
//! host's and the device's, and only flush and invalidate carry bytes between them.
//!
//! What Vulkan leaves undefined is an error here: each call checks every [`Rule`] that it can
//! break, changes nothing when one is broken, and the [`Violation`] is kept, so that a test ends
//! with `assert!(sim.violations().is_empty())`. Heaps run full, budgets [move](Sim::set_budget),
//! and the n-th call of any function [fails](Sim::fail) when a test wants it to.
//!
//! A layout may be a [group](crate::device::Group) of several devices; a block's instances have the
//! same bytes here.
//!
//! Only Vulkan's rules about memory are checked, not those about commands. A block with resources
//! in it is not freed, and resources alias only where they are bound as aliases, though Vulkan
//! allows more. All calls take one
//! lock: this is no device to measure threads on, as long as blocks are few.
//!
//! ```
//! use polder_device::device::{MappedRange, Order, Resource};
//! use polder_device::sim::{BufferInfo, Preset, Sim};
//! use polder_device::{Device, Resources};
//!
//! let sim = Sim::preset(Preset::Adreno630);
//! let buffer = sim.create_buffer(&BufferInfo { size: 4096, ..BufferInfo::default() })?;
//! let resource = Resource::Buffer(buffer);
//! // Memory type 2 is visible to the host, cached and not coherent.
//! let order = Order {
//!     size: 4096,
//!     memory_type: 2,
//!     priority: 0.5,
//!     device_address: false,
//!     dedicated: None,
//!     device_mask: 0,
//!     extra: None,
//! };
//! let memory = sim.allocate(&order)?;
//! // SAFETY: The handles are live, and this thread alone uses them.
//! unsafe {
//!     sim.bind(resource, memory, 0)?;
//!     let pointer = sim.map(memory)?;
//!     pointer.write(7);
//!     assert_eq!(sim.read_device(resource, 0..1)?, [0], "nobody flushed");
//!     sim.flush(&[MappedRange { memory, range: 0..64 }])?;
//!     assert_eq!(sim.read_device(resource, 0..1)?, [7]);
//!     sim.destroy(resource);
//!     sim.free(memory);
//! }
//! assert!(sim.violations().is_empty());
//! assert_eq!(sim.held(0), 0);
//! # Ok::<(), polder_device::DeviceError>(())
//! ```
//!
//! # Invariants
//!
//! 1. A call that returns an error, or breaks a rule, changes nothing but counts and violations.
//! 2. Every byte of a block is zero until the host or the device writes it.

mod bind;
mod device;
mod failure;
mod handle;
mod layout;
mod memory;
mod presets;
mod relocate;
mod resources;
mod rule;
mod state;
mod work;

pub use failure::Call;
pub use handle::{Buffer, Image, Memory};
pub use layout::{Layout, LayoutError};
pub use presets::{Preset, UnknownPreset};
pub use resources::{BufferInfo, BufferUsage, ImageInfo, ImageUsage, ResourceRules};
pub use rule::{Rule, Violation};
pub use work::{BufferCopy, ImageCopy};

use crate::device::{DeviceError, Order, Resource};
use rule::Refusal;
use state::{HeapState, State};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A resource of the software device.
pub type SimResource = Resource<Buffer, Image>;
/// An order for a block of the software device.
pub type SimOrder = Order<Buffer, Image, u64>;

/// A device in software. A clone is the same device.
#[derive(Clone)]
pub struct Sim {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    state: Mutex<State>,
}

/// How many things live on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Blocks.
    pub blocks: u64,
    /// Buffers.
    pub buffers: u64,
    /// Images.
    pub images: u64,
    /// Blocks that are mapped.
    pub mapped: u64,
}

/// What a block was ordered as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockInfo {
    /// Bytes.
    pub size: u64,
    /// Number of its memory type.
    pub memory_type: u32,
    /// What the driver evicts last.
    pub priority: f32,
    /// Whether buffers in it can have a device address.
    pub device_address: bool,
    /// The one resource that it is for.
    pub dedicated: Option<SimResource>,
    /// What else was said of it, a number that means nothing.
    pub extra: Option<u64>,
    /// The devices of a group that have an instance, where each has its own of the heap; else 0.
    pub device_mask: u32,
    /// Whether it is mapped.
    pub mapped: bool,
}

impl Sim {
    /// Makes a device.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] names the value that no device has.
    pub fn new(layout: Layout) -> Result<Self, LayoutError> {
        layout.check()?;
        let state = Mutex::new(State::new(&layout));
        Ok(Self { inner: Arc::new(Inner { layout, state }) })
    }

    /// Makes a device that answers as a real one.
    ///
    /// # Panics
    ///
    /// Never: a test makes every preset.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        Self::new(preset.layout()).expect("a preset is a device")
    }

    /// Returns what it was made from.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// Returns the rules that were broken, the first 1,000 of them.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// Forgets the rules that were broken, and returns them.
    #[must_use]
    pub fn take_violations(&self) -> Vec<Violation> {
        std::mem::take(&mut self.lock().violations)
    }

    /// Returns how many things live.
    #[must_use]
    pub fn live(&self) -> Live {
        self.lock().live()
    }

    /// Returns the bytes in blocks of a heap; on the device that has the most, where each of a
    /// group has its own.
    ///
    /// # Panics
    ///
    /// If there is no such heap.
    #[must_use]
    pub fn held(&self, heap: u32) -> u64 {
        let states = |states: &mut [HeapState]| states.iter().map(|state| state.held).max();
        self.with_heap(heap, states).unwrap_or(0)
    }

    /// Returns the bytes in blocks of a heap that are on one device of a group.
    ///
    /// # Panics
    ///
    /// If there is no such heap, or no such device.
    #[must_use]
    pub fn held_on(&self, heap: u32, device: u32) -> u64 {
        self.with_heap(heap, |states| states[device as usize].held)
    }

    /// Returns what a block was ordered as, or nothing when it does not live.
    #[must_use]
    pub fn block(&self, memory: Memory) -> Option<BlockInfo> {
        self.lock().blocks.get(memory.0).map(|block| block.info)
    }

    /// Returns how often a function was called, failures included.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().failures.count(call)
    }

    /// Lets the `n`-th call of a function from now fail once, whatever it is given. The first is
    /// number 1.
    ///
    /// # Panics
    ///
    /// If `n` is zero, or the function cannot fail ([`Call::usual_error`]).
    pub fn fail(&self, call: Call, n: u64, error: DeviceError) {
        self.lock().failures.add(Some(call), n, Some(error));
    }

    /// Lets the `n`-th call from now of those that can fail do so once, with its
    /// [usual error](Call::usual_error).
    ///
    /// # Panics
    ///
    /// If `n` is zero.
    pub fn fail_any(&self, n: u64) {
        self.lock().failures.add(None, n, None);
    }

    /// Returns how many failures are still to come.
    #[must_use]
    pub fn pending_failures(&self) -> usize {
        self.lock().failures.pending()
    }

    /// Forgets the failures that are still to come.
    pub fn clear_failures(&self) {
        self.lock().failures.clear();
    }

    /// Lets the driver grant so many bytes of a heap; `None` for what other processes leave.
    ///
    /// A budget is a word: the device gives blocks past it until the heap is full.
    ///
    /// # Panics
    ///
    /// If there is no such heap.
    pub fn set_budget(&self, heap: u32, budget: Option<u64>) {
        self.with_heap(heap, |states| states.iter_mut().for_each(|state| state.budget = budget));
    }

    /// As [`set_budget`](Self::set_budget), on one device of a group.
    ///
    /// # Panics
    ///
    /// If there is no such heap, or no such device.
    pub fn set_budget_on(&self, heap: u32, device: u32, budget: Option<u64>) {
        self.with_heap(heap, |states| states[device as usize].budget = budget);
    }

    /// Lets other processes use so many bytes of a heap. They shrink its budget, and what is left
    /// for blocks.
    ///
    /// # Panics
    ///
    /// If there is no such heap.
    pub fn set_other_usage(&self, heap: u32, bytes: u64) {
        let set = |state: &mut HeapState| state.other_usage = bytes;
        self.with_heap(heap, |states| states.iter_mut().for_each(set));
    }

    fn with_heap<T>(&self, heap: u32, work: impl FnOnce(&mut [HeapState]) -> T) -> T {
        let count = self.layout().properties.heaps.len();
        assert!((heap as usize) < count, "heap {heap} is one of the device's {count}");
        work(&mut self.lock().heaps[heap as usize])
    }

    /// Counts a call, lets it fail when its time has come, does it, and reports a broken rule.
    fn call<T>(
        &self,
        call: Call,
        work: impl FnOnce(&Layout, &mut State) -> Result<T, Refusal>,
    ) -> Result<T, DeviceError> {
        let mut state = self.lock();
        state.failures.enter(call)?;
        work(self.layout(), &mut state).map_err(|refusal| state.report(call, refusal))
    }

    /// As [`call`](Self::call), for functions that return nothing.
    fn report_only(
        &self,
        call: Call,
        work: impl FnOnce(&Layout, &mut State) -> Result<(), Refusal>,
    ) {
        // The violation is kept; there is nobody to hand the error to.
        let _ = self.call(call, work);
    }

    /// A panic under the lock leaves the state whole: calls check first and then act.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.layout().properties.name;
        f.debug_struct("Sim").field("name", name).field("live", &self.live()).finish()
    }
}
