//! The division for short-lived data: parts lie one behind the other, and almost nothing is
//! written down.
//!
//! Only live parts have an item, linked to the next live part on both sides; what was freed is
//! simply not there, and the gap between two items is free memory. New parts go behind one item,
//! the cursor, into the gap between it and the item after it. So what a mode recovers, and when,
//! follows from the links, and nothing that is dead is ever kept or cleared away:
//!
//! | [`Mode`] | where new parts go | what a free gives back |
//! |---|---|---|
//! | `Stack` | behind the last part | down to the last live part, once the part is the last |
//! | `DoubleStack` | so, or downwards from the end, for upper addresses | so, at both ends |
//! | `Ring` | behind the newest, and from the begin again | so, and up to the oldest part |
//! | `Adaptive` | a ring's way, or a double stack's once an upper address was asked for | so |
//!
//! Parts are freed in any order. A part freed between two live ones comes back when all on the
//! one side that the mode recovers from are gone; an empty block is whole again in every mode.
//!
//! Costs: every function but [`walk`](Division::walk) and [`check`](Division::check) takes
//! constant time; a part costs 32 bytes, as many items as there were parts at most are kept.
//!
//! # Invariants
//!
//! 1. The items, in the order of their links, do not overlap and lie in the block.
//! 2. The cursor is an item, or nothing: in an empty block, and for a double stack while it has
//!    upper parts alone. In a stack it is the last item.
//! 3. No page of the granularity has both tilings.
//! 4. The counters are those of the items; an item that is no part is on the spare list.

use super::ensure::ensure;
use super::granularity::{Apart, Gap, Tag, is_kept};
use super::{Ask, Division, Part, Region};
use crate::device::Tiling;
use crate::request::Search;

const NONE: u32 = u32::MAX;

/// Where parts go and what a free gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Upwards; the last come back first.
    #[default]
    Stack,
    /// From both ends towards the middle; on each side the last come back first.
    DoubleStack,
    /// Upwards and around; the first come back first.
    Ring,
    /// As one of the last two, whichever it is asked for: it may change from one to the other
    /// whenever nothing lies above the newest lower part. (VMA's linear algorithm does so.) While
    /// it has gone round, no upper address is served.
    Adaptive,
}

/// What is the same for all blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where parts go.
    pub mode: Mode,
}

/// One live part, or a spare item.
#[derive(Clone, Copy, Debug)]
struct Item {
    offset: u64,
    size: u64,
    /// The live part below.
    before: u32,
    /// The live part above; in a spare item, the next spare one.
    after: u32,
    tag: Tag,
}

const _: () = assert!(size_of::<Item>() == 32, "as the documentation says");

impl Item {
    const fn end(&self) -> u64 {
        self.offset + self.size
    }
}

/// Parts one behind the other in one block. See the [module](self).
#[derive(Debug)]
pub struct Linear {
    /// A ring or a double stack, while the block adapts.
    mode: Mode,
    adapts: bool,
    items: Vec<Item>,
    size: u64,
    granularity: u64,
    used: u64,
    count: u32,
    /// The lowest and the highest item.
    first: u32,
    last: u32,
    /// New parts go behind this item, or to the block's begin when there is none.
    cursor: u32,
    spare: u32,
}

// SAFETY: A part goes into the gap behind the cursor and no further (the invariants above, checked
// against a model), so it lies in the block and overlaps no other.
unsafe impl Division for Linear {
    const EXACT: bool = true;

    type Config = Config;

    fn new(config: &Config, size: u64, granularity: u64) -> Self {
        assert!(granularity.is_power_of_two(), "a granularity is a power of two");
        let adapts = config.mode == Mode::Adaptive;
        Self {
            mode: if adapts { Mode::Ring } else { config.mode },
            adapts,
            items: Vec::new(),
            size,
            granularity,
            used: 0,
            count: 0,
            first: NONE,
            last: NONE,
            cursor: NONE,
            spare: NONE,
        }
    }

    fn has_upper_end(config: &Config) -> bool {
        matches!(config.mode, Mode::DoubleStack | Mode::Adaptive)
    }

    fn allocate(&mut self, ask: &Ask) -> Option<Part> {
        debug_assert!(ask.size > 0, "a part has at least one byte");
        let wants_upper = ask.search == Search::UpperAddress;
        if self.adapts && self.cursor == self.last {
            self.mode = if wants_upper { Mode::DoubleStack } else { Mode::Ring };
        }
        let upper = self.mode == Mode::DoubleStack && wants_upper;
        if wants_upper && !upper {
            return None;
        }
        let (before, offset) = if upper {
            (self.cursor, self.rule(ask).highest_in(&self.gap(self.cursor), ask.size)?)
        } else {
            self.lowest(ask)?
        };
        let tag = Tag::new(ask.slot, ask.tiling);
        let after = self.after(before);
        let key = self.place(Item { offset, size: ask.size, before, after, tag })?;
        if !upper {
            self.cursor = key;
        }
        self.used += ask.size;
        self.count += 1;
        Some(Part { key, offset })
    }

    fn free(&mut self, key: u32) {
        let Item { size, before, after, .. } = self.items[key as usize];
        assert!(size > 0, "a key names a live part");
        self.link(before, after);
        if self.cursor == key {
            self.cursor = before;
        }
        if self.mode == Mode::Ring && self.cursor == NONE {
            // The newest part was the lowest: what is left was allocated before the wrap.
            self.cursor = self.last;
        }
        self.items[key as usize].size = 0;
        self.items[key as usize].after = self.spare;
        self.spare = key;
        self.used -= size;
        self.count -= 1;
    }

    fn used(&self) -> u64 {
        self.used
    }

    fn count(&self) -> u32 {
        self.count
    }

    /// The gap that the next part goes to, which is exact while alignment takes nothing.
    fn room(&self) -> u64 {
        let here = self.gap(self.cursor).size();
        if self.may_wrap() { here.max(self.gap(NONE).size()) } else { here }
    }

    /// The largest gap that a part can go to: gaps between live parts wait for their recovery.
    fn largest_free(&self) -> u64 {
        self.room()
    }

    fn walk(&self, visit: &mut dyn FnMut(Region)) {
        let mut offset = 0;
        let mut free_until = |begin: u64, end: u64, visit: &mut dyn FnMut(Region)| {
            if begin > offset {
                visit(Region { offset, size: begin - offset, slot: None });
            }
            offset = end;
        };
        for item in self.parts() {
            free_until(item.offset, item.end(), visit);
            visit(Region { offset: item.offset, size: item.size, slot: Some(item.tag.slot()) });
        }
        free_until(self.size, self.size, visit);
    }

    fn check(&self) -> Result<(), &'static str> {
        self.check_links()?;
        let cursor_lives = self.items.get(self.cursor as usize).is_some_and(|item| item.size > 0);
        let none_is_right = self.count == 0 || self.mode == Mode::DoubleStack;
        ensure(cursor_lives || self.cursor == NONE && none_is_right, "2: the cursor is an item")?;
        let is_last = self.mode != Mode::Stack || self.cursor == self.last;
        ensure(is_last, "2: the cursor of a stack is the last item")?;
        let tilings = self.parts().map(|item| (item.offset..item.end(), item.tag.tiling()));
        ensure(is_kept(tilings, self.granularity), "3: no page has both tilings")?;
        let used = self.parts().map(|item| item.size).sum::<u64>();
        let counted = used == self.used && self.parts().count() == self.count as usize;
        ensure(counted, "4: the counters are those of the items")?;
        let spares = successors(self.spare, |index| self.items[index as usize].after);
        let spares = spares.take(self.items.len() + 1).count();
        let all = spares + self.count as usize == self.items.len();
        ensure(all, "4: an item that is no part is on the spare list")
    }
}

impl Linear {
    fn rule(&self, ask: &Ask) -> Apart {
        Apart { align: ask.align, tiling: ask.tiling, granularity: self.granularity }
    }

    /// The place for a part that is wanted low, and the item that it goes behind.
    fn lowest(&self, ask: &Ask) -> Option<(u32, u64)> {
        let rule = self.rule(ask);
        let place = |before| Some((before, rule.lowest_in(&self.gap(before), ask.size)?));
        let here = place(self.cursor);
        if here.is_none() && self.may_wrap() { place(NONE) } else { here }
    }

    /// Whether the cursor is at the upper end of a ring, so that it can go on at the begin. A block
    /// that adapts is a ring again for the next lower part, once its upper ones are gone.
    fn may_wrap(&self) -> bool {
        (self.adapts || self.mode == Mode::Ring) && self.cursor == self.last
    }

    /// Tells whether a ring went on at the begin while older parts lie above: until those are
    /// gone, a block that adapts has no upper end to serve.
    #[must_use]
    pub fn is_wrapped(&self) -> bool {
        self.mode == Mode::Ring && self.cursor != self.last
    }

    /// The item after `before`, which is the first one after nothing.
    fn after(&self, before: u32) -> u32 {
        self.items.get(before as usize).map_or(self.first, |item| item.after)
    }

    /// The gap between an item, or the block's begin, and the item after it, or the block's end.
    fn gap(&self, before: u32) -> Gap {
        let below = self.items.get(before as usize);
        let above = self.items.get(self.after(before) as usize);
        Gap {
            begin: below.map_or(0, Item::end),
            end: above.map_or(self.size, |item| item.offset),
            before: below.map(|item| item.tag.tiling()),
            after: above.map(|item| item.tag.tiling()),
        }
    }

    /// Puts an item between the two that it names, and returns its key.
    fn place(&mut self, item: Item) -> Option<u32> {
        let key = self.take_spare()?;
        self.items[key as usize] = item;
        self.link(item.before, key);
        self.link(key, item.after);
        Some(key)
    }

    /// Returns an item that is no part.
    fn take_spare(&mut self) -> Option<u32> {
        let key = self.spare;
        if key != NONE {
            self.spare = self.items[key as usize].after;
            return Some(key);
        }
        let key = u32::try_from(self.items.len()).ok().filter(|&key| key != NONE)?;
        self.items.try_reserve(1).ok()?;
        let tag = Tag::new(0, Tiling::Linear);
        self.items.push(Item { offset: 0, size: 0, before: NONE, after: NONE, tag });
        Some(key)
    }

    /// Makes two items, or an end of the block and an item, neighbours.
    fn link(&mut self, before: u32, after: u32) {
        match self.items.get_mut(before as usize) {
            Some(item) => item.after = after,
            None => self.first = after,
        }
        match self.items.get_mut(after as usize) {
            Some(item) => item.before = before,
            None => self.last = before,
        }
    }

    /// The items in the order of offsets.
    fn parts(&self) -> impl Iterator<Item = &Item> {
        let keys = successors(self.first, |index| self.items[index as usize].after);
        keys.map(|index| &self.items[index as usize])
    }

    fn check_links(&self) -> Result<(), &'static str> {
        let (mut before, mut end) = (NONE, 0);
        for key in successors(self.first, |index| self.items[index as usize].after) {
            let item = &self.items[key as usize];
            ensure(item.before == before, "1: the links go both ways")?;
            ensure(item.size > 0 && item.offset >= end, "1: the items do not overlap")?;
            (before, end) = (key, item.end());
        }
        ensure(before == self.last && end <= self.size, "1: the items lie in the block")
    }
}

/// The keys from `first` on, until there is none.
fn successors(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    let some = |key: u32| (key != NONE).then_some(key);
    core::iter::successors(some(first), move |&key| some(next(key)))
}

#[cfg(test)]
mod tests {
    use super::{Config, Linear, Mode};
    use crate::device::Tiling;
    use crate::division::{Ask, Division};
    use crate::request::Search;
    use std::collections::VecDeque;

    /// A part that lives on while thousands come and go around it keeps nothing but itself.
    #[test]
    fn a_long_churn_keeps_as_many_items_as_lived_at_once() {
        for mode in [Mode::Stack, Mode::DoubleStack, Mode::Ring, Mode::Adaptive] {
            let mut linear = Linear::new(&Config { mode }, 1 << 40, 64);
            let mut live = VecDeque::new();
            for step in 0..if cfg!(miri) { 500 } else { 50_000_u32 } {
                let tiling = if step % 3 == 0 { Tiling::Linear } else { Tiling::Optimal };
                let upper = mode == Mode::DoubleStack && step % 2 == 1;
                let search = if upper { Search::UpperAddress } else { Search::Quick };
                let size = 1 + u64::from(step % 77);
                let ask = Ask { size, align: 16, tiling, search, slot: step };
                live.push_back(linear.allocate(&ask).unwrap().key);
                if live.len() > 40 {
                    // The oldest, the newest or one between, but never the very first.
                    let index = 1 + step as usize * 7 % 40;
                    linear.free(live.remove(index).unwrap());
                }
            }
            assert_eq!(linear.items.len(), 41, "{mode:?}");
            assert_eq!(linear.check(), Ok(()));
        }
    }
}
