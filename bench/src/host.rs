//! The benchmarks of the host half: Polder beside its peers, preloaded under programs and as Rust's
//! global allocator.

mod build;
mod callgrind;
mod child;
mod global;
mod instructions;
mod library;
mod pattern;
mod real;
mod rest;
mod time;

use crate::machine;
use crate::report::{Part, Report};
use build::Programs;
use clap::{Args, ValueEnum};
use library::{BASE, CHECKED, Library, POLDER, SYSTEM};
use std::error::Error;
use std::io;

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// Instructions of single operations.
    Instructions,
    /// Time and peak memory of programs.
    Time,
    /// What is resident when all is freed, and after the start.
    Rest,
    /// As Rust's global allocator.
    Global,
}

/// What to run.
#[derive(Args)]
pub struct Options {
    /// Which benchmarks to run; all when none is named.
    benchmarks: Vec<Benchmark>,
    /// Measure shortly, to try out.
    #[arg(long)]
    quick: bool,
    /// How often each library runs each program.
    #[arg(long)]
    rounds: Option<usize>,
    /// Another library, as NAME=PATH; one of ours if the name is known.
    #[arg(long = "library", value_name = "NAME=PATH")]
    libraries: Vec<Library>,
    /// Measure only these libraries, besides snmalloc and those given by --library.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Run only the programs and patterns whose name contains this.
    #[arg(long, default_value = "")]
    program: String,
}

impl Options {
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { ROUNDS })
    }

    fn is_complete(&self) -> bool {
        let all = self.benchmarks.is_empty() && self.program.is_empty() && self.only.is_empty();
        all && !self.quick && self.rounds() >= ROUNDS && self.libraries.is_empty()
    }

    fn wants_program(&self, name: &str) -> bool {
        name.contains(&self.program)
    }

    fn wants_library(&self, name: &str) -> bool {
        self.only.is_empty() || name == BASE || self.only.iter().any(|only| only == name)
    }

    /// The libraries that were built, with those in their places that the user gives instead.
    fn chosen(&self, built: Vec<Library>) -> Vec<Library> {
        let given = |name: &str| self.libraries.iter().any(|library| library.name == name);
        let is_kept =
            |library: &Library| !given(&library.name) && self.wants_library(&library.name);
        let mut chosen: Vec<_> = built.into_iter().filter(is_kept).collect();
        chosen.extend(self.libraries.iter().cloned());
        chosen
    }
}

const ROUNDS: usize = 5;
/// The packages whose versions are said.
const PACKAGES: [&str; 9] = [
    "snmalloc-sys",
    "snmalloc-rs",
    "libmimalloc-sys",
    "mimalloc",
    "tikv-jemalloc-sys",
    "tikv-jemallocator",
    "rpmalloc-sys",
    "rpmalloc",
    "rusty_alloc",
];

/// What every benchmark needs.
struct Context {
    libraries: Vec<Library>,
    programs: Programs,
    options: Options,
}

impl Context {
    fn names(&self) -> Vec<&str> {
        self.libraries.iter().map(|library| &*library.name).collect()
    }

    /// Those that Polder is to be better than.
    fn peers(&self) -> impl Iterator<Item = &str> {
        self.names().into_iter().filter(|name| *name != POLDER && !CHECKED.contains(name))
    }

    /// Those of the peers that are not the system's.
    fn crates(&self) -> impl Iterator<Item = &str> {
        self.peers().filter(|name| *name != SYSTEM)
    }
}

/// Builds what is measured, measures it, and writes the report.
pub fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let built = build::all()?;
    let machine = machine::describe("Host memory", &said(&built.missing), &PACKAGES);
    let mut report = Report::new(Part::Host, &machine);
    let libraries = options.chosen(built.libraries);
    let context = Context { libraries, programs: built.programs, options };
    let all = Benchmark::value_variants();
    let named = &context.options.benchmarks;
    for benchmark in if named.is_empty() { all } else { named } {
        benchmark.run(&context, &mut report)?;
    }
    report.finish(
        "Polder beside others, as the rule says. Ratios are medians of the ratios within each \
         round, means of ratios are geometric, peers are all but Polder and the builds with \
         checks.",
    );
    if context.options.is_complete() {
        report.write()?;
    }
    Ok(())
}

/// What is said of the machine besides its processor.
fn said(missing: &[String]) -> Vec<String> {
    let versions = [machine::first_line("ldd", &["--version"]), valgrind()];
    let missing = missing.iter().map(|reason| format!("left out: {reason}"));
    versions.into_iter().flatten().chain(missing).collect()
}

fn valgrind() -> Option<String> {
    machine::first_line("valgrind", &["--version"])
}

impl Benchmark {
    fn run(self, context: &Context, report: &mut Report) -> io::Result<()> {
        match self {
            Self::Instructions => instructions::run(context, report),
            Self::Time => time::run(context, report),
            Self::Rest => rest::run(context, report),
            Self::Global => global::run(context, report),
        }
    }
}
