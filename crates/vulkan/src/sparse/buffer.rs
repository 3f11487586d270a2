//! Sparse buffers.

use super::error::SparseError;
use super::layout::{Layout, Rounding};
use super::pages::Pages;
use super::{Needs, SparseBuffer, SparseOptions};
use super::{expect_features, expect_first_device, expect_space, supported};
use crate::error::device_error;
use crate::vulkan::Vulkan;
use ash::vk;
use core::num::NonZeroU64;
use core::ops::Range;
use polder_device::ranges::Divisible;
use polder_device::{DeviceError, Resource, Resources, Strategy, Tiling};

impl<S: Strategy<Vulkan>> SparseBuffer<S> {
    /// Makes a sparse buffer without memory, of the device of `strategy`. The flags of `info` have
    /// `SPARSE_BINDING`, and `SPARSE_RESIDENCY` if it is used before all of it is committed.
    ///
    /// # Errors
    ///
    /// [`SparseError`]: the flag, a feature, device 0 of the wish's mask or the address space is
    /// missing, or the driver's error.
    pub fn new(
        strategy: S,
        info: &vk::BufferCreateInfo<'_>,
        options: &SparseOptions<'_>,
    ) -> Result<Self, SparseError> {
        let device = strategy.device();
        check(device, info)?;
        expect_first_device(options)?;
        // SAFETY: `Vulkan::new`'s caller promises a live device and valid create infos.
        let handle = unsafe { device.ash().create_buffer(info, device.host()) };
        let handle = handle.map_err(|error| SparseError::Create(device_error(error)))?;
        // SAFETY: The device just made it.
        let requirements = unsafe { device.requirements(Resource::Buffer(handle)) };
        let device_address = device.needs_device_address(info);
        let needs = Needs { requirements, tiling: Tiling::Linear, device_address };
        let terms = needs.terms(device, options);
        let layout = Layout::whole(requirements.size, terms.page_size);
        Ok(Self { handle, size: info.size, layout, pages: Pages::new(strategy, terms) })
    }

    /// Returns the bytes that the buffer was made with.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Gives memory to every page of which `range`, in bytes, touches a part and which has none.
    /// Takes time with the number of pages.
    ///
    /// # Errors
    ///
    /// [`SparseError::Region`] or [`SparseError::Allocate`]: no page was committed.
    pub fn commit(&mut self, range: Range<u64>) -> Result<(), SparseError> {
        let pages = self.layout.bytes(range, self.size, Rounding::Outwards)?;
        self.pages.commit(&[pages]).map_err(SparseError::Allocate)
    }

    /// Takes back every page that lies in `range`, in bytes, as a whole; the last page does when
    /// the buffer's end is in it.
    ///
    /// # Errors
    ///
    /// [`SparseError::Region`]: nothing has changed.
    pub fn decommit(&mut self, range: Range<u64>) -> Result<(), SparseError> {
        let pages = self.layout.bytes(range, self.size, Rounding::Inwards)?;
        self.pages.decommit(&[pages]);
        Ok(())
    }

    /// Tells whether all bytes of `range` have memory; what is pending counts as done.
    ///
    /// # Errors
    ///
    /// [`SparseError::Region`].
    pub fn is_committed(&self, range: Range<u64>) -> Result<bool, SparseError> {
        let pages = self.layout.bytes(range, self.size, Rounding::Outwards)?;
        Ok(self.pages.is_committed(pages))
    }

    /// Returns the ranges that have memory, in bytes, ascending and as long as can be.
    #[must_use]
    pub fn committed(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for page in self.pages.committed(self.layout.all()) {
            let begin = page * self.page_size();
            let end = (begin + self.page_size()).min(self.size);
            match ranges.last_mut() {
                Some(last) if last.end == begin => last.end = end,
                _ => ranges.push(begin..end),
            }
        }
        ranges
    }

    /// Returns the device address of the first byte, if the buffer was made for one. It stays the
    /// same whatever is committed.
    #[must_use]
    pub fn address(&self) -> Option<NonZeroU64> {
        let usage = vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS;
        if !self.pages.terms().device_address {
            return None;
        }
        // SAFETY: The buffer lives and was made for an address; of a sparse one Vulkan does not
        // want that it is bound.
        unsafe { self.strategy().device().device_address(self.handle, usage) }
    }
}

fn check(device: &Vulkan, info: &vk::BufferCreateInfo<'_>) -> Result<(), SparseError> {
    use vk::BufferCreateFlags as Flags;
    if !info.flags.contains(Flags::SPARSE_BINDING) {
        return Err(SparseError::FlagMissing { flag: "VK_BUFFER_CREATE_SPARSE_BINDING_BIT" });
    }
    let has = supported(device);
    expect_features(&[
        (true, "sparseBinding", has.sparse_binding),
        (
            info.flags.contains(Flags::SPARSE_RESIDENCY),
            "sparseResidencyBuffer",
            has.sparse_residency_buffer,
        ),
        (
            info.flags.contains(Flags::SPARSE_ALIASED),
            "sparseResidencyAliased",
            has.sparse_residency_aliased,
        ),
    ])?;
    if device.needs_device_address(info) && !device.features().device_address {
        let rule = "a buffer's device address wants the feature `device_address`";
        return Err(SparseError::Create(DeviceError::Invalid { rule }));
    }
    expect_space(device, info.size)?;
    let (size, size_max) = (info.size, device.buffer_size_max());
    if size > size_max { Err(SparseError::TooLarge { size, size_max }) } else { Ok(()) }
}
