//! The heap begins when the library is loaded, not at the program's first allocation.
//!
//! Handlers that a program registers for forks are then called with the heap at hand: the heap
//! registers its own first, so that it stops last and goes on first.

use crate::family::{free, malloc};

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    // SAFETY: The object is live, and nobody else knows of it.
    unsafe { free(malloc(1)) };
}
