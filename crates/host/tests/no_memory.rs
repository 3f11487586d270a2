//! What a process without memory does: each failure leaves everything as it was.

#![cfg(all(target_os = "linux", not(feature = "sim")))]

use polder_host::{object, stats};

#[test]
fn requests_that_fail_leave_no_blocks() {
    let limit = libc::rlimit { rlim_cur: 256 << 20, rlim_max: 256 << 20 };
    // SAFETY: The pointer is to a whole `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) }, 0);
    if is_there(1 << 30) {
        println!("left out: the limit on data does not hold here, as under an emulator");
        return;
    }
    let _ = object::allocate(100, 8).expect("there is memory");
    let before = stats().reserved;
    for _ in 0..300 {
        assert_eq!(object::allocate(1 << 30, 8), None);
    }
    assert_eq!(stats().reserved, before);
    let _ = object::allocate(128 << 20, 8).expect("there is memory for this one");
}

/// Asks the system itself for so many bytes, and gives them back.
fn is_there(size: usize) -> bool {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: A new mapping, wherever there is room.
    let place = unsafe { libc::mmap(core::ptr::null_mut(), size, protection, flags, -1, 0) };
    // SAFETY: Nobody knows of the mapping, if there is one.
    place != libc::MAP_FAILED && unsafe { libc::munmap(place, size) } == 0
}
