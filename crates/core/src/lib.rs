//! The parts that Polder's two heaps share.
#![no_std]
#![forbid(unsafe_code)]
