//! Memory that goes from one device to another.

use crate::gpu::{Gpu, Options, Part};
use crate::work::{Way, buffer_info, image_info, pattern};
use ash::vk::{self, Handle};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use polder_device::{
    Access, Aliasing, AllocError, Allocator, CreateError, DeviceError, Factory, Options as Limits,
    Placement, Request, Requirements, Resource, Resources, Strategy, Wish,
};
use polder_vulkan::{Chain, ExternalError, Extra, Features, Import, Imported, Vulkan};
use std::fs::{File, Metadata};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

type Handles = vk::ExternalMemoryHandleTypeFlags;
type Buffer = polder_device::Buffer<Vulkan>;

const SIZE: u64 = 10_000;

fn allocator(vulkan: Vulkan) -> Allocator<Vulkan> {
    Allocator::new(vulkan, Limits::default())
}

/// Whether a buffer's memory goes and comes by this type of handle. Drivers that only answer have
/// no memory to share.
fn shares(gpu: &Gpu, handle_type: Handles) -> bool {
    let (is_on, part) = match handle_type {
        Handles::OPAQUE_FD => (gpu.features.external_memory_fd, Part::OpaqueFd),
        _ => (gpu.features.external_memory_dma_buf, Part::DmaBuf),
    };
    if !is_on {
        gpu.left_out(part);
        return false;
    }
    let info = vk::PhysicalDeviceExternalBufferInfo::default()
        .usage(buffer_info(SIZE).usage)
        .handle_type(handle_type);
    let mut answer = vk::ExternalBufferProperties::default();
    // SAFETY: The instance is live, and the question is part of Vulkan 1.1.
    unsafe {
        gpu.instance.get_physical_device_external_buffer_properties(
            gpu.physical_device,
            &info,
            &mut answer,
        );
    }
    let both =
        vk::ExternalMemoryFeatureFlags::EXPORTABLE | vk::ExternalMemoryFeatureFlags::IMPORTABLE;
    let goes = answer.external_memory_properties.external_memory_features.contains(both);
    let shares = goes && gpu.executes();
    if !shares {
        gpu.left_out(part);
    }
    shares
}

/// Makes a buffer whose memory goes or comes by `handle_type`.
fn shared_buffer(
    allocator: &Allocator<Vulkan>,
    handle_type: Handles,
    wish: &Wish<'_>,
    extra: Option<&Extra>,
) -> Result<Buffer, CreateError> {
    let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(handle_type);
    let info = buffer_info(SIZE).push_next(&mut external);
    match extra {
        Some(extra) => allocator.create_dedicated_buffer(&info, wish, extra),
        None => allocator.create_buffer(&info, wish),
    }
}

/// Names memory that the tests keep open while it is named.
fn import(fd: &OwnedFd, handle_type: Handles) -> Import {
    // SAFETY: The tests hold the descriptor until their calls have returned, and import what a
    // device of this driver exported, as it was exported, or what no driver takes for memory.
    unsafe { Import::fd(fd.as_fd(), handle_type) }
}

fn is_open(fd: &OwnedFd) -> bool {
    fd.try_clone().is_ok()
}

/// How many of the process's descriptors are of the same file, where the system lists them.
fn descriptors(fd: &OwnedFd) -> Option<usize> {
    let identity = |found: Metadata| (found.dev(), found.ino());
    let wanted = File::from(fd.try_clone().ok()?).metadata().map(identity).ok()?;
    let all = std::fs::read_dir("/proc/self/fd").ok()?.flatten();
    let found = all.filter_map(|entry| std::fs::metadata(entry.path()).map(identity).ok());
    Some(found.filter(|&one| one == wanted).count())
}

fn read(allocator: &Allocator<Vulkan>, buffer: &Buffer) -> Vec<u8> {
    let mut found = vec![0; SIZE as usize];
    allocator.read(buffer.allocation(), 0, &mut found).expect("host memory can be read");
    found
}

/// One device's buffer and another's over the same memory.
fn exchange(handle_type: Handles) {
    let (Some(here), Some(there)) = (Gpu::open(), Gpu::open()) else { return };
    if !shares(&here, handle_type) {
        return;
    }
    let (from, to) = (allocator(here.vulkan()), allocator(there.vulkan()));
    let export = Extra { export: handle_type, ..Extra::default() };
    let wish = Wish::of(Access::HostRandom);
    let mut ours = shared_buffer(&from, handle_type, &wish, Some(&export)).unwrap();
    let bytes = pattern(1, SIZE as usize);
    from.write(ours.allocation_mut(), 0, &bytes).unwrap();

    let memory = ours.allocation().memory();
    let block = from.device().block(memory).expect("the allocation's block is there");
    assert_eq!((block.memory, block.memory_type), (memory, ours.allocation().memory_type()));
    assert!(block.exports == handle_type);
    let fd = from.device().memory_fd(memory, handle_type).unwrap();
    let extra = Extra { import: Some(import(&fd, handle_type)), ..Extra::default() };
    let wish = Wish { memory_types: 1 << block.memory_type, ..wish };
    let mut theirs = shared_buffer(&to, handle_type, &wish, Some(&extra)).unwrap();
    drop(fd);
    assert!(read(&to, &theirs) == bytes, "one device's bytes are the other's");

    // From queue to queue.
    let bytes = pattern(6, SIZE as usize);
    let mut source = from.create_buffer(&buffer_info(SIZE), &Wish::of(Access::HostWrites)).unwrap();
    from.write(source.allocation_mut(), 0, &bytes).unwrap();
    here.submit(|commands| {
        commands.copy(source.handle(), ours.handle(), SIZE);
        commands.pass_buffer(ours.handle(), Way::Out);
    });
    from.destroy_buffer(source).unwrap();
    let copy = to.create_buffer(&buffer_info(SIZE), &Wish::of(Access::HostReads)).unwrap();
    there.submit(|commands| {
        commands.pass_buffer(theirs.handle(), Way::In);
        commands.copy(theirs.handle(), copy.handle(), SIZE);
    });
    assert!(read(&to, &copy) == bytes, "the other device's queue sees them");

    // And back.
    let bytes = pattern(2, SIZE as usize);
    to.write(theirs.allocation_mut(), 0, &bytes).unwrap();
    assert!(read(&from, &ours) == bytes, "and the other way round");

    // The memory is there for as long as one of them has it.
    from.destroy_buffer(ours).unwrap();
    from.shutdown().unwrap();
    assert!(read(&to, &theirs) == bytes);
    to.destroy_buffer(theirs).unwrap();
    to.destroy_buffer(copy).unwrap();
    to.shutdown().unwrap();
}

#[test]
fn what_one_device_writes_another_reads_by_an_opaque_descriptor() {
    exchange(Handles::OPAQUE_FD);
}

#[test]
fn what_one_device_writes_another_reads_by_a_buffer_of_the_kernel_s() {
    exchange(Handles::DMA_BUF_EXT);
}

#[test]
fn an_image_goes_from_one_device_to_another() {
    const WIDTH: u32 = 64;
    let (Some(here), Some(there)) = (Gpu::open(), Gpu::open()) else { return };
    if !shares(&here, Handles::OPAQUE_FD) {
        return;
    }
    let (from, to) = (allocator(here.vulkan()), allocator(there.vulkan()));
    let make = |allocator: &Allocator<Vulkan>, wish: &Wish<'_>, extra: &Extra| {
        let mut external =
            vk::ExternalMemoryImageCreateInfo::default().handle_types(Handles::OPAQUE_FD);
        let info = image_info(WIDTH).push_next(&mut external);
        allocator.create_dedicated_image(&info, wish, extra).unwrap()
    };
    let export = Extra { export: Handles::OPAQUE_FD, ..Extra::default() };
    let ours = make(&from, &Wish::default(), &export);
    let memory = ours.allocation().memory();
    let block = from.device().block(memory).unwrap();
    let fd = from.device().memory_fd(memory, Handles::OPAQUE_FD).unwrap();
    let extra = Extra { import: Some(import(&fd, Handles::OPAQUE_FD)), ..Extra::default() };
    let wish = Wish { memory_types: 1 << block.memory_type, ..Wish::default() };
    let theirs = make(&to, &wish, &extra);
    assert_eq!(to.device().block(theirs.allocation().memory()).unwrap().size, block.size);

    let size = u64::from(WIDTH * WIDTH * 4);
    let bytes = pattern(7, size as usize);
    let staging = |allocator: &Allocator<Vulkan>, access| {
        allocator.create_buffer(&buffer_info(size), &Wish::of(access)).unwrap()
    };
    let mut source = staging(&from, Access::HostWrites);
    from.write(source.allocation_mut(), 0, &bytes).unwrap();
    let scratch = staging(&from, Access::DeviceOnly);
    here.submit(|commands| {
        commands.copy_through(source.handle(), ours.handle(), scratch.handle(), WIDTH);
        commands.pass_image(ours.handle(), Way::Out);
    });
    let target = staging(&to, Access::HostReads);
    there.submit(|commands| {
        commands.pass_image(theirs.handle(), Way::In);
        commands.copy_out(theirs.handle(), target.handle(), WIDTH);
    });
    let mut found = vec![0; bytes.len()];
    to.read(target.allocation(), 0, &mut found).unwrap();
    assert!(found == bytes, "one device's texels are the other's");

    for buffer in [source, scratch] {
        from.destroy_buffer(buffer).unwrap();
    }
    from.destroy_image(ours).unwrap();
    to.destroy_buffer(target).unwrap();
    to.destroy_image(theirs).unwrap();
    from.shutdown().unwrap();
    to.shutdown().unwrap();
}

/// A device all of whose blocks are exported.
fn exporting(gpu: &Gpu) -> Allocator<Vulkan> {
    allocator(gpu.build(|builder| builder.exports(&[Handles::OPAQUE_FD; vk::MAX_MEMORY_TYPES])))
}

#[test]
fn every_block_of_a_type_goes_out_and_what_comes_in_does_not() {
    let (Some(here), Some(there)) = (Gpu::open(), Gpu::open()) else { return };
    if !shares(&here, Handles::OPAQUE_FD) {
        return;
    }
    let (from, to) = (exporting(&here), exporting(&there));
    let wish = Wish::of(Access::HostWrites);
    let [first, mut second] =
        [(); 2].map(|()| shared_buffer(&from, Handles::OPAQUE_FD, &wish, None).unwrap());
    let bytes = pattern(3, SIZE as usize);
    from.write(second.allocation_mut(), 0, &bytes).unwrap();
    let (memory, offset) = (second.allocation().memory(), second.allocation().offset());
    assert_eq!(first.allocation().memory(), memory, "the two share a block");
    let block = from.device().block(memory).unwrap();
    assert!(offset + SIZE <= block.size);

    let fd = from.device().memory_fd(memory, Handles::OPAQUE_FD).unwrap();
    let imported =
        Imported { size: block.size, memory_types: 1 << block.memory_type, resource: None };
    let import = import(&fd, Handles::OPAQUE_FD);
    let all = Vulkan::import(&to, import, &imported, &Wish::of(Access::HostReads)).unwrap();
    assert_eq!((all.size(), all.offset()), (block.size, 0));
    let mut found = vec![0; SIZE as usize];
    to.read(&all, offset, &mut found).unwrap();
    assert!(found == bytes, "an allocation lies in the imported block where it lay");
    let exported = to.device().memory_fd(all.memory(), Handles::OPAQUE_FD);
    let (handle_type, exports) = (Handles::OPAQUE_FD.as_raw(), 0);
    assert_eq!(exported.unwrap_err(), ExternalError::NotExported { handle_type, exports });
    to.free(all).unwrap();
    assert!(is_open(&fd), "a descriptor stays its owner's");

    // By a chain of the program's own, of which the driver takes the descriptor.
    let mut info =
        vk::ImportMemoryFdInfoKHR::default().handle_type(Handles::OPAQUE_FD).fd(fd.into_raw_fd());
    // SAFETY: The structure outlives the call, and one block is ordered with it.
    let chain = unsafe { Chain::new(NonNull::from(&mut info).cast()) };
    let extra = Extra { chain: Some(chain), ..Extra::default() };
    let wish = Wish { memory_types: 1 << block.memory_type, ..wish };
    let needs = Requirements { size: block.size, ..Requirements::ANY };
    let wish = Wish { placement: Placement::Dedicated, ..wish };
    let request = Request { extra: Some(&extra), ..Request::new(needs, wish) };
    let chained = to.allocate(&request).unwrap();
    assert!(to.device().block(chained.memory()).unwrap().exports.is_empty());
    to.free(chained).unwrap();

    for buffer in [first, second] {
        from.destroy_buffer(buffer).unwrap();
    }
    from.shutdown().unwrap();
    to.shutdown().unwrap();
}

/// The driver's function for blocks, and the buffer that one was last ordered for alone.
static ALLOCATE: OnceLock<vk::PFN_vkAllocateMemory> = OnceLock::new();
static ALONE: AtomicU64 = AtomicU64::new(0);

/// Notes for which buffer a block is ordered alone, and orders it.
unsafe extern "system" fn note_alone(
    device: vk::Device,
    info: *const vk::MemoryAllocateInfo<'_>,
    callbacks: *const vk::AllocationCallbacks<'_>,
    memory: *mut vk::DeviceMemory,
) -> vk::Result {
    // SAFETY: An order is a structure that lives.
    let mut next = unsafe { (*info).p_next };
    // SAFETY: So are those that are chained to it, and all of them begin like this one.
    while let Some(link) = unsafe { next.cast::<vk::BaseInStructure<'_>>().as_ref() } {
        if link.s_type == vk::StructureType::MEMORY_DEDICATED_ALLOCATE_INFO {
            // SAFETY: This is the structure that its type names.
            let alone = unsafe { &*next.cast::<vk::MemoryDedicatedAllocateInfo<'_>>() };
            ALONE.store(alone.buffer.as_raw(), Ordering::Relaxed);
        }
        next = link.p_next.cast();
    }
    let allocate = ALLOCATE.get().expect("who puts this into a table notes what was there");
    // SAFETY: As our caller promises.
    unsafe { allocate(device, info, callbacks, memory) }
}

#[test]
fn what_was_one_buffer_s_alone_is_so_where_it_comes_in() {
    let (Some(here), Some(there)) = (Gpu::open(), Gpu::open()) else { return };
    if !shares(&here, Handles::OPAQUE_FD) {
        return;
    }
    let from = allocator(here.vulkan());
    let to = allocator(there.vulkan_with(|functions| {
        ALLOCATE.get_or_init(|| functions.allocate_memory);
        functions.allocate_memory = note_alone;
    }));
    let export = Extra { export: Handles::OPAQUE_FD, ..Extra::default() };
    let wish = Wish::of(Access::HostWrites);
    let mut ours = shared_buffer(&from, Handles::OPAQUE_FD, &wish, Some(&export)).unwrap();
    let bytes = pattern(6, SIZE as usize);
    from.write(ours.allocation_mut(), 0, &bytes).unwrap();
    let block = from.device().block(ours.allocation().memory()).unwrap();
    let fd = from.device().memory_fd(block.memory, Handles::OPAQUE_FD).unwrap();
    for aliasing in [Aliasing::Never, Aliasing::Allowed] {
        let mut external =
            vk::ExternalMemoryBufferCreateInfo::default().handle_types(Handles::OPAQUE_FD);
        let info = buffer_info(SIZE).push_next(&mut external);
        let buffer = to.device().create_buffer(&info).unwrap();
        let resource = Resource::Buffer(buffer);
        let (size, memory_types) = (block.size, 1 << block.memory_type);
        let imported = Imported { size, memory_types, resource: Some(resource) };
        let wish = Wish { aliasing, ..Wish::of(Access::HostReads) };
        let import = import(&fd, Handles::OPAQUE_FD);
        let allocation = Vulkan::import(&to, import, &imported, &wish).unwrap();
        assert_eq!(ALONE.swap(0, Ordering::Relaxed), buffer.as_raw(), "{aliasing:?}");
        // SAFETY: The buffer is new, and the allocation is its own.
        unsafe { to.bind(resource, &allocation, 0) }.unwrap();
        let mut found = vec![0; SIZE as usize];
        to.read(&allocation, 0, &mut found).unwrap();
        assert!(found == bytes, "one device's bytes are the other's");
        // SAFETY: It was just made, and no queue uses it.
        unsafe { to.device().destroy(resource) };
        to.free(allocation).unwrap();
    }
    from.destroy_buffer(ours).unwrap();
    from.shutdown().unwrap();
    to.shutdown().unwrap();
}

#[test]
fn what_cannot_go_out_is_said() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = allocator(gpu.vulkan());
    let vulkan = allocator.device();
    let buffer = allocator.create_buffer(&buffer_info(SIZE), &Wish::default()).unwrap();
    let memory = buffer.allocation().memory();
    let refused = |memory, handle_type| vulkan.memory_fd(memory, handle_type).unwrap_err();

    for handle_type in [Handles::OPAQUE_WIN32, Handles::OPAQUE_FD | Handles::DMA_BUF_EXT] {
        let named = ExternalError::HandleType { handle_type: handle_type.as_raw() };
        assert_eq!(refused(memory, handle_type), named);
    }
    let handle_type = Handles::OPAQUE_FD;
    if gpu.features.external_memory_fd {
        let (handle_type, exports) = (handle_type.as_raw(), 0);
        let named = ExternalError::NotExported { handle_type, exports };
        assert_eq!(refused(memory, Handles::OPAQUE_FD), named);
        allocator.destroy_buffer(buffer).unwrap();
        allocator.trim();
        assert_eq!(refused(memory, Handles::OPAQUE_FD), ExternalError::NoBlock);
        assert_eq!(vulkan.block(memory), None);
    } else {
        let feature = "external_memory_fd";
        assert_eq!(refused(memory, handle_type), ExternalError::Feature { feature });
        allocator.destroy_buffer(buffer).unwrap();
    }
    allocator.shutdown().unwrap();
}

fn expect_invalid(allocator: &Allocator<Vulkan>, extra: &Extra) {
    let made = allocator.create_dedicated_buffer(&buffer_info(SIZE), &Wish::default(), extra);
    let refused = made.unwrap_err();
    let is_said =
        matches!(refused, CreateError::Allocate(AllocError::Device(DeviceError::Invalid { .. })));
    assert!(is_said, "{extra:?}: {refused:?}");
}

#[test]
fn vulkan_1_0_exports_nothing_without_its_extension() {
    let options = Options {
        api_version: vk::API_VERSION_1_0,
        enable: |all| Features { api_version: all.api_version, ..Features::default() },
        ..Options::default()
    };
    let Some(gpu) = Gpu::open_with(&options) else { return };
    let allocator = allocator(gpu.vulkan());
    // The last has no feature of its own.
    for export in [Handles::OPAQUE_FD, Handles::DMA_BUF_EXT, Handles::OPAQUE_WIN32_KMT] {
        expect_invalid(&allocator, &Extra { export, ..Extra::default() });
    }
    assert_eq!(allocator.held(), 0);
    allocator.shutdown().unwrap();
}

#[test]
fn without_the_feature_nothing_goes_and_nothing_comes() {
    let options = Options {
        enable: |all| Features { external_memory_fd: false, external_memory_dma_buf: false, ..all },
        ..Options::default()
    };
    let Some(gpu) = Gpu::open_with(&options) else { return };
    let allocator = allocator(gpu.vulkan());
    let fd = OwnedFd::from(File::open("/dev/null").unwrap());
    let cases = [
        (Handles::OPAQUE_FD, "external_memory_fd"),
        (Handles::DMA_BUF_EXT, "external_memory_dma_buf"),
    ];
    for (handle_type, feature) in cases {
        let import = import(&fd, handle_type);
        let block = Imported { size: SIZE, memory_types: u32::MAX, resource: None };
        let refused = Vulkan::import(&allocator, import, &block, &Wish::default());
        assert_eq!(refused.unwrap_err(), ExternalError::Feature { feature });

        let extra = Extra { import: Some(import), ..Extra::default() };
        expect_invalid(&allocator, &extra);
        expect_invalid(&allocator, &Extra { export: handle_type, ..Extra::default() });
    }
    assert!(is_open(&fd));
    assert_eq!(allocator.held(), 0);
    allocator.shutdown().unwrap();
}

#[test]
fn an_import_that_fails_leaves_the_descriptor_and_the_heap_as_they_were() {
    let (Some(here), Some(there)) = (Gpu::open(), Gpu::open()) else { return };
    if !shares(&here, Handles::OPAQUE_FD) {
        return;
    }
    let (from, to) = (allocator(here.vulkan()), allocator(there.vulkan()));
    let export = Extra { export: Handles::OPAQUE_FD, ..Extra::default() };
    let wish = Wish::of(Access::HostWrites);
    let ours = shared_buffer(&from, Handles::OPAQUE_FD, &wish, Some(&export)).unwrap();
    let block = from.device().block(ours.allocation().memory()).unwrap();
    let fd = from.device().memory_fd(block.memory, Handles::OPAQUE_FD).unwrap();
    let imported =
        Imported { size: block.size, memory_types: 1 << block.memory_type, resource: None };
    let attempt = |fd: &OwnedFd, imported: &Imported| {
        let result = Vulkan::import(&to, import(fd, Handles::OPAQUE_FD), imported, &wish);
        assert!(is_open(fd), "the descriptor stays the caller's");
        result
    };

    let none = Imported { memory_types: 0, ..imported };
    let allowed = to.device().importable_types(import(&fd, Handles::OPAQUE_FD), SIZE).unwrap();
    let named = ExternalError::MemoryType { asked: 0, allowed };
    assert_eq!(attempt(&fd, &none).unwrap_err(), named);

    let heap = to.properties().memory_types[block.memory_type as usize].heap;
    to.set_heap_limit(heap, block.size - 1);
    let refused = attempt(&fd, &imported).unwrap_err();
    let is_short = matches!(refused, ExternalError::Allocate(AllocError::OutOfMemory(_)));
    assert!(is_short, "{refused:?}");
    assert_eq!(to.held(), 0);
    to.set_heap_limit(heap, u64::MAX);

    // What is no memory the driver refuses.
    let (pipe, writer) = std::io::pipe().unwrap();
    let pipe = OwnedFd::from(pipe);
    // A driver that reads it finds its end at once.
    drop(writer);
    let refused = attempt(&pipe, &imported).unwrap_err();
    assert!(matches!(refused, ExternalError::Allocate(_)), "{refused:?}");
    let count = descriptors(&pipe);
    assert!(count.is_none_or(|count| count == 1), "no duplicate stays open: {count:?}");
    assert_eq!(to.held(), 0);
    let said = there.take_messages().unwrap_or_default();
    let is_refusal = |text: &String| text.contains("VK_ERROR_INVALID_EXTERNAL_HANDLE");
    assert!(said.iter().all(is_refusal), "the driver may say why: {said:?}");

    let all = attempt(&fd, &imported).unwrap();
    to.free(all).unwrap();
    from.destroy_buffer(ours).unwrap();
    from.shutdown().unwrap();
    to.shutdown().unwrap();
}

#[test]
fn a_kernel_s_buffer_is_measured_and_asked_for_its_types() {
    let Some(gpu) = Gpu::open() else { return };
    if !shares(&gpu, Handles::DMA_BUF_EXT) {
        return;
    }
    let allocator = allocator(gpu.vulkan());
    let export = Extra { export: Handles::DMA_BUF_EXT, ..Extra::default() };
    let wish = Wish::of(Access::HostWrites);
    let buffer = shared_buffer(&allocator, Handles::DMA_BUF_EXT, &wish, Some(&export)).unwrap();
    let memory = buffer.allocation().memory();
    let fd = allocator.device().memory_fd(memory, Handles::DMA_BUF_EXT).unwrap();
    let import = import(&fd, Handles::DMA_BUF_EXT);
    let allowed = allocator.device().importable_types(import, SIZE).unwrap();
    assert_ne!(allowed, 0);
    let size = 1 << 40;
    let refused = allocator.device().importable_types(import, size).unwrap_err();
    assert!(matches!(refused, ExternalError::TooLarge { room, .. } if room < size), "{refused:?}");
    allocator.destroy_buffer(buffer).unwrap();
    allocator.shutdown().unwrap();
}

#[test]
fn what_is_shorter_than_it_should_be_is_found_before_the_driver_is_asked() {
    const ROOM: u64 = 4096;
    let Some(gpu) = Gpu::open() else { return };
    if !gpu.features.external_memory_dma_buf {
        gpu.left_out(Part::DmaBuf);
        return;
    }
    let allocator = allocator(gpu.vulkan());
    let path = std::env::temp_dir().join(format!("polder-external-{}", std::process::id()));
    let file = File::create(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(ROOM).unwrap();
    let fd = OwnedFd::from(file);
    let import = import(&fd, Handles::DMA_BUF_EXT);
    let size = ROOM + 1;
    let named = ExternalError::TooLarge { size, room: ROOM };
    assert_eq!(allocator.device().importable_types(import, size).unwrap_err(), named);
    let block = Imported { size, memory_types: u32::MAX, resource: None };
    let refused = Vulkan::import(&allocator, import, &block, &Wish::default());
    assert_eq!(refused.unwrap_err(), named);

    // An order that says so itself is refused as well.
    let needs = Requirements { size, ..Requirements::ANY };
    let wish = Wish { placement: Placement::Dedicated, ..Wish::default() };
    let extra = Extra { import: Some(import), ..Extra::default() };
    let request = Request { extra: Some(&extra), ..Request::new(needs, wish) };
    let refused = allocator.allocate(&request);
    let is_said = matches!(refused, Err(AllocError::Device(DeviceError::Invalid { .. })));
    assert!(is_said, "{refused:?}");
    assert!(is_open(&fd));
    assert_eq!(allocator.held(), 0);
    allocator.shutdown().unwrap();
}
