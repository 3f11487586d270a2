//! Models of frees on their way to a local whose thread ends: rings, queue and pool together.

use crate::cache::Which;
use crate::local::Local;
use crate::locals::{begin, end, expect_all_pooled, made};
use crate::slot::Slot;
use crate::span::Span;
use crate::{bounded_model, pool};
use loom::thread;

/// Tends what is pooled, in peace; returns how many slots came back to their owners.
fn received_by_all() -> u32 {
    pool::tend_all(Which::All);
    let locals = expect_all_pooled();
    assert!(locals.iter().all(|local| local.incoming.is_empty()), "nothing is stuck");
    locals.iter().map(|local| local.received()).sum()
}

/// Frees slots of one slab of another thread's.
fn free(local: &Local, slots: impl IntoIterator<Item = Slot>, span: &'static Span) {
    slots.into_iter().for_each(|slot| local.free(slot, span));
}

/// A thread that frees slots of one slab of another thread's and ends.
fn frees_and_ends<const COUNT: usize>(
    local: &'static Local,
    slots: [Slot; COUNT],
    span: &'static Span,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        free(local, slots, span);
        end(local);
    })
}

#[test]
fn what_is_posted_while_its_owner_ends_is_found_by_who_tends() {
    bounded_model(|| {
        let [owner, local] = made();
        let (slots, span) = (Slot::slab::<2>(owner), Span::new(1));
        let posts = frees_and_ends(local, slots, span);
        let ends = thread::spawn(move || {
            owner.receive_all();
            end(owner);
        });
        pool::tend_all(Which::All);
        posts.join().unwrap();
        ends.join().unwrap();
        assert_eq!(received_by_all(), 2);
    });
}

#[test]
fn what_is_posted_while_its_owner_ends_is_found_by_the_next_thread() {
    bounded_model(|| {
        let [owner, local] = made();
        let (slots, span) = (Slot::slab::<2>(owner), Span::new(1));
        let posts = frees_and_ends(local, slots, span);
        end(owner);
        let next = begin();
        next.receive_all();
        end(next);
        posts.join().unwrap();
        assert_eq!(received_by_all(), 2);
    });
}

/// Rows of two slabs, gathered by two threads, one of which ends with what it has gathered.
#[test]
fn two_threads_that_end_leave_nothing_behind() {
    bounded_model(|| {
        let [owner, first, second] = made();
        let slabs = [Slot::slab::<2>(owner), Slot::slab::<2>(owner)];
        let spans = [Span::new(1), Span::new(1)];
        free(first, slabs[0], spans[0]);
        let ends = thread::spawn(move || end(first));
        let posts = thread::spawn(move || {
            free(second, slabs[1], spans[1]);
            second.post();
            end(second);
        });
        owner.receive_all();
        end(owner);
        ends.join().unwrap();
        posts.join().unwrap();
        assert_eq!(received_by_all(), 4);
    });
}

#[test]
fn two_threads_that_free_for_one_another_both_end() {
    bounded_model(|| {
        let [first, second] = made();
        let slots = [Slot::slab::<1>(first), Slot::slab::<1>(second)];
        let spans = [Span::new(1), Span::new(1)];
        let other = frees_and_ends(second, slots[0], spans[0]);
        free(first, slots[1], spans[1]);
        end(first);
        pool::tend_all(Which::All);
        other.join().unwrap();
        assert_eq!(received_by_all(), 2);
    });
}
