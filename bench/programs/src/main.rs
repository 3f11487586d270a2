//! The patterns that allocators are known to be measured by, each as a function that repeats it.
//!
//! `polder-patterns NAME [REPETITIONS]` runs one. All memory comes from the C functions, so that
//! `LD_PRELOAD` decides whose they are. The patterns in `timed` are programs to take the time of,
//! and their default takes half a second to one; those in `counted` are single operations in a
//! loop, for counting instructions. With `--resident` the program says at its end how much memory
//! is resident; with `--rest` it first goes on as programs do that wait for work.

mod bare;
mod block;
mod counted;
#[path = "../../src/random.rs"]
mod random;
mod rest;
mod sizes;
mod timed;

use std::process::ExitCode;

/// One pattern: its name, how often it is repeated by default, and what it does.
pub struct Pattern {
    name: &'static str,
    repetitions: u64,
    run: fn(u64),
}

impl Pattern {
    const fn new(name: &'static str, repetitions: u64, run: fn(u64)) -> Self {
        Self { name, repetitions, run }
    }
}

fn main() -> ExitCode {
    let (flags, words): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let mut all = timed::PATTERNS.iter().chain(counted::PATTERNS);
    let found = words.first().and_then(|name| all.find(|pattern| pattern.name == name));
    let Some(pattern) = found else {
        list("timed", timed::PATTERNS);
        list("counted", counted::PATTERNS);
        return ExitCode::FAILURE;
    };
    let repetitions = words.get(1).map_or(Ok(pattern.repetitions), |word| word.parse());
    (pattern.run)(repetitions.expect("REPETITIONS is a number"));
    match flags.first().map(String::as_str) {
        Some("--rest") => println!("{}", rest::after_some_activity()),
        Some("--resident") => println!("{}", rest::resident_kib()),
        _ => {}
    }
    ExitCode::SUCCESS
}

fn list(kind: &str, patterns: &[Pattern]) {
    for pattern in patterns {
        println!("{kind} {} {}", pattern.name, pattern.repetitions);
    }
}
