//! What a process without memory does: each failure leaves everything as it was.

#![cfg(all(target_os = "linux", not(feature = "sim")))]

use polder_host::{object, stats};

#[test]
fn requests_that_fail_leave_no_blocks() {
    let limit = libc::rlimit { rlim_cur: 256 << 20, rlim_max: 256 << 20 };
    // SAFETY: The pointer is to a whole `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) }, 0);
    let _ = object::allocate(100, 8).expect("there is memory");
    let before = stats().reserved;
    for _ in 0..300 {
        assert_eq!(object::allocate(1 << 30, 8), None);
    }
    assert_eq!(stats().reserved, before);
    let _ = object::allocate(128 << 20, 8).expect("there is memory for this one");
}
