//! The doors of the software device: the functions whose callers promise something.
//!
//! The handles need no promise, for the state checks them all. What the state cannot see is who
//! uses a mapped pointer; that is what callers answer for, and where each [`Quiet`] comes from.

use super::bind::Binding;
use super::failure::Call;
use super::handle::{Buffer, Image, Memory};
use super::memory::Quiet;
use super::resources::{
    BufferInfo, BufferUsage, ImageInfo, ImageUsage, buffer_align, make_buffer, make_image,
};
use super::state::Direction;
use super::work::{BufferCopy, Extent, ImageCopy};
use super::{Sim, SimOrder, SimResource};
use crate::device::{
    DedicatedWish, Device, DeviceError, DeviceProperties, HeapBudget, MappedRange, Requirements,
    Resource, Resources, Tiling,
};
use crate::ranges::Divisible;
use crate::usage::UsedBy;
use std::num::NonZeroU64;
use std::ops::Range;
use std::ptr::NonNull;

/// Device addresses of two buffers are so many bits apart: no buffer is longer.
const ADDRESS_SHIFT: u32 = 48;

// SAFETY: A block is host memory of its own, as long as it says, and stays where it is until it is
// freed.
unsafe impl Device for Sim {
    type Memory = Memory;
    type Buffer = Buffer;
    type Image = Image;
    type Extra = u64;

    fn properties(&self) -> &DeviceProperties {
        &self.layout().properties
    }

    fn allocate(&self, order: &SimOrder) -> Result<Memory, DeviceError> {
        self.call(Call::Allocate, |layout, state| state.allocate(layout, order))
    }

    unsafe fn free(&self, memory: Memory) {
        self.report_only(Call::Free, |layout, state| state.free(layout, memory));
    }

    unsafe fn map(&self, memory: Memory) -> Result<NonNull<u8>, DeviceError> {
        self.call(Call::Map, |layout, state| state.map(layout, memory))
    }

    unsafe fn unmap(&self, memory: Memory) {
        self.report_only(Call::Unmap, |_, state| state.unmap(memory));
    }

    unsafe fn flush(&self, ranges: &[MappedRange<Memory>]) -> Result<(), DeviceError> {
        // SAFETY: The device's view is out of any pointer's reach; our caller promises that the
        // writes it wants to be seen are done.
        let quiet = unsafe { Quiet::promised() };
        self.call(Call::Flush, |layout, state| {
            state.synchronise(layout, ranges, Direction::Flush, quiet)
        })
    }

    unsafe fn invalidate(&self, ranges: &[MappedRange<Memory>]) -> Result<(), DeviceError> {
        // SAFETY: Our caller promises that the host's writes are over and its reads wait for us.
        let quiet = unsafe { Quiet::promised() };
        self.call(Call::Invalidate, |layout, state| {
            state.synchronise(layout, ranges, Direction::Invalidate, quiet)
        })
    }

    fn budgets(&self) -> Option<Vec<HeapBudget>> {
        self.budgets_on(0)
    }

    fn budgets_on(&self, device: u32) -> Option<Vec<HeapBudget>> {
        let budgets = self.call(Call::Budgets, |layout, state| Ok(state.budgets(layout, device)));
        budgets.ok().filter(|_| self.layout().memory_budget)
    }
}

// SAFETY: The work functions check every range against the resource, whose needs are its bytes.
unsafe impl Resources for Sim {
    type BufferInfo<'a> = BufferInfo;
    type ImageInfo<'a> = ImageInfo;

    fn create_buffer(&self, info: &BufferInfo) -> Result<Buffer, DeviceError> {
        self.call(Call::CreateBuffer, |layout, state| state.create_buffer(layout, info))
    }

    fn create_image(&self, info: &ImageInfo) -> Result<Image, DeviceError> {
        self.call(Call::CreateImage, |layout, state| state.create_image(layout, info))
    }

    fn needs_device_address(&self, info: &BufferInfo) -> bool {
        info.usage.contains(BufferUsage::DEVICE_ADDRESS)
    }

    fn buffer_used_by(&self, info: &BufferInfo) -> UsedBy {
        if BufferUsage::TRANSFER.contains(info.usage) { UsedBy::Transfers } else { UsedBy::Device }
    }

    fn image_used_by(&self, info: &ImageInfo) -> UsedBy {
        if ImageUsage::TRANSFER.contains(info.usage) { UsedBy::Transfers } else { UsedBy::Device }
    }

    fn buffer_usage(&self, info: &BufferInfo) -> u64 {
        info.usage.bits().into()
    }

    fn image_usage(&self, info: &ImageInfo) -> u64 {
        info.usage.bits().into()
    }

    fn tiling(&self, info: &ImageInfo) -> Tiling {
        info.tiling
    }

    fn buffer_requirements(&self, info: &BufferInfo) -> Option<Requirements> {
        let layout = Some(self.layout()).filter(|layout| layout.requirements_by_info)?;
        make_buffer(layout, info).ok().map(|made| made.requirements)
    }

    fn image_requirements(&self, info: &ImageInfo) -> Option<Requirements> {
        let layout = Some(self.layout()).filter(|layout| layout.requirements_by_info)?;
        make_image(layout, info).ok().map(|made| made.requirements)
    }

    /// Returns what a resource needs; no memory type at all when it does not live.
    unsafe fn requirements(&self, resource: SimResource) -> Requirements {
        let nothing =
            Requirements { size: 0, align: 1, memory_types: 0, dedicated: DedicatedWish::None };
        let found = self.call(Call::Requirements, |_, state| {
            state.record(resource).map(|record| record.made.requirements)
        });
        found.unwrap_or(nothing)
    }

    /// Binds a resource; a refusal leaves it as it was.
    unsafe fn bind(
        &self,
        resource: SimResource,
        memory: Memory,
        offset: u64,
    ) -> Result<(), DeviceError> {
        let binding = Binding { resource, memory, offset, is_alias: false };
        self.call(Call::Bind, |layout, state| state.bind(layout, binding))
    }

    unsafe fn bind_alias(
        &self,
        resource: SimResource,
        memory: Memory,
        offset: u64,
    ) -> Result<(), DeviceError> {
        let binding = Binding { resource, memory, offset, is_alias: true };
        self.call(Call::Bind, |layout, state| state.bind(layout, binding))
    }

    unsafe fn destroy(&self, resource: SimResource) {
        self.report_only(Call::Destroy, |_, state| state.destroy(resource));
    }
}

// SAFETY: The device's only rule for a buffer's offsets is the alignment of its usage.
unsafe impl Divisible for Sim {
    type Usage = BufferUsage;

    fn buffer_info(&self, size: u64, usage: BufferUsage) -> BufferInfo {
        BufferInfo { size, usage }
    }

    fn range_align(&self, usage: BufferUsage) -> u64 {
        buffer_align(&self.layout().resources, usage)
    }

    /// Returns a number that no other live buffer's bytes have.
    unsafe fn device_address(&self, buffer: Buffer, usage: BufferUsage) -> Option<NonZeroU64> {
        let number = usage.contains(BufferUsage::DEVICE_ADDRESS).then(|| buffer.0.index())?;
        NonZeroU64::new((u64::from(number) + 1) << ADDRESS_SHIFT)
    }
}

/// Work on the device. It is done when the function returns.
impl Sim {
    /// Copies from buffer to buffer.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Invalid`] names the broken rule; nothing is copied.
    ///
    /// # Safety
    ///
    /// Until it returns, no host pointer into coherent memory writes the source or touches the
    /// target.
    pub unsafe fn copy_buffer(&self, copy: &BufferCopy) -> Result<(), DeviceError> {
        let &BufferCopy { source, source_offset, target, target_offset, len } = copy;
        let from = Extent { resource: Resource::Buffer(source), offset: source_offset, len };
        let to = Extent { resource: Resource::Buffer(target), offset: target_offset, len };
        // SAFETY: Our caller promises it.
        let quiet = unsafe { Quiet::promised() };
        self.call(Call::Work, |_, state| state.copy(from, to, quiet))
    }

    /// Copies from a buffer to an image.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Invalid`] names the broken rule; nothing is copied.
    ///
    /// # Safety
    ///
    /// Until it returns, no host pointer into coherent memory writes the buffer or touches the
    /// image.
    pub unsafe fn copy_buffer_to_image(&self, copy: &ImageCopy) -> Result<(), DeviceError> {
        let (buffer, image) = extents(copy);
        // SAFETY: Our caller promises it.
        let quiet = unsafe { Quiet::promised() };
        self.call(Call::Work, |_, state| state.copy(buffer, image, quiet))
    }

    /// Copies from an image to a buffer.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Invalid`] names the broken rule; nothing is copied.
    ///
    /// # Safety
    ///
    /// Until it returns, no host pointer into coherent memory writes the image or touches the
    /// buffer.
    pub unsafe fn copy_image_to_buffer(&self, copy: &ImageCopy) -> Result<(), DeviceError> {
        let (buffer, image) = extents(copy);
        // SAFETY: Our caller promises it.
        let quiet = unsafe { Quiet::promised() };
        self.call(Call::Work, |_, state| state.copy(image, buffer, quiet))
    }

    /// Sets the bytes of `range` of a buffer.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Invalid`] names the broken rule; nothing is set.
    ///
    /// # Safety
    ///
    /// Until it returns, no host pointer into coherent memory touches the range.
    pub unsafe fn fill_buffer(
        &self,
        buffer: Buffer,
        range: Range<u64>,
        byte: u8,
    ) -> Result<(), DeviceError> {
        let extent = extent(Resource::Buffer(buffer), &range);
        // SAFETY: Our caller promises it.
        let quiet = unsafe { Quiet::promised() };
        self.call(Call::Work, |_, state| state.fill(extent, byte, quiet))
    }

    /// Returns the bytes of `range` of a resource, as a shader would read them.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Invalid`] names the broken rule.
    ///
    /// # Safety
    ///
    /// Until it returns, no host pointer into coherent memory writes the range.
    pub unsafe fn read_device(
        &self,
        resource: SimResource,
        range: Range<u64>,
    ) -> Result<Vec<u8>, DeviceError> {
        let extent = extent(resource, &range);
        // SAFETY: Our caller promises it.
        let quiet = unsafe { Quiet::promised() };
        self.call(Call::Work, |_, state| state.read(extent, quiet))
    }

    /// Writes `bytes` from `offset` of a resource on, as a shader would.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Invalid`] names the broken rule; nothing is written.
    ///
    /// # Safety
    ///
    /// Until it returns, no host pointer into coherent memory touches the range.
    pub unsafe fn write_device(
        &self,
        resource: SimResource,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        let extent = Extent { resource, offset, len: bytes.len() as u64 };
        // SAFETY: Our caller promises it.
        let quiet = unsafe { Quiet::promised() };
        self.call(Call::Work, |_, state| state.write(extent, bytes, quiet))
    }
}

/// A range that ends before it begins has a length that lies in no resource.
fn extent(resource: SimResource, range: &Range<u64>) -> Extent {
    let len = range.end.checked_sub(range.start).unwrap_or(u64::MAX);
    Extent { resource, offset: range.start, len }
}

fn extents(copy: &ImageCopy) -> (Extent, Extent) {
    let &ImageCopy { buffer, buffer_offset, image, image_offset, len } = copy;
    let buffer = Extent { resource: Resource::Buffer(buffer), offset: buffer_offset, len };
    let image = Extent { resource: Resource::Image(image), offset: image_offset, len };
    (buffer, image)
}
