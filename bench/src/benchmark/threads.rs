//! One and two threads that share an allocator: each has its own allocations, of which it frees a
//! random one and allocates another. Beside them, threads that share nothing show how much the
//! machine has to give to a second thread.

use super::Context;
use crate::measure::{Contest, Effort, Figures};
use crate::peer::{ForEachHeap, Heap, Need, Peer, for_each_heap, polder};
use crate::report::{Limit, Report};
use crate::table::{Table, figure};
use crate::workload::{Aligns, Needs, Order, Sizes, Workload};
use polder_device::request::Search;
use std::sync::atomic::{AtomicU32, Ordering};
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
/// Rounds last so many times as long as elsewhere, for the system to give each thread a processor.
const LONGER: u32 = 5;
/// What a second thread should gain; a machine on which sharing nothing gains less is no judge.
const GAIN: f64 = 1.8;
const ONE: &str = "1 thread";
const TWO: &str = "2 threads";

/// Measures it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut entrants = Entrants { context, contest: Contest::default(), names: Vec::new() };
    for_each_heap(context.gpu, &mut entrants);
    entrants.add(ALONE, Alone::new);
    let Entrants { contest, names, .. } = entrants;
    let effort = context.effort;
    let figures = contest.run(Effort { round_time: effort.round_time * LONGER, ..effort });
    let mut table =
        Table::new("million pairs per second", &["1 thread", "2 threads", "gain", "gain, medians"]);
    for &name in &names {
        let rate = |threads| figures.least((name, threads)).map(|time| 1e3 / time);
        let medians = figures.ratio((name, ONE), (name, TWO));
        table.row(name, [rate(ONE), rate(TWO), gain(&figures, name), medians].map(figure));
    }
    let words = "Sizes 256 B to 64 KiB, 1,000 live in each thread; a pair frees a random one of \
                 the thread's own and allocates another. gpu-allocator and gpu-alloc stand behind \
                 a mutex; where nothing is shared, each thread has a space of its own. A second \
                 thread needs a second processor to itself, so the figures are those of the best \
                 round for one thread and of the best for two, when the machine did least else.";
    report.section("Threads", words, &table);
    let given = gain(&figures, ALONE);
    if given.is_some_and(|given| given < GAIN) {
        report.say("Other programs took the second processor: what two threads gain is open.\n");
        return;
    }
    let gained = gain(&figures, polder::NAME);
    report.target("pairs per second, 2 threads / 1", Limit::AtLeast(GAIN), gained);
}

/// How many times as many pairs per second two threads do as one does, in the best rounds.
fn gain(figures: &Figures, name: &str) -> Option<f64> {
    Some(figures.least((name, ONE))? / figures.least((name, TWO))?)
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
    let ready = Gate { missing: AtomicU32::new(threads) };
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

/// Holds threads back until all are there. They spin: a thread that sleeps wakes up on the
/// processor of the one who wakes it, and then the two share that one.
struct Gate {
    missing: AtomicU32,
}

impl Gate {
    fn wait(&self) {
        // Release and Acquire pair with each other: whoever passes has seen all arrive.
        self.missing.fetch_sub(1, Ordering::Release);
        while self.missing.load(Ordering::Acquire) > 0 {
            std::hint::spin_loop();
        }
    }
}

fn in_thread<P: Peer>(peer: P, ready: &Gate, pairs: u32) -> (Instant, Instant) {
    let mut workload = Workload::full(peer, LIVE, Needs::new(SIZES, ALIGNS));
    ready.wait();
    let begin = Instant::now();
    for _ in 0..pairs {
        workload.pair(Order::Random);
    }
    (begin, Instant::now())
}
