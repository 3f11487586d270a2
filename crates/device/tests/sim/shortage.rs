//! Heaps that run full, block counts, and budgets that move.

use super::*;

#[test]
fn a_heap_runs_full_and_is_empty_again() {
    let sim = sim();
    let half = order(1 << 19, 0);
    let [first, second] = [0, 1].map(|_| sim.allocate(&half).unwrap());
    assert_eq!(sim.allocate(&order(1, 2)), Err(DeviceError::OutOfDeviceMemory));
    assert_eq!(sim.held(0), 1 << 20);
    sim.release(first);
    let third = sim.allocate(&half).unwrap();
    for memory in [second, third] {
        sim.release(memory);
    }
    assert_eq!((sim.held(0), sim.live()), (0, Live::default()));
    assert_eq!(sim.violations(), [], "a full heap is no mistake");
}

#[test]
fn blocks_are_counted() {
    let sim = sim();
    let blocks: Vec<_> = (0..8).map(|_| sim.allocate(&order(64, 0)).unwrap()).collect();
    assert_eq!(sim.allocate(&order(64, 0)), Err(DeviceError::TooManyBlocks));
    sim.release(blocks[3]);
    assert!(sim.allocate(&order(64, 0)).is_ok());
}

#[test]
fn budgets_move() {
    let sim = sim();
    let budget = || {
        let budgets = sim.budgets().unwrap();
        (budgets[0].budget, budgets[0].usage)
    };
    assert_eq!(budget(), (1 << 20, 0));
    let memory = sim.allocate(&order(4096, 0)).unwrap();
    assert_eq!(budget(), (1 << 20, 4096));
    sim.set_budget(0, Some(1000));
    assert_eq!(budget(), (1000, 4096));
    assert!(sim.allocate(&order(4096, 0)).is_ok(), "a budget is a word, not a wall");
    sim.set_budget(0, None);
    sim.set_other_usage(0, (1 << 20) - 10_000);
    assert_eq!(budget(), (10_000, 8192));
    assert_eq!(sim.allocate(&order(4096, 0)), Err(DeviceError::OutOfDeviceMemory));
    sim.set_other_usage(0, u64::MAX);
    assert_eq!(budget(), (0, 8192));
    sim.release(memory);
    assert_eq!(budget(), (0, 4096));
    assert_eq!(sim.calls(Call::Budgets), 6);
}

#[test]
#[should_panic(expected = "heap 1 is one of the device's 1")]
fn a_heap_that_is_not_there_has_no_budget() {
    sim().set_budget(1, None);
}
