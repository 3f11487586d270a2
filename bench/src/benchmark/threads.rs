//! One and two threads that share an allocator: each has its own allocations, of which it frees a
//! random one and allocates another. Beside them, threads that share nothing show how much the
//! machine has to give to a second thread.

use super::Context;
use crate::measure::{Contest, Figures};
use crate::peer::{ForEachHeap, Heap, Need, Peer, for_each_heap, polder, vma};
use crate::report::{Limit, Report};
use crate::table::{Table, figure};
use crate::workload::{Aligns, Needs, Order, Sizes, Workload};
use polder_device::request::Search;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// 256 B to 64 KiB.
const SIZES: Sizes = Sizes::Doublings { least: 8, end: 16 };
const ALIGNS: Aligns = Aligns::Fixed(256);
/// How many each thread has live.
const LIVE: usize = 1_000;
/// Room for the live ones of a thread that shares nothing.
const ALONE_SIZE: u64 = 64 << 20;
const ALONE: &str = "nothing shared";
const ONE: &str = "1 thread";
const TWO: &str = "2 threads";

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut entrants = Entrants { context, contest: Contest::default(), names: Vec::new() };
    for_each_heap(context.gpu, &mut entrants);
    entrants.add(ALONE, Alone::new);
    let Entrants { contest, names, .. } = entrants;
    let figures = contest.run(context.effort);
    let columns = ["1 thread", "2 threads", "gain", "best gain"];
    let mut table = Table::new("million pairs per second", &columns);
    for &name in &names {
        let [rate_one, rate_two] =
            [ONE, TWO].map(|threads| figures.median((name, threads)).map(|time| 1e3 / time));
        let (middle, best) = gain(&figures, name);
        table.row(name, [rate_one, rate_two, middle, best].map(figure));
    }
    let words = "Sizes 256 B to 64 KiB, 1,000 live in each thread; a pair frees a random one of \
                 the thread's own and allocates another. gpu-allocator and gpu-alloc stand behind \
                 a mutex; where nothing is shared, each thread has a space of its own. The gain \
                 is the median over the rounds, the best that of the round in which the machine \
                 did least else.";
    report.section("Threads", words, &table);
    let (middle, best) = gain(&figures, polder::NAME);
    report.target("pairs per second, 2 threads / 1", Limit::AtLeast(1.8), middle);
    report.target("pairs per second, 2 threads / 1, best round", Limit::AtLeast(1.8), best);
    let given = middle.zip(gain(&figures, ALONE).0).map(|(middle, given)| middle / given);
    report.target("the same, as a part of what sharing nothing gains", Limit::AtLeast(0.9), given);
    let vma = figures.ratio((vma::NAME, TWO), (polder::NAME, TWO));
    report.target("pairs per second of 2 threads: Polder / VMA", Limit::AtLeast(2.0), vma);
}

/// How many times as many pairs per second two threads do: the median and the most.
fn gain(figures: &Figures, name: &str) -> (Option<f64>, Option<f64>) {
    let (one, two) = ((name, ONE), (name, TWO));
    let most = |gains: Vec<f64>| gains.into_iter().fold(0.0, f64::max);
    (figures.ratio(one, two), figures.ratios(one, two).map(most))
}

struct Entrants<'c, 'a> {
    context: &'c Context<'a>,
    contest: Contest<'a>,
    names: Vec<&'static str>,
}

impl<'a> Entrants<'_, 'a> {
    fn add<P: Peer + Clone + Send + 'a>(&mut self, name: &'static str, make: impl Fn() -> P) {
        if !self.context.wants(name) {
            return;
        }
        self.names.push(name);
        for (setting, threads) in [(ONE, 1), (TWO, 2)] {
            let peer = make();
            self.contest.add_timed(name, setting, move |pairs| on_threads(&peer, threads, pairs));
        }
    }
}

impl<'a> ForEachHeap<'a> for Entrants<'_, 'a> {
    fn visit<H: Heap + 'a>(&mut self, name: &'static str, make: impl Fn() -> H) {
        self.add(name, || make().share());
    }
}

/// A space for each thread.
struct Alone(polder::Space);

impl Alone {
    fn new() -> Self {
        Self(polder::Space::new(ALONE_SIZE, Search::Quick))
    }
}

impl Clone for Alone {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Peer for Alone {
    type Handle = <polder::Space as Peer>::Handle;

    fn allocate(&mut self, need: Need) -> Self::Handle {
        self.0.allocate(need)
    }

    fn free(&mut self, handle: Self::Handle) {
        self.0.free(handle);
    }
}

/// Does `pairs` pairs in all, shared out to the threads, from the first one's begin to the last
/// one's end.
fn on_threads<P: Peer + Clone + Send>(peer: &P, threads: u32, pairs: u32) -> Duration {
    let ready = Barrier::new(threads as usize);
    let times = thread::scope(|scope| {
        let spawn = |_| {
            let (peer, ready) = (peer.clone(), &ready);
            scope.spawn(move || in_thread(peer, ready, pairs.div_ceil(threads)))
        };
        let running: Vec<_> = (0..threads).map(spawn).collect();
        let times = running.into_iter().map(|thread| thread.join().expect("no peer panics"));
        times.collect::<Vec<_>>()
    });
    let begin = times.iter().map(|(begin, _)| *begin).min();
    let end = times.iter().map(|(_, end)| *end).max();
    end.zip(begin).map_or(Duration::ZERO, |(end, begin)| end - begin)
}

fn in_thread<P: Peer>(peer: P, ready: &Barrier, pairs: u32) -> (Instant, Instant) {
    let mut workload = Workload::full(peer, LIVE, Needs::new(SIZES, ALIGNS));
    ready.wait();
    let begin = Instant::now();
    for _ in 0..pairs {
        workload.pair(Order::Random);
    }
    let end = Instant::now();
    // What a thread frees at its end is no part of the others' time.
    ready.wait();
    (begin, end)
}
