//! What a process does that the kernel gives no address space any more, when pages are moved: the
//! kernel unmaps their target before it refuses.

#![cfg(all(target_os = "linux", not(feature = "sim")))]

use polder_host::object;
use std::ptr::NonNull;

const MIB: usize = 1 << 20;

fn mark(object: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: The test marks objects of its own, of that size.
    unsafe { object.write_bytes(byte, size) };
}

fn is_marked(object: NonNull<u8>, size: usize, byte: u8) -> bool {
    // SAFETY: As above.
    let bytes = unsafe { core::slice::from_raw_parts(object.as_ptr(), size) };
    bytes.iter().all(|&found| found == byte)
}

#[test]
fn a_move_that_is_given_up_half_way_loses_no_object_and_hands_no_hole_out() {
    let size = 4 * MIB;
    let object = object::allocate(size, 16).expect("there is memory");
    // In the way of growing where it is.
    let behind = object::allocate(size, 16).expect("there is memory");
    // Memory for what the process does below, and a move that the kernel does.
    let room = object::allocate(3 * size, 16).expect("there is memory");
    let _fence = object::allocate(size, 16).expect("there is memory");
    mark(room, 3 * size, 1);
    // SAFETY: The object is live, and only the new one is used.
    let room = unsafe { object::reallocate(room, 6 * size, 16) }.expect("there is memory");
    mark(object, size, 2);
    // SAFETY: The object is live, and not used again.
    unsafe { object::free(room.as_ptr()) };
    // Less than there is already: the kernel refuses to map anything.
    let limit = libc::rlimit { rlim_cur: MIB as u64, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: The pointer is to a whole `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
    // SAFETY: The object is live, and only the new one is used.
    let grown = unsafe { object::reallocate(object, size + MIB, 16) };
    let object = grown.unwrap_or(object);
    assert!(is_marked(object, size, 2));
    // All that there is to be had can be written to; an emulator may not hear of the limit.
    for object in (0..100).map_while(|_| object::allocate(MIB, 16)) {
        mark(object, MIB, 3);
    }
    assert!(is_marked(object, size, 2));
    mark(behind, size, 4);
}
