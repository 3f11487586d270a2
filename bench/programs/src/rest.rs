//! What a program still holds when it has freed everything and waits for work.
//!
//! Allocators give memory back on their next call after some time, so the program goes on a little:
//! one small block every ten milliseconds and one of 1 MiB every hundred.

use crate::block::Block;
use std::thread::sleep;
use std::time::Duration;

const STEPS: usize = 160;
const STEP: Duration = Duration::from_millis(10);
/// Every so many steps there is a large block.
const LARGE_EVERY: usize = 10;
const SMALL_SIZE: usize = 64;
const LARGE_SIZE: usize = 1 << 20;

/// Goes on for 1.6 seconds; returns what is resident then, in KiB.
pub fn after_some_activity() -> u64 {
    for step in 0..STEPS {
        sleep(STEP);
        Block::new(SMALL_SIZE).touch();
        if step % LARGE_EVERY == 0 {
            Block::new(LARGE_SIZE).touch();
        }
    }
    resident_kib()
}

/// Returns what is resident, in KiB.
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system tells of us");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("the system says what is resident")
}
