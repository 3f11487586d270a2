//! What programs do with objects, over the calling thread's local: the way in for Rust and for C.
//!
//! Slots and spans become objects here, and objects slots and spans: what `guard` puts around
//! them is put and taken away in this file.

use crate::fail;
use crate::guard;
use crate::local::{Grown, Local};
use crate::map::{self, Entry, Tag};
use crate::os;
use crate::page;
use crate::size::{CHUNK, Class, SLOT, aligned};
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
#[must_use]
pub fn allocate(size: usize, align: usize) -> Option<NonNull<u8>> {
    allocate_in(thread::local(), size, align)
}

/// Allocates `size` bytes aligned to 16 if that takes no more than a look at a list: for callers
/// who want the rest, [`allocate_slow`], out of their way.
#[inline(always)]
#[must_use]
pub fn allocate_quick(size: usize) -> Option<NonNull<u8>> {
    let class = guard::class_of(size)?;
    Some(sealed(thread::local().allocate_quick(class)?, size, class))
}

/// Allocates what [`allocate_quick`] has not.
#[inline(always)]
#[must_use]
pub fn allocate_slow(size: usize) -> Option<NonNull<u8>> {
    match guard::class_of(size) {
        Some(class) => Some(sealed(thread::local().refill(class)?, size, class)),
        None => thread::local().allocate_odd(size),
    }
}

/// Allocates from a local: see [`allocate`].
#[inline(always)]
pub fn allocate_in(local: &'static Local, size: usize, align: usize) -> Option<NonNull<u8>> {
    if align > SLOT {
        return allocate_aligned(local, size, align);
    }
    match guard::class_of(size) {
        Some(class) => Some(sealed(local.allocate_class(class)?, size, class)),
        None => local.allocate_odd(size),
    }
}

#[inline(always)]
fn sealed(object: NonNull<u8>, size: usize, class: Class) -> NonNull<u8> {
    guard::seal(object, size, class);
    object
}

#[inline(never)]
fn allocate_aligned(local: &'static Local, size: usize, align: usize) -> Option<NonNull<u8>> {
    match class_of(size, align) {
        Some(class) => Some(sealed(local.allocate_class(class)?, size, class)),
        None => Some(local.allocate_large(size.max(1), align.div_ceil(CHUNK))?.object),
    }
}

/// The class of an object that is no large one.
#[inline(always)]
fn class_of(size: usize, align: usize) -> Option<Class> {
    if align <= SLOT {
        return guard::class_of(size.max(1));
    }
    if align > CHUNK {
        return None;
    }
    Class::of(aligned(guard::padded(size).max(1), align)?)
}

/// Allocates `size` bytes that are zero, aligned to `align`, a power of two.
#[inline]
#[must_use]
pub fn allocate_zeroed(size: usize, align: usize) -> Option<NonNull<u8>> {
    allocate_zeroed_in(thread::local(), size, align)
}

/// Allocates from a local: see [`allocate_zeroed`].
#[inline]
pub fn allocate_zeroed_in(local: &'static Local, size: usize, align: usize) -> Option<NonNull<u8>> {
    let Some(class) = class_of(size, align) else {
        return allocate_large_zeroed(local, size.max(1), align);
    };
    let object = sealed(local.allocate_class(class)?, size, class);
    if size <= ZERO_HERE_MOST && !guard::FENCES {
        zero_here(object, size);
    } else {
        // SAFETY: The object has that many bytes and nobody else knows of it.
        unsafe { object.write_bytes(0, size) };
    }
    Some(object)
}

/// Writes zeros in steps of the least slot: slots have whole ones.
#[inline(always)]
fn zero_here(object: NonNull<u8>, size: usize) {
    let place = object.cast::<[u64; 2]>();
    for index in 0..size.div_ceil(SLOT) {
        // SAFETY: An object's slot is a multiple of the least slot.
        let two = unsafe { place.add(index) };
        // SAFETY: As above, and aligned to it.
        unsafe { two.write([0; 2]) };
    }
}

#[inline(never)]
fn allocate_large_zeroed(local: &'static Local, size: usize, align: usize) -> Option<NonNull<u8>> {
    let large = local.allocate_large(size, align.div_ceil(CHUNK))?;
    let object = large.object;
    if large.is_zero {
        return Some(object);
    }
    if size < DECOMMIT_LEAST || !zero_pages(object, size) {
        // SAFETY: The object has that many bytes and nobody else knows of it.
        unsafe { object.write_bytes(0, size) };
    }
    Some(object)
}

/// Makes a new object zero by giving its pages back, those that are its own from end to end: the
/// last may have guards behind the object. False when the system refuses.
fn zero_pages(object: NonNull<u8>, size: usize) -> bool {
    let Some((pages, len)) = page::within(object, size) else { return false };
    // SAFETY: The pages are the object's alone, and nobody needs what they hold.
    if !unsafe { os::decommit(pages, len) } {
        return false;
    }
    let before = pages.addr().get() - object.addr().get();
    // SAFETY: The object has that many bytes and nobody else knows of it.
    unsafe { object.write_bytes(0, before) };
    // SAFETY: The pages are the object's.
    let rest = unsafe { pages.add(len) };
    // SAFETY: As above.
    unsafe { rest.write_bytes(0, size - before - len) };
    true
}

/// Frees an object.
///
/// # Safety
///
/// `object` is null, or live: it came from this module, and is never used again.
#[inline(always)]
pub unsafe fn free(object: *mut u8) {
    let (local, entry) = (thread::local(), map::entry(object.addr()));
    // SAFETY: As promised to us.
    unsafe { free_at(local, object, entry, None) };
}

/// # Safety
///
/// As of [`free`], and `entry` is the object's.
#[inline(always)]
unsafe fn free_at(
    local: &'static Local,
    object: *mut u8,
    entry: &'static Entry,
    size: Option<usize>,
) {
    if let Some(class_index) = entry.tag().class_in(local)
        // SAFETY: As promised to us, and so the tag says.
        && unsafe { guard::open_quick(object, class_index, size) }
    {
        // SAFETY: As promised to us, and the tag is of one of its own slabs.
        return unsafe { local.free_own(object, entry, class_index) };
    }
    // SAFETY: As promised to us.
    unsafe { free_slow(local, object, entry, size) };
}

/// # Safety
///
/// As of [`free_at`].
#[inline(always)]
unsafe fn free_slow(
    local: &'static Local,
    object: *mut u8,
    entry: &'static Entry,
    size: Option<usize>,
) {
    if guard::FENCES {
        // SAFETY: As promised to us.
        return unsafe { free_guarded(local, object, entry, size) };
    }
    // SAFETY: As promised to us.
    unsafe { local.free_foreign(object, entry) };
}

/// Out of the quick way's registers.
///
/// # Safety
///
/// As of [`free_at`].
#[inline(never)]
unsafe fn free_guarded(
    local: &'static Local,
    object: *mut u8,
    entry: &'static Entry,
    size: Option<usize>,
) {
    // SAFETY: As promised to us.
    unsafe { guard::open(&local.guard, object, entry, size) };
    // SAFETY: As promised to us.
    unsafe { local.free_at(object, entry) };
}

/// Frees an object whose size the caller knows: the guards look whether it is that.
///
/// # Safety
///
/// As of [`free`], and the object was asked for with this size.
#[inline(always)]
pub unsafe fn free_sized(object: *mut u8, size: usize) {
    let (local, entry) = (thread::local(), map::entry(object.addr()));
    // SAFETY: As promised to us.
    unsafe { free_at(local, object, entry, Some(size)) };
}

/// Gives an object another size, with its contents as far as both sizes go, aligned to `align`.
/// None when there is no memory; the object is as it was.
///
/// # Safety
///
/// `object` is live, and if the answer is another address, is never used again.
#[inline]
#[must_use]
pub unsafe fn reallocate(object: NonNull<u8>, size: usize, align: usize) -> Option<NonNull<u8>> {
    let local = thread::local();
    match resize(local, object, size, align) {
        Some(Grown::InPlace) => Some(object),
        Some(Grown::Moved(target)) => Some(target),
        // SAFETY: As promised to us.
        None => unsafe { copy_to_new(local, object, size, align) },
    }
}

/// Gives an object another size without copying it, if that can be.
#[inline(always)]
pub(crate) fn resize(
    local: &'static Local,
    object: NonNull<u8>,
    size: usize,
    align: usize,
) -> Option<Grown> {
    let entry = map::entry(object.addr().get());
    let class = class_of(size, align);
    if !entry.tag().is_large() {
        let class = class.filter(|class| class.index() == entry.tag().class_index())?;
        if entry.tag() == Tag::NONE {
            fail::invalid_resize(object.addr().get());
        }
        guard::seal_again(object, size, class);
        return Some(Grown::InPlace);
    }
    if class.is_some() {
        return None;
    }
    resize_large(local, object, entry.span()?, size, align)
}

#[inline(never)]
fn resize_large(
    local: &'static Local,
    object: NonNull<u8>,
    span: &'static Span,
    size: usize,
    align: usize,
) -> Option<Grown> {
    guard::ensure_live(object);
    let is_aligned = object.addr().get() & (align - 1) == 0;
    if !is_aligned { None } else { local.resize_large(span, size, align.div_ceil(CHUNK)) }
}

/// Makes an object longer or shorter where it is; false when that can't be.
#[must_use]
pub fn resize_in_place(object: NonNull<u8>, size: usize, align: usize) -> bool {
    let entry = map::entry(object.addr().get());
    let is_large = entry.tag().is_large();
    match entry.span().filter(|_| is_large && class_of(size, align).is_none()) {
        Some(span) => {
            guard::ensure_live(object);
            thread::local().resize_large_here(span, size)
        }
        None => !is_large && resize(thread::local(), object, size, align).is_some(),
    }
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
    guard::ensure_live(object);
    let Some(room) = usable_size(object.as_ptr()) else {
        fail::invalid_resize(object.addr().get())
    };
    let target = allocate_in(local, size, align)?;
    // All that may be used is copied, and the program's pointer may be to what it asked for alone.
    let source = core::ptr::with_exposed_provenance(object.addr().get());
    // SAFETY: Both objects have that many bytes, and one of them is new.
    unsafe { target.as_ptr().copy_from_nonoverlapping(source, room.min(size)) };
    // SAFETY: As promised to us.
    unsafe { free(object.as_ptr()) };
    Some(target)
}

/// Returns the bytes of the object at this address that may be used; none when there is none.
#[inline]
#[must_use]
pub fn usable_size(object: *const u8) -> Option<usize> {
    let bounds = bounds(object)?;
    (bounds.start == object.addr()).then(|| bounds.end - bounds.start)
}

/// Returns from where to where the object goes that this address lies in; none when it is not
/// ours. An object that is free may be shown like a live one. Takes constant time, for any address;
/// nobody drops the heap meanwhile that it lies in, and with the feature `hardened` nobody frees
/// the object.
#[inline]
#[must_use]
pub fn bounds(address: *const u8) -> Option<Range<usize>> {
    let span = map::entry(address.addr()).span()?;
    span.offset_of(address.addr())?;
    let (object, size) = match span.state() {
        State::Current | State::Sleeping | State::Available => {
            let (object, room) = slot_at(span, address.addr())?;
            (object, guard::usable(object, room)?)
        }
        State::Large => (guard::object_of(span).0, guard::usable_large(span)?),
        State::Free | State::Internal => return None,
    };
    let start = object.addr().get();
    let bounds = start..start + size;
    // An object of no bytes has an address all the same.
    (bounds.contains(&address.addr()) || start == address.addr()).then_some(bounds)
}

fn slot_at(span: &Span, address: usize) -> Option<(NonNull<u8>, usize)> {
    let (shape, first) = (span.class().shape(), span.first_slot());
    let offset = address.checked_sub(first.addr().get())?;
    let (index, size) = (shape.slot_of(offset), shape.size as usize);
    if index >= shape.slots as usize {
        return None;
    }
    // SAFETY: The slot is in the span.
    Some((unsafe { first.add(index * size) }, size))
}
