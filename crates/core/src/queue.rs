//! A queue that many push into and one owner takes from, without a lock.
//!
//! A free travels by it to whoever alone may touch the freed thing's records. The nodes bring
//! their own links, found through [`Links`]: a host node is the freed object itself, a device node
//! a slot of a [table](crate::table), a node of the tests a model of an atomic, so what the model
//! checker runs is this very file. Pushers link their nodes into a [`Batch`] first and post it
//! whole with one exchange of the word `back` and one store, so a pusher never waits and never
//! tries twice. Whoever finds the queue empty puts its batch at the `entry`, the others behind the
//! node that was last. The [`Owner`] moves what is at the entry into its own head and follows the
//! links from there; when it comes to the node that is last, it takes the queue back to empty with
//! a compare-exchange, so that even the last node leaves it.
//!
//! Links outside the queue are free for other use: nobody but the owner touches a node from the
//! moment it was popped.
//!
//! # Invariants
//!
//! 1. `back` is the last posted node, or none exactly when every posted node was popped.
//! 2. Between the moment `back` leaves none and the moment it comes back, one pusher stores to
//!    `entry`, once: the one whose exchange found none.
//! 3. Each node has one link stored to by others after it was posted, once: by the pusher whose
//!    exchange found that node in `back`. A node whose link is none is the last, or that pusher
//!    is between its exchange and its store.
//! 4. The link of the last node of a batch is none until the batch is posted.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// One atomic word.
///
/// Each function is that of the same name in [`core::sync::atomic`].
pub trait Word {
    /// What the word holds.
    type Value: Copy + Eq;

    /// Reads the word.
    fn load(&self, order: Ordering) -> Self::Value;

    /// Writes the word.
    fn store(&self, value: Self::Value, order: Ordering);

    /// Writes the word and returns what it held.
    fn swap(&self, value: Self::Value, order: Ordering) -> Self::Value;

    /// Writes `new` if the word holds `current`.
    ///
    /// # Errors
    ///
    /// What the word holds, when that is not `current`; it stays.
    fn compare_exchange(
        &self,
        current: Self::Value,
        new: Self::Value,
        success: Ordering,
        failure: Ordering,
    ) -> Result<Self::Value, Self::Value>;
}

macro_rules! impl_word {
    ($word:ty, $value:ty $(, $parameter:ident)?) => {
        impl$(<$parameter>)? Word for $word {
            type Value = $value;

            #[inline]
            fn load(&self, order: Ordering) -> $value {
                self.load(order)
            }

            #[inline]
            fn store(&self, value: $value, order: Ordering) {
                self.store(value, order);
            }

            #[inline]
            fn swap(&self, value: $value, order: Ordering) -> $value {
                self.swap(value, order)
            }

            #[inline]
            fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
        }
    };
}

impl_word!(AtomicU32, u32);
impl_word!(AtomicUsize, usize);
#[cfg(target_has_atomic = "64")]
impl_word!(core::sync::atomic::AtomicU64, u64);
impl_word!(AtomicPtr<T>, *mut T, T);

/// Where the nodes of a queue keep their links.
pub trait Links {
    /// A node's link, and the words of the queue.
    type Word: Word;

    /// The value that names no node.
    const NONE: <Self::Word as Word>::Value;

    /// Returns the link of `node`, which is not [`NONE`](Self::NONE). Called with nodes that the
    /// caller put into a [`Batch`], and with no others.
    fn link(&self, node: <Self::Word as Word>::Value) -> &Self::Word;
}

/// Nodes linked to one another, on their way into a [`Queue`]. Takes two words.
///
/// A batch that is dropped loses its nodes.
#[derive(Debug)]
#[must_use = "a batch that is not posted loses its nodes"]
pub struct Batch<V> {
    ends: Option<Ends<V>>,
}

#[derive(Debug)]
struct Ends<V> {
    first: V,
    last: V,
}

impl<V: Copy + Eq> Default for Batch<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Copy + Eq> Batch<V> {
    /// Makes a batch of no nodes.
    pub const fn new() -> Self {
        Self { ends: None }
    }

    /// Makes a batch of one node.
    pub fn of<L: Links>(links: &L, node: V) -> Self
    where
        L::Word: Word<Value = V>,
    {
        // No partner: the batch is its maker's alone until `post` publishes it.
        links.link(node).store(L::NONE, Relaxed);
        Self { ends: Some(Ends { first: node, last: node }) }
    }

    /// Tells whether the batch has no nodes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Puts a node before the others, in constant time; its link is overwritten.
    pub fn push_front<L: Links>(&mut self, links: &L, node: V)
    where
        L::Word: Word<Value = V>,
    {
        let rest = core::mem::replace(self, Self::of(links, node));
        self.append(links, rest);
    }

    /// Puts a node behind the others, in constant time; its link is overwritten.
    pub fn push_back<L: Links>(&mut self, links: &L, node: V)
    where
        L::Word: Word<Value = V>,
    {
        self.append(links, Self::of(links, node));
    }

    /// Puts all of `batch` behind the others, in constant time.
    pub fn append<L: Links>(&mut self, links: &L, batch: Self)
    where
        L::Word: Word<Value = V>,
    {
        let Some(added) = batch.ends else { return };
        let first = match self.ends {
            None => added.first,
            Some(Ends { first, last }) => {
                // No partner: as in `of`.
                links.link(last).store(added.first, Relaxed);
                first
            }
        };
        self.ends = Some(Ends { first, last: added.last });
    }
}

/// The right to take from one [`Queue`], and the place where it is.
///
/// Whoever may touch the owner's records keeps it; that `pop` wants it `&mut` makes the consumer
/// one. An owner that is dropped loses the nodes it has not popped.
#[derive(Debug)]
pub struct Owner<V> {
    /// The first node that was not popped; where that is not known yet, none.
    head: Option<V>,
}

/// Many pushers, one owner, first in first out for the batches of one pusher. Takes two words.
#[derive(Debug)]
pub struct Queue<W> {
    /// The first node of the batch that found the queue empty, until the owner takes it.
    entry: W,
    /// The last node posted.
    back: W,
}

impl<W: Word> Queue<W> {
    /// Makes an empty queue of two words that hold [`Links::NONE`], and the right to take from it.
    ///
    /// The owner belongs to this queue and to no other.
    #[must_use]
    pub const fn new(entry: W, back: W) -> (Self, Owner<W::Value>) {
        (Self { entry, back }, Owner { head: None })
    }

    /// Posts all nodes of `batch`: one exchange and one store, however many they are. An empty
    /// batch costs nothing.
    pub fn post<L: Links<Word = W>>(&self, links: &L, batch: Batch<W::Value>) {
        let Some(ends) = batch.ends else { return };
        // Release: the last node's link (none) comes before the store of the pusher that finds
        // this node in the exchange of its own `post`. Acquire: the other end of that, and of the
        // compare-exchange in `pop`, after which `entry` is ours to store to.
        let before = self.back.swap(ends.last, AcqRel);
        let place = if before == L::NONE { &self.entry } else { links.link(before) };
        // Release: pairs with the loads of `entry` and of the link in `pop`, and hands over the
        // nodes with all that their pusher wrote to them.
        place.store(ends.first, Release);
    }

    /// Takes the node that was posted first, in constant time; it is the caller's to use.
    ///
    /// None when the queue is empty, or when the next node's pusher is at that moment between its
    /// exchange and its store: that node is found by a later call. `owner` came from
    /// [`new`](Self::new) with this queue.
    pub fn pop<L: Links<Word = W>>(
        &self,
        links: &L,
        owner: &mut Owner<W::Value>,
    ) -> Option<W::Value> {
        let node = match owner.head {
            Some(head) => head,
            None => self.enter(L::NONE)?,
        };
        // Acquire: pairs with the store in `post`. It is the last that others do to `node`.
        let after = links.link(node).load(Acquire);
        if after != L::NONE {
            owner.head = Some(after);
            return Some(node);
        }
        // Release: pairs with the exchange in `post`, so that the clearing of `entry` comes before
        // what the next pusher stores there. A failure needs no partner: nothing is read by it.
        let last = self.back.compare_exchange(node, L::NONE, Release, Relaxed).is_ok();
        owner.head = if last { None } else { Some(node) };
        last.then_some(node)
    }

    /// Empties the queue and loses its nodes, those too that no pop can reach because their pusher
    /// went away between its exchange and its store: in the child of a fork, where pushers are
    /// gone. Nobody else is in the queue meanwhile; `owner` came from [`new`](Self::new) with it.
    pub fn reset<L: Links<Word = W>>(&self, _links: &L, owner: &mut Owner<W::Value>) {
        // No partner: by the caller's promise there is nobody else.
        self.back.store(L::NONE, Relaxed);
        self.entry.store(L::NONE, Relaxed);
        owner.head = None;
    }

    /// Takes what the first pusher since the queue was empty put at the entry.
    fn enter(&self, none: W::Value) -> Option<W::Value> {
        // Acquire: pairs with the store in `post`.
        let node = self.entry.load(Acquire);
        if node == none {
            return None;
        }
        // No partner: the next store to `entry` waits for the compare-exchange in `pop`.
        self.entry.store(none, Relaxed);
        Some(node)
    }

    /// Tells whether every node was popped whose `post` had returned when the caller last heard of
    /// it. Costs one load, so the owner's lock need not be taken for an empty queue.
    #[must_use]
    pub fn is_empty<L: Links<Word = W>>(&self, _links: &L) -> bool {
        // No partner: an answer, not a hand-over; `pop` does that.
        self.back.load(Relaxed) == L::NONE
    }
}
