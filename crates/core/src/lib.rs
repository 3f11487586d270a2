//! The parts that Polder's host heap and device heap share.
//!
//! An allocator is a supply, a division, a return and an account; the two heaps differ only at
//! their ends, the operating system and the device. What they share is here, and it knows numbers
//! only: offsets and indices, in storage that the caller lends. No operating system, no device,
//! no `std`, no allocation, no dependency, no `unsafe`: the host heap *is* the allocator and can
//! call none.
//!
//! | module | what it is |
//! |---|---|
//! | [`bins`] | sizes to small integers and back |
//! | [`bitset`] | a set of small integers, next member in constant time |
//! | [`check`] | which invariant does not hold |
//! | [`queue`] | many pushers, one owner, no lock |
//! | [`source`] | supply as composable layers |
//! | [`space`] | a range divided into regions |
//! | [`stats`] | counters, and sizes of regions |
//! | [`store`] | storage that the caller lends |
//! | [`table`] | slots with generations, free of locks |
#![no_std]
#![forbid(unsafe_code)]

pub mod bins;
pub mod bitset;
pub mod check;
pub mod queue;
pub mod source;
pub mod space;
pub mod stats;
pub mod store;
pub mod table;
