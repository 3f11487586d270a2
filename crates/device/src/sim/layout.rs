//! What a software device is made from.

use super::resources::ResourceRules;
use crate::device::{
    DEVICES_MAX, DeviceKind, DeviceProperties, Group, HEAPS_MAX, Heap, Limits, MEMORY_TYPES_MAX,
    MemoryProperties, MemoryType,
};
use thiserror::Error;

/// A software device on paper: [`Sim::new`](super::Sim::new) makes it work.
///
/// Begin with a [preset's](super::Preset::layout), or with the default (256 MiB in one heap, one
/// memory type that does everything), and change what matters.
///
/// ```
/// use polder_device::sim::{Layout, Sim};
/// let mut layout = Layout::default();
/// layout.properties.limits.granularity = 4096;
/// assert!(Sim::new(layout).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Heaps, memory types and limits.
    pub properties: DeviceProperties,
    /// The driver's name, for people.
    pub driver: String,
    /// The version of Vulkan that the driver answers, for people.
    pub api: String,
    /// What resources need of their memory.
    pub resources: ResourceRules,
    /// Whether the device knows sparse resources; the software device has none of its own.
    pub sparse_binding: bool,
    /// Whether [`budgets`](crate::Device::budgets) answers.
    pub memory_budget: bool,
    /// Whether the device heeds priorities.
    pub memory_priority: bool,
    /// Whether the device says what a resource would need without one being made.
    pub requirements_by_info: bool,
}

impl Default for Layout {
    fn default() -> Self {
        let everything = MemoryProperties::DEVICE_LOCAL
            | MemoryProperties::HOST_VISIBLE
            | MemoryProperties::HOST_COHERENT
            | MemoryProperties::HOST_CACHED;
        Self {
            properties: DeviceProperties {
                name: "software device".to_owned(),
                kind: DeviceKind::Cpu,
                api_version: [1, 0, 0],
                heaps: vec![Heap { size: 256 << 20, device_local: true }],
                memory_types: vec![MemoryType { properties: everything, heap: 0 }],
                limits: Limits {
                    granularity: 1,
                    non_coherent_atom_size: 64,
                    block_count_max: 4096,
                    block_size_max: 256 << 20,
                    map_align_min: 64,
                },
                group: Group::default(),
            },
            driver: "polder".to_owned(),
            api: String::new(),
            resources: ResourceRules::default(),
            sparse_binding: false,
            memory_budget: true,
            memory_priority: false,
            requirements_by_info: false,
        }
    }
}

/// Why a layout is no device: change the value that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// There is no heap.
    #[error("a device has at least one heap")]
    NoHeap,
    /// There are too many heaps.
    #[error("a device has at most {HEAPS_MAX} heaps, not {count}")]
    TooManyHeaps {
        /// How many there are.
        count: usize,
    },
    /// A heap is empty.
    #[error("heap {heap} has no bytes")]
    EmptyHeap {
        /// The heap.
        heap: usize,
    },
    /// There is no memory type.
    #[error("a device has at least one memory type")]
    NoMemoryType,
    /// There are too many memory types.
    #[error("a device has at most {MEMORY_TYPES_MAX} memory types, not {count}")]
    TooManyMemoryTypes {
        /// How many there are.
        count: usize,
    },
    /// A memory type takes from a heap that is not there.
    #[error("memory type {memory_type} is of heap {heap}, and there are {heaps}")]
    BadHeap {
        /// The memory type.
        memory_type: usize,
        /// Its heap.
        heap: u32,
        /// How many heaps there are.
        heaps: usize,
    },
    /// A memory type's properties contradict each other: coherent or cached memory is
    /// host-visible, lazily allocated and protected memory is not.
    #[error("memory type {memory_type} cannot be {properties:?}")]
    BadProperties {
        /// The memory type.
        memory_type: usize,
        /// What it says.
        properties: MemoryProperties,
    },
    /// A group has no device, too many, or a heap that is not there.
    #[error("a group has 1 to {DEVICES_MAX} devices and {heaps} heaps, not {group:?}")]
    BadGroup {
        /// What it says.
        group: Group,
        /// How many heaps there are.
        heaps: usize,
    },
    /// A limit is zero.
    #[error("{name} is at least 1")]
    ZeroLimit {
        /// The limit.
        name: &'static str,
    },
    /// A value is no power of two.
    #[error("{name} is a power of two, not {value}")]
    NotPowerOfTwo {
        /// What it is called.
        name: &'static str,
        /// What it is.
        value: u64,
    },
}

impl Layout {
    /// Verifies that a device can be made of it.
    pub(super) fn check(&self) -> Result<(), LayoutError> {
        self.check_heaps()?;
        self.check_memory_types()?;
        self.check_group()?;
        self.check_limits()
    }

    fn check_group(&self) -> Result<(), LayoutError> {
        let (group, heaps) = (self.properties.group, self.properties.heaps.len());
        let is_group = (1..=DEVICES_MAX).contains(&group.devices) && group.heaps >> heaps == 0;
        if is_group { Ok(()) } else { Err(LayoutError::BadGroup { group, heaps }) }
    }

    fn check_heaps(&self) -> Result<(), LayoutError> {
        let heaps = &self.properties.heaps;
        if heaps.is_empty() {
            return Err(LayoutError::NoHeap);
        }
        if heaps.len() > HEAPS_MAX {
            return Err(LayoutError::TooManyHeaps { count: heaps.len() });
        }
        match heaps.iter().position(|heap| heap.size == 0) {
            Some(heap) => Err(LayoutError::EmptyHeap { heap }),
            None => Ok(()),
        }
    }

    fn check_memory_types(&self) -> Result<(), LayoutError> {
        let (types, heaps) = (&self.properties.memory_types, self.properties.heaps.len());
        if types.is_empty() {
            return Err(LayoutError::NoMemoryType);
        }
        if types.len() > MEMORY_TYPES_MAX {
            return Err(LayoutError::TooManyMemoryTypes { count: types.len() });
        }
        for (memory_type, &MemoryType { properties, heap }) in types.iter().enumerate() {
            if heap as usize >= heaps {
                return Err(LayoutError::BadHeap { memory_type, heap, heaps });
            }
            if !are_consistent(properties) {
                return Err(LayoutError::BadProperties { memory_type, properties });
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), LayoutError> {
        let limits = &self.properties.limits;
        for (name, value) in
            [("block_count_max", limits.block_count_max), ("block_size_max", limits.block_size_max)]
        {
            if value == 0 {
                return Err(LayoutError::ZeroLimit { name });
            }
        }
        let powers = [
            ("granularity", limits.granularity),
            ("non_coherent_atom_size", limits.non_coherent_atom_size),
            ("map_align_min", limits.map_align_min),
            ("uniform_align_min", self.resources.uniform_align_min),
            ("storage_align_min", self.resources.storage_align_min),
            ("copy_offset_align", self.resources.copy_offset_align),
            ("optimal_align_min", self.resources.optimal_align_min),
            ("optimal_align_max", self.resources.optimal_align_max),
        ];
        match powers.into_iter().find(|(_, value)| !value.is_power_of_two()) {
            Some((name, value)) => Err(LayoutError::NotPowerOfTwo { name, value }),
            None => Ok(()),
        }
    }
}

/// Tells whether a memory type can have these properties together, by Vulkan's list of those
/// that may be.
fn are_consistent(properties: MemoryProperties) -> bool {
    use MemoryProperties as P;
    let host = P::HOST_VISIBLE;
    let needs_host = properties.intersects(P::HOST_COHERENT | P::HOST_CACHED);
    let forbids_host = properties.intersects(P::LAZILY_ALLOCATED | P::PROTECTED);
    if properties.contains(host) { !forbids_host } else { !needs_host }
}
