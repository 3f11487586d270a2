//! Fuzzes the divisions of a block and the default allocator against the naive models of their
//! property tests.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use polder_device::division::{Ask, Buddy, Linear, Slab, Tlsf, Whole, buddy, linear, slab, tlsf};
use polder_device::sim::{Preset, Sim};
use polder_device::{Search, Tiling};

#[path = "../../crates/device/tests/history/mod.rs"]
#[allow(dead_code)]
mod history;
#[path = "../../crates/device/tests/model/mod.rs"]
#[allow(dead_code)]
mod model;

#[derive(Arbitrary, Debug)]
enum Step {
    Allocate { size: u32, align: u8, optimal: bool, choice: [u8; 4] },
    Free(u8),
    Trim,
}

#[derive(Arbitrary, Debug)]
enum Target {
    Allocator { preset: u8 },
    Tlsf,
    Linear { mode: u8 },
    Slab,
    Buddy,
    Whole,
}

const SEARCHES: [Search; 4] =
    [Search::Quick, Search::Tight, Search::LowestOffset, Search::UpperAddress];
const MODES: [linear::Mode; 4] =
    [linear::Mode::Stack, linear::Mode::DoubleStack, linear::Mode::Ring, linear::Mode::Adaptive];
/// The largest request to the allocator: a few of them fill a block.
const SIZE_MAX: u32 = 3 << 20;

fuzz_target!(|input: (Target, u16, u8, Vec<Step>)| {
    let (target, size, granularity, steps) = input;
    if let Target::Allocator { preset } = target {
        let preset = Preset::ALL[preset as usize % Preset::ALL.len()];
        history::run(&Sim::preset(preset), &steps.iter().map(for_allocator).collect::<Vec<_>>());
        return;
    }
    let actions: Vec<_> = steps.iter().map(for_division).collect();
    let (size, granularity) = (u64::from(size) + 1, 1 << (granularity % 17));
    match target {
        Target::Tlsf => model::play::<Tlsf>(&tlsf::Config::default(), size, granularity, &actions),
        Target::Linear { mode } => {
            let config = linear::Config { mode: MODES[mode as usize % MODES.len()] };
            model::play::<Linear>(&config, size, granularity, &actions);
        }
        Target::Slab => model::play::<Slab>(&slab::Config::default(), size, granularity, &actions),
        Target::Buddy => {
            model::play::<Buddy>(&buddy::Config::default(), size, granularity, &actions);
        }
        Target::Whole => model::play::<Whole>(&(), size, granularity, &actions),
        Target::Allocator { .. } => unreachable!("played above"),
    }
});

fn for_allocator(step: &Step) -> history::Action {
    match *step {
        Step::Allocate { size, align, optimal, choice } => history::Action::Allocate {
            size: u64::from(size % SIZE_MAX + 1),
            align: 1 << (align % 13),
            optimal,
            choice: choice.map(usize::from),
        },
        Step::Free(index) => history::Action::Free(index.into()),
        Step::Trim => history::Action::Trim,
    }
}

fn for_division(step: &Step) -> model::Action {
    match *step {
        Step::Allocate { size, align, optimal, choice } => model::Action::Allocate(Ask {
            size: u64::from(size % (1 << 16) + 1),
            align: 1 << (align % 13),
            tiling: if optimal { Tiling::Optimal } else { Tiling::Linear },
            search: SEARCHES[choice[0] as usize % SEARCHES.len()],
            slot: 0,
        }),
        Step::Free(index) => model::Action::Free(index.into()),
        Step::Trim => model::Action::Free(0),
    }
}
