//! The host heap: a general-purpose process allocator in pure Rust.
#![no_std]
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(feature = "allocator-api2")]
mod api2;
mod block;
mod cache;
#[cfg(feature = "libc-api")]
mod capi;
mod clock;
mod colour;
mod counter;
mod ensure;
mod fail;
mod fork;
mod guard;
mod heap;
mod local;
mod lock;
mod map;
#[doc(hidden)]
pub mod object;
mod os;
mod outgoing;
mod polder;
mod pool;
mod purge;
mod queue;
mod report;
mod settings;
mod size;
mod slot;
mod span;
mod spans;
mod start;
mod stats;
mod tally;
mod thread;

pub use heap::{Heap, HeapOptions};
#[doc(hidden)]
pub use local::check;
#[cfg(any(miri, feature = "sim"))]
pub use os::control as sim;
pub use polder::{OutOfBounds, Polder};
pub use purge::trim;
pub use report::print as print_stats;
pub use settings::Settings;
pub use stats::{ClassStats, Stats, stats};
