//! The traits of the heap, call by call.

use crate::gpu::{Gpu, Options};
use crate::work::{buffer_info, image_info, pattern};
use ash::vk;
use core::slice;
use polder_device::device::{DeviceKind, Group, MappedRange, Order};
use polder_device::{
    DedicatedWish, Device, DeviceError, MemoryProperties, Requirements, Resource, Resources, Tiling,
};
use polder_vulkan::{Extra, Features, Vulkan};

/// A resource with a block of its own; both end when it is dropped.
struct Bound<'a> {
    vulkan: &'a Vulkan,
    resource: Resource<vk::Buffer, vk::Image>,
    memory: vk::DeviceMemory,
    /// The size of the block.
    size: u64,
}

impl<'a> Bound<'a> {
    /// Gives a resource a block of the first allowed memory type with `properties`.
    fn new(
        vulkan: &'a Vulkan,
        resource: Resource<vk::Buffer, vk::Image>,
        properties: MemoryProperties,
        change: impl FnOnce(&mut Order<vk::Buffer, vk::Image, Extra>),
    ) -> Self {
        // SAFETY: The test just made the resource.
        let Requirements { size, memory_types, .. } = unsafe { vulkan.requirements(resource) };
        let memory_type = memory_type(vulkan, memory_types, properties)
            .expect("there is a memory type for every resource");
        let mut order = order(size, memory_type);
        change(&mut order);
        let memory = vulkan.allocate(&order).expect("a small block can be had");
        // SAFETY: Both are this device's and live; a block begins at any alignment and has the
        // size and a type of the requirements.
        unsafe { vulkan.bind(resource, memory, 0) }.expect("a fitting block can be bound");
        Self { vulkan, resource, memory, size }
    }

    fn buffer(vulkan: &'a Vulkan, size: u64) -> Self {
        let buffer = vulkan.create_buffer(&buffer_info(size)).expect("a buffer can be made");
        Self::new(vulkan, Resource::Buffer(buffer), MemoryProperties::HOST_VISIBLE, |_| {})
    }

    fn handle(&self) -> vk::Buffer {
        match self.resource {
            Resource::Buffer(buffer) => buffer,
            Resource::Image(_) => panic!("this is a buffer"),
        }
    }

    /// The whole of the block, in as many ranges as fit when each has one atom.
    fn ranges(&self) -> Vec<MappedRange<vk::DeviceMemory>> {
        let atom = self.vulkan.properties().limits.non_coherent_atom_size;
        let range = |start: u64| start..(start + atom).min(self.size);
        let starts = (0..self.size).step_by(atom as usize);
        starts.map(|start| MappedRange { memory: self.memory, range: range(start) }).collect()
    }

    fn write(&self, bytes: &[u8]) {
        // SAFETY: The block is live, host-visible and not mapped.
        let pointer = unsafe { self.vulkan.map(self.memory) }.expect("host memory can be mapped");
        // SAFETY: The mapping is at least as long as the buffer, which has this size.
        unsafe { pointer.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        // SAFETY: The block is mapped; the ranges are atoms, and the last ends with it.
        unsafe { self.vulkan.flush(&self.ranges()) }.expect("writes can be flushed");
        // SAFETY: It is mapped, and the pointer is used no more.
        unsafe { self.vulkan.unmap(self.memory) };
    }

    fn read(&self, len: usize) -> Vec<u8> {
        // SAFETY: As in `write`.
        let pointer = unsafe { self.vulkan.map(self.memory) }.expect("host memory can be mapped");
        // SAFETY: As in `write`; all host writes were flushed.
        unsafe { self.vulkan.invalidate(&self.ranges()) }.expect("reads can be invalidated");
        // SAFETY: The mapping is at least as long as the buffer, and the device is done.
        let bytes = unsafe { slice::from_raw_parts(pointer.as_ptr(), len) }.to_vec();
        // SAFETY: It is mapped, and the pointer is used no more.
        unsafe { self.vulkan.unmap(self.memory) };
        bytes
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        // SAFETY: It is this device's and live, and the tests wait for their submissions.
        unsafe { self.vulkan.destroy(self.resource) };
        // SAFETY: As above; its one resource is gone.
        unsafe { self.vulkan.free(self.memory) };
    }
}

fn order(size: u64, memory_type: u32) -> Order<vk::Buffer, vk::Image, Extra> {
    Order {
        size,
        memory_type,
        priority: 0.5,
        device_address: false,
        dedicated: None,
        device_mask: 0,
        extra: None,
    }
}

/// The first of the allowed types that has `properties`.
fn memory_type(vulkan: &Vulkan, allowed: u32, properties: MemoryProperties) -> Option<u32> {
    let fits = |&(index, kind): &(u32, &polder_device::device::MemoryType)| {
        allowed >> index & 1 == 1 && kind.properties.contains(properties)
    };
    (0..).zip(&vulkan.properties().memory_types).find(fits).map(|(index, _)| index)
}

/// Writes on the host, copies on the queue, reads on the host and compares.
fn round_trip(gpu: &Gpu, vulkan: &Vulkan, size: u64) {
    let (source, target) = (Bound::buffer(vulkan, size), Bound::buffer(vulkan, size));
    let bytes = pattern(size as u32, size as usize);
    source.write(&bytes);
    gpu.submit(|commands| commands.copy(source.handle(), target.handle(), size));
    let found = target.read(bytes.len());
    assert!(found == bytes || !gpu.executes(), "{size} bytes arrive as they were sent");
}

/// Without this, silence would prove nothing.
#[test]
fn the_layer_sees_two_writes_at_one_place() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let [one, other, target] = [(); 3].map(|()| Bound::buffer(&vulkan, 64));
    gpu.submit(|commands| {
        commands.copy(one.handle(), target.handle(), 64);
        commands.copy(other.handle(), target.handle(), 64);
    });
    let Some(messages) = gpu.take_messages() else { return };
    let hazard = messages.iter().any(|message| {
        message.contains("WRITE_AFTER_WRITE") || message.contains("WRITE-AFTER-WRITE")
    });
    assert!(hazard, "a hazard is reported, not only {messages:?}");
}

#[test]
fn properties_are_what_the_device_answers() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let (ours, device, memory) = (vulkan.properties(), gpu.properties(), gpu.memory_properties());

    assert_eq!(Ok(ours.name.as_str()), device.device_name_as_c_str().unwrap().to_str());
    assert_eq!(
        ours.kind == DeviceKind::Cpu,
        device.device_type == vk::PhysicalDeviceType::CPU,
        "a device says what it is"
    );
    assert!(
        ours.heaps
            .iter()
            .map(|heap| heap.size)
            .eq(memory.memory_heaps_as_slice().iter().map(|heap| heap.size))
    );
    assert_eq!(ours.memory_types.len(), memory.memory_types_as_slice().len());
    for (ours, theirs) in ours.memory_types.iter().zip(memory.memory_types_as_slice()) {
        assert_eq!(ours.properties.bits(), theirs.property_flags.as_raw());
        assert_eq!(ours.heap, theirs.heap_index);
    }
    assert_eq!(ours.limits.granularity, device.limits.buffer_image_granularity);
    assert_eq!(ours.limits.non_coherent_atom_size, device.limits.non_coherent_atom_size);
    assert_eq!(ours.limits.map_align_min, device.limits.min_memory_map_alignment as u64);
    assert_eq!(ours.limits.block_size_max, gpu.block_size_max());
    let count_max = u64::from(device.limits.max_memory_allocation_count);
    assert_eq!(ours.limits.block_count_max, count_max);
    assert_eq!(vulkan.ash().handle(), gpu.device.handle());
}

#[test]
fn what_the_host_writes_comes_back_over_the_queue() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    for size in [1, 100, 4096, 1 << 20] {
        round_trip(&gpu, &vulkan, size);
    }
}

#[test]
fn every_host_visible_type_carries_data() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let size = 10_000;
    let target = Bound::buffer(&vulkan, size);
    for (index, kind) in (0..).zip(&vulkan.properties().memory_types) {
        let buffer = vulkan.create_buffer(&buffer_info(size)).unwrap();
        // SAFETY: It was just made.
        let requirements = unsafe { vulkan.requirements(Resource::Buffer(buffer)) };
        let is_allowed = requirements.memory_types >> index & 1 == 1;
        if !is_allowed || !kind.properties.contains(MemoryProperties::HOST_VISIBLE) {
            // SAFETY: It is live and unused.
            unsafe { vulkan.destroy(Resource::Buffer(buffer)) };
            continue;
        }
        let source = Bound::new(&vulkan, Resource::Buffer(buffer), kind.properties, |order| {
            order.memory_type = index;
        });
        let bytes = pattern(index, size as usize);
        source.write(&bytes);
        gpu.submit(|commands| commands.copy(source.handle(), target.handle(), size));
        let found = target.read(bytes.len());
        assert!(found == bytes || !gpu.executes(), "type {index} carries data");
    }
}

#[test]
fn an_image_alone_in_its_block_carries_data() {
    const WIDTH: u32 = 64;
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let size = u64::from(WIDTH * WIDTH * 4);
    let (source, target) = (Bound::buffer(&vulkan, size), Bound::buffer(&vulkan, size));
    let handle = vulkan.create_image(&image_info(WIDTH)).unwrap();
    let image = Resource::Image(handle);
    let _image = Bound::new(&vulkan, image, MemoryProperties::empty(), |order| {
        order.dedicated = Some(image);
    });
    let bytes = pattern(1, size as usize);
    source.write(&bytes);
    gpu.submit(|commands| {
        commands.copy_through(source.handle(), handle, target.handle(), WIDTH);
    });
    let found = target.read(bytes.len());
    assert!(found == bytes || !gpu.executes(), "an image gives back what it got");
}

#[test]
fn a_buffer_alone_in_its_block_carries_data() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let size = 5000;
    let alone = Resource::Buffer(vulkan.create_buffer(&buffer_info(size)).unwrap());
    let source = Bound::new(&vulkan, alone, MemoryProperties::HOST_VISIBLE, |order| {
        order.dedicated = Some(alone);
    });
    let target = Bound::buffer(&vulkan, size);
    let bytes = pattern(2, size as usize);
    source.write(&bytes);
    gpu.submit(|commands| commands.copy(source.handle(), target.handle(), size));
    let found = target.read(bytes.len());
    assert!(found == bytes || !gpu.executes(), "a block alone is memory like any other");
}

#[test]
fn requirements_are_those_of_the_driver_with_its_wish() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let image = vulkan.create_image(&image_info(512)).unwrap();
    // SAFETY: It was just made.
    let ours = unsafe { vulkan.requirements(Resource::Image(image)) };

    let mut wish = vk::MemoryDedicatedRequirements::default();
    let mut theirs = vk::MemoryRequirements2::default().push_next(&mut wish);
    let info = vk::ImageMemoryRequirementsInfo2::default().image(image);
    // SAFETY: The image is live, and the device has Vulkan 1.1.
    unsafe { gpu.device.get_image_memory_requirements2(&info, &mut theirs) };
    let theirs = theirs.memory_requirements;

    assert_eq!((ours.size, ours.align), (theirs.size, theirs.alignment));
    assert_eq!(ours.memory_types & !theirs.memory_type_bits, 0);
    assert_ne!(ours.memory_types, 0);
    assert_eq!(ours.dedicated == DedicatedWish::Required, wish.requires_dedicated_allocation == 1);
    let wants = wish.requires_dedicated_allocation | wish.prefers_dedicated_allocation;
    assert_eq!(ours.dedicated != DedicatedWish::None, wants == 1);
    // SAFETY: It is live and unused.
    unsafe { vulkan.destroy(Resource::Image(image)) };
}

#[test]
fn types_behind_a_feature_are_not_offered_without_it() {
    let options = Options {
        enable: |all| Features { device_coherent_memory: false, ..all },
        ..Options::default()
    };
    let Some(gpu) = Gpu::open_with(&options) else { return };
    let vulkan = gpu.vulkan();
    let buffer = Resource::Buffer(vulkan.create_buffer(&buffer_info(100)).unwrap());
    // SAFETY: It was just made.
    let requirements = unsafe { vulkan.requirements(buffer) };
    let forbidden = MemoryProperties::DEVICE_COHERENT | MemoryProperties::PROTECTED;
    for (index, kind) in (0..).zip(&vulkan.properties().memory_types) {
        if kind.properties.intersects(forbidden) {
            assert_eq!(requirements.memory_types >> index & 1, 0, "type {index} is not offered");
            let refused = vulkan.allocate(&order(100, index));
            assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{refused:?}");
        }
    }
    // SAFETY: It is live and unused.
    unsafe { vulkan.destroy(buffer) };
}

#[test]
fn device_coherent_types_can_be_had_with_the_feature() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let found = memory_type(&vulkan, u32::MAX, MemoryProperties::DEVICE_COHERENT);
    let Some(index) = found.filter(|_| gpu.features.device_coherent_memory) else {
        println!("left out: no device coherent memory here");
        return;
    };
    let memory = vulkan.allocate(&order(4096, index)).expect("the feature opens the type");
    // SAFETY: It is live and unused.
    unsafe { vulkan.free(memory) };
}

#[test]
fn a_buffer_has_a_device_address_in_a_block_for_that() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let info = buffer_info(256);
    let info = info.usage(info.usage | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS);
    assert!(vulkan.needs_device_address(&info));
    assert!(!vulkan.needs_device_address(&buffer_info(256)));
    if !gpu.features.device_address {
        let refused = vulkan.create_buffer(&info);
        assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{refused:?}");
        return;
    }
    let buffer = Resource::Buffer(vulkan.create_buffer(&info).unwrap());
    let bound = Bound::new(&vulkan, buffer, MemoryProperties::empty(), |order| {
        order.device_address = true;
    });
    let info = vk::BufferDeviceAddressInfo::default().buffer(bound.handle());
    // SAFETY: The buffer is live and bound, and the feature of Vulkan 1.2 is enabled.
    let address = unsafe { gpu.device.get_buffer_device_address(&info) };
    assert!(address != 0 || !gpu.executes(), "a buffer with an address has one");
}

#[test]
fn an_order_for_addresses_without_the_feature_gives_plain_memory() {
    let options =
        Options { enable: |all| Features { device_address: false, ..all }, ..Options::default() };
    let Some(gpu) = Gpu::open_with(&options) else { return };
    let vulkan = gpu.vulkan();
    let memory = vulkan.allocate(&Order { device_address: true, ..order(4096, 0) }).unwrap();
    // SAFETY: It is live and unused.
    unsafe { vulkan.free(memory) };
}

#[test]
fn budgets_are_there_with_the_extension_and_only_then() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let Some(budgets) = vulkan.budgets() else {
        assert!(!gpu.features.memory_budget || gpu.is_mock(), "the extension gives an answer");
        println!("left out: no budgets here");
        return;
    };
    assert_eq!(budgets.len(), vulkan.properties().heaps.len());
    for (budget, heap) in budgets.iter().zip(&vulkan.properties().heaps) {
        assert!(budget.budget <= heap.size, "no budget passes its heap");
        assert!(0 < budget.budget, "a driver grants something");
    }
}

#[test]
fn a_mask_names_devices_of_the_group_and_comes_with_vulkan_1_1() {
    let Some(gpu) = Gpu::open() else { return };
    let masked = |device_mask| Order { device_mask, ..order(4096, 0) };
    // A device without a group is one of its own.
    let vulkan = gpu.group();
    assert_eq!(vulkan.properties().group, Group { devices: 1, heaps: 0 });
    assert_eq!(vulkan.budgets_on(0).is_some(), vulkan.budgets().is_some());
    for device_address in [false, true] {
        let memory = vulkan.allocate(&Order { device_address, ..masked(1) }).unwrap();
        // SAFETY: It is live and unused.
        unsafe { vulkan.free(memory) };
    }
    for mask in [0b10, u32::MAX] {
        let refused = vulkan.allocate(&masked(mask));
        assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{mask:b}: {refused:?}");
    }
    drop(vulkan);
    drop(gpu);
    let old = Options { api_version: vk::API_VERSION_1_0, ..Options::default() };
    let Some(gpu) = Gpu::open_with(&old) else { return };
    let refused = gpu.vulkan().allocate(&masked(1));
    assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{refused:?}");
}

#[test]
fn priorities_are_taken_from_zero_to_one() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    for priority in [0.0, 0.25, 1.0] {
        let memory = vulkan.allocate(&Order { priority, ..order(4096, 0) }).unwrap();
        // SAFETY: It is live and unused.
        unsafe { vulkan.free(memory) };
    }
    for priority in [-0.1, 1.5, f32::NAN] {
        let refused = vulkan.allocate(&Order { priority, ..order(4096, 0) });
        assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{priority}: {refused:?}");
    }
}

#[test]
fn orders_that_no_device_can_serve_are_refused_in_words() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let heaps = &vulkan.properties().heaps;
    let invalid = |refused| matches!(refused, Err(DeviceError::Invalid { .. }));
    let type_count = vulkan.properties().memory_types.len() as u32;

    assert!(invalid(vulkan.allocate(&order(0, 0))));
    assert!(invalid(vulkan.allocate(&order(100, type_count))));
    let heap = vulkan.properties().memory_types[0].heap as usize;
    let too_large = vulkan.allocate(&order(heaps[heap].size + 1, 0));
    assert_eq!(too_large, Err(DeviceError::OutOfDeviceMemory));
}

#[test]
fn a_full_heap_is_an_error_and_empties_again() {
    const BLOCK: u64 = 256 << 20;
    let Some(gpu) = Gpu::open() else { return };
    if !gpu.has_real_heaps() {
        println!("left out: no heap here that a test may fill");
        return;
    }
    let vulkan = gpu.vulkan();
    let fill = || {
        let mut blocks = Vec::new();
        let refused = loop {
            match vulkan.allocate(&order(BLOCK, 0)) {
                Ok(block) => blocks.push(block),
                Err(error) => break error,
            }
            assert!(blocks.len() < 1000, "a heap ends");
        };
        assert!(
            matches!(refused, DeviceError::OutOfDeviceMemory | DeviceError::OutOfHostMemory),
            "{refused:?}"
        );
        // SAFETY: They are live and unused.
        blocks.iter().for_each(|&block| unsafe { vulkan.free(block) });
        blocks.len()
    };
    let first = fill();
    assert!(0 < first, "an empty heap gives something");
    assert_eq!(fill(), first, "what was freed can be had again");
}

#[test]
fn images_say_how_they_lie() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let info = image_info(16);
    assert_eq!(vulkan.tiling(&info), Tiling::Optimal);
    assert_eq!(vulkan.tiling(&info.tiling(vk::ImageTiling::LINEAR)), Tiling::Linear);
}

#[test]
fn resources_that_one_block_cannot_back_are_refused() {
    let Some(gpu) = Gpu::open() else { return };
    let vulkan = gpu.vulkan();
    let sparse = buffer_info(100).flags(vk::BufferCreateFlags::SPARSE_BINDING);
    let refused = vulkan.create_buffer(&sparse);
    assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{refused:?}");
    for flags in [vk::ImageCreateFlags::SPARSE_BINDING, vk::ImageCreateFlags::DISJOINT] {
        let refused = vulkan.create_image(&image_info(16).flags(flags));
        assert!(matches!(refused, Err(DeviceError::Invalid { .. })), "{refused:?}");
    }
}

#[test]
fn vulkan_1_0_is_enough() {
    let options = Options { api_version: vk::API_VERSION_1_0, ..Options::default() };
    let Some(gpu) = Gpu::open_with(&options) else { return };
    let vulkan = gpu.vulkan();
    assert_eq!(vulkan.budgets(), None);
    assert_eq!(vulkan.properties().limits.block_size_max, 1 << 30);
    round_trip(&gpu, &vulkan, 3000);
}

#[test]
fn vulkan_1_0_without_any_extension_is_enough() {
    let options = Options {
        api_version: vk::API_VERSION_1_0,
        enable: |all| Features { api_version: all.api_version, ..Features::default() },
        ..Options::default()
    };
    let Some(gpu) = Gpu::open_with(&options) else { return };
    let vulkan = gpu.vulkan();
    let alone = Resource::Buffer(vulkan.create_buffer(&buffer_info(100)).unwrap());
    // SAFETY: It was just made.
    let requirements = unsafe { vulkan.requirements(alone) };
    assert_eq!(requirements.dedicated, DedicatedWish::None, "Vulkan 1.0 tells no wish");
    let bound = Bound::new(&vulkan, alone, MemoryProperties::HOST_VISIBLE, |order| {
        order.dedicated = Some(alone);
    });
    bound.write(&pattern(3, 100));
    round_trip(&gpu, &vulkan, 3000);
}
