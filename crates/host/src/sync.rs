//! What threads meet in, or hand on to one another, is made of these words.
//!
//! They are those of the language. Files that use them, and no others, also run under the model
//! checker: its models, in `tests/loom`, mount them beside a module of this name with its words.

pub use core::cell::Cell;
pub use core::hint::spin_loop;
pub use core::sync::atomic::{AtomicPtr, AtomicU32};

/// How often a taken lock is looked at before sleeping.
pub const SPINS: u32 = 100;
