//! The queue against an ordinary one, by one thread in every order and by several at once.

use polder_core::queue::{Batch, Links, Owner, Queue};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

/// Nodes 1, 2, 3 and so on.
struct Nodes(Vec<AtomicU32>);

impl Nodes {
    fn new(count: u32) -> Self {
        // A link that was never set holds nonsense.
        Self((0..count).map(|_| AtomicU32::new(u32::MAX)).collect())
    }

    fn all(&self) -> impl Iterator<Item = u32> + use<> {
        1..=u32::try_from(self.0.len()).unwrap()
    }
}

impl Links for Nodes {
    type Word = AtomicU32;
    const NONE: u32 = 0;

    fn link(&self, node: u32) -> &AtomicU32 {
        &self.0[node as usize - 1]
    }
}

fn queue() -> (Queue<AtomicU32>, Owner<u32>) {
    Queue::new(AtomicU32::new(0), AtomicU32::new(0))
}

#[test]
fn every_order_of_five_posts_and_pops_answers_as_an_ordinary_queue_does() {
    // Two bits a step: pop, or post a batch of one, two or three.
    for plan in 0u32..4u32.pow(5) {
        let (nodes, (queue, mut owner), mut model) = (Nodes::new(15), queue(), VecDeque::new());
        let mut unused = nodes.all();
        for step in 0..5 {
            let length = plan >> (2 * step) & 3;
            if length == 0 {
                assert_eq!(queue.pop(&nodes, &mut owner), model.pop_front(), "plan {plan}");
            } else {
                let mut batch = Batch::default();
                for node in unused.by_ref().take(length as usize) {
                    batch.push_back(&nodes, node);
                    model.push_back(node);
                }
                queue.post(&nodes, batch);
            }
            assert_eq!(queue.is_empty(&nodes), model.is_empty(), "plan {plan}");
        }
        while let Some(node) = model.pop_front() {
            assert_eq!(queue.pop(&nodes, &mut owner), Some(node), "plan {plan}");
        }
        assert_eq!(queue.pop(&nodes, &mut owner), None, "plan {plan}");
    }
}

proptest! {
    #[test]
    fn a_batch_keeps_the_order_it_was_given(
        steps in proptest::collection::vec(0u8..4, 0..40),
    ) {
        let (nodes, (queue, mut owner)) = (Nodes::new(40), queue());
        let (mut batch, mut front) = (Batch::new(), Batch::new());
        let (mut model, mut model_front) = (VecDeque::new(), VecDeque::new());
        for (step, node) in steps.iter().zip(nodes.all()) {
            match step {
                0 => (batch.push_front(&nodes, node), model.push_front(node)),
                1 => (batch.push_back(&nodes, node), model.push_back(node)),
                2 => (front.push_back(&nodes, node), model_front.push_back(node)),
                _ => {
                    front.append(&nodes, batch);
                    model_front.append(&mut model);
                    (batch, front) = (front, Batch::new());
                    (model, model_front) = (model_front, VecDeque::new());
                    continue;
                }
            };
            prop_assert_eq!(batch.is_empty(), model.is_empty());
        }
        queue.post(&nodes, batch);
        while let Some(node) = queue.pop(&nodes, &mut owner) {
            prop_assert_eq!(Some(node), model.pop_front());
        }
        prop_assert!(model.is_empty());
    }
}

#[test]
fn an_empty_batch_changes_nothing() {
    let (nodes, (queue, mut owner)) = (Nodes::new(1), queue());
    queue.post(&nodes, Batch::new());
    assert!(queue.is_empty(&nodes));
    assert_eq!(queue.pop(&nodes, &mut owner), None);
}

#[test]
fn a_popped_node_can_be_posted_again() {
    let (nodes, (queue, mut owner)) = (Nodes::new(2), queue());
    for _ in 0..3 {
        for node in nodes.all() {
            queue.post(&nodes, Batch::of(&nodes, node));
        }
        for node in nodes.all() {
            assert_eq!(queue.pop(&nodes, &mut owner), Some(node));
        }
    }
}

#[test]
fn every_node_of_four_pushers_arrives_once_and_each_pushers_in_order() {
    const PUSHERS: u32 = 4;
    const NODES_EACH: u32 = if cfg!(miri) { 50 } else { 20_000 };
    let (nodes, (queue, mut owner)) = (Nodes::new(PUSHERS * NODES_EACH), queue());
    let contents: Vec<_> = nodes.all().map(|_| AtomicU32::new(0)).collect();
    thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            let (nodes, queue, contents) = (&nodes, &queue, &contents);
            scope.spawn(move || {
                let mine: Vec<u32> = (1..=NODES_EACH).map(|n| pusher * NODES_EACH + n).collect();
                for some in mine.chunks(pusher as usize + 1) {
                    let mut batch = Batch::new();
                    for &node in some {
                        contents[node as usize - 1].store(node, Relaxed);
                        batch.push_back(nodes, node);
                    }
                    queue.post(nodes, batch);
                }
            });
        }
        let mut last = [0; PUSHERS as usize];
        let mut missing = PUSHERS * NODES_EACH;
        while missing > 0 {
            let Some(node) = queue.pop(&nodes, &mut owner) else {
                thread::yield_now();
                continue;
            };
            let pusher = ((node - 1) / NODES_EACH) as usize;
            assert!(last[pusher] < node, "the nodes of one pusher come in order");
            last[pusher] = node;
            assert_eq!(contents[node as usize - 1].load(Relaxed), node);
            missing -= 1;
        }
    });
    assert!(queue.is_empty(&nodes));
}
