//! What Rust programs do: strings, hash maps and trees of the standard library in every thread,
//! some of it handed from one thread to another.

use super::{SEED, in_threads};
use crate::random::Random;
use crate::sizes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

const LIVE: usize = 20_000;
const KEYS: u64 = 50_000;
const STEPS: u64 = 100_000;
const NODES: u64 = 60_000;

/// Strings that grow as they are written, live for a while, and are freed by any thread.
pub fn strings(times: u64) {
    let shared = Mutex::new(Vec::new());
    in_threads(|thread| {
        let mut random = Random::new(SEED + thread);
        let mut live: Vec<String> = vec![String::new(); LIVE];
        for _ in 0..times {
            for _ in 0..LIVE {
                let text = written(&mut random);
                let place = random.below(LIVE as u64) as usize;
                live[place] = text;
            }
            let mut shared = shared.lock().expect("no thread panics");
            std::mem::swap(&mut *shared, &mut live);
            live.resize(LIVE, String::new());
        }
    });
}

fn written(random: &mut Random) -> String {
    let size = sizes::text(random);
    let mut text = String::new();
    while text.len() < size {
        text.push_str("some words ");
    }
    text
}

/// Maps of text to text that grow, are changed, and go.
pub fn hash_maps(times: u64) {
    in_threads(|thread| {
        let mut random = Random::new(SEED + thread);
        for _ in 0..times {
            let mut map = HashMap::new();
            for _ in 0..STEPS {
                let key = format!("key {}", random.below(KEYS));
                if random.below(4) == 0 {
                    map.remove(&key);
                } else {
                    map.insert(key, written(&mut random));
                }
            }
        }
    });
}

/// Ordered maps, and binary trees of boxes.
pub fn trees(times: u64) {
    in_threads(|thread| {
        let mut random = Random::new(SEED + thread);
        for _ in 0..times {
            let mut map = BTreeMap::new();
            for _ in 0..NODES {
                map.insert(random.below(KEYS), Box::new(random.next()));
            }
            map.retain(|key, _| key % 3 == 0);
            let mut root = None;
            (0..NODES).for_each(|_| Node::insert(&mut root, random.next()));
        }
    });
}

struct Node {
    key: u64,
    less: Option<Box<Node>>,
    more: Option<Box<Node>>,
}

impl Node {
    fn insert(mut place: &mut Option<Box<Self>>, key: u64) {
        while let Some(node) = place {
            place = if key < node.key { &mut node.less } else { &mut node.more };
        }
        *place = Some(Box::new(Self { key, less: None, more: None }));
    }
}
