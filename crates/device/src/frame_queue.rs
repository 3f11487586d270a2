//! Frees that wait until the device has ended a frame.
//!
//! What is handed in with a frame number is freed when the user says that the device has completed
//! that frame. An allocator tells its pools of its frames, so the user numbers them in one place;
//! what waits in a pool waits there.

use crate::allocation::Allocation;
use crate::device::{Device, Resource};
use crate::error::FreeError;
use crate::frames::{Frames, end_of};
use crate::strategy::Strategy;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

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

/// A strategy whose frees can wait for frames, as [owning handles](crate::Owned) want.
///
/// A strategy of one's own keeps a [`FrameQueue`] and hands it its frames; it frees all that waits
/// before it ends.
pub trait Framed<D: Device>: Strategy<D> {
    /// Returns what waits.
    fn frame_queue(&self) -> &FrameQueue<D>;

    /// Is called when an [owning handle](crate::Owned) has put something aside in the queue, and
    /// before the handle lets go of the strategy: one that is told of its frames by another has
    /// that keep it, until nothing waits any more. Does nothing unless it is written.
    fn stay_while_waiting(&self) {}
}

/// What waits to be freed in one strategy, by the frame after which it is.
///
/// A user numbers its frames as it likes, ascending; `u64::MAX` counts as the frame before it.
/// Every function that takes a strategy takes the one whose frees wait here.
#[derive(Debug)]
pub struct FrameQueue<D: Device> {
    frames: Frames<Waiting<D>>,
    /// One more than the frame that is recorded; 0 when no frames are used.
    recorded_end: AtomicU64,
}

impl<D: Device> Default for FrameQueue<D> {
    fn default() -> Self {
        Self { frames: Frames::default(), recorded_end: AtomicU64::new(0) }
    }
}

impl<D: Device> FrameQueue<D> {
    /// Says which frame is being recorded: what [`give_up`](Self::give_up) gets from here on waits
    /// for it. Returns whether it is later than any before.
    pub fn begin(&self, frame: u64) -> bool {
        // Relaxed: the number is all that is told.
        self.recorded_end.fetch_max(end_of(frame), Ordering::Relaxed) < end_of(frame)
    }

    /// Says that the device has completed `frame` and all before it, and frees what waited for
    /// them.
    pub fn complete(&self, strategy: &impl Strategy<D>, frame: u64) {
        self.frames.complete(frame).for_each(|waiting| end_wait(strategy, waiting));
    }

    /// Frees an allocation or a resource when `frame` is completed; at once, if it is.
    ///
    /// # Errors
    ///
    /// The allocation is not the strategy's, or was freed; it comes back.
    pub fn free_after<T: Freeable<D>>(
        &self,
        strategy: &impl Strategy<D>,
        frame: u64,
        item: T,
    ) -> Result<(), FreeError<T>> {
        if let Err(reason) = strategy.expect_live(item.memory()) {
            return Err(FreeError { reason, allocation: item });
        }
        if let Some(waiting) = self.frames.add(frame, item.into_waiting()) {
            end_wait(strategy, waiting);
        }
        Ok(())
    }

    /// Frees what nobody holds any more: after the frame that is recorded, or at once when no
    /// frames are used. What cannot be freed is said in the log.
    pub fn give_up(&self, strategy: &impl Strategy<D>, item: impl Freeable<D>) {
        match self.recorded_end.load(Ordering::Relaxed).checked_sub(1) {
            None => end_wait(strategy, item.into_waiting()),
            Some(frame) => {
                if let Err(error) = self.free_after(strategy, frame, item) {
                    log::error!("{error}");
                }
            }
        }
    }

    /// Frees everything that waits, whatever its frame.
    pub fn free_all(&self, strategy: &impl Strategy<D>) {
        self.frames.take().for_each(|waiting| end_wait(strategy, waiting));
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Goes on from the frames of another, while nothing waits here.
    pub(crate) fn follow(&self, other: &Self) {
        self.recorded_end.fetch_max(other.recorded_end.load(Ordering::Relaxed), Ordering::Relaxed);
        self.frames.follow(&other.frames);
    }
}

fn end_wait<D: Device>(strategy: &impl Strategy<D>, waiting: Waiting<D>) {
    let Waiting { destroy, allocation } = waiting;
    let id = allocation.id();
    // Freed through another handle meanwhile: then the resource was destroyed by who did that.
    if strategy.expect_live(&allocation).is_err() {
        log::error!("{id} waited to be freed, and somebody freed it meanwhile");
        return;
    }
    if let Some((destroy, resource)) = destroy {
        destroy(strategy.device(), resource);
    }
    if let Err(error) = strategy.free(allocation) {
        log::error!("{error}");
    }
}
