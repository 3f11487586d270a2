//! What Rust programs do with memory, over the global allocator that this was built with.
//!
//! `polder-global` writes a line for each pattern: its name and nanoseconds of processor time per
//! operation, of all threads together. `polder-global box COUNT` makes and drops as many boxes of
//! 64 bytes, for counting instructions.

mod allocator;
mod clock;
mod patterns;
#[expect(dead_code, reason = "not all of it is used here")]
#[path = "../../src/random.rs"]
mod random;
#[cfg(feature = "rusty")]
mod rusty;
#[path = "../../programs/src/sizes.rs"]
mod sizes;
#[cfg(feature = "snmalloc")]
#[path = "../../preload/src/snmalloc.rs"]
mod snmalloc;

use std::hint::black_box;

/// How long each pattern is run, at least.
const TIME_NS: u64 = 10_000_000;
const OPERATIONS_MAX: u64 = 1 << 26;

/// One pattern: its name, and what does so many operations.
pub struct Pattern {
    name: &'static str,
    run: fn(u64),
}

impl Pattern {
    const fn new(name: &'static str, run: fn(u64)) -> Self {
        Self { name, run }
    }

    /// Finds how many operations fill the time; returns nanoseconds for one.
    fn measure(&self) -> f64 {
        let mut operations = 64;
        loop {
            let begin = clock::processor_ns();
            (self.run)(operations);
            let time_ns = clock::processor_ns() - begin;
            if time_ns >= TIME_NS || operations >= OPERATIONS_MAX {
                return time_ns as f64 / operations as f64;
            }
            operations *= 2;
        }
    }
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let [what, count] = &*words
        && what == "box"
    {
        return boxes(count.parse().expect("COUNT is a number"));
    }
    let wants = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    for pattern in patterns::all().filter(|pattern| wants(pattern.name)) {
        println!("{} {:.3}", pattern.name, pattern.measure());
    }
}

fn boxes(count: u64) {
    for number in 0..count {
        drop(black_box(Box::new([number; 8])));
    }
}
