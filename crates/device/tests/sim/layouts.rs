//! Layouts that are no device.

use super::*;

fn error_of(change: impl FnOnce(&mut Layout)) -> LayoutError {
    let mut layout = layout();
    change(&mut layout);
    Sim::new(layout).map(|_| ()).unwrap_err()
}

#[test]
fn heaps_and_memory_types_are_checked() {
    let no_heap = error_of(|layout| layout.properties.heaps.clear());
    assert_eq!(no_heap, LayoutError::NoHeap);
    let heap = Heap { size: 1, device_local: false };
    let many = error_of(|layout| layout.properties.heaps = vec![heap; 17]);
    assert_eq!(many, LayoutError::TooManyHeaps { count: 17 });
    let empty = error_of(|layout| layout.properties.heaps[0].size = 0);
    assert_eq!(empty, LayoutError::EmptyHeap { heap: 0 });
    let no_type = error_of(|layout| layout.properties.memory_types.clear());
    assert_eq!(no_type, LayoutError::NoMemoryType);
    let kind = MemoryType { properties: MemoryProperties::empty(), heap: 0 };
    let many = error_of(|layout| layout.properties.memory_types = vec![kind; 33]);
    assert_eq!(many, LayoutError::TooManyMemoryTypes { count: 33 });
    let bad = error_of(|layout| layout.properties.memory_types[2].heap = 3);
    assert_eq!(bad, LayoutError::BadHeap { memory_type: 2, heap: 3, heaps: 1 });
    let properties = MemoryProperties::HOST_COHERENT;
    let bad = error_of(|layout| layout.properties.memory_types[1].properties = properties);
    assert_eq!(bad, LayoutError::BadProperties { memory_type: 1, properties });
    let properties = MemoryProperties::HOST_VISIBLE | MemoryProperties::PROTECTED;
    let bad = error_of(|layout| layout.properties.memory_types[1].properties = properties);
    assert_eq!(bad, LayoutError::BadProperties { memory_type: 1, properties });
}

#[test]
fn groups_are_checked() {
    let one = Group { devices: 1, heaps: 1 };
    let wrong = [Group { devices: 0, ..one }, Group { devices: 33, ..one }];
    for group in wrong.into_iter().chain([Group { devices: 2, heaps: 0b11 }]) {
        let error = error_of(|layout| layout.properties.group = group);
        assert_eq!(error, LayoutError::BadGroup { group, heaps: 1 });
    }
    let mut most = layout();
    most.properties.group = Group { devices: 32, ..one };
    assert!(Sim::new(most).is_ok());
}

#[test]
fn limits_are_checked() {
    type Field = fn(&mut Layout) -> &mut u64;
    let powers: [(&str, Field); 8] = [
        ("granularity", |layout| &mut layout.properties.limits.granularity),
        ("non_coherent_atom_size", |layout| &mut layout.properties.limits.non_coherent_atom_size),
        ("map_align_min", |layout| &mut layout.properties.limits.map_align_min),
        ("uniform_align_min", |layout| &mut layout.resources.uniform_align_min),
        ("storage_align_min", |layout| &mut layout.resources.storage_align_min),
        ("copy_offset_align", |layout| &mut layout.resources.copy_offset_align),
        ("optimal_align_min", |layout| &mut layout.resources.optimal_align_min),
        ("optimal_align_max", |layout| &mut layout.resources.optimal_align_max),
    ];
    for (name, field) in powers {
        for value in [0, 3, 48] {
            let error = error_of(|layout| *field(layout) = value);
            assert_eq!(error, LayoutError::NotPowerOfTwo { name, value });
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    let zero = error_of(|layout| layout.properties.limits.block_count_max = 0);
    assert_eq!(zero, LayoutError::ZeroLimit { name: "block_count_max" });
    let zero = error_of(|layout| layout.properties.limits.block_size_max = 0);
    assert_eq!(zero, LayoutError::ZeroLimit { name: "block_size_max" });
}
