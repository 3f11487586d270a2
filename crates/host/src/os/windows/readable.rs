//! Address space that reads as zero and costs no memory, which Windows does not have: a page of
//! it is committed by whoever first reads it, in a handler of the fault.
//!
//! The map commits what it writes to, so the handler is met only by questions about addresses
//! that are not ours. A program that asks none never enters it.
//!
//! # Invariants
//!
//! 1. There is one such range in the process, for there is one map, and it is never released.

use super::{commit, page_size, release, reserve};
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use windows_sys::Win32::Foundation::EXCEPTION_ACCESS_VIOLATION;
use windows_sys::Win32::System::Diagnostics::Debug::{
    AddVectoredExceptionHandler, EXCEPTION_CONTINUE_EXECUTION, EXCEPTION_CONTINUE_SEARCH,
    EXCEPTION_POINTERS, EXCEPTION_RECORD,
};

/// Whether the handler comes before all others.
const FIRST: u32 = 1;
/// What a fault's record says of a read.
const READ: usize = 0;

/// The range: where it begins, 0 before there is one, and its bytes.
static START: AtomicUsize = AtomicUsize::new(0);
static SIZE: AtomicUsize = AtomicUsize::new(0);

/// Reserves address space that reads as zero and costs no memory until it is committed. None
/// where there is such a range already (invariant 1).
pub fn reserve_readable(size: usize) -> Option<NonNull<u8>> {
    let base = reserve(size, 0)?;
    // No partner: whoever comes first has the range. The handler looks at `START` before this.
    let is_first = SIZE.compare_exchange(0, size, Relaxed, Relaxed).is_ok();
    // SAFETY: The handler lives as long as the process.
    if is_first && !unsafe { AddVectoredExceptionHandler(FIRST, Some(on_fault)) }.is_null() {
        // Release: pairs with the load in `is_ours`.
        START.store(base.addr().get(), Release);
        return Some(base);
    }
    if is_first {
        SIZE.store(0, Relaxed);
    }
    // SAFETY: It was reserved a moment ago, and nobody else knows of it.
    unsafe { release(base, size) };
    None
}

/// Commits the page that was read; passes every other fault on.
unsafe extern "system" fn on_fault(exception: *mut EXCEPTION_POINTERS) -> i32 {
    // SAFETY: The system calls with a whole structure.
    let exception = unsafe { &*exception };
    // SAFETY: As above.
    let record = unsafe { &*exception.ExceptionRecord };
    match address_read(record).filter(|&address| is_ours(address)) {
        Some(address) if commit_page(address) => EXCEPTION_CONTINUE_EXECUTION,
        _ => EXCEPTION_CONTINUE_SEARCH,
    }
}

fn address_read(record: &EXCEPTION_RECORD) -> Option<usize> {
    let [kind, address, ..] = record.ExceptionInformation;
    let is_read = record.ExceptionCode == EXCEPTION_ACCESS_VIOLATION && kind == READ;
    is_read.then_some(address)
}

fn is_ours(address: usize) -> bool {
    // Acquire: pairs with the store in `reserve_readable`, so that the size is there as well.
    let start = START.load(Acquire);
    start != 0 && address.wrapping_sub(start) < SIZE.load(Relaxed)
}

fn commit_page(address: usize) -> bool {
    let page = page_size();
    let start = core::ptr::with_exposed_provenance_mut::<u8>(address & !(page - 1));
    // SAFETY: The page lies in our range, which is a reservation of its own.
    NonNull::new(start).is_some_and(|start| unsafe { commit(start, page) })
}
