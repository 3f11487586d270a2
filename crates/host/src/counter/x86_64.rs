//! The time-stamp counter, which counts 1 to 5 times in a nanosecond.

/// Counts between two looks at the clock: 13 to 67 ms.
pub const PERIOD: u64 = 1 << 26;

/// Reads the counter.
#[inline(always)]
pub fn read() -> u64 {
    // SAFETY: Every x86-64 processor has the instruction; user programs may use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Returns about how many counts a second has: processors differ, and who asks wants no more than
/// the order of it.
pub fn a_second() -> u64 {
    1 << 31
}
