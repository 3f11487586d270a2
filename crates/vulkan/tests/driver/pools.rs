//! Requests in VMA's words, pools, aliases and late binds on the device.

use crate::gpu::Gpu;
use crate::work::{buffer_info, image_info};
use ash::vk;
use core::ptr::NonNull;
use polder_device::strategy::{Rules, Setup};
use polder_device::virtual_block::Detail;
use polder_device::{
    Aliasing, Allocator, Factory, HostAccess, Intent, Mapping, Options, Resource, Resources,
    Strategy, Usage, Wish,
};
use polder_vulkan::{Chain, Extra, Vulkan};

fn allocator(gpu: &Gpu) -> Allocator<Vulkan> {
    Allocator::new(gpu.vulkan(), Options::default())
}

#[test]
fn intents_find_memory_for_buffers_and_images() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    for usage in [Usage::Auto, Usage::PreferDevice, Usage::PreferHost] {
        for host in HostAccess::ALL {
            let mapping =
                if host == HostAccess::None { Mapping::Counted } else { Mapping::WhereVisible };
            let intent = Intent { host, mapping, ..Intent::of(usage) };
            let info = buffer_info(4096);
            let wish = allocator.buffer_wish(&info, &intent).unwrap();
            let buffer = allocator.create_buffer(&info, &wish).unwrap();
            let found = allocator.find_memory_type_for_buffer(&info, &wish).unwrap();
            assert_eq!(found, Some(buffer.allocation().memory_type()));
            allocator.destroy_buffer(buffer).unwrap();
        }
    }
    let info = image_info(64);
    let wish = allocator.image_wish(&info, &Intent::of(Usage::Auto)).unwrap();
    let image = allocator.create_image(&info, &wish).unwrap();
    allocator.destroy_image(image).unwrap();
    allocator.shutdown().unwrap();
}

#[test]
fn a_pool_s_blocks_are_ordered_with_the_user_s_chain() {
    let Some(gpu) = Gpu::open() else { return };
    if gpu.features.api_version < vk::API_VERSION_1_2 {
        return;
    }
    let allocator = allocator(&gpu);
    // No address at all: valid on every device.
    let mut address = vk::MemoryOpaqueCaptureAddressAllocateInfo::default();
    // SAFETY: The structure outlives the pool, belongs to Vulkan 1.2, and asks for nothing.
    let chain = unsafe { Chain::new(NonNull::from(&mut address).cast()) };
    let extra = Extra { chain: Some(chain), ..Extra::default() };
    let rules = Rules {
        block_size: Some(1 << 20),
        blocks_least: 1,
        extra: Some(extra),
        ..Rules::default()
    };
    let memory_type = allocator.find_memory_type_for_buffer(&buffer_info(64), &Wish::default());
    let memory_type = memory_type.unwrap().expect("there is a type for buffers");
    let setup = Setup { memory_type, rules, ..Setup::default() };
    let pool = allocator.create_pool(&setup, &[]).unwrap();
    let buffer = pool.create_buffer(&buffer_info(4096), &Wish::default()).unwrap();
    assert_eq!(pool.stats().held, 1 << 20);
    let text = allocator.vma_json(Detail::Regions);
    assert!(text.contains("CustomPools") && text.contains("BUFFER"));
    let usage = buffer_info(4096).usage.as_raw();
    assert!(text.contains(&format!(r#""Size": 4096, "Usage": {usage}"#)), "{text}");
    pool.destroy_buffer(buffer).unwrap();
    let alone = allocator.create_dedicated_buffer(&buffer_info(4096), &Wish::default(), &extra);
    allocator.destroy_buffer(alone.unwrap()).unwrap();
    drop(pool);
    allocator.shutdown().unwrap();
}

#[test]
fn buffers_alias_and_are_bound_late() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(&gpu);
    let wish = Wish { aliasing: Aliasing::Allowed, align: 4096, ..Wish::default() };
    let first = allocator.create_unbound_buffer(&buffer_info(64 << 10), &wish).unwrap();
    let resource = Resource::Buffer(first.handle());
    // SAFETY: The buffer is new, and the allocation is its own.
    unsafe { allocator.bind(resource, first.allocation(), 0) }.unwrap();
    let alias = allocator.create_aliasing_buffer(&buffer_info(4096), first.allocation(), 4096);
    // SAFETY: It was just made, and no queue uses it.
    unsafe { allocator.device().destroy(Resource::Buffer(alias.unwrap())) };
    allocator.destroy_buffer(first).unwrap();
    allocator.shutdown().unwrap();
}
