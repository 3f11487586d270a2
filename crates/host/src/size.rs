//! Size classes: which slot holds a request, and how slots lie in their slab.
//!
//! Up to 128 bytes there is a class every 16 bytes, from there four a doubling: the bins of the
//! core with two bits of precision, in units of 16 bytes. Larger requests, and those aligned to
//! more than a chunk, are whole spans of their own. Every class above an alignment is a multiple
//! of it, so a request that is rounded up to its alignment needs no other path (snmalloc's
//! observation).
//!
//! # Invariants
//!
//! 1. A [`Class`] is below [`Class::COUNT`].
//! 2. The slots of a slab are `size` bytes apart from [`Shape::first_slot`] on, at least
//!    [`SLOTS_LEAST`] of them, and what is left of the slab is less than a sixteenth of it.

use crate::colour;
use crate::guard;
use polder_core::bins::Bins;

/// The unit of address space, in bytes: one entry of the map each.
pub const CHUNK: usize = 1 << CHUNK_BITS;
/// The base-two logarithm of [`CHUNK`].
pub const CHUNK_BITS: u32 = 14;
/// The least slot, the least alignment and the step between the least classes, in bytes. Two
/// words: a freed slot on its way to its owner holds two.
pub const SLOT: usize = 16;
/// The largest object in a slab, in bytes. Larger ones have a span of their own.
pub const SMALL_MAX: usize = 32 << 10;
/// The least number of slots in a slab.
const SLOTS_LEAST: usize = 8;
/// Slots that have to come back before a sleeping slab is looked at again, at most.
const WAKE_MOST: u32 = 32;

type Classes = Bins<2>;

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u8);

/// What all slabs of one class have in common.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of a slot.
    pub size: u32,
    /// Chunks of a slab.
    pub chunks: u32,
    /// Slots of a slab.
    pub slots: u32,
    /// Slots that have to come back before a sleeping slab is looked at again.
    pub wake: u32,
    /// `2^48 / size`, rounded up: offset times this, over `2^48`, is the slot's number.
    reciprocal: u64,
}

/// `reciprocal` counts in units of `2^-RECIPROCAL_BITS`.
const RECIPROCAL_BITS: u32 = 48;

/// The class of each multiple of [`SLOT`], less one.
static CLASS_OF: [u8; SMALL_MAX / SLOT] = {
    let mut table = [0; SMALL_MAX / SLOT];
    let mut index = 0;
    while index < table.len() {
        let least = guard::ROOM_LEAST / SLOT;
        let units = if index < least { least } else { index + 1 };
        table[index] = (Classes::ceil(units as u64) - 1) as u8;
        index += 1;
    }
    table
};

static SHAPES: [Shape; Class::COUNT] = {
    let mut shapes = [Shape::of(SLOT); Class::COUNT];
    let mut class = 0;
    while class < Class::COUNT {
        shapes[class] = Shape::of(Classes::least(class as u32 + 1) as usize * SLOT);
        class += 1;
    }
    shapes
};

/// The size of each class again, close together: all that a free for another thread looks at.
static SIZES: [u16; Class::COUNT] = {
    let mut sizes = [0; Class::COUNT];
    let mut class = 0;
    while class < Class::COUNT {
        sizes[class] = SHAPES[class].size as u16;
        class += 1;
    }
    sizes
};
const _: () = assert!(SMALL_MAX <= u16::MAX as usize, "a size is a number of 16 bits");

impl Class {
    /// How many there are.
    pub const COUNT: usize = Classes::ceil((SMALL_MAX / SLOT) as u64) as usize;

    /// Returns the class whose slots hold `size` bytes; none for a size of zero, so that this
    /// rare one leaves the quick way, and for sizes above [`SMALL_MAX`].
    #[inline(always)]
    pub fn of(size: usize) -> Option<Self> {
        let least = size.wrapping_sub(1);
        if least >= SMALL_MAX {
            return None;
        }
        Some(Self(CLASS_OF[least / SLOT]))
    }

    /// Returns the class of this number; none when there is none.
    pub fn from_index(index: usize) -> Option<Self> {
        (index < Self::COUNT).then_some(Self(index as u8))
    }

    /// Returns all classes, the least first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(|index| Self(index as u8))
    }

    /// Returns the class's number.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the bytes of its slots.
    #[inline(always)]
    pub fn size(self) -> u32 {
        // SAFETY: A class is below `COUNT` (invariant 1).
        let size = unsafe { SIZES.get_unchecked(self.index()) };
        (*size).into()
    }

    /// Returns what its slabs have in common.
    #[inline(always)]
    pub fn shape(self) -> &'static Shape {
        // SAFETY: A class is below `COUNT` (invariant 1: both constructors see to it).
        unsafe { SHAPES.get_unchecked(self.index()) }
    }
}

impl Shape {
    const fn of(size: usize) -> Self {
        let mut chunks = 1;
        while !Self::fits(chunks * CHUNK, size) {
            chunks += 1;
        }
        let slots = Self::slots_in(chunks * CHUNK, size) as u32;
        let quarter = if slots / 4 == 0 { 1 } else { slots / 4 };
        Self {
            size: size as u32,
            chunks: chunks as u32,
            slots,
            wake: if quarter < WAKE_MOST { quarter } else { WAKE_MOST },
            reciprocal: (1 << RECIPROCAL_BITS) / size as u64 + 1,
        }
    }

    const fn fits(bytes: usize, size: usize) -> bool {
        Self::is_enough(bytes / size, bytes, size)
    }

    const fn is_enough(slots: usize, bytes: usize, size: usize) -> bool {
        slots >= SLOTS_LEAST && (bytes - slots * size) * 16 < bytes
    }

    /// As many slots as there is room for, less those that the spread of first slots takes.
    const fn slots_in(bytes: usize, size: usize) -> usize {
        let slots = (bytes - colour::SPREAD) / size;
        if Self::is_enough(slots, bytes, size) { slots } else { bytes / size }
    }

    /// Returns the offset of the first slot in the slab at this address.
    #[inline(always)]
    pub const fn first_slot(&self, slab: usize) -> usize {
        let left = self.chunks as usize * CHUNK - self.slots as usize * self.size as usize;
        colour::offset(slab, left, self.size as usize)
    }

    /// Returns which slot a byte lies in, `offset` bytes from the first slot.
    #[inline]
    pub const fn slot_of(&self, offset: usize) -> usize {
        ((offset as u64 * self.reciprocal) >> RECIPROCAL_BITS) as usize
    }
}

/// Returns the size that stands for a request of `size` bytes aligned to `align`, a power of two;
/// none where that passes the address space. Its class, if it has one, keeps the alignment.
#[inline]
pub const fn aligned(size: usize, align: usize) -> Option<usize> {
    if align <= SLOT {
        return Some(size);
    }
    let size = if size == 0 { 1 } else { size };
    match size.checked_add(align - 1) {
        Some(sum) => Some(sum & !(align - 1)),
        None => None,
    }
}

/// Returns the chunks that hold `size` bytes.
pub const fn chunks_of(size: usize) -> usize {
    size.div_ceil(CHUNK)
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Class, SLOT, SLOTS_LEAST, SMALL_MAX, aligned};
    use crate::guard;

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone")]
    fn a_class_is_the_least_that_holds_its_sizes() {
        assert_eq!(Class::of(0), None);
        assert_eq!(Class::of(SMALL_MAX + 1), None);
        for size in 1..=SMALL_MAX {
            let class = Class::of(size).unwrap();
            assert!(class.shape().size as usize >= size);
            let below = class.index().checked_sub(1).and_then(Class::from_index);
            let is_enough = |room: u32| room as usize >= size.max(guard::ROOM_LEAST);
            assert!(below.is_none_or(|below| !is_enough(below.shape().size)));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone")]
    fn little_is_lost_by_rounding_and_in_slabs() {
        for class in Class::all() {
            let shape = class.shape();
            let bytes = shape.chunks as usize * CHUNK;
            assert!(shape.slots as usize >= SLOTS_LEAST);
            assert!((bytes - (shape.slots * shape.size) as usize) * 16 < bytes);
            assert!(shape.wake >= 1 && shape.wake <= shape.slots);
        }
        assert_eq!(Class::all().last().unwrap().shape().size as usize, SMALL_MAX);
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone")]
    fn a_slot_s_number_is_the_quotient() {
        for class in Class::all() {
            let shape = class.shape();
            for offset in 0..shape.chunks as usize * CHUNK {
                assert_eq!(shape.slot_of(offset), offset / shape.size as usize);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic alone")]
    fn a_size_rounded_to_its_alignment_has_an_aligned_class() {
        for align in (0..=14).map(|bits| 1 << bits) {
            for size in 0..=SMALL_MAX {
                let Some(class) = Class::of(aligned(size, align).unwrap()) else { continue };
                let multiple = align.max(SLOT).min(class.shape().size as usize);
                assert_eq!(class.shape().size as usize % align.min(multiple), 0, "{size} {align}");
            }
        }
        assert_eq!(aligned(usize::MAX, 32), None);
    }
}
