//! Resources and memory apart from each other: aliases, memory for what the user made, late binds,
//! pages in bulk, blocks of one's own with words of the device's.

use polder_device::sim::{BufferInfo, BufferUsage, Call, ImageInfo, Preset, Sim};
use polder_device::{
    Access, Aliasing, AllocError, Allocator, CreateError, DeviceError, Factory, Misuse, Options,
    PlaceError, Placement, Request, Requirements, Resource, Resources, Strategy, Tiling, Wish,
};

const KIB: u64 = 1 << 10;

fn allocator() -> Allocator<Sim> {
    Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default())
}

fn buffer(size: u64) -> BufferInfo {
    BufferInfo { size, ..BufferInfo::default() }
}

fn destroy(allocator: &Allocator<Sim>, resource: polder_device::sim::SimResource) {
    // SAFETY: The test made it and uses it no more.
    unsafe { allocator.device().destroy(resource) };
}

fn end(allocator: Allocator<Sim>) {
    allocator.check();
    let sim = allocator.device().clone();
    assert_eq!(sim.violations(), []);
    allocator.shutdown().unwrap();
    let live = sim.live();
    assert_eq!((live.blocks, live.buffers, live.images), (0, 0, 0));
}

#[test]
fn a_buffer_and_an_image_share_an_allocation() {
    let allocator = allocator();
    let wish = Wish { aliasing: Aliasing::Allowed, ..Wish::default() };
    let image = allocator.create_image(&ImageInfo::default(), &wish).unwrap();
    let room = image.allocation().size();
    let whole = allocator.create_aliasing_buffer(&buffer(room), image.allocation(), 0).unwrap();
    let half = buffer(room / 2);
    let upper = allocator.create_aliasing_buffer(&half, image.allocation(), room / 2).unwrap();
    let same = ImageInfo::default();
    let twin = allocator.create_aliasing_image(&same, image.allocation(), 0).unwrap();
    destroy(&allocator, Resource::Buffer(whole));
    destroy(&allocator, Resource::Buffer(upper));
    destroy(&allocator, Resource::Image(twin));
    allocator.destroy_image(image).unwrap();
    end(allocator);
}

#[test]
fn an_alias_that_cannot_lie_there_is_named_and_destroyed() {
    let allocator = allocator();
    let first = allocator.create_buffer(&buffer(64 * KIB), &Wish::default()).unwrap();
    let place = |size, offset| {
        let made = allocator.create_aliasing_buffer(&buffer(size), first.allocation(), offset);
        match made {
            Err(CreateError::Place(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let past = |offset, size| PlaceError::PastEnd { offset, size, room: 64 * KIB };
    assert_eq!(place(64 * KIB, 4 * KIB), past(4 * KIB, 64 * KIB));
    assert_eq!(place(KIB, u64::MAX), past(u64::MAX, KIB));
    assert!(matches!(place(KIB, 1), PlaceError::Align { .. }));
    let device = allocator.device();
    device.fail(Call::Bind, 1, DeviceError::OutOfDeviceMemory);
    let failed = allocator.create_aliasing_buffer(&buffer(KIB), first.allocation(), 0);
    assert_eq!(failed, Err(CreateError::Bind(DeviceError::OutOfDeviceMemory)));
    device.fail(Call::CreateBuffer, 1, DeviceError::OutOfHostMemory);
    let failed = allocator.create_aliasing_buffer(&buffer(KIB), first.allocation(), 0);
    assert_eq!(failed, Err(CreateError::Create(DeviceError::OutOfHostMemory)));
    assert_eq!(device.live().buffers, 1, "none stays that could not be bound");
    let other = self::allocator();
    let failed = other.create_aliasing_buffer(&buffer(KIB), first.allocation(), 0).unwrap_err();
    let misuse = Misuse::WrongAllocator { expected: other.id(), found: allocator.id() };
    assert_eq!(failed, CreateError::Place(PlaceError::Misuse(misuse)));
    allocator.destroy_buffer(first).unwrap();
    end(other);
    end(allocator);
}

#[test]
fn an_image_s_memory_type_is_checked() {
    let allocator = Allocator::new(Sim::preset(Preset::Mock), Options::default());
    let types = allocator.properties().memory_types.len() as u32;
    let info = ImageInfo::default();
    let image = allocator.device().create_image(&info).unwrap();
    // SAFETY: It was just made.
    let needs = unsafe { allocator.device().requirements(Resource::Image(image)) };
    destroy(&allocator, Resource::Image(image));
    let wrong = (0..types).find(|index| needs.memory_types >> index & 1 == 0).unwrap();
    let wish = Wish { memory_types: 1 << wrong, ..Wish::of(Access::Stated) };
    let large = Requirements { size: needs.size, align: needs.align, ..Requirements::ANY };
    let memory = allocator.allocate(&Request::new(large, wish)).unwrap();
    let failed = allocator.create_aliasing_image(&info, &memory, 0).unwrap_err();
    let error = PlaceError::MemoryType { memory_type: wrong, allowed: needs.memory_types };
    assert_eq!(failed, CreateError::Place(error));
    allocator.free(memory).unwrap();
    end(allocator);
}

#[test]
fn a_block_that_is_made_for_one_resource_takes_no_other() {
    let allocator = allocator();
    let wish = Wish { placement: Placement::Dedicated, ..Wish::default() };
    let alone = allocator.create_buffer(&buffer(KIB), &wish).unwrap();
    let failed = allocator.create_aliasing_buffer(&buffer(KIB), alone.allocation(), 0);
    assert_eq!(failed.unwrap_err(), CreateError::Place(PlaceError::BlockOfOther));
    allocator.destroy_buffer(alone).unwrap();

    let open = Wish { aliasing: Aliasing::Allowed, ..wish };
    let shared = allocator.create_buffer(&buffer(KIB), &open).unwrap();
    let other = allocator.create_aliasing_buffer(&buffer(KIB), shared.allocation(), 0).unwrap();
    let needy = BufferInfo { usage: BufferUsage::EXTERNAL, ..buffer(KIB) };
    let failed = allocator.create_aliasing_buffer(&needy, shared.allocation(), 0);
    assert_eq!(failed.unwrap_err(), CreateError::Place(PlaceError::NeedsOwnBlock));
    destroy(&allocator, Resource::Buffer(other));
    allocator.destroy_buffer(shared).unwrap();
    end(allocator);
}

#[test]
fn memory_for_what_the_user_made_is_bound_when_the_user_wants() {
    let allocator = allocator();
    let device = allocator.device();
    let made = device.create_buffer(&buffer(KIB)).unwrap();
    let resource = Resource::Buffer(made);
    let wish = Wish::default();
    // SAFETY: The buffer was just made by this device.
    let memory = unsafe { allocator.allocate_for(resource, Tiling::Linear, &wish) }.unwrap();
    // SAFETY: The buffer has no memory, and nothing lies in the allocation.
    let failed = unsafe { allocator.bind(resource, &memory, KIB) };
    assert!(matches!(failed, Err(CreateError::Place(PlaceError::PastEnd { .. }))));
    // SAFETY: As above.
    unsafe { allocator.bind(resource, &memory, 0) }.unwrap();
    destroy(&allocator, resource);
    allocator.free(memory).unwrap();
    end(allocator);
}

#[test]
fn an_unbound_resource_has_memory_and_is_bound_later() {
    let allocator = allocator();
    let buffer = allocator.create_unbound_buffer(&buffer(KIB), &Wish::default()).unwrap();
    let image = allocator.create_unbound_image(&ImageInfo::default(), &Wish::default()).unwrap();
    assert_eq!(allocator.device().calls(Call::Bind), 0);
    let resource = Resource::Buffer(buffer.handle());
    // SAFETY: The buffer has no memory, and the allocation is its own.
    unsafe { allocator.bind(resource, buffer.allocation(), 0) }.unwrap();
    allocator.destroy_buffer(buffer).unwrap();
    allocator.destroy_image(image).unwrap();
    end(allocator);
}

#[test]
fn a_dedicated_resource_takes_words_of_the_device_s_own() {
    let allocator = allocator();
    let wish = Wish::default();
    let buffer = allocator.create_dedicated_buffer(&buffer(KIB), &wish, &41).unwrap();
    let image = allocator.create_dedicated_image(&ImageInfo::default(), &wish, &42).unwrap();
    let block = |memory| allocator.device().block(memory).unwrap();
    let (one, two) = (block(buffer.allocation().memory()), block(image.allocation().memory()));
    assert_eq!((one.extra, two.extra), (Some(41), Some(42)));
    assert!(one.dedicated.is_some() && two.dedicated.is_some());
    allocator.destroy_buffer(buffer).unwrap();
    allocator.destroy_image(image).unwrap();
    end(allocator);
}

#[test]
fn pages_come_all_or_none() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let allocator = Allocator::new(sim.clone(), Options { arenas: 1, ..Options::default() });
    let page = Requirements { size: 64 * KIB, align: 64 * KIB, ..Requirements::ANY };
    let request = || Request::new(page, Wish::default());
    let pages: Vec<_> = (0..100).map(|_| request()).collect();
    let before = allocator.snapshot();
    let calls = {
        let made = allocator.allocate_all(&pages).unwrap();
        assert_eq!(made.len(), 100);
        made.into_iter().for_each(|page| allocator.free(page).unwrap());
        allocator.trim();
        sim.calls(Call::Allocate)
    };
    for n in 1..=calls {
        sim.fail(Call::Allocate, n, DeviceError::Lost);
        let failed = allocator.allocate_all(&pages).unwrap_err();
        assert_eq!(failed, AllocError::Device(DeviceError::Lost));
        assert_eq!(allocator.used(), 0, "call {n}: none of them stays");
        allocator.trim();
        assert_eq!(allocator.snapshot(), before, "call {n}: nothing has changed");
    }
    sim.clear_failures();
    let bad = Request::new(Requirements { size: 0, ..page }, Wish::default());
    let failed = allocator.allocate_all(&[request(), bad]).unwrap_err();
    assert_eq!((failed, allocator.used()), (AllocError::ZeroSize, 0));
    assert!(allocator.allocate_all(&[]).unwrap().is_empty());
    end(allocator);
}

#[test]
fn the_type_that_is_found_is_the_one_that_is_given() {
    let allocator = allocator();
    for access in polder_device::Access::ALL {
        let wish = Wish::of(access);
        let info = BufferInfo::default();
        let found = allocator.find_memory_type_for_buffer(&info, &wish).unwrap();
        let buffer = allocator.create_buffer(&info, &wish).unwrap();
        assert_eq!(found, Some(buffer.allocation().memory_type()));
        allocator.destroy_buffer(buffer).unwrap();
        let info = ImageInfo::default();
        let found = allocator.find_memory_type_for_image(&info, &wish).unwrap();
        let made = allocator.create_image(&info, &wish);
        assert_eq!(found, made.as_ref().ok().map(|image| image.allocation().memory_type()));
        made.into_iter().for_each(|image| allocator.destroy_image(image).unwrap());
    }
    end(allocator);
}

#[test]
fn the_type_is_found_without_a_resource_where_the_device_can_say() {
    let mut layout = Preset::AmdNavi31.layout();
    let elder = Sim::new(layout.clone()).unwrap();
    layout.requirements_by_info = true;
    let [elder, younger] =
        [elder, Sim::new(layout).unwrap()].map(|sim| Allocator::new(sim, Options::default()));
    for access in Access::ALL {
        let wish = Wish::of(access);
        let (buffer, image) = (buffer(100), ImageInfo::default());
        let found = |allocator: &Allocator<Sim>| {
            let of_buffer = allocator.find_memory_type_for_buffer(&buffer, &wish).unwrap();
            (of_buffer, allocator.find_memory_type_for_image(&image, &wish).unwrap())
        };
        assert_eq!(found(&younger), found(&elder), "{access:?}");
    }
    let made = |allocator: &Allocator<Sim>| {
        let calls = |call| allocator.device().calls(call);
        calls(Call::CreateBuffer) + calls(Call::CreateImage)
    };
    assert_eq!((made(&younger), made(&elder)), (0, 2 * Access::ALL.len() as u64));
    // What cannot be made is refused as ever.
    assert!(younger.find_memory_type_for_buffer(&buffer(0), &Wish::default()).is_err());
    let flat = ImageInfo { width: 0, ..ImageInfo::default() };
    assert!(younger.find_memory_type_for_image(&flat, &Wish::default()).is_err());
    assert_eq!(younger.device().violations().len(), 2);
    for allocator in [elder, younger] {
        allocator.shutdown().unwrap();
    }
}
