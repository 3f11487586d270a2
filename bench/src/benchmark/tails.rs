//! How long single allocations take: a program's frame waits for the longest, not for the median.

use super::Context;
use crate::measure::Figures;
use crate::peer::{Peer, polder, virtual_block, vma};
use crate::report::{Limit, Report};
use crate::table::{Table, figure};
use crate::workload::{Aligns, Needs, Sizes, Spoilt, Workload};
use polder_device::Search;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// 256 B to 64 KiB.
const SIZES: Sizes = Sizes::Doublings { least: 8, end: 16 };
const ALIGN: u64 = 256;
/// The same in a virtual block: 16 B to 4 KiB.
const SIZES_VIRTUAL: Sizes = Sizes::Doublings { least: 4, end: 12 };
const ALIGN_VIRTUAL: u64 = 16;
/// Twice what lives in a virtual block, in bytes.
const SIZE_VIRTUAL: u64 = 16 << 20;
const LIVE: usize = 10_000;
/// Allocations in each round.
const SAMPLES: usize = 20_000;

const ORDINARY: &str = "ordinary";
const SPOILT: &str = "20,000 misaligned";
const SETS: [&str; 2] = [ORDINARY, SPOILT];
const QUICK: &str = "Polder virtual, quick";
const TIGHT: &str = "Polder virtual, tight";
const VIRTUAL: &str = "VMA virtual";
const CLOCK: &str = "the clock alone";
const PEERS: [&str; 5] = [polder::NAME, vma::NAME, QUICK, TIGHT, VIRTUAL];

/// What is looked at in each round.
const MEDIAN: &str = "median, ns";
const LATE: &str = "99.9 %, ns";
const LONGEST: &str = "longest, ns";
const RATIO: &str = "99.9 % / median";
const COLUMNS: [&str; 4] = [MEDIAN, LATE, LONGEST, RATIO];

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let gpu = context.gpu;
    let mut samplers = Samplers { context, all: Vec::new() };
    let needs = Needs::new(SIZES, Aligns::Fixed(ALIGN));
    samplers.add(polder::NAME, &needs, |_| polder::Heap::new(gpu));
    samplers.add(vma::NAME, &needs, |_| vma::Heap::new(gpu));
    let needs = Needs::new(SIZES_VIRTUAL, Aligns::Fixed(ALIGN_VIRTUAL));
    samplers.add(QUICK, &needs, |size| virtual_block::Space::new(size, Search::Quick));
    samplers.add(TIGHT, &needs, |size| virtual_block::Space::new(size, Search::Tight));
    samplers.add(VIRTUAL, &needs, |size| vma::Space::new(size, vma::Space::DEFAULT));
    let mut all = samplers.all;
    all.push(Sampler { peer: CLOCK, set: ORDINARY, sample: Box::new(clock) });

    let mut figures = Figures::default();
    for _ in 0..context.effort.rounds {
        let clock = median(&sorted(clock));
        for Sampler { peer, set, sample } in &mut all {
            let times = sorted(sample);
            let time = |part: f64| times[((times.len() - 1) as f64 * part) as usize] - clock;
            // What the clock cannot tell from nothing is a nanosecond.
            let (median, late, longest) = (time(0.5).max(1.0), time(0.999), time(1.0));
            let row = format!("{peer}, {set}");
            let seen = [median, late, longest, late / median];
            COLUMNS.iter().zip(seen).for_each(|(column, seen)| figures.add((&row, column), seen));
        }
    }
    tell(&figures, report);
}

struct Sampler<'a> {
    peer: &'static str,
    set: &'static str,
    sample: Box<dyn FnMut() -> Duration + 'a>,
}

struct Samplers<'c, 'a> {
    context: &'c Context<'a>,
    all: Vec<Sampler<'a>>,
}

impl<'a> Samplers<'_, 'a> {
    /// `make` makes a range of so many bytes, or what has as many as it wants.
    fn add<P: Peer + 'a>(&mut self, peer: &'static str, needs: &Needs, make: impl Fn(u64) -> P) {
        if !self.context.wants(peer) {
            return;
        }
        let mut ordinary = Workload::full(make(SIZE_VIRTUAL), LIVE, needs.clone());
        let sample = Box::new(move || ordinary.replace());
        self.all.push(Sampler { peer, set: ORDINARY, sample });
        let mut spoilt = Spoilt::new(make(Spoilt::<P>::SIZE_LEAST));
        let sample = Box::new(move || spoilt.allocate());
        self.all.push(Sampler { peer, set: SPOILT, sample });
    }
}

/// What it takes to look at the clock.
fn clock() -> Duration {
    let begin = Instant::now();
    black_box(begin).elapsed()
}

/// Nanoseconds, the shortest first.
fn sorted(mut sample: impl FnMut() -> Duration) -> Vec<f64> {
    let mut times: Vec<_> = (0..SAMPLES).map(|_| sample().as_nanos() as f64).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn tell(figures: &Figures, report: &mut Report) {
    let mut table = Table::new("one allocation", &COLUMNS);
    let mut row = |name: &str| {
        let cells = COLUMNS.map(|column| figures.median((name, column)));
        if cells[0].is_some() {
            table.row(name, cells.map(figure));
        }
    };
    for peer in PEERS {
        SETS.iter().for_each(|set| row(&format!("{peer}, {set}")));
    }
    row(&format!("{CLOCK}, {ORDINARY}"));
    let words = "What each of 20,000 allocations in a round takes, less what the clock does; the \
                 medians of the rounds. Ordinary: 10,000 live, 256 B to 64 KiB (in virtual blocks \
                 16 B to 4 KiB), a random one is freed and another allocated. Misaligned: 4 KiB \
                 aligned to 4 KiB beside 20,000 free regions that are large enough and in which \
                 it has no place. The last row is what the machine itself does to the clock.";
    report.section("Single allocations", words, &table);
    for peer in [polder::NAME, QUICK, TIGHT] {
        for set in SETS {
            let ratio = figures.median((&format!("{peer}, {set}"), RATIO));
            report.target(&format!("99.9 % / median, {peer}, {set}"), Limit::Below(10.0), ratio);
        }
    }
}
