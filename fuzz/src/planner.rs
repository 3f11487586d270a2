//! Fuzzes the planner of transient resources against the naive rules of its property tests.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use polder_device::planner::{Life, Limit, Planner, Transient};
use polder_device::{DedicatedWish, Requirements, Tiling};

#[path = "../../crates/device/tests/planner/model.rs"]
#[allow(dead_code)]
mod model;

/// One resource. Most of what an input can say is valid.
#[derive(Arbitrary, Debug)]
struct Shape {
    size: u32,
    shift: u8,
    align: u8,
    types: u8,
    optimal: bool,
    dedicated: u8,
    moments: [u8; 2],
}

/// Most resources of a set.
const COUNT_MOST: usize = 40;
/// One number in so many is as an input says, and mostly wrong.
const WRONG: u8 = 32;
const MOMENTS: u8 = 24;
/// A search that looks longer makes an input slow and finds nothing new.
const LOOKS_MOST: u64 = 2048;
const TYPES: u8 = 0b111;

fuzz_target!(|input: (u8, u16, Vec<Shape>)| {
    let (granularity, looks, shapes) = input;
    let granularity = if granularity == u8::MAX { 3 } else { 1 << (granularity % 17) };
    let limit = Limit::LooksPerResource(u64::from(looks) % LOOKS_MOST);
    let resources: Vec<_> = shapes.iter().take(COUNT_MOST).map(transient).collect();
    model::play(Planner { granularity, limit }, &resources);
});

fn transient(shape: &Shape) -> Transient {
    let Shape { size, shift, align, types, optimal, dedicated, moments } = *shape;
    let size = u64::from(size);
    let size = match shift {
        u8::MAX => size << 31,
        _ => (size >> (shift % u32::BITS as u8)).max(u64::from(shift >= WRONG)),
    };
    let align = if align % WRONG == WRONG - 1 { align.into() } else { 1 << (align % 17) };
    let types = if types < WRONG { types & TYPES } else { TYPES };
    let dedicated = match dedicated {
        0 => DedicatedWish::Required,
        dedicated if dedicated < WRONG => DedicatedWish::Preferred,
        _ => DedicatedWish::None,
    };
    let [one, other] = moments.map(|moment| moment % MOMENTS);
    let is_wrong = moments == [u8::MAX, 0];
    let (first, last) = if is_wrong { (1, 0) } else { (one.min(other), one.max(other)) };
    Transient {
        requirements: Requirements { size, align, memory_types: types.into(), dedicated },
        tiling: if optimal { Tiling::Optimal } else { Tiling::Linear },
        life: Life { first: first.into(), last: last.into() },
    }
}
