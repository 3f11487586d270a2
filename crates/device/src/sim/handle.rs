//! Names of blocks, buffers and images, and the tables that they name.
//!
//! A handle is the number of a slot and the number of the slot's life. When its owner is gone the
//! slot's life goes up, so that a stale handle is found out, whoever lives there.

use std::fmt;

/// A slot and its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// Returns the slot, which nothing else that lives has.
    pub(super) fn index(self) -> u32 {
        self.index
    }

    /// Returns the slot and its life as values of a [`Violation`](super::Violation).
    pub(super) fn values(self) -> [(&'static str, u64); 2] {
        [("index", self.index.into()), ("generation", self.generation.into())]
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.index, self.generation)
    }
}

/// A block of the software device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Memory(pub(super) Key);

/// A buffer of the software device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Buffer(pub(super) Key);

/// An image of the software device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Image(pub(super) Key);

/// Things by their handles.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    vacant: Vec<u32>,
    live: u64,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), vacant: Vec::new(), live: 0 }
    }
}

impl<T> Slots<T> {
    /// Returns how many live.
    pub(super) const fn len(&self) -> u64 {
        self.live
    }

    /// Visits all that live.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    /// Puts a thing in and names it.
    pub(super) fn insert(&mut self, value: T) -> Key {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 1, value: None });
            u32::try_from(self.slots.len() - 1).expect("less than 2^32 things live")
        });
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        self.live += 1;
        Key { index, generation: slot.generation }
    }

    /// Takes a thing out; its name is stale from then on. A slot whose lives are used up stays
    /// empty.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slot_mut(key)?;
        let value = slot.value.take()?;
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.vacant.push(key.index);
        }
        self.live -= 1;
        Some(value)
    }

    /// Finds a thing, if it lives.
    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == key.generation)
    }

    /// Finds a thing to change it, if it lives.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slot_mut(key)?.value.as_mut()
    }

    fn slot_mut(&mut self, key: Key) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.generation == key.generation).then_some(slot)
    }
}
