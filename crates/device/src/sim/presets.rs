//! What real drivers answer, as layouts.
//!
//! Each row was read from a driver: RADV, NVK, Turnip, Honeykrisp, lavapipe, SwiftShader and the
//! mock driver of the Vulkan tools. A test compares every field with the recorded answers.

use super::layout::Layout;
use super::resources::ResourceRules;
use crate::device::{
    DeviceKind, DeviceProperties, Group, Heap, Limits, MemoryProperties, MemoryType,
};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A device whose answers are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// AMD discrete, all of its memory visible to the host.
    AmdNavi31,
    /// AMD discrete with a heap of 256 MiB that the host can see.
    AmdVega10,
    /// AMD discrete, small.
    AmdPolaris12,
    /// AMD APU: shares the host's memory.
    AmdRavenApu,
    /// NVIDIA under NVK, granularity 1,024.
    NvidiaTuring164,
    /// NVIDIA under NVK, granularity 1,024.
    NvidiaAmpere172,
    /// NVIDIA under NVK, granularity 65,536, and no memory for both device and host.
    NvidiaKeplerF0,
    /// Qualcomm: non-coherent and lazily allocated memory.
    Adreno630,
    /// Apple under Honeykrisp: one heap, no budget.
    AppleM1,
    /// Mesa on the host's processors.
    Lavapipe,
    /// Google's on the host's processors: granularity 4,096, no budget.
    SwiftShader,
    /// The mock driver: non-coherent, lazily allocated and protected memory.
    Mock,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 12] = [
        Self::AmdNavi31,
        Self::AmdVega10,
        Self::AmdPolaris12,
        Self::AmdRavenApu,
        Self::NvidiaTuring164,
        Self::NvidiaAmpere172,
        Self::NvidiaKeplerF0,
        Self::Adreno630,
        Self::AppleM1,
        Self::Lavapipe,
        Self::SwiftShader,
        Self::Mock,
    ];

    /// Returns the name by which it is chosen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AmdNavi31 => "amd-navi31",
            Self::AmdVega10 => "amd-vega10",
            Self::AmdPolaris12 => "amd-polaris12",
            Self::AmdRavenApu => "amd-raven-apu",
            Self::NvidiaTuring164 => "nvidia-turing-164",
            Self::NvidiaAmpere172 => "nvidia-ampere-172",
            Self::NvidiaKeplerF0 => "nvidia-kepler-f0",
            Self::Adreno630 => "adreno-630",
            Self::AppleM1 => "apple-m1",
            Self::Lavapipe => "lavapipe",
            Self::SwiftShader => "swiftshader",
            Self::Mock => "mock",
        }
    }

    /// Returns its layout, to be used or changed.
    #[must_use]
    pub fn layout(self) -> Layout {
        self.row().layout()
    }

    const fn row(self) -> &'static Row {
        match self {
            Self::AmdNavi31 => &AMD_NAVI31,
            Self::AmdVega10 => &AMD_VEGA10,
            Self::AmdPolaris12 => &AMD_POLARIS12,
            Self::AmdRavenApu => &AMD_RAVEN_APU,
            Self::NvidiaTuring164 | Self::NvidiaAmpere172 => &NVIDIA_TURING,
            Self::NvidiaKeplerF0 => &NVIDIA_KEPLER,
            Self::Adreno630 => &ADRENO_630,
            Self::AppleM1 => &APPLE_M1,
            Self::Lavapipe => &LAVAPIPE,
            Self::SwiftShader => &SWIFT_SHADER,
            Self::Mock => &MOCK,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is no preset's: choose one of those that are named.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "there is no preset {name:?}; there are {}",
    Preset::ALL.map(Preset::name).join(", ")
)]
pub struct UnknownPreset {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| UnknownPreset { name: name.to_owned() })
    }
}

/// A driver's answers.
struct Row {
    device: &'static str,
    driver: &'static str,
    api: &'static str,
    kind: DeviceKind,
    heaps: &'static [Heap],
    memory_types: &'static [MemoryType],
    limits: Limits,
    resources: ResourceRules,
    features: Features,
}

/// What a driver can do beside.
#[derive(Clone, Copy)]
struct Features {
    sparse_binding: bool,
    memory_budget: bool,
    memory_priority: bool,
}

/// The numbers of a version with points, as drivers write it.
fn api_version(text: &str) -> [u32; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    core::array::from_fn(|_| numbers.next().unwrap_or(0))
}

impl Row {
    fn layout(&self) -> Layout {
        let Features { sparse_binding, memory_budget, memory_priority } = self.features;
        Layout {
            properties: DeviceProperties {
                name: self.device.to_owned(),
                kind: self.kind,
                api_version: api_version(self.api),
                heaps: self.heaps.to_vec(),
                memory_types: self.memory_types.to_vec(),
                limits: self.limits,
                group: Group::default(),
            },
            driver: self.driver.to_owned(),
            api: self.api.to_owned(),
            resources: self.resources,
            sparse_binding,
            memory_budget,
            memory_priority,
            ..Layout::default()
        }
    }
}

const DEVICE: MemoryProperties = MemoryProperties::DEVICE_LOCAL;
const HOST: MemoryProperties =
    MemoryProperties::HOST_VISIBLE.union(MemoryProperties::HOST_COHERENT);
const HOST_CACHED: MemoryProperties = HOST.union(MemoryProperties::HOST_CACHED);
const HOST_NON_COHERENT: MemoryProperties =
    MemoryProperties::HOST_VISIBLE.union(MemoryProperties::HOST_CACHED);
const BOTH: MemoryProperties = DEVICE.union(HOST);
const BOTH_CACHED: MemoryProperties = DEVICE.union(HOST_CACHED);
const BOTH_NON_COHERENT: MemoryProperties = DEVICE.union(HOST_NON_COHERENT);
const LAZY: MemoryProperties = DEVICE.union(MemoryProperties::LAZILY_ALLOCATED);
const PROTECTED: MemoryProperties = DEVICE.union(MemoryProperties::PROTECTED);
const UNCACHED: MemoryProperties =
    MemoryProperties::DEVICE_COHERENT.union(MemoryProperties::DEVICE_UNCACHED);

/// Render targets from this size on are faster alone on devices with their own memory: drivers
/// compress and clear whole blocks. The recorded answers do not say it; it is a common threshold.
const DEDICATED_PREFERRED: Option<u64> = Some(4 << 20);

const fn device_heap(size: u64) -> Heap {
    Heap { size, device_local: true }
}

const fn host_heap(size: u64) -> Heap {
    Heap { size, device_local: false }
}

const fn of(heap: u32, properties: MemoryProperties) -> MemoryType {
    MemoryType { properties, heap }
}

const fn needs(uniform: u64, storage: u64, copy_offset: u64) -> ResourceRules {
    ResourceRules {
        uniform_align_min: uniform,
        storage_align_min: storage,
        copy_offset_align: copy_offset,
        ..ResourceRules::DEFAULT
    }
}

const fn prefers_dedicated(rules: ResourceRules) -> ResourceRules {
    ResourceRules { dedicated_preferred_size: DEDICATED_PREFERRED, ..rules }
}

/// RADV's memory types. The last four are of devices that can switch their caches off.
const fn radv_types(device: u32, host: u32, both: u32) -> [MemoryType; 11] {
    [
        of(device, DEVICE),
        of(device, DEVICE),
        of(host, HOST),
        of(both, BOTH),
        of(both, BOTH),
        of(host, HOST_CACHED),
        of(host, HOST_CACHED),
        of(device, DEVICE.union(UNCACHED)),
        of(host, HOST.union(UNCACHED)),
        of(both, BOTH.union(UNCACHED)),
        of(host, HOST_CACHED.union(UNCACHED)),
    ]
}

const RADV_ONE_HEAP: [MemoryType; 11] = radv_types(1, 0, 1);
const RADV_SMALL_BAR: [MemoryType; 11] = radv_types(0, 1, 2);

const RADV_LIMITS: Limits = Limits {
    granularity: 1,
    non_coherent_atom_size: 64,
    block_count_max: 4_294_967_295,
    block_size_max: 4_294_967_292,
    map_align_min: 4096,
};

const RADV_FEATURES: Features =
    Features { sparse_binding: true, memory_budget: true, memory_priority: true };

const AMD_NAVI31: Row = Row {
    device: "AMD Radeon Graphics (RADV NAVI31)",
    driver: "radv",
    api: "1.4.305",
    kind: DeviceKind::DiscreteGpu,
    heaps: &[host_heap(33_254_252_544), device_heap(25_753_026_560)],
    memory_types: &RADV_ONE_HEAP,
    limits: RADV_LIMITS,
    resources: prefers_dedicated(needs(4, 4, 1)),
    features: RADV_FEATURES,
};

const AMD_VEGA10: Row = Row {
    device: "AMD Radeon RX Vega (RADV VEGA10)",
    heaps: &[device_heap(8_321_499_136), host_heap(8_359_135_232), device_heap(268_435_456)],
    memory_types: &RADV_SMALL_BAR,
    ..AMD_NAVI31
};

const AMD_POLARIS12: Row = Row {
    device: "AMD Radeon RX 550 / 550 Series (RADV POLARIS12)",
    heaps: &[host_heap(33_254_252_544), device_heap(4_294_967_296)],
    memory_types: RADV_ONE_HEAP.split_at(7).0,
    ..AMD_NAVI31
};

const AMD_RAVEN_APU: Row = Row {
    device: "AMD Radeon Vega 10 Graphics (RADV RAVEN)",
    kind: DeviceKind::IntegratedGpu,
    heaps: &[host_heap(1_096_110_080), device_heap(2_192_224_256)],
    ..AMD_NAVI31
};

const NVIDIA_TURING: Row = Row {
    device: "NVK",
    driver: "NVK",
    api: "1.4.354",
    kind: DeviceKind::DiscreteGpu,
    heaps: &[device_heap(3_221_225_472), host_heap(18_957_205_504)],
    memory_types: &[of(0, DEVICE), of(0, BOTH), of(1, HOST_CACHED)],
    limits: Limits {
        granularity: 1024,
        non_coherent_atom_size: 64,
        block_count_max: 4096,
        block_size_max: 2_147_483_648,
        map_align_min: 4096,
    },
    resources: prefers_dedicated(needs(64, 16, 1)),
    features: Features { sparse_binding: true, memory_budget: true, memory_priority: false },
};

const NVIDIA_KEPLER: Row = Row {
    api: "1.2.354",
    memory_types: &[of(0, DEVICE), of(1, HOST_CACHED)],
    limits: Limits { granularity: 65_536, ..NVIDIA_TURING.limits },
    resources: prefers_dedicated(needs(256, 16, 1)),
    features: Features { sparse_binding: false, ..NVIDIA_TURING.features },
    ..NVIDIA_TURING
};

const ADRENO_630: Row = Row {
    device: "Turnip Adreno (TM) 630",
    driver: "turnip Mesa driver",
    api: "1.3.354",
    kind: DeviceKind::IntegratedGpu,
    heaps: &[device_heap(4_294_967_296)],
    memory_types: &[of(0, BOTH), of(0, BOTH_CACHED), of(0, BOTH_NON_COHERENT), of(0, LAZY)],
    limits: Limits {
        granularity: 64,
        non_coherent_atom_size: 64,
        block_count_max: 4_294_967_295,
        block_size_max: 4_294_967_295,
        map_align_min: 4096,
    },
    resources: needs(64, 4, 128),
    features: Features { sparse_binding: false, memory_budget: true, memory_priority: false },
};

const APPLE_M1: Row = Row {
    device: "Apple M1 (G13G A0)",
    driver: "Honeykrisp",
    api: "1.4.354",
    kind: DeviceKind::IntegratedGpu,
    heaps: &[device_heap(12_637_437_952)],
    memory_types: &[of(0, BOTH_CACHED), of(0, BOTH)],
    limits: Limits {
        granularity: 1024,
        non_coherent_atom_size: 64,
        block_count_max: 4096,
        block_size_max: 137_438_953_472,
        map_align_min: 4096,
    },
    resources: needs(64, 16, 1),
    features: Features { sparse_binding: true, memory_budget: false, memory_priority: false },
};

const LAVAPIPE: Row = Row {
    device: "llvmpipe (LLVM 15.0.6, 256 bits)",
    driver: "llvmpipe",
    api: "1.4.305",
    kind: DeviceKind::Cpu,
    heaps: &[device_heap(25_276_502_016)],
    memory_types: &[of(0, BOTH_CACHED)],
    limits: Limits {
        granularity: 64,
        non_coherent_atom_size: 64,
        block_count_max: 4_294_967_295,
        block_size_max: 2_147_483_648,
        map_align_min: 64,
    },
    resources: needs(16, 16, 128),
    features: Features { sparse_binding: true, memory_budget: true, memory_priority: true },
};

const SWIFT_SHADER: Row = Row {
    device: "SwiftShader Device (Subzero)",
    driver: "SwiftShader driver",
    api: "1.3.0",
    kind: DeviceKind::Cpu,
    heaps: &[device_heap(2_147_483_648)],
    memory_types: &[of(0, BOTH_CACHED)],
    limits: Limits {
        granularity: 4096,
        non_coherent_atom_size: 256,
        block_count_max: 4096,
        block_size_max: 1_073_741_824,
        map_align_min: 64,
    },
    resources: needs(256, 256, 64),
    features: Features { sparse_binding: false, memory_budget: false, memory_priority: false },
};

const MOCK: Row = Row {
    device: "Vulkan Mock Device",
    driver: "Vulkan Mock Device",
    api: "1.4.364",
    kind: DeviceKind::VirtualGpu,
    heaps: &[host_heap(8_000_000_000), device_heap(8_000_000_000)],
    memory_types: &[
        of(0, HOST),
        of(0, HOST_NON_COHERENT),
        of(1, BOTH_CACHED),
        of(1, LAZY),
        of(1, PROTECTED),
        of(1, DEVICE),
    ],
    limits: Limits {
        granularity: 1,
        non_coherent_atom_size: 256,
        block_count_max: 4096,
        block_size_max: 1_073_741_824,
        map_align_min: 64,
    },
    resources: needs(16, 16, 1),
    features: Features { sparse_binding: true, memory_budget: true, memory_priority: true },
};
