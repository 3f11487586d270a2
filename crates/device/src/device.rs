//! What a device is to the heap: memory types, a handful of calls, and nothing else.
//!
//! [`Device`] gives and takes blocks of memory; [`Resources`] adds the buffers and images that lie
//! in them. The Vulkan back end and the [software device](crate::sim) implement both. Bits,
//! limits and rules are those of Vulkan, under the names that the rest of Polder uses.

use crate::usage::UsedBy;
use bitflags::bitflags;
use core::fmt::Debug;
use core::ops::Range;
use core::ptr::NonNull;
use serde::{Deserialize, Serialize};

/// Most memory types that a device has.
pub const MEMORY_TYPES_MAX: usize = 32;
/// Most physical devices in a group.
pub const DEVICES_MAX: u32 = 32;
/// Most heaps that a device has.
pub const HEAPS_MAX: usize = 16;

bitflags! {
    /// What a memory type can do; the bits are those of `VkMemoryPropertyFlagBits`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MemoryProperties: u32 {
        /// Fastest for the device.
        const DEVICE_LOCAL = 1;
        /// The host can map it.
        const HOST_VISIBLE = 1 << 1;
        /// Host and device see each other's writes without flush and invalidate.
        const HOST_COHERENT = 1 << 2;
        /// The host reads it through its caches: fast to read back.
        const HOST_CACHED = 1 << 3;
        /// The driver provides pages when a tile-based device spills, perhaps never; images only.
        const LAZILY_ALLOCATED = 1 << 4;
        /// Only the device reads it, in protected queue operations.
        const PROTECTED = 1 << 5;
        /// Device accesses are made coherent at once (AMD); slow.
        const DEVICE_COHERENT = 1 << 6;
        /// Not cached on the device (AMD); slow.
        const DEVICE_UNCACHED = 1 << 7;
        /// Remote devices of a group can reach it (NVIDIA).
        const RDMA_CAPABLE = 1 << 8;
    }
}

/// One memory type: what it can do, and which heap it takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryType {
    /// What it can do.
    pub properties: MemoryProperties,
    /// Number of its heap.
    pub heap: u32,
}

/// One physical memory of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    /// Bytes.
    pub size: u64,
    /// Whether it is the device's own memory.
    pub device_local: bool,
}

/// Limits that the device states. All but the counts are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `bufferImageGranularity`: a linear and an optimal resource in one block do not share a
    /// page of this size. A power of two; 1 means no rule.
    pub granularity: u64,
    /// `nonCoherentAtomSize`: flushed and invalidated ranges are multiples of this. A power of two.
    pub non_coherent_atom_size: u64,
    /// `maxMemoryAllocationCount`: how many blocks may be held at once.
    pub block_count_max: u64,
    /// `maxMemoryAllocationSize`: the largest block.
    pub block_size_max: u64,
    /// `minMemoryMapAlignment`: what host pointers to a block's begin are multiples of.
    pub map_align_min: u64,
}

/// What sort of device it is, as it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Has its own memory behind a bus.
    DiscreteGpu,
    /// Shares the host's memory.
    IntegratedGpu,
    /// Belongs to a virtual machine.
    VirtualGpu,
    /// Runs on the host's processors.
    Cpu,
    /// Says nothing.
    #[default]
    Other,
}

/// What a device answers once and for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProperties {
    /// Its name, for people.
    pub name: String,
    /// What sort of device it is.
    pub kind: DeviceKind,
    /// The version of the interface that it speaks: major, minor, patch.
    pub api_version: [u32; 3],
    /// At most [`HEAPS_MAX`].
    pub heaps: Vec<Heap>,
    /// At most [`MEMORY_TYPES_MAX`]; their order is the driver's preference.
    pub memory_types: Vec<MemoryType>,
    /// Its limits.
    pub limits: Limits,
    /// The physical devices that it is made of.
    pub group: Group,
}

/// The physical devices that a device is made of: mostly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many there are, at most [`DEVICES_MAX`].
    pub devices: u32,
    /// The heaps of which each of them has its own (`VK_MEMORY_HEAP_MULTI_INSTANCE_BIT`), a bit
    /// each. A block there has an instance on each device of its mask, under one handle; one of
    /// another heap is there once. It counts where there are several devices.
    pub heaps: u32,
}

impl Default for Group {
    fn default() -> Self {
        Self { devices: 1, heaps: 0 }
    }
}

impl Group {
    /// Returns how many instances a block of a heap has at most.
    #[must_use]
    pub const fn instances(&self, heap: u32) -> u32 {
        if self.heaps >> heap & 1 == 1 { self.devices } else { 1 }
    }

    /// Tells whether a mask names devices of the group; 0 names all.
    #[must_use]
    pub const fn has(&self, device_mask: u32) -> bool {
        device_mask & !mask_of_all(self.devices) == 0
    }
}

/// A bit for each of so many devices.
pub(crate) const fn mask_of_all(devices: u32) -> u32 {
    u32::MAX >> (DEVICES_MAX - devices)
}

/// What the driver grants this process of a heap at this moment. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapBudget {
    /// How much the process can use before the system slows down or refuses.
    pub budget: u64,
    /// How much it uses, by the driver's own account.
    pub usage: u64,
}

/// A resource that a block is made for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<B, I> {
    /// A buffer.
    Buffer(B),
    /// An image.
    Image(I),
}

/// An order for one block of memory.
#[derive(Clone, Copy, Debug)]
pub struct Order<B, I, X> {
    /// Bytes, not zero.
    pub size: u64,
    /// Number of the memory type.
    pub memory_type: u32,
    /// Between 0 and 1; what the driver evicts last. Ignored where the device knows none.
    pub priority: f32,
    /// Whether buffers in the block can have a device address; ignored where the device has no such
    /// addresses, for shared blocks always want it.
    pub device_address: bool,
    /// The one resource that will be bound to it, if it is for one; `size` is then exactly what
    /// that needs.
    pub dedicated: Option<Resource<B, I>>,
    /// The devices of a group that have an instance of it, a bit each, where each has its own of
    /// the heap; 0 for all.
    pub device_mask: u32,
    /// What else the user says of it, in the device's own words: export to other processes and the
    /// like.
    pub extra: Option<X>,
}

/// A range of a mapped block, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedRange<M> {
    /// The block.
    pub memory: M,
    /// From its begin.
    pub range: Range<u64>,
}

/// Why a device refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The heap has no more memory: free something.
    #[error("the device is out of memory")]
    OutOfDeviceMemory,
    /// The host has no more memory: free something.
    #[error("the host is out of memory")]
    OutOfHostMemory,
    /// Too many blocks are held: let more resources share a block.
    #[error("too many blocks of device memory are held")]
    TooManyBlocks,
    /// The block could not be mapped.
    #[error("the block cannot be mapped")]
    MapFailed,
    /// The device is lost: make a new one.
    #[error("the device is lost")]
    Lost,
    /// A rule of the device was broken: the caller's mistake.
    #[error("a rule of the device was broken: {rule}")]
    Invalid {
        /// The rule, as a sentence.
        rule: &'static str,
    },
    /// Anything else, by the driver's own number.
    #[error("the driver answered {code}")]
    Other {
        /// `VkResult` or the like.
        code: i32,
    },
}

/// Gives and takes blocks of memory.
///
/// Every function may be called from any thread. The functions that take a handle trust it; the
/// heap above makes sure of it and is safe.
///
/// # Safety
///
/// Safe code writes through what an implementation answers:
/// - blocks that live at the same time do not share memory;
/// - [`map`](Device::map) returns a pointer to as many bytes as the block has, good until it is
///   unmapped or freed.
pub unsafe trait Device: Send + Sync + 'static {
    /// A block.
    type Memory: Copy + Eq + Debug + Send + Sync + 'static;
    /// A buffer.
    type Buffer: Copy + Eq + Debug + Send + Sync + 'static;
    /// An image.
    type Image: Copy + Eq + Debug + Send + Sync + 'static;
    /// What a user can say of a block beyond what every device knows; passed on as it is.
    type Extra: Copy + Debug + Send + Sync + 'static;

    /// Returns what the device answers once and for all.
    fn properties(&self) -> &DeviceProperties;

    /// Gives a block.
    ///
    /// # Errors
    ///
    /// Nothing has changed.
    fn allocate(
        &self,
        order: &Order<Self::Buffer, Self::Image, Self::Extra>,
    ) -> Result<Self::Memory, DeviceError>;

    /// Takes a block back; it need not be unmapped.
    ///
    /// # Safety
    ///
    /// - `memory` came from [`allocate`](Self::allocate) of this device and was not freed.
    /// - Nothing uses it any more: no resource, no queue, no host pointer.
    unsafe fn free(&self, memory: Self::Memory);

    /// Maps a whole block and returns the pointer to its first byte, good until
    /// [`unmap`](Self::unmap) or [`free`](Self::free).
    ///
    /// # Errors
    ///
    /// [`DeviceError::MapFailed`] and the out-of-memory ones; the block is as before.
    ///
    /// # Safety
    ///
    /// - `memory` is live, of a host-visible type, and not mapped.
    /// - No other call for this block runs at the same time.
    unsafe fn map(&self, memory: Self::Memory) -> Result<NonNull<u8>, DeviceError>;

    /// Ends a mapping.
    ///
    /// # Safety
    ///
    /// - `memory` is mapped, and nobody uses a pointer into it any more.
    /// - No other call for this block runs at the same time.
    unsafe fn unmap(&self, memory: Self::Memory);

    /// Makes host writes in `ranges` visible to the device.
    ///
    /// # Errors
    ///
    /// The out-of-memory ones; the writes may or may not be visible.
    ///
    /// # Safety
    ///
    /// - Each block is mapped, and each range lies in it.
    /// - Each begin is a multiple of the atom; each end is one too, or the block's end.
    /// - Nobody writes the host's bytes in the ranges meanwhile.
    unsafe fn flush(&self, ranges: &[MappedRange<Self::Memory>]) -> Result<(), DeviceError>;

    /// Makes device writes in `ranges` visible to the host.
    ///
    /// # Errors
    ///
    /// The out-of-memory ones; the writes may or may not be visible.
    ///
    /// # Safety
    ///
    /// As for [`flush`](Self::flush), and nobody reads them either; host writes in the ranges are
    /// flushed or given up.
    unsafe fn invalidate(&self, ranges: &[MappedRange<Self::Memory>]) -> Result<(), DeviceError>;

    /// Asks the driver what it grants of each heap now; `None` where it cannot say. May be slow:
    /// the heap asks when it is about to take a block, and seldom else.
    fn budgets(&self) -> Option<Vec<HeapBudget>>;

    /// As [`budgets`](Self::budgets), on one device of a group.
    fn budgets_on(&self, device: u32) -> Option<Vec<HeapBudget>> {
        debug_assert!(device < self.properties().group.devices, "the group has the device");
        self.budgets()
    }
}

/// What a resource needs of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Bytes.
    pub size: u64,
    /// A power of two.
    pub align: u64,
    /// A bit for each memory type that will do.
    pub memory_types: u32,
    /// Whether it wants a block of its own.
    pub dedicated: DedicatedWish,
}

impl Requirements {
    /// One byte anywhere, in any memory type: a start for requests without a resource.
    pub const ANY: Self =
        Self { size: 1, align: 1, memory_types: u32::MAX, dedicated: DedicatedWish::None };
}

/// Whether a resource wants a block of its own, as the driver says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DedicatedWish {
    /// It shares as well.
    #[default]
    None,
    /// It is faster alone.
    Preferred,
    /// It works only alone.
    Required,
}

/// How a resource's bytes are laid out, which decides who may share a page with it
/// ([`Limits::granularity`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tiling {
    /// Buffers, and images in rows.
    #[default]
    Linear,
    /// Images in the device's own order.
    Optimal,
}

/// Makes the buffers and images that lie in blocks.
///
/// # Safety
///
/// [`requirements`](Resources::requirements) asks for at least the bytes that the device touches
/// through the resource.
pub unsafe trait Resources: Device {
    /// What a buffer is made from.
    type BufferInfo<'a>;
    /// What an image is made from.
    type ImageInfo<'a>;

    /// Makes a buffer without memory.
    ///
    /// # Errors
    ///
    /// Nothing has changed.
    fn create_buffer(&self, info: &Self::BufferInfo<'_>) -> Result<Self::Buffer, DeviceError>;

    /// Makes an image without memory.
    ///
    /// # Errors
    ///
    /// Nothing has changed.
    fn create_image(&self, info: &Self::ImageInfo<'_>) -> Result<Self::Image, DeviceError>;

    /// Tells whether the buffer's memory must be able to have a device address.
    fn needs_device_address(&self, info: &Self::BufferInfo<'_>) -> bool;

    /// Tells what uses such a buffer.
    fn buffer_used_by(&self, info: &Self::BufferInfo<'_>) -> UsedBy;

    /// Tells what uses such an image.
    fn image_used_by(&self, info: &Self::ImageInfo<'_>) -> UsedBy;

    /// Returns the flags that say what such a buffer is used for, in the device's own numbers; zero
    /// where it has none. They are for reports alone.
    fn buffer_usage(&self, info: &Self::BufferInfo<'_>) -> u64 {
        let _ = info;
        0
    }

    /// Returns the flags that say what such an image is used for, as
    /// [`buffer_usage`](Self::buffer_usage) does.
    fn image_usage(&self, info: &Self::ImageInfo<'_>) -> u64 {
        let _ = info;
        0
    }

    /// Returns the layout that `info` asks for.
    fn tiling(&self, info: &Self::ImageInfo<'_>) -> Tiling;

    /// Returns what a buffer made from `info` would need, where the device can say so without
    /// making one.
    fn buffer_requirements(&self, info: &Self::BufferInfo<'_>) -> Option<Requirements> {
        let _ = info;
        None
    }

    /// Returns what an image made from `info` would need, where the device can say so without
    /// making one.
    fn image_requirements(&self, info: &Self::ImageInfo<'_>) -> Option<Requirements> {
        let _ = info;
        None
    }

    /// Returns what a resource needs.
    ///
    /// # Safety
    ///
    /// `resource` came from this device, is live and is not a disjoint image, whose planes have
    /// needs of their own.
    unsafe fn requirements(&self, resource: Resource<Self::Buffer, Self::Image>) -> Requirements;

    /// Binds a resource to memory, for the rest of its life.
    ///
    /// # Errors
    ///
    /// The resource can only be destroyed then.
    ///
    /// # Safety
    ///
    /// - `resource` and `memory` came from this device and are live; the resource has no memory.
    /// - The memory at `offset` satisfies [`requirements`](Self::requirements), and no other
    ///   resource uses it.
    unsafe fn bind(
        &self,
        resource: Resource<Self::Buffer, Self::Image>,
        memory: Self::Memory,
        offset: u64,
    ) -> Result<(), DeviceError>;

    /// Binds a resource to memory in which others lie too, for the rest of its life: an alias.
    ///
    /// # Errors
    ///
    /// The resource can only be destroyed then.
    ///
    /// # Safety
    ///
    /// As for [`bind`](Self::bind), but other resources may use the memory.
    unsafe fn bind_alias(
        &self,
        resource: Resource<Self::Buffer, Self::Image>,
        memory: Self::Memory,
        offset: u64,
    ) -> Result<(), DeviceError> {
        // SAFETY: The caller promises all that `bind` wants, but that nobody else lies there; an
        // implementation that cares for that has its own way here.
        unsafe { self.bind(resource, memory, offset) }
    }

    /// Destroys a resource; its memory stays.
    ///
    /// # Safety
    ///
    /// `resource` came from this device, is live, and nothing uses it any more.
    unsafe fn destroy(&self, resource: Resource<Self::Buffer, Self::Image>);
}
