//! Where in its slab the first slot lies: at the beginning, or with the feature `cache-friendly` at
//! an offset that varies from slab to slab.
//!
//! Slabs begin at multiples of a chunk, so their first slots all fall into the same few sets of a
//! cache; a program that uses some objects of many slabs then has them push each other out. An
//! offset by whole cache lines spreads them (Bonwick's slab colouring, USENIX 1994).
//!
//! Two modules with the same items; which one is built is chosen here and nowhere else.
//!
//! | item | what it is |
//! |---|---|
//! | `SPREAD` | bytes of a slab that should be left for offsets |
//! | `offset` | where the first slot of a slab lies |

#[cfg(not(feature = "cache-friendly"))]
mod plain;
#[cfg(feature = "cache-friendly")]
mod varied;

#[cfg(not(feature = "cache-friendly"))]
pub use plain::*;
#[cfg(feature = "cache-friendly")]
pub use varied::*;
