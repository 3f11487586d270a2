//! Bytes held over the same requests: what an allocator takes from the device beyond what is used.

mod trace;

use super::Context;
use crate::peer::{ForEachHeap, Heap, for_each_heap, polder, vma};
use crate::report::{Limit, Report};
use crate::table::{Table, figure, mebibytes};
use polder_device::sim::{Preset, Sim};
use polder_device::{Allocator, Options, Request, Requirements, Strategy, Wish};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::{fs, io};
use trace::{Step, TRACES, Trace};

/// Plays every trace with every peer.
pub fn run(context: &Context<'_>, report: &mut Report) -> io::Result<()> {
    for trace in TRACES {
        let steps = (trace.make)();
        let mut players = Players { context, steps: &steps, series: Vec::new() };
        for_each_heap(context.gpu, &mut players);
        let series = players.series;
        let used = used(&steps);
        report.section(trace.title, trace.words, &table(&series, &used));
        compare(trace, &series, &used, report);
        if let Some(folder) = context.series {
            write(folder, trace.name, &series, &used)?;
        }
    }
    judge_start(report);
    Ok(())
}

/// What a peer held after each step. Bytes.
struct Series {
    peer: &'static str,
    held: Vec<u64>,
}

struct Players<'c, 'a> {
    context: &'c Context<'a>,
    steps: &'c [Step],
    series: Vec<Series>,
}

impl<'a> ForEachHeap<'a> for Players<'_, 'a> {
    fn visit<H: Heap + 'a>(&mut self, name: &'static str, make: impl Fn() -> H) {
        if self.context.wants(name) {
            self.series.push(Series { peer: name, held: play(make(), self.steps) });
        }
    }
}

/// Plays the steps, and frees what is left.
fn play<H: Heap>(mut heap: H, steps: &[Step]) -> Vec<u64> {
    let mut live = HashMap::new();
    let mut held = Vec::with_capacity(steps.len());
    for &step in steps {
        match step {
            Step::Allocate { id, need } => {
                live.insert(id, heap.allocate(need));
            }
            Step::Free { id, .. } => heap.free(live.remove(&id).expect("the trace is whole")),
        }
        held.push(heap.held());
    }
    live.into_values().for_each(|handle| heap.free(handle));
    held
}

/// What is in allocations after each step. Bytes.
fn used(steps: &[Step]) -> Vec<u64> {
    let sum = |used: &mut u64, step: &Step| {
        *used = match step {
            Step::Allocate { need, .. } => *used + need.size,
            Step::Free { size, .. } => *used - size,
        };
        Some(*used)
    };
    steps.iter().scan(0, sum).collect()
}

fn table(series: &[Series], used: &[u64]) -> Table {
    let columns = ["at the most", "at the end", "held / used, mean"];
    let mut table = Table::new("MiB", &columns);
    let most = |bytes: &[u64]| mebibytes(bytes.iter().copied().max().unwrap_or(0));
    let last = |bytes: &[u64]| mebibytes(bytes.last().copied().unwrap_or(0));
    for Series { peer, held } in series {
        let sum = |bytes: &[u64]| bytes.iter().map(|&bytes| bytes as f64).sum::<f64>();
        table.row(peer, [most(held), last(held), figure(Some(sum(held) / sum(used)))]);
    }
    table.row("used", [most(used), last(used), figure(None)]);
    table
}

/// What Polder holds on a discrete device of 24 GiB when a program has made its first buffers.
fn judge_start(report: &mut Report) {
    let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default());
    let requirements = Requirements { size: START_SIZE, align: 256, ..Requirements::ANY };
    let request = Request::new(requirements, Wish::default());
    let allocate = |_| allocator.allocate(&request).expect("24 GiB are enough");
    let live: Vec<_> = (0..START_COUNT).map(allocate).collect();
    let held = allocator.held() as f64 / f64::from(1 << 20);
    report.target("MiB held after 0.5 MiB of buffers, 24 GiB", Limit::AtMost(4.0), Some(held));
    live.into_iter().for_each(|one| allocator.free(one).expect("the allocation is live"));
}

/// Buffers of 16 KiB.
const START_SIZE: u64 = 16 << 10;
/// Half a mebibyte of them.
const START_COUNT: u64 = (512 << 10) / START_SIZE;

/// Says where Polder holds most beside VMA, and how the two end.
fn compare(trace: &Trace, series: &[Series], used: &[u64], report: &mut Report) {
    let of = |name: &str| series.iter().find(|series| series.peer == name);
    let Some((polder, vma)) = of(polder::NAME).zip(of(vma::NAME)) else { return };
    let ratio = |step: usize| polder.held[step] as f64 / vma.held[step] as f64;
    let steps = (0..used.len()).filter(|&step| vma.held[step] > 0);
    let Some(worst) = steps.max_by(|&one, &other| ratio(one).total_cmp(&ratio(other))) else {
        return;
    };
    let last = used.len() - 1;
    let over =
        (0..used.len()).filter(|&step| polder.held[step] as f64 > vma.held[step] as f64 * WITHIN);
    report.say(&format!(
        "Polder holds most beside VMA after step {worst} of {}: {} MiB beside {} MiB, with {} MiB \
         used. It holds more than {WITHIN} times VMA's after {} of the steps.\n",
        used.len(),
        mebibytes(polder.held[worst]),
        mebibytes(vma.held[worst]),
        mebibytes(used[worst]),
        over.count(),
    ));
    let rule = |when: &str| format!("held, {}: Polder / VMA, {when}", trace.name);
    report.target(&rule("at any point"), Limit::AtMost(WITHIN), Some(ratio(worst)));
    report.target(&rule("at the end"), Limit::Below(1.0), Some(ratio(last)));
}

/// Polder may hold so much of what VMA holds, at any point.
const WITHIN: f64 = 1.02;

/// Writes what all held after each step.
fn write(folder: &Path, name: &str, series: &[Series], used: &[u64]) -> io::Result<()> {
    let mut text = String::from("step,used");
    let mut add = |cell: &dyn std::fmt::Display| write!(text, "{cell}").expect("a string takes it");
    series.iter().for_each(|series| add(&format_args!(",{}", series.peer.replace(", ", " "))));
    for (step, used) in used.iter().enumerate() {
        add(&format_args!("\n{step},{used}"));
        series.iter().for_each(|series| add(&format_args!(",{}", series.held[step])));
    }
    add(&'\n');
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{name}.csv")), text)
}
