//! Halves, halves of halves, and so on: fast, and tidy when sizes are powers of two.
//!
//! A part is as large as the next power of two above what was asked for (Knowlton, "A fast
//! storage allocator", CACM 1965). A larger free part is halved until one half fits; two free
//! halves of one part become one again. Nodes are made in pairs, so the buddy of node `n` is
//! node `n ^ 1`, and no map from offsets to nodes is needed; only the nodes on the way to a part
//! exist. Free nodes are listed by order (the number of doublings above the least size).
//!
//! A part lies at a multiple of its own size. So parts as large as a page of the granularity
//! obey its rule by nature; a node of one page that is split takes the tiling of the request that
//! split it and keeps it until it is one again: smaller nodes are listed by tiling too.
//!
//! A block whose size is no power of two is used up to the largest one below it; the rest is
//! never handed out.
//!
//! Costs: [`allocate`](Division::allocate) and [`free`](Division::free) take time in proportion
//! to the doublings that they split or join, at most 63; a node costs up to 48 bytes, and a part
//! brings at most two nodes for each doubling above it. Less than half of a part is rounding,
//! when neither its alignment nor the least size is larger.
//!
//! # Invariants
//!
//! 1. The halves of a node tile it, and a node lies at a multiple of its size.
//! 2. Two free nodes are no buddies.
//! 3. A free node is once in the list of its order and tiling, and the masks have exactly the
//!    orders whose list has a member.
//! 4. Nodes smaller than a page have the tiling of all others in their page.
//! 5. The counters are those of the used nodes; a pair in no tree is on the spare list.

use super::ensure::ensure;
use super::{Ask, Division, Part, Region};
use crate::device::Tiling;

const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;
/// One more than the most nodes of one block: what a key can name.
const NODES_MAX: u32 = u32::MAX - 1;

/// What is the same for all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The least size of a part, in bytes: a power of two.
    pub size_least: u64,
}

impl Default for Config {
    /// 256 bytes, what buffers are aligned to on most devices.
    fn default() -> Self {
        Self { size_least: 256 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the list of its order, between these two.
    Free { previous: u32, next: u32 },
    /// Halved into the pair that begins with this node.
    Split { pair: u32 },
    /// Handed out for so many bytes.
    Used { size: u64, slot: u32 },
    /// In no tree; the next spare pair.
    Spare { next: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Node {
    offset: u64,
    parent: u32,
    /// Its size is the least size, doubled so often.
    order: u32,
    /// Which lists it goes to.
    tiling: Tiling,
    state: State,
}

const _: () = assert!(size_of::<Node>() <= 48, "as the documentation says");

/// The first members of the lists of one tiling.
#[derive(Debug)]
struct Lists {
    heads: Vec<u32>,
    /// A bit for each order whose list has a member.
    mask: u64,
}

/// Halves of one block. See the [module](self).
#[derive(Debug)]
pub struct Buddy {
    nodes: Vec<Node>,
    /// By tiling; nodes as large as a page are always with the linear ones.
    lists: [Lists; 2],
    size: u64,
    /// Bytes of order 0.
    size_least: u64,
    /// The first order that holds whole pages of the granularity.
    page_order: u32,
    used: u64,
    count: u32,
    spare: u32,
}

// SAFETY: A part is a free node of the tree that is taken out of it; nodes that are taken are no
// ancestors of each other.
unsafe impl Division for Buddy {
    type Config = Config;

    fn new(config: &Config, size: u64, granularity: u64) -> Self {
        assert!(size > 0, "a block has at least one byte");
        assert!(granularity.is_power_of_two(), "a granularity is a power of two");
        assert!(config.size_least.is_power_of_two(), "the least size is a power of two");
        let root_size = 1 << size.ilog2();
        let size_least = config.size_least.min(root_size);
        let order = root_size.ilog2() - size_least.ilog2();
        let lists = || Lists { heads: vec![NONE; order as usize + 1], mask: 0 };
        let root = Node {
            offset: 0,
            parent: NONE,
            order,
            tiling: Tiling::Linear,
            state: State::Spare { next: NONE },
        };
        let page_order = granularity.ilog2().saturating_sub(size_least.ilog2()).min(order);
        let mut buddy = Self {
            // The root's buddy is never used: it makes the first pair one.
            nodes: vec![root; 2],
            lists: [lists(), lists()],
            size,
            size_least,
            page_order,
            used: 0,
            count: 0,
            spare: NONE,
        };
        buddy.list(ROOT);
        buddy
    }

    /// The largest power of two that is suggested, or the least that holds the request.
    fn block_size(config: &Config, size: u64, align: u64, suggested: u64) -> Option<u64> {
        let least = part_size(config.size_least, size, align)?;
        Some(suggested.checked_ilog2().map_or(least, |log| least.max(1 << log)))
    }

    fn block_size_least(config: &Config, size: u64, align: u64) -> u64 {
        part_size(config.size_least, size, align).unwrap_or(u64::MAX)
    }

    fn allocate(&mut self, ask: &Ask) -> Option<Part> {
        debug_assert!(ask.size > 0, "a part has at least one byte");
        let order = self.order(part_size(self.size_least, ask.size, ask.align)?);
        let (found, splits) = self.find(order, ask.tiling)?;
        self.reserve_pairs(splits)?;
        self.unlist(found);
        let key = (0..splits).fold(found, |node, _| self.split(node, ask.tiling));
        self.nodes[key as usize].state = State::Used { size: ask.size, slot: ask.slot };
        self.used += ask.size;
        self.count += 1;
        Some(Part { key, offset: self.nodes[key as usize].offset })
    }

    fn free(&mut self, key: u32) {
        let State::Used { size, .. } = self.nodes[key as usize].state else {
            panic!("a key names a live part");
        };
        self.used -= size;
        self.count -= 1;
        let mut node = key;
        while node != ROOT && self.is_free(node ^ 1) {
            self.unlist(node ^ 1);
            let parent = self.nodes[node as usize].parent;
            self.discard(node & !1);
            node = parent;
        }
        self.list(node);
    }

    fn used(&self) -> u64 {
        self.used
    }

    fn count(&self) -> u32 {
        self.count
    }

    /// Exact: the largest free node.
    fn room(&self) -> u64 {
        let mask = self.lists[0].mask | self.lists[1].mask;
        mask.checked_ilog2().map_or(0, |order| self.size_least << order)
    }

    fn largest_free(&self) -> u64 {
        self.room()
    }

    fn walk(&self, visit: &mut dyn FnMut(Region)) {
        self.walk_node(ROOT, &mut |node| {
            let slot = match node.state {
                State::Used { slot, .. } => Some(slot),
                _ => None,
            };
            visit(Region { offset: node.offset, size: self.node_size(node), slot });
        });
        let end = self.node_size(&self.nodes[ROOT as usize]);
        if end < self.size {
            visit(Region { offset: end, size: self.size - end, slot: None });
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let mut seen = Seen::default();
        self.check_node(ROOT, &mut seen)?;
        self.check_lists(seen.free)?;
        let counted = seen.used == self.used && seen.count == self.count;
        ensure(counted, "5: the counters are those of the used nodes")?;
        let next = |&pair: &u32| match self.nodes[pair as usize].state {
            State::Spare { next } => some(next),
            _ => None,
        };
        let spares = core::iter::successors(some(self.spare), next).take(self.nodes.len()).count();
        let all = 2 * (seen.pairs + spares + 1) == self.nodes.len();
        ensure(all, "5: a pair in no tree is on the spare list")
    }
}

impl Buddy {
    /// The order of parts of `size`, a power of two that is not below the least size.
    fn order(&self, size: u64) -> u32 {
        size.ilog2() - self.size_least.ilog2()
    }

    fn node_size(&self, node: &Node) -> u64 {
        self.size_least << node.order
    }

    /// Finds the smallest free node for an order, and how often it must be split.
    fn find(&self, order: u32, tiling: Tiling) -> Option<(u32, u32)> {
        let pages = u64::MAX.checked_shl(self.page_order)?;
        let wanted = u64::MAX.checked_shl(order)?;
        let [linear, own] = [&self.lists[0], &self.lists[tiling as usize]];
        let orders = (linear.mask & pages | own.mask & !pages) & wanted;
        let found = some(orders.trailing_zeros()).filter(|_| orders != 0)?;
        let lists = if found < self.page_order { own } else { linear };
        Some((lists.heads[found as usize], found - order))
    }

    /// The lists that a node belongs to.
    fn lists_of(&mut self, node: u32) -> (&mut Lists, usize) {
        let Node { order, tiling, .. } = self.nodes[node as usize];
        let kind = if order < self.page_order { tiling as usize } else { 0 };
        (&mut self.lists[kind], order as usize)
    }

    /// Puts a node at the front of its list.
    fn list(&mut self, node: u32) {
        let (lists, order) = self.lists_of(node);
        let next = core::mem::replace(&mut lists.heads[order], node);
        lists.mask |= 1 << order;
        self.nodes[node as usize].state = State::Free { previous: NONE, next };
        self.set_links(next, |previous, _| *previous = node);
    }

    /// Takes a free node out of its list.
    fn unlist(&mut self, node: u32) {
        let State::Free { previous, next } = self.nodes[node as usize].state else {
            unreachable!("a listed node is free");
        };
        self.set_links(next, |before, _| *before = previous);
        self.set_links(previous, |_, after| *after = next);
        if previous == NONE {
            let (lists, order) = self.lists_of(node);
            lists.heads[order] = next;
            if next == NONE {
                lists.mask &= !(1 << order);
            }
        }
    }

    /// Changes the links of a free node; of none, nothing.
    fn set_links(&mut self, node: u32, change: impl FnOnce(&mut u32, &mut u32)) {
        if let Some(Node { state: State::Free { previous, next }, .. }) =
            self.nodes.get_mut(node as usize)
        {
            change(previous, next);
        }
    }

    fn is_free(&self, node: u32) -> bool {
        matches!(self.nodes[node as usize].state, State::Free { .. })
    }

    /// Halves a node that is in no list, lists the upper half and returns the lower one.
    fn split(&mut self, node: u32, tiling: Tiling) -> u32 {
        let pair = self.take_spare();
        let Node { offset, order, .. } = self.nodes[node as usize];
        self.nodes[node as usize].state = State::Split { pair };
        let state = State::Spare { next: NONE };
        let half = Node { offset, parent: node, order: order - 1, tiling, state };
        let upper = Node { offset: offset + self.node_size(&half), ..half };
        self.nodes[pair as usize] = half;
        self.nodes[pair as usize ^ 1] = upper;
        self.list(pair ^ 1);
        pair
    }

    /// Makes sure that so many pairs can be taken.
    fn reserve_pairs(&mut self, count: u32) -> Option<()> {
        let first = u32::try_from(self.nodes.len()).ok()?;
        first.checked_add(2 * count).filter(|&end| end < NODES_MAX)?;
        self.nodes.try_reserve(2 * count as usize).ok()
    }

    fn take_spare(&mut self) -> u32 {
        let pair = self.spare;
        if let Some(State::Spare { next }) = self.nodes.get(pair as usize).map(|node| node.state) {
            self.spare = next;
            return pair;
        }
        let pair = self.nodes.len() as u32;
        let blank = self.nodes[ROOT as usize ^ 1];
        self.nodes.extend([blank; 2]);
        pair
    }

    fn discard(&mut self, pair: u32) {
        self.nodes[pair as usize].state = State::Spare { next: self.spare };
        self.nodes[pair as usize ^ 1].state = State::Spare { next: NONE };
        self.spare = pair;
    }
}

/// What a look at the tree adds up.
#[derive(Default)]
struct Seen {
    pairs: usize,
    free: usize,
    used: u64,
    count: u32,
}

impl Buddy {
    /// Shows the free and used nodes below `node`, in the order of offsets; at most 64 deep.
    fn walk_node(&self, node: u32, visit: &mut dyn FnMut(&Node)) {
        match self.nodes[node as usize] {
            Node { state: State::Split { pair }, .. } => {
                self.walk_node(pair, visit);
                self.walk_node(pair ^ 1, visit);
            }
            ref leaf => visit(leaf),
        }
    }

    fn check_node(&self, index: u32, seen: &mut Seen) -> Result<(), &'static str> {
        let node = &self.nodes[index as usize];
        let natural = node.offset.is_multiple_of(self.node_size(node));
        ensure(natural, "1: a node lies at a multiple of its size")?;
        match node.state {
            State::Free { .. } => seen.free += 1,
            State::Used { size, .. } => {
                seen.used += size;
                seen.count += 1;
            }
            State::Split { pair } => {
                seen.pairs += 1;
                self.check_pair(index, pair)?;
                self.check_node(pair, seen)?;
                self.check_node(pair ^ 1, seen)?;
            }
            State::Spare { .. } => return Err("5: a node in the tree is not spare"),
        }
        Ok(())
    }

    fn check_pair(&self, parent: u32, pair: u32) -> Result<(), &'static str> {
        let [whole, lower, upper] =
            [parent, pair, pair ^ 1].map(|index| &self.nodes[index as usize]);
        let linked = lower.parent == parent && upper.parent == parent;
        ensure(linked && pair.is_multiple_of(2), "1: a node knows its halves, and they know it")?;
        let halves = lower.order + 1 == whole.order && upper.order == lower.order;
        let touch =
            lower.offset == whole.offset && upper.offset == lower.offset + self.node_size(lower);
        ensure(halves && touch, "1: the halves of a node tile it")?;
        let joined = self.is_free(pair) && self.is_free(pair ^ 1);
        ensure(!joined, "2: two free nodes are no buddies")?;
        let in_page = whole.order < self.page_order;
        let alike = lower.tiling == upper.tiling && (!in_page || lower.tiling == whole.tiling);
        ensure(alike, "4: the nodes of a page have one tiling")
    }

    fn check_lists(&self, free: usize) -> Result<(), &'static str> {
        let mut listed = 0;
        for (kind, lists) in self.lists.iter().enumerate() {
            for (order, &head) in (0..).zip(&lists.heads) {
                let marked = lists.mask >> order & 1 == 1;
                ensure(marked == (head != NONE), "3: the mask has the orders with a member")?;
                listed += self.check_list(head, order, kind)?;
            }
        }
        ensure(listed == free, "3: a free node is in a list once")
    }

    /// Returns how many members the list has.
    fn check_list(&self, head: u32, order: u32, kind: usize) -> Result<usize, &'static str> {
        let (mut node, mut before, mut len) = (head, NONE, 0);
        while let Some(member) = self.nodes.get(node as usize) {
            let State::Free { previous, next } = member.state else {
                return Err("3: a listed node is free");
            };
            let own = if order < self.page_order { member.tiling as usize } else { 0 };
            let right = member.order == order && own == kind && previous == before;
            ensure(right && len < self.nodes.len(), "3: a node is in the list of its order")?;
            (node, before, len) = (next, node, len + 1);
        }
        Ok(len)
    }
}

fn some(index: u32) -> Option<u32> {
    (index != NONE).then_some(index)
}

/// The size of the part for a request; nothing when no power of two is large enough.
fn part_size(size_least: u64, size: u64, align: u64) -> Option<u64> {
    size.max(align).max(size_least).checked_next_power_of_two()
}
