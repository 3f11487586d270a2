//! What came to Vulkan later: binding with a chain, needs without an object, wider usage flags,
//! budgets beneath Vulkan 1.1.

use crate::callbacks::Ledger;
use crate::gpu::{Gpu, Options, Part};
use crate::work::{buffer_info, image_info, pattern};
use ash::{khr, vk};
use polder_device::{
    Access, Aliasing, Allocator, CreateError, Device, DeviceError, Factory, Options as Limits,
    PlaceError, Resource, Resources, Strategy, UsedBy, Wish,
};
use polder_vulkan::sparse::{SparseBuffer, SparseError, SparseOptions};
use polder_vulkan::{Features, Vulkan};

fn allocator(vulkan: Vulkan) -> Allocator<Vulkan> {
    Allocator::new(vulkan, Limits::default())
}

/// Buffers and images of several sizes and uses.
fn buffer_infos() -> Vec<vk::BufferCreateInfo<'static>> {
    let uses = [
        vk::BufferUsageFlags::TRANSFER_SRC,
        vk::BufferUsageFlags::UNIFORM_BUFFER,
        vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::INDEX_BUFFER,
    ];
    let sizes = [1, 1000, 1 << 20];
    let infos = uses.iter().flat_map(|&usage| sizes.map(|size| buffer_info(size).usage(usage)));
    infos.collect()
}

fn image_infos() -> Vec<vk::ImageCreateInfo<'static>> {
    let sampled = vk::ImageUsageFlags::SAMPLED | vk::ImageUsageFlags::TRANSFER_DST;
    [1, 64, 500].into_iter().flat_map(|w| [image_info(w), image_info(w).usage(sampled)]).collect()
}

#[test]
fn needs_are_the_same_with_and_without_an_object() {
    let Some(gpu) = Gpu::open() else { return };
    if !gpu.features.maintenance4 {
        gpu.left_out(Part::Maintenance4);
        return;
    }
    let vulkan = gpu.vulkan();
    for info in buffer_infos() {
        let buffer = Resource::Buffer(vulkan.create_buffer(&info).unwrap());
        // SAFETY: It was just made.
        let needs = unsafe { vulkan.requirements(buffer) };
        // SAFETY: It is live and unused.
        unsafe { vulkan.destroy(buffer) };
        assert_eq!(vulkan.buffer_requirements(&info), Some(needs), "{} bytes", info.size);
    }
    for info in image_infos() {
        let image = Resource::Image(vulkan.create_image(&info).unwrap());
        // SAFETY: It was just made.
        let needs = unsafe { vulkan.requirements(image) };
        // SAFETY: It is live and unused.
        unsafe { vulkan.destroy(image) };
        assert_eq!(vulkan.image_requirements(&info), Some(needs), "{} texels", info.extent.width);
    }
    let sparse = buffer_info(64).flags(vk::BufferCreateFlags::SPARSE_BINDING);
    assert_eq!(vulkan.buffer_requirements(&sparse), None, "what is refused has no needs");
    let refused = allocator(vulkan).find_memory_type_for_buffer(&sparse, &Wish::default());
    assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{refused:?}");
}

/// The types for all the infos, and how often the driver asked for memory meanwhile.
fn memory_types(gpu: &Gpu) -> (Vec<Option<u32>>, u64) {
    let ledger = Ledger::default();
    let host = ledger.callbacks();
    let allocator = allocator(gpu.build(|builder| builder.allocation_callbacks(host)));
    let mut found = Vec::new();
    for access in Access::ALL {
        let wish = Wish::of(access);
        let buffer = |info| allocator.find_memory_type_for_buffer(info, &wish).unwrap();
        found.extend(buffer_infos().iter().map(buffer));
        let image = |info| allocator.find_memory_type_for_image(info, &wish).unwrap();
        found.extend(image_infos().iter().map(image));
    }
    (found, ledger.calls())
}

#[test]
fn a_buffer_larger_than_the_device_s_largest_is_refused() {
    let Some(gpu) = Gpu::open() else { return };
    if !gpu.features.maintenance4 {
        gpu.left_out(Part::Maintenance4);
        return;
    }
    let mut most = vk::PhysicalDeviceMaintenance4Properties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut most);
    // SAFETY: Both live as long as `gpu`, and have Vulkan 1.1.
    unsafe {
        gpu.instance.get_physical_device_properties2(gpu.physical_device, &mut properties);
    }
    let vulkan = gpu.vulkan();
    let Some(size) = most.max_buffer_size.checked_add(1).filter(|&size| size > 1) else {
        println!("left out: no largest buffer here");
        return;
    };
    let info = buffer_info(size);
    let refused = vulkan.create_buffer(&info);
    assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{refused:?}");
    assert_eq!(vulkan.buffer_requirements(&info), None);
    if gpu.sparse.sparse_binding == vk::TRUE {
        let sparse = info.flags(vk::BufferCreateFlags::SPARSE_BINDING);
        let made = SparseBuffer::new(allocator(vulkan), &sparse, &SparseOptions::default());
        let size_max = most.max_buffer_size.min(gpu.properties().limits.sparse_address_space_size);
        assert_eq!(made.unwrap_err(), SparseError::TooLarge { size, size_max });
    }
}

#[test]
fn a_memory_type_is_found_without_an_object() {
    let Some(gpu) = Gpu::open() else { return };
    let without =
        Options { enable: |all| Features { maintenance4: false, ..all }, ..Options::default() };
    let Some(elder) = Gpu::open_with(&without) else { return };
    let vulkan = elder.vulkan();
    assert_eq!(vulkan.buffer_requirements(&buffer_info(64)), None);
    assert_eq!(vulkan.image_requirements(&image_info(64)), None);
    let tiling = vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT;
    let mut modifier = vk::ImageDrmFormatModifierExplicitCreateInfoEXT::default();
    let info = image_info(64).tiling(tiling).push_next(&mut modifier);
    assert_eq!(gpu.vulkan().image_requirements(&info), None, "Vulkan does not take the question");
    let (expected, calls) = memory_types(&elder);
    assert!(0 < calls || !elder.executes(), "an object takes host memory");
    let (found, calls) = memory_types(&gpu);
    assert_eq!(found, expected);
    if gpu.features.maintenance4 {
        assert_eq!(calls, 0, "nothing was made");
    }
}

#[test]
fn usage_is_read_from_the_chain() {
    let Some(gpu) = Gpu::open() else { return };
    if !(gpu.features.maintenance5 && gpu.features.device_address) {
        gpu.left_out(Part::Maintenance5);
        return;
    }
    let allocator = allocator(gpu.vulkan());
    let vulkan = allocator.device();
    let usage =
        vk::BufferUsageFlags2KHR::SHADER_DEVICE_ADDRESS | vk::BufferUsageFlags2KHR::STORAGE_BUFFER;
    let mut flags = vk::BufferUsageFlags2CreateInfoKHR::default().usage(usage);
    let info = vk::BufferCreateInfo::default().size(4096).push_next(&mut flags);
    assert!(vulkan.needs_device_address(&info));
    assert_eq!(vulkan.buffer_used_by(&info), UsedBy::Device);
    let buffer = allocator.create_buffer(&info, &Wish::default()).unwrap();
    let named = vk::BufferDeviceAddressInfo::default().buffer(buffer.handle());
    // SAFETY: The buffer is live and bound, and the feature of Vulkan 1.2 is enabled.
    let address = unsafe { gpu.device.get_buffer_device_address(&named) };
    assert!(address != 0 || !gpu.executes(), "a buffer with an address has one");
    allocator.destroy_buffer(buffer).unwrap();

    let usage = vk::BufferUsageFlags2KHR::TRANSFER_SRC;
    let mut flags = vk::BufferUsageFlags2CreateInfoKHR::default().usage(usage);
    let info = vk::BufferCreateInfo::default().size(4096).push_next(&mut flags);
    assert!(!vulkan.needs_device_address(&info));
    assert_eq!(vulkan.buffer_used_by(&info), UsedBy::Transfers);
    allocator.shutdown().unwrap();
}

#[test]
fn a_bind_takes_a_chain_and_an_offset() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(gpu.vulkan());
    let wish = Wish { aliasing: Aliasing::Allowed, align: 4096, ..Wish::of(Access::HostRandom) };
    let before = allocator.create_buffer(&buffer_info(64), &wish).unwrap();
    let mut whole = allocator.create_unbound_buffer(&buffer_info(64 << 10), &wish).unwrap();
    assert_ne!(whole.allocation().offset(), 0, "it lies behind the other in their block");
    // No device of a group is named: the one that there is.
    let mut group = vk::BindBufferMemoryDeviceGroupInfo::default();
    let info = vk::BindBufferMemoryInfo::default().buffer(whole.handle()).push_next(&mut group);
    // SAFETY: The buffer is new, and the allocation is its own.
    unsafe { Vulkan::bind_buffer2(&allocator, info, whole.allocation()) }.unwrap();

    let part = allocator.device().create_buffer(&buffer_info(1000)).unwrap();
    let mut group = vk::BindBufferMemoryDeviceGroupInfo::default();
    let info = vk::BindBufferMemoryInfo::default().buffer(part).push_next(&mut group);
    // SAFETY: The buffer was just made.
    let align = unsafe { allocator.device().requirements(Resource::Buffer(part)) }.align;
    for (offset, is_end) in [(64 << 10, true), (4096 + align / 2, false)] {
        if align == 1 && !is_end {
            continue;
        }
        let info = info.memory_offset(offset);
        // SAFETY: The buffer is new; that it cannot lie there is what is asked.
        let refused = unsafe { Vulkan::bind_buffer2(&allocator, info, whole.allocation()) };
        let CreateError::Place(why) = refused.unwrap_err() else { panic!("the place is wrong") };
        assert_eq!(matches!(why, PlaceError::PastEnd { .. }), is_end, "{why:?}");
    }
    let info = info.memory_offset(4096);
    // SAFETY: The buffer is new; its bytes are the larger one's, whose allocation may have others.
    unsafe { Vulkan::bind_buffer2(&allocator, info, whole.allocation()) }.unwrap();

    let bytes = pattern(4, 1000);
    allocator.write(whole.allocation_mut(), 4096, &bytes).unwrap();
    let copy = allocator.create_buffer(&buffer_info(1000), &Wish::of(Access::HostReads)).unwrap();
    gpu.submit(|commands| commands.copy(part, copy.handle(), 1000));
    let mut found = vec![0; 1000];
    allocator.read(copy.allocation(), 0, &mut found).unwrap();
    assert!(found == bytes || !gpu.executes(), "the part lies at its offset");

    // SAFETY: The copy is done.
    unsafe { allocator.device().destroy(Resource::Buffer(part)) };
    for buffer in [copy, whole, before] {
        allocator.destroy_buffer(buffer).unwrap();
    }
    allocator.shutdown().unwrap();
}

#[test]
fn an_image_s_bind_takes_a_chain() {
    const WIDTH: u32 = 64;
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(gpu.vulkan());
    let image = allocator.create_unbound_image(&image_info(WIDTH), &Wish::default()).unwrap();
    let mut group = vk::BindImageMemoryDeviceGroupInfo::default();
    let info = vk::BindImageMemoryInfo::default().image(image.handle()).push_next(&mut group);
    let far = info.memory_offset(1 << 40);
    // SAFETY: The image is new; that it cannot lie there is what is asked.
    let refused = unsafe { Vulkan::bind_image2(&allocator, far, image.allocation()) };
    let is_said = matches!(refused, Err(CreateError::Place(PlaceError::PastEnd { .. })));
    assert!(is_said, "{refused:?}");
    // SAFETY: The image is new, and the allocation is its own.
    unsafe { Vulkan::bind_image2(&allocator, info, image.allocation()) }.unwrap();

    let size = u64::from(WIDTH * WIDTH * 4);
    let make = |access| allocator.create_buffer(&buffer_info(size), &Wish::of(access)).unwrap();
    let (mut source, target) = (make(Access::HostWrites), make(Access::HostReads));
    let bytes = pattern(5, size as usize);
    allocator.write(source.allocation_mut(), 0, &bytes).unwrap();
    gpu.submit(|commands| {
        commands.copy_through(source.handle(), image.handle(), target.handle(), WIDTH);
    });
    let mut found = vec![0; bytes.len()];
    allocator.read(target.allocation(), 0, &mut found).unwrap();
    assert!(found == bytes || !gpu.executes(), "an image gives back what it got");
    allocator.destroy_buffer(source).unwrap();
    allocator.destroy_buffer(target).unwrap();
    allocator.destroy_image(image).unwrap();
    allocator.shutdown().unwrap();
}

/// Binds a buffer without a chain on Vulkan 1.0.
fn bind_on_1_0(enable: fn(Features) -> Features) -> Option<(bool, Result<(), CreateError>)> {
    let options = Options { api_version: vk::API_VERSION_1_0, enable, ..Options::default() };
    let gpu = Gpu::open_with(&options)?;
    let allocator = allocator(gpu.vulkan());
    let buffer = allocator.create_unbound_buffer(&buffer_info(64), &Wish::default()).unwrap();
    let info = vk::BindBufferMemoryInfo::default().buffer(buffer.handle());
    // SAFETY: The buffer is new, and the allocation is its own.
    let bound = unsafe { Vulkan::bind_buffer2(&allocator, info, buffer.allocation()) };
    allocator.destroy_buffer(buffer).unwrap();
    allocator.shutdown().unwrap();
    Some((gpu.features.bind_memory2, bound))
}

#[test]
fn on_vulkan_1_0_a_bind_with_a_chain_wants_its_extension() {
    let Some((offered, bound)) = bind_on_1_0(|all| all) else { return };
    assert_eq!(bound.is_ok(), offered, "{bound:?}");
    let off = |all| Features { bind_memory2: false, ..all };
    let (_, bound) = bind_on_1_0(off).expect("there was a device before");
    let is_said = matches!(bound, Err(CreateError::Bind(DeviceError::Invalid { .. })));
    assert!(is_said, "{bound:?}");
}

#[test]
fn budgets_are_had_on_vulkan_1_0_with_the_instance_s_extension() {
    let Some(gpu) = Gpu::open() else { return };
    if gpu.vulkan().budgets().is_none() {
        gpu.left_out(Part::Budgets);
        return;
    }
    let options = Options {
        api_version: vk::API_VERSION_1_0,
        enable: |all| Features { memory_budget: true, ..all },
        instance_extensions: &[khr::get_physical_device_properties2::NAME],
    };
    let gpu = Gpu::open_with(&options).expect("there was a device before");
    assert_eq!(gpu.vulkan().budgets(), None, "nobody has named the functions");
    let functions = khr::get_physical_device_properties2::Instance::new(&gpu.entry, &gpu.instance);
    let vulkan = gpu.build(|builder| builder.properties2(&functions));
    let budgets = vulkan.budgets().expect("the extension gives an answer");
    assert_eq!(budgets.len(), vulkan.properties().heaps.len());
    assert!(budgets.iter().all(|budget| 0 < budget.budget), "a driver grants something");
}
