//! What resources need of their memory.

use super::*;

const ALL_PLAIN: u32 = 0b00111;

#[test]
fn buffers_are_aligned_as_their_usage_wants() {
    let sim = Sim::preset(Preset::NvidiaKeplerF0);
    let of = |usage| sim.needs(Resource::Buffer(raw_buffer(&sim, 100, usage)));
    assert_eq!(of(BufferUsage::VERTEX).align, 16);
    assert_eq!(of(BufferUsage::VERTEX).size, 112);
    assert_eq!(of(BufferUsage::UNIFORM | BufferUsage::STORAGE).align, 256);
    assert_eq!(of(BufferUsage::UNIFORM).size, 256);
    assert_eq!(of(BufferUsage::all() - BufferUsage::PROTECTED).memory_types, 0b11);
}

#[test]
fn large_images_are_aligned_more() {
    let sim = sim();
    let of = |side| {
        let info = ImageInfo { width: side, height: side, ..SMALL_IMAGE };
        sim.needs(image(&sim, info))
    };
    assert_eq!((of(16).align, of(16).size), (4096, 1024));
    assert_eq!((of(256).align, of(256).size), (16 << 10, 256 << 10));
    assert_eq!((of(4096).align, of(4096).size), (64 << 10, 64 << 20));
    let linear = ImageInfo { tiling: Tiling::Linear, ..SMALL_IMAGE };
    assert_eq!(sim.needs(image(&sim, linear)).align, 256);
    let levels = ImageInfo { mip_levels: 5, layers: 6, ..SMALL_IMAGE };
    let bytes = 6 * 4 * (256 + 64 + 16 + 4 + 1_u64);
    assert_eq!(sim.needs(image(&sim, levels)).size, bytes.next_multiple_of(256));
}

#[test]
fn memory_types_follow_the_usage() {
    let sim = sim();
    let of = |usage| sim.needs(image(&sim, ImageInfo { usage, ..SMALL_IMAGE })).memory_types;
    assert_eq!(of(ImageUsage::SAMPLED), ALL_PLAIN);
    assert_eq!(of(ImageUsage::TRANSIENT | ImageUsage::COLOR_TARGET), ALL_PLAIN | 0b01000);
    assert_eq!(of(ImageUsage::SAMPLED | ImageUsage::PROTECTED), 0b10000);
    assert_eq!(sim.needs(buffer(&sim, 64)).memory_types, ALL_PLAIN);
}

#[test]
fn a_transient_image_is_bound_to_lazily_allocated_memory() {
    let sim = sim();
    let usage = ImageUsage::TRANSIENT | ImageUsage::DEPTH_TARGET;
    let target = image(&sim, ImageInfo { usage, ..SMALL_IMAGE });
    let memory = sim.allocate(&order(4096, 3)).unwrap();
    assert_eq!(sim.bind_it(target, memory, 0), Ok(()));
}

#[test]
fn some_want_a_block_of_their_own() {
    let sim = sim();
    let of = |side, usage| {
        let info = ImageInfo { width: side, height: side, usage, ..SMALL_IMAGE };
        sim.needs(image(&sim, info)).dedicated
    };
    assert_eq!(of(256, ImageUsage::COLOR_TARGET), DedicatedWish::Preferred);
    assert_eq!(of(128, ImageUsage::COLOR_TARGET), DedicatedWish::None);
    assert_eq!(of(256, ImageUsage::SAMPLED), DedicatedWish::None);
    assert_eq!(of(16, ImageUsage::EXTERNAL), DedicatedWish::Required);

    let mut layout = layout();
    layout.resources.dedicated_required_size = Some(1024);
    let sim = Sim::new(layout).unwrap();
    assert_eq!(sim.needs(buffer(&sim, 1023)).dedicated, DedicatedWish::Required);
    assert_eq!(sim.needs(buffer(&sim, 1008)).dedicated, DedicatedWish::None);
}

#[test]
fn a_dedicated_block_takes_its_resource() {
    let sim = sim();
    let external = BufferUsage::EXTERNAL | BufferUsage::DEVICE_ADDRESS;
    let own = Resource::Buffer(raw_buffer(&sim, 512, external));
    let order = Order { dedicated: Some(own), device_address: true, ..order(512, 0) };
    let memory = sim.allocate(&order).unwrap();
    assert_eq!(sim.bind_it(own, memory, 0), Ok(()));
    let block = sim.block(memory).unwrap();
    assert_eq!((block.dedicated, block.device_address, block.size), (Some(own), true, 512));
    sim.destroy_it(own);
    sim.release(memory);
    assert_eq!((sim.block(memory), sim.violations()), (None, vec![]));
}

#[test]
fn the_device_tells_tiling_and_address_of_a_description() {
    let sim = sim();
    let info = BufferInfo::default();
    assert!(!sim.needs_device_address(&info));
    let usage = info.usage | BufferUsage::DEVICE_ADDRESS;
    assert!(sim.needs_device_address(&BufferInfo { usage, ..info }));
    assert_eq!(sim.tiling(&ImageInfo::default()), Tiling::Optimal);
}
