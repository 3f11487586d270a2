//! The slow truth about a virtual block: a list of who holds what, and nothing clever.
//!
//! Shared by the property tests and the fuzz target `virtual_block`.

use polder_device::virtual_block::Detail;
use polder_device::{
    Algorithm, Search, VirtualAllocation, VirtualBlock, VirtualError, VirtualInfo, VirtualMisuse,
    VirtualPart, VirtualRequest,
};

/// One step of a history. An index is taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Asks for a part; the model chooses the data.
    Allocate(VirtualRequest),
    /// Frees one of the live parts.
    Free(usize),
    /// Frees what was freed before.
    FreeAgain(usize),
    /// Shows a handle to a block that it is not of.
    FreeElsewhere(usize),
    /// Gives a live part other data.
    SetData(usize),
    /// Frees all.
    Clear,
}

struct Live {
    part: VirtualPart,
    size: u64,
    data: u64,
}

impl Live {
    fn end(&self) -> u64 {
        self.part.offset + self.size
    }
}

/// A block and its model, which are told the same.
pub struct Pair {
    pub real: VirtualBlock<u64>,
    algorithm: Algorithm,
    /// Never has anything of the other's.
    other: VirtualBlock<u64>,
    live: Vec<Live>,
    freed: Vec<VirtualAllocation>,
    next_data: u64,
}

impl Pair {
    pub fn new(size: u64, algorithm: Algorithm) -> Self {
        let [real, mut other] = [0, 0].map(|_| VirtualBlock::new(size, algorithm).unwrap());
        other.allocate(VirtualRequest::new(1), 0).unwrap();
        Self { real, algorithm, other, live: vec![], freed: vec![], next_data: 0 }
    }

    pub fn act(&mut self, action: Action) {
        match action {
            Action::Allocate(request) => drop(self.allocate(request)),
            Action::Free(index) => self.free(index),
            Action::FreeAgain(index) => {
                if let Some(&allocation) = pick(&self.freed, index) {
                    self.must_be_stale(allocation);
                }
            }
            Action::FreeElsewhere(index) => {
                if let Some(live) = pick(&self.live, index) {
                    let allocation = live.part.allocation;
                    let wrong = VirtualMisuse::WrongBlock { allocation };
                    assert_eq!(self.other.free(allocation), Err(wrong));
                }
            }
            Action::SetData(index) => self.set_data(index),
            Action::Clear => {
                self.real.clear();
                self.freed.extend(self.live.drain(..).map(|live| live.part.allocation));
                assert!(self.real.is_empty());
            }
        }
        self.check();
    }

    fn allocate(&mut self, request: VirtualRequest) -> Result<VirtualPart, VirtualError> {
        let data = self.next_data;
        self.next_data += 1;
        let result = self.real.allocate(request, data);
        match result {
            Ok(part) => self.take(part, request, data),
            Err(error) => self.must_fail(request, error),
        }
        result
    }

    fn take(&mut self, part: VirtualPart, request: VirtualRequest, data: u64) {
        let VirtualRequest { size, align, search } = request;
        let new = Live { part, size, data };
        assert_eq!(part.offset % align, 0, "the offset is aligned");
        assert!(size > 0 && new.end() <= self.real.size(), "the part lies in the block");
        let apart = |old: &Live| old.end() <= part.offset || new.end() <= old.part.offset;
        assert!(self.live.iter().all(apart), "parts do not overlap");
        if self.algorithm == Algorithm::Tlsf && search == Search::LowestOffset {
            assert_eq!(Some(part.offset), self.lowest_fit(request), "nothing fits lower");
        }
        self.live.push(new);
    }

    fn must_fail(&self, request: VirtualRequest, error: VirtualError) {
        let VirtualRequest { size, align, search } = request;
        let upper = search == Search::UpperAddress;
        match error {
            VirtualError::ZeroSize => assert_eq!(size, 0),
            VirtualError::BadAlign { align } => assert!(!align.is_power_of_two()),
            VirtualError::UpperAddressNotLinear => {
                assert!(upper && self.algorithm == Algorithm::Tlsf);
            }
            VirtualError::UpperAddressInRing => {
                assert!(upper && self.algorithm == Algorithm::Linear && !self.live.is_empty());
            }
            VirtualError::NoRoom { size: told, align: told_align, .. } => {
                assert_eq!((told, told_align), (size, align));
                assert!(size > self.real.size() || !self.live.is_empty(), "an empty block gives");
                if self.algorithm == Algorithm::Tlsf {
                    self.must_lack_room(request);
                }
            }
            other => panic!("{other:?} is no answer to {request:?}"),
        }
    }

    /// TLSF may miss a fit only when it is close.
    fn must_lack_room(&self, request: VirtualRequest) {
        let sure = request.size + request.align - 1;
        let sure = sure + sure / 8;
        assert!(self.gaps().all(|(_, size)| size < sure), "{request:?} has room");
        let exhaustive = request.search == Search::LowestOffset;
        assert!(!exhaustive || self.lowest_fit(request).is_none(), "a walk misses nothing");
    }

    fn lowest_fit(&self, request: VirtualRequest) -> Option<u64> {
        let place = |(begin, size): (u64, u64)| {
            let offset = begin.next_multiple_of(request.align);
            (offset + request.size <= begin + size).then_some(offset)
        };
        self.gaps().find_map(place)
    }

    /// The free ranges from the lowest on: begin and size.
    fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut used: Vec<_> =
            self.live.iter().map(|live| (live.part.offset, live.end())).collect();
        used.sort_unstable();
        used.push((self.real.size(), self.real.size()));
        let mut end = 0;
        let gap = move |(begin, next): (u64, u64)| (std::mem::replace(&mut end, next), begin);
        let gaps = used.into_iter().map(gap).map(|(begin, end)| (begin, end - begin));
        gaps.filter(|&(_, size)| size > 0)
    }

    fn free(&mut self, index: usize) {
        if self.live.is_empty() {
            return;
        }
        let Live { part, data, .. } = self.live.remove(index % self.live.len());
        assert_eq!(self.real.free(part.allocation), Ok(data), "the data comes back");
        self.must_be_stale(part.allocation);
        self.freed.push(part.allocation);
    }

    fn must_be_stale(&mut self, allocation: VirtualAllocation) {
        let stale = VirtualMisuse::Stale { allocation };
        assert_eq!(self.real.free(allocation), Err(stale));
        assert_eq!(self.real.info(allocation), Err(stale));
        assert_eq!(self.real.data_mut(allocation), Err(stale));
    }

    fn set_data(&mut self, index: usize) {
        let count = self.live.len().max(1);
        let Some(live) = self.live.get_mut(index % count) else { return };
        let data = self.real.data_mut(live.part.allocation).unwrap();
        assert_eq!(std::mem::replace(data, !live.data), live.data);
        live.data = !live.data;
    }

    fn check(&self) {
        let (real, live) = (&self.real, &self.live);
        assert_eq!(real.check(), Ok(()));
        let used: u64 = live.iter().map(|live| live.size).sum();
        let stats = real.stats();
        assert_eq!((stats.blocks, stats.held), (1, real.size()));
        assert_eq!((stats.allocations, stats.used), (live.len() as u64, used));
        assert_eq!(real.is_empty(), live.is_empty());
        for Live { part, size, data } in live {
            let info = VirtualInfo { offset: part.offset, size: *size, data };
            assert_eq!(real.info(part.allocation), Ok(info));
        }
        let detailed = real.detailed_stats();
        assert_eq!(detailed.stats(), stats);
        let gaps = || self.gaps().map(|(_, size)| size);
        assert_eq!(detailed.free_regions.count(), gaps().count() as u64);
        assert_eq!(detailed.free_regions.max(), gaps().max());
        assert_eq!(detailed.free_regions.min(), gaps().min());
        assert_eq!(detailed.allocations.max(), live.iter().map(|live| live.size).max());
        self.check_reports(&gaps().collect::<Vec<_>>());
    }

    /// The snapshot and the text tell of each live part, whatever its data is.
    fn check_reports(&self, gaps: &[u64]) {
        let shot = self.real.snapshot(|data| Some(data.to_string()));
        let parts: Vec<_> = shot.regions.iter().filter(|one| one.allocation.is_some()).collect();
        assert_eq!(parts.len(), self.live.len());
        assert_eq!(shot.regions.len(), self.live.len() + gaps.len());
        let text = self.real.vma_json(Detail::Regions, |data| Some(data.to_string()));
        for Live { part, size, data } in &self.live {
            let offset = part.offset;
            let name = Some(data.to_string());
            let named = |one: &&&polder_device::snapshot::RegionSnapshot| {
                (one.offset, one.size) == (offset, *size)
                    && one.allocation.as_ref().is_some_and(|allocation| allocation.name == name)
            };
            assert_eq!(parts.iter().filter(named).count(), 1);
            let said =
                format!("{{\"Offset\": {offset}, \"Size\": {size}, \"CustomData\": \"{data}\"}}");
            assert_eq!(text.matches(&said).count(), 1, "{said} in {text}");
        }
        assert_eq!(text.matches("\"Type\": \"FREE\"").count(), gaps.len());
    }
}

fn pick<T>(all: &[T], index: usize) -> Option<&T> {
    all.get(index % all.len().max(1))
}

/// Plays a history, frees all, and asks for the whole block.
pub fn play(size: u64, algorithm: Algorithm, actions: &[Action]) {
    let mut pair = Pair::new(size, algorithm);
    for &action in actions {
        pair.act(action);
    }
    pair.act(Action::Clear);
    assert!(pair.allocate(VirtualRequest::new(size)).is_ok(), "all is back in one piece");
}
