//! Polder: memory for the whole machine.
//!
//! This is the crate to add; each part of it is a feature.
//!
//! | feature | what it brings |
//! |---|---|
//! | `host` (default) | [`host`]: the process's allocator, and heaps of one's own |
//! | `device` (default) | [`device`]: the device heap over any device, and a device in software |
//! | `vulkan` | `vulkan`: the device heap on Vulkan, for programs that use `ash` |
//!
//! # The process's heap
//!
//! Two lines make it the allocator of the whole program. It is in pure Rust: threads allocate and
//! free without a lock, and memory that nobody needs goes back to the system in time.
//!
//! ```
//! #[global_allocator]
//! static ALLOC: polder::Polder = polder::Polder;
//!
//! let text = vec![b'a'; 1000];
//! assert!(ALLOC.usable_size(text.as_ptr()) >= Some(1000));
//! assert_eq!(ALLOC.bounds(&raw const text[500]), ALLOC.bounds(text.as_ptr()));
//! assert!(ALLOC.stats().used >= 1000);
//! ```
//!
//! A [`Heap`] is a part of the program's memory with its own limit and statistics, which goes as a
//! whole; [`Settings`] say how long free memory is kept and how much there may be. The whole
//! program is `examples/host.rs`.
//!
//! # On Vulkan
//!
//! An allocator is made once, from the program's instance, physical device and device. Buffers and
//! images come created, allocated and bound; what they are for is said by their
//! [`Access`].
//!
//! ```ignore
//! /// Makes a staging buffer and a texture, and gives both back.
//! ///
//! /// # Safety
//! ///
//! /// - The device was made from the physical device, and that is one of the instance's.
//! /// - `features` names what was enabled on the device.
//! unsafe fn texture(
//!     instance: &ash::Instance,
//!     physical_device: vk::PhysicalDevice,
//!     device: &ash::Device,
//!     features: Features,
//! ) -> Result<(), Box<dyn Error>> {
//!     // SAFETY: By our caller's promise; the allocator ends before we return.
//!     let vulkan = unsafe { Vulkan::new(instance, physical_device, device, features) };
//!     let allocator = Allocator::new(vulkan, Options::default());
//!
//!     let info = vk::BufferCreateInfo::default().size(TEXELS.len() as u64).usage(STAGING);
//!     let mut staging = allocator.create_buffer(&info, &Wish::of(Access::HostWrites))?;
//!     allocator.write(staging.allocation_mut(), 0, &TEXELS)?;
//!     let texture = allocator.create_image(&image_info(), &Wish::of(Access::DeviceOnly))?;
//!     println!("{:?} to {:?}", staging.handle(), texture);
//!
//!     // Once the queue has copied the one to the other:
//!     allocator.destroy_buffer(staging)?;
//!     allocator.destroy_image(texture)?;
//!     allocator.shutdown()?; // Names what was forgotten.
//!     Ok(())
//! }
//! ```
//!
//! The whole program is `examples/vulkan.rs`.
//!
//! # Without a GPU
//!
//! The same on the [software device](device::sim), which runs everywhere and says which rule of
//! Vulkan was broken:
//!
//! ```
//! use polder::device::sim::{BufferInfo, ImageInfo, Preset, Sim};
//! use polder::{Access, Allocator, Factory, Options, Strategy, Wish};
//!
//! let sim = Sim::preset(Preset::AmdNavi31);
//! let allocator = Allocator::new(sim.clone(), Options::default());
//!
//! let info = BufferInfo { size: 256 << 10, ..BufferInfo::default() };
//! let mut staging = allocator.create_buffer(&info, &Wish::of(Access::HostWrites))?;
//! allocator.write(staging.allocation_mut(), 0, &[7; 256])?;
//! let texture = allocator.create_image(&ImageInfo::default(), &Wish::of(Access::DeviceOnly))?;
//!
//! allocator.destroy_buffer(staging)?;
//! allocator.destroy_image(texture)?;
//! allocator.shutdown()?;
//! assert!(sim.violations().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to go from here
//!
//! - Which object an address lies in, and where that ends: [`Polder::bounds`].
//! - Who touches the memory, how long it lives, whether it stays mapped: [`Wish`].
//! - Handles that free themselves, at once or after a frame: [`Owned`].
//! - Why a memory type was chosen: [`Allocator::explain`].
//! - What is where: [`Allocator::snapshot`].
//! - Other strategies, and one's own: [`device::strategy`].

#[cfg(feature = "host")]
pub mod host {
    //! The process's allocator, and heaps of one's own.
    pub use polder_host::*;
}

#[cfg(feature = "host")]
pub use polder_host::{Heap, HeapOptions, Polder, Settings};

#[cfg(feature = "device")]
pub mod device {
    //! The device heap over any device.
    pub use polder_device::*;
}

#[cfg(feature = "device")]
pub use polder_device::{
    Access, AllocError, Allocation, Allocator, Buffer, CreateError, Factory, FreeError, Image,
    LeakReport, Lifetime, MapError, Mapping, Options, Owned, OwnedBuffer, OwnedImage, Placement,
    Snapshot, Strategy, Wish,
};

#[cfg(feature = "vulkan")]
pub mod vulkan {
    //! The device heap on Vulkan, for programs that use `ash`.
    pub use polder_vulkan::*;

    /// The default allocator on Vulkan.
    pub type Allocator = polder_device::Allocator<Vulkan>;
    /// A buffer of Vulkan's with its memory.
    pub type Buffer = polder_device::Buffer<Vulkan>;
    /// An image of Vulkan's with its memory.
    pub type Image = polder_device::Image<Vulkan>;
}
