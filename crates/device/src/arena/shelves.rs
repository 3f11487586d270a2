//! Which shared block to take from: the one whose largest free region is the smallest that will
//! do, found in constant time however many blocks there are.
//!
//! Blocks stand on shelves by the room they have, rounded to a [bin](polder_core::bins). Taking
//! from the tightest keeps large regions whole and lets the emptiest blocks become empty.
//!
//! # Invariants
//!
//! 1. A block is on at most one shelf, once; the bit set has exactly the shelves with a block.

use polder_core::bins::Bins;
use polder_core::bitset::BitSet;

/// As fine as a space's own bins, so a block's shelf says what its space would.
type Rooms = Bins<4>;
const WORDS: usize = Rooms::COUNT.div_ceil(u64::BITS) as usize;
const NONE: u32 = u32::MAX;
/// Stands where a block that is being emptied has its shelf.
const CLOSED: u32 = u32::MAX - 1;

/// A block's place. Takes 12 bytes a block.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its shelf, or `NONE`, or `CLOSED`.
    shelf: u32,
    before: u32,
    after: u32,
}

const NOWHERE: Place = Place { shelf: NONE, before: NONE, after: NONE };

/// See the [module](self). Takes 4 KiB beside the places.
#[derive(Debug)]
pub(super) struct Shelves {
    /// The first block of each shelf.
    heads: Box<[u32]>,
    used: BitSet<WORDS>,
    places: Vec<Place>,
}

impl Shelves {
    pub fn new() -> Self {
        let heads = vec![NONE; Rooms::COUNT as usize].into();
        Self { heads, used: BitSet::new(), places: Vec::new() }
    }

    /// Puts a block on the shelf for its room in bytes, from wherever it is.
    #[inline]
    pub fn put(&mut self, block: u32, room: u64) {
        let shelf = Rooms::floor(room);
        if self.places.get(block as usize).is_none_or(|place| place.shelf != shelf) {
            self.change(block, shelf);
        }
    }

    #[inline]
    fn change(&mut self, block: u32, shelf: u32) {
        if self.places.get(block as usize).is_some_and(|place| place.shelf == CLOSED) {
            return;
        }
        self.take(block);
        self.insert(block, shelf);
    }

    /// Takes a block from its shelf and keeps it from all of them until it is [taken](Self::take).
    pub fn close(&mut self, block: u32) {
        self.take(block);
        self.places[block as usize].shelf = CLOSED;
    }

    /// Takes a block from its shelf, if it is on one.
    pub fn take(&mut self, block: u32) {
        if self.places.len() <= block as usize {
            self.places.resize(block as usize + 1, NOWHERE);
        }
        let Place { shelf, before, after } =
            core::mem::replace(&mut self.places[block as usize], NOWHERE);
        if shelf == NONE || shelf == CLOSED {
            return;
        }
        if after != NONE {
            self.places[after as usize].before = before;
        }
        if before != NONE {
            self.places[before as usize].after = after;
            return;
        }
        self.heads[shelf as usize] = after;
        if after == NONE {
            self.used.remove(shelf);
        }
    }

    fn insert(&mut self, block: u32, shelf: u32) {
        let after = core::mem::replace(&mut self.heads[shelf as usize], block);
        self.places[block as usize] = Place { shelf, before: NONE, after };
        if after == NONE {
            self.used.insert(shelf);
        } else {
            self.places[after as usize].before = block;
        }
    }

    /// Returns the first block that may have room for `size` bytes.
    #[inline]
    pub fn first(&self, size: u64) -> Option<u32> {
        let shelf = self.used.next(Rooms::floor(size))?;
        Some(self.heads[shelf as usize])
    }

    /// Returns the block to try when `block` had no room after all.
    pub fn after(&self, block: u32) -> Option<u32> {
        let Place { shelf, after, .. } = self.places[block as usize];
        if after != NONE {
            return Some(after);
        }
        let shelf = self.used.next(shelf + 1)?;
        Some(self.heads[shelf as usize])
    }

    /// Tells whether a block is on the shelf for `room`; for tests.
    pub fn is_right(&self, block: u32, room: u64) -> bool {
        let shelf = Rooms::floor(room);
        let mut next = self.used.contains(shelf).then(|| self.heads[shelf as usize]);
        while let Some(other) = next {
            if other == block {
                return self.places[block as usize].shelf == shelf;
            }
            next = Some(self.places[other as usize].after).filter(|&after| after != NONE);
        }
        false
    }
}
