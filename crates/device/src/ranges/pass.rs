//! Defragmentation in passes: ranges move from nearly empty buffers into fuller ones, so that
//! whole buffers go back.
//!
//! The arena decides and reserves; the user copies on the device and then takes the new ranges
//! over. Other threads allocate and free meanwhile: a range that was freed before its move ends is
//! simply not moved, and nothing new goes into a buffer that is being emptied. What a pass copies
//! to is copied from by no pass before this one has ended, so the copies of a pass may be made in
//! any order.

use super::{Block, BufferArena, BufferRange, Divisible, Note, PassError, RangeId, RangeRequest};
use super::{Shard, State};
use crate::allocation::AllocatorId;
use crate::virtual_block::{VirtualAllocation, VirtualBlock, VirtualInfo};

/// The most that one pass moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub bytes: u64,
    /// Ranges.
    pub moves: usize,
}

/// A copy to be made on the device: from range to range, whole.
#[derive(Debug)]
pub struct Move<D: Divisible> {
    /// The name of the range that moves; the user has the range itself.
    pub id: RangeId,
    /// The buffer to copy from.
    pub source: D::Buffer,
    /// Where in it.
    pub source_offset: u64,
    /// What takes its place: copy to here.
    pub target: BufferRange<D>,
}

/// A pass under way. Dropping it gives up: what is reserved, and what is copied from, stays until
/// the arena ends, so end it with [`BufferArena::end_pass`].
#[derive(Debug)]
#[must_use = "a pass holds its targets until it is ended"]
pub struct Pass<D: Divisible> {
    arena: AllocatorId,
    moves: Vec<Move<D>>,
    /// Shards and blocks that are being emptied.
    closed: Vec<(u32, u32)>,
}

impl<D: Divisible> Pass<D> {
    /// Returns the copies to be made.
    #[must_use]
    pub fn moves(&self) -> &[Move<D>] {
        &self.moves
    }

    /// Tells whether there is nothing to move.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

/// What is found out of one range that may move.
struct Candidate {
    part: VirtualAllocation,
    offset: u64,
    size: u64,
    align: u64,
    name: Option<Box<str>>,
}

impl<D: Divisible> BufferArena<D> {
    /// Chooses ranges to move and reserves their new places. Buffers are emptied one after the
    /// other, the one with the least in it first, as far as the fuller ones have room and `limits`
    /// allow; no buffer is made for it.
    ///
    /// ```
    /// use polder_device::ranges::{ArenaOptions, BufferArena, Limits, RangeRequest};
    /// use polder_device::sim::{BufferUsage, Preset, Sim};
    /// use polder_device::{Access, Allocator, Options};
    /// use std::collections::HashMap;
    /// use std::sync::Arc;
    ///
    /// let allocator = Arc::new(Allocator::new(Sim::preset(Preset::Lavapipe), Options::default()));
    /// let options = ArenaOptions { size_least: 1 << 12, size_most: 1 << 12, shards: 1 };
    /// let arena = BufferArena::new(&allocator, BufferUsage::VERTEX, Access::HostRandom, options)?;
    /// let ranges = (0..8).map(|_| arena.allocate(RangeRequest::new(1024)));
    /// let mut meshes: HashMap<_, _> =
    ///     ranges.map(|range| range.map(|range| (range.id(), range))).collect::<Result<_, _>>()?;
    /// let freed: Vec<_> = meshes.keys().copied().filter(|id| id_is_odd(id, &meshes)).collect();
    /// for id in freed {
    ///     arena.free(meshes.remove(&id).unwrap())?;
    /// }
    /// assert_eq!(arena.stats().blocks, 2);
    /// let pass = arena.begin_pass(Limits { bytes: 1 << 20, moves: 100 });
    /// // Here a command buffer copies each `source` to its `target`, and a fence is waited for.
    /// arena.end_pass(pass, |id, range| drop(meshes.insert(id, range)))?;
    /// arena.trim();
    /// assert_eq!(arena.stats().blocks, 1);
    /// # type Meshes = HashMap<polder_device::ranges::RangeId, polder_device::BufferRange<Sim>>;
    /// # fn id_is_odd(id: &polder_device::ranges::RangeId, meshes: &Meshes) -> bool {
    /// #     meshes[id].offset() / 1024 % 2 == 1
    /// # }
    /// # for (_, range) in meshes { arena.free(range)?; }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn begin_pass(&self, limits: Limits) -> Pass<D> {
        let mut pass = Pass { arena: self.id, moves: Vec::new(), closed: Vec::new() };
        let mut left = limits;
        for home in 0..self.shards.len() as u32 {
            let mut shard = self.lock(home);
            while left.moves > 0
                && let Some(source) = sparsest(&shard)
            {
                pass.closed.push((home, source));
                if !self.empty(&mut shard, home, source, &mut left, &mut pass) {
                    break;
                }
            }
        }
        pass
    }

    /// Reserves places for what lies in a buffer. False when something stays.
    fn empty(
        &self,
        shard: &mut Shard<D>,
        home: u32,
        source: u32,
        left: &mut Limits,
        pass: &mut Pass<D>,
    ) -> bool {
        let Some(block) = &mut shard.blocks[source as usize] else { return true };
        block.is_closed = true;
        let (buffer, candidates) = (block.buffer.handle(), candidates(&block.parts));
        for one in candidates {
            if left.moves == 0 || one.size > left.bytes {
                return false;
            }
            let name = one.name.as_deref();
            let request = RangeRequest { size: one.size, align: one.align, name };
            let Some(target) = self.reserve(shard, home, &request) else { return false };
            let id = RangeId { arena: self.id, shard: home, block: source, part: one.part };
            let source_offset = one.offset;
            pass.moves.push(Move { id, source: buffer, source_offset, target });
            left.moves -= 1;
            left.bytes -= one.size;
        }
        true
    }

    /// Takes a place in a buffer that is used, the fullest first: else the emptied buffer would
    /// have another in its place.
    fn reserve(
        &self,
        shard: &mut Shard<D>,
        home: u32,
        request: &RangeRequest<'_>,
    ) -> Option<BufferRange<D>> {
        let mut used: Vec<_> = open(shard).map(|(index, block)| (used_of(block), index)).collect();
        used.sort_unstable_by(|one, other| other.cmp(one));
        let mut places = used.into_iter();
        let target = places.find_map(|(_, block)| self.place_in(shard, home, block, request))?;
        shard.set_target(target.id, State::Target);
        Some(target)
    }

    /// Ends a pass whose copies the device has executed: gives each new range to `take`,
    /// with the name of the old one, which is freed; nothing may use that any more. A range that
    /// was freed meanwhile, or handed in for a frame, is not among them.
    ///
    /// # Errors
    ///
    /// Another arena has begun the pass, which comes back.
    pub fn end_pass(
        &self,
        pass: Pass<D>,
        mut take: impl FnMut(RangeId, BufferRange<D>),
    ) -> Result<(), PassError<D>> {
        if let Err(reason) = self.expect_id(pass.arena) {
            return Err(PassError { reason, pass });
        }
        for Move { id, target, .. } in pass.moves {
            if self.end_move(id, target.id) {
                take(id, target);
            }
        }
        for (home, index) in pass.closed {
            let mut shard = self.lock(home);
            if let Some(block) = &mut shard.blocks[index as usize] {
                block.is_closed = false;
                if block.is_idle() {
                    self.release_but_one(&mut shard, index);
                }
            }
        }
        Ok(())
    }

    /// Frees what has moved; or its target, when it was freed or handed in meanwhile. True when it
    /// has moved.
    fn end_move(&self, id: RangeId, target: RangeId) -> bool {
        let mut shard = self.lock(id.shard);
        shard.set_target(target, State::Held);
        let found = shard.block_mut(id).ok().and_then(|block| block.parts.info(id.part).ok());
        let has_moved = found.is_some_and(|info| info.data.state == State::Held);
        if let Err(error) = self.free_in(&mut shard, if has_moved { id } else { target }) {
            log::error!("a range was freed that a pass holds: {error}");
        }
        has_moved
    }
}

impl<D: Divisible> Shard<D> {
    /// Says whether a range, which is live, is what a pass copies to.
    fn set_target(&mut self, id: RangeId, state: State) {
        let Ok(block) = self.block_mut(id) else { return };
        let Ok(note) = block.parts.data_mut(id.part) else { return };
        note.state = state;
        match state {
            State::Target => block.targets += 1,
            _ => block.targets -= 1,
        }
    }
}

/// The buffers that are used and not being emptied.
fn open<D: Divisible>(shard: &Shard<D>) -> impl Iterator<Item = (u32, &Block<D>)> {
    let blocks = (0..).zip(&shard.blocks);
    blocks
        .filter_map(|(index, block)| Some((index, block.as_ref()?)))
        .filter(|(_, block)| !block.is_closed && !block.parts.is_empty())
}

fn used_of<D: Divisible>(block: &Block<D>) -> u64 {
    block.parts.stats().used
}

/// The buffer with the least in it that nothing is copied to, if the others could take that in.
fn sparsest<D: Divisible>(shard: &Shard<D>) -> Option<u32> {
    let may_go = open(shard).filter(|(_, block)| block.targets == 0);
    let (source, least) = may_go.min_by_key(|(_, block)| used_of(block))?;
    let others = open(shard).filter(|&(index, _)| index != source);
    let room: u64 = others.map(|(_, block)| block.parts.size() - used_of(block)).sum();
    (room >= used_of(least)).then_some(source)
}

/// What lies in a buffer, the largest first: what is hardest to place decides early.
fn candidates(parts: &VirtualBlock<Note>) -> Vec<Candidate> {
    let candidate = |(part, info): (_, VirtualInfo<'_, Note>)| {
        let Note { align, size, ref name, state } = *info.data;
        let one = Candidate { part, offset: info.offset, size, align, name: name.clone() };
        (state == State::Held).then_some(one)
    };
    let mut found: Vec<_> = parts.iter().filter_map(candidate).collect();
    found.sort_by_key(|one| core::cmp::Reverse(one.size));
    found
}
