//! The patterns that allocators are known to be measured by, each as a function that repeats it.
//!
//! `polder-patterns NAME [REPETITIONS]` runs one. All memory comes from the C functions, so that
//! `LD_PRELOAD` decides whose they are. The patterns in `timed` are programs to take the time of,
//! and their default takes half a second to one; those in `counted` are single operations in a
//! loop, for counting instructions. With `--rest` the program goes on after the last free as
//! programs do that wait for work, and says how much of its memory is still resident.

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
    let mut words: Vec<_> = std::env::args().skip(1).collect();
    let rests = words.iter().any(|word| word == "--rest");
    words.retain(|word| word != "--rest");
    let all = || timed::PATTERNS.iter().chain(counted::PATTERNS);
    let found = words.first().and_then(|name| all().find(|pattern| pattern.name == name));
    let Some(pattern) = found else {
        for pattern in all() {
            println!("{} {}", pattern.name, pattern.repetitions);
        }
        return ExitCode::FAILURE;
    };
    let repetitions = words.get(1).map_or(Ok(pattern.repetitions), |word| word.parse());
    (pattern.run)(repetitions.expect("REPETITIONS is a number"));
    if rests {
        println!("rest_kib={}", rest::resident_kib());
    }
    ExitCode::SUCCESS
}
