//! The virtual count register, which counts 24 million to a billion times in a second.

/// Counts between two looks at the clock: 1 to 44 ms.
pub const PERIOD: u64 = 1 << 20;

/// Reads the counter.
#[inline(always)]
pub fn read() -> u64 {
    let count: u64;
    // SAFETY: Every aarch64 processor has the register; user programs may read it.
    unsafe {
        core::arch::asm!(
            "mrs {count}, cntvct_el0",
            count = out(reg) count,
            options(nomem, nostack, preserves_flags),
        );
    }
    count
}

/// Returns how many counts a second has.
pub fn a_second() -> u64 {
    let count: u64;
    // SAFETY: Every aarch64 processor has the register; user programs may read it.
    unsafe {
        core::arch::asm!(
            "mrs {count}, cntfrq_el0",
            count = out(reg) count,
            options(nomem, nostack, preserves_flags),
        );
    }
    // An emulator may have none.
    count.max(1)
}
