//! Polder as the allocator of a whole program: this one, with the library that runs its tests.

use polder_host::{Polder, stats};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

#[global_allocator]
static ALLOCATOR: Polder = Polder;

const COUNT: usize = if cfg!(miri) { 60 } else { 20_000 };

#[test]
fn collections_grow_and_shrink() {
    let mut texts: Vec<String> = (0..COUNT).map(|n| format!("{:x}", n * 7919 % 1009)).collect();
    texts.sort();
    texts.dedup();
    let lengths: HashMap<_, _> = texts.iter().map(|text| (text.clone(), text.len())).collect();
    let ordered: BTreeMap<_, _> = lengths.into_iter().collect();
    assert!(ordered.iter().all(|(text, &len)| text.len() == len));
    assert!(ordered.keys().eq(&texts));
    let mut queue = VecDeque::new();
    for n in 0..COUNT {
        queue.push_back(Box::new([n; 9]));
        if n % 3 == 0 {
            queue.pop_front();
        }
    }
    queue.shrink_to_fit();
    assert!(queue.iter().is_sorted());
    assert!(stats().used > 0 && stats().held > 0);
}

#[test]
fn zeroed_vectors_are_zero_and_long_ones_move() {
    let mut long = vec![0u8; if cfg!(miri) { 40 << 10 } else { 3 << 20 }];
    assert!(long.iter().step_by(97).all(|&byte| byte == 0));
    for _ in 0..5 {
        let len = long.len();
        long.extend_from_within(len / 2..);
        long[len] = 1;
    }
    long.truncate(10);
    long.shrink_to_fit();
    assert_eq!(long, [0; 10]);
}

#[test]
fn boxes_go_from_thread_to_thread() {
    let (sender, receiver) = channel();
    let shared = Arc::new(vec![String::from("shared"); COUNT / 10]);
    let threads: Vec<_> = (0..4)
        .map(|index| {
            let (sender, shared) = (sender.clone(), shared.clone());
            let send = move || {
                for n in 0..COUNT / 4 {
                    sender.send(Box::new((index, n, shared[n % shared.len()].clone()))).unwrap();
                }
            };
            thread::spawn(send)
        })
        .collect();
    drop(sender);
    let mut next = [0; 4];
    for message in receiver {
        let (index, n, text) = *message;
        assert_eq!((n, &*text), (next[index], "shared"));
        next[index] += 1;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(next, [COUNT / 4; 4]);
}
