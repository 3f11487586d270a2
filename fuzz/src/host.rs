//! Fuzzes the host heap against the oracle of its tests.
#![no_main]

mod steps;

libfuzzer_sys::fuzz_target!(|input: Vec<steps::Step>| steps::play(&input));
