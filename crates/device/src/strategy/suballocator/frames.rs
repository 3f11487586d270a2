//! The frames that a strategy's frees wait for: its own, and a pool's are its allocator's.

use super::Suballocator;
use crate::device::Device;
use crate::division::Division;
use crate::error::FreeError;
use crate::frame_queue::{FrameQueue, Framed, Freeable};

impl<D: Device, V: Division> Suballocator<D, V> {
    /// Says which frame is being recorded: what the owning handles give up from here on waits for
    /// it. A pool hears it from its allocator.
    pub fn begin_frame(&self, frame: u64) {
        self.frames.begin(frame);
    }

    /// Says that the device has completed `frame` and all before it, and frees what waited for
    /// them. A pool hears it from its allocator.
    pub fn complete_frame(&self, frame: u64) {
        self.frames.complete(self, frame);
    }

    /// Frees an allocation or a resource when `frame` is completed; at once, if it is.
    ///
    /// ```
    /// use polder_device::sim::{BufferInfo, Preset, Sim};
    /// use polder_device::strategy::Setup;
    /// use polder_device::{Allocator, Factory, Options, Owned, Strategy, Wish};
    ///
    /// let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), Options::default());
    /// let pool = allocator.create_pool(&Setup::default(), &[])?;
    /// allocator.begin_frame(7);
    /// let owned = pool.create_buffer(&BufferInfo::default(), &Wish::default())?;
    /// let plain = pool.create_buffer(&BufferInfo::default(), &Wish::default())?;
    /// drop(Owned::new(&pool, owned)?);
    /// pool.free_after(8, plain)?;
    /// allocator.complete_frame(7);
    /// assert_eq!(pool.stats().allocations, 1);
    /// allocator.complete_frame(8);
    /// assert_eq!(pool.stats().allocations, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The allocation is not this strategy's, or was freed; it comes back.
    pub fn free_after<T: Freeable<D>>(&self, frame: u64, item: T) -> Result<(), FreeError<T>> {
        self.frames.free_after(self, frame, item)?;
        self.stay_while_waiting();
        Ok(())
    }
}

impl<D: Device, V: Division> Framed<D> for Suballocator<D, V> {
    fn frame_queue(&self) -> &FrameQueue<D> {
        &self.frames
    }

    fn stay_while_waiting(&self) {
        self.stay_while_waiting();
    }
}
