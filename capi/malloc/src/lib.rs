//! `libpolder_malloc`: `malloc` and its family, and C++'s `operator new`, over the host heap.
//!
//! `cargo build --package polder-malloc --profile malloc` makes a library to preload
//! (`LD_PRELOAD`) or to link before the C library. That profile ends the process on a panic, so
//! the crate needs nothing of `std`'s; the other profiles, which only check it, link `std`. Build
//! it by itself: in one build with the rest of the workspace the heap's feature `std` would be on.
//!
//! The thread's state is a word of static TLS (initial-exec), which a program that starts with the
//! library always has room for. For programs that load it late there is the feature
//! `local-dynamic-tls`.
//!
//! On Linux the names are those of the C library. Elsewhere symbols do not take one another's
//! place, and the functions are those of the heap's feature `libc-api`, with a prefix.

#![cfg_attr(all(panic = "abort", target_os = "linux"), no_std)]

#[cfg(target_os = "linux")]
mod begin;
#[cfg(target_os = "linux")]
mod errno;
#[cfg(target_os = "linux")]
mod family;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod operators;
#[cfg(all(panic = "abort", target_os = "linux"))]
mod panic;
#[cfg(target_os = "linux")]
mod report;

// What is exported elsewhere: the crate has to be named to be linked.
#[cfg(not(target_os = "linux"))]
extern crate polder_host;
