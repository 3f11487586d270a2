//! A staging buffer and a texture on the first Vulkan device; says so when there is none.

use ash::vk;
use polder::vulkan::{Allocator, Features, Vulkan};
use polder::{Access, Factory, Options, Strategy, Wish};
use std::error::Error;

static TEXELS: [u8; 256 << 10] = [7; 256 << 10];
const STAGING: vk::BufferUsageFlags = vk::BufferUsageFlags::TRANSFER_SRC;

fn image_info() -> vk::ImageCreateInfo<'static> {
    vk::ImageCreateInfo::default()
        .image_type(vk::ImageType::TYPE_2D)
        .format(vk::Format::R8G8B8A8_UNORM)
        .extent(vk::Extent3D { width: 256, height: 256, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .usage(vk::ImageUsageFlags::TRANSFER_DST | vk::ImageUsageFlags::SAMPLED)
}

// The tour and the README show this.
/// Makes a staging buffer and a texture, and gives both back.
///
/// # Safety
///
/// - The device was made from the physical device, and that is one of the instance's.
/// - `features` names what was enabled on the device.
unsafe fn texture(
    instance: &ash::Instance,
    physical_device: vk::PhysicalDevice,
    device: &ash::Device,
    features: Features,
) -> Result<(), Box<dyn Error>> {
    // SAFETY: By our caller's promise; the allocator ends before we return.
    let vulkan = unsafe { Vulkan::new(instance, physical_device, device, features) };
    let allocator = Allocator::new(vulkan, Options::default());

    let info = vk::BufferCreateInfo::default().size(TEXELS.len() as u64).usage(STAGING);
    let mut staging = allocator.create_buffer(&info, &Wish::of(Access::HostWrites))?;
    allocator.write(staging.allocation_mut(), 0, &TEXELS)?;
    let texture = allocator.create_image(&image_info(), &Wish::of(Access::DeviceOnly))?;
    println!("{:?} to {:?}", staging.handle(), texture);

    // Once the queue has copied the one to the other:
    allocator.destroy_buffer(staging)?;
    allocator.destroy_image(texture)?;
    allocator.shutdown()?; // Names what was forgotten.
    Ok(())
}
// So far.

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: The loader is the system's own, and is unloaded when all of Vulkan is done with.
    let Ok(entry) = (unsafe { ash::Entry::load() }) else {
        println!("There is no Vulkan here.");
        return Ok(());
    };
    let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_1);
    let info = vk::InstanceCreateInfo::default().application_info(&application);
    // SAFETY: The create info names no layer and no extension.
    let Ok(instance) = (unsafe { entry.create_instance(&info, None) }) else {
        println!("There is no Vulkan driver here.");
        return Ok(());
    };
    let result = on_first_device(&instance);
    // SAFETY: All that was made of the instance is gone.
    unsafe { instance.destroy_instance(None) };
    result
}

fn on_first_device(instance: &ash::Instance) -> Result<(), Box<dyn Error>> {
    // SAFETY: The instance is live.
    let physical_devices = unsafe { instance.enumerate_physical_devices() }?;
    let Some(&physical_device) = physical_devices.first() else {
        println!("There is no Vulkan device here.");
        return Ok(());
    };
    // SAFETY: The instance is live, and was made for this version.
    let features = unsafe { Features::supported(instance, physical_device, vk::API_VERSION_1_1) }?;
    let names: Vec<_> =
        features.extension_names().into_iter().map(std::ffi::CStr::as_ptr).collect();
    let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
    let info = vk::DeviceCreateInfo::default();
    let info = info.queue_create_infos(&queues).enabled_extension_names(&names);
    let mut structs = features.structs();
    // SAFETY: Every device has a queue family 0; extensions and features are those it offers.
    let device = unsafe { instance.create_device(physical_device, &structs.chain(info), None) }?;
    // SAFETY: The three belong together, and `features` was enabled.
    let result = unsafe { texture(instance, physical_device, &device, features) };
    // SAFETY: `texture` gave back all that it made.
    unsafe { device.destroy_device(None) };
    result
}
