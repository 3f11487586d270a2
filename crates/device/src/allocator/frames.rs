//! Frees that wait until the device has ended a frame.
//!
//! What is handed in with a frame number is freed when the user says that the device has completed
//! that frame.

use super::Allocator;
use crate::allocation::Allocation;
use crate::device::{Device, Resource};
use crate::error::FreeError;
use crate::frames::end_of;
use crate::strategy::Strategy;
use core::fmt;
use std::sync::atomic::Ordering;

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

impl<D: Device> Allocator<D> {
    /// Says which frame is being recorded: the driver's budgets are asked for again when somebody
    /// wants them, and what the owning handles give up from here on waits for it. Who wants to know
    /// of it ([`on_pressure`](Self::on_pressure)) is told when a budget has become too small.
    pub fn begin_frame(&self, frame: u64) {
        let end = end_of(frame);
        if self.recorded_end.fetch_max(end, Ordering::Relaxed) < end {
            self.supply.watch().registry().begin_frame(end - 1);
            self.keep_budgets();
        }
    }

    /// Says that the device has completed `frame` and all before it, and frees what waited for
    /// them.
    pub fn complete_frame(&self, frame: u64) {
        self.frames.complete(frame).for_each(|waiting| self.end_wait(waiting));
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
        if let Some(waiting) = self.frames.add(frame, item.into_waiting()) {
            self.end_wait(waiting);
        }
        Ok(())
    }

    /// Gives up what an owning handle held: after the frame that is recorded, or at once when no
    /// frames are used.
    pub(crate) fn give_up(&self, item: impl Freeable<D>) {
        match self.recorded_end.load(Ordering::Relaxed).checked_sub(1) {
            None => self.end_wait(item.into_waiting()),
            Some(frame) => {
                if let Err(error) = self.free_after(frame, item) {
                    log::error!("{error}");
                }
            }
        }
    }

    pub(super) fn end_wait(&self, waiting: Waiting<D>) {
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
