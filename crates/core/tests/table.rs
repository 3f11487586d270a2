//! The table against a naive model: the list of all keys ever given out.

use polder_core::queue::{Batch, Queue};
use polder_core::store::Full;
use polder_core::table::{Key, Retired, Slot, SlotStore, Stale, Table, Vacant};
use proptest::prelude::*;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::thread;

type Slots<'a> = &'a [Slot<AtomicU32>];

fn slots(count: usize) -> Vec<Slot<AtomicU32>> {
    (0..count).map(|_| Slot::default()).collect()
}

/// The slow truth: every key that was given out, and what has become of it.
#[derive(Default)]
struct Model {
    given: BTreeSet<Key>,
    live: Vec<Key>,
    retired: Vec<Retired>,
}

/// A table and its model, which are told the same.
struct Pair<'a> {
    table: Table<Slots<'a>>,
    vacant: Vacant,
    model: Model,
    slots: usize,
}

impl<'a> Pair<'a> {
    fn new(slots: Slots<'a>) -> Self {
        let (table, vacant) = Table::new(slots);
        Self { table, vacant, model: Model::default(), slots: slots.len() }
    }

    fn insert(&mut self) {
        let is_full = self.model.live.len() + self.model.retired.len() == self.slots;
        match self.table.insert(&mut self.vacant) {
            Ok(key) => {
                assert!(!is_full);
                assert!(self.model.given.insert(key), "no two keys are equal");
                self.model.live.push(key);
            }
            Err(Full) => assert!(is_full, "a table is full when no slot is vacant"),
        }
    }

    /// Retires any key ever given out.
    fn retire(&mut self, choice: usize) {
        let Some(&key) = self.model.given.iter().nth(choice % self.model.given.len().max(1)) else {
            return;
        };
        let place = self.model.live.iter().position(|&live| live == key);
        match self.table.retire(key) {
            Ok(retired) => {
                assert_eq!(retired.key(), key);
                self.model.live.swap_remove(place.expect("a key is retired once"));
                self.model.retired.push(retired);
            }
            Err(stale) => {
                assert_eq!(place, None, "a live key can be retired");
                assert_eq!(stale, Stale { asked: key, found: self.generation_of(key.slot) });
            }
        }
    }

    fn generation_of(&self, slot: u32) -> u32 {
        let uses = self.model.given.iter().filter(|key| key.slot == slot);
        uses.map(|key| key.generation).max().unwrap_or(0)
    }

    fn vacate(&mut self, choice: usize) {
        if self.model.retired.is_empty() {
            return;
        }
        let retired = self.model.retired.swap_remove(choice % self.model.retired.len());
        let key = retired.key();
        let again = self.table.take_in(&mut self.vacant, retired.into_node()).unwrap();
        assert_eq!(again.key(), key, "the way through a node changes nothing");
        self.table.vacate(&mut self.vacant, again);
        assert_eq!(self.table.take_in(&mut self.vacant, key.slot), None);
    }

    fn check(&self) {
        assert_eq!(self.table.check(&self.vacant), Ok(()));
        for &key in &self.model.given {
            assert_eq!(self.table.is_live(key), self.model.live.contains(&key));
        }
        let live: BTreeSet<Key> = self.model.live.iter().copied().collect();
        assert!(self.table.live_keys().eq(live), "the walk shows every live key once");
    }

    fn step(&mut self, action: u8, choice: usize) {
        match action {
            0 => self.insert(),
            1 => self.retire(choice),
            _ => self.vacate(choice),
        }
        self.check();
    }
}

proptest! {
    #[test]
    fn it_answers_as_the_list_of_all_keys_does(
        count in 1usize..6,
        steps in proptest::collection::vec((0u8..3, any::<usize>()), 0..100),
    ) {
        let slots = slots(count);
        let mut pair = Pair::new(&slots);
        for (action, choice) in steps {
            pair.step(action, choice);
        }
    }
}

#[test]
fn every_order_of_eight_steps_on_two_slots_keeps_the_rules() {
    const STEPS: u32 = if cfg!(miri) { 4 } else { 8 };
    for plan in 0..3u32.pow(STEPS) {
        let slots = slots(2);
        let mut pair = Pair::new(&slots);
        for step in 0..STEPS {
            let action = plan / 3u32.pow(step) % 3;
            pair.step(u8::try_from(action).unwrap(), step as usize);
        }
    }
}

#[test]
fn keys_that_were_never_given_out_are_stale() {
    let slots = slots(2);
    let (table, mut vacant) = Table::new(&slots[..]);
    let key = table.insert(&mut vacant).unwrap();
    let never = [
        (Key { slot: 0, generation: 0 }, 1),
        (Key { slot: 0, generation: 2 }, 1),
        (Key { slot: 0, generation: u32::MAX }, 1),
        (Key { slot: 1, generation: 0 }, 0),
        (Key { slot: 1, generation: 1 }, 0),
        (Key { slot: 2, generation: 1 }, 0),
        (Key { slot: u32::MAX, generation: 1 }, 0),
    ];
    for (asked, found) in never {
        assert_eq!(table.retire(asked), Err(Stale { asked, found }));
        assert!(!table.is_live(asked));
    }
    assert!(table.is_live(key));
}

#[test]
fn a_node_that_is_not_retired_is_not_taken_in() {
    let slots = slots(2);
    let (table, mut vacant) = Table::new(&slots[..]);
    let key = table.insert(&mut vacant).unwrap();
    for node in [key.slot, 1, 2, u32::MAX] {
        assert_eq!(table.take_in(&mut vacant, node), None);
    }
}

#[test]
#[should_panic(expected = "a slot is vacated once each time it was retired")]
fn a_slot_taken_in_twice_is_vacated_once() {
    let slots = slots(1);
    let (table, mut vacant) = Table::new(&slots[..]);
    let key = table.insert(&mut vacant).unwrap();
    let node = table.retire(key).unwrap().into_node();
    let [first, second] = [(); 2].map(|()| table.take_in(&mut vacant, node).unwrap());
    table.vacate(&mut vacant, first);
    table.vacate(&mut vacant, second);
}

#[test]
fn of_threads_that_retire_the_same_keys_one_wins_each() {
    const KEYS: usize = if cfg!(miri) { 20 } else { 10_000 };
    let slots = slots(KEYS);
    let (table, mut vacant) = Table::new(&slots[..]);
    let keys: Vec<_> = (0..KEYS).map(|_| table.insert(&mut vacant).unwrap()).collect();
    let none = || AtomicU32::new(u32::MAX);
    let (queue, mut owner) = Queue::new(none(), none());
    let won = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for &key in &keys {
                    match table.retire(key) {
                        Ok(retired) => {
                            won.fetch_add(1, Relaxed);
                            queue.post(&table, Batch::of(&table, retired.into_node()));
                        }
                        Err(stale) => {
                            assert_eq!(stale, Stale { asked: key, found: key.generation });
                        }
                    }
                }
            });
        }
    });
    assert_eq!(won.into_inner(), KEYS);
    let mut taken_in = 0;
    while let Some(node) = queue.pop(&table, &mut owner) {
        let retired = table.take_in(&mut vacant, node).unwrap();
        table.vacate(&mut vacant, retired);
        taken_in += 1;
    }
    assert_eq!(taken_in, KEYS);
    assert_eq!(table.check(&vacant), Ok(()));
}

const SEGMENT: usize = 2;
const SEGMENTS: usize = 3;

/// Storage in segments that never move; its n-th growth can be made to fail.
#[derive(Default)]
struct Segmented {
    segments: [OnceCell<[Slot<AtomicU32>; SEGMENT]>; SEGMENTS],
    growths: Cell<usize>,
    failing: Cell<Option<usize>>,
}

impl SlotStore for Segmented {
    type Word = AtomicU32;

    fn get(&self, index: u32) -> Option<&Slot<AtomicU32>> {
        let index = index as usize;
        Some(&self.segments.get(index / SEGMENT)?.get()?[index % SEGMENT])
    }

    fn grow(&self) -> Result<(), Full> {
        let growth = self.growths.replace(self.growths.get() + 1);
        if self.failing.get() == Some(growth) {
            return Err(Full);
        }
        let next = self.segments.iter().find(|segment| segment.get().is_none()).ok_or(Full)?;
        next.get_or_init(Default::default);
        Ok(())
    }
}

#[test]
fn a_table_grows_only_when_no_slot_is_vacant() {
    let (table, mut vacant) = Table::new(Segmented::default());
    let mut keys: Vec<_> =
        (0..SEGMENT * SEGMENTS).map(|_| table.insert(&mut vacant).unwrap()).collect();
    assert_eq!(table.slots().growths.get(), SEGMENTS);
    for _ in 0..10 {
        for key in &mut keys {
            let retired = table.retire(*key).unwrap();
            table.vacate(&mut vacant, retired);
            *key = table.insert(&mut vacant).unwrap();
        }
    }
    assert_eq!(table.slots().growths.get(), SEGMENTS);
    assert_eq!(table.insert(&mut vacant), Err(Full));
    assert!(keys.iter().all(|&key| table.is_live(key)));
}

#[test]
fn each_growth_that_fails_once_changes_nothing() {
    for failing in 0..SEGMENTS {
        let (table, mut vacant) = Table::new(Segmented::default());
        table.slots().failing.set(Some(failing));
        for count in 0..failing * SEGMENT {
            assert_eq!(table.live_keys().count(), count);
            table.insert(&mut vacant).unwrap();
        }
        let before: Vec<_> = table.live_keys().collect();
        assert_eq!(table.insert(&mut vacant), Err(Full));
        assert_eq!(table.check(&vacant), Ok(()));
        assert!(table.live_keys().eq(before));
        let key = table.insert(&mut vacant).unwrap();
        assert_eq!(key.slot as usize, failing * SEGMENT);
    }
}
