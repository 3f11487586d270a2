//! Measures Polder beside its peers on one machine, and writes what it saw into `BENCHMARKS.md`.
//!
//! `cargo run --release -- device` runs all benchmarks of the device half on the first Vulkan
//! device that the loader finds; `host` those of the host half, beside the allocators that it
//! builds first. Names select some of them; only a full run of all of them is written into the
//! file, each half into its own part.

mod benchmark;
mod gpu;
mod host;
mod machine;
mod measure;
mod peer;
mod random;
mod report;
mod table;
mod workload;

use benchmark::{Benchmark, Context};
use clap::{Args, Parser, Subcommand};
use gpu::Gpu;
use measure::Effort;
use report::{Part, Report};
use std::error::Error;
use std::path::PathBuf;

/// Polder beside its peers.
#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    half: Half,
}

#[derive(Subcommand)]
enum Half {
    /// Device memory: spaces, allocators, factories.
    Device(Options),
    /// The process's memory: instructions, time, resident memory.
    Host(host::Options),
}

#[derive(Args)]
struct Options {
    /// Which benchmarks to run; all when none is named.
    benchmarks: Vec<Benchmark>,
    /// Measure shortly, to try out.
    #[arg(long)]
    quick: bool,
    /// Do this many pairs in each round, for counting instructions.
    #[arg(long)]
    pairs: Option<u32>,
    /// Measure only the peers whose name begins so.
    #[arg(long)]
    peer: Option<String>,
    /// Write held bytes after every step of every trace as CSV files into this folder.
    #[arg(long)]
    series: Option<PathBuf>,
}

impl Options {
    fn effort(&self) -> Effort {
        let effort = if self.quick { Effort::QUICK } else { Effort::FULL };
        Effort { pairs: self.pairs, ..effort }
    }

    fn is_complete(&self) -> bool {
        self.benchmarks.is_empty() && !self.quick && self.pairs.is_none() && self.peer.is_none()
    }
}

/// The packages of the device half whose versions are said.
const PACKAGES: [&str; 7] = [
    "polder-device",
    "vk-mem",
    "gpu-allocator",
    "gpu-alloc",
    "gpu-alloc-ash",
    "offset-allocator",
    "ash",
];

fn main() -> Result<(), Box<dyn Error>> {
    match Command::parse().half {
        Half::Device(options) => device(&options),
        Half::Host(options) => host::run(options),
    }
}

fn device(options: &Options) -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::open()?;
    let machine = machine::describe("Device memory", &[gpu.name()], &PACKAGES);
    let mut report = Report::new(Part::Device, &machine);
    let context = Context {
        gpu: &gpu,
        effort: options.effort(),
        peer: options.peer.as_deref(),
        series: options.series.as_deref(),
    };
    for benchmark in Benchmark::chosen(&options.benchmarks) {
        benchmark.run(&context, &mut report)?;
    }
    report.finish("Ratios are medians of the ratios within each round.");
    if options.is_complete() {
        report.write()?;
    }
    Ok(())
}
