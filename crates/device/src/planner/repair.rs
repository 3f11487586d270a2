//! Makes a plan lower: what lies too high is put where it displaces least, and that again.
//!
//! An ejection search with guiding counters (after Nagata and Bräysy, "A powerful route
//! minimization heuristic for the vehicle routing problem with time windows", 2009). A height is
//! set that is lower than the plan; what ends above it is taken out. The heaviest that is out goes
//! into the gap that it fills most closely, or, where there is none, to the place where the items
//! in its way weigh least: those are out then. An item's weight is multiplied by how often it
//! found no gap, so what is hard to place stays and what is easy moves. When all are in, the
//! height is set lower; when that takes too long, less much lower.

use super::Allowance;
use super::item::{Item, Layout, Placed, closest};
use std::collections::BinaryHeap;

/// The first step down, in parts of what lies between the plan and its goal.
const STEP_FIRST: u64 = 4;
/// An attempt takes at most this part of what is left of the allowance, before a shorter step.
const ATTEMPT_PART: u32 = 8;
/// Looks that the candidates of each item beside are counted as; that is what they cost.
const LOOKS_PER_CANDIDATE: u64 = 16;
/// Weights are judged up to this part by chance, so that no circle is closed.
const CHANCE: f64 = 0.2;

/// Lowers a plan of all items until it is at most as high as `goal` or the allowance is used up.
pub fn repair(items: &[Item], layout: &mut Layout, goal: u64, allowance: &mut Allowance) {
    let mut search = Search {
        items,
        layout: layout.clone(),
        weights: items.iter().map(Item::weight).collect(),
        failures: vec![1.0; items.len()],
        random: 0x5eed,
    };
    let mut step = STEP_FIRST;
    let mut best = layout.height();
    while best > goal && !allowance.is_over() {
        let height = best - ((best - goal) / step).max(1);
        if allowance.lend(ATTEMPT_PART, |part| search.lower(height, part)) {
            *layout = search.layout.clone();
            best = layout.height();
        } else {
            // Weights stay: what was hard to place is.
            search.layout = layout.clone();
            let is_least = (best - goal) / step <= 1;
            step = if is_least { STEP_FIRST } else { step * 2 };
        }
    }
}

struct Search<'a> {
    items: &'a [Item],
    layout: Layout,
    weights: Vec<f64>,
    /// How often each item found no gap, and one.
    failures: Vec<f64>,
    random: u64,
}

/// An item without an offset; the heaviest comes first.
#[derive(PartialEq)]
struct Out {
    weight: f64,
    index: u32,
}

impl Eq for Out {}

impl PartialOrd for Out {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Out {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.weight.total_cmp(&other.weight).then(self.index.cmp(&other.index))
    }
}

impl Search<'_> {
    /// Brings all items below `height`; tells whether the allowance was enough.
    fn lower(&mut self, height: u64, allowance: &mut Allowance) -> bool {
        let removed = self.layout.cut(height);
        let mut out: BinaryHeap<_> = removed.into_iter().map(|index| self.out(index)).collect();
        let mut found = Vec::new();
        while let Some(Out { index, .. }) = out.pop() {
            allowance.spend(self.layout.len());
            let item = &self.items[index as usize];
            let beside = self.layout.beside(item.life, &mut found);
            if let Some(begin) = closest(item, beside, height) {
                self.layout.insert(index, item, begin);
                continue;
            }
            if allowance.is_over() {
                return false;
            }
            allowance.spend(beside.len() as u64 * LOOKS_PER_CANDIDATE);
            self.failures[index as usize] += 1.0;
            let begin = self.cheapest(item, beside, height);
            let end = begin + item.size;
            for placed in beside.iter().filter(|one| one.begin < end && one.end > begin) {
                self.layout.remove(placed);
                out.push(self.out(placed.index));
            }
            self.layout.insert(index, item, begin);
        }
        true
    }

    fn out(&self, index: u32) -> Out {
        Out { weight: self.weights[index as usize], index }
    }

    /// Where below `height` the items in the way weigh least: right above or below one of those
    /// beside it, or at an end.
    fn cheapest(&mut self, item: &Item, beside: &[Placed], height: u64) -> u64 {
        let weight = |placed: &Placed| {
            self.weights[placed.index as usize] * self.failures[placed.index as usize]
        };
        let begins: Vec<_> = beside.iter().map(|one| (one.begin, weight(one))).collect();
        let mut ends: Vec<_> = beside.iter().map(|one| (one.end, weight(one))).collect();
        ends.sort_unstable_by_key(|&(end, _)| end);
        let down = |end: u64| Some(end.checked_sub(item.size)? & !(item.align - 1));
        let above = ends.iter().map(|&(end, _)| item.aligned(end));
        let below = begins.iter().filter_map(|&(begin, _)| down(begin));
        let (mut least, mut found) = (f64::INFINITY, 0);
        let mut look = |sweep: &mut Sweep<'_>, begin: u64| {
            if begin + item.size <= height {
                let chance = 1.0 + CHANCE * next(&mut self.random);
                let weight = sweep.in_the_way(begin, begin + item.size) * chance;
                if weight < least {
                    (least, found) = (weight, begin);
                }
            }
        };
        let mut sweep = Sweep::new(&begins, &ends);
        [0].into_iter().chain(above).for_each(|begin| look(&mut sweep, begin));
        let mut sweep = Sweep::new(&begins, &ends);
        below.chain(down(height)).for_each(|begin| look(&mut sweep, begin));
        found
    }
}

/// What lies in ranges of bytes that are asked for in the order of their offsets.
struct Sweep<'a> {
    /// Where items begin, and their weights, that are still to come.
    begins: &'a [(u64, f64)],
    ends: &'a [(u64, f64)],
    /// The weight of those that began before the range ends, less those that ended before it.
    weight: f64,
}

impl<'a> Sweep<'a> {
    fn new(begins: &'a [(u64, f64)], ends: &'a [(u64, f64)]) -> Self {
        Self { begins, ends, weight: 0.0 }
    }

    /// The weight of the items in a range that is not below the last one.
    fn in_the_way(&mut self, begin: u64, end: u64) -> f64 {
        while let [(at, weight), rest @ ..] = self.begins
            && *at < end
        {
            self.weight += weight;
            self.begins = rest;
        }
        while let [(at, weight), rest @ ..] = self.ends
            && *at <= begin
        {
            self.weight -= weight;
            self.ends = rest;
        }
        self.weight
    }
}

/// A number from 0 to below 1 (xorshift; Marsaglia 2003): the same ones in each plan.
fn next(random: &mut u64) -> f64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 40) as f64 / f64::from(1 << 24)
}
