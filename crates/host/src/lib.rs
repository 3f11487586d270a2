//! The host heap: a general-purpose process allocator in pure Rust.
//!
//! ```
//! #[global_allocator]
//! static ALLOC: polder_host::Polder = polder_host::Polder;
//!
//! let words: Vec<String> = (0..100).map(|number| number.to_string()).collect();
//! assert!(ALLOC.owns(words.as_ptr()));
//! println!("{} B used, {} B held", ALLOC.stats().used, ALLOC.stats().held);
//! ```
//!
//! Each thread takes objects from lists of its own and frees to slabs of its own, without a lock
//! and without an atomic operation; what it frees of others' travels to them in batches. Memory
//! that was free for a while goes back to the system along the way. The plan is snmalloc's
//! (Liétar and others, ISMM 2019; BatchIt, ISMM 2024), the division of address space that of
//! `polder-core`.
//!
//! - [`Polder`]: the process's allocator, and questions about any pointer.
//! - [`Heap`]: a heap of one's own, with a limit, that goes as a whole.
//! - [`Settings`]: how long free memory is kept, limits; also by `POLDER_*` variables.
//! - [`Stats`]: what is used and held.
//!
//! | feature | what it does |
//! |---|---|
//! | `std` (default) | finds the thread's state through `std`, else by static TLS (Linux) |
//! | `allocator-api2` (default) | the `Allocator` trait for [`Polder`] and [`Heap`] |
//! | `hardened`, `check` | finds misuse and ends the process with one line |
//! | `debug` | internal checks in release builds too |
//! | `stats` | counts every allocation and free, exactly |
//! | `cache-friendly` | slabs begin at varying cache lines |
//! | `1mib` | takes address space from the system in smaller blocks |
//! | `local-dynamic-tls` | without `std`, the general model of TLS, for what is loaded late |
//! | `libc-api` | exports `polder_malloc` and the like for C |
//!
//! Linux (glibc, musl), macOS, Windows and FreeBSD, x86-64 and aarch64. On Linux nothing of the
//! heap needs `std`.
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
mod page;
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
mod sync;
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
