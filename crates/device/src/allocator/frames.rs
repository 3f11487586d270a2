//! Frees that wait until the device has ended a frame.
//!
//! A user numbers its frames as it likes, ascending. What is handed in with a frame number is
//! freed when the user says that the device has completed that frame.

use super::Allocator;
use crate::allocation::Allocation;
use crate::device::{Device, Resource};
use crate::strategy::Strategy;
use core::fmt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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

impl<D: Device> From<Allocation<D>> for Waiting<D> {
    fn from(allocation: Allocation<D>) -> Self {
        Self { destroy: None, allocation }
    }
}

/// What waits, by the frame after which it is freed.
#[derive(Debug)]
pub(super) struct Frames<D: Device> {
    waiting: Mutex<BTreeMap<u64, Vec<Waiting<D>>>>,
    current: AtomicU64,
    completed: AtomicU64,
}

impl<D: Device> Default for Frames<D> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(BTreeMap::new()),
            current: AtomicU64::new(0),
            completed: AtomicU64::new(0),
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
    /// Says which frame is being recorded: what the owning handles give up from here on waits for
    /// it.
    pub fn begin_frame(&self, frame: u64) {
        self.frames.current.fetch_max(frame, Ordering::Relaxed);
    }

    /// Says that the device has completed `frame` and all before it, and frees what waited for
    /// them.
    pub fn complete_frame(&self, frame: u64) {
        let mut waiting = self.frames.lock();
        self.frames.completed.fetch_max(frame, Ordering::Relaxed);
        let later = frame.checked_add(1).map(|next| waiting.split_off(&next)).unwrap_or_default();
        let ended = core::mem::replace(&mut *waiting, later);
        drop(waiting);
        ended.into_values().flatten().for_each(|waiting| self.end_wait(waiting));
    }

    /// Frees an allocation or a resource when `frame` is completed; at once, if it is.
    ///
    /// # Errors
    ///
    /// The allocation is not this allocator's, or was freed; it comes back.
    pub fn free_after(
        &self,
        frame: u64,
        waiting: impl Into<Waiting<D>>,
    ) -> Result<(), crate::FreeError<Waiting<D>>> {
        let waiting = waiting.into();
        let id = waiting.allocation.id();
        if let Err(reason) = self.arena_of(id).and_then(|arena| arena.expect_live(id)) {
            return Err(crate::FreeError { reason, allocation: waiting });
        }
        let mut queue = self.frames.lock();
        // Read under the lock that `complete_frame` writes it under, so none is put aside for a
        // frame whose frees have been done.
        if self.frames.completed.load(Ordering::Relaxed) < frame {
            queue.entry(frame).or_default().push(waiting);
            return Ok(());
        }
        drop(queue);
        self.end_wait(waiting);
        Ok(())
    }

    /// Returns the frame that an owning handle's memory waits for; 0 when no frames are used.
    pub(crate) fn current_frame(&self) -> u64 {
        self.frames.current.load(Ordering::Relaxed)
    }

    fn end_wait(&self, waiting: Waiting<D>) {
        let Waiting { destroy, allocation } = waiting;
        let id = allocation.id();
        // Freed by its name meanwhile: then the resource was destroyed by who did that.
        if self.arena_of(id).and_then(|arena| arena.expect_live(id)).is_err() {
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
