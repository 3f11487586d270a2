//! The host heap's meeting points of threads, in every order of their steps and with every value
//! an atomic may answer.
//!
//! The lock, the pool of locals, a local's cache, the queue of what others free and the rings that
//! go there are the real files, mounted here beside models of what they use: a `sync` of the model
//! checker's words, and spans, slots and locals that know who touches them.
//! `RUSTFLAGS="--cfg loom" cargo test --release -p polder-host --test loom`.
#![cfg(loom)]

#[allow(dead_code)]
#[path = "../../src/cache.rs"]
mod cache;
#[path = "../../src/lock.rs"]
#[allow(dead_code)]
mod lock;
#[path = "../../src/outgoing.rs"]
mod outgoing;
#[path = "../../src/pool.rs"]
#[allow(dead_code)]
mod pool;
#[path = "../../src/queue.rs"]
mod queue;

mod caches;
mod exits;
mod locals;
mod locks;
mod os;
mod sync;
mod world;

use world::{clock, local, map, size, slot, span, spans};

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

/// How often a thread may be interrupted in the middle of its work, where a model has too many
/// orders for all of them.
const PREEMPTIONS: usize = 3;

/// Statics are the process's: one model at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs a model, in every order of its threads' steps.
fn model(work: impl Fn() + Send + Sync + 'static) {
    check(&loom::model::Builder::new(), work);
}

/// Runs a model, in every order with so few preemptions.
fn bounded_model(work: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    check(&builder, work);
}

fn check(builder: &loom::model::Builder, work: impl Fn() + Send + Sync + 'static) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    world::forget_first_local();
    let executions = Arc::new(AtomicU64::new(0));
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        world::begin();
        work();
    });
    println!("{} executions", executions.load(Relaxed));
}
