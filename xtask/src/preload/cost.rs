//! What a program pays for starting with the library: memory and system calls, beside the same
//! program without it.

use std::process::Command;

use crate::command::{Outcome, failed, output};

use super::programs::Programs;
use super::{Library, claim, needed};

/// Private memory that may be resident beyond what the system's `malloc` has, in KiB.
const RESIDENT_KIB_MOST: i64 = 100;

/// Memory that may be writable beyond that, in KiB: what a system that does not overcommit counts.
const WRITABLE_KIB_MOST: i64 = 2048;

/// System calls that may be made beyond that, those that load the library among them.
const CALLS_MOST: i64 = 20;

/// Runs of each kind; the least figure counts.
const RUNS: usize = 5;

/// Figures of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figures {
    resident_kib: i64,
    file_kib: i64,
    writable_kib: i64,
}

/// Compares figures of a program that allocates once.
pub fn check(programs: &Programs, library: &Library) -> Outcome {
    let without = least(|| programs.command("once"))?;
    let with = least(|| {
        let mut command = programs.command("once");
        library.preload(&mut command);
        command
    })?;
    let resident = with.resident_kib - without.resident_kib;
    let writable = with.writable_kib - without.writable_kib;
    let file = with.file_kib - without.file_kib;
    println!(
        "resident: {resident} KiB more, and {file} KiB of files; writable: {writable} KiB more"
    );
    claim(resident <= RESIDENT_KIB_MOST, || format!("{resident} KiB more are resident"))?;
    claim(writable <= WRITABLE_KIB_MOST, || format!("{writable} KiB more are writable"))?;
    needed("strace")?;
    let more = calls(programs, Some(library))? - calls(programs, None)?;
    println!("system calls: {more} more");
    claim(more <= CALLS_MOST, || format!("{more} more system calls"))
}

fn least(command: impl Fn() -> Command) -> Outcome<Figures> {
    let mut least: Option<Figures> = None;
    for _ in 0..RUNS {
        let text = output(&mut command()).or_else(failed)?;
        let Some(figures) = read(&text) else { return failed(format!("no figures: `{text}`")) };
        let before = least.unwrap_or(figures);
        least = Some(Figures {
            resident_kib: figures.resident_kib.min(before.resident_kib),
            file_kib: figures.file_kib.min(before.file_kib),
            writable_kib: figures.writable_kib.min(before.writable_kib),
        });
    }
    least.map_or_else(|| failed("no run"), Ok)
}

fn read(text: &str) -> Option<Figures> {
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    let (resident_kib, file_kib, writable_kib) =
        (numbers.next()?, numbers.next()?, numbers.next()?);
    Some(Figures { resident_kib, file_kib, writable_kib })
}

fn calls(programs: &Programs, library: Option<&Library>) -> Outcome<i64> {
    let program = programs.command("once");
    let log = std::path::Path::new(program.get_program()).with_extension("strace");
    let mut command = Command::new("strace");
    command.arg("-qq").arg("-o").arg(&log);
    if let Some(library) = library {
        command.arg("-E").arg(format!("LD_PRELOAD={}", library.file.display()));
    }
    output(command.arg(program.get_program())).or_else(failed)?;
    let lines = std::fs::read_to_string(&log).or_else(|error| failed(error.to_string()))?;
    Ok(lines.lines().count() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_in_their_order() {
        let figures = Figures { resident_kib: 136, file_kib: 1280, writable_kib: 836 };
        assert_eq!(read("136 1280 836 "), Some(figures));
        assert_eq!(read("136 1280"), None);
    }
}
