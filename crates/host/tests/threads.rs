//! Threads that come and go, what they leave, and what others free of it.

#[allow(dead_code)]
mod model;

use model::{Contents, Limits, Model, Object, Random};
use polder_host::{Settings, object, stats, trim};
use std::cell::RefCell;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const LIMITS: Limits = Limits { size: 4 << 10, align: 256, bytes: 64 << 10, objects: 40 };
/// How long free memory is kept, in milliseconds.
const PURGE_DELAY_MS: u64 = 40;
/// What tests allocate whose memory is to go back, in bytes.
const SIZE: usize = if cfg!(miri) { 1 << 20 } else { 64 << 20 };
/// How long something that comes with time may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Statistics are the process's: one test at a time. Free memory goes back soon in all of them.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Settings::new().purge_delay_ms(PURGE_DELAY_MS).apply();
    guard
}

/// Lets time pass, and takes the slow ways on which the clock is looked at.
fn pass() {
    #[cfg(any(miri, feature = "sim"))]
    polder_host::sim::pass_ms(PURGE_DELAY_MS / 2);
    #[cfg(not(any(miri, feature = "sim")))]
    thread::sleep(Duration::from_millis(PURGE_DELAY_MS / 2));
    for _ in 0..20 {
        let object = object::allocate(100_000, 16).expect("there is memory");
        // SAFETY: It was allocated a moment ago.
        unsafe { object::free(object.as_ptr()) };
    }
}

fn pass_epochs() {
    #[cfg(any(miri, feature = "sim"))]
    polder_host::sim::pass_ms(2 * PURGE_DELAY_MS);
    #[cfg(not(any(miri, feature = "sim")))]
    thread::sleep(Duration::from_millis(2 * PURGE_DELAY_MS));
}

/// Waits until something is so.
fn expect(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}: {:#?}", stats());
        pass();
    }
}

fn objects(count: usize, size: usize) -> Vec<Object> {
    let mut model = Model::default();
    (0..count).for_each(|_| assert!(model.allocate(size, 16, Contents::Any)));
    (0..count).map(|_| model.take(0)).collect()
}

#[test]
fn ten_thousand_threads_need_no_more_than_a_hundred() {
    const ROUNDS: usize = if cfg!(miri) { 2 } else { 100 };
    const THREADS: usize = if cfg!(miri) { 3 } else { 100 };
    let _alone = alone();
    let mut held = 0;
    for round in 0..ROUNDS {
        let (sender, receiver) = channel();
        for index in 0..THREADS {
            let sender = sender.clone();
            let work = move || {
                let (mut random, mut model) = (Random(index as u64), Model::default());
                (0..20).for_each(|_| model.step(&mut random, &LIMITS));
                while model.len() > 0 {
                    let object = model.take(0);
                    match model.len() % 2 {
                        0 => object.free(),
                        _ => drop(sender.send(object)),
                    }
                }
            };
            // At most a few at a time.
            let thread = thread::spawn(work);
            if index % 4 == 0 {
                thread.join().unwrap();
            }
        }
        drop(sender);
        receiver.iter().for_each(Object::free);
        if round == 1 {
            held = stats().held;
        }
    }
    assert!(stats().held < 2 * held + (8 << 20), "{held} B after 200 threads, {:#?}", stats());
}

#[test]
fn what_others_free_of_a_thread_s_comes_back_though_they_free_little_and_end() {
    let _alone = alone();
    let before = stats().remote_frees;
    let count = 10;
    let mine = objects(count, 48);
    thread::spawn(|| mine.into_iter().for_each(Object::free)).join().unwrap();
    expect("messages arrive", || stats().remote_frees >= before + count as u64);
}

#[test]
fn memory_of_threads_that_have_ended_goes_back_when_others_have_freed_it() {
    let _alone = alone();
    expect("all is quiet", || stats().held < 8 << 20);
    let before = stats().held;
    for size in if cfg!(miri) { vec![20_000] } else { vec![200, 3000, 20_000] } {
        let work = move || objects(SIZE / size / 4, size);
        let left: Vec<_> = (0..4).map(|_| thread::spawn(work).join().unwrap()).collect();
        assert!(stats().held >= before + SIZE as u64 / 2, "{:#?}", stats());
        left.into_iter().flatten().for_each(Object::free);
        let most = before + SIZE as u64 / 32;
        expect("held memory comes down", || stats().held <= most);
    }
}

#[test]
fn memory_of_a_thread_goes_back_while_it_lives() {
    let _alone = alone();
    expect("all is quiet", || stats().held < 8 << 20);
    let before = stats().held;
    for size in if cfg!(miri) { vec![10_000] } else { vec![16, 1000, 30_000, 1 << 20] } {
        let mut all = objects((SIZE / size).clamp(1, 200_000), size);
        let mut random = Random(size as u64);
        while !all.is_empty() {
            all.swap_remove(random.below(all.len())).free();
        }
        let most = before + SIZE as u64 / 32;
        expect("held memory comes down", || stats().held <= most);
    }
}

#[test]
fn trim_leaves_little_at_once() {
    let _alone = alone();
    let all = objects(if cfg!(miri) { 50 } else { 2000 }, 10_000);
    all.into_iter().for_each(Object::free);
    trim();
    let held = stats().held;
    assert!(held < 4 << 20, "{held}");
}

/// Frees when the thread's destructors run, and allocates there too.
struct AtTheEnd(Vec<Object>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Object::free);
        let mut model = Model::default();
        (0..20).for_each(|_| model.step(&mut Random(9), &LIMITS));
        model.free_all(&mut Random(0));
    }
}

thread_local! {
    static EARLY: RefCell<AtTheEnd> = const { RefCell::new(AtTheEnd(Vec::new())) };
    static LATE: RefCell<AtTheEnd> = const { RefCell::new(AtTheEnd(Vec::new())) };
}

#[test]
fn destructors_of_a_thread_may_allocate_and_free_before_and_after_ours() {
    const THREADS: usize = if cfg!(miri) { 2 } else { 50 };
    let _alone = alone();
    for _ in 0..THREADS {
        let mine = objects(10, 100);
        let work = || {
            // Registered before the heap is, and after it: one of them runs when it has gone.
            EARLY.with_borrow_mut(|_| ());
            let own = objects(10, 100);
            LATE.with_borrow_mut(|late| late.0 = own);
            EARLY.with_borrow_mut(|early| early.0 = mine);
        };
        thread::spawn(work).join().unwrap();
    }
}

/// The look at the clock on the way to a refill takes messages in, and gives slabs up: that of the
/// class in question too.
#[test]
fn a_slab_that_is_given_up_while_its_class_is_refilled_is_in_one_hand() {
    let _alone = alone();
    let sizes = [48, 64, 80, 96, 112, 128, 160, 192, 224];
    for round in if cfg!(miri) { 7..9 } else { 0..60 } {
        // The look comes with one of some slow ways: with which one differs from round to round.
        let (size, slow_ways) = (sizes[round % 9], (round * 7 + round / 9) % 9);
        let page = 4096usize.div_ceil(size);
        let sent = objects(page, size);
        thread::spawn(move || sent.into_iter().for_each(Object::free)).join().unwrap();
        pass_epochs();
        let mut model = Model::default();
        (0..slow_ways).for_each(|_| assert!(model.allocate(100_000, 16, Contents::Any)));
        for size in [size, 1024 + 4 * size, 512] {
            (0..page).for_each(|_| assert!(model.allocate(size, 16, Contents::Any)));
        }
        model.free_all(&mut Random(1));
    }
}

/// A thread that only ever frees.
#[test]
fn a_thread_may_free_without_having_allocated() {
    let _alone = alone();
    for size in [16, 4096, 100_000] {
        let mine = objects(5, size);
        thread::spawn(|| mine.into_iter().for_each(Object::free)).join().unwrap();
    }
}
