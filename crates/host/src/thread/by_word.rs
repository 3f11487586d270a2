//! The thread's word in static TLS, found by the initial-exec model: two instructions in a shared
//! library too, where the compiler's own way would call `__tls_get_addr`.
//!
//! The C library sets such words up when the program starts, or takes them from a small reserve
//! when a library is loaded later; eight bytes always fit.

use crate::local::Local;
use core::arch::asm;

/// Returns the word.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn get() -> &'static Local {
    let local: *const Local;
    // SAFETY: Reads the thread's word, at its distance from the thread's pointer.
    unsafe {
        asm!(
            "mov {local}, qword ptr [rip + polder_local@GOTTPOFF]",
            "mov {local}, qword ptr fs:[{local}]",
            local = out(reg) local,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    // SAFETY: The word begins with `EMPTY`, and `set` stores nothing but references.
    unsafe { &*local }
}

/// Sets the word.
#[cfg(target_arch = "x86_64")]
pub fn set(local: &'static Local) {
    // SAFETY: Writes the thread's word, at its distance from the thread's pointer.
    unsafe {
        asm!(
            "mov {place}, qword ptr [rip + polder_local@GOTTPOFF]",
            "mov qword ptr fs:[{place}], {local}",
            place = out(reg) _,
            local = in(reg) &raw const *local,
            options(nostack, preserves_flags),
        );
    }
}

/// Returns the word.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub fn get() -> &'static Local {
    let local: *const Local;
    // SAFETY: Reads the thread's word, at its distance from the thread's pointer.
    unsafe {
        asm!(
            "mrs {local}, tpidr_el0",
            "adrp {distance}, :gottprel:polder_local",
            "ldr {distance}, [{distance}, :gottprel_lo12:polder_local]",
            "ldr {local}, [{local}, {distance}]",
            local = out(reg) local,
            distance = out(reg) _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    // SAFETY: The word begins with `EMPTY`, and `set` stores nothing but references.
    unsafe { &*local }
}

/// Sets the word.
#[cfg(target_arch = "aarch64")]
pub fn set(local: &'static Local) {
    // SAFETY: Writes the thread's word, at its distance from the thread's pointer.
    unsafe {
        asm!(
            "mrs {place}, tpidr_el0",
            "adrp {distance}, :gottprel:polder_local",
            "ldr {distance}, [{distance}, :gottprel_lo12:polder_local]",
            "str {local}, [{place}, {distance}]",
            place = out(reg) _,
            distance = out(reg) _,
            local = in(reg) &raw const *local,
            options(nostack, preserves_flags),
        );
    }
}
