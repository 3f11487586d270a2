//! Which memory type: what the access needs and prefers, as costs, and the reasons in words.
//!
//! A type that lacks what is required, or has what nobody asked for and only special resources
//! may use, is out. The others cost something for every preference that they miss; the cheapest
//! comes first, and among equals the driver's order counts, for it puts the better first.
//! When the best is the device's own memory, and the wish is for that, what is not comes only
//! where the wish lets it spill.

use crate::device::{
    DedicatedWish, Device, DeviceProperties, MEMORY_TYPES_MAX, MemoryProperties, Requirements,
};
use crate::error::{AllocError, Contradiction};
use crate::request::{Access, Mapping, Placement, Request, Search, Spill, Wish};
use core::fmt;

/// Types that only those get who require or prefer them.
const SPECIAL: MemoryProperties = MemoryProperties::LAZILY_ALLOCATED
    .union(MemoryProperties::PROTECTED)
    .union(MemoryProperties::DEVICE_COHERENT)
    .union(MemoryProperties::DEVICE_UNCACHED)
    .union(MemoryProperties::RDMA_CAPABLE);

/// What each preference of the user's own weighs: more than all of an access together.
const USER_WEIGHT: u32 = 64;

/// What a wish requires of a memory type: a host that touches memory must see it.
#[must_use]
pub fn required(wish: &Wish<'_>) -> MemoryProperties {
    let mapped = wish.access.is_host() || wish.mapping == Mapping::Persistent;
    let host = if mapped { MemoryProperties::HOST_VISIBLE } else { MemoryProperties::empty() };
    wish.required | host
}

/// A property, what it weighs, and whether it had better be there or not.
struct Preference {
    property: MemoryProperties,
    wanted: bool,
    weight: u32,
}

const fn prefer(property: MemoryProperties, weight: u32) -> Preference {
    Preference { property, wanted: true, weight }
}

const fn avoid(property: MemoryProperties, weight: u32) -> Preference {
    Preference { property, wanted: false, weight }
}

/// Host-visible device memory may be a small window: it is left to those who need it.
const DEVICE_ONLY: &[Preference] =
    &[prefer(MemoryProperties::DEVICE_LOCAL, 8), avoid(MemoryProperties::HOST_VISIBLE, 1)];
/// Uncached memory takes writes in order at full speed; device memory behind a bus is for those
/// who ask for it.
const HOST_WRITES: &[Preference] = &[
    avoid(MemoryProperties::DEVICE_LOCAL, 8),
    prefer(MemoryProperties::HOST_COHERENT, 4),
    avoid(MemoryProperties::HOST_CACHED, 2),
];
/// Cached memory decides: without it a read is some 90 times slower.
const HOST_READS: &[Preference] = &[
    prefer(MemoryProperties::HOST_CACHED, 16),
    avoid(MemoryProperties::DEVICE_LOCAL, 8),
    prefer(MemoryProperties::HOST_COHERENT, 4),
];

/// What an access prefers, the heaviest first.
const fn preferences(access: Access) -> &'static [Preference] {
    match access {
        Access::DeviceOnly => DEVICE_ONLY,
        Access::HostWrites => HOST_WRITES,
        Access::HostReads | Access::HostRandom => HOST_READS,
        Access::Stated => &[],
    }
}

/// Why a memory type may not be used, or what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It will do; the cheapest comes first.
    Fits {
        /// The weight of all preferences that it misses.
        cost: u32,
    },
    /// The resource does not allow it.
    NotAllowed,
    /// It lacks something that is required.
    Lacks(MemoryProperties),
    /// It is special, and nobody asked for that.
    Special(MemoryProperties),
    /// It would do, but is not the device's own memory, and the wish lets nothing
    /// [spill](crate::Spill).
    Spills,
}

/// Judges one memory type.
#[must_use]
pub fn judge(has: MemoryProperties, is_allowed: bool, wish: &Wish<'_>) -> Verdict {
    if !is_allowed {
        return Verdict::NotAllowed;
    }
    let needs = required(wish);
    let special = match wish.access {
        Access::Stated => MemoryProperties::empty(),
        _ => (has & SPECIAL) - wish.required - wish.preferred,
    };
    if !has.contains(needs) {
        return Verdict::Lacks(needs - has);
    }
    if !special.is_empty() {
        return Verdict::Special(special);
    }
    let missed = missed(wish.access, wish.required | wish.preferred | wish.avoided, has);
    let own = (wish.preferred - has).bits().count_ones() + (wish.avoided & has).bits().count_ones();
    let own = own * USER_WEIGHT;
    Verdict::Fits { cost: own + missed.map(|preference| preference.weight).sum::<u32>() }
}

/// The preferences of an access that a type misses; what the user said of a property counts
/// instead.
fn missed(
    access: Access,
    said: MemoryProperties,
    has: MemoryProperties,
) -> impl Iterator<Item = &'static Preference> {
    preferences(access).iter().filter(move |preference| {
        let Preference { property, wanted, .. } = **preference;
        !said.contains(property) && has.contains(property) != wanted
    })
}

/// The memory types that will do, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranking {
    types: [u8; MEMORY_TYPES_MAX],
    costs: [u32; MEMORY_TYPES_MAX],
    len: usize,
}

impl Ranking {
    /// No type will do.
    const NONE: Self = Self { types: [0; MEMORY_TYPES_MAX], costs: [0; MEMORY_TYPES_MAX], len: 0 };

    /// One type alone will do.
    fn of_one(memory_type: u32) -> Self {
        let mut ranking = Self { len: 1, ..Self::NONE };
        ranking.types[0] = memory_type as u8;
        ranking
    }

    /// Ranks the types of a device that will do for `wish`.
    #[must_use]
    pub fn new(properties: &DeviceProperties, wish: &Wish<'_>) -> Self {
        let mut ranking = Self::NONE;
        for (index, kind) in (0u8..).zip(&properties.memory_types) {
            if let Verdict::Fits { cost } = judge(kind.properties, true, wish) {
                ranking.insert(index, cost);
            }
        }
        ranking
    }

    /// Puts a type behind all that cost as much or less. This is done for each special wish, so it
    /// allocates nothing.
    fn insert(&mut self, memory_type: u8, cost: u32) {
        let place = self.costs[..self.len].partition_point(|&other| other <= cost);
        self.costs.copy_within(place..self.len, place + 1);
        self.types.copy_within(place..self.len, place + 1);
        (self.costs[place], self.types[place]) = (cost, memory_type);
        self.len += 1;
    }

    /// Returns the types among `allowed` (a bit each), the best first, with their costs.
    #[inline]
    pub fn among(&self, allowed: u32) -> impl Iterator<Item = (u32, u32)> {
        let all = self.types[..self.len].iter().zip(&self.costs);
        all.map(|(&index, &cost)| (u32::from(index), cost))
            .filter(move |(index, _)| allowed >> index & 1 == 1)
    }

    /// As [`among`](Self::among), without what the wish lets nothing spill to.
    pub fn reachable(
        &self,
        allowed: u32,
        properties: &DeviceProperties,
        wish: &Wish<'_>,
    ) -> impl Iterator<Item = (u32, u32)> {
        let best = self.among(allowed).next();
        let stays = best.is_some_and(|(best, _)| stays_local(wish, properties.has(best)));
        let is_reached = move |&(index, _): &(u32, u32)| !stays || properties.is_local(index);
        self.among(allowed).filter(is_reached)
    }

    /// Returns the best type that a request would get if the wish let it spill.
    pub fn spill(
        &self,
        allowed: u32,
        properties: &DeviceProperties,
        wish: &Wish<'_>,
    ) -> Option<u32> {
        let reached = self.reachable(allowed, properties, wish);
        let reached = reached.fold(0, |bits, (index, _)| bits | 1 << index);
        self.among(allowed & !reached).next().map(|(index, _)| index)
    }
}

/// Tells whether memory stays the device's own when that is the best there is.
fn stays_local(wish: &Wish<'_>, best: MemoryProperties) -> bool {
    wish.access == Access::DeviceOnly
        && wish.spill == Spill::Never
        && best.contains(MemoryProperties::DEVICE_LOCAL)
}

/// Finds what is wrong with a request, whatever the state of memory. Returns the best of its
/// memory types.
#[inline]
pub fn validate<D: Device>(
    request: &Request<'_, D>,
    properties: &DeviceProperties,
    ranking: &Ranking,
) -> Result<u32, AllocError> {
    let Requirements { size, align, memory_types, .. } = request.requirements;
    if size == 0 {
        return Err(AllocError::ZeroSize);
    }
    if !align.is_power_of_two() {
        return Err(AllocError::BadAlign { align });
    }
    let Some((best, _)) = ranking.among(memory_types).next() else {
        let required = required(&request.wish);
        return Err(AllocError::NoMemoryType { memory_types, required });
    };
    if size > properties.room(best) {
        expect_room(size, properties, ranking.reachable(memory_types, properties, &request.wish))?;
    }
    Ok(best)
}

/// Refuses a size that is too large for all of `types`.
#[cold]
fn expect_room(
    size: u64,
    properties: &DeviceProperties,
    types: impl Iterator<Item = (u32, u32)>,
) -> Result<(), AllocError> {
    let rooms = types.map(|(index, _)| (properties.room(index), properties.heap_of(index)));
    let (most, heap) = rooms.max().expect("there is the best type");
    if size > most { Err(AllocError::TooLarge { size, heap, most }) } else { Ok(()) }
}

/// Finds wishes that contradict the resource's needs or each other, in blocks that have an upper
/// end or not and are on these devices of a group.
pub fn expect_possible<D: Device>(
    request: &Request<'_, D>,
    has_upper_end: bool,
    devices: u32,
) -> Result<(), Contradiction> {
    let Request { requirements, ref wish, .. } = *request;
    let is_existing = wish.placement == Placement::Existing;
    if is_existing && requirements.dedicated == DedicatedWish::Required {
        return Err(Contradiction::NewBlockForbidden);
    }
    if wish.search == Search::UpperAddress && !has_upper_end {
        return Err(Contradiction::NoUpperEnd);
    }
    let mask = wish.device_mask;
    if mask & !devices != 0 {
        return Err(Contradiction::DeviceMask { mask, devices });
    }
    Ok(())
}

/// As [`validate`], when only one type is to be had.
pub fn validate_for_type<D: Device>(
    request: &Request<'_, D>,
    properties: &DeviceProperties,
    memory_type: u32,
) -> Result<(), AllocError> {
    let has = properties.memory_types[memory_type as usize].properties;
    let types = match judge(has, true, &request.wish) {
        Verdict::Fits { .. } => Ranking::of_one(memory_type),
        _ => Ranking::NONE,
    };
    validate(request, properties, &types).map(|_| ())
}

impl DeviceProperties {
    /// The number of a memory type's heap.
    fn heap_of(&self, memory_type: u32) -> u32 {
        self.memory_types[memory_type as usize].heap
    }

    /// What a memory type can do.
    fn has(&self, memory_type: u32) -> MemoryProperties {
        self.memory_types[memory_type as usize].properties
    }

    /// Whether a memory type is the device's own memory.
    fn is_local(&self, memory_type: u32) -> bool {
        self.has(memory_type).contains(MemoryProperties::DEVICE_LOCAL)
    }

    /// The largest block of a memory type that there can be, in bytes.
    fn room(&self, memory_type: u32) -> u64 {
        let heap = &self.heaps[self.heap_of(memory_type) as usize];
        heap.size.min(self.limits.block_size_max)
    }
}

/// Every memory type of a device with the reason why it is taken or not; prints as a list.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Who touches the memory.
    pub access: Access,
    /// What the user requires.
    pub required: MemoryProperties,
    /// What the user prefers.
    pub preferred: MemoryProperties,
    /// What the user avoids.
    pub avoided: MemoryProperties,
    /// Number, properties and verdict of each type, the best first.
    pub types: Vec<(u32, MemoryProperties, Verdict)>,
}

impl Explanation {
    /// Judges every type of a device.
    #[must_use]
    pub fn new(properties: &DeviceProperties, allowed: u32, wish: &Wish<'_>) -> Self {
        let mut types: Vec<_> = (0..)
            .zip(&properties.memory_types)
            .map(|(index, kind)| {
                let is_allowed = (allowed & wish.memory_types) >> index & 1 == 1;
                (index, kind.properties, judge(kind.properties, is_allowed, wish))
            })
            .collect();
        let order = |&(index, _, verdict): &(u32, MemoryProperties, Verdict)| match verdict {
            Verdict::Fits { cost } => (cost, index),
            _ => (u32::MAX, index),
        };
        let best = types.iter().min_by_key(|one| order(one));
        let is_fit = |one: &(_, _, Verdict)| matches!(one.2, Verdict::Fits { .. });
        if best.is_some_and(|best| is_fit(best) && stays_local(wish, best.1)) {
            let spilt = types.iter_mut().filter(|one| is_fit(one));
            spilt
                .filter(|(_, has, _)| !has.contains(MemoryProperties::DEVICE_LOCAL))
                .for_each(|(.., verdict)| *verdict = Verdict::Spills);
        }
        types.sort_by_key(order);
        let Wish { access, required, preferred, avoided, .. } = *wish;
        Self { access, required, preferred, avoided, types }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory types for {:?}:", self.access)?;
        self.types.iter().try_for_each(|&(index, has, verdict)| {
            write!(f, "\n  {index:2} {}: ", names(has).join("+"))?;
            match verdict {
                Verdict::Fits { cost: 0 } => write!(f, "fits, all that is preferred"),
                Verdict::Fits { cost } => write!(f, "fits, {}", self.misses(has, cost)),
                Verdict::NotAllowed => write!(f, "out, the resource does not allow it"),
                Verdict::Lacks(what) => write!(f, "out, lacks {}", names(what).join("+")),
                Verdict::Spills => write!(f, "out, is host memory, and nothing may spill there"),
                Verdict::Special(what) => {
                    write!(f, "out, {} is only for who asks for it", names(what).join("+"))
                }
            }
        })
    }
}

impl Explanation {
    fn misses(&self, has: MemoryProperties, cost: u32) -> String {
        let own = names(self.preferred - has).into_iter().map(|name| format!("without {name}"));
        let avoided = names(self.avoided & has).into_iter().map(|name| format!("has {name}"));
        let said = self.required | self.preferred | self.avoided;
        let missed = missed(self.access, said, has).map(|preference| {
            let word = if preference.wanted { "without" } else { "has" };
            format!("{word} {}", names(preference.property).join("+"))
        });
        format!("cost {cost}: {}", own.chain(avoided).chain(missed).collect::<Vec<_>>().join(", "))
    }
}

/// Returns the names of properties as reports and snapshots write them.
#[must_use]
pub fn names(properties: MemoryProperties) -> Vec<String> {
    properties.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect()
}
