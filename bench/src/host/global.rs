//! As Rust's global allocator: one program, built once over each allocator, with the same profile
//! for all; and once more as one with its allocator, to count the instructions of a box.

use super::Context;
use super::build;
use super::callgrind::{self, Counted};
use super::library::{BASE, CHECKED, Library, PEERS, POLDER, SYSTEM, Toolchain};
use crate::measure::Figures;
use crate::report::{Limit, Report};
use crate::table::{Table, figure};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What ferroc, a peer in Rust, reaches beside snmalloc.
const MEAN_MAX: f64 = 0.94;
const BOXES: u64 = 100_000;

/// The program over one allocator.
struct Entrant {
    name: &'static str,
    /// Built as users build.
    program: PathBuf,
    /// Built with link-time optimisation.
    whole: PathBuf,
}

/// Measures.
pub fn run(context: &Context, report: &mut Report) -> io::Result<()> {
    let (entrants, missing) = build_all(context);
    for reason in missing {
        println!("left out: {reason}");
        report.say(&format!("Left out as global allocator: {reason}.\n"));
    }
    let mut figures = Figures::default();
    for _ in 0..context.options.rounds() {
        for entrant in &entrants {
            for (pattern, ns) in patterns(&entrant.program)? {
                if context.options.wants_program(&pattern) {
                    figures.add((entrant.name, &pattern), ns);
                }
            }
        }
    }
    let names: Vec<_> = entrants.iter().map(|entrant| entrant.name).collect();
    let mut table = Table::new("ns of processor time per operation", &names);
    for setting in figures.settings() {
        table.row(setting, names.iter().map(|name| figure(figures.median((name, setting)))));
    }
    let mean = |name: &&str| figure(figures.mean_ratio(name, BASE));
    table.row("geometric mean, to snmalloc", names.iter().map(mean));
    let words = "Rust programs, each allocator through its own crate, no link-time optimisation; \
                 all threads together. First and last byte of each block are written.";
    report.section("As Rust's global allocator", words, &table);
    let rule = "as global allocator, mean: Polder / snmalloc (ferroc: 0.94)";
    report.target(rule, Limit::Below(MEAN_MAX), figures.mean_ratio(POLDER, BASE));
    boxes(&entrants, report)
}

/// Asks a program for all its patterns.
fn patterns(program: &Path) -> io::Result<Vec<(String, f64)>> {
    let output = Command::new(program).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{}: {}", program.display(), output.status)));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Each line is a name, which may have spaces, and a number.
fn parse(text: &str) -> Vec<(String, f64)> {
    let line = |line: &str| {
        let (name, number) = line.rsplit_once(' ')?;
        Some((name.to_string(), number.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Counts what a box takes when the allocator is part of the program.
fn boxes(entrants: &[Entrant], report: &mut Report) -> io::Result<()> {
    if !callgrind::is_there() {
        return Ok(());
    }
    let mut figures = Figures::default();
    for entrant in entrants {
        let counted = Counted { program: &entrant.whole, arguments: &["box"], operations: BOXES };
        match counted.per_operation(&Library::system()) {
            Ok(count) => figures.add((entrant.name, ""), count),
            Err(error) => println!("{} fails box: {error}", entrant.name),
        }
    }
    let mut table = Table::new("instructions", &["Box::new and drop, 64 B"]);
    for entrant in entrants {
        table.row(entrant.name, [figure(figures.median((entrant.name, "")))]);
    }
    let words = "With link-time optimisation over the whole program; the loop and the writing of \
                 the box are in it.";
    report.section("One box", words, &table);
    let others = entrants.iter().filter(|one| ![POLDER, SYSTEM].contains(&one.name));
    let least = others.filter_map(|one| figures.median((one.name, ""))).min_by(f64::total_cmp);
    let ratio = figures.median((POLDER, "")).zip(least).map(|(own, least)| own / least);
    report.target(
        "instructions of a box, whole program: Polder / best peer",
        Limit::Below(1.0),
        ratio,
    );
    Ok(())
}

/// Builds the program over all that are wanted; a line for each that cannot be built.
fn build_all(context: &Context) -> (Vec<Entrant>, Vec<String>) {
    let peers = PEERS.iter().filter(|peer| !CHECKED.contains(&peer.name));
    let peers = peers.map(|peer| (peer.name, Some(peer.feature)));
    let all = [(SYSTEM, None)].into_iter().chain(peers).chain([(POLDER, Some(POLDER))]);
    let (mut entrants, mut missing) = (Vec::new(), Vec::new());
    for (name, feature) in all.filter(|(name, _)| context.options.wants_library(name)) {
        match build_over(name, feature) {
            Ok(entrant) => entrants.push(entrant),
            Err(error) => missing.push(format!("{name}: {error}")),
        }
    }
    (entrants, missing)
}

fn build_over(name: &'static str, feature: Option<&str>) -> io::Result<Entrant> {
    let target = build::folder(name)?;
    for profile in ["release", "lto"] {
        let mut command =
            build::cargo(Toolchain::Ours, Path::new(env!("CARGO_MANIFEST_DIR")), &target);
        command.args(["--package", "polder-bench-global", "--profile", profile]);
        command.args(feature.map(|feature| format!("--features={feature}")));
        // snmalloc's crate leaves it to the user to switch its assertions off.
        build::run(command.env("CXXFLAGS", "-DNDEBUG"))?;
    }
    let program = |profile: &str| target.join(profile).join("polder-global");
    Ok(Entrant { name, program: program("release"), whole: program("lto") })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_name_may_have_spaces() {
        let lines = parse("pair, 64 B 3.5\nstrings 12\nwords without a number\n");
        assert_eq!(lines, [("pair, 64 B".to_string(), 3.5), ("strings".to_string(), 12.0)]);
    }
}
