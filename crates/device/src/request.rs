//! What a user asks for: who touches the memory and how, and what else matters.

use crate::device::{DedicatedWish, Device, MemoryProperties, Requirements, Resource, Tiling};
use serde::{Deserialize, Serialize};

pub use polder_core::space::Strategy as Search;

/// Who touches the memory, and how. It decides the memory type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// The device alone: the fastest memory for it, and no slower one unless the wish lets it
    /// [spill](Spill).
    #[default]
    DeviceOnly,
    /// The host writes in order and never reads; the device reads. Uncached memory is best.
    HostWrites,
    /// The device writes, the host reads back: cached memory is wanted, for reading uncached
    /// memory is some 90 times slower.
    HostReads,
    /// The host reads and writes anywhere: cached memory is wanted.
    HostRandom,
    /// Nothing is said by this: what [`Wish::required`], [`Wish::preferred`] and [`Wish::avoided`]
    /// name counts alone, each property as much as another. The choice of VMA, made so by an
    /// [`Intent`](crate::Intent).
    Stated,
}

impl Access {
    /// Every access.
    pub const ALL: [Self; 5] =
        [Self::DeviceOnly, Self::HostWrites, Self::HostReads, Self::HostRandom, Self::Stated];

    /// Tells whether the host surely touches the memory.
    #[must_use]
    pub const fn is_host(self) -> bool {
        matches!(self, Self::HostWrites | Self::HostReads | Self::HostRandom)
    }
}

/// How long an allocation lives, as far as the user knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// Anything.
    #[default]
    General,
    /// A few frames, freed about in the order of allocation: it goes to linear blocks, away from
    /// what stays.
    ShortLived,
}

/// Whether an allocation may share its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// The driver's wish is obeyed; large ones get a block of their own.
    #[default]
    Auto,
    /// A block of its own.
    Dedicated,
    /// In a block that is there already: no call of the driver, and an error when none has room.
    Existing,
}

/// Whether a block of its own is for its resource alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aliasing {
    /// One resource: the driver is told which.
    #[default]
    Never,
    /// Other resources will lie in the same bytes: the driver is not told of one, unless it
    /// requires that.
    Allowed,
}

/// When the allocation has a host pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// Between calls of map and unmap.
    #[default]
    Counted,
    /// All its life: the handle brings the pointer, and the memory is visible to the host.
    Persistent,
    /// All its life where the memory happens to be visible to the host, and otherwise never.
    WhereVisible,
}

/// Whether the driver's budget is a wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BudgetRule {
    /// What lies within the budget comes first; past it the driver decides.
    #[default]
    Prefer,
    /// No new block may pass the budget.
    Within,
}

/// What becomes of memory for the device alone when the device's own is full.
///
/// It counts with [`Access::DeviceOnly`] where some of the device's own memory would do; where
/// there is none, host memory is no second choice and is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Spill {
    /// The request fails: what is a few times slower for the rest of its life had better be known.
    #[default]
    Never,
    /// It goes to host memory, which the device reaches over its bus.
    Allowed,
}

/// What the user wants of an allocation, beside what the resource needs.
///
/// ```
/// use polder_device::{Access, Wish};
/// let staging = Wish { access: Access::HostWrites, name: Some("staging"), ..Wish::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish<'a> {
    /// Who touches the memory.
    pub access: Access,
    /// Properties that the memory type must have, beside those that `access` needs.
    pub required: MemoryProperties,
    /// Properties that it had better have, beside those that `access` prefers.
    pub preferred: MemoryProperties,
    /// Properties that it had better not have.
    pub avoided: MemoryProperties,
    /// The memory types that will do, a bit each, beside what the resource says.
    pub memory_types: u32,
    /// What the offset is a multiple of, beside what the resource needs: bytes, a power of two.
    pub align: u64,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Whether it may share its block.
    pub placement: Placement,
    /// Whether other resources may share its bytes.
    pub aliasing: Aliasing,
    /// When it has a host pointer.
    pub mapping: Mapping,
    /// Whether the budget is a wall.
    pub budget: BudgetRule,
    /// Whether memory for the device alone may be host memory when the device's own is full.
    pub spill: Spill,
    /// Where in the blocks to look.
    pub search: Search,
    /// From 0 to 1: what the driver evicts last. Counts for dedicated blocks, where the device
    /// has priorities.
    pub priority: f32,
    /// The devices of a [group](crate::device::Group) that use it, a bit each; 0 for all. A block
    /// of its own takes memory of these alone; a shared block of the allocator's is on all, one of
    /// a pool's on those that its rules say.
    pub device_mask: u32,
    /// A name for reports.
    pub name: Option<&'a str>,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self {
            access: Access::default(),
            required: MemoryProperties::empty(),
            preferred: MemoryProperties::empty(),
            avoided: MemoryProperties::empty(),
            memory_types: u32::MAX,
            align: 1,
            lifetime: Lifetime::default(),
            placement: Placement::default(),
            aliasing: Aliasing::default(),
            mapping: Mapping::default(),
            budget: BudgetRule::default(),
            spill: Spill::default(),
            search: Search::default(),
            priority: Self::PRIORITY_DEFAULT,
            device_mask: 0,
            name: None,
        }
    }
}

impl Wish<'_> {
    /// The priority of everything for which no other is said.
    pub const PRIORITY_DEFAULT: f32 = 0.5;

    /// The plainest wish for an access.
    #[must_use]
    pub fn of(access: Access) -> Self {
        Self { access, ..Self::default() }
    }
}

/// A request for memory: what a resource needs and what the user wants.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a, D: Device> {
    /// What the resource needs.
    pub requirements: Requirements,
    /// How its bytes are laid out.
    pub tiling: Tiling,
    /// Whether it needs a device address.
    pub device_address: bool,
    /// The resource, for a block of its own.
    pub resource: Option<Resource<D::Buffer, D::Image>>,
    /// The flags that say what the resource is used for, in the device's own numbers; for reports.
    pub usage: u64,
    /// What else to say of a block of its own, in the device's words. It counts with
    /// [`Placement::Dedicated`].
    pub extra: Option<&'a D::Extra>,
    /// What the user wants.
    pub wish: Wish<'a>,
}

impl<'a, D: Device> Request<'a, D> {
    /// A request for plain memory, as for a buffer. What the wish says of memory types and
    /// alignment goes into the requirements.
    #[inline]
    #[must_use]
    pub const fn new(requirements: Requirements, wish: Wish<'a>) -> Self {
        let mut requirements = requirements;
        requirements.memory_types &= wish.memory_types;
        // One that is no power of two is kept, to be refused.
        let is_wider = wish.align > requirements.align || !wish.align.is_power_of_two();
        if is_wider && requirements.align.is_power_of_two() {
            requirements.align = wish.align;
        }
        Self {
            requirements,
            tiling: Tiling::Linear,
            device_address: false,
            resource: None,
            usage: 0,
            extra: None,
            wish,
        }
    }

    /// Whether a block of its own is for the resource alone.
    pub(crate) fn is_for_one(&self) -> bool {
        self.wish.aliasing == Aliasing::Never
            || self.requirements.dedicated == DedicatedWish::Required
    }
}
