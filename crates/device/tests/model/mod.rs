//! The slow truth about a division: a list of who holds what, and nothing clever.
//!
//! Shared by the property tests and the fuzz target `device`.

use polder_device::division::{Ask, Division, Part, Region};
use polder_device::{Search, Tiling};

/// One step of a history.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Asks for a part; the model chooses the slot.
    Allocate(Ask),
    /// Frees one of the live parts, this number modulo their count.
    Free(usize),
}

#[derive(Clone, Copy, Debug)]
struct Live {
    part: Part,
    ask: Ask,
}

impl Live {
    fn end(&self) -> u64 {
        self.part.offset + self.ask.size
    }
}

/// A division and its model, which are told the same.
#[derive(Debug)]
pub struct Pair<D: Division> {
    pub real: D,
    config: D::Config,
    size: u64,
    granularity: u64,
    live: Vec<Live>,
    next_slot: u32,
}

impl<D: Division> Pair<D> {
    pub fn new(config: &D::Config, size: u64, granularity: u64) -> Self {
        let real = D::new(config, size, granularity);
        let pair =
            Self { real, config: config.clone(), size, granularity, live: vec![], next_slot: 0 };
        pair.check();
        pair
    }

    pub fn act(&mut self, action: Action) {
        match action {
            Action::Allocate(ask) => drop(self.allocate(ask)),
            Action::Free(index) => self.free(index),
        }
    }

    /// Allocates and compares; the ask's slot is replaced by one that no other has.
    pub fn allocate(&mut self, ask: Ask) -> Option<Part> {
        let ask = Ask { slot: self.next_slot, ..ask };
        let room = self.real.room();
        let part = self.real.allocate(&ask);
        match part {
            Some(part) => {
                assert!(ask.size <= room, "above the room every request fails");
                self.take(Live { part, ask });
            }
            None => self.must_fail(&ask),
        }
        self.next_slot += 1;
        self.check();
        part
    }

    /// Frees a live part, if there is one: this number modulo their count.
    pub fn free(&mut self, index: usize) {
        if self.live.is_empty() {
            return;
        }
        let index = index % self.live.len();
        self.real.free(self.live.remove(index).part.key);
        self.check();
    }

    pub fn free_all(&mut self) {
        while !self.live.is_empty() {
            self.free(self.next_slot as usize / 2);
        }
    }

    pub fn live(&self) -> usize {
        self.live.len()
    }

    fn take(&mut self, new: Live) {
        let Live { part, ask } = new;
        assert!(part.offset.is_multiple_of(ask.align), "the offset is aligned: {new:?}");
        assert!(new.end() <= self.size, "the part lies in the block: {new:?}");
        for old in &self.live {
            assert!(old.part.key != part.key, "a key names one part");
            let apart = old.end() <= part.offset || new.end() <= old.part.offset;
            assert!(apart, "parts do not overlap: {old:?} {new:?}");
            let shares = old.ask.tiling != ask.tiling && self.share_a_page(old, &new);
            assert!(!shares, "no page has both tilings: {old:?} {new:?}");
        }
        self.live.push(new);
    }

    fn share_a_page(&self, one: &Live, other: &Live) -> bool {
        let first = |live: &Live| live.part.offset / self.granularity;
        let last = |live: &Live| (live.end() - 1) / self.granularity;
        first(one) <= last(other) && first(other) <= last(one)
    }

    /// A request may fail only when something else is in the block, or the division said before
    /// that the block is too small.
    fn must_fail(&self, ask: &Ask) {
        let served = D::block_size(&self.config, ask.size, ask.align, self.size).is_some()
            && D::block_size_least(&self.config, ask.size, ask.align) <= self.size
            && (ask.search != Search::UpperAddress || D::has_upper_end(&self.config));
        assert!(!served || self.live() > 0, "an empty block serves {ask:?}");
    }

    fn check(&self) {
        let real = &self.real;
        assert_eq!(real.check(), Ok(()));
        assert_eq!(real.used(), self.live.iter().map(|live| live.ask.size).sum::<u64>());
        assert_eq!(real.count() as usize, self.live());
        let largest = real.largest_free().min(D::size_max(&self.config));
        assert!(largest <= real.room(), "the room is at least what may be given");
        let (mut end, mut used) = (0, 0);
        real.walk(&mut |region| {
            assert_eq!(region.offset, end, "the regions tile the block");
            assert!(region.size > 0, "a region has at least one byte");
            end += region.size;
            used += usize::from(region.slot.is_some());
            self.check_region(region);
        });
        assert_eq!((end, used), (self.size, self.live()), "the regions tile the block");
    }

    /// A region has its part, or none.
    fn check_region(&self, region: Region) {
        let end = region.offset + region.size;
        let inside = |live: &&Live| live.part.offset < end && live.end() > region.offset;
        let mut parts = self.live.iter().filter(inside);
        let part = parts.next();
        assert!(parts.next().is_none(), "a region has one part at most");
        assert_eq!(region.slot, part.map(|live| live.ask.slot), "the slot is that of the part");
        let is_exact = part.is_none_or(|live| !D::EXACT || region.size == live.ask.size);
        assert!(is_exact, "a part has its size to the byte");
        let whole = part.is_none_or(|live| region.offset <= live.part.offset && live.end() <= end);
        assert!(whole, "a part lies in its region");
    }
}

/// Plays a history, frees all, and asks for as much as the empty block gave.
pub fn play<D: Division>(config: &D::Config, size: u64, granularity: u64, actions: &[Action]) {
    let mut pair = Pair::<D>::new(config, size, granularity);
    let free_at_first = pair.real.largest_free();
    for &action in actions {
        pair.act(action);
    }
    pair.free_all();
    assert_eq!(pair.real.largest_free(), free_at_first, "all memory is back");
    let Some(largest) = largest_served::<D>(config, size, granularity) else { return };
    assert!(pair.allocate(largest).is_some(), "all memory is back in one piece");
}

/// The largest request, halving from all that is free, that an empty block serves.
fn largest_served<D: Division>(config: &D::Config, size: u64, granularity: u64) -> Option<Ask> {
    let most = size.min(D::size_max(config));
    let halves = std::iter::successors(Some(most), |size| Some(size / 2));
    let search = Search::Quick;
    halves
        .take_while(|&size| size > 0)
        .map(|size| Ask { size, align: 1, tiling: Tiling::Optimal, search, slot: 0 })
        .find(|ask| D::new(config, size, granularity).allocate(ask).is_some())
}
