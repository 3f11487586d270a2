//! The slow truth of the host heap's tests: who holds which bytes, and what is in them.
//!
//! Each object is filled with a word of its own, and every byte is looked at when the object is
//! freed or given another size. So whoever writes into memory that is not theirs is found out.

#[cfg(any(miri, feature = "sim"))]
use polder_host::sim::is_committed;
use polder_host::{Heap, Polder, object};
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;

/// What may not be used faults by itself.
#[cfg(not(any(miri, feature = "sim")))]
fn is_committed(_place: *const u8, _size: usize) -> bool {
    true
}

/// A generator of numbers: the same ones for a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A size: each power of two up to `most` is as likely, and often it is met exactly, or by one.
    pub fn size(&mut self, most: usize) -> usize {
        let power = 1usize << self.below(most.ilog2() as usize + 1);
        let size = match self.below(8) {
            0 => power - 1,
            1 => power,
            2 => power + 1,
            _ => self.below(2 * power),
        };
        size.min(most)
    }

    /// An alignment: mostly a small one.
    pub fn align(&mut self, most: usize) -> usize {
        let bits = most.ilog2() as usize + 1;
        1 << if self.below(4) == 0 { self.below(bits) } else { self.below(5.min(bits)) }
    }
}

/// Where objects come from.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// The process's heap.
    #[default]
    Process,
    /// A heap of one's own.
    Heap(Arc<Heap>),
}

impl Source {
    fn allocate(&self, size: usize, align: usize, contents: Contents) -> Option<NonNull<u8>> {
        match (self, contents) {
            (Self::Process, Contents::Any) => object::allocate(size, align),
            (Self::Process, Contents::Zero) => object::allocate_zeroed(size, align),
            (Self::Heap(heap), Contents::Any) => heap.allocate(size, align),
            (Self::Heap(heap), Contents::Zero) => heap.allocate_zeroed(size, align),
        }
    }

    fn reallocate(&self, object: &Object, size: usize) -> Option<NonNull<u8>> {
        match self {
            // SAFETY: The object is live; where another one is the answer, it is used no more.
            Self::Process => unsafe { object::reallocate(object.place, size, object.align) },
            // SAFETY: As above, and it is this heap's.
            Self::Heap(heap) => unsafe { heap.reallocate(object.place, size, object.align) },
        }
    }
}

/// Bytes of the word that an object is filled with.
const WORD: usize = 8;

/// A live object.
#[derive(Debug)]
pub struct Object {
    pub place: NonNull<u8>,
    pub size: usize,
    pub align: usize,
    /// What its bytes are, eight at a time.
    word: u64,
}

// SAFETY: An object's memory belongs to whoever has this value.
unsafe impl Send for Object {}

impl Object {
    /// Takes new memory over and fills it.
    fn fill(place: NonNull<u8>, size: usize, align: usize, word: u64) -> Self {
        assert_eq!(place.addr().get() % align, 0, "{place:p} of {size} is aligned to {align}");
        let usable = object::usable_size(place.as_ptr());
        assert!(usable.is_some_and(|usable| usable >= size), "{usable:?} bytes hold {size}");
        assert!(is_committed(place.as_ptr(), size), "{size} bytes at {place:p} may be used");
        let mut object = Self { place, size, align, word };
        let bytes = object.bytes_mut();
        let mut done = size.min(WORD);
        bytes[..done].copy_from_slice(&word.to_ne_bytes()[..done]);
        // In doubling pieces, so that a test without optimization is no slower than a copy.
        while done < size {
            let more = done.min(size - done);
            bytes.copy_within(..more, done);
            done += more;
        }
        object
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: The object is live, and `fill` has written its bytes.
        unsafe { NonNull::slice_from_raw_parts(self.place, self.size).as_ref() }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: The object is live and ours; bytes of any value are initialized memory to the
        // allocator, and those of a new object are written before they are read.
        unsafe { NonNull::slice_from_raw_parts(self.place, self.size).as_mut() }
    }

    /// Looks at the first `len` bytes.
    pub fn check(&self, len: usize) {
        let (bytes, word) = (&self.bytes()[..len], self.word.to_ne_bytes());
        let head = len.min(WORD);
        assert_eq!(bytes[..head], word[..head], "{self:?}: somebody has changed its first bytes");
        // Each byte is that of a word before.
        let is_kept = len <= WORD || bytes[..len - WORD] == bytes[WORD..];
        assert!(is_kept, "{self:?}: somebody has changed it at {:?}", self.first_change(len));
    }

    fn first_change(&self, len: usize) -> Option<usize> {
        let word = self.word.to_ne_bytes();
        (0..len).find(|&index| self.bytes()[index] != word[index % WORD])
    }

    /// Frees it, in whichever thread this is: by its address, or by its layout too.
    pub fn free(self) {
        self.check(self.size);
        if self.word.is_multiple_of(2) {
            // SAFETY: The object is live, and `self` is used up.
            unsafe { object::free(self.place.as_ptr()) };
        } else {
            let layout = Layout::from_size_align(self.size, self.align).unwrap();
            // SAFETY: As above, and this is the layout that it was asked for with.
            unsafe { Polder.dealloc(self.place.as_ptr(), layout) };
        }
    }
}

/// What one thread holds.
#[derive(Debug, Default)]
pub struct Model {
    source: Source,
    objects: Vec<Object>,
    /// Where each object ends, by where it begins.
    ends: BTreeMap<usize, usize>,
    /// Bytes in objects.
    pub size: usize,
    last_word: u64,
}

/// Whether memory is asked for that reads as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    Any,
    Zero,
}

impl Model {
    /// Makes one whose objects come from there.
    pub fn of(source: Source) -> Self {
        Self { source, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Allocates. False when there is no memory.
    pub fn allocate(&mut self, size: usize, align: usize, contents: Contents) -> bool {
        let Some(place) = self.source.allocate(size, align, contents) else { return false };
        if contents == Contents::Zero {
            assert_zero(place, size);
        }
        let word = self.next_word();
        self.add(Object::fill(place, size, align, word));
        true
    }

    /// Gives an object another size. False when there is no memory; then it is as it was.
    pub fn reallocate(&mut self, index: usize, size: usize) -> bool {
        self.resize(index, size, |source, object| source.reallocate(object, size))
    }

    /// Gives an object another size where it is. False when that can't be; then it is as it was.
    pub fn resize_in_place(&mut self, index: usize, size: usize) -> bool {
        self.resize(index, size, |_, object| {
            object::resize_in_place(object.place, size, object.align).then_some(object.place)
        })
    }

    /// Gives an object another size by `resize`, which says where it is then.
    fn resize(
        &mut self,
        index: usize,
        size: usize,
        resize: impl FnOnce(&Source, &Object) -> Option<NonNull<u8>>,
    ) -> bool {
        let mut object = self.take(index);
        object.check(object.size);
        let Some(place) = resize(&self.source, &object) else {
            object.check(object.size);
            self.add(object);
            return false;
        };
        object.place = place;
        object.size = object.size.min(size);
        object.check(object.size);
        let word = self.next_word();
        self.add(Object::fill(place, size, object.align, word));
        true
    }

    /// Frees an object.
    pub fn free(&mut self, index: usize) {
        self.take(index).free();
    }

    /// Frees all of them, in the order of a shuffle.
    pub fn free_all(&mut self, random: &mut Random) {
        while self.len() > 0 {
            let index = random.below(self.len());
            self.free(index);
        }
    }

    /// Forgets all of them, whose heap is dropped.
    pub fn abandon(&mut self) {
        self.objects.iter().for_each(|object| object.check(object.size));
        *self = Self::default();
    }

    /// Takes over an object.
    pub fn add(&mut self, object: Object) {
        let (start, end) = (object.place.addr().get(), object.place.addr().get() + object.size);
        let before = self.ends.range(..end.max(start + 1)).next_back();
        if let Some((&other, &other_end)) = before {
            assert!(other_end <= start && other < start, "{object:?} lies apart from {other:#x}");
        }
        self.size += object.size;
        self.ends.insert(start, end);
        self.objects.push(object);
    }

    /// Gives up an object without freeing it.
    pub fn take(&mut self, index: usize) -> Object {
        let object = self.objects.swap_remove(index);
        self.size -= object.size;
        self.ends.remove(&object.place.addr().get());
        object
    }

    fn next_word(&mut self) -> u64 {
        self.last_word += 1;
        let address = (&raw const *self).addr() as u64;
        Random(self.last_word ^ address << 20).next()
    }

    /// One step: mostly it allocates while there are few bytes, and frees while there are many.
    /// False when there was no memory.
    #[must_use]
    pub fn try_step(&mut self, random: &mut Random, limits: &Limits) -> bool {
        let frees = self.size > limits.bytes || self.len() > limits.objects;
        let choice = random.below(16);
        if self.len() > 0 && (frees && choice < 8 || choice < 5) {
            let index = random.below(self.len());
            self.free(index);
            true
        } else if self.len() > 0 && choice < 8 {
            let index = random.below(self.len());
            self.reallocate(index, random.size(limits.size))
        } else {
            let contents = if choice == 15 { Contents::Zero } else { Contents::Any };
            let (size, align) = (random.size(limits.size), random.align(limits.align));
            self.allocate(size, align, contents)
        }
    }

    /// One step where there is memory.
    pub fn step(&mut self, random: &mut Random, limits: &Limits) {
        assert!(self.try_step(random, limits), "there is memory");
    }
}

/// How much a test asks for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest object, in bytes.
    pub size: usize,
    /// The largest alignment.
    pub align: usize,
    /// Bytes in live objects from which on most steps free.
    pub bytes: usize,
    /// Objects from which on most steps free.
    pub objects: usize,
}

fn assert_zero(place: NonNull<u8>, size: usize) {
    // SAFETY: A new object has that many bytes, and its maker promises that they are zero.
    let bytes = unsafe { NonNull::slice_from_raw_parts(place, size).as_ref() };
    let is_zero = size == 0 || bytes[0] == 0 && bytes[..size - 1] == bytes[1..];
    assert!(is_zero, "{size} bytes at {place:p} are zero");
}
