//! Fuzzes the host heap as `host` does, in a build with guards: they find nothing where nothing
//! is wrong.
#![no_main]

mod steps;

libfuzzer_sys::fuzz_target!(|input: Vec<steps::Step>| steps::play(&input));
