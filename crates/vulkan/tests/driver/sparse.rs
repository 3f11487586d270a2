//! Sparse buffers and images on drivers that bind them; said to be left out on others.

use crate::gpu::{Gpu, Part};
use crate::work::{Recorder, buffer_info, image_info, pattern};
use ash::vk;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use polder_device::strategy::{Buddy, Coherence, Dedicated, Setup, Tlsf};
use polder_device::{
    Access, AllocError, Allocation, AllocationId, Allocator, Buffer, DeviceError, Factory,
    FreeError, HostPointer, MapError, Misuse, Options, Request, Strategy, Wish,
};
use polder_vulkan::sparse::{
    HasBinds, PageCounts, Region, RegionError, SparseBuffer, SparseError, SparseImage,
    SparseOptions, Submission, submit,
};
use polder_vulkan::{Features, Vulkan};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longer than any bind takes, in nanoseconds.
const WAIT_MAX_NS: u64 = 20_000_000_000;
const COLOR: vk::ImageAspectFlags = vk::ImageAspectFlags::COLOR;
const SOURCE: vk::ImageLayout = vk::ImageLayout::TRANSFER_SRC_OPTIMAL;
const TARGET: vk::ImageLayout = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
const WIDTH: u32 = 1000;

/// An allocation for each page, however small.
fn each_alone<'a>() -> SparseOptions<'a> {
    SparseOptions { allocation_size_max: 0, ..SparseOptions::default() }
}

/// A device that binds, on which a feature is enabled; `None`, once that was said, where there is
/// none.
fn open(feature: fn(&vk::PhysicalDeviceFeatures) -> vk::Bool32, part: Part) -> Option<Gpu> {
    let gpu = open_for_answers(feature, part)?;
    if !gpu.executes() {
        println!("left out: the driver says what it could bind, and binds nothing");
        return None;
    }
    Some(gpu)
}

/// As [`open`], for what is only asked of the device.
fn open_for_answers(
    feature: fn(&vk::PhysicalDeviceFeatures) -> vk::Bool32,
    part: Part,
) -> Option<Gpu> {
    let gpu = Gpu::open()?;
    if gpu.is_mock() {
        println!("left out: the mock's sparse resources have pages of a byte and no aspects");
        return None;
    }
    if feature(&gpu.sparse) == vk::FALSE {
        gpu.left_out(part);
        return None;
    }
    Some(gpu)
}

fn open_for_buffers() -> Option<Gpu> {
    open(|sparse| sparse.sparse_residency_buffer, Part::SparseBuffers)
}

fn open_for_images() -> Option<Gpu> {
    open(|sparse| sparse.sparse_residency_image2_d, Part::SparseImages)
}

fn allocator(gpu: &Gpu) -> Allocator<Vulkan> {
    Allocator::new(gpu.vulkan(), Options::default())
}

fn sparse_buffer_info<'a>(size: u64) -> vk::BufferCreateInfo<'a> {
    let flags = vk::BufferCreateFlags::SPARSE_BINDING | vk::BufferCreateFlags::SPARSE_RESIDENCY;
    buffer_info(size).flags(flags)
}

/// Two layers with all levels.
fn sparse_image_info<'a>() -> vk::ImageCreateInfo<'a> {
    let flags = vk::ImageCreateFlags::SPARSE_BINDING | vk::ImageCreateFlags::SPARSE_RESIDENCY;
    image_info(WIDTH).flags(flags).mip_levels(WIDTH.ilog2() + 1).array_layers(2)
}

/// Submits what is pending and waits until it is done.
fn bind(gpu: &Gpu, vulkan: &Vulkan, frame: u64, resources: &mut [&mut dyn HasBinds]) {
    bind_in_order(gpu, vulkan, &[], frame, resources, &[]);
}

fn bind_in_order(
    gpu: &Gpu,
    vulkan: &Vulkan,
    waits: &[vk::Semaphore],
    frame: u64,
    resources: &mut [&mut dyn HasBinds],
    signals: &[vk::Semaphore],
) {
    let queue = gpu.queue.lock().expect("no test panics while it submits");
    // SAFETY: The device is live.
    let fence = unsafe { gpu.device.create_fence(&vk::FenceCreateInfo::default(), None) };
    let fence = fence.expect("a fence can be made");
    let info = vk::BindSparseInfo::default().wait_semaphores(waits).signal_semaphores(signals);
    let submission = Submission { queue: queue.sparse, info, fence, frame };
    // SAFETY: We hold the queue's lock, its family binds (`open` saw to it), the fence is new, and
    // the tests wait for all that they submit.
    unsafe { submit(vulkan, resources, &submission) }.expect("binds can be submitted");
    // SAFETY: The fence is this device's.
    let waited = unsafe { gpu.device.wait_for_fences(&[fence], true, WAIT_MAX_NS) };
    waited.expect("a bind ends in time");
    // SAFETY: The work that would signal it has ended.
    unsafe { gpu.device.destroy_fence(fence, None) };
}

fn host_buffer(allocator: &Allocator<Vulkan>, size: u64, access: Access) -> Buffer<Vulkan> {
    allocator.create_buffer(&buffer_info(size), &Wish::of(access)).expect("it is small")
}

/// Writes a pattern to a part of a buffer, by the device.
fn fill(
    gpu: &Gpu,
    allocator: &Allocator<Vulkan>,
    target: vk::Buffer,
    part: &Range<u64>,
    seed: u32,
) {
    let len = part.end - part.start;
    let mut upload = host_buffer(allocator, len, Access::HostWrites);
    let bytes = pattern(seed, len as usize);
    allocator.write(upload.allocation_mut(), 0, &bytes).expect("host memory can be written");
    gpu.submit(|commands| {
        let copy = vk::BufferCopy::default().dst_offset(part.start).size(len);
        commands.copy_part(upload.handle(), target, copy);
    });
    allocator.destroy_buffer(upload).expect("it is ours");
}

/// Reads a part of a buffer, by the device.
fn read(
    gpu: &Gpu,
    allocator: &Allocator<Vulkan>,
    source: vk::Buffer,
    part: &Range<u64>,
) -> Vec<u8> {
    let len = part.end - part.start;
    let download = host_buffer(allocator, len, Access::HostReads);
    gpu.submit(|commands| {
        let copy = vk::BufferCopy::default().src_offset(part.start).size(len);
        commands.copy_part(source, download.handle(), copy);
    });
    let mut found = vec![0; len as usize];
    allocator.read(download.allocation(), 0, &mut found).expect("it can be read");
    allocator.destroy_buffer(download).expect("it is ours");
    found
}

fn expect(
    gpu: &Gpu,
    allocator: &Allocator<Vulkan>,
    source: vk::Buffer,
    part: &Range<u64>,
    seed: u32,
) {
    let found = read(gpu, allocator, source, part);
    assert!(found == pattern(seed, found.len()), "{part:?} has pattern {seed}");
}

#[test]
fn a_buffer_has_memory_where_it_is_committed() {
    let Some(gpu) = open_for_buffers() else { return };
    let allocator = allocator(&gpu);
    let size = (64 << 20) + 1000;
    let info = sparse_buffer_info(size);
    let mut buffer = SparseBuffer::new(&allocator, &info, &each_alone()).unwrap();
    let page = buffer.page_size();
    assert!(buffer.page_count() >= size.div_ceil(page));
    assert_eq!((allocator.used(), buffer.committed()), (0, vec![]), "it begins without memory");

    let (front, middle, back) = (0..3 * page, 10 * page + 8..11 * page + 12, size - 100..size);
    for range in [&front, &middle, &back] {
        buffer.commit(range.clone()).unwrap();
        assert_eq!(buffer.is_committed(range.clone()), Ok(true));
    }
    let committed = [0..3 * page, 10 * page..12 * page, size / page * page..size];
    assert_eq!(buffer.committed(), committed);
    assert_eq!(allocator.used(), 6 * page);
    bind(&gpu, allocator.device(), 1, &mut [&mut buffer]);
    assert!(!buffer.is_pending());
    for (range, seed) in [(&front, 1), (&middle, 2), (&back, 3)] {
        fill(&gpu, &allocator, buffer.handle(), range, seed);
    }
    expect(&gpu, &allocator, buffer.handle(), &front, 1);

    // The middle goes, but the rest stays; elsewhere new pages come.
    buffer.decommit(10 * page..12 * page).unwrap();
    buffer.commit(20 * page..24 * page).unwrap();
    bind(&gpu, allocator.device(), 2, &mut [&mut buffer]);
    fill(&gpu, &allocator, buffer.handle(), &(20 * page..24 * page), 4);
    expect(&gpu, &allocator, buffer.handle(), &front, 1);
    expect(&gpu, &allocator, buffer.handle(), &(20 * page..24 * page), 4);
    expect(&gpu, &allocator, buffer.handle(), &back, 3);
    assert_eq!(buffer.is_committed(middle), Ok(false));
    if gpu.properties().sparse_properties.residency_non_resident_strict != 0 {
        let found = read(&gpu, &allocator, buffer.handle(), &(10 * page..12 * page));
        assert!(found.iter().all(|&byte| byte == 0), "what has no memory reads as zero");
    }

    assert_eq!(allocator.used(), 10 * page, "the device may still use what was taken back");
    buffer.complete(1);
    assert_eq!(allocator.used(), 10 * page, "it was taken back in frame 2");
    buffer.complete(2);
    assert_eq!(allocator.used(), 8 * page);
    buffer.check();
    drop(buffer);
    allocator.shutdown().expect("all pages went back");
}

#[test]
fn memory_moves_from_one_buffer_to_another() {
    let Some(gpu) = open_for_buffers() else { return };
    // Blocks of one page each come back to the driver when they are free, so that one that was
    // freed too early would be gone while the device still has it.
    let vulkan = Arc::new(gpu.vulkan());
    let staging = allocator(&gpu);
    let info = sparse_buffer_info(4 << 20);
    for memory_type in 0..vulkan_types(&gpu) {
        let setup = Setup { memory_type, ..Setup::default() };
        let dedicated = Dedicated::new(vulkan.clone(), setup);
        let options = each_alone();
        let [mut one, mut other] =
            [(); 2].map(|()| SparseBuffer::new(&dedicated, &info, &options).unwrap());
        let page = one.page_size();
        if one.commit(0..4 * page).is_err() {
            continue; // Not a type for buffers.
        }
        bind(&gpu, &vulkan, 1, &mut [&mut one, &mut other]);
        fill(&gpu, &staging, one.handle(), &(0..4 * page), 1);
        one.decommit(page..3 * page).unwrap();
        other.commit(0..2 * page).unwrap();
        // Two submissions that follow each other by a semaphore, of two resources at once.
        // SAFETY: The device is live.
        let semaphore = unsafe { gpu.device.create_semaphore(&Default::default(), None) };
        let semaphore = semaphore.expect("a semaphore can be made");
        let signals = [semaphore];
        bind_in_order(&gpu, &vulkan, &[], 2, &mut [&mut one, &mut other], &signals);
        one.commit(2 * page..5 * page).unwrap();
        bind_in_order(&gpu, &vulkan, &signals, 3, &mut [&mut one], &[]);
        // SAFETY: What signals it and what waits for it have ended.
        unsafe { gpu.device.destroy_semaphore(semaphore, None) };
        assert_eq!(dedicated.live().len(), 4 + 2 + 2, "two pages wait for frame 2");
        one.complete(3);
        other.complete(3);
        assert_eq!(dedicated.live().len(), 4 + 2);

        fill(&gpu, &staging, one.handle(), &(2 * page..3 * page), 2);
        fill(&gpu, &staging, one.handle(), &(4 * page..5 * page), 3);
        fill(&gpu, &staging, other.handle(), &(0..2 * page), 4);
        let kept = read(&gpu, &staging, one.handle(), &(3 * page..4 * page));
        let all = pattern(1, 4 * page as usize);
        assert!(kept == all[3 * page as usize..], "a page that stayed");
        expect(&gpu, &staging, one.handle(), &(2 * page..3 * page), 2);
        expect(&gpu, &staging, one.handle(), &(4 * page..5 * page), 3);
        expect(&gpu, &staging, other.handle(), &(0..2 * page), 4);
        drop((one, other));
        assert_eq!(dedicated.used(), 0);
    }
    staging.shutdown().expect("nothing is left");
}

fn vulkan_types(gpu: &Gpu) -> u32 {
    gpu.memory_properties().memory_type_count
}

/// Grows a buffer step by step, over any strategy.
fn grow(gpu: &Gpu, strategy: &impl Strategy<Vulkan>) -> bool {
    let staging = allocator(gpu);
    let info = sparse_buffer_info(16 << 20);
    let page = SparseBuffer::new(strategy, &info, &SparseOptions::default()).unwrap().page_size();
    let options = SparseOptions { allocation_size_max: 16 * page, ..SparseOptions::default() };
    let mut buffer = SparseBuffer::new(strategy, &info, &options).unwrap();
    let steps = [1, 20, 33, 64];
    let mut size = 0;
    for (pages, frame) in steps.into_iter().zip(1..) {
        if buffer.commit(0..pages * page).is_err() {
            assert_eq!((pages, buffer.counts()), (1, PageCounts::default()));
            staging.shutdown().expect("nothing is left");
            return false;
        }
        bind(gpu, strategy.device(), frame, &mut [&mut buffer]);
        fill(gpu, &staging, buffer.handle(), &(size..pages * page), frame as u32);
        size = pages * page;
    }
    // 1, then 16 + 3, then 13, then 16 + 15.
    assert_eq!(strategy.live().len(), 6);
    let mut begin = 0;
    for (pages, frame) in steps.into_iter().zip(1..) {
        expect(gpu, &staging, buffer.handle(), &(begin..pages * page), frame as u32);
        begin = pages * page;
    }

    buffer.decommit(25 * page..64 * page).unwrap();
    bind(gpu, strategy.device(), 5, &mut [&mut buffer]);
    buffer.complete(5);
    let counts = PageCounts { committed: 25, spare: 8, ..PageCounts::default() };
    assert_eq!((buffer.counts(), strategy.used()), (counts, 33 * page));
    expect(gpu, &staging, buffer.handle(), &(page..20 * page), 2);
    buffer.check();
    drop(buffer);
    assert_eq!(strategy.used(), 0);
    staging.shutdown().expect("nothing is left");
    true
}

#[test]
fn a_buffer_grows_over_any_strategy() {
    let Some(gpu) = open_for_buffers() else { return };
    assert!(grow(&gpu, &allocator(&gpu)), "the allocator finds a memory type");
    let vulkan = Arc::new(gpu.vulkan());
    let mut grown = 0;
    for memory_type in 0..vulkan_types(&gpu) {
        let tlsf = Tlsf::new(vulkan.clone(), Setup { memory_type, ..Setup::default() });
        let buddy = Buddy::new(vulkan.clone(), Setup { memory_type, ..Setup::default() });
        grown += u32::from(grow(&gpu, &tlsf)) + u32::from(grow(&gpu, &buddy));
    }
    assert!(grown > 0, "some type is for buffers");
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// A buffer and the pattern of each of its pages.
struct Watched<'a> {
    buffer: SparseBuffer<&'a Allocator<Vulkan>>,
    seeds: BTreeMap<u64, u32>,
}

impl Watched<'_> {
    fn page(&self, page: u64) -> Range<u64> {
        page * self.buffer.page_size()..(page + 1) * self.buffer.page_size()
    }

    /// Commits or takes back some pages.
    fn step(&mut self, random: &mut Random) {
        let count = self.buffer.page_count();
        let start = random.below(count);
        let end = start + random.below((count - start).min(9) + 1);
        let range = start * self.buffer.page_size()..end * self.buffer.page_size();
        if random.below(2) == 0 {
            self.buffer.commit(range).expect("there is room");
        } else {
            self.buffer.decommit(range).expect("the range is in the buffer");
            self.seeds.retain(|page, _| !(start..end).contains(page));
        }
    }

    /// Writes to the pages that are new.
    fn fill_new(&mut self, gpu: &Gpu, allocator: &Allocator<Vulkan>, seed: &mut u32) {
        for page in 0..self.buffer.page_count() {
            let range = self.page(page);
            let is_there = self.buffer.is_committed(range.clone()).expect("it is in the buffer");
            if is_there && !self.seeds.contains_key(&page) {
                *seed += 1;
                fill(gpu, allocator, self.buffer.handle(), &range, *seed);
                self.seeds.insert(page, *seed);
            }
        }
    }

    fn expect_all(&self, gpu: &Gpu, allocator: &Allocator<Vulkan>) {
        for (&page, &seed) in &self.seeds {
            expect(gpu, allocator, self.buffer.handle(), &self.page(page), seed);
        }
    }
}

#[test]
fn no_byte_is_lost_while_pages_come_and_go() {
    let Some(gpu) = open_for_buffers() else { return };
    let [allocator, staging] = [(); 2].map(|()| allocator(&gpu));
    let info = sparse_buffer_info(1 << 20);
    let page = SparseBuffer::new(&allocator, &info, &each_alone()).unwrap().page_size();
    let info = sparse_buffer_info(40 * page);
    for allocation_pages in [1, 5] {
        let allocation_size_max = allocation_pages * page;
        let options = SparseOptions { allocation_size_max, ..SparseOptions::default() };
        let mut all = [(); 2].map(|()| Watched {
            buffer: SparseBuffer::new(&allocator, &info, &options).unwrap(),
            seeds: BTreeMap::new(),
        });
        let (mut random, mut seed) = (Random(allocation_pages), 0);
        for frame in 1..=20 {
            for _ in 0..3 {
                all.iter_mut().for_each(|one| one.step(&mut random));
            }
            let [one, other] = &mut all;
            bind(&gpu, allocator.device(), frame, &mut [&mut one.buffer, &mut other.buffer]);
            for one in &mut all {
                one.fill_new(&gpu, &staging, &mut seed);
                // The device is a frame behind.
                one.buffer.complete(frame - 1);
                one.buffer.check();
            }
            all.iter().for_each(|one| one.expect_all(&gpu, &staging));
        }
        drop(all);
        assert_eq!(allocator.used(), 0);
    }
    allocator.shutdown().expect("nothing is left");
    staging.shutdown().expect("nothing is left");
}

#[test]
fn a_buffer_keeps_its_address_while_it_grows() {
    let Some(gpu) = open_for_buffers() else { return };
    if !gpu.features.device_address {
        println!("left out: no device addresses here");
        return;
    }
    let allocator = allocator(&gpu);
    let mut info = sparse_buffer_info(1 << 20);
    let options = SparseOptions::default();
    let plain = SparseBuffer::new(&allocator, &info, &options).unwrap();
    assert_eq!(plain.address(), None);
    info.usage |= vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS;
    let mut buffer = SparseBuffer::new(&allocator, &info, &options).unwrap();
    let address = buffer.address();
    assert!(address.is_some());
    buffer.commit_all().unwrap();
    bind(&gpu, allocator.device(), 1, &mut [&mut buffer]);
    assert_eq!(buffer.address(), address);
    drop((plain, buffer));
    allocator.shutdown().expect("nothing is left");
}

/// Brings all of an image from one layout to another.
fn change(
    gpu: &Gpu,
    commands: &Recorder<'_>,
    image: vk::Image,
    [before, after]: [vk::ImageLayout; 2],
) {
    let all = vk::ImageSubresourceRange::default()
        .aspect_mask(COLOR)
        .level_count(vk::REMAINING_MIP_LEVELS)
        .layer_count(vk::REMAINING_ARRAY_LAYERS);
    let both = vk::AccessFlags::TRANSFER_READ | vk::AccessFlags::TRANSFER_WRITE;
    let barriers = [vk::ImageMemoryBarrier::default()
        .image(image)
        .old_layout(before)
        .new_layout(after)
        .src_access_mask(both)
        .dst_access_mask(both)
        .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
        .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
        .subresource_range(all)];
    let transfer = vk::PipelineStageFlags::TRANSFER;
    let none = vk::DependencyFlags::empty();
    // SAFETY: It is being recorded, outside of any render pass; the image has the old layout.
    unsafe {
        let commands = commands.handle();
        gpu.device.cmd_pipeline_barrier(commands, transfer, transfer, none, &[], &[], &barriers);
    };
}

/// The bytes of a region, four for each texel.
fn len(region: &Region) -> u64 {
    4 * region.extent.iter().map(|&side| u64::from(side)).product::<u64>()
}

/// Copies between a buffer, where regions lie one after another, and their places in an image.
fn copies(parts: &[(Region, u32)]) -> Vec<vk::BufferImageCopy> {
    let mut begin = 0;
    let copy = |(region, _): &(Region, u32)| {
        let [x, y, z] = region.offset.map(|at| at as i32);
        let [width, height, depth] = region.extent;
        let place = vk::ImageSubresourceLayers::default()
            .aspect_mask(region.aspect)
            .mip_level(region.level)
            .base_array_layer(region.layer)
            .layer_count(1);
        let copy = vk::BufferImageCopy::default()
            .buffer_offset(begin)
            .image_subresource(place)
            .image_offset(vk::Offset3D { x, y, z })
            .image_extent(vk::Extent3D { width, height, depth });
        begin += len(region);
        copy
    };
    parts.iter().map(copy).collect()
}

/// Writes a pattern to each of some regions; the image is a source afterwards.
fn put(
    gpu: &Gpu,
    allocator: &Allocator<Vulkan>,
    image: vk::Image,
    before: vk::ImageLayout,
    parts: &[(Region, u32)],
) {
    let bytes: Vec<u8> =
        parts.iter().flat_map(|(region, seed)| pattern(*seed, len(region) as usize)).collect();
    let mut upload = host_buffer(allocator, bytes.len() as u64, Access::HostWrites);
    allocator.write(upload.allocation_mut(), 0, &bytes).expect("host memory can be written");
    gpu.submit(|commands| {
        change(gpu, commands, image, [before, TARGET]);
        let (commands_handle, copies) = (commands.handle(), copies(parts));
        // SAFETY: Both live until the submission is done, and the image has this layout.
        unsafe {
            let source = upload.handle();
            gpu.device.cmd_copy_buffer_to_image(commands_handle, source, image, TARGET, &copies);
        };
        change(gpu, commands, image, [TARGET, SOURCE]);
    });
    allocator.destroy_buffer(upload).expect("it is ours");
}

/// Looks whether each of some regions has its pattern.
fn expect_texels(
    gpu: &Gpu,
    allocator: &Allocator<Vulkan>,
    image: vk::Image,
    parts: &[(Region, u32)],
) {
    let total: u64 = parts.iter().map(|(region, _)| len(region)).sum();
    let download = host_buffer(allocator, total, Access::HostReads);
    gpu.submit(|commands| {
        let (commands_handle, copies) = (commands.handle(), copies(parts));
        // SAFETY: Both live until the submission is done, and the image is a source.
        unsafe {
            let target = download.handle();
            gpu.device.cmd_copy_image_to_buffer(commands_handle, image, SOURCE, target, &copies);
        };
    });
    let mut begin = 0;
    for (region, seed) in parts {
        let mut found = vec![0; len(region) as usize];
        allocator.read(download.allocation(), begin, &mut found).expect("it can be read");
        let is_as_written = found == pattern(*seed, found.len());
        assert!(is_as_written, "{region:?} has pattern {seed}");
        begin += len(region);
    }
    allocator.destroy_buffer(download).expect("it is ours");
}

/// The levels of a layer's tail, whole.
fn tail<S: Strategy<Vulkan>>(image: &SparseImage<S>, layer: u32) -> Vec<Region> {
    let first = image.tail_first_level(COLOR).expect("it can be resident in part");
    let whole = |level: u32| {
        let side = (WIDTH >> level).max(1);
        Region { aspect: COLOR, level, layer, offset: [0; 3], extent: [side, side, 1] }
    };
    (first..sparse_image_info().mip_levels).map(whole).collect()
}

#[test]
fn parts_of_an_image_come_and_go() {
    let Some(gpu) = open_for_images() else { return };
    let allocator = allocator(&gpu);
    let options = SparseOptions::default();
    let mut image = SparseImage::new(&allocator, &sparse_image_info(), &options).unwrap();
    let own = image.counts().committed;
    let counts = image.tile_counts(COLOR, 0).unwrap();
    assert!(counts[0] > 3 && counts[1] > 3, "{counts:?}: the image has some tiles");

    let tile = |image: &SparseImage<_>, level, layer, place| {
        image.tile(COLOR, level, layer, place).expect("there is such a tile")
    };
    let corner = [counts[0] - 1, counts[1] - 1, 0];
    let mut parts = vec![
        (tile(&image, 0, 0, [0, 0, 0]), 1),
        (tile(&image, 0, 0, [1, 0, 0]), 2),
        (tile(&image, 0, 0, [2, 1, 0]), 3),
        (tile(&image, 0, 1, corner), 4),
        (image.level(COLOR, 1, 1).unwrap(), 5),
    ];
    let regions: Vec<_> = parts.iter().map(|(region, _)| *region).collect();
    image.commit(&regions).unwrap();
    assert_eq!(image.committed(COLOR, 0, 0).unwrap(), [[0, 0, 0], [1, 0, 0], [2, 1, 0]]);
    assert_eq!(image.committed(COLOR, 0, 1).unwrap(), [corner]);
    let level: u32 = image.tile_counts(COLOR, 1).unwrap().iter().product();
    let tiles = u64::from(4 + level);
    assert_eq!(image.counts().committed, own + tiles);
    assert_eq!(allocator.used(), (own + tiles) * image.page_size());
    bind(&gpu, allocator.device(), 1, &mut [&mut image]);
    put(&gpu, &allocator, image.handle(), vk::ImageLayout::UNDEFINED, &parts);
    expect_texels(&gpu, &allocator, image.handle(), &parts);

    // One tile goes, another comes; a region that covers half of one takes nothing back.
    let [x, y, _] = parts[0].0.offset;
    let [width, height, _] = parts[0].0.extent;
    let half = Region { extent: [width / 2, height, 1], offset: [x, y, 0], ..parts[0].0 };
    image.decommit(&[half, parts.remove(1).0]).unwrap();
    parts.push((tile(&image, 0, 0, [3, 2, 0]), 6));
    image.commit(&[parts[4].0]).unwrap();
    bind(&gpu, allocator.device(), 2, &mut [&mut image]);
    assert_eq!(image.committed(COLOR, 0, 0).unwrap(), [[0, 0, 0], [2, 1, 0], [3, 2, 0]]);
    image.complete(2);
    assert_eq!(allocator.used(), (own + tiles) * image.page_size());
    put(&gpu, &allocator, image.handle(), SOURCE, &parts[4..]);
    expect_texels(&gpu, &allocator, image.handle(), &parts);
    image.check();
    drop(image);
    allocator.shutdown().expect("all tiles went back");
}

#[test]
fn the_mip_tail_is_committed_as_a_whole() {
    let Some(gpu) = open_for_images() else { return };
    let allocator = allocator(&gpu);
    let options = SparseOptions::default();
    let mut image = SparseImage::new(&allocator, &sparse_image_info(), &options).unwrap();
    let own = image.counts().committed;
    let first = image.tail_first_level(COLOR).unwrap();
    if first >= sparse_image_info().mip_levels {
        println!("left out: no mip tail here");
        return;
    }
    let in_tail = RegionError::InTail { level: first, first };
    assert_eq!(image.level(COLOR, first, 0), Err(in_tail));
    image.commit_tail(COLOR, 0).unwrap();
    let one = image.counts().committed - own;
    let has_each = image.is_tail_committed(COLOR, 1);
    if has_each == Ok(false) {
        image.commit_tail(COLOR, 1).unwrap();
        assert_eq!(image.counts().committed - own, 2 * one);
    } else {
        assert_eq!(has_each, Err(RegionError::Layer { layer: 1, count: 1 }));
    }
    bind(&gpu, allocator.device(), 1, &mut [&mut image]);
    let levels = [tail(&image, 0), tail(&image, 1)].concat();
    let parts: Vec<_> = levels.into_iter().zip(1..).collect();
    put(&gpu, &allocator, image.handle(), vk::ImageLayout::UNDEFINED, &parts);
    expect_texels(&gpu, &allocator, image.handle(), &parts);

    image.decommit_tail(COLOR, 0).unwrap();
    assert_eq!(image.is_tail_committed(COLOR, 0), Ok(false));
    bind(&gpu, allocator.device(), 2, &mut [&mut image]);
    image.commit_tail(COLOR, 0).unwrap();
    bind(&gpu, allocator.device(), 3, &mut [&mut image]);
    image.complete(3);
    let again: Vec<_> = tail(&image, 0).into_iter().zip(101..).collect();
    put(&gpu, &allocator, image.handle(), SOURCE, &again);
    expect_texels(&gpu, &allocator, image.handle(), &again);
    if has_each.is_ok() {
        expect_texels(&gpu, &allocator, image.handle(), &parts[again.len()..]);
    }
    drop(image);
    allocator.shutdown().expect("nothing is left");
}

#[test]
fn an_image_with_all_its_pages_is_like_any_other() {
    let Some(gpu) = open(|sparse| sparse.sparse_binding, Part::SparseBinding) else { return };
    let allocator = allocator(&gpu);
    let mut infos = vec![image_info(WIDTH).flags(vk::ImageCreateFlags::SPARSE_BINDING)];
    if gpu.sparse.sparse_residency_image2_d != 0 {
        infos.push(sparse_image_info());
    }
    for info in infos {
        let options = SparseOptions { allocation_size_max: 1 << 20, ..SparseOptions::default() };
        let mut image = SparseImage::new(&allocator, &info, &options).unwrap();
        let own = image.counts().committed;
        image.commit_all().unwrap();
        assert_eq!(image.counts().committed, image.page_count());
        bind(&gpu, allocator.device(), 1, &mut [&mut image]);
        let whole =
            Region { aspect: COLOR, level: 0, layer: 0, offset: [0; 3], extent: [WIDTH, WIDTH, 1] };
        put(&gpu, &allocator, image.handle(), vk::ImageLayout::UNDEFINED, &[(whole, 7)]);
        expect_texels(&gpu, &allocator, image.handle(), &[(whole, 7)]);
        image.decommit_all();
        assert_eq!(image.counts().committed, own, "the driver's own data stays");
        bind(&gpu, allocator.device(), 2, &mut [&mut image]);
        image.complete(2);
        assert_eq!(image.counts(), PageCounts { committed: own, ..PageCounts::default() });
        let is_whole = !info.flags.contains(vk::ImageCreateFlags::SPARSE_RESIDENCY);
        let refused = image.commit(&[whole]) == Err(RegionError::NotResident.into());
        assert_eq!(refused, is_whole, "without residency there are no tiles");
    }
    allocator.shutdown().expect("nothing is left");
}

#[test]
fn a_deep_image_has_deep_tiles() {
    let Some(gpu) = open(|sparse| sparse.sparse_residency_image3_d, Part::DeepSparseImages) else {
        return;
    };
    let allocator = allocator(&gpu);
    let extent = vk::Extent3D { width: 130, height: 100, depth: 90 };
    let flags = vk::ImageCreateFlags::SPARSE_BINDING | vk::ImageCreateFlags::SPARSE_RESIDENCY;
    let info = image_info(1).image_type(vk::ImageType::TYPE_3D).extent(extent).flags(flags);
    let options = SparseOptions::default();
    let mut image = SparseImage::new(&allocator, &info, &options).unwrap();
    let counts = image.tile_counts(COLOR, 0).unwrap();
    let places = [[0, 0, 0], counts.map(|count| count - 1), [1, counts[1] / 2, counts[2] / 2]];
    let parts: Vec<_> =
        places.into_iter().map(|at| image.tile(COLOR, 0, 0, at).unwrap()).zip(1..).collect();
    let regions: Vec<_> = parts.iter().map(|(region, _)| *region).collect();
    image.commit(&regions).unwrap();
    bind(&gpu, allocator.device(), 1, &mut [&mut image]);
    put(&gpu, &allocator, image.handle(), vk::ImageLayout::UNDEFINED, &parts);
    expect_texels(&gpu, &allocator, image.handle(), &parts);
    drop(image);
    allocator.shutdown().expect("nothing is left");
}

#[test]
fn what_the_driver_says_of_images_makes_pages() {
    let Some(gpu) = open_for_answers(|sparse| sparse.sparse_residency_image2_d, Part::SparseImages)
    else {
        return;
    };
    let allocator = allocator(&gpu);
    let formats = [vk::Format::R8_UNORM, vk::Format::R8G8B8A8_UNORM, vk::Format::R32G32_SFLOAT];
    for format in formats {
        let info = sparse_image_info().format(format);
        let mut image = SparseImage::new(&allocator, &info, &SparseOptions::default()).unwrap();
        let own = image.counts().committed;
        let (first, mut tiles) = (image.tail_first_level(COLOR).unwrap(), 0);
        for level in 0..first {
            let (size, counts) =
                (image.tile_size(COLOR, level).unwrap(), image.tile_counts(COLOR, level).unwrap());
            let side = (WIDTH >> level).max(1);
            assert_eq!(counts, [side.div_ceil(size[0]), side.div_ceil(size[1]), 1]);
            tiles += 2 * u64::from(counts[0] * counts[1]);
            let layers = [0, 1].map(|layer| image.level(COLOR, level, layer).unwrap());
            image.commit(&layers).unwrap();
        }
        assert_eq!(image.counts().committed, own + tiles);
        let tail = image.commit_tail(COLOR, 0);
        assert_eq!(tail.is_ok(), first < info.mip_levels, "a tail is for levels without tiles");
        let rest = image.page_count() - image.counts().committed;
        assert_eq!(image.is_tail_committed(COLOR, 1) == Ok(false), rest > 0);
        image.commit_all().unwrap();
        assert_eq!(image.counts().committed, image.page_count());
        assert_eq!(allocator.used(), image.page_count() * image.page_size());
        image.check();
    }
    allocator.shutdown().expect("nothing is left");
}

/// An allocator whose n-th allocation fails.
struct Failing<'a> {
    inner: &'a Allocator<Vulkan>,
    left: AtomicU64,
}

impl Failing<'_> {
    /// What the allocation fails with.
    const ERROR: AllocError = AllocError::Device(DeviceError::OutOfDeviceMemory);

    fn fail(&self, n: u64) {
        self.left.store(n, Ordering::Relaxed);
    }
}

// SAFETY: Every answer is the allocator's, but for the one that fails.
unsafe impl Strategy<Vulkan> for Failing<'_> {
    fn device(&self) -> &Vulkan {
        self.inner.device()
    }

    fn allocate(&self, request: &Request<'_, Vulkan>) -> Result<Allocation<Vulkan>, AllocError> {
        let count = |left: u64| left.checked_sub(1);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) {
            Ok(1) => Err(Self::ERROR),
            _ => self.inner.allocate(request),
        }
    }

    fn free(&self, allocation: Allocation<Vulkan>) -> Result<(), FreeError<Allocation<Vulkan>>> {
        self.inner.free(allocation)
    }

    fn undo(&self, allocation: Allocation<Vulkan>) -> Result<(), FreeError<Allocation<Vulkan>>> {
        self.inner.undo(allocation)
    }

    fn expect_live(&self, allocation: &Allocation<Vulkan>) -> Result<(), Misuse> {
        self.inner.expect_live(allocation)
    }

    fn used(&self) -> u64 {
        self.inner.used()
    }

    fn held(&self) -> u64 {
        self.inner.held()
    }

    fn live(&self) -> Vec<AllocationId> {
        self.inner.live()
    }

    fn map(&self, allocation: &Allocation<Vulkan>) -> Result<HostPointer, MapError> {
        self.inner.map(allocation)
    }

    fn unmap(&self, allocation: &Allocation<Vulkan>) -> Result<(), MapError> {
        self.inner.unmap(allocation)
    }

    fn make_coherent(
        &self,
        allocation: &Allocation<Vulkan>,
        range: Range<u64>,
        which: Coherence,
    ) -> Result<(), MapError> {
        self.inner.make_coherent(allocation, range, which)
    }
}

#[test]
fn a_commit_without_memory_commits_nothing() {
    let Some(gpu) = open_for_images() else { return };
    let allocator = allocator(&gpu);
    let failing = Failing { inner: &allocator, left: AtomicU64::new(0) };
    let options = each_alone();
    let mut image = SparseImage::new(&failing, &sparse_image_info(), &options).unwrap();
    let tiles = [[0, 0, 0], [1, 0, 0], [2, 0, 0]];
    let tiles = tiles.map(|at| image.tile(COLOR, 0, 0, at).unwrap());
    image.commit(&tiles[..1]).unwrap();
    let before = (image.counts(), allocator.snapshot().memory_types);
    for n in 1..=2 {
        failing.fail(n);
        assert_eq!(image.commit(&tiles), Err(SparseError::Allocate(Failing::ERROR)));
        assert_eq!((image.counts(), allocator.snapshot().memory_types), before, "allocation {n}");
        image.check();
    }
    image.commit(&tiles).unwrap();
    bind(&gpu, allocator.device(), 1, &mut [&mut image]);
    let parts: Vec<_> = tiles.into_iter().zip(1..).collect();
    put(&gpu, &allocator, image.handle(), vk::ImageLayout::UNDEFINED, &parts);
    expect_texels(&gpu, &allocator, image.handle(), &parts);
    drop(image);

    // What the driver wants of its own is there from the begin, or the image is not.
    failing.fail(1);
    match SparseImage::new(&failing, &sparse_image_info(), &options) {
        Ok(image) => assert_eq!(image.counts(), PageCounts::default()),
        Err(error) => assert_eq!(error, SparseError::Allocate(Failing::ERROR)),
    }
    allocator.shutdown().expect("nothing is left");
}

unsafe extern "system" fn refuse_binds(
    _: vk::Queue,
    _: u32,
    _: *const vk::BindSparseInfo<'_>,
    _: vk::Fence,
) -> vk::Result {
    vk::Result::ERROR_OUT_OF_DEVICE_MEMORY
}

unsafe extern "system" fn refuse_buffer(
    _: vk::Device,
    _: *const vk::BufferCreateInfo<'_>,
    _: *const vk::AllocationCallbacks<'_>,
    _: *mut vk::Buffer,
) -> vk::Result {
    vk::Result::ERROR_OUT_OF_HOST_MEMORY
}

unsafe extern "system" fn refuse_image(
    _: vk::Device,
    _: *const vk::ImageCreateInfo<'_>,
    _: *const vk::AllocationCallbacks<'_>,
    _: *mut vk::Image,
) -> vk::Result {
    vk::Result::ERROR_OUT_OF_HOST_MEMORY
}

#[test]
fn a_driver_that_refuses_leaves_all_as_it_was() {
    let Some(gpu) = open_for_images() else { return };
    let allocator = allocator(&gpu);
    let options = SparseOptions::default();
    let mut buffer = SparseBuffer::new(&allocator, &sparse_buffer_info(1 << 20), &options).unwrap();
    let mut image = SparseImage::new(&allocator, &sparse_image_info(), &options).unwrap();
    buffer.commit_all().unwrap();
    bind(&gpu, allocator.device(), 1, &mut [&mut buffer]);
    buffer.decommit(0..1 << 19).unwrap();
    image.commit(&[image.tile(COLOR, 0, 0, [0; 3]).unwrap()]).unwrap();
    let before = (buffer.counts(), image.counts(), allocator.snapshot().memory_types);
    let full = gpu.vulkan_with(|functions| functions.queue_bind_sparse = refuse_binds);
    let queue = gpu.queue.lock().unwrap().sparse;
    let (info, fence) = (vk::BindSparseInfo::default(), vk::Fence::null());
    let submission = Submission { queue, info, fence, frame: 2 };
    // SAFETY: The test has the device for itself, and has waited for its work.
    let refused = unsafe { submit(&full, &mut [&mut buffer, &mut image], &submission) };
    assert_eq!(refused, Err(SparseError::Submit(DeviceError::OutOfDeviceMemory)));
    buffer.complete(1);
    assert_eq!((buffer.counts(), image.counts(), allocator.snapshot().memory_types), before);
    bind(&gpu, allocator.device(), 2, &mut [&mut buffer, &mut image]);
    buffer.complete(2);
    assert!(!buffer.is_pending() && !image.is_pending());
    drop((buffer, image));
    allocator.shutdown().expect("nothing is left");

    let broken = gpu.vulkan_with(|functions| {
        functions.create_buffer = refuse_buffer;
        functions.create_image = refuse_image;
    });
    let allocator = Allocator::new(broken, Options::default());
    let error = SparseError::Create(DeviceError::OutOfHostMemory);
    let made = SparseBuffer::new(&allocator, &sparse_buffer_info(1 << 20), &options);
    assert_eq!(made.unwrap_err(), error);
    let made = SparseImage::new(&allocator, &sparse_image_info(), &options);
    assert_eq!(made.unwrap_err(), error);
    allocator.shutdown().expect("nothing is left");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let options = SparseOptions::default();
    let flag = "VK_BUFFER_CREATE_SPARSE_BINDING_BIT";
    let made = SparseBuffer::new(&allocator, &buffer_info(1 << 20), &options);
    assert_eq!(made.unwrap_err(), SparseError::FlagMissing { flag });
    let flag = "VK_IMAGE_CREATE_SPARSE_BINDING_BIT";
    let made = SparseImage::new(&allocator, &image_info(64), &options);
    assert_eq!(made.unwrap_err(), SparseError::FlagMissing { flag });
    let flags = vk::ImageCreateFlags::SPARSE_BINDING | vk::ImageCreateFlags::DISJOINT;
    let made = SparseImage::new(&allocator, &image_info(64).flags(flags), &options);
    let refused = made.unwrap_err();
    let is_said = matches!(refused, SparseError::Create(DeviceError::Invalid { .. }));
    assert!(is_said, "{refused:?}");
    let made = SparseBuffer::new(&allocator, &sparse_buffer_info(1 << 20), &options);
    if gpu.sparse.sparse_binding == 0 {
        gpu.left_out(Part::SparseBinding);
        assert_eq!(made.unwrap_err(), SparseError::FeatureMissing { feature: "sparseBinding" });
        allocator.shutdown().expect("nothing is left");
        return;
    }
    let mut buffer = made.unwrap();
    let wish = Wish { device_mask: 0b10, ..Wish::default() };
    let second = SparseOptions { wish, ..SparseOptions::default() };
    let refused = SparseError::DeviceMask { mask: 0b10 };
    let made = SparseBuffer::new(&allocator, &sparse_buffer_info(1 << 20), &second);
    assert_eq!(made.unwrap_err(), refused);
    let flags = vk::ImageCreateFlags::SPARSE_BINDING;
    let made = SparseImage::new(&allocator, &image_info(64).flags(flags), &second);
    assert_eq!(made.unwrap_err(), refused);
    let range = SparseError::Region(RegionError::Range { start: 5, end: 1 << 21, size: 1 << 20 });
    assert_eq!(buffer.commit(5..1 << 21), Err(range));
    let space = gpu.properties().limits.sparse_address_space_size;
    if let Some(size) = space.checked_add(1) {
        let made = SparseBuffer::new(&allocator, &sparse_buffer_info(size), &options);
        assert_eq!(made.unwrap_err(), SparseError::TooLarge { size, size_max: space });
    }

    buffer.complete(7);
    buffer.commit(0..1).unwrap();
    let queue = gpu.queue.lock().unwrap();
    let (info, fence) = (vk::BindSparseInfo::default(), vk::Fence::null());
    let submission = Submission { queue: queue.sparse, info, fence, frame: 7 };
    // SAFETY: We hold the queue's lock; nothing is taken back.
    let refused = unsafe { submit(allocator.device(), &mut [&mut buffer], &submission) };
    assert_eq!(refused, Err(SparseError::FrameCompleted { frame: 7 }));
    assert!(buffer.is_pending());
    drop((queue, buffer));

    if gpu.sparse.sparse_residency_image2_d != 0 {
        let one = image_info(64).image_type(vk::ImageType::TYPE_1D);
        let extent = vk::Extent3D { width: 64, height: 1, depth: 1 };
        let flags = vk::ImageCreateFlags::SPARSE_BINDING | vk::ImageCreateFlags::SPARSE_RESIDENCY;
        let made = SparseImage::new(&allocator, &one.extent(extent).flags(flags), &options);
        assert_eq!(made.unwrap_err(), SparseError::Format { format: one.format.as_raw() });
    }
    allocator.shutdown().expect("nothing is left");
}

#[test]
fn vulkan_1_0_binds_pages_too() {
    let options = crate::gpu::Options {
        api_version: vk::API_VERSION_1_0,
        enable: |all| Features { api_version: all.api_version, ..Features::default() },
        ..crate::gpu::Options::default()
    };
    let Some(gpu) = Gpu::open_with(&options) else { return };
    if gpu.sparse.sparse_residency_buffer == 0 || !gpu.executes() {
        gpu.left_out(Part::SparseBuffers);
        return;
    }
    assert!(grow(&gpu, &allocator(&gpu)));
}
