//! One of Polder's peers behind the C functions, to be put under any program with `LD_PRELOAD`.
//!
//! A feature chooses the peer. Those written in C have the functions already, under names of their
//! own (`c`); for the one written in Rust they are made here (`rusty`). `rest` has what is made of
//! others.

#[cfg(any(
    feature = "mimalloc2",
    feature = "mimalloc3",
    feature = "mimalloc3-secure",
    feature = "snmalloc",
    feature = "jemalloc",
    feature = "rpmalloc"
))]
mod c;
mod rest;
#[cfg(feature = "rpmalloc")]
mod rpmalloc;
#[cfg(feature = "rusty")]
mod rusty;
#[cfg(feature = "snmalloc")]
mod snmalloc;
