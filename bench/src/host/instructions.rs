//! Instructions of single operations through the C functions.

use super::callgrind::{self, Counted};
use super::library::{BASE, CHECKED, POLDER};
use super::{Context, build, pattern};
use crate::measure::{Figures, geometric_mean};
use crate::report::{Limit, Report};
use crate::table::{Table, figure};
use std::io;

/// What single calls of the plain functions take at most.
const MALLOC_MAX: f64 = 17.0;
const FREE_MAX: f64 = 22.0;
/// The pattern whose calls are counted alone.
const PAIR: &str = "pair-64";
/// The mean of all patterns, beside snmalloc's, and any of them beside the best peer's.
const MEAN_MAX: f64 = 0.85;
const WORST_MAX: f64 = 1.2;
/// `--quick` does so many times fewer.
const QUICK: u64 = 5;

/// Counts.
pub fn run(context: &Context, report: &mut Report) -> io::Result<()> {
    if !callgrind::is_there() {
        report.say("Instructions are left out: there is no valgrind here.\n");
        return Ok(());
    }
    let figures = per_operation(context)?;
    let names: Vec<_> =
        context.names().into_iter().filter(|name| !CHECKED.contains(name)).collect();
    let mut table = Table::new("instructions per operation", &names);
    for setting in figures.settings() {
        table.row(setting, names.iter().map(|name| figure(figures.median((name, setting)))));
    }
    let mean = |name: &&str| figure(figures.mean_ratio(name, BASE));
    table.row("geometric mean, to snmalloc", names.iter().map(mean));
    let words = "In user mode, through the preloaded C functions; an operation is a pair of \
                 allocation and free, or one resize. The loop's own are in it, some seven of a \
                 pair and eleven where a thousand others live. Large blocks are not written.";
    report.section("Instructions", words, &table);
    per_call(context, report)?;
    report.target(
        "instructions, mean of the patterns: Polder / snmalloc",
        Limit::AtMost(MEAN_MAX),
        figures.mean_ratio(POLDER, BASE),
    );
    say_worst(context, &figures, report);
    Ok(())
}

fn per_operation(context: &Context) -> io::Result<Figures> {
    let mut figures = Figures::default();
    let patterns = pattern::all(&context.programs)?;
    let counted = patterns.iter().filter(|pattern| pattern.is_counted);
    for pattern in counted.filter(|pattern| context.options.wants_program(&pattern.name)) {
        let fewer = if context.options.quick { QUICK } else { 1 };
        let counted = Counted {
            program: &context.programs.patterns,
            arguments: &[&pattern.name],
            operations: pattern.repetitions.div_ceil(fewer),
        };
        for library in &context.libraries {
            if CHECKED.contains(&&*library.name) {
                continue;
            }
            match counted.per_operation(library) {
                Ok(count) => figures.add((&library.name, &pattern.name), count),
                Err(error) => println!("{} fails {}: {error}", library.name, pattern.name),
            }
        }
    }
    Ok(figures)
}

/// The two functions alone.
fn per_call(context: &Context, report: &mut Report) -> io::Result<()> {
    let file = build::folder("run")?.join("callgrind");
    let counted =
        Counted { program: &context.programs.patterns, arguments: &[PAIR], operations: 20_000 };
    let mut table = Table::new("instructions per call, 64 B", &["malloc", "free"]);
    for library in &context.libraries {
        if CHECKED.contains(&&*library.name) {
            continue;
        }
        let count = |word| counted.per_call(library, word, &file).ok();
        let (malloc, free) = (count("malloc"), count("free"));
        table.row(&library.name, [figure(malloc), figure(free)]);
        if library.name == POLDER {
            report.target("instructions of malloc", Limit::AtMost(MALLOC_MAX), malloc);
            report.target("instructions of a local free", Limit::AtMost(FREE_MAX), free);
        }
    }
    let words = "From the first instruction to the return, with all that is called, when the block \
                 is freed at once.";
    report.section("The two functions alone", words, &table);
    Ok(())
}

/// The pattern in which Polder is worst beside the best peer.
fn say_worst(context: &Context, figures: &Figures, report: &mut Report) {
    let beside_best = |setting: &str| {
        let best = context.peers().filter_map(|peer| figures.median((peer, setting)));
        let best = best.min_by(f64::total_cmp)?;
        Some(figures.median((POLDER, setting))? / best)
    };
    let settings = figures.settings();
    let ratios: Vec<_> =
        settings.iter().filter_map(|setting| Some((beside_best(setting)?, setting))).collect();
    let worst = ratios.iter().max_by(|one, other| one.0.total_cmp(&other.0));
    let Some((ratio, setting)) = worst else { return };
    let mean = geometric_mean(ratios.iter().map(|(ratio, _)| *ratio)).unwrap_or(f64::NAN);
    report.say(&format!(
        "Polder takes {mean:.2} times the instructions of each pattern's best peer in the mean, \
         and at the most {ratio:.2} times ({setting}).\n"
    ));
    let rule = format!("instructions: Polder / best peer, worst pattern ({setting})");
    report.target(&rule, Limit::AtMost(WORST_MAX), Some(*ratio));
}
