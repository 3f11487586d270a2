//! The device's answers, in the heap's words.

use crate::features::Features;
use ash::vk;
use polder_device::device::{DeviceKind, Group, Heap, Limits, MemoryType};
use polder_device::{DeviceProperties, MemoryProperties};

/// What every device gives in one block, where it cannot be asked (beneath Vulkan 1.1): the least
/// value that Vulkan allows for `maxMemoryAllocationSize`.
const BLOCK_SIZE_MAX_LEAST: u64 = 1 << 30;

/// Asks a group of physical devices, which are alike, for what never changes.
///
/// # Safety
///
/// - `instance` is live, and each of `physical_devices`, at least one, is one of its.
/// - All have the version that `features` names.
pub(crate) unsafe fn ask(
    instance: &ash::Instance,
    physical_devices: &[vk::PhysicalDevice],
    features: &Features,
) -> DeviceProperties {
    let physical_device = physical_devices[0];
    // SAFETY: The caller promises that the instance is live and the physical device its own.
    let device = unsafe { instance.get_physical_device_properties(physical_device) };
    // SAFETY: As above.
    let memory = unsafe { instance.get_physical_device_memory_properties(physical_device) };
    let block_size_max = match features.is_1_1() {
        // SAFETY: As above; Vulkan 1.1 is there, by the caller's word in `features`.
        true => unsafe { block_size_max(instance, physical_device) },
        false => BLOCK_SIZE_MAX_LEAST,
    };
    DeviceProperties {
        name: name(&device),
        kind: kind(device.device_type),
        api_version: api_version(device.api_version),
        heaps: memory.memory_heaps_as_slice().iter().map(heap).collect(),
        memory_types: memory.memory_types_as_slice().iter().map(memory_type).collect(),
        limits: limits(&device.limits, block_size_max),
        group: group(physical_devices.len() as u32, memory.memory_heaps_as_slice()),
    }
}

/// Returns a bit for each memory type that Vulkan lets a program with `features` allocate from.
pub(crate) fn usable_types(memory_types: &[MemoryType], features: &Features) -> u32 {
    let mut forbidden = MemoryProperties::empty();
    // Uncached types are device coherent too, and stand under the same rule.
    forbidden.set(MemoryProperties::DEVICE_COHERENT, !features.device_coherent_memory);
    forbidden.set(MemoryProperties::DEVICE_UNCACHED, !features.device_coherent_memory);
    forbidden.set(MemoryProperties::PROTECTED, !features.protected_memory);
    let usable = |one: &MemoryType| !one.properties.intersects(forbidden);
    memory_types.iter().rev().fold(0, |bits, one| bits << 1 | u32::from(usable(one)))
}

/// # Safety
///
/// As for [`ask`]; the version is at least 1.1.
unsafe fn block_size_max(instance: &ash::Instance, physical_device: vk::PhysicalDevice) -> u64 {
    let mut maintenance3 = vk::PhysicalDeviceMaintenance3Properties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut maintenance3);
    // SAFETY: The caller promises a live instance with Vulkan 1.1 and a physical device of its,
    // with Vulkan 1.1 too; the chained structure is part of that version.
    unsafe { instance.get_physical_device_properties2(physical_device, &mut properties) };
    maintenance3.max_memory_allocation_size
}

/// Asks for the largest buffer that may be made; as large as can be said where nothing forbids it.
///
/// # Safety
///
/// As for [`ask`].
pub(crate) unsafe fn buffer_size_max(
    instance: &ash::Instance,
    physical_device: vk::PhysicalDevice,
    features: &Features,
) -> u64 {
    if !features.maintenance4 {
        return u64::MAX;
    }
    let mut maintenance4 = vk::PhysicalDeviceMaintenance4Properties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut maintenance4);
    // SAFETY: As above; the feature stands on Vulkan 1.1, and the chained structure belongs to it.
    unsafe { instance.get_physical_device_properties2(physical_device, &mut properties) };
    match maintenance4.max_buffer_size {
        // Vulkan allows no such value; it is that of a driver that has not filled it.
        0 => u64::MAX,
        size => size,
    }
}

fn name(device: &vk::PhysicalDeviceProperties) -> String {
    // A driver that forgets the closing zero has no name.
    let name = device.device_name_as_c_str().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn api_version(version: u32) -> [u32; 3] {
    let (major, minor) = (vk::api_version_major(version), vk::api_version_minor(version));
    [major, minor, vk::api_version_patch(version)]
}

fn kind(device_type: vk::PhysicalDeviceType) -> DeviceKind {
    match device_type {
        vk::PhysicalDeviceType::DISCRETE_GPU => DeviceKind::DiscreteGpu,
        vk::PhysicalDeviceType::INTEGRATED_GPU => DeviceKind::IntegratedGpu,
        vk::PhysicalDeviceType::VIRTUAL_GPU => DeviceKind::VirtualGpu,
        vk::PhysicalDeviceType::CPU => DeviceKind::Cpu,
        _ => DeviceKind::Other,
    }
}

/// The heaps of which each of so many devices has its own; none, where there is one device.
fn group(devices: u32, heaps: &[vk::MemoryHeap]) -> Group {
    let is_own = |heap: &vk::MemoryHeap| {
        devices > 1 && heap.flags.contains(vk::MemoryHeapFlags::MULTI_INSTANCE)
    };
    let heaps = heaps.iter().rev().fold(0, |bits, heap| bits << 1 | u32::from(is_own(heap)));
    Group { devices, heaps }
}

fn heap(heap: &vk::MemoryHeap) -> Heap {
    let device_local = heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL);
    Heap { size: heap.size, device_local }
}

fn memory_type(one: &vk::MemoryType) -> MemoryType {
    // Properties that are not known here cannot be wished for, and change nothing.
    let properties = MemoryProperties::from_bits_truncate(one.property_flags.as_raw());
    MemoryType { properties, heap: one.heap_index }
}

fn limits(limits: &vk::PhysicalDeviceLimits, block_size_max: u64) -> Limits {
    Limits {
        granularity: limits.buffer_image_granularity,
        non_coherent_atom_size: limits.non_coherent_atom_size,
        block_count_max: u64::from(limits.max_memory_allocation_count),
        block_size_max,
        map_align_min: limits.min_memory_map_alignment as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_heaps_with_several_instances() {
        let heap = |flags| vk::MemoryHeap { size: 1, flags };
        let own = vk::MemoryHeapFlags::DEVICE_LOCAL | vk::MemoryHeapFlags::MULTI_INSTANCE;
        let heaps = [heap(vk::MemoryHeapFlags::empty()), heap(own), heap(own)];
        assert_eq!(group(2, &heaps), Group { devices: 2, heaps: 0b110 });
        assert_eq!(group(1, &heaps), Group::default(), "one device has one instance of all");
    }

    #[test]
    fn types_behind_a_switch_are_usable_only_when_it_is_on() {
        let plain = MemoryProperties::DEVICE_LOCAL;
        let coherent = MemoryProperties::DEVICE_COHERENT | MemoryProperties::DEVICE_UNCACHED;
        let all = [plain, plain | coherent, plain | MemoryProperties::PROTECTED];
        let memory_types = all.map(|properties| MemoryType { properties, heap: 0 });

        let none = Features::default();
        let coherent = Features { device_coherent_memory: true, ..none };
        let protected = Features { protected_memory: true, ..none };
        assert_eq!(usable_types(&memory_types, &none), 0b001);
        assert_eq!(usable_types(&memory_types, &coherent), 0b011);
        assert_eq!(usable_types(&memory_types, &protected), 0b101);
    }
}
