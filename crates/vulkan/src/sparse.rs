//! Sparse buffers and images: address space first, memory page by page.
//!
//! A buffer that grows in place, or a texture of which only what is seen has memory. A [`Sparse`]
//! owns the resource and its page table, over any [`Strategy`]. Committing a part gives memory to
//! the pages that have none, all of them or none, by one call of
//! [`allocate_all`](Strategy::allocate_all); decommitting takes them back. Neither calls the driver
//! for the binds: [`submit`] tells the device the outcome for any number of resources at once, each
//! page at most once, whatever happened to it in between.
//!
//! Memory that was bound is kept until the device is done with it: until
//! [`complete`](Sparse::complete) is told the frame of the submission that unbound it. A page that
//! is committed anew before its unbind was submitted is kept as it is.
//!
//! # Pages
//!
//! A page is what Vulkan calls a sparse block: as many bytes as the alignment that the driver
//! states for the resource, mostly 64 KiB. Of an image that can be resident in part it is a tile
//! of one level and layer, and the small levels share a tail that is committed as a whole, one for
//! each layer or one for all. What the driver keeps beside the texels (Vulkan's metadata aspect)
//! is committed when the image is made and bound by the first submission. An image without
//! `SPARSE_RESIDENCY` is committed by [`commit_all`](Sparse::commit_all).
//!
//! Drivers differ in the size of their pages, so [`SparseOptions::allocation_size_max`] says in
//! bytes how much memory pages that follow one another share an allocation of. Small ones, at the
//! least a page, go back to the strategy as soon as their pages do: right for textures, where any
//! tile may go. A buffer that grows, and shrinks rarely, takes larger ones: fewer allocations, and
//! binds that cover more, because memory that follows itself is bound in one piece. An allocation
//! goes back when the last of its pages does; until then the free ones serve the same resource.
//! Where no memory is left for as many pages in one piece, single ones are tried.
//!
//! # What the program sees to
//!
//! The device was made with `sparseBinding` and, for resources that are used while only a part has
//! memory, `sparseResidencyBuffer`, `sparseResidencyImage2D` and so on: create infos are valid
//! usage, as [`Vulkan::new`](crate::Vulkan::new) says. What a device cannot have enabled is an
//! error here. Committed pages may be used by commands that come after the submission, by semaphore
//! or fence, and hold anything until they are written.
//!
//! ```no_run
//! use ash::vk;
//! use polder_device::Allocator;
//! use polder_vulkan::sparse::{SparseBuffer, SparseOptions, Submission, submit};
//! use polder_vulkan::Vulkan;
//!
//! /// # Safety
//! ///
//! /// The queue is the device's, nobody else uses it, and it binds sparse resources; the semaphore
//! /// is new.
//! unsafe fn grow(
//!     allocator: &Allocator<Vulkan>,
//!     queue: vk::Queue,
//!     bound: vk::Semaphore,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let flags = vk::BufferCreateFlags::SPARSE_BINDING | vk::BufferCreateFlags::SPARSE_RESIDENCY;
//!     let usage = vk::BufferUsageFlags::STORAGE_BUFFER;
//!     let info = vk::BufferCreateInfo::default().size(1 << 30).usage(usage).flags(flags);
//!     let options = SparseOptions { allocation_size_max: 1 << 20, ..SparseOptions::default() };
//!     let mut points = SparseBuffer::new(allocator, &info, &options)?;
//!
//!     points.commit(0..10 << 20)?; // The rest has addresses, and no memory.
//!     let signals = [bound];
//!     let submission = Submission {
//!         queue,
//!         info: vk::BindSparseInfo::default().signal_semaphores(&signals),
//!         fence: vk::Fence::null(),
//!         frame: 1,
//!     };
//!     // SAFETY: By our caller's promise; no page is taken back.
//!     unsafe { submit(allocator.device(), &mut [&mut points], &submission)? };
//!     // Commands that wait for `bound` write and read the first 10 MiB.
//!
//!     points.decommit(1 << 20..10 << 20)?;
//!     // Submitted in frame 2, which waits for those commands; and once that is done:
//!     points.complete(2);
//!     Ok(())
//! }
//! # use polder_device::Strategy;
//! ```

mod binds;
mod buffer;
mod error;
mod image;
mod layout;
mod pages;

pub use binds::{HasBinds, Submission, submit};
pub use error::{RegionError, SparseError};
pub use layout::Region;
pub use pages::PageCounts;

use crate::vulkan::Vulkan;
use ash::vk;
use core::fmt;
use layout::Layout;
use pages::{Pages, Terms};
use polder_device::device::MemoryType;
use polder_device::factory::{BufferSort, ImageSort, Sort};
use polder_device::{Device, MemoryProperties, Requirements, Resources, Strategy, Tiling, Wish};

/// How the pages of a sparse resource are allocated.
#[derive(Clone, Copy, Debug)]
pub struct SparseOptions<'a> {
    /// What is wanted of their memory. The name is that of all allocations. A device mask has
    /// device 0.
    pub wish: Wish<'a>,
    /// Most bytes of one allocation, but a page at the least. See the [module](self).
    pub allocation_size_max: u64,
}

impl Default for SparseOptions<'_> {
    /// Memory for the device alone, by 64 KiB: a page, of most drivers.
    fn default() -> Self {
        Self { wish: Wish::default(), allocation_size_max: 64 << 10 }
    }
}

/// A sparse buffer or image, the memory of its pages, and the strategy that gives it. See the
/// [module](self).
///
/// Dropping it destroys the resource and frees its pages: the device has executed all commands
/// that use it, and all binds. (That is the promise given to [`Vulkan::new`].)
pub struct Sparse<S: Strategy<Vulkan>, K: Sort<Vulkan>> {
    handle: K::Handle,
    /// What was asked for in the create info, in bytes; nothing of an image.
    size: u64,
    layout: Layout,
    pages: Pages<Vulkan, S>,
}

/// A sparse buffer.
pub type SparseBuffer<S> = Sparse<S, BufferSort>;
/// A sparse image.
pub type SparseImage<S> = Sparse<S, ImageSort>;

impl<S: Strategy<Vulkan>, K: Sort<Vulkan>> Sparse<S, K> {
    /// Returns Vulkan's handle.
    #[must_use]
    pub const fn handle(&self) -> K::Handle {
        self.handle
    }

    /// Returns the strategy that the memory comes from.
    #[must_use]
    pub const fn strategy(&self) -> &S {
        self.pages.strategy()
    }

    /// Returns the bytes of a page.
    #[must_use]
    pub const fn page_size(&self) -> u64 {
        self.layout.page_size()
    }

    /// Returns how many pages the resource has, with memory or without.
    #[must_use]
    pub fn page_count(&self) -> u64 {
        self.layout.all().end
    }

    /// Returns how many pages are in which state.
    #[must_use]
    pub fn counts(&self) -> PageCounts {
        self.pages.counts()
    }

    /// Tells whether the device has yet to hear of something.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pages.is_pending()
    }

    /// Gives memory to every page that has none.
    ///
    /// # Errors
    ///
    /// [`SparseError::Allocate`]: no page was committed.
    pub fn commit_all(&mut self) -> Result<(), SparseError> {
        self.pages.commit(&[self.layout.all()]).map_err(SparseError::Allocate)
    }

    /// Takes back every page but those of the driver's own data, without which an image cannot be
    /// used at all.
    pub fn decommit_all(&mut self) {
        self.pages.decommit(&[self.layout.data()]);
    }

    /// Says that the device has completed `frame` and all before it, and frees the pages that were
    /// unbound in them. Frames are numbered as the program likes, ascending; `u64::MAX` counts as
    /// the one before it.
    pub fn complete(&mut self, frame: u64) {
        self.pages.complete(frame);
    }

    /// Verifies every invariant of the page table; for tests.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn check(&self) {
        self.pages.check();
    }
}

impl<S: Strategy<Vulkan>, K: Sort<Vulkan>> Drop for Sparse<S, K> {
    fn drop(&mut self) {
        let resource = K::resource(self.handle);
        // SAFETY: It was made by this device, is destroyed here alone, and nothing uses it any
        // more: `Vulkan::new`'s caller promises it.
        unsafe { self.pages.strategy().device().destroy(resource) };
        self.pages.free_all();
    }
}

impl<S: Strategy<Vulkan>, K: Sort<Vulkan>> fmt::Debug for Sparse<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sparse {:?} with {:?}", self.handle, self.pages)
    }
}

impl<S: Strategy<Vulkan>, K: Sort<Vulkan>> binds::sealed::Resource for Sparse<S, K> {
    fn binds(&self, _: binds::sealed::Token) -> binds::Binds {
        binds::Binds::new(K::resource(self.handle), &self.layout, &self.pages.pending())
    }

    fn is_open(&self, frame: u64, _: binds::sealed::Token) -> bool {
        self.pages.is_open(frame)
    }

    fn submitted(&mut self, frame: u64, _: binds::sealed::Token) {
        self.pages.submitted(frame);
    }
}

/// What a resource says of the memory of its pages.
struct Needs {
    requirements: Requirements,
    tiling: Tiling,
    device_address: bool,
}

impl Needs {
    fn terms(&self, device: &Vulkan, options: &SparseOptions<'_>) -> Terms {
        let SparseOptions { wish, allocation_size_max } = *options;
        let page_size = self.requirements.align;
        let types = &device.properties().memory_types;
        Terms {
            page_size,
            memory_types: self.requirements.memory_types & !lazy_types(types),
            tiling: self.tiling,
            device_address: self.device_address,
            wish: without_name(&wish),
            name: wish.name.map(String::from),
            run_pages_max: (allocation_size_max / page_size).max(1) as usize,
        }
    }
}

/// A bit for each type whose memory Vulkan binds to no sparse resource.
fn lazy_types(types: &[MemoryType]) -> u32 {
    let is_lazy = |one: &MemoryType| one.properties.contains(MemoryProperties::LAZILY_ALLOCATED);
    types.iter().rev().fold(0, |bits, one| bits << 1 | u32::from(is_lazy(one)))
}

/// A wish that outlives the name of the one it is a copy of.
fn without_name(wish: &Wish<'_>) -> Wish<'static> {
    let Wish { access, required, preferred, avoided, memory_types, align, .. } = *wish;
    let Wish { lifetime, placement, aliasing, mapping, budget, search, priority, .. } = *wish;
    let Wish { spill, device_mask, .. } = *wish;
    Wish {
        access,
        required,
        preferred,
        avoided,
        memory_types,
        align,
        lifetime,
        placement,
        aliasing,
        mapping,
        budget,
        spill,
        search,
        priority,
        device_mask,
        name: None,
    }
}

/// A feature of the physical device: whether a resource wants it, its name, whether it is there.
type Feature = (bool, &'static str, vk::Bool32);

/// Refuses what wants a feature that the device cannot have enabled.
fn expect_features(features: &[Feature]) -> Result<(), SparseError> {
    let missing = features.iter().find(|(is_wanted, _, is_there)| *is_wanted && *is_there == 0);
    missing.map_or(Ok(()), |&(_, feature, _)| Err(SparseError::FeatureMissing { feature }))
}

/// Asks which features of Vulkan 1.0 the device could have enabled.
fn supported(device: &Vulkan) -> vk::PhysicalDeviceFeatures {
    let (instance, physical_device) = device.physical();
    // SAFETY: `Vulkan::new`'s caller promises a live instance and a physical device of its.
    unsafe { instance.get_physical_device_features(physical_device) }
}

/// Refuses memory that device 0 of a group does not have, which is the one that binds.
fn expect_first_device(options: &SparseOptions<'_>) -> Result<(), SparseError> {
    let mask = options.wish.device_mask;
    if mask == 0 || mask & 1 != 0 { Ok(()) } else { Err(SparseError::DeviceMask { mask }) }
}

/// Refuses a resource for which there is no address space.
fn expect_space(device: &Vulkan, size: u64) -> Result<(), SparseError> {
    let size_max = device.limits().sparse_address_space_size;
    if size > size_max { Err(SparseError::TooLarge { size, size_max }) } else { Ok(()) }
}
