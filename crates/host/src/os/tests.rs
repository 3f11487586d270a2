//! The contract, checked on whatever system the tests run on.

#[cfg(all(unix, not(any(miri, feature = "sim"))))]
pub mod child;

use super::*;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;
use std::time::{Duration, Instant};
use std::vec::Vec;

/// Pages of the reservations that the tests make.
const PAGES: usize = if cfg!(miri) { 8 } else { 64 };

fn reservation() -> (NonNull<u8>, usize) {
    let size = PAGES * page_size();
    (reserve(size, 0).unwrap(), size)
}

fn fill(base: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: The tests fill what they have committed.
    unsafe { base.write_bytes(byte, size) };
}

fn holds(base: NonNull<u8>, size: usize, byte: u8) -> bool {
    // SAFETY: The tests look at what they have committed.
    let bytes = unsafe { core::slice::from_raw_parts(base.as_ptr(), size) };
    // One comparison, which an interpreter does as one step.
    bytes[0] == byte && bytes[1..] == bytes[..size - 1]
}

#[test]
fn a_page_is_a_power_of_two() {
    assert!(page_size().is_power_of_two() && page_size() >= 4096);
}

#[test]
fn what_is_committed_is_zero_and_what_is_decommitted_is_again() {
    let (base, size) = reservation();
    let (half, page) = (size / 2, page_size());
    // SAFETY: The range is ours.
    assert!(unsafe { commit(base, half) });
    assert!(holds(base, half, 0));
    fill(base, half, 7);
    // SAFETY: The range is ours.
    assert!(unsafe { commit(base, size) }, "a part that is committed may be committed again");
    assert!(holds(base, half, 7), "and keeps what it holds");
    // SAFETY: The range is ours.
    let second = unsafe { base.add(page) };
    // SAFETY: The range is committed, and nobody needs it.
    assert!(unsafe { decommit(second, half - page) });
    assert!(holds(base, page, 7));
    assert!(holds(second, size - page, 0));
    fill(second, half - page, 9);
    assert!(holds(second, half - page, 9));
    // SAFETY: The reservation is whole.
    unsafe { release(base, size) };
}

#[test]
fn a_protected_part_can_be_committed_again() {
    let (base, size) = reservation();
    // SAFETY: The range is ours.
    assert!(unsafe { commit(base, size / 2) });
    // SAFETY: The range is ours; half of it was never committed.
    assert!(unsafe { protect(base, size) });
    // SAFETY: The range is ours.
    assert!(unsafe { commit(base, size) });
    fill(base, size, 1);
    // SAFETY: The reservation is whole.
    unsafe { release(base, size) };
}

#[test]
fn a_hint_is_no_condition() {
    let (base, size) = reservation();
    let other = reserve(size, base.addr().get()).unwrap();
    assert_ne!(other, base);
    // SAFETY: The reservation is whole.
    unsafe { release(other, size) };
    // SAFETY: As above.
    unsafe { release(base, size) };
}

#[test]
fn the_map_reads_as_zero_where_nobody_wrote() {
    // The one readable reservation of this process is the map's.
    crate::object::allocate(1, 1).unwrap();
    for bits in 12..47 {
        assert_eq!(crate::object::bounds(core::ptr::without_provenance(1 << bits)), None);
    }
}

#[test]
fn pages_are_moved_or_stay() {
    let (source, size) = reservation();
    let (target, _) = reservation();
    // SAFETY: The range is ours.
    assert!(unsafe { commit(source, size) } && unsafe { commit(target, size) });
    fill(source, size, 3);
    fill(target, size, 4);
    // SAFETY: Both ranges are ours, and nobody needs them.
    let is_moved = unsafe { relocate(source, target, size - page_size()) } == Relocation::Moved;
    assert!(holds(target, size - page_size(), if is_moved { 3 } else { 4 }));
    assert!(is_moved || holds(source, size, 3));
    // SAFETY: The reservation is whole.
    unsafe { release(source, size) };
    // SAFETY: As above.
    unsafe { release(target, size) };
}

#[test]
fn pages_that_were_moved_are_moved_again() {
    let size = 8 << 20;
    let [first, second, third] = [0; 3].map(|_| reserve(size, 0).unwrap());
    for place in [first, second, third] {
        // SAFETY: The range is ours.
        assert!(unsafe { commit(place, size) });
        fill(place, size, 1);
    }
    fill(first, size, 2);
    // SAFETY: The ranges are ours, and nobody needs what the target holds.
    let is_moved = unsafe { relocate(first, second, size / 4) } == Relocation::Moved;
    fill(second, size, 3);
    // SAFETY: As above.
    let again = unsafe { relocate(second, third, size - page_size()) };
    let is_again = again == Relocation::Moved;
    assert_eq!(is_moved, is_again, "the source is several mappings");
    assert!(holds(third, size - page_size(), if is_again { 3 } else { 1 }));
    for place in [second, third] {
        // SAFETY: The ranges are ours, and nobody needs them.
        assert!(unsafe { renew(place, size - page_size()) });
        assert!(holds(place, size - page_size(), 0));
        fill(place, size, 4);
    }
    for place in [first, second, third] {
        // SAFETY: The reservation is whole.
        unsafe { release(place, size) };
    }
}

#[test]
fn the_clock_goes_on() {
    let (ours, theirs) = (now_ms(), Instant::now());
    sleep_ms(50);
    assert!(theirs.elapsed() >= Duration::from_millis(50));
    // A coarse clock shows a tick of the system's, which may take that long.
    assert!((20..5000).contains(&(now_ms() - ours)));
}

#[test]
fn who_waits_is_woken() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waiting = thread::spawn(|| {
        while WORD.load(Acquire) == 0 {
            wait(&WORD, 0);
        }
    });
    sleep_ms(20);
    WORD.store(1, Release);
    wake(&WORD);
    waiting.join().unwrap();
    wait(&WORD, 0);
}

#[test]
fn random_words_differ() {
    let words: Vec<_> = (0..8).map(|_| random()).collect();
    assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn the_environment_is_read() {
    let mut names = 0;
    let mut has_path = false;
    variables(b"", |text| {
        names += 1;
        has_path |= text.to_ascii_uppercase().starts_with(b"PATH=");
    });
    assert!(has_path && names == std::env::vars_os().count());
    let mut paths = 0;
    variables(b"PATH=", |text| paths += usize::from(text.starts_with(b"PATH=")));
    assert!(paths == 1 || cfg!(windows), "names there may have any case");
}

#[test]
fn a_thread_of_our_own_runs() {
    static HAS_RUN: AtomicU32 = AtomicU32::new(0);
    fn work() {
        HAS_RUN.store(1, Relaxed);
    }
    assert!(start_thread(work));
    while HAS_RUN.load(Relaxed) == 0 {
        sleep_ms(1);
    }
}

#[test]
fn a_thread_that_ends_gives_its_local_back() {
    let local = || {
        crate::object::allocate(1, 1).unwrap();
        crate::thread::local().address()
    };
    let first = thread::spawn(local).join().unwrap();
    // Other tests' threads take locals as well, but not for long.
    let mut later = (0..100).map(|_| thread::spawn(local).join().unwrap());
    assert!(later.any(|later| later == first));
}
