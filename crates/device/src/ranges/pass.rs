//! Defragmentation in passes: ranges move from nearly empty buffers into fuller ones, so that
//! whole buffers go back.
//!
//! The arena decides and reserves; the user copies on the device and then takes the new ranges
//! over. Other threads allocate and free meanwhile: a range that was freed before its move ends is
//! simply not moved, and nothing new goes into a buffer that is being emptied.

use super::{Block, BufferArena, BufferRange, Divisible, Note, RangeId, RangeRequest, Shard};
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

/// A pass under way. Dropping it gives up: what is reserved stays until the arena ends, so
/// end it with [`BufferArena::end_pass`].
#[derive(Debug)]
#[must_use = "a pass holds its targets until it is ended"]
pub struct Pass<D: Divisible> {
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
    /// arena.end_pass(pass, |id, range| drop(meshes.insert(id, range)));
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
        let mut pass = Pass { moves: Vec::new(), closed: Vec::new() };
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
            let Some(target) = self.place(shard, home, &request) else { return false };
            let id = RangeId { arena: self.id, shard: home, block: source, part: one.part };
            let source_offset = one.offset;
            pass.moves.push(Move { id, source: buffer, source_offset, target });
            left.moves -= 1;
            left.bytes -= one.size;
        }
        true
    }

    /// Ends a pass whose copies the device has executed: gives each new range to `take`,
    /// with the name of the old one, which is freed; nothing may use that any more. A range that
    /// was freed meanwhile, or handed in for a frame, is not among them.
    pub fn end_pass(&self, pass: Pass<D>, mut take: impl FnMut(RangeId, BufferRange<D>)) {
        for (home, block) in pass.closed {
            if let Some(block) = &mut self.lock(home).blocks[block as usize] {
                block.is_closed = false;
            }
        }
        for Move { id, target, .. } in pass.moves {
            if self.free_if(id, |note| !note.is_waiting).is_ok() {
                take(id, target);
            } else if let Err(error) = self.free(target) {
                log::error!("the target of a move was freed: {error}");
            }
        }
    }
}

/// The buffer with the least in it that is not being emptied, if another could take that in.
fn sparsest<D: Divisible>(shard: &Shard<D>) -> Option<u32> {
    let open = || {
        let blocks = (0..).zip(&shard.blocks);
        blocks
            .filter_map(|(index, block)| Some((index, block.as_ref()?)))
            .filter(|(_, block)| !block.is_closed && !block.parts.is_empty())
    };
    let used = |block: &Block<D>| block.parts.stats().used;
    let (source, least) = open().min_by_key(|(_, block)| used(block))?;
    let others = open().filter(|&(index, _)| index != source);
    let room: u64 = others.map(|(_, block)| block.parts.size() - used(block)).sum();
    (room >= used(least)).then_some(source)
}

/// What lies in a buffer, the largest first: what is hardest to place decides early.
fn candidates(parts: &VirtualBlock<Note>) -> Vec<Candidate> {
    let candidate = |(part, info): (_, VirtualInfo<'_, Note>)| {
        let Note { align, size, ref name, is_waiting } = *info.data;
        let one = Candidate { part, offset: info.offset, size, align, name: name.clone() };
        (!is_waiting).then_some(one)
    };
    let mut found: Vec<_> = parts.iter().filter_map(candidate).collect();
    found.sort_by_key(|one| core::cmp::Reverse(one.size));
    found
}
