//! The locals of threads that have ended, for those that begin; and the list of all locals.
//!
//! A thread's end costs little: its local goes into the pool as it is, slabs, lists and all, and
//! the next thread goes on with it. What was freed for a local that nobody uses would be stuck in
//! its queue: so whoever looks at the clock also tends some of the pooled ones.
//!
//! # Invariants
//!
//! 1. A local is in the pool, or in the hands of one thread.
//! 2. Locals are never unmapped; each is in the list of all, once.

use crate::cache::Which;
use crate::clock;
use crate::local::{Kind, Local};
use crate::lock::Lock;
use crate::size::chunks_of;
use crate::span::State;
use crate::spans::SHARED;
use crate::sync::{AtomicPtr, Cell};
use core::ptr::null;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Pooled locals that are tended in one go.
const TENDED_MOST: usize = 8;

/// The first local needs no system call.
static FIRST: Local = Local::new(Kind::Thread);

static POOL: Lock<Pool> = Lock::new(Pool { first: null(), last: null(), is_begun: false });
/// All locals of threads, the newest first.
static ALL: AtomicPtr<Local> = AtomicPtr::new(core::ptr::null_mut());

struct Pool {
    first: *const Local,
    last: *const Local,
    /// Whether `FIRST` was handed out.
    is_begun: bool,
}

// SAFETY: Locals in the pool are nobody's, and go from thread to thread with it.
unsafe impl Send for Pool {}

impl Pool {
    fn push_front(&mut self, local: &'static Local) {
        local.links.next.set(self.first);
        self.first = local;
        if self.last.is_null() {
            self.last = local;
        }
    }

    fn push_back(&mut self, local: &'static Local) {
        local.links.next.set(null());
        match reference(self.last) {
            Some(last) => last.links.next.set(local),
            None => self.first = local,
        }
        self.last = local;
    }

    /// Takes a local out that lies behind `before`.
    fn remove(&mut self, local: &Local, before: Option<&'static Local>) {
        let next = local.links.next.get();
        match before {
            Some(before) => before.links.next.set(next),
            None => self.first = next,
        }
        if next.is_null() {
            self.last = before.map_or(null(), |before| &raw const *before);
        }
    }

    /// Returns the locals, the first first.
    fn locals(&self) -> impl Iterator<Item = &'static Local> + use<> {
        core::iter::successors(reference(self.first), |local| reference(local.links.next.get()))
    }
}

/// A local's place in the pool and in the list of all.
#[derive(Debug)]
pub struct PoolLinks {
    next: Cell<*const Local>,
    next_of_all: Cell<*const Local>,
    /// Whether it was used since it was last tended.
    is_used: Cell<bool>,
}

impl PoolLinks {
    /// Makes the links of a local in no list.
    pub const fn new() -> Self {
        Self { next: Cell::new(null()), next_of_all: Cell::new(null()), is_used: Cell::new(false) }
    }
}

/// Takes a local that nobody uses, or a new one. None when there is no memory for it.
pub fn acquire() -> Option<&'static Local> {
    let local = pop().or_else(make)?;
    local.links.is_used.set(true);
    Some(local)
}

fn pop() -> Option<&'static Local> {
    let mut pool = POOL.lock();
    if !pool.is_begun {
        pool.is_begun = true;
        list(&mut pool, &FIRST);
        return Some(&FIRST);
    }
    let local = reference(pool.first)?;
    pool.remove(local, None);
    Some(local)
}

fn make() -> Option<&'static Local> {
    let span = SHARED.take(chunks_of(size_of::<Local>()), 1)?.span;
    span.set_state(State::Internal);
    let place = span.start().cast::<Local>();
    // SAFETY: The span is ours, long enough and aligned to a chunk.
    unsafe { place.write(Local::new(Kind::Thread)) };
    // SAFETY: The place was written a moment ago and is never given back.
    let local = unsafe { place.as_ref() };
    // With the pool held, so that a fork sees all locals whose locks it has to hold, or none.
    list(&mut POOL.lock(), local);
    Some(local)
}

/// Puts a local into the list of all. Who has the pool is the only one who does.
fn list(_pool: &mut Pool, local: &'static Local) {
    // No partner: the one before was put there with the pool in hand, too.
    local.links.next_of_all.set(ALL.load(Relaxed));
    // Release: pairs with the load in `all`.
    ALL.store((&raw const *local).cast_mut(), Release);
}

/// Puts a local into the pool, to be the next that is taken.
pub fn release(local: &'static Local) {
    POOL.lock().push_front(local);
}

/// Returns all locals of threads, in use or not.
pub fn all() -> impl Iterator<Item = &'static Local> {
    // Acquire: pairs with the store in `list`.
    let first = reference(ALL.load(Acquire));
    core::iter::successors(first, |local| reference(local.links.next_of_all.get()))
}

/// Hands old spans of all threads to the supply, and tends some pooled locals.
pub fn tidy(epoch: u8) {
    all().for_each(|local| local.cache.hand_over(&SHARED, Which::Old(epoch)));
    // Nobody has used them since their threads ended.
    tend(TENDED_MOST, Which::Since(clock::before(epoch)));
}

/// Tends all locals that nobody uses, once.
pub fn tend_all(which: Which) {
    let locals = POOL.lock().locals().count();
    tend(locals, which);
}

/// Tends locals that nobody uses: takes in what was freed for them, and gives their slabs up. What
/// was tended goes behind the others, for more may be on its way to it.
fn tend(most: usize, which: Which) {
    for _ in 0..most {
        let Some(local) = pop_untended() else { break };
        local.tidy(which);
        local.depart();
        local.links.is_used.set(false);
        POOL.lock().push_back(local);
    }
}

/// Takes a local out of the pool that was used, or freed for, since it was last tended.
fn pop_untended() -> Option<&'static Local> {
    let mut pool = POOL.lock();
    let is_untended = |local: &Local| local.links.is_used.get() || !local.incoming.is_empty();
    let mut before = None;
    for local in pool.locals() {
        if is_untended(local) {
            pool.remove(local, before);
            return Some(local);
        }
        before = Some(local);
    }
    None
}

/// Hands the spans that all threads keep to the supply: memory is short.
pub fn hand_over_caches() {
    all().for_each(|local| local.cache.hand_over(&SHARED, Which::All));
}

/// Takes the locks for as long as a fork lasts.
pub fn hold() {
    core::mem::forget(POOL.lock());
    all().for_each(|local| local.cache.hold());
}

/// Frees the locks that [`hold`] took.
pub fn let_go() {
    all().for_each(|local| local.cache.let_go());
    POOL.unlock();
}

/// Repairs the queues of the locals that nobody uses: a thread that is not in the child may have
/// been posting to any of them, and whoever tends one waits for what that thread has begun.
///
/// # Safety
///
/// No other thread is in the process: it is the child of a fork.
pub unsafe fn repair() {
    for local in POOL.lock().locals() {
        // SAFETY: The caller is alone.
        unsafe { local.repair_incoming() };
    }
}

fn reference(local: *const Local) -> Option<&'static Local> {
    // SAFETY: Links are null or to locals, which are never unmapped.
    unsafe { local.as_ref() }
}
