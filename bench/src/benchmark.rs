//! The benchmarks of the device half, one file each.

mod account;
mod calls;
mod defragment;
mod factory;
mod held;
mod pairs;
mod planner;
mod space;
mod tails;
mod threads;
mod virtual_block;

use crate::gpu::Gpu;
use crate::measure::Effort;
use crate::report::Report;
use clap::ValueEnum;
use std::io;
use std::path::Path;

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Benchmark {
    /// Dividing a range.
    Space,
    /// Virtual blocks: the same with handles, in rings, nearly full.
    VirtualBlock,
    /// Allocating and freeing device memory between holes.
    Pairs,
    /// The same from two threads.
    Threads,
    /// Bytes held over three traces of requests.
    Held,
    /// Creating and destroying buffers.
    Factory,
    /// Placing transient resources.
    Planner,
    /// Emptying blocks of half of what was in them.
    Defragment,
    /// Detailed figures and VMA's text.
    Account,
    /// Mapping, information, flushing, budgets.
    Calls,
    /// How long the longest single allocations take.
    Tails,
}

/// What every benchmark needs.
pub struct Context<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// How long to measure.
    pub effort: Effort,
    /// The only peers that are measured, if not all.
    pub peer: Option<&'a str>,
    /// Where the series of held bytes go.
    pub series: Option<&'a Path>,
}

impl Context<'_> {
    /// Tells whether a peer is measured.
    pub fn wants(&self, peer: &str) -> bool {
        self.peer.is_none_or(|beginning| peer.starts_with(beginning))
    }
}

impl Benchmark {
    /// Returns those named, or all.
    pub fn chosen(named: &[Self]) -> &[Self] {
        if named.is_empty() { Self::value_variants() } else { named }
    }

    /// Runs it.
    pub fn run(self, context: &Context<'_>, report: &mut Report) -> io::Result<()> {
        match self {
            Self::Space => space::run(context, report),
            Self::VirtualBlock => virtual_block::run(context, report),
            Self::Pairs => pairs::run(context, report),
            Self::Threads => threads::run(context, report),
            Self::Held => held::run(context, report)?,
            Self::Factory => factory::run(context, report),
            Self::Planner => planner::run(context, report),
            Self::Defragment => defragment::run(context, report),
            Self::Account => account::run(context, report),
            Self::Calls => calls::run(context, report),
            Self::Tails => tails::run(context, report),
        }
        Ok(())
    }
}
