//! The processor's own counter: one instruction that tells whether it is time to look at the clock.
//!
//! How fast it counts differs from processor to processor, so it measures nothing: it only spares
//! most of the looks at a clock that does, and bounds what guards cost.

// Only the guards of the hardened build ask how long a second is.
#![cfg_attr(not(feature = "hardened"), allow(dead_code))]

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod aarch64;
#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod plain;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86_64;

#[cfg(all(target_arch = "aarch64", not(miri)))]
pub use aarch64::*;
#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub use plain::*;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub use x86_64::*;
