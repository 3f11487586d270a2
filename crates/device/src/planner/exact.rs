//! The best plan there is, for a few items: branch and bound.
//!
//! In a plan of least height no item need be able to go lower, by itself. Taken in the order of
//! their offsets, the items of such a plan each lie right on the highest of those before that
//! overlap in time: on its *floor*. So it is enough to choose who comes next (Moffitt, "MiniMalloc:
//! A Lightweight Memory Allocator for Hardware-Accelerated Machine Learning", 2023). A branch is
//! cut off
//!
//! - when an item could have gone below the last one: then the plan is another's that is lower;
//! - when at some moment the items that are left cannot lie side by side below the best height.
//!
//! # Invariants
//!
//! 1. The floor of an item that is left is the lowest offset above all chosen ones beside it.

use super::Allowance;
use super::item::{Item, Layout};

/// Most items: a set of them is one word.
pub const ITEMS_MAX: usize = u64::BITS as usize;

/// Looks for a plan lower than `layout`, which it replaces by the lowest one seen. Tells whether
/// none is lower than that, which it knows when the allowance was enough.
pub fn solve(items: &[Item], layout: &mut Layout, goal: u64, allowance: &mut Allowance) -> bool {
    debug_assert!(items.len() <= ITEMS_MAX, "a set of items is one word");
    let mut order: Vec<_> = (0..items.len()).collect();
    // Of those with one floor the heaviest is tried first.
    order.sort_by(|&one, &other| items[other].weight().total_cmp(&items[one].weight()));
    let sorted: Vec<_> = order.iter().map(|&index| items[index]).collect();
    let set = |fits: &dyn Fn(&Item) -> bool| {
        let members = sorted.iter().enumerate().filter(|(_, item)| fits(item));
        members.fold(0, |set, (index, _)| set | 1 << index)
    };
    let beside = sorted.iter().map(|one| set(&|item| item.life.overlaps(one.life))).collect();
    let mut moments: Vec<_> = sorted.iter().map(|item| item.life.first).collect();
    moments.sort_unstable();
    moments.dedup();
    let alive = |&moment: &u32| set(&|item| item.life.first <= moment && moment <= item.life.last);
    let mut search = Search {
        items: &sorted,
        beside,
        alive: moments.iter().map(alive).collect(),
        offsets: vec![0; items.len()],
        best: layout.height(),
        found: None,
        goal,
        allowance,
    };
    let left = u64::MAX >> (u64::BITS - items.len() as u32);
    search.branch(left, &vec![0; items.len()], Last::default());
    let is_complete = search.best <= goal || !search.allowance.is_over();
    if let Some(offsets) = search.found {
        *layout = Layout::default();
        for (&index, begin) in order.iter().zip(offsets) {
            layout.insert(index as u32, &items[index], begin);
        }
    }
    is_complete
}

struct Search<'a> {
    items: &'a [Item],
    /// For each item those that overlap it in time, itself among them.
    beside: Vec<u64>,
    /// Those alive at each moment at which one begins.
    alive: Vec<u64>,
    offsets: Vec<u64>,
    /// The height to go below.
    best: u64,
    found: Option<Vec<u64>>,
    goal: u64,
    allowance: &'a mut Allowance,
}

/// Where the search stands: no item comes lower than the last one, nor at its offset with a
/// smaller number.
#[derive(Clone, Copy, Default)]
struct Last {
    offset: u64,
    next: u32,
    /// The highest end so far.
    height: u64,
}

impl Search<'_> {
    /// Tries every order of the items that are left; the height so far is below the best.
    fn branch(&mut self, left: u64, floors: &[u64], last: Last) {
        if left == 0 {
            self.best = last.height;
            self.found = Some(self.offsets.clone());
            return;
        }
        self.allowance.spend(u64::from(left.count_ones()) * self.alive.len() as u64);
        // Above this one of those that are left could lie below whoever comes next.
        let end_least = members(left).map(|index| floors[index] + self.items[index].size).min();
        let end_least = end_least.unwrap_or(u64::MAX);
        if end_least <= last.offset {
            return;
        }
        let mut next: Vec<_> = members(left)
            .map(|index| (floors[index], index as u32))
            .filter(|&(floor, index)| {
                (floor, index) >= (last.offset, last.next) && floor < end_least
            })
            .collect();
        next.sort_unstable();
        for (floor, index) in next {
            // The best may have got lower since the last one was tried.
            let is_in_vain = last.height >= self.best || !self.fits(left, floors, last);
            if is_in_vain || self.best <= self.goal || self.allowance.is_over() {
                return;
            }
            self.offsets[index as usize] = floor;
            let left = left & !(1 << index);
            let end = floor + self.items[index as usize].size;
            let mut floors = floors.to_vec();
            for beside in members(left & self.beside[index as usize]) {
                floors[beside] = floors[beside].max(self.items[beside].aligned(end));
            }
            if end < self.best {
                let height = last.height.max(end);
                self.branch(left, &floors, Last { offset: floor, next: index + 1, height });
            }
        }
    }

    /// Whether the items that are left may still lie side by side below the best, at each moment.
    fn fits(&self, left: u64, floors: &[u64], last: Last) -> bool {
        self.alive.iter().all(|alive| {
            let left = alive & left;
            let lowest = members(left).map(|index| floors[index]).min();
            let size: u64 = members(left).map(|index| self.items[index].size).sum();
            lowest.is_none_or(|lowest| lowest.max(last.offset) + size < self.best)
        })
    }
}

/// The numbers of a set.
fn members(mut set: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let member = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(member)
    })
}
