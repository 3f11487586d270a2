//! Whole programs, to take the time of. Each frees everything before it returns.
//!
//! They repeat what the programs of these names do, in our own words: how many threads there are,
//! which sizes come how often, how long blocks live and who frees them.

mod alloc_test;
mod cache;
mod collections;
mod glibc;
mod growth;
mod large;
mod larson;
mod mstress;
mod rptest;
mod sh;
mod short_threads;
mod xmalloc;

use crate::Pattern;

/// Two, as the machine of the project has processors.
const THREADS: u64 = 2;
const SEED: u64 = 0x5eed;

/// All of them.
pub const PATTERNS: &[Pattern] = &[
    Pattern::new("alloc-test", 24, alloc_test::run),
    Pattern::new("cache-scratch", 3_000, |times| cache::run(times, cache::Origin::Main)),
    Pattern::new("cache-thrash", 3_000, |times| cache::run(times, cache::Origin::Thread)),
    Pattern::new("glibc-simple", 500, glibc::simple),
    Pattern::new("glibc-thread", 32_000, glibc::threads),
    Pattern::new("larson", 200, larson::run),
    Pattern::new("malloc-large", 300, large::run),
    Pattern::new("mleak", 120, short_threads::mleak),
    Pattern::new("mstress", 120, mstress::run),
    Pattern::new("realloc-growth", 8, growth::run),
    Pattern::new("rptest", 60, rptest::run),
    Pattern::new("sh6", 60, sh::six),
    Pattern::new("sh8", 800, sh::eight),
    Pattern::new("thread-churn", 16_000, short_threads::churn),
    Pattern::new("xmalloc", 1_500, xmalloc::run),
    Pattern::new("hash-maps", 28, collections::hash_maps),
    Pattern::new("strings", 80, collections::strings),
    Pattern::new("trees", 30, collections::trees),
];

/// Runs the same in each thread, with a number that is its own.
fn in_threads(work: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
}
