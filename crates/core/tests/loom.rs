//! The queue and the table in every interleaving and with every value an atomic may answer.
//!
//! The model checker's atomics stand in for the real ones, the queue and the table are the real
//! ones: `RUSTFLAGS="--cfg loom" cargo test --release -p polder-core --test loom`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;
use polder_core::queue::{Batch, Links, Owner, Queue, Word};
use polder_core::store::Full;
use polder_core::table::{Key, Slot, SlotStore, Stale, Table, Vacant};
use std::sync::atomic::Ordering::{self, Relaxed};

#[derive(Debug, Default)]
struct Checked(AtomicU32);

impl Word for Checked {
    type Value = u32;

    fn load(&self, order: Ordering) -> u32 {
        self.0.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.0.store(value, order);
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.0.swap(value, order)
    }

    fn compare_exchange(
        &self,
        current: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        self.0.compare_exchange(current, new, success, failure)
    }
}

const NODES: usize = 4;

/// Nodes 1 to 4. What a node holds is written and read without an ordering, so that a value that
/// arrives stale shows a missing one in the queue.
#[derive(Default)]
struct Nodes {
    links: [Checked; NODES],
    contents: [Checked; NODES],
}

impl Nodes {
    fn write(&self, node: u32) -> u32 {
        self.contents[node as usize - 1].store(node, Relaxed);
        node
    }
}

impl Links for Nodes {
    type Word = Checked;
    const NONE: u32 = 0;

    fn link(&self, node: u32) -> &Checked {
        &self.links[node as usize - 1]
    }
}

struct Shared {
    nodes: Nodes,
    queue: Queue<Checked>,
}

impl Shared {
    fn new() -> (Arc<Self>, Owner<u32>) {
        let (queue, owner) = Queue::new(Checked::default(), Checked::default());
        (Arc::new(Self { nodes: Nodes::default(), queue }), owner)
    }

    fn post(&self, nodes: impl IntoIterator<Item = u32>) {
        let mut batch = Batch::new();
        for node in nodes {
            batch.push_back(&self.nodes, self.nodes.write(node));
        }
        self.queue.post(&self.nodes, batch);
    }

    fn pop(&self, owner: &mut Owner<u32>) -> Option<u32> {
        let node = self.queue.pop(&self.nodes, owner)?;
        let content = self.nodes.contents[node as usize - 1].load(Relaxed);
        assert_eq!(content, node, "what the pusher wrote comes with the node");
        Some(node)
    }
}

fn pusher<const LEN: usize>(shared: &Arc<Shared>, nodes: [u32; LEN]) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || shared.post(nodes))
}

/// Pops while the pushers run, and what is left when they are done.
fn pop_all(
    shared: &Shared,
    owner: &mut Owner<u32>,
    early: usize,
    pushers: Vec<thread::JoinHandle<()>>,
) -> Vec<u32> {
    let mut popped: Vec<u32> = (0..early).filter_map(|_| shared.pop(owner)).collect();
    pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
    popped.extend(std::iter::from_fn(|| shared.pop(owner)));
    assert!(shared.queue.is_empty(&shared.nodes), "nothing stays in the queue");
    popped
}

fn sorted(mut nodes: Vec<u32>) -> Vec<u32> {
    nodes.sort_unstable();
    nodes
}

#[test]
fn two_pushers_of_one_node_each_lose_nothing() {
    loom::model(|| {
        let (shared, mut owner) = Shared::new();
        let pushers = vec![pusher(&shared, [1]), pusher(&shared, [2])];
        let popped = pop_all(&shared, &mut owner, 2, pushers);
        assert_eq!(sorted(popped), [1, 2]);
    });
}

#[test]
fn two_pushers_of_batches_lose_nothing_and_keep_each_batch_in_order() {
    loom::model(|| {
        let (shared, mut owner) = Shared::new();
        let pushers = vec![pusher(&shared, [1, 2]), pusher(&shared, [3, 4])];
        let popped = pop_all(&shared, &mut owner, 2, pushers);
        assert!(popped == [1, 2, 3, 4] || popped == [3, 4, 1, 2], "{popped:?}");
    });
}

#[test]
fn a_push_that_races_the_pop_of_the_only_node_is_not_lost() {
    loom::model(|| {
        let (shared, mut owner) = Shared::new();
        shared.post([1]);
        let pushers = vec![pusher(&shared, [2])];
        let popped = pop_all(&shared, &mut owner, 3, pushers);
        assert_eq!(popped, [1, 2]);
    });
}

#[test]
fn two_pushes_that_race_the_pop_of_the_only_node_are_not_lost() {
    loom::model(|| {
        let (shared, mut owner) = Shared::new();
        shared.post([1]);
        let pushers = vec![pusher(&shared, [2]), pusher(&shared, [3])];
        let popped = pop_all(&shared, &mut owner, 2, pushers);
        assert_eq!(popped[0], 1);
        assert_eq!(sorted(popped), [1, 2, 3]);
    });
}

#[test]
fn a_popped_node_can_be_posted_again_while_others_push() {
    loom::model(|| {
        let (shared, mut owner) = Shared::new();
        shared.post([1]);
        let pushers = vec![pusher(&shared, [2])];
        let first = shared.pop(&mut owner);
        shared.post(first);
        let popped = pop_all(&shared, &mut owner, 2, pushers);
        assert_eq!(sorted(popped), [1, 2]);
    });
}

#[test]
fn two_batches_of_one_pusher_arrive_in_order() {
    loom::model(|| {
        let (shared, mut owner) = Shared::new();
        let other = shared.clone();
        let pushers = vec![thread::spawn(move || {
            other.post([1]);
            other.post([2, 3]);
        })];
        assert_eq!(pop_all(&shared, &mut owner, 2, pushers), [1, 2, 3]);
    });
}

#[derive(Debug, Default)]
struct OneSlot(Slot<Checked>);

impl SlotStore for OneSlot {
    type Word = Checked;

    fn get(&self, index: u32) -> Option<&Slot<Checked>> {
        (index == 0).then_some(&self.0)
    }

    fn grow(&self) -> Result<(), Full> {
        Err(Full)
    }
}

/// A table of one slot, what the slot stands for, and the way to its owner.
struct Returning {
    table: Table<OneSlot>,
    record: Checked,
    queue: Queue<Checked>,
}

impl Returning {
    fn new() -> (Arc<Self>, Vacant, Owner<u32>) {
        let none = || Checked(AtomicU32::new(Table::<OneSlot>::NONE));
        let (queue, owner) = Queue::new(none(), none());
        let (table, vacant) = Table::new(OneSlot::default());
        (Arc::new(Self { table, record: Checked::default(), queue }), vacant, owner)
    }

    /// Retires, leaves a word in the record, and posts the slot.
    fn free(&self, key: Key, word: u32) -> Result<(), Stale> {
        let node = self.table.retire(key)?.into_node();
        self.record.store(word, Relaxed);
        self.queue.post(&self.table, Batch::of(&self.table, node));
        Ok(())
    }

    fn take_in(&self, vacant: &mut Vacant, owner: &mut Owner<u32>) -> Option<u32> {
        let node = self.queue.pop(&self.table, owner)?;
        let retired = self.table.take_in(vacant, node).expect("what was posted is retired");
        let word = self.record.load(Relaxed);
        self.table.vacate(vacant, retired);
        Some(word)
    }
}

#[test]
fn of_two_threads_that_retire_one_key_exactly_one_wins() {
    loom::model(|| {
        let (shared, mut vacant, _) = Returning::new();
        let key = shared.table.insert(&mut vacant).unwrap();
        let other = shared.clone();
        let thread = thread::spawn(move || other.table.retire(key));
        let answers = [shared.table.retire(key), thread.join().unwrap()];
        assert!(!shared.table.is_live(key));
        let stale = Err(Stale { asked: key, found: key.generation });
        assert_eq!(answers.iter().filter(|&answer| *answer == stale).count(), 1);
        assert_eq!(answers.iter().filter(|&answer| answer.is_ok()).count(), 1);
    });
}

#[test]
fn of_two_threads_that_free_one_key_the_owner_sees_the_winner() {
    loom::model(|| {
        let (shared, mut vacant, mut owner) = Returning::new();
        let key = shared.table.insert(&mut vacant).unwrap();
        let threads = [1, 2].map(|word| {
            let other = shared.clone();
            thread::spawn(move || other.free(key, word).is_ok())
        });
        let early = shared.take_in(&mut vacant, &mut owner);
        let [first, second] = threads.map(|thread| thread.join().unwrap());
        assert!(first != second, "one free wins");
        let word = early.or_else(|| shared.take_in(&mut vacant, &mut owner));
        assert_eq!(word, Some(if first { 1 } else { 2 }));
        assert_eq!(shared.take_in(&mut vacant, &mut owner), None);
    });
}

#[test]
fn a_second_free_never_ends_the_next_use_of_the_slot() {
    loom::model(|| {
        let (shared, mut vacant, mut owner) = Returning::new();
        let key = shared.table.insert(&mut vacant).unwrap();
        let other = shared.clone();
        let thread = thread::spawn(move || {
            other.free(key, 7).unwrap();
            let stale = other.free(key, 8).unwrap_err();
            assert!(key.generation <= stale.found);
        });
        let early = shared.take_in(&mut vacant, &mut owner);
        let next = early.map(|_| shared.table.insert(&mut vacant).unwrap());
        thread.join().unwrap();
        match next {
            Some(next) => assert!(shared.table.is_live(next) && next != key),
            None => assert_eq!(shared.take_in(&mut vacant, &mut owner), Some(7)),
        }
        assert_eq!(shared.table.check(&vacant), Ok(()));
    });
}
