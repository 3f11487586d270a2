//! The slow truth about a space: an ordered map of what is used, and nothing clever.
//!
//! Shared by the property tests and the fuzz target `space`.

use polder_core::space::{Placed, Record, RegionId, Request, ResizeError, Space, SpaceError};
use polder_core::store::{Full, Store};
use std::collections::BTreeMap;

/// A store that grows until its limit.
#[derive(Debug)]
pub struct Growing<T> {
    records: Vec<T>,
    limit: usize,
}

impl<T> Growing<T> {
    pub fn new(limit: usize) -> Self {
        Self { records: Vec::new(), limit }
    }
}

impl<T> Store<T> for Growing<T> {
    fn records(&self) -> &[T] {
        &self.records
    }

    fn records_mut(&mut self) -> &mut [T] {
        &mut self.records
    }

    fn push(&mut self, record: T) -> Result<(), Full> {
        if self.records.len() == self.limit {
            return Err(Full);
        }
        self.records.push(record);
        Ok(())
    }
}

pub type TestSpace = Space<Growing<Record>, Growing<u32>>;

pub fn space(size: u64) -> TestSpace {
    space_of(size, usize::MAX)
}

/// A space whose store of records ends at `records_max`.
pub fn space_of(size: u64, records_max: usize) -> TestSpace {
    Space::new(size, Growing::new(records_max), Growing::new(usize::MAX)).unwrap()
}

/// What is used: offset to size, tag and name.
#[derive(Default)]
pub struct Model {
    used: BTreeMap<u64, (u64, u32, RegionId)>,
}

/// A space and its model, which are told the same.
pub struct Pair {
    pub real: TestSpace,
    model: Model,
    records_max: usize,
}

impl Pair {
    /// A pair whose store of records ends at `records_max`.
    pub fn new(size: u64, records_max: usize) -> Self {
        Self { real: space_of(size, records_max), model: Model::default(), records_max }
    }

    /// Allocates in both and compares. An error is right only when it is one that the strategy
    /// may give.
    pub fn allocate(&mut self, request: Request) -> Result<Placed, SpaceError> {
        let is_full = self.is_full_for(2);
        let result = self.real.allocate(request);
        match result {
            Ok(placed) => {
                assert!(!is_full, "an allocation has two records in reserve");
                self.model.take(&request, placed, self.real.size());
            }
            Err(SpaceError::NoRecords) => assert!(is_full, "there are two more records"),
            Err(error) => self.must_fail(&request, error),
        }
        self.check();
        result
    }

    /// Resizes the `index`-th used region, if there is one. The model knows the one right answer.
    pub fn resize(&mut self, index: usize, size: u64) {
        let Some((&offset, &(.., id))) = self.model.used.iter().nth(index) else {
            return;
        };
        let right = self.right_resize(offset, size);
        assert_eq!(self.real.resize(id, size), right, "to {size} at {offset}");
        if right.is_ok() {
            self.model.used.entry(offset).and_modify(|used| used.0 = size);
        }
        self.check();
    }

    /// Frees the `index`-th used region, if there is one.
    pub fn free(&mut self, index: usize) {
        let Some((&offset, &(size, tag, id))) = self.model.used.iter().nth(index) else {
            return;
        };
        self.model.used.remove(&offset);
        let region = self.real.free(id).expect("a used region can be freed");
        assert_eq!((region.offset, region.size, region.tag), (offset, size, Some(tag)));
        assert!(self.real.region(id).is_none_or(|region| region.tag.is_none()));
        assert_eq!(self.real.resize(id, 1), Err(ResizeError::NotUsed { id }));
        self.check();
    }

    pub fn live(&self) -> usize {
        self.model.used.len()
    }

    fn right_resize(&self, offset: u64, size: u64) -> Result<(), ResizeError> {
        let size_max = self.model.used_above(offset).unwrap_or(self.real.size()) - offset;
        let size_before = self.model.used[&offset].0;
        // What is given back needs a record unless it joins what is free already.
        let splits = size < size_before && size_before == size_max;
        match size {
            0 => Err(ResizeError::ZeroSize),
            _ if size > size_max => Err(ResizeError::NoRoom { size_max }),
            _ if splits && self.is_full_for(1) => Err(ResizeError::NoRecords),
            _ => Ok(()),
        }
    }

    fn is_full_for(&self, records: usize) -> bool {
        let regions = self.model.used.len() + self.model.gaps(self.real.size()).count();
        regions + records > self.records_max
    }

    fn must_fail(&self, request: &Request, error: SpaceError) {
        match error {
            SpaceError::ZeroSize => assert_eq!(request.size, 0),
            SpaceError::BadAlign { align } => assert!(!align.is_power_of_two()),
            SpaceError::NoRoom => {
                let sure = request.size + request.align - 1;
                // A free region whose bin holds the size for certain may not be missed.
                let sure = sure + sure / 8;
                let largest = self.model.gaps(self.real.size()).map(|(_, size)| size).max();
                assert!(largest.unwrap_or(0) < sure, "{request:?} fits in {largest:?}");
                let exhaustive = matches!(
                    request.strategy,
                    polder_core::space::Strategy::LowestOffset
                        | polder_core::space::Strategy::UpperAddress
                );
                let fits = self.model.lowest_fit(request, self.real.size());
                assert!(!exhaustive || fits.is_none(), "a walk misses nothing");
            }
            other => panic!("{other:?} is no answer to a request"),
        }
    }

    /// The space is whole, and it has the model's used regions: none moved or changed unasked.
    fn check(&self) {
        assert_eq!(self.real.check(), Ok(()));
        let real = self
            .real
            .walk()
            .filter_map(|region| Some((region.offset, (region.size, region.tag?, region.id))));
        assert!(real.eq(self.model.used.iter().map(|(&offset, &used)| (offset, used))));
    }
}

impl Model {
    fn take(&mut self, request: &Request, placed: Placed, end: u64) {
        use polder_core::space::Strategy;
        let offset = placed.offset;
        assert_eq!(offset % request.align, 0, "the offset is aligned");
        assert!(
            self.gaps(end)
                .any(|(start, size)| { start <= offset && offset + request.size <= start + size }),
            "the place was free"
        );
        match request.strategy {
            Strategy::LowestOffset => assert_eq!(Some(offset), self.lowest_fit(request, end)),
            Strategy::UpperAddress => assert_eq!(Some(offset), self.highest_fit(request, end)),
            Strategy::Quick | Strategy::Tight => {}
        }
        self.used.insert(offset, (request.size, request.tag, placed.id));
    }

    /// Where the first used region above `offset` begins.
    fn used_above(&self, offset: u64) -> Option<u64> {
        self.used.range(offset + 1..).next().map(|(&above, _)| above)
    }

    fn gaps(&self, end: u64) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let starts = std::iter::once(0).chain(self.used.iter().map(|(o, (size, ..))| o + size));
        let ends = self.used.keys().copied().chain(std::iter::once(end));
        let gaps: Vec<_> = starts.zip(ends).map(|(start, end)| (start, end - start)).collect();
        gaps.into_iter().filter(|&(_, size)| size > 0)
    }

    fn lowest_fit(&self, request: &Request, end: u64) -> Option<u64> {
        self.gaps(end).find_map(|(start, size)| {
            let offset = start.next_multiple_of(request.align);
            (offset + request.size <= start + size).then_some(offset)
        })
    }

    fn highest_fit(&self, request: &Request, end: u64) -> Option<u64> {
        self.gaps(end).rev().find_map(|(start, size)| {
            let offset = (start + size).checked_sub(request.size)? / request.align * request.align;
            (offset >= start).then_some(offset)
        })
    }
}
