//! Bytes: views, flushes, copies, and pointers in many threads.

use super::*;

/// A buffer of 256 bytes in a mapped block of its own.
fn mapped(sim: &Sim, memory_type: u32) -> (SimResource, Memory, NonNull<u8>) {
    let (resource, memory) = bound(sim, memory_type);
    (resource, memory, sim.map_it(memory).unwrap())
}

fn bound(sim: &Sim, memory_type: u32) -> (SimResource, Memory) {
    let resource = buffer(sim, 256);
    let memory = sim.allocate(&order(256, memory_type)).unwrap();
    sim.bind_it(resource, memory, 0).unwrap();
    (resource, memory)
}

fn poke(pointer: NonNull<u8>, at: usize, byte: u8) {
    assert!(at < 256, "a test's block has 256 bytes");
    // SAFETY: The pointer is that of a mapped block, and `at` lies in it.
    let place = unsafe { pointer.add(at) };
    // SAFETY: As above; nobody else uses the byte.
    unsafe { place.write(byte) };
}

fn peek(pointer: NonNull<u8>, at: usize) -> u8 {
    assert!(at < 256, "a test's block has 256 bytes");
    // SAFETY: The pointer is that of a mapped block, and `at` lies in it.
    let place = unsafe { pointer.add(at) };
    // SAFETY: As above; a block's bytes are initialised from the begin on.
    unsafe { place.read() }
}

#[test]
fn coherent_memory_has_one_view() {
    let sim = sim();
    let (resource, memory, pointer) = mapped(&sim, 0);
    poke(pointer, 100, 7);
    assert_eq!(sim.read(resource, 99..102).unwrap(), [0, 7, 0]);
    sim.write(resource, 3, &[9]).unwrap();
    assert_eq!(peek(pointer, 3), 9);
    sim.flush_it(memory, 0..256).unwrap();
    sim.invalidate_it(memory, 0..64).unwrap();
    assert_eq!(peek(pointer, 100), 7);
}

#[test]
fn non_coherent_writes_arrive_by_flush_and_invalidate_only() {
    let sim = sim();
    let (resource, memory, pointer) = mapped(&sim, 1);
    poke(pointer, 0, 1);
    poke(pointer, 64, 2);
    assert_eq!(sim.read(resource, 0..1).unwrap(), [0], "not flushed");
    sim.flush_it(memory, 0..64).unwrap();
    assert_eq!(sim.read(resource, 0..1).unwrap(), [1]);
    assert_eq!(sim.read(resource, 64..65).unwrap(), [0], "only what is flushed arrives");

    sim.write(resource, 128, &[3]).unwrap();
    assert_eq!(peek(pointer, 128), 0, "not invalidated");
    sim.invalidate_it(memory, 64..192).unwrap();
    assert_eq!(peek(pointer, 128), 3);
    assert_eq!(peek(pointer, 64), 0, "what was not flushed is lost");
    assert_eq!(sim.violations(), []);
}

#[test]
fn a_mapping_keeps_its_bytes_from_one_map_to_the_next() {
    let sim = sim();
    let (_, memory, pointer) = mapped(&sim, 1);
    poke(pointer, 9, 9);
    sim.unmap_it(memory);
    assert_eq!(sim.live().mapped, 0);
    assert_eq!(peek(sim.map_it(memory).unwrap(), 9), 9);
}

#[test]
fn all_or_none_of_the_ranges_are_flushed() {
    let sim = sim();
    let (resource, memory, pointer) = mapped(&sim, 1);
    poke(pointer, 0, 1);
    let good = MappedRange { memory, range: 0..64 };
    let bad = MappedRange { memory, range: 64..65 };
    // SAFETY: The device checks block and range; no host pointer is used meanwhile.
    let result = unsafe { sim.flush(&[good, bad]) };
    assert_eq!(result, Err(DeviceError::Invalid { rule: Rule::Atom.text() }));
    assert_eq!(sim.read(resource, 0..1).unwrap(), [0]);
}

#[test]
fn the_last_atom_may_end_with_the_block() {
    let sim = sim();
    let memory = sim.allocate(&order(100, 1)).unwrap();
    sim.map_it(memory).unwrap();
    assert_eq!(sim.flush_it(memory, 64..100), Ok(()));
    assert_eq!(sim.violations(), []);
}

#[test]
fn blocks_begin_at_pages_and_at_the_map_alignment() {
    for align in [64, 4096, 1 << 16] {
        let mut layout = layout();
        layout.properties.limits.map_align_min = align;
        let sim = Sim::new(layout).unwrap();
        for size in [1, 100, 5000] {
            let memory = sim.allocate(&order(size, 0)).unwrap();
            let address = sim.map_it(memory).unwrap().addr().get() as u64;
            assert!(address.is_multiple_of(align.max(4096)));
        }
    }
}

#[test]
fn copies_and_fills_see_the_devices_view() {
    let sim = sim();
    let (staging, memory, pointer) = mapped(&sim, 1);
    let (device, _) = bound(&sim, 2);
    let (Resource::Buffer(source), Resource::Buffer(target)) = (staging, device) else {
        unreachable!("both are buffers")
    };
    let copy = BufferCopy { source, source_offset: 64, target, target_offset: 10, len: 3 };
    poke(pointer, 65, 8);
    sim.copy(copy).unwrap();
    assert_eq!(sim.read(device, 10..13).unwrap(), [0, 0, 0], "a forgotten flush shows");
    sim.flush_it(memory, 64..128).unwrap();
    sim.copy(copy).unwrap();
    assert_eq!(sim.read(device, 9..14).unwrap(), [0, 0, 8, 0, 0]);
    sim.fill(target, 0..4, 6).unwrap();
    assert_eq!(sim.read(device, 0..5).unwrap(), [6, 6, 6, 6, 0]);
    assert_eq!(sim.violations(), []);
}

#[test]
fn an_images_bytes_come_and_go_through_a_buffer() {
    let sim = sim();
    let (staging, _) = bound(&sim, 0);
    let picture = image(&sim, SMALL_IMAGE);
    let memory = sim.allocate(&order(4096, 2)).unwrap();
    sim.bind_it(picture, memory, 0).unwrap();
    sim.write(staging, 0, &[1, 2, 3, 4]).unwrap();
    let (Resource::Buffer(buffer), Resource::Image(image)) = (staging, picture) else {
        unreachable!("a buffer and an image")
    };
    let there = ImageCopy { buffer, buffer_offset: 0, image, image_offset: 1020, len: 4 };
    // SAFETY: No host pointer is used meanwhile.
    unsafe { sim.copy_buffer_to_image(&there) }.unwrap();
    let back = ImageCopy { buffer_offset: 100, ..there };
    // SAFETY: No host pointer is used meanwhile.
    unsafe { sim.copy_image_to_buffer(&back) }.unwrap();
    assert_eq!(sim.read(staging, 100..104).unwrap(), [1, 2, 3, 4]);
    let past = ImageCopy { image_offset: 1021, ..there };
    // SAFETY: No host pointer is used meanwhile.
    let result = unsafe { sim.copy_buffer_to_image(&past) };
    assert_eq!(result, Err(DeviceError::Invalid { rule: Rule::WorkRange.text() }));
}

#[test]
fn a_large_block_costs_what_is_touched() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let size = if cfg!(miri) { 1 << 20 } else { 1 << 30 };
    let resource = Resource::Buffer(raw_buffer(&sim, size, BufferUsage::TRANSFER));
    let blocks: Vec<_> = (0..4).map(|_| sim.allocate(&order(size, 0)).unwrap()).collect();
    sim.bind_it(resource, blocks[0], 0).unwrap();
    sim.write(resource, size - 1, &[1]).unwrap();
    assert_eq!(sim.read(resource, size - 2..size).unwrap(), [0, 1]);
    assert_eq!(sim.held(1), 4 * size);
}

#[test]
fn mapped_pointers_are_used_by_many_threads() {
    let sim = sim();
    std::thread::scope(|scope| {
        for number in 1..=4 {
            let sim = sim.clone();
            scope.spawn(move || {
                for _ in 0..if cfg!(miri) { 3 } else { 100 } {
                    let (resource, memory, pointer) = mapped(&sim, 1);
                    poke(pointer, 5, number);
                    sim.flush_it(memory, 0..64).unwrap();
                    assert_eq!(sim.read(resource, 5..6).unwrap(), [number]);
                    sim.destroy_it(resource);
                    sim.release(memory);
                }
            });
        }
    });
    assert_eq!((sim.live(), sim.violations()), (Live::default(), vec![]));
}
