//! Where blocks come from: the device, under the limits of the user, the driver and the heap.
//!
//! A supply is what the arenas of one allocator share. It asks the driver for its budget when a
//! block is about to be taken, and when somebody wants figures of it and those of the last time are
//! old: a plain allocation or free never comes here.
//!
//! # Invariants
//!
//! 1. The held bytes and blocks of a heap are those of the blocks given and not taken back.
//! 2. Held bytes never pass the heap's limit, blocks never the device's count.

mod places;

use crate::device::{
    Device, DeviceError, DeviceProperties, HeapBudget, MemoryProperties, Order, mask_of_all,
};
use crate::error::{AllocError, Shortage, ShortageCause};
use crate::pressure::Watch;
use crate::request::BudgetRule;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use places::Places;
use std::sync::Arc;

/// Without a budget of the driver's, this share of a heap is taken for one, in percent.
const BUDGET_PERCENT: u64 = 80;

/// What other processes take shows in the driver's budget alone: it is asked again when so many
/// blocks have come and gone, and in each frame.
const KNOWN_FOR_BLOCKS: u64 = 16;

/// Up to this share of the device's blocks, in percent, blocks are taken freely.
const BLOCK_COUNT_PERCENT: u64 = 75;

/// Memory that came from the device in one grant.
#[derive(Debug)]
pub struct Grant<M> {
    /// The device's handle.
    pub memory: M,
    /// Bytes.
    pub size: u64,
    /// Number of its memory type.
    pub memory_type: u32,
    /// The devices of a group that have an instance; 0 for the only one.
    device_mask: u32,
}

/// Why the supply gave no block. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room for this size; a smaller one may do.
    Short(ShortageCause),
    /// The device failed in another way.
    Device(DeviceError),
}

impl Refusal {
    /// Tells whether more room would help. What goes makes no block larger.
    pub const fn is_for_want_of_room(&self) -> bool {
        use ShortageCause::{BlockSize, Strategy};
        matches!(self, Self::Short(cause) if !matches!(cause, BlockSize { .. } | Strategy { .. }))
    }

    /// What it means that a block could not be mapped: perhaps a smaller or another one can.
    pub const fn of_mapping(error: DeviceError) -> Self {
        use DeviceError::{MapFailed, OutOfDeviceMemory, OutOfHostMemory};
        match error {
            MapFailed | OutOfDeviceMemory | OutOfHostMemory => Self::Short(ShortageCause::Mapping),
            error => Self::Device(error),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Supply<D: Device> {
    device: Arc<D>,
    properties: DeviceProperties,
    places: Places,
    /// How many blocks may still come and go before the driver is asked for its budgets again.
    blocks_left: AtomicU64,
    /// Bytes in blocks of each memory type.
    held_of_types: Vec<AtomicU64>,
    /// How many blocks each heap has.
    blocks_of_heaps: Vec<AtomicU64>,
    blocks: AtomicU64,
    watch: Watch,
    /// The heaps of which a block was taken since they were looked at, a bit each.
    grown: AtomicU32,
}

/// A heap's budget, and what we have of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// How many bytes the process can use before the system slows down or refuses: by the driver's
    /// word, or four fifths of the heap.
    pub budget: u64,
    /// How many bytes it uses: what the driver said last, and what we took and gave back since.
    pub usage: u64,
    /// How many bytes are in our blocks.
    pub held: u64,
    /// How many blocks we have.
    pub blocks: u64,
}

impl Budget {
    /// Tells whether no more is used than is granted.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.usage <= self.budget
    }
}

impl<D: Device> Supply<D> {
    /// Makes a supply; heaps that `limits` says nothing of have none.
    pub fn new(device: Arc<D>, limits: &[Option<u64>]) -> Self {
        let mut properties = device.properties().clone();
        hide_instances(&mut properties);
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            places: Places::new(&properties, limits),
            blocks_left: AtomicU64::new(0),
            held_of_types: zeros(properties.memory_types.len()),
            blocks_of_heaps: zeros(properties.heaps.len()),
            blocks: AtomicU64::new(0),
            watch: Watch::new(properties.heaps.len()),
            grown: AtomicU32::new(0),
            device,
            properties,
        }
    }

    /// Returns the device.
    pub const fn device(&self) -> &Arc<D> {
        &self.device
    }

    /// Returns what the device answers once and for all, without asking it; memory of which a
    /// block has several instances is not the host's to see.
    pub const fn properties(&self) -> &DeviceProperties {
        &self.properties
    }

    /// Returns the heap of a memory type.
    pub fn heap_of(&self, memory_type: u32) -> u32 {
        self.properties.memory_types[memory_type as usize].heap
    }

    /// Returns the bytes in blocks of a heap.
    pub fn held(&self, heap: u32) -> u64 {
        let types = self.properties.memory_types.iter().zip(&self.held_of_types);
        let of_heap = types.filter(|(kind, _)| kind.heap == heap);
        of_heap.map(|(_, held)| held.load(Ordering::Relaxed)).sum()
    }

    /// Returns the bytes in blocks of a memory type, whatever arena they belong to.
    pub fn held_of_type(&self, memory_type: u32) -> u64 {
        self.held_of_types[memory_type as usize].load(Ordering::Relaxed)
    }

    /// Returns how many blocks are held in all heaps.
    pub fn block_count(&self) -> u64 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Tells whether blocks may be taken that are not needed: some of the device's count are kept
    /// for those that are.
    pub fn has_blocks_to_spare(&self) -> bool {
        self.block_count() < self.properties.limits.block_count_max / 100 * BLOCK_COUNT_PERCENT
    }

    /// Sets the most bytes that may be held of a heap from here on, of each of its instances.
    pub fn set_limit(&self, heap: u32, limit: u64) {
        self.places.set_limit(heap, limit);
    }

    /// Returns the most bytes that may be held of a heap.
    pub fn limit(&self, heap: u32) -> u64 {
        self.places.limit(heap)
    }

    /// Returns the budget and usage of each heap on one device: the driver's, or an estimate. Asks
    /// the driver.
    fn budgets_on(&self, device: u32) -> Vec<HeapBudget> {
        self.device.budgets_on(device).unwrap_or_else(|| {
            let heaps = (0..).zip(&self.properties.heaps);
            let estimate = heaps.map(|(index, heap)| HeapBudget {
                budget: heap.size / 100 * BUDGET_PERCENT,
                usage: self.places.held(index, device),
            });
            estimate.collect()
        })
    }

    /// Returns each heap's budget and usage, those of the device that has the least left. Asks the
    /// driver.
    pub fn budgets(&self) -> Vec<HeapBudget> {
        let mut tightest = self.budgets_on(0);
        for device in 1..self.properties.group.devices {
            for (heap, other) in self.budgets_on(device).into_iter().enumerate() {
                let own = self.properties.group.instances(heap as u32) > 1;
                if own && left(&other) < left(&tightest[heap]) {
                    tightest[heap] = other;
                }
            }
        }
        tightest
    }

    /// Returns a heap's budget and what we have of it, of the device that has the least left. Asks
    /// the driver now and then.
    pub fn budget(&self, heap: u32) -> Budget {
        let budgets = self.places.devices(heap, 0).map(|device| self.budget_on(heap, device));
        let left = |one: &Budget| i128::from(one.budget) - i128::from(one.usage);
        budgets.min_by_key(left).expect("a heap is some device's")
    }

    /// Returns a heap's budget on one device and what we have of it. Asks the driver now and then.
    pub fn budget_on(&self, heap: u32, device: u32) -> Budget {
        // Acquire: `refresh` has written the figures before it says that they are known.
        if self.blocks_left.load(Ordering::Acquire) == 0 {
            self.refresh();
        }
        // Relaxed, here and below: the figures are of about this moment, and guard nothing.
        let blocks = self.blocks_of_heaps[heap as usize].load(Ordering::Relaxed);
        Budget { blocks, ..self.places.budget(heap, device) }
    }

    /// Lets the next question about a budget go to the driver.
    pub fn forget_budgets(&self) {
        self.blocks_left.store(0, Ordering::Relaxed);
    }

    #[cold]
    fn refresh(&self) {
        let devices = self.properties.group.devices;
        self.places.learn(devices, |device| self.budgets_on(device));
        // Release, for `budget_on`: who finds that the figures are known finds them.
        self.blocks_left.store(KNOWN_FOR_BLOCKS, Ordering::Release);
    }

    /// Counts a block that came or went.
    fn count_change(&self) {
        let less = |left: u64| left.checked_sub(1);
        // None is left: it is to be asked already.
        let _ = self.blocks_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Returns who is told when memory runs short, and what may go then.
    pub const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Tells the user when a heap's usage is too high; whether it did. Asks the driver now and
    /// then, and no lock of an arena is held.
    pub fn tell_if_full(&self, heap: u32) -> bool {
        self.watch.is_set() && self.watch.look(heap, self.budget(heap))
    }

    /// As [`tell_if_full`](Self::tell_if_full), for the heaps of which a block was taken since this
    /// was asked last; a bit for each of which it told.
    pub fn tell_of_growth(&self) -> u32 {
        // Relaxed: who takes the bits does the work, and what it looks at are figures.
        if self.grown.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        // Nothing could be told here: the bits stay for who comes next, the caller of the user's
        // function before all.
        if self.watch.is_telling() {
            return 0;
        }
        let grown = self.grown.swap(0, Ordering::Relaxed);
        let heaps = (0..self.properties.heaps.len() as u32).filter(|heap| grown >> heap & 1 == 1);
        heaps.fold(0, |told, heap| told | u32::from(self.tell_if_full(heap)) << heap)
    }

    /// Tells the user that a request found no room; whether another try may find some. Asks the
    /// driver, and no lock of an arena is held.
    #[cold]
    pub fn tell_no_room(&self, heap: u32, size: u64, refusal: Refusal) -> bool {
        let cause = match refusal {
            Refusal::Short(cause) if refusal.is_for_want_of_room() => cause,
            _ => return false,
        };
        if !self.watch.is_set() {
            return false;
        }
        self.forget_budgets();
        self.watch.no_room(heap, self.budget(heap), size, cause)
    }

    /// Returns how much of a heap's budget is left on the devices of a mask, in bytes. Asks the
    /// driver.
    fn budget_left(&self, heap: u32, mask: u32) -> u64 {
        let budgets = self.places.devices(heap, mask).map(|device| self.budgets_on(device));
        budgets.map(|of_device| left(&of_device[heap as usize])).min().unwrap_or(0)
    }

    /// Takes a block from the device.
    pub fn acquire(
        &self,
        order: &Order<D::Buffer, D::Image, D::Extra>,
        rule: BudgetRule,
    ) -> Result<Grant<D::Memory>, Refusal> {
        let limits = &self.properties.limits;
        let &Order { size, memory_type, .. } = order;
        let heap = self.heap_of(memory_type);
        let size_max = limits.block_size_max.min(self.properties.heaps[heap as usize].size);
        if size > size_max {
            return Err(Refusal::Short(ShortageCause::BlockSize { size_max }));
        }
        let device_mask = match self.properties.group.instances(heap) {
            1 => 0,
            devices if order.device_mask == 0 => mask_of_all(devices),
            _ => order.device_mask,
        };
        if rule == BudgetRule::Within && self.budget_left(heap, device_mask) < size {
            return Err(Refusal::Short(ShortageCause::Budget));
        }
        // Relaxed, here and below: a count that races against itself alone.
        if self.blocks.fetch_add(1, Ordering::Relaxed) >= limits.block_count_max {
            self.blocks.fetch_sub(1, Ordering::Relaxed);
            let count_max = limits.block_count_max;
            return Err(Refusal::Short(ShortageCause::BlockCount { count_max }));
        }
        if let Err(limit) = self.places.reserve(heap, device_mask, size) {
            self.blocks.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Short(ShortageCause::Limit { limit }));
        }
        let memory = self.device.allocate(&Order { device_mask, ..*order }).map_err(|error| {
            self.places.release(heap, device_mask, size);
            self.blocks.fetch_sub(1, Ordering::Relaxed);
            refusal(error, limits.block_count_max)
        })?;
        self.held_of_types[memory_type as usize].fetch_add(size, Ordering::Relaxed);
        self.blocks_of_heaps[heap as usize].fetch_add(1, Ordering::Relaxed);
        self.grown.fetch_or(1 << heap, Ordering::Relaxed);
        self.count_change();
        Ok(Grant { memory, size, memory_type, device_mask })
    }

    /// Gives a block back to the device.
    #[expect(clippy::needless_pass_by_value, reason = "what went back is nobody's")]
    pub fn release(&self, grant: Grant<D::Memory>) {
        let Grant { memory, size, memory_type, device_mask } = grant;
        self.held_of_types[memory_type as usize].fetch_sub(size, Ordering::Relaxed);
        // SAFETY: A grant is made by `acquire` alone and is no copy, so it is live. The arenas
        // release one only when no allocation is left in it, and the users' promise on freeing is
        // that nothing uses the memory any more.
        unsafe { self.device.free(memory) };
        let heap = self.heap_of(memory_type);
        self.places.release(heap, device_mask, size);
        self.blocks_of_heaps[heap as usize].fetch_sub(1, Ordering::Relaxed);
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        self.count_change();
    }
}

/// What a budget leaves, in bytes.
fn left(budget: &HeapBudget) -> u64 {
    budget.budget.saturating_sub(budget.usage)
}

/// Takes from the host's sight what it cannot map: Vulkan maps no block with several instances.
fn hide_instances(properties: &mut DeviceProperties) {
    let group = properties.group;
    let of_host = MemoryProperties::HOST_VISIBLE
        | MemoryProperties::HOST_COHERENT
        | MemoryProperties::HOST_CACHED;
    let types = properties.memory_types.iter_mut();
    types.filter(|kind| group.instances(kind.heap) > 1).for_each(|kind| kind.properties -= of_host);
}

fn refusal(error: DeviceError, count_max: u64) -> Refusal {
    use DeviceError::{OutOfDeviceMemory, OutOfHostMemory, TooManyBlocks};
    match error {
        OutOfDeviceMemory | OutOfHostMemory => Refusal::Short(ShortageCause::Driver),
        TooManyBlocks => Refusal::Short(ShortageCause::BlockCount { count_max }),
        error => Refusal::Device(error),
    }
}

/// Says why a request got nothing, with the state of the heap. Asks the driver for its budget.
pub fn shortage<D: Device>(
    supply: &Supply<D>,
    refusal: Refusal,
    size: u64,
    account: HeapAccount,
) -> AllocError {
    let cause = match refusal {
        Refusal::Short(cause) => cause,
        Refusal::Device(error) => return AllocError::Device(error),
    };
    let HeapAccount { memory_type, used, held, largest_free, spill } = account;
    let heap = supply.heap_of(memory_type);
    let budget = supply.budgets()[heap as usize].budget;
    AllocError::OutOfMemory(Shortage {
        size,
        memory_type,
        heap,
        cause,
        budget,
        used,
        held,
        largest_free,
        spill,
    })
}

/// What the arenas that were asked know of a heap. Bytes.
#[derive(Clone, Copy, Debug)]
pub struct HeapAccount {
    /// The memory type that was tried last.
    pub memory_type: u32,
    /// In allocations of its heap.
    pub used: u64,
    /// In blocks of its heap.
    pub held: u64,
    /// The largest free region in the heap's blocks.
    pub largest_free: u64,
    /// The memory type that was left out because nothing may spill to it.
    pub spill: Option<u32>,
}
