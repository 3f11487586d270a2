//! The thread's word in TLS, found by its descriptor: the general model, for a library that is
//! loaded late and may be one too many for the static reserve.
//!
//! The dynamic linker puts a function into the descriptor that returns the word's distance from
//! the thread's pointer: for what is in static TLS after all it is one load. By convention it keeps
//! all registers but those named here; in glibc before 2.40 it forgets those of vectors when it has
//! to allocate first, so all that a C function may change counts as changed.

use crate::local::Local;
use core::arch::asm;

/// Returns where the word is.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn place() -> *mut &'static Local {
    let place;
    // SAFETY: Calls what the dynamic linker has put there for the word, with a stack that is
    // aligned for it; the thread's pointer is also the first word that it points to.
    unsafe {
        asm!(
            "lea rax, [rip + polder_local@TLSDESC]",
            "call qword ptr [rax + polder_local@TLSCALL]",
            "add rax, qword ptr fs:[0]",
            out("rax") place,
            clobber_abi("C"),
        );
    }
    place
}

/// Returns where the word is.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn place() -> *mut &'static Local {
    let place;
    // SAFETY: As above.
    unsafe {
        asm!(
            "adrp x0, :tlsdesc:polder_local",
            "ldr x1, [x0, :tlsdesc_lo12:polder_local]",
            "add x0, x0, :tlsdesc_lo12:polder_local",
            ".tlsdesccall polder_local",
            "blr x1",
            "mrs x1, tpidr_el0",
            "add x0, x0, x1",
            out("x0") place,
            out("x1") _,
            clobber_abi("C"),
        );
    }
    place
}

/// Returns the word.
#[inline(always)]
pub fn get() -> &'static Local {
    // SAFETY: It is this thread's, begins with `EMPTY`, and `set` stores nothing but references.
    unsafe { *place() }
}

/// Sets the word.
pub fn set(local: &'static Local) {
    // SAFETY: The word is this thread's, which reads and writes it in these functions alone.
    unsafe { *place() = local };
}
