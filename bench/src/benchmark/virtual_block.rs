//! Virtual blocks: time of a pair, in a ring, among free regions that alignment spoils; and how
//! often a nearly full block refuses.

use super::Context;
use crate::measure::{Contest, Figures};
use crate::peer::{Need, Peer, virtual_block as polder, vma};
use crate::random::Random;
use crate::report::{Limit, Report};
use crate::table::Table;
use crate::workload::{Aligns, Needs, Order, SEED, Sizes, Spoilt, Workload};
use polder_device::Search;
use std::collections::VecDeque;

const QUICK: &str = "Polder, quick";
const TIGHT: &str = "Polder, tight";
const DEFAULT: &str = "VMA";
const MIN_TIME: &str = "VMA, min time";
const MIN_MEMORY: &str = "VMA, min memory";
const MIN_OFFSET: &str = "VMA, min offset";

/// What is live in the benchmark of pairs, in a range twice as large.
const LIVE: usize = 10_000;
const ALIGN: u64 = 16;
const SMALL: &str = "16 B to 4 KiB";
const LARGE: &str = "256 B to 1 MiB";
const RING: &str = "linear ring";
const SPOILT: &str = "20,000 misaligned";

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut contest = Contest::default();
    let mut entrants = Entrants { context, contest: &mut contest };
    entrants.add(QUICK, |size| polder::Space::new(size, Search::Quick));
    entrants.add(TIGHT, |size| polder::Space::new(size, Search::Tight));
    entrants.add(DEFAULT, |size| vma::Space::new(size, vma::Space::DEFAULT));
    entrants.add(MIN_TIME, |size| vma::Space::new(size, vma::Space::MIN_TIME));
    entrants.add(MIN_MEMORY, |size| vma::Space::new(size, vma::Space::MIN_MEMORY));
    entrants.add_ring(QUICK, polder::Space::linear);
    entrants.add_ring(DEFAULT, vma::Space::linear);
    tell(&contest.run(context.effort), report);
    tell_refusals(context, report);
}

struct Entrants<'c, 'a> {
    context: &'c Context<'a>,
    contest: &'c mut Contest<'a>,
}

impl<'a> Entrants<'_, 'a> {
    /// Everything that a TLSF is measured by; `make` makes a block of so many bytes.
    fn add<P: Peer + 'a>(&mut self, peer: &str, make: impl Fn(u64) -> P) {
        if !self.context.wants(peer) {
            return;
        }
        for (setting, least, end) in [(SMALL, 4, 12), (LARGE, 8, 20)] {
            let needs = Needs::new(Sizes::Doublings { least, end }, Aligns::Fixed(ALIGN));
            let space = make(mean(&needs) * 2 * LIVE as u64);
            let mut workload = Workload::full(space, LIVE, needs);
            self.contest.add(peer, setting, move || workload.pair(Order::Random));
        }
        let mut spoilt = Spoilt::new(make(Spoilt::<P>::SIZE_LEAST));
        self.contest.add(peer, SPOILT, move || spoilt.pair());
    }

    fn add_ring<P: Peer + 'a>(&mut self, peer: &str, make: impl Fn(u64) -> P) {
        if self.context.wants(peer) {
            let mut ring = Ring::new(make);
            self.contest.add(peer, RING, move || ring.pair());
        }
    }
}

/// About the mean size of the needs, in bytes.
fn mean(needs: &Needs) -> u64 {
    let mut needs = needs.clone();
    (0..LIVE).map(|_| needs.next().size).sum::<u64>() / LIVE as u64
}

/// Parts that are freed in the order of their making.
struct Ring<P: Peer> {
    space: P,
    live: VecDeque<P::Handle>,
    needs: Needs,
}

impl<P: Peer> Ring<P> {
    const LIVE: usize = 1000;

    fn new(make: impl Fn(u64) -> P) -> Self {
        let mut needs = Needs::new(Sizes::Doublings { least: 4, end: 12 }, Aligns::Fixed(ALIGN));
        let mut space = make(mean(&needs) * 2 * Self::LIVE as u64);
        let live = (0..Self::LIVE).map(|_| space.allocate(needs.next())).collect();
        Self { space, live, needs }
    }

    #[inline]
    fn pair(&mut self) {
        self.space.free(self.live.pop_front().expect("the ring is never empty"));
        self.live.push_back(self.space.allocate(self.needs.next()));
    }
}

fn tell(figures: &Figures, report: &mut Report) {
    let words = "Beside what dividing a range costs: handles that are checked, and user data. \
                 Sizes: every doubling as often as any other, aligned to 16. 10,000 live in twice \
                 the range; a pair frees a random one and allocates another. Ring: 1,000 live, the \
                 oldest is freed. Misaligned: a request of 4 KiB aligned to 4 KiB beside 20,000 \
                 free regions that are large enough and in which it has no place.";
    report.section("Virtual blocks", words, &figures.table());
    for setting in [SMALL, LARGE] {
        let ratio = figures.ratio((QUICK, setting), (DEFAULT, setting));
        report.target(&format!("virtual: Polder / VMA, {setting}"), Limit::AtMost(0.7), ratio);
    }
    let ring = figures.ratio((QUICK, RING), (DEFAULT, RING));
    report.target("virtual: Polder / VMA, ring", Limit::AtMost(1.0), ring);
    let spoilt = figures.median((TIGHT, SPOILT));
    report.target("virtual: tight, 20,000 misaligned, ns", Limit::Below(1000.0), spoilt);
}

/// How many of a hundred allocations fail when so many percent of the block are to be used.
const LOADS: [u64; 3] = [85, 90, 95];
/// Allocations that are counted, after as many that are not.
const CHURN: u32 = 50_000;

/// A block and the sizes that it is filled with.
struct Fill {
    name: &'static str,
    size: u64,
    sizes: Sizes,
}

const FILLS: [Fill; 2] = [
    Fill {
        name: "1 KiB to 1 MiB in 256 MiB",
        size: 256 << 20,
        sizes: Sizes::Doublings { least: 10, end: 20 },
    },
    Fill {
        name: "64 KiB to 16 MiB in 2 GiB",
        size: 2 << 30,
        sizes: Sizes::Doublings { least: 16, end: 24 },
    },
];

fn tell_refusals(context: &Context<'_>, report: &mut Report) {
    for fill in &FILLS {
        let mut table = Table::new("% refused", &LOADS.map(|load| format!("{load} % load")));
        let mut best = [f64::INFINITY; LOADS.len()];
        let mut ours = best;
        for (name, seen) in entrants(context, fill) {
            let kept = if name.starts_with("VMA") { &mut best } else { &mut ours };
            (0..LOADS.len()).for_each(|load| kept[load] = kept[load].min(seen[load]));
            table.row(name, seen.map(|refused| format!("{refused:.3}")));
        }
        let words = format!(
            "{}, every doubling as often as any other. Before each request random parts are \
             freed until what is used and the request are within the load. Polder's lowest \
             offset gives what VMA's min offset gives.",
            fill.name
        );
        report.section("Virtual blocks, nearly full", &words, &table);
        for (load, (ours, best)) in LOADS.into_iter().zip(ours.into_iter().zip(best)) {
            let rule = format!("refused at {load} %, {}: Polder / VMA's best", fill.name);
            let ratio = (best.is_finite() && ours.is_finite()).then(|| ours / best);
            report.target(&rule, Limit::Below(1.0), ratio);
        }
    }
}

fn entrants(context: &Context<'_>, fill: &Fill) -> Vec<(&'static str, [f64; LOADS.len()])> {
    let ours = [(QUICK, Search::Quick), (TIGHT, Search::Tight)];
    let theirs = [
        (DEFAULT, vma::Space::DEFAULT),
        (MIN_TIME, vma::Space::MIN_TIME),
        (MIN_MEMORY, vma::Space::MIN_MEMORY),
        (MIN_OFFSET, vma::Space::MIN_OFFSET),
    ];
    let ours = ours.into_iter().filter(|(name, _)| context.wants(name)).map(|(name, search)| {
        let make = || polder::Space::new(fill.size, search);
        (name, LOADS.map(|load| refused(make(), polder::Space::try_allocate, fill, load)))
    });
    let theirs = theirs.into_iter().filter(|(name, _)| context.wants(name)).map(|(name, flags)| {
        let make = || vma::Space::new(fill.size, flags);
        (name, LOADS.map(|load| refused(make(), vma::Space::try_allocate, fill, load)))
    });
    ours.chain(theirs).collect()
}

/// How many of a hundred requests fail.
fn refused<P: Peer>(
    mut space: P,
    try_allocate: impl Fn(&mut P, Need) -> Option<P::Handle>,
    fill: &Fill,
    load: u64,
) -> f64 {
    let mut needs = Needs::new(fill.sizes, Aligns::Fixed(ALIGN));
    let mut random = Random::new(SEED);
    let (mut live, mut used, mut failed) = (Vec::new(), 0, 0);
    for step in 0..2 * CHURN {
        let need = needs.next();
        while used + need.size > fill.size / 100 * load {
            let (handle, size) = random.take(&mut live);
            space.free(handle);
            used -= size;
        }
        match try_allocate(&mut space, need) {
            Some(handle) => {
                live.push((handle, need.size));
                used += need.size;
            }
            None => failed += u32::from(step >= CHURN),
        }
    }
    live.into_iter().for_each(|(handle, _)| space.free(handle));
    f64::from(failed) * 100.0 / f64::from(CHURN)
}
