//! Pools: groups of blocks with rules of the user's own, beside the default ones.

use super::Allocator;
use crate::device::Device;
use crate::division::mixed;
use crate::error::AllocError;
use crate::strategy::{Family, Pool, Setup};
use std::sync::Arc;

/// What a pool on this device is made with.
pub type PoolSetup<D> = Setup<mixed::Config, <D as Device>::Extra>;

impl<D: Device> Allocator<D> {
    /// Makes a pool: a [`Strategy`](crate::Strategy) of its own, in the limits of this allocator.
    ///
    /// A pool has its own lock and its own handles, which are freed where they came from; what it
    /// holds counts towards the limits of heaps and the device's count of blocks. The frames of the
    /// allocator are its frames too. It takes its least number of blocks at once, smaller ones
    /// where memory is short, and of the next memory type in `instead` when the one of its setup
    /// has too little: a small window of host-visible device memory is often taken by others.
    ///
    /// It lives until its last `Arc` goes, if need be longer than the allocator. While something
    /// in it waits for a frame, the allocator has an `Arc` too.
    ///
    /// ```
    /// use polder_device::division::{linear, mixed};
    /// use polder_device::sim::{BufferInfo, Preset, Sim};
    /// use polder_device::strategy::{Rules, Setup};
    /// use polder_device::{Allocator, Factory, Options, Wish};
    ///
    /// let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
    /// let mode = linear::Mode::Ring;
    /// let setup = Setup {
    ///     memory_type: allocator.find_memory_type(u32::MAX, &Wish::default()).unwrap(),
    ///     rules: Rules { block_size: Some(4 << 20), blocks_most: 2, ..Rules::default() },
    ///     division: mixed::Config::Linear(linear::Config { mode }),
    ///     name: Some("particles".to_string()),
    ///     ..Setup::default()
    /// };
    /// let pool = allocator.create_pool(&setup, &[])?;
    /// let buffer = pool.create_buffer(&BufferInfo::default(), &Wish::default())?;
    /// assert_eq!(pool.stats().held, 4 << 20);
    /// pool.destroy_buffer(buffer)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The least number of blocks could not be had in any of the types: the last one's error.
    /// Nothing has changed.
    ///
    /// # Panics
    ///
    /// When the device has no such memory type, an alignment is no power of two, a block's size is
    /// zero, or the mask names devices that are not in the group.
    pub fn create_pool(
        &self,
        setup: &PoolSetup<D>,
        instead: &[u32],
    ) -> Result<Arc<Pool<D>>, AllocError> {
        let mut result = self.try_pool(setup, setup.memory_type);
        for &memory_type in instead {
            match result {
                Err(AllocError::OutOfMemory(_)) => result = self.try_pool(setup, memory_type),
                _ => break,
            }
        }
        Ok(Family::join(&self.family, result?, &self.frames))
    }

    fn try_pool(&self, setup: &PoolSetup<D>, memory_type: u32) -> Result<Pool<D>, AllocError> {
        let setup = PoolSetup::<D> { memory_type, ..setup.clone() };
        let pool = Pool::over(self.supply.clone(), setup, self.care());
        pool.fill()?;
        Ok(pool)
    }

    /// Returns the pools that are in use, or in which something waits for a frame.
    pub fn pools(&self) -> Vec<Arc<Pool<D>>> {
        self.family.pools()
    }
}
