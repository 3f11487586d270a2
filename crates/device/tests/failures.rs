//! Every device call of every public operation fails once: the operation says so or finds another
//! way, the snapshot is the one from before, and nothing leaks.

use polder_device::device::MemoryType;
use polder_device::planner::{Life, Planner, Transient};
use polder_device::sim::{BufferInfo, Call, ImageInfo, Preset, Sim, SimResource};
use polder_device::strategy::{Buddy, Combined, Dedicated, Linear, Rules, Setup, Slab, Tlsf};
use polder_device::{
    Access, Aliasing, Allocation, Allocator, CreateError, DeviceError, Factory, Lifetime, Mapping,
    MemoryProperties, Options, Placement, Request, Requirements, Resource, Resources, Strategy,
    Tiling, Verdict, Wish,
};
use std::sync::Arc;

/// Enough for the longest operation; an operation that made fewer calls ends the search.
const CALLS_MAX: u64 = 64;

fn request(size: u64, wish: Wish<'_>) -> Request<'_, Sim> {
    Request::new(Requirements { size, align: 64, ..Requirements::ANY }, wish)
}

/// Every mixture of wishes that takes another way through the allocator.
fn wishes() -> Vec<Wish<'static>> {
    let mut wishes = Vec::new();
    let accesses = if cfg!(miri) { &[Access::HostRandom] } else { &Access::ALL[..] };
    for &access in accesses {
        for placement in [Placement::Auto, Placement::Dedicated] {
            for lifetime in [Lifetime::General, Lifetime::ShortLived] {
                for mapping in [Mapping::Counted, Mapping::Persistent] {
                    if access.is_host() || mapping == Mapping::Counted {
                        let name = Some("under test");
                        wishes.push(Wish {
                            access,
                            placement,
                            lifetime,
                            mapping,
                            name,
                            ..Wish::default()
                        });
                    }
                }
            }
        }
    }
    wishes
}

/// Runs `operation` with its n-th fallible call failing, for every n. It gives back what it made
/// and says whether it succeeded.
fn fail_every_call(
    preset: Preset,
    prepare: impl Fn(&Allocator<Sim>) -> Vec<Allocation<Sim>>,
    operation: impl Fn(&Allocator<Sim>, &mut [Allocation<Sim>]) -> bool,
) {
    for n in 1..=CALLS_MAX {
        let sim = Sim::preset(preset);
        let allocator = Allocator::new(sim.clone(), Options::default());
        let mut live = prepare(&allocator);
        let (before, alive) = (allocator.snapshot(), sim.live());
        sim.fail_any(n);
        let succeeded = operation(&allocator, &mut live);
        let unused = sim.pending_failures();
        sim.clear_failures();
        allocator.check();
        if !succeeded {
            assert_eq!(allocator.snapshot(), before, "call {n}: nothing has changed");
            assert_eq!((sim.live().blocks, sim.live().buffers), (alive.blocks, alive.buffers));
            assert_eq!(sim.live().images, alive.images);
        }
        live.into_iter().for_each(|allocation| allocator.free(allocation).unwrap());
        allocator.shutdown().expect("nothing leaks");
        let left = sim.live();
        assert_eq!((left.blocks, left.buffers, left.images), (0, 0, 0), "call {n}");
        assert_eq!(sim.violations(), []);
        if unused > 0 {
            assert!(succeeded, "without a failure it succeeds");
            return;
        }
    }
    panic!("an operation makes less than {CALLS_MAX} calls");
}

fn nothing(_: &Allocator<Sim>) -> Vec<Allocation<Sim>> {
    Vec::new()
}

/// Different in what matters; Miri has the patience for the one with non-coherent memory.
const PRESETS: &[Preset] = if cfg!(miri) {
    &[Preset::Adreno630]
} else {
    &[Preset::AmdVega10, Preset::Adreno630, Preset::NvidiaKeplerF0, Preset::Mock]
};

#[test]
fn allocate_from_nothing() {
    for &preset in PRESETS {
        for wish in wishes() {
            for size in [1000, 100 << 20] {
                if cfg!(miri) && size > 1000 {
                    continue;
                }
                fail_every_call(preset, nothing, |allocator, _| {
                    let made = allocator.allocate(&request(size, wish));
                    made.map(|allocation| allocator.free(allocation).unwrap()).is_ok()
                });
            }
        }
    }
}

#[test]
fn allocate_beside_others() {
    let prepare = |allocator: &Allocator<Sim>| {
        Access::ALL
            .into_iter()
            .map(|access| allocator.allocate(&request(5000, Wish::of(access))).unwrap())
            .collect()
    };
    for &preset in PRESETS {
        for wish in wishes() {
            fail_every_call(preset, prepare, |allocator, _| {
                let made = allocator.allocate(&request(1000, wish));
                made.map(|allocation| allocator.free(allocation).unwrap()).is_ok()
            });
        }
    }
}

#[test]
fn write_and_read() {
    let prepare = |allocator: &Allocator<Sim>| {
        vec![allocator.allocate(&request(5000, Wish::of(Access::HostRandom))).unwrap()]
    };
    for &preset in PRESETS {
        fail_every_call(preset, prepare, |allocator, live| {
            allocator.write(&mut live[0], 10, &[7; 100]).is_ok()
        });
        fail_every_call(preset, prepare, |allocator, live| {
            allocator.read(&live[0], 10, &mut [0; 100]).is_ok()
        });
        fail_every_call(preset, prepare, |allocator, live| {
            let mapped = allocator.map(&live[0]).is_ok();
            mapped && allocator.unmap(&live[0]).is_ok()
        });
    }
}

/// Ways by which a resource and its memory come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Both at once.
    Whole,
    /// In a block of its own with words of the device's.
    Dedicated,
    /// Bound later.
    Unbound,
    /// The user made the resource.
    Apart,
}

const WAYS: [Way; 4] = [Way::Whole, Way::Dedicated, Way::Unbound, Way::Apart];

/// Both under the native run; Miri has the patience for one.
const ALIASINGS: &[Aliasing] =
    if cfg!(miri) { &[Aliasing::Never] } else { &[Aliasing::Never, Aliasing::Allowed] };

/// Of what sort the resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Buffer,
    Image,
}

const SORTS: [Sort; 2] = [Sort::Buffer, Sort::Image];

/// How the bytes of one lie.
fn tiling(sort: Sort) -> Tiling {
    match sort {
        Sort::Buffer => Tiling::Linear,
        Sort::Image => ImageInfo::default().tiling,
    }
}

/// Destroys what nobody uses.
fn destroy(device: &Sim, resource: SimResource) {
    // SAFETY: The caller made it and uses it no more.
    unsafe { device.destroy(resource) };
}

/// A resource without memory, as a user makes it.
fn make(device: &Sim, sort: Sort) -> Result<SimResource, DeviceError> {
    match sort {
        Sort::Buffer => device.create_buffer(&BufferInfo::default()).map(Resource::Buffer),
        Sort::Image => device.create_image(&ImageInfo::default()).map(Resource::Image),
    }
}

/// Makes a resource with its memory, and gives both back. Says whether that succeeded; what came
/// before a failure is given up, as by a program that knows what it had.
fn come_and_go<S: Strategy<Sim>>(strategy: &S, way: Way, sort: Sort, wish: &Wish<'_>) -> bool {
    let (buffer, image) = (BufferInfo::default(), ImageInfo::default());
    let device = strategy.device();
    let (resource, memory) = match (way, sort) {
        (Way::Whole | Way::Dedicated, Sort::Buffer) => {
            let made = match way {
                Way::Whole => strategy.create_buffer(&buffer, wish),
                _ => strategy.create_dedicated_buffer(&buffer, wish, &41),
            };
            return made.map(|made| strategy.destroy_buffer(made).unwrap()).is_ok();
        }
        (Way::Whole | Way::Dedicated, Sort::Image) => {
            let made = match way {
                Way::Whole => strategy.create_image(&image, wish),
                _ => strategy.create_dedicated_image(&image, wish, &42),
            };
            return made.map(|made| strategy.destroy_image(made).unwrap()).is_ok();
        }
        (Way::Unbound, Sort::Buffer) => {
            let Ok(made) = strategy.create_unbound_buffer(&buffer, wish) else { return false };
            let (handle, memory) = made.into_parts();
            (Resource::Buffer(handle), memory)
        }
        (Way::Unbound, Sort::Image) => {
            let Ok(made) = strategy.create_unbound_image(&image, wish) else { return false };
            let (handle, memory) = made.into_parts();
            (Resource::Image(handle), memory)
        }
        (Way::Apart, _) => {
            let Ok(resource) = make(device, sort) else { return false };
            // SAFETY: The resource was just made by this device.
            let memory = unsafe { strategy.allocate_for(resource, tiling(sort), wish) };
            let Ok(memory) = memory else {
                destroy(device, resource);
                return false;
            };
            (resource, memory)
        }
    };
    // SAFETY: The resource has no memory, and the allocation is its own.
    let bound = unsafe { strategy.bind(resource, &memory, 0) };
    destroy(device, resource);
    match bound {
        Ok(()) => strategy.free(memory).unwrap(),
        Err(_) => strategy.undo(memory).unwrap(),
    }
    bound.is_ok()
}

#[test]
fn resources_and_memory_apart() {
    for &preset in PRESETS {
        for wish in wishes() {
            for &aliasing in ALIASINGS {
                for (way, sort) in WAYS.into_iter().flat_map(|way| SORTS.map(|sort| (way, sort))) {
                    let wish = Wish { aliasing, ..wish };
                    fail_every_call(preset, nothing, |allocator, _| {
                        come_and_go(allocator, way, sort, &wish)
                    });
                }
            }
        }
    }
}

#[test]
fn aliases() {
    for &preset in PRESETS {
        for sort in SORTS {
            // What is as if made for the resource, and empty.
            let prepare = |allocator: &Allocator<Sim>| {
                let wish = Wish { aliasing: Aliasing::Allowed, ..Wish::default() };
                let resource = make(allocator.device(), sort).unwrap();
                // SAFETY: The resource was just made by this device.
                let memory = unsafe { allocator.allocate_for(resource, tiling(sort), &wish) };
                destroy(allocator.device(), resource);
                vec![memory.unwrap()]
            };
            fail_every_call(preset, prepare, |allocator, live| {
                let made = match sort {
                    Sort::Buffer => allocator
                        .create_aliasing_buffer(&BufferInfo::default(), &live[0], 0)
                        .map(Resource::Buffer),
                    Sort::Image => allocator
                        .create_aliasing_image(&ImageInfo::default(), &live[0], 0)
                        .map(Resource::Image),
                };
                made.map(|resource| destroy(allocator.device(), resource)).is_ok()
            });
        }
    }
}

#[test]
fn pools_and_plans() {
    let needs = Requirements { size: 100_000, align: 256, ..Requirements::ANY };
    let of = |memory_types| Transient {
        requirements: Requirements { memory_types, ..needs },
        tiling: Tiling::Linear,
        life: Life { first: 0, last: 0 },
    };
    for &preset in PRESETS {
        fail_every_call(preset, nothing, |allocator, _| {
            let memory_type = allocator.find_memory_type(u32::MAX, &Wish::default()).unwrap();
            let rules = Rules { blocks_least: 3, ..Rules::default() };
            let setup = Setup { memory_type, rules, ..Setup::default() };
            allocator.create_pool(&setup, &[]).is_ok()
        });
        // Two types that will do, where there are two: a group each.
        let allocator = Allocator::new(Sim::preset(preset), Options::default());
        let types = allocator.explain(u32::MAX, &Wish::default()).types;
        let fits = |verdict: &Verdict| matches!(verdict, Verdict::Fits { .. });
        let types = types.iter().filter(|(.., verdict)| fits(verdict)).take(2);
        let resources: Vec<_> = types.map(|(index, ..)| of(1 << index)).collect();
        let plan = Planner::default().plan(&resources).unwrap();
        fail_every_call(preset, nothing, |allocator, _| {
            let made = plan.allocate(allocator, &Wish::default());
            made.map(|memory| memory.free(allocator).unwrap()).is_ok()
        });
    }
}

/// The same for a strategy alone: each way by which a resource and its memory come together, and
/// a buffer that is mapped all its life, written and destroyed.
fn fail_every_call_of<S: Strategy<Sim>>(make: impl Fn(Arc<Sim>, u32) -> S) {
    let wish = Wish { mapping: Mapping::Persistent, ..Wish::of(Access::HostRandom) };
    fail_every_call_in(&make, |strategy| {
        let made = strategy.create_buffer(&BufferInfo::default(), &wish);
        made.map(|mut buffer| {
            let _ = strategy.write(buffer.allocation_mut(), 5, &[1; 100]);
            let _ = strategy.read(buffer.allocation(), 5, &mut [0; 100]);
            strategy.destroy_buffer(buffer).unwrap();
        })
        .is_ok()
    });
    for way in WAYS {
        fail_every_call_in(&make, |strategy| come_and_go(strategy, way, Sort::Buffer, &wish));
    }
}

fn fail_every_call_in<S: Strategy<Sim>>(
    make: impl Fn(Arc<Sim>, u32) -> S,
    operation: impl Fn(&S) -> bool,
) {
    for &preset in PRESETS {
        for n in 1..=CALLS_MAX {
            let sim = Sim::preset(preset);
            let kinds = &sim.layout().properties.memory_types;
            let is_visible =
                |kind: &MemoryType| kind.properties.contains(MemoryProperties::HOST_VISIBLE);
            let memory_type = kinds.iter().position(is_visible).unwrap() as u32;
            let strategy = make(Arc::new(sim.clone()), memory_type);
            sim.fail_any(n);
            let succeeded = operation(&strategy);
            let unused = sim.pending_failures();
            if !succeeded {
                assert_eq!((strategy.held(), sim.live().buffers), (0, 0), "call {n}");
            }
            assert!(strategy.dispose().is_ok(), "nothing leaks");
            assert_eq!((sim.live().blocks, sim.live().buffers), (0, 0), "call {n}");
            assert_eq!(sim.violations(), []);
            if unused > 0 {
                assert!(succeeded, "without a failure it succeeds");
                break;
            }
        }
    }
}

fn setup<C: Default>(memory_type: u32) -> Setup<C, u64> {
    Setup { memory_type, ..Setup::default() }
}

#[test]
fn strategies_alone() {
    fail_every_call_of(|device, kind| Tlsf::new(device, setup(kind)));
    fail_every_call_of(|device, kind| Linear::new(device, setup(kind)));
    fail_every_call_of(|device, kind| Slab::new(device, setup(kind)));
    fail_every_call_of(|device, kind| Buddy::new(device, setup(kind)));
    fail_every_call_of(|device, kind| Dedicated::new(device, setup(kind)));
    fail_every_call_of(|device, kind| {
        let general = Tlsf::new(device.clone(), setup(kind));
        Combined::new(Linear::new(device, setup(kind)), general).unwrap()
    });
}

#[test]
#[cfg_attr(miri, ignore = "thousands of failures, and the ways are those of the tests above")]
fn whatever_fails_again_and_again_leaves_nothing() {
    let persistent = Wish { mapping: Mapping::Persistent, ..Wish::of(Access::HostRandom) };
    for call in [Call::Map, Call::Allocate] {
        for error in [DeviceError::OutOfDeviceMemory, DeviceError::MapFailed, DeviceError::Lost] {
            let sim = Sim::preset(Preset::AmdVega10);
            let allocator = Allocator::new(sim.clone(), Options::default());
            let before = allocator.snapshot();
            (1..=1000).for_each(|n| sim.fail(call, n, error));
            let failed = allocator.create_buffer(&BufferInfo::default(), &persistent);
            assert!(failed.is_err(), "{call:?} {error:?}");
            assert_eq!(allocator.snapshot(), before, "{call:?} {error:?}");
            sim.clear_failures();
            sim.fail(call, 1, error);
            let retried = allocator.create_buffer(&BufferInfo::default(), &persistent);
            let helps = call == Call::Map && error != DeviceError::Lost;
            let helps = helps || error == DeviceError::OutOfDeviceMemory;
            assert_eq!(retried.is_ok(), helps, "{call:?} {error:?}: another way is found");
            if let Ok(buffer) = retried {
                allocator.destroy_buffer(buffer).unwrap();
            }
            allocator.shutdown().unwrap();
            assert_eq!((sim.live().blocks, sim.violations().len()), (0, 0));
        }
    }
}

#[test]
fn flush_and_invalidate() {
    for call in [Call::Flush, Call::Invalidate] {
        let sim = Sim::preset(Preset::Mock);
        let allocator = Allocator::new(sim.clone(), Options::default());
        let wish = Wish::of(Access::HostReads);
        let allocation = allocator.allocate(&request(5000, wish)).unwrap();
        allocator.map(&allocation).unwrap();
        let before = allocator.snapshot();
        sim.fail(call, 1, DeviceError::OutOfHostMemory);
        let flushed = allocator.flush(&allocation, 10..90);
        let invalidated = allocator.invalidate(&allocation, 10..90);
        assert!(flushed.is_err() != invalidated.is_err(), "one of them failed");
        assert_eq!(allocator.snapshot(), before);
        allocator.free(allocation).unwrap();
        allocator.shutdown().unwrap();
    }
}

#[test]
fn the_error_names_the_step() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let create = || allocator.create_buffer(&BufferInfo::default(), &Wish::default()).unwrap_err();
    let lost = DeviceError::Lost;
    sim.fail(Call::CreateBuffer, 1, lost);
    assert_eq!(create(), CreateError::Create(lost));
    sim.fail(Call::Allocate, 1, lost);
    assert!(matches!(create(), CreateError::Allocate(_)));
    sim.fail(Call::Bind, 1, lost);
    assert_eq!(create(), CreateError::Bind(lost));
    assert_eq!(sim.live().buffers, 0);
}
