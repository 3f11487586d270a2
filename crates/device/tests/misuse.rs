//! Every misuse is a typed error that names the values, hands the allocation back and changes
//! nothing.

use polder_device::sim::{BufferInfo, Preset, Sim};
use polder_device::strategy::{Coherence, Setup, Span, SpanMut, Tlsf};
use polder_device::{
    Access, AllocError, Allocator, CreateError, Factory, MapError, Mapping, Misuse, Options,
    Request, Requirements, Strategy, Wish,
};
use std::sync::Arc;

fn request(size: u64, align: u64, access: Access) -> Request<'static, Sim> {
    Request::new(Requirements { size, align, ..Requirements::ANY }, Wish::of(access))
}

fn allocator() -> Allocator<Sim> {
    Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default())
}

#[test]
fn a_free_in_the_wrong_allocator_hands_the_allocation_back() {
    let (one, other) = (allocator(), allocator());
    let allocation = one.allocate(&request(100, 4, Access::DeviceOnly)).unwrap();
    let (before, id) = (one.snapshot(), allocation.id());
    let error = other.free(allocation).unwrap_err();
    let expected = Misuse::WrongAllocator { expected: other.id(), found: one.id() };
    assert_eq!((error.reason, error.allocation.id()), (expected, id));
    assert_eq!(one.snapshot(), before);
    one.free(error.allocation).unwrap();
}

#[test]
fn a_second_free_is_stale_even_when_the_slot_lives_again() {
    let allocator = allocator();
    let small = request(100, 4, Access::HostRandom);
    let allocation = allocator.allocate(&small).unwrap();
    // SAFETY: The twin touches no memory; it is only freed.
    let twin = unsafe { allocator.handle(allocation.id()) }.unwrap();
    assert_eq!(twin.offset(), allocation.offset());
    allocator.free(allocation).unwrap();
    let error = allocator.free(twin).unwrap_err();
    let id = error.allocation.id();
    assert_eq!(error.reason, Misuse::Stale { id, generation: id.generation });
    let again = allocator.allocate(&small).unwrap();
    assert_eq!(again.id().slot, id.slot, "the slot lives again");
    let before = allocator.snapshot();
    let error = allocator.free(error.allocation).unwrap_err();
    assert_eq!(error.reason, Misuse::Stale { id, generation: id.generation + 1 });
    // SAFETY: The id is stale, so there is no handle.
    assert!(unsafe { allocator.handle(id) }.is_err());
    assert_eq!(allocator.map(&error.allocation), Err(MapError::Misuse(error.reason)));
    assert_eq!(allocator.snapshot(), before);
    allocator.free(again).unwrap();
}

#[test]
fn bad_requests_are_named() {
    let allocator = allocator();
    let before = allocator.snapshot();
    let error =
        |size, align| allocator.allocate(&request(size, align, Access::DeviceOnly)).unwrap_err();
    assert_eq!(error(0, 4), AllocError::ZeroSize);
    assert_eq!(error(64, 0), AllocError::BadAlign { align: 0 });
    assert_eq!(error(64, 24), AllocError::BadAlign { align: 24 });
    let most = 4_294_967_292;
    assert!(matches!(error(most + 1, 4), AllocError::TooLarge { size, most: m, .. }
        if size == most + 1 && m == most));
    assert!(matches!(error(u64::MAX, 1 << 63), AllocError::TooLarge { .. }));
    let mut none = request(64, 4, Access::DeviceOnly);
    none.requirements.memory_types = 0;
    let error = allocator.allocate(&none).unwrap_err();
    assert!(matches!(error, AllocError::NoMemoryType { memory_types: 0, .. }));
    assert_eq!(allocator.snapshot(), before);
}

#[test]
fn host_access_stays_in_the_allocation() {
    let allocator = allocator();
    let mut allocation = allocator.allocate(&request(100, 4, Access::HostRandom)).unwrap();
    let past = |offset, len| MapError::PastEnd { offset, len, size: 100 };
    assert_eq!(allocator.write(&mut allocation, 99, &[1, 2]), Err(past(99, 2)));
    assert_eq!(allocator.write(&mut allocation, u64::MAX, &[1]), Err(past(u64::MAX, 1)));
    assert_eq!(allocator.read(&allocation, 101, &mut []), Err(past(101, 0)));
    assert_eq!(allocator.flush(&allocation, 0..101), Err(past(0, 101)));
    assert_eq!(allocator.invalidate(&allocation, 50..200), Err(past(50, 150)));
    assert_eq!(allocator.write(&mut allocation, 100, &[]), Ok(()));
    allocator.free(allocation).unwrap();
}

#[test]
fn coherence_stays_in_the_allocation() {
    let allocator = Allocator::new(Sim::preset(Preset::Mock), Options::default());
    let allocation = allocator.allocate(&request(100, 4, Access::HostReads)).unwrap();
    allocator.map(&allocation).unwrap();
    for range in [0..1000, 1 << 40..1 << 41, u64::MAX - 1..u64::MAX] {
        let error = allocator.make_coherent(&allocation, range, Coherence::Flush).unwrap_err();
        assert!(matches!(error, MapError::PastEnd { size: 100, .. }), "{error}");
    }
    allocator.unmap(&allocation).unwrap();
    allocator.free(allocation).unwrap();
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn a_copy_stays_in_both_allocations() {
    let allocator = Allocator::new(Sim::preset(Preset::Mock), Options::default());
    let make = || allocator.allocate(&request(100, 4, Access::HostReads)).unwrap();
    let (mut from, mut to) = (make(), make());
    allocator.write(&mut from, 10, &[5; 20]).unwrap();
    let mut copy = |len| {
        let source = Span { allocation: &from, offset: 10 };
        let target = SpanMut { allocation: &mut to, offset: 70 };
        allocator.copy(source, target, len)
    };
    assert_eq!(copy(31), Err(MapError::PastEnd { offset: 70, len: 31, size: 100 }));
    assert_eq!(copy(91), Err(MapError::PastEnd { offset: 10, len: 91, size: 100 }));
    assert_eq!(copy(20), Ok(()));
    let mut bytes = [0; 20];
    allocator.read(&to, 70, &mut bytes).unwrap();
    assert_eq!(bytes, [5; 20]);
    allocator.free(from).unwrap();
    allocator.free(to).unwrap();
}

#[test]
fn memory_that_the_host_cannot_see_is_not_mapped() {
    let allocator = allocator();
    let mut allocation = allocator.allocate(&request(100, 4, Access::DeviceOnly)).unwrap();
    let error = MapError::NotHostVisible { memory_type: 0 };
    assert_eq!(allocator.map(&allocation), Err(error));
    assert_eq!(allocator.write(&mut allocation, 0, &[1]), Err(error));
    allocator.free(allocation).unwrap();
}

#[test]
fn unmaps_without_maps_are_refused_and_a_handles_own_mapping_stays() {
    let allocator = allocator();
    let counted = allocator.allocate(&request(100, 4, Access::HostWrites)).unwrap();
    let not_mapped = |id| Err(MapError::NotMapped { id });
    assert_eq!(allocator.unmap(&counted), not_mapped(counted.id()));
    let (one, two) = (allocator.map(&counted).unwrap(), allocator.map(&counted).unwrap());
    assert_eq!(one, two);
    allocator.unmap(&counted).unwrap();
    allocator.unmap(&counted).unwrap();
    assert_eq!(allocator.unmap(&counted), not_mapped(counted.id()));

    let mut wanted = request(100, 4, Access::HostWrites);
    wanted.wish.mapping = Mapping::Persistent;
    let persistent = allocator.allocate(&wanted).unwrap();
    assert!(persistent.pointer().is_some());
    assert_eq!(allocator.unmap(&persistent), not_mapped(persistent.id()));
    allocator.free(persistent).unwrap();
    allocator.free(counted).unwrap();
}

#[test]
fn freeing_a_mapped_allocation_ends_its_mappings() {
    let allocator = allocator();
    let allocation = allocator.allocate(&request(100, 4, Access::HostWrites)).unwrap();
    allocator.map(&allocation).unwrap();
    allocator.free(allocation).unwrap();
    allocator.check();
}

#[test]
fn a_resource_destroyed_in_the_wrong_place_stays_whole() {
    let (one, other) = (allocator(), allocator());
    let info = BufferInfo { size: 256, ..BufferInfo::default() };
    let buffer = one.create_buffer(&info, &Wish::default()).unwrap();
    let error = other.destroy_buffer(buffer).unwrap_err();
    assert!(matches!(error.reason, Misuse::WrongAllocator { .. }));
    one.destroy_buffer(error.allocation).unwrap();
    assert_eq!(one.device().violations(), []);
}

#[test]
fn a_bad_info_fails_in_the_first_step() {
    let allocator = allocator();
    let info = BufferInfo { size: 0, ..BufferInfo::default() };
    let error = allocator.create_buffer(&info, &Wish::default()).unwrap_err();
    assert!(matches!(error, CreateError::Create(_)), "{error}");
}

#[test]
fn a_strategy_in_use_comes_back_from_dispose() {
    let tlsf = Tlsf::new(Arc::new(Sim::preset(Preset::Lavapipe)), Setup::default());
    let allocation = tlsf.allocate(&request(100, 4, Access::DeviceOnly)).unwrap();
    let in_use = tlsf.dispose().unwrap_err();
    assert_eq!(in_use.live, [allocation.id()]);
    in_use.strategy.free(allocation).unwrap();
    assert!(in_use.strategy.dispose().is_ok());
}
