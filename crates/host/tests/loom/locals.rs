//! Models of the pool: threads that begin and end, and who tends what they leave.

use crate::cache::Which;
use crate::local::Local;
use crate::span::Span;
use crate::spans::SHARED;
use crate::{bounded_model, model, pool};
use loom::thread;

/// Begins a thread's use of a local.
pub fn begin() -> &'static Local {
    let local = pool::acquire().expect("there is memory");
    local.arrive();
    local
}

/// Ends it.
pub fn end(local: &'static Local) {
    local.depart();
    pool::release(local);
}

/// Makes locals that were touched before there are threads, in the hands of threads that begin.
pub fn made<const COUNT: usize>() -> [&'static Local; COUNT] {
    [(); COUNT].map(|()| begin().settle())
}

/// Empties the pool, which outlives the execution: each local is in it, once.
pub fn expect_all_pooled() -> Vec<&'static Local> {
    let count = SHARED.locals();
    let locals: Vec<_> = (0..count).map(|_| begin()).collect();
    assert_eq!(SHARED.locals(), count, "all locals are in the pool");
    assert_eq!(pool::all().count(), count, "each is listed once");
    locals
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_local_is_in_the_hands_of_one_thread() {
    model(|| {
        let [local] = made();
        end(local);
        let other = thread::spawn(|| end(begin()));
        end(begin());
        join([other]);
        assert!(expect_all_pooled().len() <= 2);
    });
}

#[test]
fn a_thread_goes_on_with_the_local_of_one_that_has_ended() {
    model(|| {
        let [local] = made();
        let other = thread::spawn(move || end(local));
        let mine = begin();
        assert_eq!(mine.received(), 0, "what the other wrote is there to read");
        join([other]);
        end(mine);
        let expected = if core::ptr::eq(mine, local) { 1 } else { 2 };
        assert_eq!(expect_all_pooled().len(), expected);
    });
}

#[test]
fn locals_that_are_new_are_all_listed() {
    bounded_model(|| {
        let begin_two = [(); 2].map(|()| thread::spawn(|| end(begin())));
        // The checker lets the thread that is started last come last first: there it finds what
        // nothing has brought into an order.
        let reads = thread::spawn(|| assert!(pool::all().count() <= 2));
        join(begin_two);
        join([reads]);
        expect_all_pooled();
    });
}

#[test]
fn whoever_tends_has_a_local_alone() {
    bounded_model(|| {
        let [first, second] = made();
        end(first);
        let ends = thread::spawn(move || end(second));
        let begins = thread::spawn(|| end(begin()));
        pool::tend_all(Which::All);
        join([ends, begins]);
        expect_all_pooled();
    });
}

/// Gives a span up, which the local keeps.
fn gives_one(local: &Local) {
    let span = Span::new(2);
    span.stamp.set(1);
    assert!(local.cache.give(span).is_none());
}

#[test]
fn spans_of_a_thread_that_ends_are_handed_over_once() {
    bounded_model(|| {
        let [local] = made();
        let ends = thread::spawn(move || {
            gives_one(local);
            end(local);
        });
        // Old spans of all, and then what pooled ones have.
        pool::tidy(3);
        join([ends]);
        pool::hand_over_caches();
        assert_eq!(SHARED.count(), 1);
        expect_all_pooled();
    });
}

/// Whoever forks holds what others would change meanwhile.
#[test]
fn nobody_is_in_the_pool_during_a_fork() {
    bounded_model(|| {
        let [local] = made();
        let ends = thread::spawn(move || {
            gives_one(local);
            local.cache.hand_over(&SHARED, Which::All);
            end(local);
        });
        let begins = thread::spawn(|| end(begin()));
        pool::hold();
        let (listed, given) = (pool::all().count(), SHARED.count());
        thread::yield_now();
        assert_eq!((pool::all().count(), SHARED.count()), (listed, given));
        pool::let_go();
        join([ends, begins]);
        assert_eq!(SHARED.count(), 1);
        expect_all_pooled();
    });
}
