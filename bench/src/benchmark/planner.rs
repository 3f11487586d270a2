//! Plans of random sets of transient resources: how far above the lower bound, and how long.

use super::Context;
use crate::random::Random;
use crate::report::{Limit, Report};
use crate::table::{Table, figure, thousands};
use crate::workload::SEED;
use polder_device::planner::{Life, Planner, Transient};
use polder_device::{Requirements, Tiling};
use std::time::Instant;

const COUNTS: [u32; 8] = [10, 20, 50, 100, 200, 500, 1000, 2000];
/// Sets of each count and kind.
const SETS: u32 = 10;
/// No plan is further above the bound.
const ABOVE_MOST: f64 = 1.05;
/// The longest that a plan of 2,000 takes. Milliseconds.
const TIME_MOST: f64 = 1000.0;

/// How long resources live, among as many moments as there are.
#[derive(Clone, Copy)]
enum Lives {
    /// Up to a part of the moments, any length as often as any other.
    UpTo { parts: u32 },
    /// One of 64 moments, two to three, four to seven, and so on up to 63: each as often.
    Doublings,
}

const KINDS: [Lives; 3] = [Lives::UpTo { parts: 8 }, Lives::UpTo { parts: 2 }, Lives::Doublings];

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let columns = ["median", "95 %", "most", "known least, %", "ms, median", "ms, most"];
    let mut table = Table::new("resources", &columns);
    let (mut above, mut time) = (0.0_f64, 0.0);
    let sets = if context.effort.rounds < 10 { 1 } else { SETS };
    for count in COUNTS {
        let seen: Vec<_> = KINDS
            .iter()
            .flat_map(|&lives| (0..sets).map(move |set| plan(count, lives, set)))
            .collect();
        let ratios = sorted(seen.iter().map(|seen| seen.ratio));
        let times = sorted(seen.iter().map(|seen| seen.time));
        let least = seen.iter().filter(|seen| seen.is_least).count();
        above = above.max(ratios[ratios.len() - 1]);
        time = times[times.len() - 1];
        let percent = least as f64 * 100.0 / seen.len() as f64;
        let ratio = |part: usize| format!("{:.4}", ratios[(ratios.len() - 1) * part / 100]);
        let ms = |part: usize| figure(Some(times[(times.len() - 1) * part / 100]));
        let cells = [ratio(50), ratio(95), ratio(100), format!("{percent:.0}"), ms(50), ms(100)];
        table.row(&thousands(count.into()), cells);
    }
    let words = "Bytes of the plan beside the lower bound. Sizes 4 KiB to 64 MiB, every doubling \
                 as often as any other, in steps of 256; alignments 256, 4 KiB, 64 KiB. Lives in a \
                 frame of as many moments as a quarter of the resources, up to an eighth of them \
                 or up to half of them long; and in one of 64 moments, every doubling as often as \
                 any other. Thirty sets of each count, ten of each kind; the default limit.";
    report.section("Plans of transient resources", words, &table);
    report.target("plan / lower bound, at most", Limit::AtMost(ABOVE_MOST), Some(above));
    report.target("ms for a plan of 2,000, at most", Limit::Below(TIME_MOST), Some(time));
}

/// What came of one set.
struct Seen {
    ratio: f64,
    /// Milliseconds.
    time: f64,
    is_least: bool,
}

fn plan(count: u32, lives: Lives, set: u32) -> Seen {
    let resources = resources(count, lives, set);
    let begin = Instant::now();
    let plan = Planner::default().plan(&resources).expect("the resources are valid");
    let time = begin.elapsed().as_secs_f64() * 1000.0;
    let is_least = plan.groups().iter().all(|group| group.is_least);
    Seen { ratio: plan.size() as f64 / plan.bound() as f64, time, is_least }
}

fn resources(count: u32, lives: Lives, set: u32) -> Vec<Transient> {
    let mut random = Random::new(SEED + u64::from(set) * 7919 + u64::from(count));
    let resource = |_| {
        let random = &mut random;
        let (moments, length) = match lives {
            Lives::UpTo { parts } => {
                let moments = u64::from(count / 4).max(8);
                (moments, 1 + random.below(moments / u64::from(parts)))
            }
            Lives::Doublings => {
                let doubling = 1 << random.below(6);
                (64, doubling + random.below(doubling))
            }
        };
        let first = random.below(moments);
        let last = (first + length - 1).min(moments - 1);
        let doubling = 1 << (12 + random.below(14));
        let size = (doubling + random.below(doubling)).next_multiple_of(256);
        let align = [256, 256, 4096, 65536][random.below(4) as usize];
        Transient {
            requirements: Requirements { size, align, ..Requirements::ANY },
            tiling: Tiling::Optimal,
            life: Life { first: first as u32, last: last as u32 },
        }
    };
    (0..count).map(resource).collect()
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}
