//! What programs do with objects, over the calling thread's local: the way in for Rust and for C.

use crate::local::{Grown, Local};
use crate::map;
use crate::os;
use crate::size::{CHUNK, Class, SLOT, SMALL_MAX, aligned, chunks_of};
use crate::span::{Span, State};
use crate::thread;
use core::ops::Range;
use core::ptr::NonNull;

/// From this many bytes on, old memory is made zero by giving it back instead of writing it.
const DECOMMIT_LEAST: usize = 1 << 20;
/// Up to this many bytes zeros are written here, without a call.
const ZERO_HERE_MOST: usize = 256;

/// Allocates `size` bytes aligned to `align`, a power of two. None when there is no memory.
///
/// A size of 0 gives an object of its own.
#[inline(always)]
pub fn allocate(size: usize, align: usize) -> Option<NonNull<u8>> {
    allocate_in(thread::local(), size, align)
}

/// Allocates `size` bytes aligned to 16 if that takes no more than a look at a list: for callers
/// who want the rest, [`allocate`], out of their way.
#[inline(always)]
pub fn allocate_quick(size: usize) -> Option<NonNull<u8>> {
    thread::local().allocate_quick(size)
}

/// Allocates what [`allocate_quick`] has not.
#[inline(always)]
pub fn allocate_slow(size: usize) -> Option<NonNull<u8>> {
    thread::local().allocate_slow(size)
}

/// Allocates from a local: see [`allocate`].
#[inline(always)]
pub fn allocate_in(local: &'static Local, size: usize, align: usize) -> Option<NonNull<u8>> {
    if align <= SLOT {
        return local.allocate(size);
    }
    allocate_aligned(local, size, align)
}

#[inline(never)]
fn allocate_aligned(local: &'static Local, size: usize, align: usize) -> Option<NonNull<u8>> {
    let rounded = aligned(size, align)?;
    if align <= CHUNK {
        return local.allocate(rounded);
    }
    Some(local.allocate_large(size.max(1), align / CHUNK)?.object)
}

/// Allocates `size` bytes that are zero, aligned to `align`, a power of two.
#[inline]
pub fn allocate_zeroed(size: usize, align: usize) -> Option<NonNull<u8>> {
    allocate_zeroed_in(thread::local(), size, align)
}

/// Allocates from a local: see [`allocate_zeroed`].
#[inline]
pub fn allocate_zeroed_in(
    local: &'static Local,
    size: usize,
    align: usize,
) -> Option<NonNull<u8>> {
    if size > SMALL_MAX {
        return allocate_large_zeroed(local, size, align);
    }
    let object = allocate_in(local, size, align)?;
    if size <= ZERO_HERE_MOST {
        zero_here(object, size);
    } else {
        // SAFETY: The object has that many bytes and nobody else knows of it.
        unsafe { object.write_bytes(0, size) };
    }
    Some(object)
}

/// Writes zeros in steps of the least slot: objects have whole ones.
#[inline(always)]
fn zero_here(object: NonNull<u8>, size: usize) {
    let place = object.cast::<[u64; 2]>();
    for index in 0..size.div_ceil(SLOT) {
        // SAFETY: An object's slot is a multiple of the least slot, and aligned to it.
        unsafe { place.add(index).write([0; 2]) };
    }
}

#[inline(never)]
fn allocate_large_zeroed(
    local: &'static Local,
    size: usize,
    align: usize,
) -> Option<NonNull<u8>> {
    let large = local.allocate_large(size, align.div_ceil(CHUNK))?;
    let object = large.object;
    if large.is_zero {
        return Some(object);
    }
    let pages = chunks_of(size) * CHUNK;
    // SAFETY: The object is a span of whole chunks, and nobody needs what it holds.
    if size < DECOMMIT_LEAST || !unsafe { os::decommit(object, pages) } {
        // SAFETY: The object has that many bytes and nobody else knows of it.
        unsafe { object.write_bytes(0, size) };
    }
    Some(object)
}

/// Frees an object.
///
/// # Safety
///
/// `object` is null, or live: it came from this module, and is never used again.
#[inline(always)]
pub unsafe fn free(object: *mut u8) {
    // SAFETY: As promised to us.
    unsafe { thread::local().free(object) };
}

/// Frees an object whose size and alignment the caller knows.
///
/// # Safety
///
/// As of [`free`], and the object was asked for with this size and alignment.
#[inline(always)]
pub unsafe fn free_sized(object: *mut u8, size: usize, align: usize) {
    if size > SMALL_MAX || align > CHUNK {
        // SAFETY: As promised to us.
        return unsafe { thread::local().free_foreign(object, map::entry(object.addr())) };
    }
    // SAFETY: As promised to us.
    unsafe { free(object) };
}

/// Makes an object longer or shorter where it is; false when that can't be.
pub fn resize_in_place(object: NonNull<u8>, size: usize, align: usize) -> bool {
    let entry = map::entry(object.addr().get());
    let (local, is_large) = (thread::local(), entry.tag().is_large());
    match entry.span().filter(|_| is_large && size > SMALL_MAX) {
        Some(span) => local.resize_large_here(span, size),
        None => !is_large && resize(local, object, size, align).is_some(),
    }
}

/// Gives an object another size, with its contents as far as both sizes go, aligned to `align`.
/// None when there is no memory; the object is as it was.
///
/// # Safety
///
/// `object` is live, and if the answer is another address, is never used again.
#[inline]
pub unsafe fn reallocate(object: NonNull<u8>, size: usize, align: usize) -> Option<NonNull<u8>> {
    // SAFETY: As promised to us.
    unsafe { reallocate_in(thread::local(), object, size, align) }
}

/// Reallocates in a local: see [`reallocate`].
///
/// # Safety
///
/// As of [`reallocate`].
#[inline]
pub unsafe fn reallocate_in(
    local: &'static Local,
    object: NonNull<u8>,
    size: usize,
    align: usize,
) -> Option<NonNull<u8>> {
    match resize(local, object, size, align) {
        Some(Grown::InPlace) => Some(object),
        Some(Grown::Moved(target)) => Some(target),
        // SAFETY: As promised to us.
        None => unsafe { copy_to_new(local, object, size, align) },
    }
}

/// Gives an object another size without copying it, if that can be.
#[inline]
pub(crate) fn resize(
    local: &'static Local,
    object: NonNull<u8>,
    size: usize,
    align: usize,
) -> Option<Grown> {
    let tag = map::entry(object.addr().get()).tag();
    if !tag.is_large() {
        let class = Class::of(aligned(size, align)?)?;
        return (class.index() == tag.class_index()).then_some(Grown::InPlace);
    }
    if size <= SMALL_MAX || object.addr().get() & (align - 1) != 0 {
        return None;
    }
    let span = map::entry(object.addr().get()).span()?;
    local.resize_large(span, size, align.div_ceil(CHUNK))
}

/// # Safety
///
/// As of [`reallocate`].
#[inline(never)]
unsafe fn copy_to_new(
    local: &'static Local,
    object: NonNull<u8>,
    size: usize,
    align: usize,
) -> Option<NonNull<u8>> {
    let kept = usable_size(object.as_ptr())?.min(size);
    let target = allocate_in(local, size, align)?;
    // SAFETY: Both objects have that many bytes, and one of them is new.
    unsafe { target.copy_from_nonoverlapping(object, kept) };
    // SAFETY: As promised to us.
    unsafe { thread::local().free(object.as_ptr()) };
    Some(target)
}

/// Returns the bytes of the object at this address that may be used; none when there is none.
#[inline]
pub fn usable_size(object: *const u8) -> Option<usize> {
    let bounds = bounds(object)?;
    (bounds.start == object.addr()).then(|| bounds.end - bounds.start)
}

/// Returns from where to where the object goes that this address lies in; none when it is not
/// ours. An object that is free may be shown like a live one. Takes constant time, for any address.
#[inline]
pub fn bounds(address: *const u8) -> Option<Range<usize>> {
    let span = map::entry(address.addr()).span()?;
    let offset = span.offset_of(address.addr())?;
    let start = span.start().addr().get();
    match span.state() {
        State::Current | State::Sleeping | State::Available => slot_bounds(span, offset),
        State::Large => Some(start..start + span.size()),
        State::Free | State::Internal => None,
    }
}

fn slot_bounds(span: &Span, offset: usize) -> Option<Range<usize>> {
    let shape = span.class().shape();
    let index = shape.slot_of(offset);
    let first = span.start().addr().get() + index * shape.size as usize;
    (index < shape.slots as usize).then(|| first..first + shape.size as usize)
}
