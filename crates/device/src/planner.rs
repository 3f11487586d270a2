//! Places resources that live at different times in the least memory.
//!
//! A frame has many resources that matter for a few of its moments only: what one render pass
//! writes and the next ones read. Two whose lives do not overlap can have the same bytes. Given
//! each one's [`Life`] and needs, a [`Planner`] says who lies where: its [`Plan`] has a
//! [`Group`] for each memory type that is needed, a [`Place`] for each resource, and for each
//! group the lower bound that no plan can go below.
//!
//! The problem is that of dynamic storage allocation, which is hard in the strict sense. Resources
//! that are never alive together with each other, not even by way of others, are planned apart.
//! A plan is made by the `greedy` rule and lowered by `repair`; for up to 64 resources an `exact`
//! search follows, which says when there is nothing lower. All of it ends at the bound, or when
//! the [`Limit`] is used up.
//!
//! ```
//! use polder_device::planner::{Life, Planner, Transient};
//! use polder_device::{Requirements, Tiling};
//!
//! let image = |size, first, last| Transient {
//!     requirements: Requirements { size, align: 256, ..Requirements::ANY },
//!     tiling: Tiling::Optimal,
//!     life: Life { first, last },
//! };
//! // Shadow maps are read by the pass that shades; bloom begins when they are over.
//! let resources = [image(8 << 20, 0, 1), image(4 << 20, 1, 3), image(6 << 20, 2, 3)];
//! let plan = Planner::default().plan(&resources)?;
//!
//! let group = plan.groups()[0];
//! assert_eq!((group.size, group.bound, group.is_least), (12 << 20, 12 << 20, true));
//! let [shadows, _, bloom] = plan.places() else { unreachable!("a place for each") };
//! assert!(bloom.offset < shadows.offset + (8 << 20), "they share bytes");
//! # Ok::<(), polder_device::planner::PlanError>(())
//! ```
//!
//! # Invariants
//!
//! 1. Two resources of one group whose lives overlap share no byte, and where the granularity
//!    forbids it no page.
//! 2. An offset is a multiple of its resource's alignment.
//! 3. A group's memory types will do for each of its resources.

mod allowance;
mod bound;
mod exact;
mod greedy;
mod grouping;
mod item;
mod memory;
mod repair;

pub use memory::PlanMemory;

use crate::device::{Requirements, Tiling};
use allowance::Allowance;
use core::time::Duration;
use grouping::Members;
use item::{Item, Layout};

/// The part of the allowance that `repair` gets before an exact search, which needs it most.
const REPAIR_PARTS: u32 = 4;

/// From when to when a resource's bytes matter, both included. The numbers are any that grow with
/// time, such as those of a frame's render passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Life {
    /// The first moment: who writes first.
    pub first: u32,
    /// The last moment: who reads last.
    pub last: u32,
}

impl Life {
    /// Tells whether there is a moment of both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// How many moments it has.
    const fn len(self) -> u64 {
        (self.last - self.first) as u64 + 1
    }
}

/// A resource that lives for a part of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transient {
    /// What it needs of its memory. One that must have a block of its own cannot be planned.
    pub requirements: Requirements,
    /// How its bytes are laid out.
    pub tiling: Tiling,
    /// When its bytes matter.
    pub life: Life,
}

/// How long a [`Planner`] may look for a lower plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// For each resource so many looks at one that has a place, some nanoseconds each. The same
    /// resources get the same plan, on every machine.
    LooksPerResource(u64),
    /// So long by the clock. A plan may differ from one time to the next.
    Time(Duration),
}

impl Default for Limit {
    /// What takes some ten milliseconds for a hundred resources and a fraction of a second for two
    /// thousand.
    fn default() -> Self {
        Self::LooksPerResource(80_000)
    }
}

/// Makes plans. See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planner {
    /// The device's granularity, in bytes: a power of two. In a group that has both tilings the
    /// resources of the one that pays less for it then take whole pages.
    pub granularity: u64,
    /// How long to look for a lower plan.
    pub limit: Limit,
}

impl Default for Planner {
    /// For a device without granularity, with the default limit.
    fn default() -> Self {
        Self { granularity: 1, limit: Limit::default() }
    }
}

/// Why there is no plan. A number is that of a resource in the order in which they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A resource has no bytes: leave it out.
    #[error("resource {resource} has a size of zero")]
    ZeroSize {
        /// Its number.
        resource: usize,
    },
    /// A resource's alignment is no power of two.
    #[error("an alignment is a power of two, and resource {resource} has {align}")]
    BadAlign {
        /// Its number.
        resource: usize,
        /// Its alignment.
        align: u64,
    },
    /// A resource's life ends before it begins.
    #[error("the life of resource {resource} ends before it begins")]
    BadLife {
        /// Its number.
        resource: usize,
    },
    /// No memory type will do for a resource.
    #[error("no memory type will do for resource {resource}")]
    NoMemoryType {
        /// Its number.
        resource: usize,
    },
    /// A resource works only in a block of its own: leave it out.
    #[error("resource {resource} needs a block of its own, which it cannot share")]
    NeedsOwnBlock {
        /// Its number.
        resource: usize,
    },
    /// The planner's granularity is no power of two.
    #[error("a granularity is a power of two, and the planner has {granularity}")]
    BadGranularity {
        /// What it is.
        granularity: u64,
    },
    /// The sizes are so large that their sum is no number.
    #[error("the resources have more than 2^62 bytes together")]
    TooLarge,
}

/// Where a resource lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of its group.
    pub group: usize,
    /// From the group's begin, in bytes.
    pub offset: u64,
}

/// Memory that resources share. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How much memory it takes.
    pub size: u64,
    /// What the memory's begin is a multiple of.
    pub align: u64,
    /// A bit for each memory type that will do for all of its resources.
    pub memory_types: u32,
    /// The one tiling of all its resources, or `None` for both: then nobody else's page is
    /// touched, for `align` and `size` are those of whole pages.
    pub tiling: Option<Tiling>,
    /// What no plan of these resources can go below.
    pub bound: u64,
    /// Whether it is known that there is no plan that takes less.
    pub is_least: bool,
}

/// Who lies where. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    places: Vec<Place>,
    groups: Vec<Group>,
}

impl Plan {
    /// Returns the places, in the order in which the resources were given.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Returns the groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns the bytes of all groups together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.groups.iter().map(|group| group.size).sum()
    }

    /// Returns the sum of the groups' lower bounds, in bytes.
    #[must_use]
    pub fn bound(&self) -> u64 {
        self.groups.iter().map(|group| group.bound).sum()
    }
}

impl Planner {
    /// Plans. Takes time within the limit, but for the first plan of each group, which takes time
    /// in proportion to the square of the number of its resources (2,000: some 10 ms).
    ///
    /// # Errors
    ///
    /// Those of [`PlanError`].
    pub fn plan(&self, resources: &[Transient]) -> Result<Plan, PlanError> {
        self.validate(resources)?;
        let mut allowance = Allowance::new(self.limit, resources.len() as u64);
        let mut plan = Plan { places: vec![Place::default(); resources.len()], groups: vec![] };
        let groups = grouping::group(resources, self.granularity);
        let mut left = groups.len() as u32;
        for members in groups {
            let group = allowance.lend(left, |part| plan_group(&members, &mut plan, part));
            plan.groups.push(group);
            left -= 1;
        }
        Ok(plan)
    }

    fn validate(&self, resources: &[Transient]) -> Result<(), PlanError> {
        let granularity = self.granularity;
        if !granularity.is_power_of_two() {
            return Err(PlanError::BadGranularity { granularity });
        }
        let mut sum = granularity;
        for (resource, Transient { requirements, life, .. }) in resources.iter().enumerate() {
            validate_one(resource, requirements, *life)?;
            let most = requirements.size.checked_add(requirements.align);
            let most = most.and_then(|most| most.checked_add(2 * granularity.min(SIZE_MAX)));
            let added = most.and_then(|most| sum.checked_add(most));
            sum = added.filter(|&sum| sum <= SIZE_MAX).ok_or(PlanError::TooLarge)?;
        }
        Ok(())
    }
}

/// All sizes together, with what alignment and granularity may add.
const SIZE_MAX: u64 = 1 << 62;

fn validate_one(resource: usize, requirements: &Requirements, life: Life) -> Result<(), PlanError> {
    use crate::device::DedicatedWish::Required;
    let &Requirements { size, align, memory_types, dedicated } = requirements;
    match () {
        () if size == 0 => Err(PlanError::ZeroSize { resource }),
        () if !align.is_power_of_two() => Err(PlanError::BadAlign { resource, align }),
        () if life.first > life.last => Err(PlanError::BadLife { resource }),
        () if memory_types == 0 => Err(PlanError::NoMemoryType { resource }),
        () if dedicated == Required => Err(PlanError::NeedsOwnBlock { resource }),
        () => Ok(()),
    }
}

/// Gives the members their places, in a group that is the plan's next.
fn plan_group(members: &Members, plan: &mut Plan, allowance: &mut Allowance) -> Group {
    let Members { memory_types, tiling, page, .. } = *members;
    let bound = bound::bound(&members.items).next_multiple_of(page);
    let (mut height, mut is_least) = (0, true);
    for component in members.components() {
        let items: Vec<_> = component.iter().map(|&member| members.items[member]).collect();
        let solved = solve(&items, height, allowance);
        if solved.layout.height() > height {
            (height, is_least) = (solved.layout.height(), solved.is_least);
        }
        for placed in solved.layout.places() {
            let resource = members.resources[component[placed.index as usize]];
            plan.places[resource] = Place { group: plan.groups.len(), offset: placed.begin };
        }
    }
    let align = members.items.iter().map(|item| item.align).max().unwrap_or(1).max(page);
    let size = height.next_multiple_of(page);
    Group { size, align, memory_types, tiling, bound, is_least: is_least || size == bound }
}

struct Solved {
    layout: Layout,
    /// Whether there is no lower one.
    is_least: bool,
}

/// Plans resources that are alive together. Below `enough` nobody needs a lower plan.
fn solve(items: &[Item], enough: u64, allowance: &mut Allowance) -> Solved {
    let bound = bound::bound(items);
    let goal = bound.max(enough);
    let (mut layout, looks) = greedy::greedy(items);
    allowance.spend(looks);
    let is_small = items.len() <= exact::ITEMS_MAX;
    if is_small {
        allowance.lend(REPAIR_PARTS, |part| repair::repair(items, &mut layout, goal, part));
    } else {
        repair::repair(items, &mut layout, goal, allowance);
    }
    let is_above = layout.height() > goal;
    let is_known = is_small && is_above && exact::solve(items, &mut layout, goal, allowance);
    let is_least = layout.height() == bound || is_known;
    Solved { layout, is_least }
}
