//! The standard library's collections.

use crate::Pattern;
use crate::random::Random;
use crate::sizes;
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

/// These patterns.
pub const PATTERNS: &[Pattern] = &[
    Pattern::new("vector, pushes", pushes),
    Pattern::new("vectors of a vector", nested),
    Pattern::new("string, appended to", appended),
    Pattern::new("strings, formatted", formatted),
    Pattern::new("hash map of numbers", hash_numbers),
    Pattern::new("hash map of strings", hash_strings),
    Pattern::new("ordered map", ordered),
];

const SEED: u64 = 0x5eed;
const PUSHES: u64 = 1_000;
const LIVE: usize = 500;
const KEYS: u64 = 5_000;

fn pushes(times: u64) {
    for _ in 0..times.div_ceil(PUSHES) {
        let mut all = Vec::new();
        (0..PUSHES).for_each(|number| all.push(number));
        black_box(all);
    }
}

fn nested(times: u64) {
    let mut random = Random::new(SEED);
    let mut live: Vec<Vec<u32>> = vec![Vec::new(); LIVE];
    for _ in 0..times {
        let place = &mut live[random.below(LIVE as u64) as usize];
        if place.len() > 60 {
            *place = Vec::new();
        }
        place.extend([1, 2, 3]);
    }
}

fn appended(times: u64) {
    let mut random = Random::new(SEED);
    let mut text = String::new();
    for _ in 0..times {
        if text.len() > sizes::text(&mut random) {
            text = String::new();
        }
        text.push_str("some words ");
    }
}

fn formatted(times: u64) {
    let mut live = vec![String::new(); LIVE];
    for (number, place) in (0..times).zip((0..LIVE).cycle()) {
        live[place] = format!("number {number} of {times}");
    }
}

fn hash_numbers(times: u64) {
    let mut random = Random::new(SEED);
    let mut map = HashMap::new();
    for number in 0..times {
        map.insert(random.below(KEYS), Box::new(number));
        map.remove(&random.below(KEYS));
        if number % (2 * KEYS) == 0 {
            map = HashMap::new();
        }
    }
}

fn hash_strings(times: u64) {
    let mut random = Random::new(SEED);
    let mut map = HashMap::new();
    for _ in 0..times {
        map.insert(format!("key {}", random.below(KEYS)), vec![0_u8; sizes::text(&mut random)]);
        map.remove(&format!("key {}", random.below(KEYS)));
    }
}

fn ordered(times: u64) {
    let mut random = Random::new(SEED);
    let mut map = BTreeMap::new();
    for number in 0..times {
        map.insert(random.below(KEYS), [number; 4]);
        map.remove(&random.below(KEYS));
    }
}
