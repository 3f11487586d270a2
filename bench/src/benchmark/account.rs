//! What an allocator tells of itself: detailed figures, and VMA's text with every allocation.

use super::Context;
use crate::measure::Contest;
use crate::peer::{polder, vma};
use crate::report::{Limit, Report};
use crate::workload::{Aligns, Needs, Sizes, Workload};
use std::hint::black_box;

/// 256 B to 16 KiB.
const SIZES: Sizes = Sizes::Steps { step: 256, count: 64 };
const ALIGNS: Aligns = Aligns::Fixed(256);
/// How many are made; a random half of them is freed, and 100,000 live.
const COUNT: usize = 200_000;
const FIGURES: &str = "figures";
const TEXT: &str = "text";

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut contest = Contest::default();
    let full = || Needs::new(SIZES, ALIGNS);
    if context.wants(polder::NAME) {
        let heap = polder::Heap::new(context.gpu);
        let live = Workload::full(heap.clone(), COUNT, full()).halved();
        let other = heap.clone();
        contest.add(polder::NAME, FIGURES, move || _ = black_box((heap.figures(), &live)));
        contest.add(polder::NAME, TEXT, move || _ = black_box(other.text_len()));
    }
    if context.wants(vma::NAME) {
        let heap = vma::Heap::new(context.gpu);
        let live = Workload::full(heap.clone(), COUNT, full()).halved();
        let other = heap.clone();
        contest.add(vma::NAME, FIGURES, move || _ = black_box((heap.figures(), &live)));
        contest.add(vma::NAME, TEXT, move || _ = black_box(other.text_len()));
    }
    let figures = contest.run(context.effort);
    let words = "Of 100,000 allocations between as many freed ones: the figures of every memory \
                 type and heap, and VMA's JSON with every region.";
    report.section("Figures and text", words, &figures.table());
    for setting in [FIGURES, TEXT] {
        let ratio = figures.ratio((polder::NAME, setting), (vma::NAME, setting));
        let rule = format!("{setting} of 100,000 allocations: Polder / VMA");
        report.target(&rule, Limit::AtMost(1.0), ratio);
    }
}
