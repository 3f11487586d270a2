//! The mistakes: a table of them, what becomes of each, and the functions that make them.
//!
//! A mistake's function says the address that a report shall have, and returns only when nobody
//! has stopped it: whether what it did was without harm.

use super::End::{self, Fault, Harmless, Missed, Told};
use super::word;
use polder_host::{Heap, HeapOptions, Polder, check, object};
use std::alloc::{GlobalAlloc, Layout};
use std::thread;

/// A mistake, and its end for each of the sizes.
pub struct Mistake {
    pub name: &'static str,
    /// Makes it with an object of so many bytes. Returns whether it was harmless.
    pub make: fn(usize) -> bool,
    pub ends: [End; 3],
}

const fn row(name: &'static str, make: fn(usize) -> bool, ends: [End; 3]) -> Mistake {
    Mistake { name, make, ends }
}

const NOT_LOOKED_AT: End =
    Missed("a slot that is handed out is looked at at its ends alone: all of it would be slow");

pub const TABLE: &[Mistake] = &[
    row("overflow by 1", |size| overflow(size, 1), [Told, Told, Told]),
    row("overflow by 32", |size| overflow(size, 32), [Told, Told, Told]),
    row("overflow by memcpy of 8", overflow_by_copy, [Told, Told, Told]),
    row("underflow by 1", |size| underflow(size, 1), [Told, Told, Fault]),
    row("underflow by 32", |size| underflow(size, 32), [Told, Told, Fault]),
    row("double free", double_free, [Told, Told, Told]),
    row("double free, another between", double_free_other, [Told, Told, Told]),
    row("double free, many between", double_free_many, [Told, Told, Told]),
    row("double free, an allocation between", double_free_reused, [Told, Told, Told]),
    row("double free, first by another thread", double_free_thread, [Told, Told, Told]),
    row("free within an object", free_within, [Told, Told, Told]),
    row("free of an unaligned address", free_unaligned, [Told, Told, Told]),
    row("free of stack memory", free_of_stack, [Told, Told, Told]),
    row("free with another size", free_with_other_size, [Told, Told, Told]),
    row("write after free", |size| write_after_free(size, 0, 8), [Told, Told, Fault]),
    row("write of two words after free", |size| write_after_free(size, 0, 16), [Told, Told, Fault]),
    row(
        "write behind the link after free",
        |size| write_after_free(size, 8, 16),
        [Told, Told, Fault],
    ),
    row(
        "write after free, within",
        |size| write_after_free(size, size / 2, 8),
        [Told, NOT_LOOKED_AT, Fault],
    ),
    row(
        "write after free, at the end",
        |size| write_after_free(size, size - 8, 8),
        [NOT_LOOKED_AT, NOT_LOOKED_AT, Fault],
    ),
    row("read after free", read_after_free, [Harmless, Harmless, Fault]),
    row("reallocation after free", reallocate_after_free, [Told, Told, Told]),
    row("uninitialised read of reused memory", read_uninitialised, [Harmless; 3]),
    row("huge request", ask_for_much, [Harmless; 3]),
];

/// Second frees of others' objects, and what a report says of the owner in a slab.
pub const OWNERS: &[(Mistake, &str)] = &[
    (row("double free of one's own", double_free, [Told; 3]), ", of this thread"),
    (row("double free of another's", double_free_of_another, [Told; 3]), ", of another thread"),
    (row("double free of a heap's", double_free_of_heap, [Told; 3]), ", of a heap"),
];

/// What an object holds: differs with the place.
fn pattern(index: usize) -> u8 {
    (index ^ index >> 8).wrapping_mul(29) as u8 ^ 0x5a
}

/// Allocates an object, and fills it.
fn make(size: usize) -> *mut u8 {
    let object = make_empty(size);
    for index in 0..size {
        write(object, index, pattern(index));
    }
    object
}

fn make_empty(size: usize) -> *mut u8 {
    object::allocate(size, 16).expect("there is memory").as_ptr()
}

/// Makes the object that a mistake is made with, among others, and says its address. It is not the
/// first of its slab.
fn victim(size: usize) -> *mut u8 {
    let object = (0..8).map(|_| make(size)).max().expect("some were made");
    say(object);
    object
}

fn say(object: *const u8) {
    println!("\n{}{:#x}", word::ADDRESS, object.addr());
}

fn free(object: *mut u8) {
    // SAFETY: None: that it is a mistake is what is tested.
    unsafe { object::free(object) };
}

fn write(object: *mut u8, index: usize, value: u8) {
    // SAFETY: None, as in `free`: volatile, so that it is done all the same.
    unsafe { object.wrapping_add(index).write_volatile(value) };
}

fn read(object: *const u8, index: usize) -> u8 {
    // SAFETY: None, as in `free`.
    unsafe { object.wrapping_add(index).read_volatile() }
}

/// Uses so many objects of a size that each free place has its turn, and frees them.
fn come_round(size: usize) {
    let objects: Vec<_> = (0..rounds(size)).map(|_| make(size)).collect();
    objects.into_iter().for_each(free);
}

/// More objects than one slab has, or the cache.
fn rounds(size: usize) -> usize {
    (4 << 20) / size.next_multiple_of(1024)
}

fn overflow(size: usize, count: usize) -> bool {
    let object = victim(size);
    for index in 0..count {
        // Zero is what the end of a text is, and never what stands behind a large object.
        write(object, size + index, 0);
    }
    free(object);
    false
}

fn overflow_by_copy(size: usize) -> bool {
    let object = victim(size);
    let source = vec![7u8; size + 8];
    // SAFETY: None, as in `free`.
    unsafe { object.copy_from_nonoverlapping(source.as_ptr(), source.len()) };
    free(object);
    false
}

fn underflow(size: usize, count: usize) -> bool {
    let object = victim(size);
    for index in 1..=count {
        write(object.wrapping_sub(index), 0, 0x55);
    }
    free(object);
    false
}

fn double_free(size: usize) -> bool {
    let object = victim(size);
    free(object);
    free(object);
    false
}

fn double_free_other(size: usize) -> bool {
    let other = make(size);
    let object = victim(size);
    free(object);
    free(other);
    free(object);
    false
}

fn double_free_many(size: usize) -> bool {
    let others: Vec<_> = (0..rounds(size)).map(|_| make(size)).collect();
    let object = victim(size);
    free(object);
    others.into_iter().for_each(free);
    free(object);
    false
}

/// The second free may be of the new object; then who has that frees it a second time.
fn double_free_reused(size: usize) -> bool {
    let object = victim(size);
    free(object);
    let other = make(size);
    free(object);
    free(other);
    false
}

fn double_free_thread(size: usize) -> bool {
    let object = victim(size);
    let address = object.expose_provenance();
    let other = thread::spawn(move || free(std::ptr::with_exposed_provenance_mut(address)));
    other.join().expect("a free does not panic");
    free(object);
    false
}

fn double_free_of_another(size: usize) -> bool {
    // This thread shall not take over what the other leaves.
    free(make(size));
    let other = thread::spawn(move || victim(size).expose_provenance());
    let object = other.join().expect("an allocation does not panic");
    let object = std::ptr::with_exposed_provenance_mut(object);
    free(object);
    free(object);
    false
}

fn double_free_of_heap(size: usize) -> bool {
    let heap = Heap::new(HeapOptions::new()).expect("there is memory");
    let object = heap.allocate(size, 16).expect("there is memory").as_ptr();
    say(object);
    free(object);
    free(object);
    false
}

fn free_within(size: usize) -> bool {
    let within = victim(size).wrapping_add((size / 2) & !15);
    say(within);
    free(within);
    false
}

fn free_unaligned(size: usize) -> bool {
    let within = victim(size).wrapping_add(1);
    say(within);
    free(within);
    false
}

fn free_of_stack(size: usize) -> bool {
    let mut place = [0u128; 200_000 / 16];
    let object = (&raw mut place[place.len() - size.div_ceil(16)]).cast();
    free(make(size));
    say(object);
    free(object);
    false
}

fn free_with_other_size(size: usize) -> bool {
    let object = victim(size);
    let layout = Layout::from_size_align(size + 1, 16).expect("the size is small");
    // SAFETY: None, as in `free`.
    unsafe { Polder.dealloc(object, layout) };
    false
}

fn write_after_free(size: usize, from: usize, count: usize) -> bool {
    let object = victim(size);
    free(object);
    for index in from..from + count {
        write(object, index, 0x55);
    }
    come_round(size);
    false
}

/// Tells whether four bytes in a row are as `make` wrote them.
fn shows_pattern(object: *const u8, size: usize) -> bool {
    (0..size - 4).any(|start| (start..start + 4).all(|index| read(object, index) == pattern(index)))
}

fn read_after_free(size: usize) -> bool {
    let object = victim(size);
    free(object);
    !shows_pattern(object, size)
}

fn read_uninitialised(size: usize) -> bool {
    let before: Vec<_> = (0..rounds(size)).map(|_| make(size)).collect();
    before.iter().copied().for_each(free);
    let after: Vec<_> = (0..rounds(size)).map(|_| make_empty(size)).collect();
    assert!(after.iter().any(|object| before.contains(object)), "memory is used again");
    !after.into_iter().any(|object| shows_pattern(object, size))
}

fn reallocate_after_free(size: usize) -> bool {
    let object = victim(size);
    free(object);
    let object = std::ptr::NonNull::new(object).expect("an object is not null");
    // SAFETY: None, as in `free`.
    let _: Option<_> = unsafe { object::reallocate(object, size + 4, 16) };
    false
}

/// As many bytes more than there are, as the size says; nothing has changed by that.
fn ask_for_much(size: usize) -> bool {
    let object = make(size);
    let sizes = [usize::MAX, usize::MAX - size, isize::MAX as usize - size, 1 << 60, 1 << 50];
    for much in sizes {
        for align in [1, 16, 64, 4096, 1 << 20] {
            if object::allocate(much, align).is_some()
                || object::allocate_zeroed(much, align).is_some()
            {
                return false;
            }
        }
        let object = std::ptr::NonNull::new(object).expect("an object is not null");
        // SAFETY: The object is live.
        if unsafe { object::reallocate(object, much, 16) }.is_some() {
            return false;
        }
    }
    let is_whole = shows_pattern(object, size) && check() == Ok(());
    free(object);
    come_round(size);
    is_whole
}
