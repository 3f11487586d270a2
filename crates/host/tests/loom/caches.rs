//! Models of a local's cache: its thread gives and takes, others hand what is kept to the supply.

use crate::cache::{Cache, Which};
use crate::span::Span;
use crate::spans::Spans;
use crate::{bounded_model, model};
use loom::thread;
use std::rc::Rc;

struct Kept {
    cache: Cache,
    supply: Spans,
}

impl Kept {
    /// Makes a cache that was touched before there are threads.
    fn new() -> Rc<Self> {
        let kept = Self { cache: Cache::new(), supply: Spans::new() };
        kept.supply.begin();
        kept.hand_over();
        Rc::new(kept)
    }

    fn give(&self, span: &'static Span) {
        assert_eq!(span.stamp.replace(1), 0, "a span that is used is in one hand");
        let before = self.cache.give(span);
        if let Some(rest) = before.and_then(|before| self.cache.keep(before)) {
            self.supply.give(rest, 1);
        }
    }

    /// Takes a span, and tells whether there was one.
    fn take(&self, chunks: usize) -> bool {
        let taken = self.cache.take(chunks);
        taken.inspect(|span| assert_eq!(span.stamp.replace(0), 1, "it is in one hand")).is_some()
    }

    fn hand_over(&self) {
        self.cache.hand_over(&self.supply, Which::All);
    }

    /// A thread that finds memory short.
    fn other(self: &Rc<Self>) -> thread::JoinHandle<()> {
        let kept = self.clone();
        thread::spawn(move || kept.hand_over())
    }

    /// Returns how many spans are in the supply when all have been handed over.
    fn count(&self, others: Vec<thread::JoinHandle<()>>) -> usize {
        others.into_iter().for_each(|thread| thread.join().unwrap());
        self.hand_over();
        self.supply.count()
    }
}

#[test]
fn a_span_is_taken_by_its_thread_or_handed_over_and_never_lost() {
    model(|| {
        let kept = Kept::new();
        let others = vec![kept.other()];
        kept.give(Span::new(3));
        let taken = usize::from(kept.take(3));
        assert_eq!(kept.count(others) + taken, 1);
    });
}

#[test]
fn a_span_that_does_not_fit_stays_for_others_to_hand_over() {
    model(|| {
        let kept = Kept::new();
        kept.give(Span::new(3));
        let others = vec![kept.other()];
        assert!(!kept.take(2), "nothing fits");
        assert_eq!(kept.count(others), 1);
    });
}

#[test]
fn spans_that_push_one_another_out_are_handed_over_once() {
    bounded_model(|| {
        let kept = Kept::new();
        let others = vec![kept.other(), kept.other()];
        kept.give(Span::new(3));
        kept.give(Span::new(4));
        let taken = usize::from(kept.take(3));
        assert_eq!(kept.count(others) + taken, 2);
    });
}
