//! Which free region to take: the order of the steps is a table, each step is written once.

use super::{Candidate, FIRST, Fit, NONE, Record, Request, Space, SpaceBins};
use crate::store::Store;

/// Where a space looks for a free region, and what it pays for a better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Takes the first good fit: constant time, a handful of regions looked at.
    #[default]
    Quick,
    /// Takes the lowest of the closest among a bounded number of fits: constant time, up to 80
    /// regions looked at. Those count as alike that leave over the same sixteenth of the size: to
    /// prefer the lower one then keeps the upper end whole, and refuses less often than the
    /// closest fit alone.
    Tight,
    /// Takes the lowest offset that fits: time linear in the number of regions.
    LowestOffset,
    /// Takes the highest offset that fits, at the region's upper end: time linear in the number
    /// of regions.
    UpperAddress,
}

/// One way to look for a region.
#[derive(Clone, Copy)]
enum Step {
    /// In the bin of the size itself, whose members may be too small: an exact fit is here.
    SameBin {
        looks: usize,
    },
    /// In the bins whose members all hold the size, if alignment allows.
    LargerBins {
        looks: usize,
    },
    /// In the bins whose members hold the size rounded up to the alignment: where all parts are
    /// aligned alike, regions end at multiples of it, and these all fit. Nothing where rounding
    /// changes nothing.
    RoundedBins {
        looks: usize,
    },
    /// In the bins whose members hold the size wherever the rule puts it.
    CertainBin {
        looks: usize,
    },
    /// From the bin of the size upwards, as far as a closer fit may be.
    Closest {
        looks: usize,
        looks_per_bin: usize,
    },
    Upwards,
    Downwards,
}

/// Of a request's size: fits that leave over the same number of these are alike.
const CLOSENESS: u64 = 16;

impl Strategy {
    const fn steps(self) -> &'static [Step] {
        use Step::{CertainBin, Closest, Downwards, LargerBins, RoundedBins, SameBin, Upwards};
        match self {
            Self::Quick => &[
                LargerBins { looks: 2 },
                RoundedBins { looks: 2 },
                CertainBin { looks: 1 },
                SameBin { looks: 16 },
                LargerBins { looks: 16 },
            ],
            // The bound on one bin leaves looks for others when its members are all unfit.
            Self::Tight => &[Closest { looks: 16, looks_per_bin: 12 }, CertainBin { looks: 64 }],
            Self::LowestOffset => &[Upwards],
            Self::UpperAddress => &[Downwards],
        }
    }
}

impl<R: Store<Record>, H: Store<u32>> Space<R, H> {
    /// Returns a free region and the offset in it where the request goes.
    pub(super) fn find(&self, request: &Request, fit: &impl Fit) -> Option<(u32, u64)> {
        if request.strategy == Strategy::Quick
            && let found @ Some(_) = self.first_look(request.size, fit)
        {
            return found;
        }
        let steps = request.strategy.steps();
        steps.iter().find_map(|&step| self.look(step, request, fit))
    }

    /// The first region of the first bin whose members hold the size: nearly always it fits.
    fn first_look(&self, size: u64, fit: &impl Fit) -> Option<(u32, u64)> {
        let bin = self.bins.next(SpaceBins::ceil(size))?;
        let index = self.heads.records()[bin as usize];
        let candidate = Candidate::new(self.records.records(), index);
        Some((index, fit.lowest(&candidate, size)?))
    }

    fn look(&self, step: Step, request: &Request, fit: &impl Fit) -> Option<(u32, u64)> {
        let size = request.size;
        match step {
            Step::SameBin { looks } => {
                self.first(self.members(SpaceBins::floor(size)).take(looks), size, fit)
            }
            Step::LargerBins { looks } => self.first_from(SpaceBins::ceil(size), looks, size, fit),
            Step::RoundedBins { looks } => {
                let rounded = size.checked_next_multiple_of(request.align)?;
                let bin = (rounded != size).then(|| SpaceBins::ceil(rounded))?;
                self.first_from(bin, looks, size, fit)
            }
            Step::CertainBin { looks } => {
                let bin = SpaceBins::ceil(size.checked_add(fit.slack())?);
                self.first_from(bin, looks, size, fit)
            }
            Step::Closest { looks, looks_per_bin } => self.closest(looks, looks_per_bin, size, fit),
            Step::Upwards => {
                let regions = core::iter::successors(Some(FIRST), |&index| self.above(index));
                self.first(regions, size, fit)
            }
            Step::Downwards => {
                let mut regions =
                    core::iter::successors(Some(self.last), |&index| self.below(index));
                regions.find_map(|index| {
                    let candidate = self.candidate(index)?;
                    Some((index, fit.highest(&candidate, size)?))
                })
            }
        }
    }

    /// Looks at `looks` regions in the bins from `bin` upwards.
    fn first_from(
        &self,
        bin: u32,
        mut looks: usize,
        size: u64,
        fit: &impl Fit,
    ) -> Option<(u32, u64)> {
        let mut next = self.bins.next(bin);
        while let Some(bin) = next {
            let mut seen = 0;
            let members = self.members(bin).take(looks).inspect(|_| seen += 1);
            if let found @ Some(_) = self.first(members, size, fit) {
                return found;
            }
            looks -= seen;
            if looks == 0 {
                return None;
            }
            next = self.bins.next(bin + 1);
        }
        None
    }

    fn first(
        &self,
        mut regions: impl Iterator<Item = u32>,
        size: u64,
        fit: &impl Fit,
    ) -> Option<(u32, u64)> {
        regions.find_map(|index| Some((index, fit.lowest(&self.candidate(index)?, size)?)))
    }

    /// Of the regions that leave over least, in sixteenths of the size, the lowest.
    fn closest(
        &self,
        mut looks: usize,
        looks_per_bin: usize,
        size: u64,
        fit: &impl Fit,
    ) -> Option<(u32, u64)> {
        let step = size.div_ceil(CLOSENESS);
        let over = |region: u64| region.saturating_sub(size) / step;
        // What the best one leaves over, and where it begins.
        let (mut best, mut found) = ((u64::MAX, u64::MAX), None);
        let mut next = self.bins.next(SpaceBins::floor(size));
        while let Some(bin) = next
            && looks > 0
            && over(SpaceBins::least(bin)) <= best.0
        {
            for index in self.members(bin).take(looks_per_bin.min(looks)) {
                looks -= 1;
                let candidate = Candidate::new(self.records.records(), index);
                if let Some(offset) = fit.lowest(&candidate, size) {
                    let rank = (over(self.record(index).size), candidate.start());
                    if rank < best {
                        (best, found) = (rank, Some((index, offset)));
                    }
                }
            }
            next = self.bins.next(bin + 1);
        }
        found
    }

    fn candidate(&self, index: u32) -> Option<Candidate<'_>> {
        let records = self.records.records();
        (!records[index as usize].is_used()).then(|| Candidate::new(records, index))
    }

    fn above(&self, index: u32) -> Option<u32> {
        Some(self.record(index).after).filter(|&index| index != NONE)
    }

    fn below(&self, index: u32) -> Option<u32> {
        Some(self.record(index).before).filter(|&index| index != NONE)
    }
}
