//! Fuzzes virtual blocks against the naive model of their property tests.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use polder_device::{Algorithm, Search, VirtualRequest};

#[path = "../../crates/device/tests/virtual_block/model.rs"]
#[allow(dead_code)]
mod model;

#[derive(Arbitrary, Debug)]
enum Step {
    Allocate { size: u16, align: u8, search: u8 },
    Free(u8),
    FreeAgain(u8),
    FreeElsewhere(u8),
    SetData(u8),
    Clear,
}

const SEARCHES: [Search; 4] =
    [Search::Quick, Search::Tight, Search::LowestOffset, Search::UpperAddress];

fuzz_target!(|input: (u16, bool, Vec<Step>)| {
    let (size, linear, steps) = input;
    let algorithm = if linear { Algorithm::Linear } else { Algorithm::Tlsf };
    let actions: Vec<_> = steps.iter().map(action).collect();
    model::play(u64::from(size) + 1, algorithm, &actions);
});

fn action(step: &Step) -> model::Action {
    match *step {
        Step::Allocate { size, align, search } => model::Action::Allocate(VirtualRequest {
            size: size.into(),
            // One alignment in sixteen is no power of two.
            align: if align % 16 == 15 { 3 } else { 1 << (align % 12) },
            search: SEARCHES[search as usize % SEARCHES.len()],
        }),
        Step::Free(index) => model::Action::Free(index.into()),
        Step::FreeAgain(index) => model::Action::FreeAgain(index.into()),
        Step::FreeElsewhere(index) => model::Action::FreeElsewhere(index.into()),
        Step::SetData(index) => model::Action::SetData(index.into()),
        Step::Clear => model::Action::Clear,
    }
}
