//! Models of the lock.

use crate::lock::Lock;
use crate::sync::Cell;
use crate::{bounded_model, model};
use loom::thread;
use std::rc::Rc;

/// A number behind a lock, touched once before there are threads.
fn number() -> Rc<Lock<Cell<u32>>> {
    let lock = Rc::new(Lock::new(Cell::new(0)));
    assert_eq!(lock.lock().get(), 0);
    lock
}

fn add(lock: &Lock<Cell<u32>>) {
    let number = lock.lock();
    number.set(number.get() + 1);
}

fn threads(count: usize, lock: &Rc<Lock<Cell<u32>>>) -> Vec<thread::JoinHandle<()>> {
    let thread = |_| {
        let lock = lock.clone();
        thread::spawn(move || add(&lock))
    };
    (0..count).map(thread).collect()
}

#[test]
fn what_one_holder_wrote_the_next_one_reads() {
    model(|| {
        let lock = number();
        let others = threads(1, &lock);
        add(&lock);
        others.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(lock.lock().get(), 2);
    });
}

/// Where a wake is lost the checker finds that nobody goes on.
#[test]
fn whoever_sleeps_is_woken() {
    bounded_model(|| {
        let lock = number();
        let others = threads(2, &lock);
        add(&lock);
        others.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(lock.lock().get(), 3);
    });
}

#[test]
fn whoever_tries_holds_the_lock_alone_or_not_at_all() {
    model(|| {
        let lock = number();
        let others = threads(1, &lock);
        let taken = lock.try_lock().inspect(|number| number.set(number.get() + 1)).is_some();
        others.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(lock.lock().get(), 1 + u32::from(taken));
    });
}

/// As around a fork.
#[test]
fn a_lock_that_is_held_without_a_guard_is_held_until_it_is_freed() {
    model(|| {
        let lock = number();
        let others = threads(1, &lock);
        std::mem::forget(lock.lock());
        // SAFETY: It is held, by the guard forgotten above.
        let number = unsafe { lock.held() };
        number.set(number.get() + 1);
        std::mem::forget(number);
        lock.unlock();
        others.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(lock.lock().get(), 2);
    });
}
