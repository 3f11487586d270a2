//! Every interleaving of frees that meet in an arena's handover.
//!
//! Run by `cargo xtask loom`; without its flag the file is empty.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use polder_device::handover::{Handover, TakeBack};

/// Counts how often each slot was taken back.
#[derive(Debug, Default)]
struct Counts([u32; 4]);

impl TakeBack for Counts {
    fn take_back(&mut self, slot: u32) {
        self.0[slot as usize] += 1;
    }
}

type Shared = Arc<Handover<Counts>>;

fn with_slots<const N: usize>() -> (Shared, [polder_core::table::Key; N]) {
    let shared = Arc::new(Handover::new(Counts::default()));
    let keys = std::array::from_fn(|_| shared.lock().insert().unwrap());
    (shared, keys)
}

#[test]
fn frees_by_two_threads_arrive_once_each_whoever_holds_the_lock() {
    loom::model(|| {
        let (shared, [one, other]) = with_slots();
        let threads = [one, other].map(|key| {
            let shared = shared.clone();
            thread::spawn(move || assert!(shared.free(key).is_ok()))
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.lock().0, [1, 1, 0, 0], "the next holder takes in what is left");
    });
}

#[test]
fn of_two_frees_of_one_slot_one_wins() {
    loom::model(|| {
        let (shared, [key]) = with_slots();
        let other = shared.clone();
        let thread = thread::spawn(move || other.free(key).is_ok());
        let mine = shared.free(key).is_ok();
        let theirs = thread.join().unwrap();
        assert!(mine != theirs, "exactly one free succeeds");
        assert_eq!(shared.lock().0[0], 1);
        assert!(shared.expect_live(key).is_err());
    });
}

#[test]
fn a_slot_freed_while_its_owner_inserts_gets_a_fresh_generation() {
    loom::model(|| {
        let (shared, [key]) = with_slots();
        let other = shared.clone();
        let thread = thread::spawn(move || assert!(other.free(key).is_ok()));
        let fresh = shared.lock().insert().unwrap();
        assert_ne!(fresh, key, "a key is given out once");
        thread.join().unwrap();
        assert!(shared.expect_live(fresh).is_ok());
        assert!(shared.free(key).is_err(), "the old key stays stale");
        assert_eq!(shared.lock().0[0], 1);
    });
}

#[test]
fn a_free_that_met_a_busy_owner_is_not_stuck() {
    loom::model(|| {
        let (shared, [key]) = with_slots();
        let held = shared.lock();
        let other = shared.clone();
        let thread = thread::spawn(move || assert!(other.free(key).is_ok()));
        drop(held);
        thread.join().unwrap();
        assert_eq!(shared.lock().0[0], 1);
    });
}
