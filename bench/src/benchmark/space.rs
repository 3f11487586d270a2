//! Dividing a range: 10,000 live regions, of which a random one is freed and a new one allocated,
//! with random sizes and alignments.

use super::Context;
use crate::measure::{Contest, Figures};
use crate::peer::offset_allocator::{self, Alignment};
use crate::peer::{Peer, polder, vma};
use crate::report::{Limit, Report};
use crate::workload::{Aligns, Needs, Order, Sizes, Workload};
use polder_device::request::Search;

const LIVE: usize = 10_000;
/// The range is this many times as large as what is live.
const SPARE: u64 = 2;
/// Alignments go up to 256 bytes.
const ALIGN_EXPONENT: u32 = 8;

const QUICK: &str = "Polder, quick";
const TIGHT: &str = "Polder, tight";
const OFFSETS: &str = "offset-allocator, no alignment";
const PADDED: &str = "offset-allocator, padded";
const VIRTUAL: &str = "VMA virtual block";
const MIN_MEMORY: &str = "VMA virtual block, min memory";

/// A range of sizes, and what the table calls it.
struct Setting {
    name: &'static str,
    sizes: Sizes,
    /// About, in bytes.
    size_mean: u64,
}

const SETTINGS: [Setting; 2] = [
    Setting {
        name: "16 B to 4 KiB",
        sizes: Sizes::Doublings { least: 4, end: 12 },
        size_mean: 768,
    },
    Setting {
        name: "256 B to 1 MiB",
        sizes: Sizes::Doublings { least: 8, end: 20 },
        size_mean: 128 << 10,
    },
];

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut contest = Contest::default();
    for setting in &SETTINGS {
        let size = setting.size_mean * LIVE as u64 * SPARE;
        let mut entrants = Entrants { context, setting, contest: &mut contest };
        entrants.add(QUICK, || polder::Space::new(size, Search::Quick));
        entrants.add(TIGHT, || polder::Space::new(size, Search::Tight));
        entrants.add(OFFSETS, || offset_allocator::Space::new(size, Alignment::Ignored));
        entrants.add(PADDED, || offset_allocator::Space::new(size, Alignment::Padded));
        entrants.add(VIRTUAL, || vma::Space::new(size, vma::Space::DEFAULT));
        entrants.add(MIN_MEMORY, || vma::Space::new(size, vma::Space::MIN_MEMORY));
    }
    tell(&contest.run(context.effort), report);
}

struct Entrants<'c, 'a> {
    context: &'c Context<'a>,
    setting: &'c Setting,
    contest: &'c mut Contest<'a>,
}

impl<'a> Entrants<'_, 'a> {
    fn add<P: Peer + 'a>(&mut self, peer: &str, make: impl FnOnce() -> P) {
        if self.context.wants(peer) {
            let needs = Needs::new(self.setting.sizes, Aligns::UpTo(ALIGN_EXPONENT));
            let mut workload = Workload::full(make(), LIVE, needs);
            self.contest.add(peer, self.setting.name, move || workload.pair(Order::Random));
        }
    }
}

fn tell(figures: &Figures, report: &mut Report) {
    let words = "10,000 live; a pair frees a random one and allocates another. Sizes: every \
                 doubling as often as any other; alignments: powers of two up to 256. The range \
                 is twice what is live. offset-allocator knows no alignment: once without, once \
                 with as much more as alignment may take.";
    report.section("Dividing a range", words, &figures.table());
    for Setting { name, .. } in SETTINGS {
        let ratio = |other| figures.ratio((QUICK, name), (other, name));
        report.target(
            &format!("space / offset-allocator, {name}"),
            Limit::AtMost(1.0),
            ratio(OFFSETS),
        );
        report.target(
            &format!("space / VMA virtual block, {name}"),
            Limit::AtMost(0.6),
            ratio(VIRTUAL),
        );
    }
}
