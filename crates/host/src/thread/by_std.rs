//! The thread's word as `std` keeps it: without a destructor, so that there is none to register,
//! and with a constant at its begin, so that there is nothing to ask.

use crate::local::{EMPTY, Local};
use core::cell::Cell;

std::thread_local! {
    static LOCAL: Cell<&'static Local> = const { Cell::new(&EMPTY) };
}

/// Returns the word.
#[inline(always)]
pub fn get() -> &'static Local {
    LOCAL.with(Cell::get)
}

/// Sets the word.
pub fn set(local: &'static Local) {
    LOCAL.with(|word| word.set(local));
}
