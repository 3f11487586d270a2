//! The source layers against a list of what was given, in several nestings.

use polder_core::source::{Bytes, Counted, Failing, Failures, Limited, LimitedError, Source};
use proptest::prelude::*;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

/// An order that borrows, as one for a driver does.
struct Order<'a> {
    name: &'a str,
    size: u64,
}

impl Bytes for Order<'_> {
    fn size(&self) -> u64 {
        self.size
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Block {
    id: u64,
    size: u64,
}

impl Bytes for Block {
    fn size(&self) -> u64 {
        self.size
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemoryError {
    Exhausted,
    Injected,
}

/// The source at the bottom: rounds up, has an end, and knows what it gave.
struct Memory {
    granule: u64,
    size: u64,
    given: RefCell<Vec<(u64, u64)>>,
    next_id: AtomicU64,
}

impl Memory {
    fn new(size: u64, granule: u64) -> Self {
        Self { granule, size, given: RefCell::default(), next_id: AtomicU64::new(0) }
    }

    fn given(&self) -> u64 {
        self.given.borrow().iter().map(|&(_, size)| size).sum()
    }
}

impl Source for Memory {
    type Order<'a> = Order<'a>;
    type Block = Block;
    type Error = MemoryError;

    fn acquire(&self, order: &Order<'_>) -> Result<Block, MemoryError> {
        assert_eq!(order.name, "order", "an order comes through the layers as it is");
        let size = order.size.next_multiple_of(self.granule);
        if self.given() + size > self.size {
            return Err(MemoryError::Exhausted);
        }
        let id = self.next_id.fetch_add(1, SeqCst);
        self.given.borrow_mut().push((id, size));
        Ok(Block { id, size })
    }

    fn release(&self, block: Block) {
        let mut given = self.given.borrow_mut();
        let place = given.iter().position(|&one| one == (block.id, block.size));
        given.swap_remove(place.expect("what comes back was given"));
    }
}

fn order(size: u64) -> Order<'static> {
    Order { name: "order", size }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire(u64),
    Release(usize),
    SetLimit(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u64..100).prop_map(Step::Acquire),
        2 => any::<usize>().prop_map(Step::Release),
        1 => (0u64..400).prop_map(Step::SetLimit),
    ];
    proptest::collection::vec(step, 0..60)
}

const MEMORY_SIZE: u64 = 300;
const GRANULE: u64 = 16;

/// What a limited memory gives for an order of `size` while `held` bytes are held.
fn expected(size: u64, held: u64, limit: u64) -> Result<u64, LimitedError<MemoryError>> {
    let rounded = size.next_multiple_of(GRANULE);
    if held + size > limit {
        Err(LimitedError::Limit { limit, held, size })
    } else if held + rounded > MEMORY_SIZE {
        Err(LimitedError::Inner(MemoryError::Exhausted))
    } else if held + rounded > limit {
        // What the order reserved is held when the rest of the block finds no room.
        Err(LimitedError::Limit { limit, held: held + size, size: rounded })
    } else {
        Ok(rounded)
    }
}

proptest! {
    #[test]
    fn counters_and_limit_are_those_of_the_list_of_blocks(steps in steps()) {
        let source = Counted::new(Limited::new(Memory::new(MEMORY_SIZE, GRANULE), u64::MAX));
        let limited = source.inner();
        let (mut blocks, mut held, mut peak) = (Vec::<Block>::new(), 0, 0);
        for step in steps {
            match step {
                Step::SetLimit(limit) => limited.set_limit(limit),
                Step::Release(_) if blocks.is_empty() => {}
                Step::Release(choice) => {
                    let block = blocks.swap_remove(choice % blocks.len());
                    held -= block.size;
                    source.release(block);
                }
                Step::Acquire(size) => {
                    let answer = source.acquire(&order(size));
                    let sizes = answer.as_ref().map(Block::size).map_err(|&error| error);
                    prop_assert_eq!(sizes, expected(size, held, limited.limit()));
                    if let Ok(block) = answer {
                        held += block.size;
                        peak = peak.max(held);
                        blocks.push(block);
                    }
                }
            }
            prop_assert_eq!(source.held(), held);
            prop_assert_eq!(source.peak(), peak);
            prop_assert_eq!(source.blocks(), blocks.len() as u64);
            prop_assert_eq!(limited.held(), held);
            prop_assert_eq!(limited.inner().given(), held);
        }
    }

    #[test]
    fn every_nesting_gives_it_all_back(steps in steps()) {
        let memory = || Memory::new(MEMORY_SIZE, GRANULE);
        let failing = || Failing::new(memory(), || MemoryError::Injected);
        gives_all_back(&Counted::new(memory()), &steps);
        gives_all_back(&Limited::new(Counted::new(memory()), 200), &steps);
        let twice = Limited::new(Counted::new(Limited::new(memory(), 200)), 100);
        gives_all_back(&twice, &steps);
        let failing = Limited::new(Counted::new(failing()), 200);
        failing.inner().inner().fail(Failures { after: 3, times: 5 });
        gives_all_back(&failing, &steps);

        prop_assert_eq!(twice.held(), 0);
        prop_assert_eq!(twice.inner().held(), 0);
        prop_assert_eq!(twice.inner().inner().held(), 0);
        prop_assert_eq!(twice.inner().inner().inner().given(), 0);
        prop_assert_eq!(failing.held(), 0);
        prop_assert_eq!(failing.inner().blocks(), 0);
        prop_assert_eq!(failing.inner().inner().inner().given(), 0);
    }
}

fn gives_all_back<S>(source: &S, steps: &[Step])
where
    S: for<'a> Source<Order<'a> = Order<'a>, Block = Block>,
{
    let mut blocks = Vec::new();
    for step in steps {
        match *step {
            Step::Acquire(size) => blocks.extend(source.acquire(&order(size))),
            Step::Release(choice) if !blocks.is_empty() => {
                source.release(blocks.swap_remove(choice % blocks.len()));
            }
            _ => {}
        }
    }
    blocks.into_iter().for_each(|block| source.release(block));
}

#[test]
fn the_nth_acquire_fails_once_and_changes_nothing() {
    for n in 0..4 {
        let failing = Failing::new(Memory::new(1 << 20, 1), || MemoryError::Injected);
        let source = Counted::new(Limited::new(failing, 1000));
        let failing = source.inner().inner();
        failing.fail(Failures { after: n, times: 1 });
        for call in 0..6 {
            let before = (source.held(), source.blocks(), source.inner().held());
            let answer = source.acquire(&order(10));
            if call == n {
                assert_eq!(answer, Err(LimitedError::Inner(MemoryError::Injected)));
                assert_eq!((source.held(), source.blocks(), source.inner().held()), before);
            } else {
                assert_eq!(answer.map(|block| block.size), Ok(10));
            }
        }
        assert_eq!(failing.planned(), Failures { after: 0, times: 0 });
    }
}

#[test]
fn all_acquires_from_the_nth_on_fail_until_another_plan() {
    let source = Failing::new(Memory::new(1 << 20, 1), || MemoryError::Injected);
    source.fail(Failures { after: 2, times: u64::MAX });
    let answers: Vec<_> = (0..6).map(|_| source.acquire(&order(1)).is_ok()).collect();
    assert_eq!(answers, [true, true, false, false, false, false]);
    source.fail(Failures { after: 0, times: 0 });
    assert!(source.acquire(&order(1)).is_ok());
}

#[test]
fn a_sum_that_passes_all_numbers_passes_every_limit() {
    let source = Limited::new(Memory::new(1 << 20, 1), u64::MAX);
    source.acquire(&order(1)).unwrap();
    let refused = source.acquire(&order(u64::MAX)).unwrap_err();
    assert_eq!(refused, LimitedError::Limit { limit: u64::MAX, held: 1, size: u64::MAX });
    assert_eq!(source.held(), 1);
}

/// Gives any size, and knows how much it ever gave at once.
#[derive(Default)]
struct Endless {
    given: AtomicU64,
    most: AtomicU64,
}

impl Source for Endless {
    type Order<'a> = Order<'a>;
    type Block = Block;
    type Error = MemoryError;

    fn acquire(&self, order: &Order<'_>) -> Result<Block, MemoryError> {
        let given = self.given.fetch_add(order.size, SeqCst) + order.size;
        self.most.fetch_max(given, SeqCst);
        Ok(Block { id: 0, size: order.size })
    }

    fn release(&self, block: Block) {
        self.given.fetch_sub(block.size, SeqCst);
    }
}

#[test]
fn threads_that_race_never_pass_the_limit() {
    const ROUNDS: u64 = if cfg!(miri) { 30 } else { 20_000 };
    const LIMIT: u64 = 100;
    let source = Counted::new(Limited::new(Endless::default(), LIMIT));
    thread::scope(|scope| {
        for thread in 0..4 {
            let source = &source;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let sizes = [20 + thread, 1 + round % 40];
                    let blocks = sizes.map(|size| source.acquire(&order(size)));
                    blocks.into_iter().flatten().for_each(|block| source.release(block));
                }
            });
        }
    });
    let endless = source.inner().inner();
    assert!(endless.most.load(SeqCst) <= LIMIT);
    assert!(source.peak() <= LIMIT);
    assert_eq!((source.held(), source.blocks(), source.inner().held()), (0, 0, 0));
}
