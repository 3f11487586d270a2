//! Frees that wait until the device has ended a frame.
//!
//! A user numbers its frames as it likes, ascending; `u64::MAX` counts as the frame before it.
//! What is handed in with a frame number is freed when the user says that the device has
//! completed that frame.

use super::Allocator;
use crate::allocation::Allocation;
use crate::device::{Device, Resource};
use crate::error::FreeError;
use crate::strategy::Strategy;
use core::fmt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The last frame: one more has a number too.
const FRAME_MAX: u64 = u64::MAX - 1;

/// A resource and the function that destroys it.
pub(crate) type Destroy<D> = (
    fn(&D, Resource<<D as Device>::Buffer, <D as Device>::Image>),
    Resource<<D as Device>::Buffer, <D as Device>::Image>,
);

/// Something that waits to be freed: memory, and the resource bound to it if there is one.
pub struct Waiting<D: Device> {
    pub(crate) destroy: Option<Destroy<D>>,
    pub(crate) allocation: Allocation<D>,
}

impl<D: Device> fmt::Debug for Waiting<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.destroy.map(|(_, resource)| resource);
        f.debug_struct("Waiting")
            .field("resource", &resource)
            .field("allocation", &self.allocation)
            .finish()
    }
}

/// What can wait to be freed: an allocation, or a resource with its memory.
pub trait Freeable<D: Device>: Sized {
    /// Returns its memory.
    fn memory(&self) -> &Allocation<D>;

    /// Makes what waits.
    fn into_waiting(self) -> Waiting<D>;
}

impl<D: Device> Freeable<D> for Allocation<D> {
    fn memory(&self) -> &Allocation<D> {
        self
    }

    fn into_waiting(self) -> Waiting<D> {
        Waiting { destroy: None, allocation: self }
    }
}

/// What waits, by the frame after which it is freed.
#[derive(Debug)]
pub(super) struct Frames<D: Device> {
    waiting: Mutex<BTreeMap<u64, Vec<Waiting<D>>>>,
    /// One more than the frame that is recorded; 0 when no frames are used.
    recorded_end: AtomicU64,
    /// One more than the last frame that is completed; written under the lock alone.
    completed_end: AtomicU64,
}

impl<D: Device> Default for Frames<D> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(BTreeMap::new()),
            recorded_end: AtomicU64::new(0),
            completed_end: AtomicU64::new(0),
        }
    }
}

impl<D: Device> Frames<D> {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Vec<Waiting<D>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees everything that waits, whatever its frame.
    pub fn free_all(&self, allocator: &Allocator<D>) {
        let waiting = core::mem::take(&mut *self.lock());
        waiting.into_values().flatten().for_each(|waiting| allocator.end_wait(waiting));
    }
}

impl<D: Device> Allocator<D> {
    /// Says which frame is being recorded: the driver's budgets are asked for again when somebody
    /// wants them, and what the owning handles give up from here on waits for
    /// it.
    pub fn begin_frame(&self, frame: u64) {
        let end = frame.min(FRAME_MAX) + 1;
        if self.frames.recorded_end.fetch_max(end, Ordering::Relaxed) < end {
            self.keep_budgets();
        }
    }

    /// Says that the device has completed `frame` and all before it, and frees what waited for
    /// them.
    pub fn complete_frame(&self, frame: u64) {
        let end = frame.min(FRAME_MAX) + 1;
        let mut waiting = self.frames.lock();
        self.frames.completed_end.fetch_max(end, Ordering::Relaxed);
        let later = waiting.split_off(&end);
        let ended = core::mem::replace(&mut *waiting, later);
        drop(waiting);
        ended.into_values().flatten().for_each(|waiting| self.end_wait(waiting));
    }

    /// Frees an allocation or a resource when `frame` is completed; at once, if it is.
    ///
    /// # Errors
    ///
    /// The allocation is not this allocator's, or was freed; it comes back.
    pub fn free_after<T: Freeable<D>>(&self, frame: u64, item: T) -> Result<(), FreeError<T>> {
        if let Err(reason) = self.expect_live(item.memory()) {
            return Err(FreeError { reason, allocation: item });
        }
        let (frame, waiting) = (frame.min(FRAME_MAX), item.into_waiting());
        let mut queue = self.frames.lock();
        // Read under the lock that `complete_frame` writes it under, so none is put aside for a
        // frame whose frees have been done.
        if self.frames.completed_end.load(Ordering::Relaxed) <= frame {
            queue.entry(frame).or_default().push(waiting);
            return Ok(());
        }
        drop(queue);
        self.end_wait(waiting);
        Ok(())
    }

    /// Gives up what an owning handle held: after the frame that is recorded, or at once when no
    /// frames are used.
    pub(crate) fn give_up(&self, item: impl Freeable<D>) {
        match self.frames.recorded_end.load(Ordering::Relaxed).checked_sub(1) {
            None => self.end_wait(item.into_waiting()),
            Some(frame) => {
                if let Err(error) = self.free_after(frame, item) {
                    log::error!("{error}");
                }
            }
        }
    }

    fn end_wait(&self, waiting: Waiting<D>) {
        let Waiting { destroy, allocation } = waiting;
        let id = allocation.id();
        // Freed through another handle meanwhile: then the resource was destroyed by who did that.
        if self.expect_live(&allocation).is_err() {
            log::error!("{id} waited to be freed, and somebody freed it meanwhile");
            return;
        }
        if let Some((destroy, resource)) = destroy {
            destroy(self.device(), resource);
        }
        if let Err(error) = self.free(allocation) {
            log::error!("{error}");
        }
    }
}
