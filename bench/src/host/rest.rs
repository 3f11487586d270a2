//! Resident memory at the two ends of a program: after its first allocation, and when everything
//! is freed.

use super::callgrind;
use super::library::{BASE, CHECKED, Library, POLDER, SYSTEM};
use super::{Context, pattern};
use crate::measure::Figures;
use crate::report::{Limit, Report};
use crate::table::{Table, figure};
use std::io;
use std::process::Command;

/// The patterns that are looked at: those that hold much, or leave it to other threads.
const PATTERNS: [&str; 9] = [
    "larson",
    "malloc-large",
    "mleak",
    "mstress",
    "rptest",
    "sh8",
    "xmalloc",
    "hash-maps",
    "strings",
];
/// Resident memory differs by a page or two from run to run.
const STARTS: usize = 5;
const START_KIB_MAX: f64 = 100.0;
const START_CALLS_MAX: f64 = 20.0;

/// Measures.
pub fn run(context: &Context, report: &mut Report) -> io::Result<()> {
    freed(context, report)?;
    start(context, report)
}

fn freed(context: &Context, report: &mut Report) -> io::Result<()> {
    let mut figures = Figures::default();
    let patterns = pattern::all(&context.programs)?;
    let chosen = patterns.iter().filter(|pattern| PATTERNS.contains(&&*pattern.name));
    for pattern in chosen.filter(|pattern| context.options.wants_program(&pattern.name)) {
        for library in &context.libraries {
            match resident_kib(context, library, &[&pattern.name, "--rest"]) {
                Ok(kib) => figures.add((&library.name, &pattern.name), kib / 1024.0),
                Err(error) => println!("{} fails {}: {error}", library.name, pattern.name),
            }
        }
    }
    let names = context.names();
    let mut table = Table::new("MiB resident", &names);
    for setting in figures.settings() {
        table.row(setting, names.iter().map(|name| figure(figures.median((name, setting)))));
    }
    table.row(
        "geometric mean, to snmalloc",
        names.iter().map(|name| figure(figures.mean_ratio(name, BASE))),
    );
    let words = "The program has freed all and goes on for 1.6 s with a small pair every 10 ms and \
                 one of 1 MiB every 100 ms.";
    report.section("Resident when all is freed", words, &table);
    let worst = context.peers().filter_map(|peer| figures.mean_ratio(POLDER, peer));
    report.target(
        "resident when all is freed, mean: Polder / lowest peer",
        Limit::Below(1.0),
        worst.max_by(f64::total_cmp),
    );
    Ok(())
}

fn start(context: &Context, report: &mut Report) -> io::Result<()> {
    let mut table = Table::new("after one allocation", &["KiB resident", "system calls"]);
    let (mut resident, mut calls) = (Figures::default(), Figures::default());
    for _ in 0..STARTS {
        for library in &context.libraries {
            let kib = resident_kib(context, library, &["pair-64", "1", "--resident"])?;
            resident.add((&library.name, ""), kib);
        }
    }
    for library in &context.libraries {
        if callgrind::is_there() && !CHECKED.contains(&&*library.name) {
            let patterns = &context.programs.patterns;
            let count = callgrind::system_calls(library, patterns, &["pair-64", "1"])?;
            calls.add((&library.name, ""), count as f64);
        }
        let name = (&*library.name, "");
        table.row(name.0, [figure(resident.median(name)), figure(calls.median(name))]);
    }
    let words = "A program that allocates one block and frees it. The system's own are those of \
                 loading and ending.";
    report.section("Start", words, &table);
    let more =
        |figures: &Figures| Some(figures.median((POLDER, ""))? - figures.median((SYSTEM, ""))?);
    let limit = Limit::AtMost(START_KIB_MAX);
    report.target("KiB resident after one allocation: Polder - glibc", limit, more(&resident));
    let limit = Limit::AtMost(START_CALLS_MAX);
    report.target("system calls of one allocation: Polder - glibc", limit, more(&calls));
    Ok(())
}

fn resident_kib(context: &Context, library: &Library, arguments: &[&str]) -> io::Result<f64> {
    let mut command = Command::new(&context.programs.patterns);
    command.args(arguments);
    library.preload(&mut command);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| io::Error::other(format!("it failed: {text}")))
}
