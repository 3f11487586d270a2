//! Polder's device heap on Vulkan, for programs that use [`ash`].
//!
//! [`Vulkan`] is made once from the program's instance, physical device and device. Over it stands
//! the [`Allocator`](polder_device::Allocator) of `polder-device`, or any other of its strategies:
//! create infos in, buffers and images with their memory out.
//!
//! ```no_run
//! use ash::vk;
//! use polder_device::{Access, Allocator, Factory, Options, Strategy, Wish};
//! use polder_vulkan::{Features, Vulkan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // SAFETY: The loader is the system's own; what follows keeps to Vulkan's rules.
//! let entry = unsafe { ash::Entry::load()? };
//! let version = vk::API_VERSION_1_3;
//! let application = vk::ApplicationInfo::default().api_version(version);
//! let info = vk::InstanceCreateInfo::default().application_info(&application);
//! let instance = unsafe { entry.create_instance(&info, None)? };
//! let physical_device = unsafe { instance.enumerate_physical_devices()? }[0];
//!
//! // What the heap can make use of is enabled with whatever else the program wants.
//! let features = unsafe { Features::supported(&instance, physical_device, version)? };
//! let names: Vec<_> = features.extension_names().into_iter().map(|name| name.as_ptr()).collect();
//! let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
//! let mut structs = features.structs();
//! let info = structs.chain(
//!     vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names),
//! );
//! let device = unsafe { instance.create_device(physical_device, &info, None)? };
//!
//! // SAFETY: The handles belong together and outlive the allocator; `features` names what was
//! // enabled above; the create info below is valid.
//! let vulkan = unsafe { Vulkan::new(&instance, physical_device, &device, features) };
//! let allocator = Allocator::new(vulkan, Options::default());
//!
//! let usage = vk::BufferUsageFlags::TRANSFER_SRC;
//! let info = vk::BufferCreateInfo::default().size(1 << 20).usage(usage);
//! let mut staging = allocator.create_buffer(&info, &Wish::of(Access::HostWrites))?;
//! allocator.write(staging.allocation_mut(), 0, b"texels")?;
//! // Commands name it by `staging.handle()`.
//! allocator.destroy_buffer(staging)?;
//!
//! allocator.shutdown()?;
//! unsafe { device.destroy_device(None) };
//! unsafe { instance.destroy_instance(None) };
//! # Ok(())
//! # }
//! ```

mod bind;
mod blocks;
mod builder;
mod chain;
mod error;
mod external;
mod extra;
mod features;
mod modifier;
mod properties;
mod relocate;
mod requirements;
mod resources;
pub mod sparse;
mod vulkan;

pub use blocks::{Block, BlockCallbacks};
pub use builder::Builder;
pub use external::{ExternalError, Import, Imported};
pub use extra::{Chain, Extra};
pub use features::{FeatureStructs, Features};
pub use relocate::ImageState;
pub use sparse::{Sparse, SparseBuffer, SparseError, SparseImage, SparseOptions};
pub use vulkan::Vulkan;
