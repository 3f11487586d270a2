//! Time and peak memory of programs: our own patterns, and real ones.

use super::library::{BASE, HARDENED, POLDER};
use super::real::Real;
use super::{Context, child, pattern};
use crate::measure::Figures;
use crate::report::{Limit, Report};
use crate::table::{Table, figure};
use std::io;
use std::process::Command;

/// Any program beside the better of snmalloc and mimalloc 2.
const WORST_MAX: f64 = 1.15;
const PEAK_MAX: f64 = 0.95;
const HARDENED_MAX: f64 = 1.12;
/// The pattern of one thread that allocates and another that frees.
const REMOTE: &str = "xmalloc";
const REMOTE_GAIN: f64 = 1.5;
const MIMALLOC: &str = "mimalloc2";
/// `--quick` does so many times fewer repetitions.
const QUICK: u64 = 10;

/// What is measured.
#[derive(Default)]
struct Figured {
    processor: Figures,
    wall: Figures,
    peak: Figures,
}

/// Measures.
pub fn run(context: &Context, report: &mut Report) -> io::Result<()> {
    let patterns = patterns(context)?;
    let (mut reals, missing) = Real::all()?;
    reals.retain(|real| context.options.wants_program(real.name));
    missing.iter().for_each(|reason| report.say(&format!("Left out: {reason}.\n")));
    let mut figured = Figured::default();
    for _ in 0..context.options.rounds() {
        for (name, program) in &patterns {
            figured.measure(context, name, |library| {
                child::run(&context.programs, library, program).map(|(_, usage)| usage)
            });
        }
        for real in &mut reals {
            figured.measure(context, real.name, |library| real.run(&context.programs, library));
        }
    }
    let real_names: Vec<_> = reals.iter().map(|real| real.name).collect();
    figured.say(context, &real_names, report);
    figured.targets(context, report);
    Ok(())
}

/// Each pattern with the program that runs it.
fn patterns(context: &Context) -> io::Result<Vec<(String, Command)>> {
    let all = pattern::all(&context.programs)?.into_iter();
    let timed = all.filter(|one| !one.is_counted && context.options.wants_program(&one.name));
    let fewer = if context.options.quick { QUICK } else { 1 };
    let command = |pattern: pattern::Pattern| {
        let mut command = Command::new(&context.programs.patterns);
        command.arg(&pattern.name).arg(pattern.repetitions.div_ceil(fewer).to_string());
        (pattern.name, command)
    };
    Ok(timed.map(command).collect())
}

impl Figured {
    /// Runs one program once under each library.
    fn measure(
        &mut self,
        context: &Context,
        program: &str,
        mut run: impl FnMut(&super::Library) -> io::Result<child::Usage>,
    ) {
        for library in &context.libraries {
            let name = (&*library.name, program);
            match run(library) {
                Ok(usage) => {
                    self.processor.add(name, usage.processor_ns / 1e6);
                    self.wall.add(name, usage.wall_ns / 1e6);
                    self.peak.add(name, usage.peak_kib / 1024.0);
                }
                Err(error) => println!("{} fails {program}: {error}", library.name),
            }
        }
    }

    fn say(&self, context: &Context, reals: &[&str], report: &mut Report) {
        let names = context.names();
        let mut means = Table::new("geometric means, to snmalloc", &names);
        let mut mean = |words: &str, figures: &Figures, fits: &dyn Fn(&str) -> bool| {
            let ratio = |name: &&str| figure(figures.mean_ratio_of(name, BASE, fits));
            means.row(words, names.iter().map(ratio));
        };
        mean("user and system time", &self.processor, &|_| true);
        mean("the same, real programs", &self.processor, &|name| reals.contains(&name));
        mean("time from begin to end", &self.wall, &|_| true);
        mean("peak resident memory", &self.peak, &|_| true);
        let words = format!(
            "The programs below, two threads where they have any, each under every library before \
             the next one, {} rounds; medians.",
            context.options.rounds()
        );
        report.section("Programs", &words, &means);
        let each = |corner: &str, figures: &Figures| {
            let mut table = Table::new(corner, &names);
            for setting in figures.settings() {
                table
                    .row(setting, names.iter().map(|name| figure(figures.median((name, setting)))));
            }
            table
        };
        let time = each("ms, user and system", &self.processor);
        report.section("Processor time of each", "Of all threads together.", &time);
        let peak = each("MiB, peak", &self.peak);
        report.section("Peak resident memory of each", "As the system counts it.", &peak);
    }

    fn targets(&self, context: &Context, report: &mut Report) {
        let mean = |figures: &Figures, one, other| figures.mean_ratio(one, other);
        let worst = |figures: &Figures| {
            context.crates().filter_map(|peer| mean(figures, POLDER, peer)).max_by(f64::total_cmp)
        };
        report.target(
            "user and system time, mean: Polder / best peer",
            Limit::Below(1.0),
            worst(&self.processor),
        );
        if let Some((ratio, program)) = self.worst() {
            let rule =
                format!("the same, worst program ({program}): Polder / snmalloc, mimalloc 2");
            report.target(&rule, Limit::AtMost(WORST_MAX), Some(ratio));
        }
        report.target(
            "peak resident memory, mean: Polder / snmalloc",
            Limit::AtMost(PEAK_MAX),
            mean(&self.peak, POLDER, BASE),
        );
        let remote = |one, other| self.wall.ratio((one, REMOTE), (other, REMOTE));
        report.target(
            "one thread allocates, one frees: Polder / snmalloc",
            Limit::AtMost(1.0),
            remote(POLDER, BASE),
        );
        report.target(
            "one thread allocates, one frees: mimalloc 2 / Polder",
            Limit::AtLeast(REMOTE_GAIN),
            remote(MIMALLOC, POLDER),
        );
        report.target(
            "user and system time, mean: hardened / plain",
            Limit::AtMost(HARDENED_MAX),
            mean(&self.processor, HARDENED, POLDER),
        );
    }

    /// The program in which Polder is worst beside the better of the two.
    fn worst(&self) -> Option<(f64, &str)> {
        let beside = |program| {
            let ratio = |peer| self.processor.ratio((POLDER, program), (peer, program));
            let best = [BASE, MIMALLOC].into_iter().filter_map(ratio).max_by(f64::total_cmp)?;
            Some((best, program))
        };
        let all = self.processor.settings().into_iter().filter_map(beside);
        all.max_by(|one, other| one.0.total_cmp(&other.0))
    }
}
