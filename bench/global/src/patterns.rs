//! All patterns.

mod boxes;
mod collections;
mod raw;
mod threads;

use crate::Pattern;

/// Returns them all.
pub fn all() -> impl Iterator<Item = &'static Pattern> {
    [raw::PATTERNS, boxes::PATTERNS, collections::PATTERNS, threads::PATTERNS].into_iter().flatten()
}
