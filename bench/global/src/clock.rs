//! The processor time of this process.

use std::mem::MaybeUninit;

/// Returns what all threads have used so far, in nanoseconds.
pub fn processor_ns() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: The place can be written.
    let refused = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, time.as_mut_ptr()) };
    assert_eq!(refused, 0, "every process has this clock");
    // SAFETY: The call has filled it; zeroes were a value of it before.
    let time = unsafe { time.assume_init() };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
