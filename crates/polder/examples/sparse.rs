//! A buffer that grows and shrinks in place, and a texture of which a part has memory, on the
//! first Vulkan device that binds sparse resources; says so when there is none.

use ash::vk;
use polder::vulkan::sparse::{HasBinds, SparseBuffer, SparseImage, SparseOptions};
use polder::vulkan::sparse::{Submission, submit};
use polder::vulkan::{Allocator, Features, Vulkan};
use polder::{Options, Strategy};
use std::error::Error;

const COLOR: vk::ImageAspectFlags = vk::ImageAspectFlags::COLOR;
const WAIT_MAX_NS: u64 = 10_000_000_000;
/// Texels along each side of the texture.
const WIDTH: u32 = 16384;

/// A gibibyte of address space.
fn buffer_info() -> vk::BufferCreateInfo<'static> {
    let flags = vk::BufferCreateFlags::SPARSE_BINDING | vk::BufferCreateFlags::SPARSE_RESIDENCY;
    vk::BufferCreateInfo::default()
        .size(1 << 30)
        .usage(vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_DST)
        .flags(flags)
}

/// A texture that would take a gibibyte and a third.
fn image_info() -> vk::ImageCreateInfo<'static> {
    let flags = vk::ImageCreateFlags::SPARSE_BINDING | vk::ImageCreateFlags::SPARSE_RESIDENCY;
    vk::ImageCreateInfo::default()
        .image_type(vk::ImageType::TYPE_2D)
        .format(vk::Format::R8G8B8A8_UNORM)
        .extent(vk::Extent3D { width: WIDTH, height: WIDTH, depth: 1 })
        .mip_levels(WIDTH.ilog2() + 1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .usage(vk::ImageUsageFlags::TRANSFER_DST | vk::ImageUsageFlags::SAMPLED)
        .flags(flags)
}

/// Makes what tells the end of a submission, for as long as [`pages`] runs.
///
/// # Safety
///
/// The queue is the device's and binds sparse resources; nobody else uses it.
unsafe fn with_fence(allocator: &Allocator, queue: vk::Queue) -> Result<(), Box<dyn Error>> {
    let device = allocator.device().ash();
    // SAFETY: The device is live.
    let fence = unsafe { device.create_fence(&vk::FenceCreateInfo::default(), None) }?;
    // SAFETY: By our caller's promise; the fence is new.
    let result = unsafe { pages(allocator, queue, fence) };
    // SAFETY: `pages` has waited for all that would signal it, whether it failed or not.
    unsafe { device.destroy_fence(fence, None) };
    result
}

/// Gives and takes pages, and waits for each submission: a program would go on, and complete the
/// frame later.
///
/// # Safety
///
/// The queue is the device's and binds sparse resources; nobody else uses it nor the fence, which
/// is the device's too and not signalled.
unsafe fn pages(
    allocator: &Allocator,
    queue: vk::Queue,
    fence: vk::Fence,
) -> Result<(), Box<dyn Error>> {
    let device = allocator.device().ash();
    let bind = |frame, resources: &mut [&mut dyn HasBinds]| -> Result<(), Box<dyn Error>> {
        let submission = Submission { queue, info: vk::BindSparseInfo::default(), fence, frame };
        // SAFETY: By our caller's promise; no command uses the pages, and binds are waited for.
        unsafe { submit(allocator.device(), resources, &submission) }?;
        // SAFETY: The fence is the device's.
        let waited = unsafe { device.wait_for_fences(&[fence], true, WAIT_MAX_NS) };
        if waited.is_err() {
            // Resources are dropped on the way out, and outlive their binds.
            // SAFETY: Nobody else uses the device's one queue.
            unsafe { device.device_wait_idle() }?;
        }
        waited?;
        // SAFETY: As above, and what signalled it is done.
        Ok(unsafe { device.reset_fences(&[fence]) }?)
    };

    let options = SparseOptions { allocation_size_max: 1 << 20, ..SparseOptions::default() };
    let mut points = SparseBuffer::new(allocator, &buffer_info(), &options)?;
    points.commit(0..10 << 20)?;
    println!("{points:?}: {} bytes allocated", allocator.used());

    let mut texture = SparseImage::new(allocator, &image_info(), &SparseOptions::default())?;
    let seen = [(0, [3, 4, 0]), (0, [4, 4, 0]), (1, [1, 2, 0])];
    for (level, place) in seen {
        texture.commit(&[texture.tile(COLOR, level, 0, place)?])?;
    }
    if texture.tail_first_level(COLOR)? < image_info().mip_levels {
        texture.commit_tail(COLOR, 0)?;
    }
    bind(1, &mut [&mut points, &mut texture])?;
    println!("{texture:?}: {} bytes allocated", allocator.used());

    points.decommit(2 << 20..10 << 20)?;
    texture.decommit(&[texture.level(COLOR, 0, 0)?])?;
    bind(2, &mut [&mut points, &mut texture])?;
    points.complete(2);
    texture.complete(2);
    println!("{:?} have memory, {} bytes allocated", points.committed(), allocator.used());
    Ok(())
}

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
    let found = physical_devices.into_iter().find_map(|one| Some((one, family(instance, one)?)));
    let Some((physical_device, family)) = found else {
        println!("There is no device here that binds sparse buffers and images.");
        return Ok(());
    };
    let queues =
        [vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0])];
    let sparse = vk::PhysicalDeviceFeatures::default()
        .sparse_binding(true)
        .sparse_residency_buffer(true)
        .sparse_residency_image2_d(true);
    let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues);
    // SAFETY: The device has the family and the features.
    let device =
        unsafe { instance.create_device(physical_device, &info.enabled_features(&sparse), None) }?;
    // SAFETY: It was made with this queue.
    let queue = unsafe { device.get_device_queue(family, 0) };
    // SAFETY: The three belong together; nothing but Vulkan 1.0 was enabled.
    let vulkan = unsafe { Vulkan::new(instance, physical_device, &device, Features::default()) };
    let allocator = Allocator::new(vulkan, Options::default());
    // SAFETY: The family binds sparse resources (`family`), and nobody else has the queue.
    let result = unsafe { with_fence(&allocator, queue) };
    let ended = allocator.shutdown();
    // SAFETY: All that was made of the device is gone.
    unsafe { device.destroy_device(None) };
    result?;
    Ok(ended?)
}

/// The queue family that binds sparse resources, on a device that has what this program wants.
fn family(instance: &ash::Instance, physical_device: vk::PhysicalDevice) -> Option<u32> {
    // SAFETY: The physical device is the instance's.
    let features = unsafe { instance.get_physical_device_features(physical_device) };
    let wanted = [
        features.sparse_binding,
        features.sparse_residency_buffer,
        features.sparse_residency_image2_d,
    ];
    // SAFETY: As above.
    let limits = unsafe { instance.get_physical_device_properties(physical_device) }.limits;
    if wanted.contains(&vk::FALSE) || limits.max_image_dimension2_d < WIDTH {
        return None;
    }
    // SAFETY: As above.
    let families = unsafe { instance.get_physical_device_queue_family_properties(physical_device) };
    let binds = |family: &vk::QueueFamilyProperties| {
        family.queue_flags.contains(vk::QueueFlags::SPARSE_BINDING)
    };
    families.iter().position(binds).map(|family| family as u32)
}
