//! Every call to the system fails once: there is no memory then, or there is by another way, and
//! nothing is broken.
//!
//! The heap is the process's, and makes most of its calls when it is young. So each failure has a
//! process of its own, which this one starts; an interpreter, which can start none, has them one
//! after the other.

#![cfg_attr(miri, allow(dead_code))]

#[allow(dead_code)]
mod model;

use model::{Contents, Limits, Model, Object, Random, Source};
use polder_host::sim::{self, Call};
use polder_host::{Heap, HeapOptions, stats, trim};
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// What a scenario's process is told: a plan.
const PLAN: &str = "HOST_FAILURE";
/// Stands for all calls from then on.
const ALWAYS: u64 = u64::MAX;

const LIMITS: Limits = if cfg!(miri) {
    Limits { size: 64 << 10, align: 64 << 10, bytes: 256 << 10, objects: 40 }
} else {
    Limits { size: 3 << 20, align: 64 << 10, bytes: 8 << 20, objects: 200 }
};
const STEPS: usize = if cfg!(miri) { 30 } else { 120 };
/// Of address space, in bytes. An eighth of it is a block.
const SPACE: usize = 128 << 20;
/// Larger than a block.
const HUGE: usize = 17 << 20;

/// Which call fails, after how many, and how many of them; and how long a page is.
#[derive(Clone, Copy, Debug)]
struct Plan {
    call: Option<Call>,
    after: u64,
    times: u64,
    page: usize,
}

const NEVER: Plan = Plan { call: None, after: 0, times: 0, page: 4096 };

impl Plan {
    fn begin(self) {
        match self.call {
            Some(call) => sim::fail(call, self.after, self.times),
            None => sim::fail_any(self.after, self.times),
        }
    }

    fn to_text(self) -> String {
        let index = self.call.map_or(Call::ALL.len(), |call| call as usize);
        format!("{index} {} {} {}", self.after, self.times, self.page)
    }

    fn from_text(text: &str) -> Self {
        let mut numbers = text.split(' ').map(|number| number.parse::<u64>().unwrap());
        let mut next = || numbers.next().unwrap();
        let call = Call::ALL.get(next() as usize).copied();
        Self { call, after: next(), times: next(), page: next() as usize }
    }
}

/// Does `work` until there is memory for it: at once, or when calls succeed again.
fn insist(plan: Plan, mut work: impl FnMut() -> bool) {
    if work() {
        return;
    }
    if plan.times == ALWAYS {
        sim::fail_none();
    }
    assert!(work(), "{plan:?}: the second time there is memory");
    if plan.times == ALWAYS {
        plan.begin();
    }
}

/// Uses the heap in every way that asks the system for something.
fn use_heap(plan: Plan) {
    let (mut random, mut model) = (Random(3), Model::default());
    for _ in 0..STEPS {
        insist(plan, || model.try_step(&mut random, &LIMITS));
    }
    insist(plan, || model.allocate(HUGE, 16, Contents::Zero));
    let last = model.len() - 1;
    insist(plan, || model.reallocate(last, HUGE + (5 << 20)));
    insist(plan, || model.reallocate(last, 1));
    use_own_heap(plan, &mut random);
    let sent: Vec<_> = (0..model.len() / 2).map(|_| model.take(0)).collect();
    thread::spawn(move || use_thread(plan, sent)).join().unwrap();
    sim::pass_ms(2000);
    for _ in 0..STEPS / 2 {
        insist(plan, || model.try_step(&mut random, &LIMITS));
        sim::pass_ms(50);
    }
    model.free_all(&mut random);
    trim();
}

fn use_own_heap(plan: Plan, random: &mut Random) {
    let mut heap = None;
    insist(plan, || {
        heap = Heap::new(HeapOptions::new().limit(64 << 20));
        heap.is_some()
    });
    let Some(heap) = heap else { return };
    let heap = Arc::new(heap);
    let mut model = Model::of(Source::Heap(heap.clone()));
    for _ in 0..STEPS {
        insist(plan, || model.try_step(random, &LIMITS));
    }
    heap.trim();
    model.abandon();
}

/// A thread that frees what others have allocated, allocates and ends.
fn use_thread(plan: Plan, sent: Vec<Object>) {
    let mut model = Model::default();
    sent.into_iter().for_each(Object::free);
    for _ in 0..STEPS / 4 {
        insist(plan, || model.try_step(&mut Random(5), &LIMITS));
    }
    model.free_all(&mut Random(6));
}

fn scenario(plan: Plan) {
    sim::set_limit(SPACE);
    sim::set_page(plan.page);
    plan.begin();
    use_heap(plan);
    sim::fail_none();
    use_heap(Plan { times: 0, ..plan });
    sim::pass_ms(10_000);
    trim();
    let stats = stats();
    assert_eq!((stats.large, stats.large_used), (0, 0), "{plan:?}: no object is left");
}

#[test]
#[ignore = "what a process of its own runs"]
fn in_its_own_process() {
    let plan = std::env::var(PLAN).map_or(NEVER, |text| Plan::from_text(&text));
    scenario(plan);
    let calls: Vec<_> = Call::ALL.iter().map(|&call| sim::calls(call).to_string()).collect();
    println!("calls: {}", calls.join(" "));
}

/// Runs a scenario; returns how often it made each call.
fn run(plan: Plan) -> Vec<u64> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "in_its_own_process", "--ignored", "--nocapture"]);
    let output = command.env(PLAN, plan.to_text()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{plan:?}: {}\n{said}\n{complaint}", output.status);
    let calls = said.lines().find_map(|line| line.split_once("calls: ")).unwrap().1;
    calls.split(' ').map(|number| number.parse().unwrap()).collect()
}

#[cfg(not(miri))]
#[test]
fn whichever_call_fails_nothing_is_broken_and_the_next_succeeds() {
    let calls = run(NEVER);
    for (call, made) in Call::ALL.into_iter().zip(calls) {
        println!("{call:?}: {made} calls");
        // The first use of the heap makes at most as many as both together.
        for after in 0..made {
            run(Plan { call: Some(call), after, times: 1, ..NEVER });
        }
    }
}

#[cfg(not(miri))]
#[test]
fn from_whichever_call_on_all_fail_memory_is_short_and_nothing_is_broken() {
    let calls: u64 = run(NEVER).iter().sum();
    for after in (0..30).chain((30..calls).step_by(7)) {
        run(Plan { after, times: ALWAYS, ..NEVER });
    }
}

#[cfg(not(miri))]
#[test]
fn pages_may_be_longer_than_chunks_and_calls_fail_then_too() {
    for page in [16 << 10, 64 << 10] {
        let never = Plan { page, ..NEVER };
        let calls: u64 = run(never).iter().sum();
        for after in (0..calls).step_by(9) {
            run(Plan { after, times: 1, ..never });
        }
    }
}

#[cfg(miri)]
#[test]
fn a_call_that_fails_breaks_nothing() {
    for after in [2] {
        scenario(Plan { after, times: 1, page: 64 << 10, ..NEVER });
    }
}
