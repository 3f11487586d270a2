//! Defragmentation of what is left of many allocations: processor time, blocks, bytes moved.

mod polder;
mod vma;

use super::Context;
use crate::measure::Figures;
use crate::random::Random;
use crate::report::{Limit, Report};
use crate::table::{Table, figure, mebibytes};
use std::time::Duration;

/// How many allocations there are at first; every second one is freed, in random order.
const COUNT: usize = 100_000;
/// Sizes are multiples of this, up to 64 of them. Bytes.
const STEP: u64 = 256;
/// Blocks of both, so that blocks can be compared. Bytes.
const BLOCK: u64 = 8 << 20;
const SETTINGS: [Effort; 2] = [Effort::Fast, Effort::Full];

/// What both can be told.
#[derive(Clone, Copy)]
enum Effort {
    Fast,
    Full,
}

impl Effort {
    const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Full => "full",
        }
    }
}

/// What a run came to.
#[derive(Clone, Copy)]
struct Outcome {
    time: Duration,
    moved: u64,
    bytes_moved: u64,
    blocks_before: u64,
    blocks: u64,
}

/// The sizes, and which of them stay.
struct Scene {
    sizes: Vec<u64>,
    freed: Vec<usize>,
}

impl Scene {
    fn new() -> Self {
        let mut random = Random::new(7);
        let sizes = (0..COUNT).map(|_| (1 + random.below(64)) * STEP).collect();
        let mut left: Vec<_> = (0..COUNT).collect();
        let freed = (0..COUNT / 2).map(|_| random.take(&mut left)).collect();
        Self { sizes, freed }
    }
}

/// Measures both in turns.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let scene = Scene::new();
    let rounds = context.effort.rounds.min(7);
    let mut figures = Figures::default();
    let columns = ["ms", "allocations moved", "MiB moved", "blocks before", "blocks after"];
    let mut table = Table::new("", &columns);
    for effort in SETTINGS {
        let (mut ours, mut theirs) = (None, None);
        for _ in 0..rounds {
            let one = polder::run(context.gpu, &scene, effort);
            figures.add((crate::peer::polder::NAME, effort.name()), one.time.as_nanos() as f64);
            ours = Some(one);
            let other = vma::run(context.gpu, &scene, effort);
            figures.add((crate::peer::vma::NAME, effort.name()), other.time.as_nanos() as f64);
            theirs = Some(other);
        }
        let Some((ours, theirs)) = ours.zip(theirs) else { continue };
        let names = [crate::peer::polder::NAME, crate::peer::vma::NAME];
        for (name, outcome) in names.into_iter().zip([ours, theirs]) {
            let ms = figures.median((name, effort.name())).map(|ns| ns / 1e6);
            let cells = [
                figure(ms),
                outcome.moved.to_string(),
                mebibytes(outcome.bytes_moved),
                outcome.blocks_before.to_string(),
                outcome.blocks.to_string(),
            ];
            table.row(&format!("{name}, {}", effort.name()), cells);
        }
        judge(report, effort, &figures, [ours, theirs]);
    }
    let words = "100,000 allocations of 256 B to 16 KiB in blocks of 8 MiB; a random half is \
                 freed, and what is left is defragmented without limits, every move taken and \
                 nothing copied. Time is that of the passes alone, first to last.";
    report.section("Defragmentation", words, &table);
}

fn judge(report: &mut Report, effort: Effort, figures: &Figures, [ours, theirs]: [Outcome; 2]) {
    let name = effort.name();
    let (polder, vma) = (crate::peer::polder::NAME, crate::peer::vma::NAME);
    let rule = |what: &str| format!("defragmentation, {name}: {what}, Polder / VMA");
    let time = figures.ratio((polder, name), (vma, name));
    report.target(&rule("time"), Limit::AtMost(0.7), time);
    let blocks = ours.blocks as f64 / theirs.blocks as f64;
    report.target(&rule("blocks at the end"), Limit::AtMost(1.0), Some(blocks));
    // Who empties more blocks moves more.
    let bytes = |one: Outcome| one.bytes_moved as f64 / (one.blocks_before - one.blocks) as f64;
    let bytes = bytes(ours) / bytes(theirs);
    report.target(&rule("bytes moved for a block less"), Limit::AtMost(1.0), Some(bytes));
}
