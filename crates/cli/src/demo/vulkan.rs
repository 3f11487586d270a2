//! The demo on Vulkan: loader, instance, device.
//!
//! The loader is opened when the program runs, so that a machine without Vulkan is told and not
//! refused. Of the devices the one with the most of its own behind it is taken: discrete,
//! integrated, virtual, CPU. What is opened here is closed in the opposite order by `Drop`.

mod commands;
mod copies;

use super::{Findings, Memory, Plan, perform};
use crate::Failure;
use ash::vk;
use commands::VulkanStage;
use polder::vulkan::{Features, Vulkan};
use polder::{Allocator, Options};
use thiserror::Error;

/// The latest version of Vulkan that the demo knows.
const VERSION_MOST: u32 = vk::API_VERSION_1_3;

/// Why there is no Vulkan to run on.
#[derive(Debug, Error)]
pub enum NoVulkan {
    #[error("this machine has no Vulkan loader")]
    NoLoader,
    #[error("the Vulkan loader found no driver")]
    NoDriver,
    #[error("no Vulkan device can copy")]
    NoDevice,
    #[error("Vulkan answered {0}")]
    Failed(#[from] vk::Result),
    #[error("{0}")]
    Asked(#[from] polder::device::DeviceError),
}

/// An instance and the loader that it came from.
struct Instance {
    raw: ash::Instance,
    version: u32,
    /// Stays loaded as long as anything of it is used.
    _loader: ash::Entry,
}

/// A physical device that can copy.
struct Candidate {
    physical_device: vk::PhysicalDevice,
    family: u32,
    rank: u32,
}

/// A device with one queue.
pub struct Context {
    device: ash::Device,
    queue: vk::Queue,
    family: u32,
    physical_device: vk::PhysicalDevice,
    features: Features,
    /// Dropped after the device.
    instance: Instance,
}

/// Opens the best device.
///
/// # Errors
///
/// Why there is none.
pub fn open() -> Result<Context, NoVulkan> {
    let instance = Instance::open()?;
    let best = instance.candidates()?.into_iter().min_by_key(|candidate| candidate.rank);
    Context::open(instance, &best.ok_or(NoVulkan::NoDevice)?)
}

/// Runs the demo on a device.
///
/// # Errors
///
/// What ended it early.
pub fn run(context: &Context, plan: &Plan) -> Result<(Findings, Memory), Failure> {
    let mut stage = VulkanStage::new(context)?;
    let Context { instance, physical_device, device, features, .. } = context;
    // SAFETY: The device was made from this physical device of this instance, with `features`
    // enabled (`Context::open`). `perform` ends the allocator, and the context outlives it. The
    // create infos are those of `commands`.
    let vulkan = unsafe { Vulkan::new(&instance.raw, *physical_device, device, *features) };
    perform(&mut stage, Allocator::new(vulkan, Options::default()), plan)
}

impl Instance {
    fn open() -> Result<Self, NoVulkan> {
        // SAFETY: The library is the system's Vulkan loader, which has no conditions of its own;
        // it stays loaded until the instance is destroyed.
        let loader = unsafe { ash::Entry::load() }.map_err(|_| NoVulkan::NoLoader)?;
        // SAFETY: The loader is loaded.
        let offered = unsafe { loader.try_enumerate_instance_version() }?;
        let version = offered.unwrap_or(vk::API_VERSION_1_0).min(VERSION_MOST);
        let application =
            vk::ApplicationInfo::default().application_name(c"polder demo").api_version(version);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: The create info is complete, and names neither layers nor extensions.
        let created = unsafe { loader.create_instance(&info, None) };
        let raw = created.map_err(|result| match result {
            vk::Result::ERROR_INCOMPATIBLE_DRIVER => NoVulkan::NoDriver,
            other => NoVulkan::Failed(other),
        })?;
        Ok(Self { raw, version, _loader: loader })
    }

    fn candidates(&self) -> Result<Vec<Candidate>, NoVulkan> {
        // SAFETY: The instance is live.
        let devices = unsafe { self.raw.enumerate_physical_devices() }?;
        Ok(devices.into_iter().filter_map(|device| self.candidate(device)).collect())
    }

    fn candidate(&self, physical_device: vk::PhysicalDevice) -> Option<Candidate> {
        // SAFETY: The instance is live, and the physical device its own.
        let families =
            unsafe { self.raw.get_physical_device_queue_family_properties(physical_device) };
        // Both imply transfers, of any texels to any place.
        let copying = vk::QueueFlags::GRAPHICS | vk::QueueFlags::COMPUTE;
        let family = families.iter().position(|family| family.queue_flags.intersects(copying))?;
        // SAFETY: As above.
        let properties = unsafe { self.raw.get_physical_device_properties(physical_device) };
        let rank = rank(properties.device_type);
        Some(Candidate { physical_device, family: u32::try_from(family).ok()?, rank })
    }
}

/// The lowest is the best.
fn rank(kind: vk::PhysicalDeviceType) -> u32 {
    const ORDER: [vk::PhysicalDeviceType; 4] = [
        vk::PhysicalDeviceType::DISCRETE_GPU,
        vk::PhysicalDeviceType::INTEGRATED_GPU,
        vk::PhysicalDeviceType::VIRTUAL_GPU,
        vk::PhysicalDeviceType::CPU,
    ];
    ORDER.iter().position(|&one| one == kind).unwrap_or(ORDER.len()) as u32
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: The context, which owns the only device, destroys that before it drops this.
        unsafe { self.raw.destroy_instance(None) };
    }
}

impl Context {
    fn open(instance: Instance, candidate: &Candidate) -> Result<Self, NoVulkan> {
        let &Candidate { physical_device, family, .. } = candidate;
        // SAFETY: The instance is live and was made for this version; the physical device is its.
        let features =
            unsafe { Features::supported(&instance.raw, physical_device, instance.version) }?;
        let names = features.extension_names();
        let names: Vec<_> = names.into_iter().map(std::ffi::CStr::as_ptr).collect();
        let queue = vk::DeviceQueueCreateInfo::default()
            .queue_family_index(family)
            .queue_priorities(&[1.0]);
        let queues = [queue];
        let mut structs = features.structs();
        let info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&names);
        let info = structs.chain(info);
        // SAFETY: The family is one of the device's and has a queue; extensions and features are
        // those that the device says it has.
        let device = unsafe { instance.raw.create_device(physical_device, &info, None) }?;
        // SAFETY: One queue of this family was just made.
        let queue = unsafe { device.get_device_queue(family, 0) };
        Ok(Self { device, queue, family, physical_device, features, instance })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: All that was made of the device borrows this context or was ended in `run`.
        unsafe { self.device.destroy_device(None) };
    }
}
