//! What a kernel, or an emulator of one, claims to do and may not: tried once, on pages that
//! nobody needs.

use crate::os::{commit, page_size, release, reserve};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

const UNKNOWN: u8 = 0;
const WORKS: u8 = 1;
const FAILS: u8 = 2;

/// What a trial has shown, if it was made.
pub struct Trial(AtomicU8);

impl Trial {
    /// Makes one that was not made.
    pub const fn new() -> Self {
        Self(AtomicU8::new(UNKNOWN))
    }

    /// Tells whether what `attempt` does with two committed pages works: by trying, the first time
    /// that there are two. False while there are none.
    pub fn works(&self, attempt: impl FnOnce(Page, Page) -> bool) -> bool {
        // No partner: threads that try at once come to the same answer.
        let known = self.0.load(Relaxed);
        if known != UNKNOWN {
            return known == WORKS;
        }
        let Some(works) = try_once(attempt) else { return false };
        self.0.store(if works { WORKS } else { FAILS }, Relaxed);
        works
    }
}

/// A committed page that nobody needs, for as long as a trial lasts.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its first byte.
    pub start: NonNull<u8>,
    /// Its bytes.
    pub size: usize,
}

impl Page {
    /// Writes the first byte. Volatile, as is [`get`](Self::get): the contents change by more than
    /// what is written.
    pub fn set(self, byte: u8) {
        // SAFETY: A trial's pages are committed.
        unsafe { self.start.write_volatile(byte) };
    }

    /// Reads the first byte.
    pub fn get(self) -> u8 {
        // SAFETY: A trial's pages are committed.
        unsafe { self.start.read_volatile() }
    }
}

/// None when there is no memory to try it with.
fn try_once(attempt: impl FnOnce(Page, Page) -> bool) -> Option<bool> {
    let size = page_size();
    let start = reserve(2 * size, 0)?;
    // SAFETY: The reservation has two pages.
    let behind = unsafe { start.add(size) };
    // SAFETY: As above.
    let is_committed = unsafe { commit(start, 2 * size) };
    let works = is_committed.then(|| attempt(Page { start, size }, Page { start: behind, size }));
    // SAFETY: The reservation is whole, and nobody else knows of it.
    unsafe { release(start, 2 * size) };
    works
}

#[cfg(test)]
mod tests {
    use super::Trial;
    use crate::os::tests::child::holds_in_a_child;
    use crate::os::{page_size, reserve};
    use core::mem::MaybeUninit;

    #[test]
    fn a_trial_that_could_not_be_made_is_made_again() {
        let is_made = holds_in_a_child(|| {
            let mut limit = MaybeUninit::<libc::rlimit>::uninit();
            // SAFETY: The pointer is to a whole `rlimit`.
            unsafe { libc::getrlimit(libc::RLIMIT_AS, limit.as_mut_ptr()) };
            // SAFETY: The call never fails with these arguments, so it has filled the structure.
            let before = unsafe { limit.assume_init() };
            let none = libc::rlimit { rlim_cur: 1, ..before };
            // SAFETY: The limit is given.
            unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const none) };
            // An emulator does not hear of the limit.
            let is_room = reserve(page_size(), 0).is_some();
            let trial = Trial::new();
            let is_made = trial.works(|_, _| true);
            // SAFETY: As above.
            unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const before) };
            is_made == is_room && trial.works(|_, _| true) && trial.works(|_, _| false)
        });
        assert!(is_made);
    }
}
