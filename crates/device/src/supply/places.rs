//! The physical memories behind the heaps: how much is held of each, and how much may be.
//!
//! A heap is one place. A heap of which every device of a group has its own is one for each of
//! them, and a block takes its size from all places in which it has an instance. Each place has
//! the whole size of its heap, its own limit, and its own budget.

use super::Budget;
use crate::device::{DeviceProperties, HeapBudget};
use core::convert::Infallible;
use core::sync::atomic::{AtomicU64, Ordering};
use polder_core::source::{Bytes, Limited, LimitedError, Source};

/// Room in a place, as a source that gives it without end: the limit around it is what counts.
#[derive(Debug)]
struct Room;

/// Bytes of a place.
#[derive(Clone, Copy, Debug)]
struct Reserved(u64);

impl Bytes for Reserved {
    fn size(&self) -> u64 {
        self.0
    }
}

impl Source for Room {
    type Order<'a> = Reserved;
    type Block = Reserved;
    type Error = Infallible;

    fn acquire(&self, order: &Reserved) -> Result<Reserved, Infallible> {
        Ok(*order)
    }

    fn release(&self, _: Reserved) {}
}

/// One place.
#[derive(Debug)]
struct Place {
    room: Limited<Room>,
    known: Known,
}

/// What the driver said of a place when it was asked last. Bytes. Each figure stands for itself:
/// who reads while another writes may get one of before and one of after.
#[derive(Debug, Default)]
struct Known {
    budget: AtomicU64,
    usage: AtomicU64,
    /// What we held then.
    held: AtomicU64,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Places {
    /// Of each heap; several, where each device of a group has its own.
    heaps: Vec<Box<[Place]>>,
}

impl Places {
    /// Makes the places of a device, of which nothing is held; heaps that `limits` says nothing of
    /// have none.
    pub fn new(properties: &DeviceProperties, limits: &[Option<u64>]) -> Self {
        let of_heap = |heap: usize| {
            let limit = limits.get(heap).copied().flatten().unwrap_or(u64::MAX);
            let place = |_| Place { room: Limited::new(Room, limit), known: Known::default() };
            (0..properties.group.instances(heap as u32)).map(place).collect()
        };
        Self { heaps: (0..properties.heaps.len()).map(of_heap).collect() }
    }

    fn of_heap(&self, heap: u32) -> &[Place] {
        &self.heaps[heap as usize]
    }

    /// The places of a heap in which a block with such a mask has an instance.
    fn of_mask(&self, heap: u32, mask: u32) -> impl Iterator<Item = &Place> {
        let places = self.of_heap(heap);
        let is_alone = places.len() == 1;
        let has_instance = move |device: u32| is_alone || mask == 0 || mask >> device & 1 == 1;
        (0..).zip(places).filter(move |&(device, _)| has_instance(device)).map(|(_, place)| place)
    }

    /// Takes room for a block in each place in which it has an instance.
    ///
    /// # Errors
    ///
    /// The limit that would be passed; nothing has changed.
    pub fn reserve(&self, heap: u32, mask: u32, size: u64) -> Result<(), u64> {
        for (taken, place) in self.of_mask(heap, mask).enumerate() {
            if let Err(LimitedError::Limit { limit, .. }) = place.room.acquire(&Reserved(size)) {
                let before = self.of_mask(heap, mask).take(taken);
                before.for_each(|place| place.room.release(Reserved(size)));
                return Err(limit);
            }
        }
        Ok(())
    }

    /// Undoes [`reserve`](Self::reserve).
    pub fn release(&self, heap: u32, mask: u32, size: u64) {
        self.of_mask(heap, mask).for_each(|place| place.room.release(Reserved(size)));
    }

    /// Sets the most bytes that may be held of each of a heap's places.
    pub fn set_limit(&self, heap: u32, limit: u64) {
        self.of_heap(heap).iter().for_each(|place| place.room.set_limit(limit));
    }

    /// Returns the most bytes that may be held of each of a heap's places.
    pub fn limit(&self, heap: u32) -> u64 {
        self.of_heap(heap)[0].room.limit()
    }

    /// Returns the bytes held of the place of a heap that is one device's; of its only one, when
    /// there is no other.
    pub fn held(&self, heap: u32, device: u32) -> u64 {
        self.place(heap, device).room.held()
    }

    fn place(&self, heap: u32, device: u32) -> &Place {
        let places = self.of_heap(heap);
        &places[(device as usize).min(places.len() - 1)]
    }

    /// Keeps what `ask` says of each heap on one device.
    pub fn learn(&self, devices: u32, ask: impl Fn(u32) -> Vec<HeapBudget>) {
        for device in 0..devices {
            let held: Vec<_> =
                (0..self.heaps.len() as u32).map(|heap| self.held(heap, device)).collect();
            for ((heap, new), held) in (0..).zip(ask(device)).zip(held) {
                // A place that all devices share is asked about on the first.
                if self.of_heap(heap).len() > device as usize {
                    let Known { budget, usage, held: known } = &self.place(heap, device).known;
                    // Relaxed, here and below: figures of about this moment, which guard nothing.
                    budget.store(new.budget, Ordering::Relaxed);
                    usage.store(new.usage, Ordering::Relaxed);
                    known.store(held, Ordering::Relaxed);
                }
            }
        }
    }

    /// Returns a place's budget as it was said last, and the usage since.
    pub fn budget(&self, heap: u32, device: u32) -> Budget {
        let Place { room, known: Known { budget, usage, held } } = self.place(heap, device);
        let now = room.held();
        let before = held.load(Ordering::Relaxed);
        let usage = usage.load(Ordering::Relaxed).saturating_add(now).saturating_sub(before);
        Budget { budget: budget.load(Ordering::Relaxed), usage, held: now, blocks: 0 }
    }

    /// Returns the devices whose place of a heap is its own, with such a mask.
    pub fn devices(&self, heap: u32, mask: u32) -> impl Iterator<Item = u32> + use<> {
        let count = self.of_heap(heap).len() as u32;
        (0..count).filter(move |device| count == 1 || mask == 0 || mask >> device & 1 == 1)
    }
}
