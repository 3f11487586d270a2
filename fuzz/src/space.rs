//! Fuzzes a space of the core against the naive model of its property tests.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use polder_core::space::{Request, Strategy};

#[path = "../../crates/core/tests/model/mod.rs"]
#[allow(dead_code)]
mod model;

#[derive(Arbitrary, Debug)]
enum Step {
    Allocate { size: u16, align: u8, strategy: u8, tag: u32 },
    Free(u8),
    Resize { index: u8, size: u16 },
}

const STRATEGIES: [Strategy; 4] =
    [Strategy::Quick, Strategy::Tight, Strategy::LowestOffset, Strategy::UpperAddress];

fuzz_target!(|input: (u16, u8, Vec<Step>)| {
    let (size, records, steps) = input;
    // Half of the inputs have all the records they want, the others 1 to 128.
    let records_max = if records < 128 { usize::from(records) + 1 } else { usize::MAX };
    let mut pair = model::Pair::new(u64::from(size) + 1, records_max);
    for step in steps {
        match step {
            Step::Allocate { size, align, strategy, tag } => {
                let strategy = STRATEGIES[strategy as usize % STRATEGIES.len()];
                // One alignment in sixteen is no power of two.
                let align = if align % 16 == 15 { 3 } else { 1 << (align % 12) };
                let _ = pair.allocate(Request { size: size.into(), align, strategy, tag });
            }
            Step::Free(index) => pair.free(index.into()),
            Step::Resize { index, size } => pair.resize(index.into(), size.into()),
        }
    }
    while pair.live() > 0 {
        pair.free(0);
    }
    assert_eq!(pair.real.used(), 0);
});
