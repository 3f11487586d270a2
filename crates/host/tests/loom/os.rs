//! Of the system, how threads sleep: each word has those that wait for it.

use crate::sync::AtomicU32;
use loom::sync::{Condvar, Mutex};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

loom::lazy_static! {
    static ref SLEEPERS: Mutex<Sleepers> = Mutex::new(Sleepers::default());
}

/// Where the threads sleep that wait for a word, by its address.
#[derive(Default)]
struct Sleepers(HashMap<usize, Rc<Condvar>>);

// SAFETY: All threads of a model are one of the system's.
unsafe impl Send for Sleepers {}

impl Sleepers {
    fn of(&mut self, word: &AtomicU32) -> Rc<Condvar> {
        self.0.entry((&raw const *word).addr()).or_insert_with(|| Rc::new(Condvar::new())).clone()
    }
}

/// Makes the sleepers, for the thread that starts the others.
pub fn begin() {
    drop(SLEEPERS.lock().unwrap());
}

/// Sleeps while `word` holds `value`.
pub fn wait(word: &AtomicU32, value: u32) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    if word.load(Relaxed) == value {
        let place = sleepers.of(word);
        drop(place.wait(sleepers).unwrap());
    }
}

/// Wakes one who sleeps for `word`.
pub fn wake(word: &AtomicU32) {
    let place = SLEEPERS.lock().unwrap().of(word);
    place.notify_one();
}
