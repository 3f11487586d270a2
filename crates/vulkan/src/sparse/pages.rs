//! Which pages of a sparse resource have memory, and what the device has yet to hear of it.
//!
//! Pages are plain numbers here; what part of a resource each one backs is the
//! [layout](super::layout)'s business. Memory comes in runs, one allocation for some pages that
//! follow one another. A page that is taken out of use before the device heard of it is free at
//! once; else it is to be unbound, then waits for the frame of that unbind. A free page of a run
//! that has others in use serves the next page that needs memory.
//!
//! # Invariants
//!
//! 1. A page that is to be bound is in the table, and the device has nothing bound to it.
//! 2. A page that is to be unbound is not in the table, and what stands with it is bound to it.
//! 3. Each page of a run is at one place: in the table, to be unbound, waiting, or spare. A run
//!    counts those that are not spare.
//! 4. A run has a page that is not spare.

use core::fmt;
use core::ops::Range;
use polder_device::{
    AllocError, Allocation, DedicatedWish, Device, Request, Requirements, Strategy, Tiling, Wish,
};
use std::collections::{BTreeMap, BTreeSet};

/// The last frame: one more has a number too.
const FRAME_MAX: u64 = u64::MAX - 1;
const OURS: &str = "the pages' allocations live until they are freed here";
const KNOWN: &str = "a place in use names a run that is there";

/// How many pages are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// With memory, whether the device has heard of it or not.
    pub committed: u64,
    /// Of these, how many are bound by the next submission.
    pub to_bind: u64,
    /// Taken back, and unbound by the next submission.
    pub to_unbind: u64,
    /// Unbound by a submission whose frame is not completed: their memory is kept until then.
    pub waiting: u64,
    /// Free, and kept because their allocation has other pages in use: the next commit takes them.
    pub spare: u64,
}

/// What memory for pages is asked for with.
pub(super) struct Terms {
    /// Bytes of a page, and what its memory is aligned to: a power of two.
    pub page_size: u64,
    /// A bit for each memory type that will do.
    pub memory_types: u32,
    pub tiling: Tiling,
    pub device_address: bool,
    /// Without the name, which stands beside it.
    pub wish: Wish<'static>,
    pub name: Option<String>,
    /// Most pages of one allocation, at least 1.
    pub run_pages_max: usize,
}

impl Terms {
    fn request<D: Device>(&self, pages: usize) -> Request<'_, D> {
        let needs = Requirements {
            size: self.page_size * pages as u64,
            align: self.page_size,
            memory_types: self.memory_types,
            // No block of its own can be for a sparse resource.
            dedicated: DedicatedWish::None,
        };
        let mut request = Request::new(needs, Wish { name: self.name.as_deref(), ..self.wish });
        (request.tiling, request.device_address) = (self.tiling, self.device_address);
        request
    }
}

/// A page of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    run: u64,
    /// Counted from the run's begin.
    page: u64,
}

/// An allocation for some pages.
struct Run<D: Device> {
    allocation: Allocation<D>,
    /// Invariant 3.
    used: u64,
}

/// New allocations, each with the pages that it is for.
type Made<'a, D> = Vec<(&'a [u64], Allocation<D>)>;

/// What the device is to be told of a page: the block and the offset in it, or that it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending<M> {
    pub page: u64,
    pub target: Option<(M, u64)>,
}

/// The page table of one resource.
pub(super) struct Pages<D: Device, S: Strategy<D>> {
    strategy: S,
    terms: Terms,
    table: BTreeMap<u64, Place>,
    to_bind: BTreeSet<u64>,
    to_unbind: BTreeMap<u64, Place>,
    /// By frame.
    waiting: BTreeMap<u64, Vec<Place>>,
    spare: BTreeSet<Place>,
    runs: BTreeMap<u64, Run<D>>,
    /// The number of the next run; none is given twice.
    next_run: u64,
    /// One more than the last frame that is completed.
    completed_end: u64,
}

impl<D: Device, S: Strategy<D>> Pages<D, S> {
    pub fn new(strategy: S, terms: Terms) -> Self {
        assert!(terms.page_size.is_power_of_two(), "a page has a power of two of bytes");
        assert!(terms.run_pages_max > 0, "an allocation has at least one page");
        Self {
            strategy,
            terms,
            table: BTreeMap::new(),
            to_bind: BTreeSet::new(),
            to_unbind: BTreeMap::new(),
            waiting: BTreeMap::new(),
            spare: BTreeSet::new(),
            runs: BTreeMap::new(),
            next_run: 0,
            completed_end: 0,
        }
    }

    pub const fn strategy(&self) -> &S {
        &self.strategy
    }

    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Gives memory to every page of `ranges` that has none, or to none of them. Ranges may
    /// overlap.
    pub fn commit(&mut self, ranges: &[Range<u64>]) -> Result<(), AllocError> {
        let has_none = |page: &u64| !self.table.contains_key(page);
        let mut missing: Vec<_> = ranges.iter().cloned().flatten().filter(has_none).collect();
        missing.sort_unstable();
        missing.dedup();
        // What the device has not unbound yet is kept as it is.
        let is_bound = |page: &u64| self.to_unbind.contains_key(page);
        let (kept, fresh): (Vec<_>, Vec<_>) = missing.into_iter().partition(is_bound);
        let (spared, new) = fresh.split_at(fresh.len().min(self.spare.len()));
        let made = self.allocate(new)?;

        for page in kept {
            let place = self.to_unbind.remove(&page).expect("it was just found there");
            self.table.insert(page, place);
        }
        for &page in spared {
            let place = self.spare.pop_first().expect("there are as many as were counted");
            self.runs.get_mut(&place.run).expect(KNOWN).used += 1;
            self.put(page, place);
        }
        for (pages, allocation) in made {
            let (run, used) = (self.next_run, pages.len() as u64);
            self.next_run += 1;
            self.runs.insert(run, Run { allocation, used });
            for (&page, index) in pages.iter().zip(0..) {
                self.put(page, Place { run, page: index });
            }
        }
        Ok(())
    }

    /// Takes every page of `ranges` that has memory out of use.
    pub fn decommit(&mut self, ranges: &[Range<u64>]) {
        for range in ranges {
            let pages: Vec<_> = self.table.range(range.clone()).map(|(&page, _)| page).collect();
            for page in pages {
                let place = self.table.remove(&page).expect("it was just found there");
                if self.to_bind.remove(&page) {
                    self.release(place);
                } else {
                    self.to_unbind.insert(page, place);
                }
            }
        }
    }

    /// Tells whether all pages of a range have memory.
    pub fn is_committed(&self, range: Range<u64>) -> bool {
        let wanted = range.end.saturating_sub(range.start);
        wanted == 0 || self.table.range(range).count() as u64 == wanted
    }

    /// The pages of a range that have memory.
    pub fn committed(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        self.table.range(range).map(|(&page, _)| page)
    }

    pub fn is_pending(&self) -> bool {
        !self.to_bind.is_empty() || !self.to_unbind.is_empty()
    }

    /// What the device is to be told, by page; each page once.
    pub fn pending(&self) -> Vec<Pending<D::Memory>> {
        let binds = self.to_bind.iter().map(|&page| {
            let target = Some(self.target(self.table[&page]));
            Pending { page, target }
        });
        let unbinds = self.to_unbind.keys().map(|&page| Pending { page, target: None });
        let mut pending: Vec<_> = binds.chain(unbinds).collect();
        pending.sort_unstable_by_key(|one| one.page);
        pending
    }

    /// Tells whether something may be submitted in this frame: it is not completed.
    pub const fn is_open(&self, frame: u64) -> bool {
        self.completed_end <= if frame < FRAME_MAX { frame } else { FRAME_MAX }
    }

    /// Says that all that was pending was submitted, in this frame.
    pub fn submitted(&mut self, frame: u64) {
        self.to_bind.clear();
        let unbound = core::mem::take(&mut self.to_unbind);
        if !unbound.is_empty() {
            let waiting = self.waiting.entry(frame.min(FRAME_MAX)).or_default();
            waiting.extend(unbound.into_values());
        }
    }

    /// Frees what waited for this frame and those before it.
    pub fn complete(&mut self, frame: u64) {
        let end = frame.min(FRAME_MAX) + 1;
        self.completed_end = self.completed_end.max(end);
        let later = self.waiting.split_off(&end);
        let ended = core::mem::replace(&mut self.waiting, later);
        ended.into_values().flatten().for_each(|place| self.release(place));
    }

    /// Frees everything; nothing is bound or waits any more.
    pub fn free_all(&mut self) {
        (self.to_bind, self.spare) = (BTreeSet::new(), BTreeSet::new());
        (self.table, self.to_unbind) = (BTreeMap::new(), BTreeMap::new());
        self.waiting.clear();
        for run in core::mem::take(&mut self.runs).into_values() {
            self.strategy.free(run.allocation).expect(OURS);
        }
    }

    pub fn counts(&self) -> PageCounts {
        PageCounts {
            committed: self.table.len() as u64,
            to_bind: self.to_bind.len() as u64,
            to_unbind: self.to_unbind.len() as u64,
            waiting: self.waiting.values().map(|places| places.len() as u64).sum(),
            spare: self.spare.len() as u64,
        }
    }

    /// Verifies every invariant; for tests.
    pub fn check(&self) {
        let waiting = self.waiting.values().flatten();
        let in_use = self.table.values().chain(self.to_unbind.values()).chain(waiting);
        let mut used = BTreeMap::new();
        let mut seen = self.spare.clone();
        for &place in in_use {
            assert!(seen.insert(place), "3: {place:?} is at one place");
            *used.entry(place.run).or_insert(0) += 1;
        }
        for page in &self.to_bind {
            assert!(self.table.contains_key(page), "1: page {page} is in the table");
        }
        for page in self.to_unbind.keys() {
            assert!(!self.table.contains_key(page), "2: page {page} is not in the table");
        }
        let counts: BTreeMap<_, _> = self.runs.iter().map(|(&run, it)| (run, it.used)).collect();
        assert_eq!(counts, used, "3 and 4: a run counts its pages in use, and has one");
        let pages: u64 = self.runs.values().map(|run| self.page_count(run)).sum();
        assert_eq!(pages, seen.len() as u64, "3: every page is somewhere");
    }

    /// Memory for pages, ascending: for all or none of them. Where long runs find no room, single
    /// pages may.
    fn allocate<'a>(&self, pages: &'a [u64]) -> Result<Made<'a, D>, AllocError> {
        let run_pages_max = self.terms.run_pages_max;
        match self.allocate_runs(pages, run_pages_max) {
            Err(AllocError::OutOfMemory(_) | AllocError::TooLarge { .. }) if run_pages_max > 1 => {
                self.allocate_runs(pages, 1)
            }
            result => result,
        }
    }

    fn allocate_runs<'a>(
        &self,
        pages: &'a [u64],
        run_pages_max: usize,
    ) -> Result<Made<'a, D>, AllocError> {
        let follows = |one: &u64, next: &u64| one + 1 == *next;
        let runs = pages.chunk_by(follows).flat_map(|some| some.chunks(run_pages_max));
        let runs: Vec<_> = runs.collect();
        let requests: Vec<_> = runs.iter().map(|run| self.terms.request(run.len())).collect();
        let made = self.strategy.allocate_all(&requests)?;
        assert!(made.len() == runs.len(), "a strategy allocates for every request");
        Ok(runs.into_iter().zip(made).collect())
    }

    fn put(&mut self, page: u64, place: Place) {
        self.table.insert(page, place);
        self.to_bind.insert(page);
    }

    /// Ends the use of a page of memory.
    fn release(&mut self, place: Place) {
        let run = self.runs.get_mut(&place.run).expect(KNOWN);
        run.used -= 1;
        if run.used > 0 {
            self.spare.insert(place);
            return;
        }
        let run = self.runs.remove(&place.run).expect(KNOWN);
        for page in 0..self.page_count(&run) {
            self.spare.remove(&Place { run: place.run, page });
        }
        self.strategy.free(run.allocation).expect(OURS);
    }

    fn page_count(&self, run: &Run<D>) -> u64 {
        run.allocation.size() / self.terms.page_size
    }

    /// The block of a page of memory, and where in it the page begins.
    fn target(&self, place: Place) -> (D::Memory, u64) {
        let allocation = &self.runs[&place.run].allocation;
        (allocation.memory(), allocation.offset() + place.page * self.terms.page_size)
    }
}

impl<D: Device, S: Strategy<D>> fmt::Debug for Pages<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("page_size", &self.terms.page_size)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]

    use super::*;
    use polder_device::sim::{Preset, Sim};
    use polder_device::strategy::{Dedicated, Setup};
    use polder_device::{Allocator, Options};
    use std::collections::HashMap;
    use std::sync::Arc;

    const PAGE: u64 = 64 << 10;
    const PAGES: u64 = 200;

    fn pages<S: Strategy<Sim>>(strategy: S, run_pages_max: usize) -> Pages<Sim, S> {
        let terms = Terms {
            page_size: PAGE,
            memory_types: u32::MAX,
            tiling: Tiling::Optimal,
            device_address: false,
            wish: Wish::default(),
            name: Some("pages".to_owned()),
            run_pages_max,
        };
        Pages::new(strategy, terms)
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (self.0 >> 33) % limit
        }

        fn range(&mut self) -> Range<u64> {
            let start = self.below(PAGES);
            start..start + self.below((PAGES - start).min(40) + 1)
        }
    }

    type Target = (<Sim as Device>::Memory, u64);

    /// What the program asked for, and what the device has.
    #[derive(Default)]
    struct Model {
        committed: BTreeSet<u64>,
        bound: HashMap<u64, Target>,
        /// Memory that the device may still use, by the frame that unbinds it.
        unbinding: Vec<(u64, Target)>,
    }

    impl Model {
        /// Takes what is pending as the device would.
        fn submit<S: Strategy<Sim>>(&mut self, pages: &mut Pages<Sim, S>, frame: u64) {
            let pending = pages.pending();
            assert!(pending.windows(2).all(|two| two[0].page < two[1].page), "each page once");
            for Pending { page, target } in pending {
                let before = match target {
                    Some(target) => self.bound.insert(page, target),
                    None => self.bound.remove(&page),
                };
                assert_eq!(before.is_some(), target.is_none(), "page {page} changes");
                self.unbinding.extend(before.map(|target| (frame, target)));
            }
            pages.submitted(frame);
            assert_eq!(self.bound.keys().copied().collect::<BTreeSet<_>>(), self.committed);
        }

        /// No byte of memory is used twice, by what the device has and what it is to get.
        fn check<S: Strategy<Sim>>(&self, pages: &Pages<Sim, S>) {
            pages.check();
            let committed: BTreeSet<_> = pages.committed(0..PAGES).collect();
            assert_eq!(committed, self.committed);
            let to_come = pages.pending().into_iter().filter_map(|one| one.target);
            let in_use = self.bound.values().copied().chain(to_come);
            let mut in_use: Vec<_> =
                in_use.chain(self.unbinding.iter().map(|&(_, target)| target)).collect();
            let count = in_use.len();
            in_use.sort_by_cached_key(|&(memory, at)| (format!("{memory:?}"), at));
            in_use.dedup();
            assert_eq!(in_use.len(), count, "no page of memory is used twice");
        }
    }

    fn churn<S: Strategy<Sim>>(strategy: &S, run_pages_max: usize, seed: u64) {
        let mut pages = pages(strategy, run_pages_max);
        let (mut model, mut random) = (Model::default(), Random(seed));
        let (mut frame, mut completed) = (1, 0);
        for _ in 0..200 {
            match random.below(5) {
                0 | 1 => {
                    let ranges = [random.range(), random.range()];
                    pages.commit(&ranges).expect("the device has room");
                    model.committed.extend(ranges.into_iter().flatten());
                }
                2 => {
                    let range = random.range();
                    pages.decommit(core::slice::from_ref(&range));
                    model.committed.retain(|page| !range.contains(page));
                }
                3 => {
                    model.submit(&mut pages, frame);
                    frame += random.below(2);
                }
                _ => {
                    let last = completed + random.below(frame - completed);
                    completed = last;
                    model.unbinding.retain(|&(frame, _)| frame > last);
                    pages.complete(last);
                    frame = frame.max(last + 1);
                }
            }
            model.check(&pages);
        }
        pages.decommit(&[0..PAGES]);
        pages.submitted(frame);
        pages.complete(frame);
        assert_eq!(strategy.used(), 0, "what nobody uses goes back");
        assert_eq!(pages.counts(), PageCounts::default());
    }

    #[test]
    fn pages_come_and_go_as_the_device_can_follow() {
        for run_pages_max in [1, 3, 16] {
            for seed in 0..2 {
                let sim = Sim::preset(Preset::AmdNavi31);
                let allocator = Allocator::new(sim.clone(), Options::default());
                churn(&allocator, run_pages_max, seed);
                allocator.shutdown().expect("nothing is left");
                let dedicated = Dedicated::new(Arc::new(sim.clone()), Setup::default());
                churn(&dedicated, run_pages_max, seed);
                assert_eq!(sim.violations(), []);
            }
        }
    }

    #[test]
    fn a_commit_that_fails_changes_nothing() {
        for run_pages_max in [1, 4] {
            for call in 1.. {
                let sim = Sim::preset(Preset::AmdNavi31);
                let dedicated = Dedicated::new(Arc::new(sim.clone()), Setup::default());
                let mut pages = pages(&dedicated, run_pages_max);
                pages.commit(&[0..10]).expect("the device has room");
                pages.submitted(1);
                pages.decommit(&[3..6]);
                let before = (pages.counts(), pages.pending(), dedicated.used(), sim.live());
                // The way out that a run has of single pages is barred too.
                (call..call + 60).for_each(|call| sim.fail_any(call));
                let result = pages.commit(&[2..20, 30..40]);
                let is_over = sim.pending_failures() >= 60;
                sim.clear_failures();
                if is_over {
                    assert_eq!(result, Ok(()));
                    break;
                }
                assert!(result.is_err(), "call {call}");
                pages.check();
                let after = (pages.counts(), pages.pending(), dedicated.used(), sim.live());
                assert_eq!(after, before, "call {call}");
                pages.commit(&[2..20, 30..40]).expect("the device has room again");
                pages.free_all();
                assert_eq!(dedicated.used(), 0);
            }
        }
    }

    #[test]
    fn where_no_run_fits_single_pages_do() {
        let sim = Sim::preset(Preset::AmdNavi31);
        let dedicated = Dedicated::new(Arc::new(sim.clone()), Setup::default());
        let mut pages = pages(&dedicated, 8);
        // Its own try and the one after giving empty blocks back.
        sim.fail_any(1);
        sim.fail_any(2);
        pages.commit(&[0..8]).expect("there is room for pages");
        assert_eq!(dedicated.live().len(), 8);
        pages.free_all();
    }

    #[test]
    fn a_page_that_comes_back_in_time_is_kept() {
        let sim = Sim::preset(Preset::AmdNavi31);
        let allocator = Allocator::new(sim, Options::default());
        let mut pages = pages(&allocator, 1);
        pages.commit(&[0..4]).unwrap();
        let bound = pages.pending();
        pages.submitted(1);
        pages.decommit(&[0..2]);
        pages.commit(&[0..4]).unwrap();
        assert!(!pages.is_pending(), "the device need not hear of it");
        pages.decommit(&[0..4]);
        pages.submitted(1);
        pages.commit(&[0..4]).unwrap();
        let anew = pages.pending();
        let is_old = |one: &Pending<_>| bound.iter().any(|old| old.target == one.target);
        assert!(!anew.iter().any(is_old), "the device may still use the old memory");
        pages.free_all();
    }

    #[test]
    fn pages_of_a_run_serve_again_until_it_goes() {
        let sim = Sim::preset(Preset::AmdNavi31);
        let allocator = Allocator::new(sim, Options::default());
        let mut pages = pages(&allocator, 8);
        pages.commit(&[0..8]).unwrap();
        pages.decommit(&[0..7]);
        assert_eq!((pages.counts().spare, allocator.used()), (7, 8 * PAGE));
        pages.commit(&[100..110]).unwrap();
        assert_eq!((pages.counts().spare, allocator.used()), (0, 11 * PAGE));
        pages.decommit(&[7..8]);
        pages.decommit(&[100..107]);
        assert_eq!((pages.counts().spare, allocator.used()), (0, 3 * PAGE));
        pages.free_all();
    }
}
