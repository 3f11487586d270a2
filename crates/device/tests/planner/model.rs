//! The slow truth about plans: every rule for each two resources, every plan of a few, every reason
//! why there is none.
//!
//! Shared by the property tests and the fuzz target `planner`.

use polder_device::planner::{Life, Limit, Plan, PlanError, Planner, Transient};
use polder_device::sim::{Preset, Sim};
use polder_device::{Allocator, DedicatedWish, Options, Requirements, Strategy, Wish};

/// A set is so small that every plan of it can be tried.
const FEW: usize = 5;
/// And its resources so short, in bytes.
const SHORT: u64 = 64;
/// A plan of so many bytes becomes memory.
const MEMORY_MOST: u64 = 16 << 20;
/// What the planner takes for all sizes together, in bytes.
const SIZE_MAX: u128 = 1 << 62;

/// Plans, and finds what is wrong with the plan or with there being none.
pub fn play(planner: Planner, resources: &[Transient]) {
    match planner.plan(resources) {
        Ok(plan) => {
            assert_eq!(reason(planner, resources), None, "there is no plan of such a set");
            check(resources, &plan, planner.granularity);
            assert_eq!(planner.plan(resources).as_ref(), Ok(&plan), "it is the same again");
            compare(planner, resources, &plan);
            become_memory(resources, &plan);
        }
        Err(PlanError::TooLarge) => {
            let Planner { granularity, .. } = planner;
            let padded = |one: &Transient| {
                let Requirements { size, align, .. } = one.requirements;
                u128::from(size) + u128::from(align) + 2 * u128::from(granularity)
            };
            let sum = resources.iter().map(padded).sum::<u128>() + u128::from(granularity);
            assert!(sum > SIZE_MAX, "with what alignment may add it is a number");
        }
        Err(error) => assert_eq!(Some(error), reason(planner, resources)),
    }
}

/// Why there is no plan, if there is none.
fn reason(planner: Planner, resources: &[Transient]) -> Option<PlanError> {
    let Planner { granularity, .. } = planner;
    if !granularity.is_power_of_two() {
        return Some(PlanError::BadGranularity { granularity });
    }
    let bad = |(resource, one): (usize, &Transient)| {
        let Requirements { size, align, memory_types, dedicated } = one.requirements;
        let reasons = [
            (size == 0, PlanError::ZeroSize { resource }),
            (!align.is_power_of_two(), PlanError::BadAlign { resource, align }),
            (one.life.first > one.life.last, PlanError::BadLife { resource }),
            (memory_types == 0, PlanError::NoMemoryType { resource }),
            (dedicated == DedicatedWish::Required, PlanError::NeedsOwnBlock { resource }),
        ];
        reasons.into_iter().find_map(|(is_bad, reason)| is_bad.then_some(reason))
    };
    let sizes = resources.iter().map(|one| u128::from(one.requirements.size));
    let too_large = (sizes.sum::<u128>() > SIZE_MAX).then_some(PlanError::TooLarge);
    resources.iter().enumerate().find_map(bad).or(too_large)
}

/// A search makes no plan worse, and the least is the least.
fn compare(planner: Planner, resources: &[Transient], plan: &Plan) {
    let first = Planner { limit: Limit::LooksPerResource(0), ..planner }.plan(resources).unwrap();
    assert!(plan.size() <= first.size(), "a search makes no plan worse");
    let is_short = |one: &Transient| one.requirements.size <= SHORT;
    let few = resources.len() <= FEW && resources.iter().all(is_short);
    if let ([group], true) = (plan.groups(), few && planner.granularity == 1) {
        let least = least(resources);
        assert!(group.bound <= least && least <= group.size, "nothing is below the least");
        assert!(!group.is_least || group.size == least, "what is said to be the least is");
    }
}

/// Allocates for a plan that is not too large, and gives it back.
fn become_memory(resources: &[Transient], plan: &Plan) {
    if plan.size() > MEMORY_MOST {
        return;
    }
    let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
    if let Ok(memory) = plan.allocate(&allocator, &Wish::default()) {
        assert_eq!(allocator.used(), plan.size());
        for (number, one) in resources.iter().enumerate() {
            let (allocation, offset) = memory.place(number);
            let Requirements { size, align, memory_types, .. } = one.requirements;
            assert!(offset + size <= allocation.size(), "it lies in its group's memory");
            assert!((allocation.offset() + offset).is_multiple_of(align), "and is aligned there");
            assert_eq!(memory_types >> allocation.memory_type() & 1, 1, "in a type that will do");
        }
        memory.free(&allocator).unwrap();
    }
    assert_eq!(allocator.used(), 0);
    allocator.shutdown().unwrap();
}

/// Every rule, for each two resources, and each resource in its group.
pub fn check(resources: &[Transient], plan: &Plan, granularity: u64) {
    assert_eq!(plan.places().len(), resources.len());
    for (number, (one, place)) in resources.iter().zip(plan.places()).enumerate() {
        let (group, needs) = (&plan.groups()[place.group], one.requirements);
        assert!(place.offset.is_multiple_of(needs.align), "an offset is aligned");
        assert!(group.align.is_multiple_of(needs.align), "so is the group");
        assert!(place.offset + needs.size <= group.size, "a resource lies in its group");
        assert_eq!(group.memory_types & !needs.memory_types, 0, "the types will do for each");
        assert!(group.tiling.is_none_or(|tiling| tiling == one.tiling) || granularity == 1);
        for (other, there) in resources.iter().zip(plan.places()).take(number) {
            if there.group == place.group && one.life.overlaps(other.life) {
                let page = if one.tiling == other.tiling { 1 } else { granularity };
                let pages = |offset: u64, size: u64| offset / page..(offset + size).div_ceil(page);
                let here = pages(place.offset, needs.size);
                let there = pages(there.offset, other.requirements.size);
                assert!(here.end <= there.start || there.end <= here.start, "they lie apart");
            }
        }
    }
    for (number, group) in plan.groups().iter().enumerate() {
        assert!(group.bound <= group.size, "nothing is below the bound");
        assert!(group.memory_types != 0 && group.align.is_power_of_two());
        assert!(group.size > group.bound || group.is_least);
        let members = || {
            let all = resources.iter().zip(plan.places());
            all.filter(move |(_, place)| place.group == number).map(|(one, _)| one)
        };
        let moments = members().map(|one| one.life.first);
        let alive = |moment| {
            let life = Life { first: moment, last: moment };
            let alive = members().filter(move |one| one.life.overlaps(life));
            alive.map(|one| one.requirements.size).sum::<u64>()
        };
        assert!(moments.map(alive).max() <= Some(group.bound), "the bound knows what is alive");
        let ends = resources.iter().zip(plan.places()).filter(|(_, place)| place.group == number);
        let ends = ends.map(|(one, place)| place.offset + one.requirements.size).max();
        assert!(ends.unwrap().next_multiple_of(granularity) >= group.size, "a group has no more");
    }
}

/// The least height, by trying every order: some order of placing each resource at the lowest free
/// offset gives it.
pub fn least(resources: &[Transient]) -> u64 {
    fn place(left: &[Transient], placed: &mut Vec<(Transient, u64)>, best: &mut u64) {
        if left.is_empty() {
            let height = placed.iter().map(|(one, offset)| offset + one.requirements.size).max();
            *best = (*best).min(height.unwrap());
        }
        for index in 0..left.len() {
            let mut rest = left.to_vec();
            let one = rest.swap_remove(index);
            let Requirements { size, align, .. } = one.requirements;
            let is_free = |&offset: &u64| {
                placed.iter().all(|(other, there)| {
                    !one.life.overlaps(other.life)
                        || offset + size <= *there
                        || there + other.requirements.size <= offset
                })
            };
            let offset = (0..).step_by(align as usize).find(is_free).unwrap();
            placed.push((one, offset));
            place(&rest, placed, best);
            placed.pop();
        }
    }
    let mut best = u64::MAX;
    place(resources, &mut vec![], &mut best);
    best
}
