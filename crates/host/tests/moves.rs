//! Large objects that grow by moving their pages: what the kernel keeps of that.

#![cfg(all(target_os = "linux", not(feature = "sim")))]

use polder_host::object;
use std::fs;
use std::ptr::NonNull;

const MIB: usize = 1 << 20;
/// Of an object that is looked at, in bytes.
const MARK: usize = 64 << 10;

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").expect("the system tells").lines().count()
}

fn mark(object: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: The tests mark objects of theirs, of that size.
    unsafe { object.write_bytes(byte, size) };
}

fn is_marked(object: NonNull<u8>, size: usize, byte: u8) -> bool {
    // SAFETY: As above.
    let bytes = unsafe { core::slice::from_raw_parts(object.as_ptr(), size) };
    bytes.iter().all(|&found| found == byte)
}

#[test]
fn each_object_that_was_moved_costs_few_mappings_and_none_when_it_is_gone() {
    const OBJECTS: usize = 32;
    let before = mappings();
    let mut objects: Vec<_> =
        (0..OBJECTS).map(|_| object::allocate(MIB, 16).expect("there is memory")).collect();
    for size in (2..16).map(|size| size * MIB) {
        for (number, object) in objects.iter_mut().enumerate() {
            mark(*object, MARK, number as u8);
            // SAFETY: The object is live, and only the new one is used.
            let grown = unsafe { object::reallocate(*object, size, 16) };
            *object = grown.expect("there is memory");
            assert!(is_marked(*object, MARK, number as u8));
        }
    }
    let while_live = mappings();
    for object in objects {
        // SAFETY: The object is live, and not used again.
        unsafe { object::free(object.as_ptr()) };
    }
    polder_host::trim();
    let after = mappings();
    println!("{before} mappings, {while_live} with {OBJECTS} objects, {after} without");
    assert!(while_live < before + 8 * OBJECTS, "{while_live} mappings");
    // Guards that fault are mappings of their own as long as nothing else takes their place.
    assert!(after < before + OBJECTS || cfg!(feature = "hardened"), "{after} mappings");
}
