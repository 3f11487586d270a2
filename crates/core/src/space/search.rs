//! Which free region to take: the order of the steps is a table, each step is written once.

use super::{Candidate, FIRST, Fit, NONE, Record, Request, Space, SpaceBins};
use crate::store::Store;

/// Where a space looks for a free region, and what it pays for a better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Takes the first good fit: constant time, a handful of regions looked at.
    #[default]
    Quick,
    /// Takes the closest of a bounded number of fits: constant time, up to 160 regions looked at.
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
    /// In the bins whose members hold the size wherever the rule puts it.
    CertainBin {
        looks: usize,
    },
    Upwards,
    Downwards,
}

/// Which of the regions that fit, among those looked at.
#[derive(Clone, Copy, PartialEq)]
enum Choice {
    First,
    Closest,
}

impl Strategy {
    const fn steps(self) -> (Choice, &'static [Step]) {
        use Step::{CertainBin, Downwards, LargerBins, SameBin, Upwards};
        match self {
            Self::Quick => (
                Choice::First,
                &[
                    LargerBins { looks: 2 },
                    CertainBin { looks: 1 },
                    SameBin { looks: 16 },
                    LargerBins { looks: 16 },
                ],
            ),
            Self::Tight => (
                Choice::Closest,
                &[SameBin { looks: 64 }, LargerBins { looks: 32 }, CertainBin { looks: 64 }],
            ),
            Self::LowestOffset => (Choice::First, &[Upwards]),
            Self::UpperAddress => (Choice::First, &[Downwards]),
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
        let (choice, steps) = request.strategy.steps();
        steps.iter().find_map(|&step| self.look(step, choice, request.size, fit))
    }

    /// The first region of the first bin whose members hold the size: nearly always it fits.
    fn first_look(&self, size: u64, fit: &impl Fit) -> Option<(u32, u64)> {
        let bin = self.bins.next(SpaceBins::ceil(size))?;
        let index = self.heads.records()[bin as usize];
        let candidate = Candidate::new(self.records.records(), index);
        Some((index, fit.lowest(&candidate, size)?))
    }

    fn look(&self, step: Step, choice: Choice, size: u64, fit: &impl Fit) -> Option<(u32, u64)> {
        match step {
            Step::SameBin { looks } => {
                self.pick(self.members(SpaceBins::floor(size)).take(looks), choice, size, fit)
            }
            Step::LargerBins { looks } => {
                self.look_from(SpaceBins::ceil(size), looks, choice, size, fit)
            }
            Step::CertainBin { looks } => {
                let bin = SpaceBins::ceil(size.checked_add(fit.slack())?);
                self.look_from(bin, looks, choice, size, fit)
            }
            Step::Upwards => {
                let regions = core::iter::successors(Some(FIRST), |&index| self.above(index));
                self.pick(regions, Choice::First, size, fit)
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

    /// Looks at `looks` regions in the bins from `bin` upwards; the first bin with a fit decides.
    fn look_from(
        &self,
        bin: u32,
        mut looks: usize,
        choice: Choice,
        size: u64,
        fit: &impl Fit,
    ) -> Option<(u32, u64)> {
        let mut next = self.bins.next(bin);
        while let Some(bin) = next {
            let mut seen = 0;
            let members = self.members(bin).take(looks).inspect(|_| seen += 1);
            if let found @ Some(_) = self.pick(members, choice, size, fit) {
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

    fn pick(
        &self,
        mut regions: impl Iterator<Item = u32>,
        choice: Choice,
        size: u64,
        fit: &impl Fit,
    ) -> Option<(u32, u64)> {
        let place = |index: u32| Some((index, fit.lowest(&self.candidate(index)?, size)?));
        match choice {
            Choice::First => regions.find_map(place),
            Choice::Closest => {
                regions.filter_map(place).min_by_key(|&(index, _)| self.record(index).size)
            }
        }
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
