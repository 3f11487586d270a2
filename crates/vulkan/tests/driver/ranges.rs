//! Ranges of buffers on a Vulkan device.

use crate::gpu::Gpu;
use crate::work::pattern;
use ash::vk;
use polder_device::ranges::{ArenaOptions, BufferArena, BufferRange, Limits, Move, RangeRequest};
use polder_device::{Access, Allocator};
use polder_vulkan::Vulkan;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Buffers that a few ranges fill.
const OPTIONS: ArenaOptions =
    ArenaOptions { size_least: 64 << 10, size_most: 256 << 10, shards: 1 };
const USAGE: vk::BufferUsageFlags = vk::BufferUsageFlags::from_raw(
    vk::BufferUsageFlags::TRANSFER_SRC.as_raw()
        | vk::BufferUsageFlags::TRANSFER_DST.as_raw()
        | vk::BufferUsageFlags::STORAGE_BUFFER.as_raw(),
);

fn allocator(gpu: &Gpu) -> Arc<Allocator<Vulkan>> {
    Arc::new(Allocator::new(gpu.vulkan(), polder_device::Options::default()))
}

fn arena(allocator: &Arc<Allocator<Vulkan>>, access: Access) -> BufferArena<Vulkan> {
    BufferArena::new(allocator, USAGE, access, OPTIONS).expect("the options are right")
}

fn part(from: &BufferRange<Vulkan>, to: &BufferRange<Vulkan>) -> vk::BufferCopy {
    let part = vk::BufferCopy::default().src_offset(from.offset()).dst_offset(to.offset());
    part.size(from.size())
}

/// Every range goes to the device, moves there when the arena is defragmented, and comes back.
#[test]
fn ranges_carry_data_and_keep_it_when_they_move() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let [upload, resident, download] = [Access::HostWrites, Access::DeviceOnly, Access::HostReads]
        .map(|access| arena(&allocator, access));
    let mut held = HashMap::new();
    for number in 0..60u32 {
        let size = 500 + u64::from(number) * 97;
        let mut source = upload.allocate(RangeRequest::new(size)).unwrap();
        upload.write(&mut source, 0, &pattern(number, size as usize)).unwrap();
        let range = resident.allocate(RangeRequest::new(size)).unwrap();
        gpu.submit(|commands| {
            commands.copy_part(source.buffer(), range.buffer(), part(&source, &range));
        });
        upload.free(source).unwrap();
        if number % 3 == 0 {
            held.insert(range.id(), (range, number));
        } else {
            resident.free(range).unwrap();
        }
    }
    let more: Vec<_> =
        (0..100).map(|_| resident.allocate(RangeRequest::new(5000)).unwrap()).collect();
    more.into_iter().for_each(|range| resident.free(range).unwrap());

    let pass = resident.begin_pass(Limits { bytes: u64::MAX, moves: usize::MAX });
    gpu.submit(|commands| {
        for Move { source, source_offset, target, .. } in pass.moves() {
            let part = vk::BufferCopy::default().src_offset(*source_offset);
            let part = part.dst_offset(target.offset()).size(target.size());
            commands.copy_part(*source, target.buffer(), part);
        }
    });
    resident
        .end_pass(pass, |id, target| {
            let (_, number) = held.remove(&id).expect("what moved is held");
            held.insert(target.id(), (target, number));
        })
        .unwrap();
    resident.trim();

    for (range, number) in held.into_values() {
        let target = download.allocate(RangeRequest::new(range.size())).unwrap();
        gpu.submit(|commands| {
            commands.copy_part(range.buffer(), target.buffer(), part(&range, &target));
        });
        let mut found = vec![0; range.size() as usize];
        download.read(&target, 0, &mut found).unwrap();
        assert!(!gpu.executes() || found == pattern(number, found.len()), "{range:?}");
        download.free(target).unwrap();
        resident.free(range).unwrap();
    }
    [upload, resident, download].into_iter().for_each(|arena| arena.shutdown().unwrap());
}

#[test]
fn ranges_have_the_addresses_of_their_offsets() {
    let Some(gpu) = Gpu::open() else { return };
    if !gpu.features.device_address {
        println!("left out: no device addresses here");
        return;
    }
    let allocator = allocator(&gpu);
    let usage = USAGE | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS;
    let arena = BufferArena::new(&allocator, usage, Access::DeviceOnly, OPTIONS).unwrap();
    let ranges = [(); 2].map(|()| arena.allocate(RangeRequest::new(1000)).unwrap());
    let [first, second] = ranges.each_ref().map(|range| range.address().map(NonZeroU64::get));
    assert!(first.is_some() || !gpu.executes(), "a range with an address has one");
    let apart = second.zip(first).map(|(second, first)| second - first);
    assert!(apart.is_none_or(|apart| apart == ranges[1].offset() - ranges[0].offset()));
    ranges.into_iter().for_each(|range| arena.free(range).unwrap());
    arena.shutdown().unwrap();
}
