//! The allocator on a Vulkan device.

use crate::gpu::{Gpu, Options};
use crate::work::{buffer_info, image_info, pattern};
use ash::vk;
use core::ptr::NonNull;
use polder_device::snapshot::{BlockSnapshot, RegionSnapshot};
use polder_device::{
    Access, AllocError, Allocator, CreateError, Factory, Mapping, MemoryProperties, Placement,
    Request, Requirements, ShortageCause, Strategy, Tiling, Wish,
};
use polder_vulkan::{Features, Vulkan};

type Buffer = polder_device::Buffer<Vulkan>;
type Image = polder_device::Image<Vulkan>;

/// How many buffers or images the larger tests hold at once.
pub const LIVE: usize = 60;

fn allocator(gpu: &Gpu) -> Allocator<Vulkan> {
    Allocator::new(gpu.vulkan(), polder_device::Options::default())
}

fn buffer(allocator: &Allocator<Vulkan>, size: u64, access: Access) -> Buffer {
    let made = allocator.create_buffer(&buffer_info(size), &Wish::of(access));
    made.expect("a small buffer can be had")
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// Three buffers that a pattern passes through: from the host, on the device, to the host.
struct Passage {
    size: u64,
    upload: Buffer,
    device: Buffer,
    download: Buffer,
    bytes: Vec<u8>,
}

impl Passage {
    fn new(allocator: &Allocator<Vulkan>, seed: u32, size: u64) -> Self {
        let mut upload = buffer(allocator, size, Access::HostWrites);
        let bytes = pattern(seed, size as usize);
        allocator.write(upload.allocation_mut(), 0, &bytes).expect("host memory can be written");
        let device = buffer(allocator, size, Access::DeviceOnly);
        let download = buffer(allocator, size, Access::HostReads);
        Self { size, upload, device, download, bytes }
    }

    fn end(self, gpu: &Gpu, allocator: &Allocator<Vulkan>) {
        let mut found = vec![0; self.bytes.len()];
        allocator.read(self.download.allocation(), 0, &mut found).expect("it can be read");
        assert!(found == self.bytes || !gpu.executes(), "{} bytes arrive", self.size);
        for buffer in [self.upload, self.device, self.download] {
            allocator.destroy_buffer(buffer).expect("it is this allocator's");
        }
    }
}

/// Sends all passages in one submission, so that the layer sees any two that overlap.
fn send(gpu: &Gpu, passages: &[Passage]) {
    gpu.submit(|commands| {
        for one in passages {
            commands.copy(one.upload.handle(), one.device.handle(), one.size);
        }
        commands.barrier(vk::PipelineStageFlags::TRANSFER, vk::AccessFlags::TRANSFER_READ);
        for one in passages {
            commands.copy(one.device.handle(), one.download.handle(), one.size);
        }
    });
}

/// Holds many passages of random sizes and replaces half of them, several times.
pub fn churn(gpu: &Gpu, allocator: &Allocator<Vulkan>, seed: u64) {
    let mut random = Random(seed);
    let mut passages = Vec::new();
    for round in 0..4 {
        while passages.len() < LIVE {
            let size = 1 << random.below(17);
            let size = size + random.below(size);
            passages.push(Passage::new(allocator, passages.len() as u32 + round, size));
        }
        send(gpu, &passages);
        for _ in 0..LIVE / 2 {
            let index = random.below(passages.len() as u64) as usize;
            passages.swap_remove(index).end(gpu, allocator);
        }
    }
    passages.into_iter().for_each(|passage| passage.end(gpu, allocator));
}

#[test]
fn no_byte_is_lost_while_buffers_come_and_go() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    churn(&gpu, &allocator, 1);
    allocator.check();
    allocator.shutdown().expect("all was freed");
}

#[test]
fn no_byte_is_lost_with_vulkan_1_0() {
    let options = Options {
        api_version: vk::API_VERSION_1_0,
        enable: |all| Features { api_version: all.api_version, ..Features::default() },
        ..Options::default()
    };
    let Some(gpu) = Gpu::open_with(&options) else { return };
    let allocator = allocator(&gpu);
    churn(&gpu, &allocator, 2);
    allocator.shutdown().expect("all was freed");
}

#[test]
fn no_byte_is_lost_with_many_threads() {
    let Some(gpu) = Gpu::open() else { return };
    if !gpu.takes_threads() {
        println!("left out: this driver takes no threads");
        return;
    }
    let allocator = allocator(&gpu);
    std::thread::scope(|scope| {
        for seed in 10..14 {
            let (gpu, allocator) = (&gpu, &allocator);
            scope.spawn(move || churn(gpu, allocator, seed));
        }
    });
    allocator.check();
    allocator.shutdown().expect("all was freed");
}

#[test]
fn images_carry_data_among_buffers() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let mut random = Random(3);
    let mut images: Vec<(Image, u32, Buffer)> = Vec::new();
    for _ in 0..LIVE {
        let width = 1 << random.below(8);
        let image = allocator.create_image(&image_info(width), &Wish::default()).unwrap();
        let between = 1 + random.below(5000);
        images.push((image, width, buffer(&allocator, between, Access::DeviceOnly)));
    }
    for (index, (image, width, _)) in (0..).zip(&images) {
        let passage = Passage::new(&allocator, index, u64::from(width * width * 4));
        gpu.submit(|commands| {
            let (source, target) = (passage.upload.handle(), passage.download.handle());
            commands.copy_through(source, image.handle(), target, *width);
        });
        passage.end(&gpu, &allocator);
    }
    assert_granularity(&allocator);
    for (image, _, buffer) in images {
        allocator.destroy_image(image).unwrap();
        allocator.destroy_buffer(buffer).unwrap();
    }
    allocator.shutdown().expect("all was freed");
}

/// No linear and no optimal allocation share a page; the validation layer does not look.
fn assert_granularity(allocator: &Allocator<Vulkan>) {
    let granularity = allocator.properties().limits.granularity;
    let is_apart = |pair: &[(&RegionSnapshot, Tiling)]| {
        let [(first, one), (second, other)] = pair else { return true };
        let last = first.offset + first.allocation.as_ref().map_or(0, |used| used.size) - 1;
        one == other || last / granularity != second.offset / granularity
    };
    let snapshot = allocator.snapshot();
    for block in snapshot.memory_types.iter().flat_map(|kind| &kind.blocks) {
        let used: Vec<_> = used_regions(block).collect();
        assert!(used.windows(2).all(is_apart), "neighbours keep the granularity: {block:?}");
    }
}

fn used_regions(block: &BlockSnapshot) -> impl Iterator<Item = (&RegionSnapshot, Tiling)> {
    block.regions.iter().filter_map(|region| Some((region, region.allocation.as_ref()?.tiling)))
}

#[test]
fn blocks_for_one_resource_satisfy_the_driver() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let alone = Wish { placement: Placement::Dedicated, priority: 1.0, ..Wish::default() };
    for size in [1, 100, 5000, 3 << 20] {
        let info = buffer_info(size);
        let buffer = allocator.create_buffer(&info, &alone).unwrap();
        allocator.destroy_buffer(buffer).unwrap();
        let host = Wish { access: Access::HostRandom, mapping: Mapping::Persistent, ..alone };
        let mut buffer = allocator.create_buffer(&info, &host).unwrap();
        let bytes = pattern(7, size as usize);
        allocator.write(buffer.allocation_mut(), 0, &bytes).unwrap();
        let mut found = vec![0; bytes.len()];
        allocator.read(buffer.allocation(), 0, &mut found).unwrap();
        // Bytes that the host wrote come back even where no work is done.
        assert!(found == bytes, "{size} bytes stay");
        allocator.destroy_buffer(buffer).unwrap();
    }
    for width in [1, 300] {
        let image = allocator.create_image(&image_info(width), &alone).unwrap();
        allocator.destroy_image(image).unwrap();
    }
    allocator.shutdown().expect("all was freed");
}

#[test]
fn a_device_address_is_had_in_shared_blocks_and_alone() {
    let Some(gpu) = Gpu::open() else { return };
    if !gpu.features.device_address {
        println!("left out: no device addresses here");
        return;
    }
    let allocator = allocator(&gpu);
    let info = buffer_info(1000);
    let info = info.usage(info.usage | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS);
    for placement in [Placement::Auto, Placement::Dedicated] {
        let wish = Wish { placement, ..Wish::default() };
        let buffer = allocator.create_buffer(&info, &wish).unwrap();
        let named = vk::BufferDeviceAddressInfo::default().buffer(buffer.handle());
        // SAFETY: The buffer is live and bound, and the feature of Vulkan 1.2 is enabled.
        let address = unsafe { gpu.device.get_buffer_device_address(&named) };
        assert!(address != 0 || !gpu.executes(), "a buffer with an address has one");
        allocator.destroy_buffer(buffer).unwrap();
    }
    allocator.shutdown().expect("all was freed");
}

/// The properties that an access would like best, where any type for buffers has them.
fn assert_best(allocator: &Allocator<Vulkan>, access: Access, best: MemoryProperties) {
    let types = &allocator.properties().memory_types;
    let buffer = buffer(allocator, 1000, access);
    let found = types[buffer.allocation().memory_type() as usize].properties;
    let special = MemoryProperties::DEVICE_COHERENT
        | MemoryProperties::LAZILY_ALLOCATED
        | MemoryProperties::PROTECTED;
    let plain = types.iter().filter(|kind| !kind.properties.intersects(special));
    let can = plain.into_iter().any(|kind| kind.properties.contains(best));
    assert!(found.contains(best) || !can, "{access:?} gets {best:?}, not {found:?}");
    assert!(!found.intersects(special), "{access:?} gets nothing that nobody asked for");
    allocator.destroy_buffer(buffer).unwrap();
}

#[test]
fn each_access_gets_the_memory_that_suits_it() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let visible = MemoryProperties::HOST_VISIBLE;
    assert_best(&allocator, Access::DeviceOnly, MemoryProperties::DEVICE_LOCAL);
    assert_best(&allocator, Access::HostWrites, visible | MemoryProperties::HOST_COHERENT);
    assert_best(&allocator, Access::HostReads, visible | MemoryProperties::HOST_CACHED);
    assert_best(&allocator, Access::HostRandom, visible | MemoryProperties::HOST_CACHED);
    allocator.shutdown().expect("all was freed");
}

/// The host-visible memory that this device lets us use.
fn visible_types(gpu: &Gpu, allocator: &Allocator<Vulkan>) -> Vec<MemoryProperties> {
    let is_open = |one: &MemoryProperties| {
        let special = MemoryProperties::DEVICE_COHERENT | MemoryProperties::PROTECTED;
        one.contains(MemoryProperties::HOST_VISIBLE)
            && (!one.intersects(special) || gpu.features.device_coherent_memory)
    };
    let types = allocator.properties().memory_types.iter();
    types.map(|kind| kind.properties).filter(is_open).collect()
}

/// Neighbours whose sizes are no multiples of an atom: flushes must neither leave the block nor
/// touch another's bytes.
#[test]
fn small_neighbours_keep_their_bytes_in_every_host_visible_type() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    for properties in visible_types(&gpu, &allocator) {
        let wish = Wish { required: properties, ..Wish::of(Access::HostRandom) };
        let make = |size| allocator.create_buffer(&buffer_info(size), &wish).unwrap();
        let mut buffers: Vec<_> = (1..40).map(|index| make(index * 7)).collect();
        for (index, buffer) in (0..).zip(&mut buffers) {
            let bytes = pattern(index, buffer.allocation().size() as usize);
            allocator.write(buffer.allocation_mut(), 0, &bytes).unwrap();
        }
        for (index, buffer) in (0..).zip(&buffers) {
            let mut found = vec![0; buffer.allocation().size() as usize];
            allocator.read(buffer.allocation(), 0, &mut found).unwrap();
            assert!(found == pattern(index, found.len()) || gpu.is_mock(), "{properties:?}");
        }
        buffers.into_iter().for_each(|buffer| allocator.destroy_buffer(buffer).unwrap());
    }
    allocator.shutdown().expect("all was freed");
}

/// More ranges at once than go to the driver in one call, of every host-visible type.
#[test]
fn many_ranges_are_flushed_and_invalidated_at_once() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let mut buffers = Vec::new();
    for required in visible_types(&gpu, &allocator) {
        let mapping = Mapping::Persistent;
        let wish = Wish { required, mapping, ..Wish::of(Access::HostRandom) };
        for size in (1..20).map(|index| index * 7) {
            buffers.push(allocator.create_buffer(&buffer_info(size), &wish).unwrap());
        }
    }
    for (index, buffer) in (0..).zip(&buffers) {
        let bytes = pattern(index, buffer.allocation().size() as usize);
        let pointer = buffer.allocation().pointer().expect("it is mapped all its life").get();
        // SAFETY: The allocation has as many bytes, and nobody else uses them.
        unsafe { pointer.copy_from_nonoverlapping(NonNull::from(&bytes[..]).cast(), bytes.len()) };
    }
    let ranges = |buffer: &Buffer| 0..buffer.allocation().size();
    let all: Vec<_> = buffers.iter().map(|one| (one.allocation(), ranges(one))).collect();
    allocator.flush_all(&all).unwrap();
    allocator.invalidate_all(&all).unwrap();
    for (index, buffer) in (0..).zip(&buffers) {
        let mut found = vec![0; buffer.allocation().size() as usize];
        allocator.read(buffer.allocation(), 0, &mut found).unwrap();
        assert!(found == pattern(index, found.len()) || gpu.is_mock());
    }
    buffers.into_iter().for_each(|buffer| allocator.destroy_buffer(buffer).unwrap());
    allocator.shutdown().expect("all was freed");
}

#[test]
fn lazy_memory_goes_to_those_who_ask_for_it() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let lazy = MemoryProperties::LAZILY_ALLOCATED;
    let types = allocator.properties().memory_types.clone();
    if !types.iter().any(|kind| kind.properties.contains(lazy)) {
        println!("left out: no lazily allocated memory here");
        return;
    }
    let wish = Wish { required: lazy, ..Wish::default() };
    let requirements = Requirements { size: 1 << 16, ..Requirements::ANY };
    let allocation = allocator.allocate(&Request::new(requirements, wish)).unwrap();
    assert!(types[allocation.memory_type() as usize].properties.contains(lazy));
    allocator.free(allocation).unwrap();

    let usage = vk::ImageUsageFlags::COLOR_ATTACHMENT | vk::ImageUsageFlags::TRANSIENT_ATTACHMENT;
    match allocator.create_image(&image_info(64).usage(usage), &wish) {
        Ok(image) => allocator.destroy_image(image).unwrap(),
        // The mock has such memory, and no image that may lie in it.
        Err(CreateError::Allocate(AllocError::NoMemoryType { .. })) => assert!(gpu.is_mock()),
        Err(error) => panic!("{error}"),
    }
    allocator.shutdown().expect("all was freed");
}

#[test]
fn a_buffer_that_no_heap_holds_is_refused_and_undone() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let largest = allocator.properties().heaps.iter().map(|heap| heap.size).max().unwrap_or(0);
    let refused = allocator.create_buffer(&buffer_info(largest + 1), &Wish::default());
    // Some drivers have an even lower limit for the buffer itself.
    let is_expected = matches!(
        refused,
        Err(CreateError::Allocate(AllocError::TooLarge { .. }) | CreateError::Create(_))
    );
    assert!(is_expected, "{refused:?}");
    allocator.shutdown().expect("all was freed");
}

#[test]
fn when_the_device_is_full_the_error_says_so_and_all_comes_back() {
    const SIZE: u64 = 200 << 20;
    let Some(gpu) = Gpu::open() else { return };
    if !gpu.has_real_heaps() {
        println!("left out: no heap here that a test may fill");
        return;
    }
    let allocator = allocator(&gpu);
    let mut buffers = Vec::new();
    let refused = loop {
        match allocator.create_buffer(&buffer_info(SIZE), &Wish::default()) {
            Ok(buffer) => buffers.push(buffer),
            Err(error) => break error,
        }
        assert!(buffers.len() < 1000, "a device ends");
    };
    let CreateError::Allocate(AllocError::OutOfMemory(shortage)) = refused else {
        panic!("the shortage is named, not {refused:?}");
    };
    assert_eq!((shortage.size, shortage.cause), (SIZE, ShortageCause::Driver));
    let small = buffer(&allocator, 100, Access::HostWrites);
    allocator.destroy_buffer(small).unwrap();
    buffers.into_iter().for_each(|buffer| allocator.destroy_buffer(buffer).unwrap());
    allocator.trim();
    assert_eq!(allocator.held(), 0);
    allocator.shutdown().expect("all was freed");
}
