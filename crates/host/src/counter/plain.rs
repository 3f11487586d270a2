//! The clock itself, where there is no counter that is known to be there.

use crate::os;

/// Milliseconds between two looks at the clock.
pub const PERIOD: u64 = 20;

/// Reads the clock.
pub fn read() -> u64 {
    os::now_ms()
}

/// Returns how many counts a second has.
pub fn a_second() -> u64 {
    1000
}
