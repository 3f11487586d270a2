//! The debug aids on the device: what somebody writes behind a buffer is seen, and who does nothing
//! wrong, device and driver included, is not blamed.

use crate::defragment::move_all;
use crate::gpu::Gpu;
use crate::heap::{LIVE, churn};
use crate::work::{buffer_info, image_info};
use polder_device::{
    Access, Aids, Allocator, Factory, Growth, Mapping, MemoryProperties, Options, Wish,
};
use polder_vulkan::Vulkan;

const MARGIN: u64 = 64;

fn allocator(gpu: &Gpu, always_dedicated: bool) -> Allocator<Vulkan> {
    let aids = Aids {
        margin: MARGIN,
        detect_corruption: true,
        fill: true,
        granularity_least: 4096,
        align_least: 512,
        always_dedicated,
    };
    let growth = Some(Growth { size_least: 1 << 20, size_most: 1 << 20 });
    Allocator::new(gpu.vulkan(), Options { aids, growth, ..Options::default() })
}

/// Opens the device, if it keeps what the host writes into its memory.
fn open() -> Option<Gpu> {
    let gpu = Gpu::open()?;
    if gpu.is_mock() {
        println!("left out: the mock keeps no bytes");
        return None;
    }
    Some(gpu)
}

/// Asserts that nothing was found, and that there was something to look at if there should be.
fn assert_whole(allocator: &Allocator<Vulkan>, margins: bool) {
    let seen = allocator.check_corruption(u32::MAX).expect("some memory is coherent");
    assert_eq!((&seen.found[..], seen.unread), (&[][..], 0));
    assert_eq!(seen.margins > 0, margins);
    assert_eq!(allocator.corruptions(), []);
    allocator.check();
}

#[test]
fn a_byte_behind_a_buffer_is_found() {
    let Some(gpu) = open() else { return };
    let allocator = allocator(&gpu, false);
    let wish = Wish {
        access: Access::HostRandom,
        required: MemoryProperties::HOST_COHERENT,
        mapping: Mapping::Persistent,
        name: Some("too short"),
        ..Wish::default()
    };
    let make = || allocator.create_buffer(&buffer_info(1000), &wish).unwrap();
    let buffers = [make(), make(), make()];
    assert_whole(&allocator, true);
    let allocation = buffers[1].allocation();
    let end = allocation.pointer().unwrap().get().as_ptr();
    let end = end.wrapping_add((allocation.size() + 9) as usize);
    // SAFETY: The margin is mapped with its block, and nobody else uses it.
    unsafe { end.write(7) };
    let seen = allocator.check_corruption(u32::MAX).unwrap();
    let [found] = &seen.found[..] else { panic!("{seen:?}") };
    assert_eq!((found.id, found.past_end), (allocation.id(), 9));
    assert_eq!(found.name.as_deref(), Some("too short"));
    for buffer in buffers {
        allocator.destroy_buffer(buffer).unwrap();
    }
    assert_eq!(allocator.corruptions(), seen.found);
    allocator.shutdown().expect("all was freed");
}

#[test]
fn margins_are_whole_when_buffers_and_images_come_and_go() {
    let Some(gpu) = open() else { return };
    for always_dedicated in [false, true] {
        let allocator = allocator(&gpu, always_dedicated);
        let make = |width| allocator.create_image(&image_info(width), &Wish::default()).unwrap();
        let images: Vec<_> = (1..LIVE as u32 / 4).map(make).collect();
        churn(&gpu, &allocator, 21);
        let small = buffer_info(100);
        let buffer = allocator.create_buffer(&small, &Wish::of(Access::HostWrites)).unwrap();
        assert_whole(&allocator, !always_dedicated);
        let blocks = allocator.snapshot().memory_types.into_iter().flat_map(|kind| kind.blocks);
        assert!(blocks.into_iter().all(|block| !always_dedicated || block.dedicated));
        allocator.destroy_buffer(buffer).unwrap();
        images.into_iter().for_each(|image| allocator.destroy_image(image).unwrap());
        assert_eq!(allocator.corruptions(), []);
        allocator.shutdown().expect("all was freed");
    }
}

#[test]
fn margins_are_whole_when_buffers_and_images_move() {
    let Some(gpu) = open() else { return };
    let allocator = allocator(&gpu, false);
    move_all(&gpu, &allocator, || assert_whole(&allocator, true));
    assert_eq!(allocator.corruptions(), []);
    allocator.shutdown().expect("nothing is left");
}
