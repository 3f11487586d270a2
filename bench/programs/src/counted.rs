//! Single operations in loops, for counting instructions.
//!
//! Each pattern does its operation as often as it is told after the same preparation, so that the
//! difference of two counts is that of the operations alone.

mod held;
mod single;
mod threads;

use crate::Pattern;

/// All of them.
pub const PATTERNS: &[Pattern] = &[
    Pattern::new("pair-16", 50_000, |times| single::pairs(times, 16)),
    Pattern::new("pair-64", 50_000, |times| single::pairs(times, 64)),
    Pattern::new("pair-1k", 50_000, |times| single::pairs(times, 1 << 10)),
    Pattern::new("pair-8k", 50_000, |times| single::pairs(times, 8 << 10)),
    Pattern::new("pair-32k", 50_000, |times| single::pairs(times, 32 << 10)),
    Pattern::new("pair-256k", 2_000, |times| single::pairs(times, 256 << 10)),
    Pattern::new("pair-4m", 2_000, |times| single::pairs(times, 4 << 20)),
    Pattern::new("calloc-64", 50_000, |times| single::zeroed(times, 64)),
    Pattern::new("calloc-fresh", 100, held::fresh),
    Pattern::new("aligned-128", 50_000, |times| single::aligned(times, 128)),
    Pattern::new("aligned-4096", 50_000, |times| single::aligned(times, 4096)),
    Pattern::new("realloc-steps", 50_000, |times| single::growth(times, 16, 4 << 10)),
    Pattern::new("realloc-large", 320, |times| single::growth(times, 256 << 10, 8 << 20)),
    Pattern::new("fifo-128", 50_000, held::fifo),
    Pattern::new("lifo-128", 50_000, held::lifo),
    Pattern::new("churn", 49_152, held::churn),
    Pattern::new("strings-fifo", 50_000, held::strings),
    Pattern::new("remote-64", 50_000, threads::remote),
    Pattern::new("mixed-threads", 50_000, threads::mixed),
    Pattern::new("thread-start", 200, threads::start),
];
