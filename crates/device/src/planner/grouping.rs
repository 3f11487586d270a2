//! Who shares memory with whom: groups by memory type, and parts of them that time keeps apart.
//!
//! Each group takes the memory type that will do for most of the bytes that are left, until none
//! are left: few groups, and so much to share.

use super::Transient;
use super::item::Item;
use crate::device::{MEMORY_TYPES_MAX, Tiling};

/// The resources of one group.
#[derive(Debug)]
pub struct Members {
    /// Their numbers.
    pub resources: Vec<usize>,
    /// What the planner sees of each.
    pub items: Vec<Item>,
    pub memory_types: u32,
    /// Nothing for both.
    pub tiling: Option<Tiling>,
    /// What the whole begins and ends at a multiple of.
    pub page: u64,
}

impl Members {
    fn new(all: &[Transient], resources: Vec<usize>, granularity: u64) -> Self {
        let members = || resources.iter().map(|&resource| &all[resource]);
        let types = members().map(|member| member.requirements.memory_types);
        let memory_types = types.fold(u32::MAX, |one, other| one & other);
        let has = |tiling| members().any(|member| member.tiling == tiling);
        let is_mixed = granularity > 1 && has(Tiling::Linear) && has(Tiling::Optimal);
        let padding = |tiling| {
            let sizes = members().filter(|member| member.tiling == tiling);
            let sizes = sizes.map(|member| member.requirements.size);
            sizes.map(|size| size.next_multiple_of(granularity) - size).sum::<u64>()
        };
        let pays = |tiling: Tiling| {
            is_mixed
                && (tiling == Tiling::Linear)
                    == (padding(Tiling::Linear) < padding(Tiling::Optimal))
        };
        let paying = [Tiling::Linear, Tiling::Optimal].into_iter().find(|&tiling| pays(tiling));
        let item = |member: &Transient| {
            let page = if paying == Some(member.tiling) { granularity } else { 1 };
            let size = member.requirements.size.next_multiple_of(page);
            Item { size, align: member.requirements.align.max(page), life: member.life }
        };
        let items = members().map(item).collect();
        let tiling = if is_mixed { None } else { members().map(|member| member.tiling).next() };
        let page = if is_mixed { granularity } else { 1 };
        Self { resources, items, memory_types, tiling, page }
    }

    /// The members in sets of which no two are alive at a moment, those with the most bytes first.
    pub fn components(&self) -> Vec<Vec<usize>> {
        let mut order: Vec<_> = (0..self.items.len()).collect();
        order.sort_by_key(|&member| self.items[member].life.first);
        let mut components = Vec::<Vec<usize>>::new();
        let mut last = 0;
        for member in order {
            let life = self.items[member].life;
            match components.last_mut() {
                Some(component) if life.first <= last => component.push(member),
                _ => components.push(vec![member]),
            }
            last = last.max(life.last);
        }
        let bytes = |members: &Vec<usize>| -> u64 {
            members.iter().map(|&member| self.items[member].size).sum()
        };
        components.sort_by_key(|members| core::cmp::Reverse(bytes(members)));
        components
    }
}

/// Parts resources that were found valid into groups.
pub fn group(all: &[Transient], granularity: u64) -> Vec<Members> {
    let mut left: Vec<_> = (0..all.len()).collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let will_do = |resource: usize, memory_type: u32| {
            all[resource].requirements.memory_types >> memory_type & 1 == 1
        };
        let bytes = |memory_type: u32| -> u64 {
            let fitting = left.iter().filter(|&&resource| will_do(resource, memory_type));
            fitting.map(|&resource| all[resource].requirements.size).sum()
        };
        // Of two that serve as much the first: the driver's order is its preference.
        let types = (0..MEMORY_TYPES_MAX as u32).rev();
        let memory_type = types.max_by_key(|&memory_type| bytes(memory_type));
        let memory_type = memory_type.expect("there are memory types");
        let (members, rest) = left.iter().partition(|&&resource| will_do(resource, memory_type));
        groups.push(Members::new(all, members, granularity));
        left = rest;
    }
    groups
}
