//! Handles that free themselves.
//!
//! An owning handle keeps its allocator, pool or other strategy alive and gives its memory back
//! when it is dropped: at once, or, when the user numbers frames ([`Allocator::begin_frame`]),
//! after the device has completed the frame that was current then.
//!
//! What waits for a frame keeps its pool, until the frame is completed or the pool's allocator
//! ends. An allocator, or a strategy that no allocator made, frees all that waits when its last
//! handle goes: nobody could tell it of a frame any more.

use crate::allocation::Allocation;
use crate::allocator::Allocator;
use crate::device::Device;
use crate::error::FreeError;
use crate::factory::{Buffer, Image};
use crate::frame_queue::{Framed, Freeable};
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use std::sync::Arc;

/// An allocation, buffer or image that frees itself, in an allocator, a pool or another strategy.
///
/// ```
/// use polder_device::sim::{BufferInfo, Preset, Sim};
/// use polder_device::{Allocator, Factory, Options, Owned, Strategy, Wish};
/// use std::sync::Arc;
///
/// let allocator = Arc::new(Allocator::new(Sim::preset(Preset::Lavapipe), Options::default()));
/// allocator.begin_frame(7);
/// let info = BufferInfo { size: 4096, ..BufferInfo::default() };
/// let buffer = allocator.create_buffer(&info, &Wish::default())?;
/// let buffer = Owned::new(&allocator, buffer)?;
/// drop(buffer);
/// assert_eq!(allocator.used(), 4096, "the device may still use it in frame 7");
/// allocator.complete_frame(7);
/// assert_eq!(allocator.used(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Owned<D: Device, T: Freeable<D>, S: Framed<D> = Allocator<D>> {
    allocator: Arc<S>,
    /// There until the handle is dropped or taken apart.
    inner: Option<T>,
    device: PhantomData<fn() -> D>,
}

/// An allocation that frees itself.
pub type OwnedAllocation<D, S = Allocator<D>> = Owned<D, Allocation<D>, S>;
/// A buffer that destroys itself.
pub type OwnedBuffer<D, S = Allocator<D>> = Owned<D, Buffer<D>, S>;
/// An image that destroys itself.
pub type OwnedImage<D, S = Allocator<D>> = Owned<D, Image<D>, S>;

impl<D: Device, T: Freeable<D>, S: Framed<D>> Owned<D, T, S> {
    /// Makes a handle that frees itself from one that does not.
    ///
    /// # Errors
    ///
    /// The memory is not this allocator's, or was freed; it comes back.
    pub fn new(allocator: &Arc<S>, inner: T) -> Result<Self, FreeError<T>> {
        match allocator.expect_live(inner.memory()) {
            Ok(()) => {
                let (allocator, inner) = (allocator.clone(), Some(inner));
                Ok(Self { allocator, inner, device: PhantomData })
            }
            Err(reason) => Err(FreeError { reason, allocation: inner }),
        }
    }

    /// Returns whose it is.
    pub const fn allocator(&self) -> &Arc<S> {
        &self.allocator
    }

    /// Gives it up once the device has completed `frame`, whatever frame is recorded.
    ///
    /// # Errors
    ///
    /// Its memory was freed through another handle; it comes back.
    pub fn free_after(self, frame: u64) -> Result<(), FreeError<T>> {
        let (allocator, inner) = self.into_parts();
        allocator.frame_queue().free_after(&*allocator, frame, inner)?;
        allocator.stay_while_waiting();
        Ok(())
    }

    /// Returns the handle that does not free itself, and whose it is.
    pub fn into_parts(mut self) -> (Arc<S>, T) {
        let inner = self.inner.take();
        (self.allocator.clone(), whole(inner))
    }
}

/// Only `into_parts` and `drop` take the inner handle, and both end the owning one.
fn whole<T>(inner: Option<T>) -> T {
    inner.expect("an owning handle holds its inner one while it lives")
}

impl<D: Device, T: Freeable<D>, S: Framed<D>> Drop for Owned<D, T, S> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.allocator.frame_queue().give_up(&*self.allocator, inner);
            self.allocator.stay_while_waiting();
        }
    }
}

impl<D: Device, T: Freeable<D>, S: Framed<D>> Deref for Owned<D, T, S> {
    type Target = T;

    fn deref(&self) -> &T {
        whole(self.inner.as_ref())
    }
}

impl<D: Device, T: Freeable<D>, S: Framed<D>> DerefMut for Owned<D, T, S> {
    fn deref_mut(&mut self) -> &mut T {
        whole(self.inner.as_mut())
    }
}

impl<D: Device, T: Freeable<D> + fmt::Debug, S: Framed<D>> fmt::Debug for Owned<D, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
