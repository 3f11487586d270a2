//! Address space for snmalloc under Valgrind, which has 128 GiB of it in all.
//!
//! snmalloc reserves 256 GiB at its start, 16 bytes for each 16 KiB of what a processor can
//! address, and uses no more of it than there is memory. Where the system refuses so much, a
//! sixteenth is enough for all addresses that Valgrind gives out. Elsewhere nothing changes.

use libc::{MAP_FAILED, c_int, c_void, off_t};

/// What is asked for again in part, at least.
const HUGE_SIZE: usize = 128 << 30;
const PART: usize = 16;

unsafe extern "C" {
    /// The C library's `mmap`; the linker gives its name to the function below.
    fn __real_mmap(
        address: *mut c_void,
        size: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: off_t,
    ) -> *mut c_void;
}

/// Maps memory.
///
/// # Safety
///
/// As of `mmap`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __wrap_mmap(
    address: *mut c_void,
    size: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: The caller keeps the contract of `mmap`.
    let mapped = unsafe { __real_mmap(address, size, protection, flags, file, offset) };
    if mapped != MAP_FAILED || size < HUGE_SIZE {
        return mapped;
    }
    // SAFETY: As above.
    unsafe { __real_mmap(address, size / PART, protection, flags, file, offset) }
}
