//! Which allocations of an arena to move, so that few blocks hold what many did.
//!
//! Blocks are emptied one at a time, the sparsest first, into those that are to stay. First it is
//! reckoned how many could go if everything fitted everywhere; these are closed, so that neither
//! moves nor new allocations come into them. From each the largest parts leave first, each to the
//! block with the tightest room. When a part finds none, the densest block that was to go stays
//! after all; when there is none left, what this pass wanted to move from the block is taken back:
//! so nothing is copied that empties no block, however small the limits are.
//!
//! Packing a block moves parts from its end into gaps below: into the closest, or the lowest when
//! that lies above. The latter looks at every region of the block, so that of large blocks only the
//! parts next to the end get it: on those it depends how much is free there. Separating moves parts
//! to blocks in which theirs is the tiling of most bytes.

use super::block::Contents;
use super::moves::To;
use super::state::State;
use super::{Session, Tiling};
use crate::device::Device;
use crate::division::{Division, Region};
use crate::request::Search;
use polder_core::table::Key;
use std::collections::HashSet;

/// How many parts are looked at before others get the lock.
const LOOKS_PER_LOCK: u32 = 64;

/// How many regions of a block are looked at for the lowest gaps: all of them for each part, when
/// there are some hundreds.
const REGIONS_PER_BLOCK: u64 = 1 << 18;

/// How often blocks are emptied in a row, as long as some can be: others allocate meanwhile.
const ROUNDS_MAX: u32 = 8;

/// How much is done for how few bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effort {
    /// Moves only what empties a block.
    Fast,
    /// The same; then packs blocks whose free bytes lie in pieces, the largest of them less than
    /// half of all, and looks again which blocks can be emptied.
    #[default]
    Balanced,
    /// The same, and packs every block.
    Full,
    /// The same, and parts linear from optimal resources on a device whose granularity is above 1.
    Extensive,
}

/// One thing to do in an arena; the next begins with a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Empties blocks into others; of one tiling alone, if one is named.
    Empty(Option<Tiling>),
    Pack(Scope),
    /// Moves what has this tiling out of blocks that are mostly of the other.
    Separate(Tiling),
}

/// Which blocks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    InPieces,
    All,
}

impl Effort {
    const fn stages(self, granularity: u64) -> &'static [Stage] {
        use Stage::{Empty, Pack, Separate};
        use Tiling::{Linear, Optimal};
        match self {
            Self::Fast => &[Empty(None)],
            Self::Balanced => &[Empty(None), Pack(Scope::InPieces), Empty(None)],
            // First, while there is room, each to its own; after that neither comes to the other.
            Self::Extensive if granularity > 1 => &[
                Separate(Optimal),
                Separate(Linear),
                Separate(Optimal),
                Empty(Some(Optimal)),
                Empty(Some(Linear)),
                Pack(Scope::All),
                Empty(Some(Optimal)),
                Empty(Some(Linear)),
            ],
            Self::Full | Self::Extensive => &[Empty(None), Pack(Scope::All), Empty(None)],
        }
    }
}

/// What one pass may still take.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// Bytes of moves.
    pub bytes: u64,
    /// Moves.
    pub moves: u32,
    /// Bytes that the largest move may have in any pass.
    pub bytes_max: u64,
}

/// What a look at an arena brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is more to look at.
    More,
    /// Nothing more in this pass.
    PassEnds,
    /// Nothing more at all.
    Done,
}

/// What a defragmentation does in one arena. See the [module](self).
#[derive(Debug)]
pub struct Packing {
    /// The stages after the next.
    stages: core::slice::Iter<'static, Stage>,
    next: Option<Stage>,
    /// How often in a row the next stage was begun, it included.
    rounds: u32,
    work: Option<Work>,
    pinned: HashSet<Key>,
}

/// A stage under way.
#[derive(Debug)]
struct Work {
    stage: Stage,
    /// Blocks to come, the next one last.
    blocks: Vec<u32>,
    /// The block that is being emptied or packed.
    current: Option<u32>,
    /// The parts to move, by block and slot, the next one last.
    parts: Vec<(u32, u32)>,
    /// How many regions of the current block may still be looked at.
    regions_left: u64,
    /// The first move of this pass that is from the current block.
    first: usize,
    /// Whether everything could leave some block.
    has_emptied: bool,
}

impl Packing {
    /// Makes the plan for an arena on a device of this granularity.
    pub fn new(effort: Effort, granularity: u64) -> Self {
        let mut stages = effort.stages(granularity).iter();
        let next = stages.next().copied();
        Self { stages, next, rounds: 1, work: None, pinned: HashSet::new() }
    }

    /// Leaves an allocation where it is from here on.
    pub fn pin(&mut self, key: Key) {
        self.pinned.insert(key);
    }

    /// Begins a pass.
    pub fn begin_pass(&mut self) {
        if let Some(work) = &mut self.work {
            work.first = 0;
        }
    }

    /// Opens some moves, within what is left.
    pub fn propose<D: Device, V: Division>(
        &mut self,
        session: &mut Session<'_, D, V>,
        left: &mut Left,
    ) -> Outcome {
        if let Some(work) = &mut self.work {
            work.resume(session);
        }
        for _ in 0..LOOKS_PER_LOCK {
            let outcome = self.step(session, left);
            if outcome != Outcome::More {
                return outcome;
            }
        }
        Outcome::More
    }

    fn step<D: Device, V: Division>(
        &mut self,
        session: &mut Session<'_, D, V>,
        left: &mut Left,
    ) -> Outcome {
        if let Some(work) = &mut self.work {
            if let Some(outcome) = work.step(session, left, &self.pinned) {
                return outcome;
            }
            // Where some blocks went, others may follow.
            self.next = if work.has_emptied && self.rounds < ROUNDS_MAX {
                self.rounds += 1;
                Some(work.stage)
            } else {
                self.rounds = 1;
                self.stages.next().copied()
            };
            self.work = None;
        }
        // A stage reckons with what those before it have made free.
        if session.move_count() > 0 {
            return Outcome::PassEnds;
        }
        let Some(stage) = self.next else { return Outcome::Done };
        self.work = Some(Work::new(stage, session));
        Outcome::More
    }
}

impl Work {
    fn new<D: Device, V: Division>(stage: Stage, session: &mut Session<'_, D, V>) -> Self {
        let mut work = Self {
            stage,
            blocks: Vec::new(),
            current: None,
            parts: Vec::new(),
            regions_left: 0,
            first: 0,
            has_emptied: false,
        };
        match stage {
            Stage::Empty(tiling) => {
                session.discard_empty();
                work.blocks = session.close_sparse(tiling);
            }
            Stage::Pack(scope) => work.blocks = session.blocks_to_pack(scope),
            Stage::Separate(tiling) => work.parts = session.close_others(tiling),
        }
        work
    }

    /// Drops the current block if it is gone: others worked here meanwhile.
    fn resume<D: Device, V: Division>(&mut self, session: &Session<'_, D, V>) {
        let is_gone = |&block: &u32| !session.is_closed(block);
        if self.empties() && self.current.as_ref().is_some_and(is_gone) {
            self.current = None;
            self.parts.clear();
        }
    }

    /// Looks at the next part; nothing when the stage is over.
    fn step<D: Device, V: Division>(
        &mut self,
        session: &mut Session<'_, D, V>,
        left: &mut Left,
        pinned: &HashSet<Key>,
    ) -> Option<Outcome> {
        let Some((block, slot)) = self.parts.pop() else {
            return self.next_block(session, left, pinned).then_some(Outcome::More);
        };
        // Freed meanwhile, or another life of the slot.
        let key = session.live_key(slot).filter(|_| session.entry(slot).block == block);
        let is_movable = |key: &Key| session.is_movable(slot) && !pinned.contains(key);
        let Some(key) = key else { return Some(Outcome::More) };
        let size = session.entry(slot).size;
        if !is_movable(&key) || size > left.bytes_max {
            self.part_stays(session, left);
        } else if left.moves == 0 || size > left.bytes {
            self.parts.push((block, slot));
            return Some(Outcome::PassEnds);
        } else if self.open_move(session, key) {
            left.moves -= 1;
            left.bytes -= size;
        } else if self.empties() {
            if self.blocks.is_empty() {
                self.part_stays(session, left);
            } else {
                session.reopen(self.blocks.remove(0));
                self.parts.push((block, slot));
            }
        }
        Some(Outcome::More)
    }

    /// Opens a move of a part; `false` when there is no place for it.
    fn open_move<D: Device, V: Division>(
        &mut self,
        session: &mut Session<'_, D, V>,
        key: Key,
    ) -> bool {
        let Stage::Pack(_) = self.stage else { return session.open_move(key, To::OtherBlock) };
        if session.open_move(key, To::Below(Search::Tight)) {
            return true;
        }
        let regions = session.regions_most(session.entry(key.slot).block);
        let Some(left) = self.regions_left.checked_sub(regions) else { return false };
        self.regions_left = left;
        session.open_move(key, To::Below(Search::LowestOffset))
    }

    const fn empties(&self) -> bool {
        matches!(self.stage, Stage::Empty(_))
    }

    /// Goes on to the next block; `false` when there is none.
    fn next_block<D: Device, V: Division>(
        &mut self,
        session: &mut Session<'_, D, V>,
        left: &Left,
        pinned: &HashSet<Key>,
    ) -> bool {
        self.has_emptied |= self.empties() && self.current.is_some();
        let Some(block) = self.blocks.pop() else {
            session.reopen_all();
            return false;
        };
        self.first = session.move_count();
        self.regions_left = REGIONS_PER_BLOCK;
        self.current = None;
        if self.empties() && !session.is_closed(block) {
            // Gone meanwhile, or its number is another's.
            return true;
        }
        self.parts = session.parts_of(block);
        if self.empties() {
            let stays = |&(_, slot): &(u32, u32)| {
                let is_pinned = session.live_key(slot).is_some_and(|key| pinned.contains(&key));
                is_pinned || !session.is_movable(slot) || session.entry(slot).size > left.bytes_max
            };
            if self.parts.iter().any(stays) {
                self.parts.clear();
                session.reopen(block);
                return true;
            }
            self.parts.sort_by_key(|&(_, slot)| session.entry(slot).size);
        }
        self.current = Some(block);
        true
    }

    /// A part stays where it is: then its block will not be empty, and nothing need leave it.
    fn part_stays<D: Device, V: Division>(
        &mut self,
        session: &mut Session<'_, D, V>,
        left: &mut Left,
    ) {
        if !self.empties() {
            return;
        }
        let cancelled = self.first..session.move_count();
        left.moves += cancelled.len() as u32;
        left.bytes += cancelled.map(|number| session.proposal(number).size).sum::<u64>();
        session.cancel_moves(self.first);
        self.parts.clear();
        if let Some(block) = self.current.take() {
            session.reopen(block);
        }
    }
}

/// How full a shared block is. Bytes.
#[derive(Clone, Copy)]
struct Fill {
    block: u32,
    used: u64,
    size: u64,
}

impl<D: Device, V: Division> State<D, V> {
    fn fills(&self) -> Vec<Fill> {
        let fill = |index| match &self.block(index).contents {
            Contents::Shared { division } if division.count() > 0 => Some(Fill {
                block: index,
                used: division.used(),
                size: self.block(index).grant.size,
            }),
            _ => None,
        };
        self.blocks().filter_map(fill).collect()
    }

    /// Closes the blocks that could go if everything fitted everywhere, and returns them, the
    /// sparsest last; no more than the arena's rules let go. If one tiling is named, all that are
    /// mostly of the other are closed too.
    fn close_sparse(&mut self, tiling: Option<Tiling>) -> Vec<u32> {
        let mut fills = self.fills();
        if let Some(tiling) = tiling {
            let (own, others): (Vec<_>, Vec<_>) =
                fills.into_iter().partition(|fill| self.is_mostly(tiling, fill));
            others.iter().for_each(|fill| self.close(fill.block));
            fills = own;
        }
        fills.sort_by_key(|fill| {
            // A sparse block gives the most bytes for each that is moved.
            let share = u128::from(fill.used) * (1 << 64) / u128::from(fill.size);
            (share, fill.block)
        });
        let mut room: u64 = fills.iter().map(|fill| fill.size - fill.used).sum();
        let mut moving = 0;
        let goes = |fill: &&Fill| {
            room -= fill.size - fill.used;
            moving += fill.used;
            moving <= room
        };
        let going = fills.iter().take(self.blocks_to_spare()).take_while(goes);
        let mut blocks: Vec<_> = going.map(|fill| fill.block).collect();
        blocks.iter().for_each(|&block| self.close(block));
        blocks.reverse();
        blocks
    }

    /// The most regions that a block may have.
    fn regions_most(&self, block: u32) -> u64 {
        match self.contents(block) {
            // A free one between each two.
            Some(Contents::Shared { division }) => 2 * u64::from(division.count()) + 1,
            _ => 1,
        }
    }

    fn blocks_to_pack(&self, scope: Scope) -> Vec<u32> {
        let is_wanted = |fill: &Fill| {
            let Contents::Shared { division } = &self.block(fill.block).contents else {
                return false;
            };
            scope == Scope::All || division.largest_free() < (fill.size - fill.used) / 2
        };
        self.fills().into_iter().filter(is_wanted).map(|fill| fill.block).collect()
    }

    /// Closes the blocks that are mostly of another tiling, and returns the parts in them that are
    /// of this one.
    fn close_others(&mut self, tiling: Tiling) -> Vec<(u32, u32)> {
        let mut strangers = Vec::new();
        for fill in self.fills() {
            if !self.is_mostly(tiling, &fill) {
                self.close(fill.block);
                strangers.extend(self.parts_like(tiling, fill.block));
            }
        }
        strangers
    }

    /// Tells whether most bytes of a block are of this tiling; of two halves, the linear one.
    fn is_mostly(&self, tiling: Tiling, fill: &Fill) -> bool {
        // Of the entries alone: what is kept behind them for margins is of neither.
        let bytes_of = |tiling: Tiling| -> u64 {
            self.parts_like(tiling, fill.block).map(|(_, slot)| self.entry(slot).size).sum()
        };
        let [optimal, linear] = [Tiling::Optimal, Tiling::Linear].map(bytes_of);
        (optimal > linear) == (tiling == Tiling::Optimal)
    }

    fn parts_like(&self, tiling: Tiling, block: u32) -> impl Iterator<Item = (u32, u32)> {
        let mut parts = self.parts_of(block);
        parts.retain(|&(_, slot)| self.entry(slot).tiling == tiling);
        parts.into_iter()
    }

    /// The parts of a block in the order of offsets, without those that are only kept for a move.
    fn parts_of(&self, index: u32) -> Vec<(u32, u32)> {
        let mut parts = Vec::new();
        if let Some(Contents::Shared { division }) = self.contents(index) {
            division.walk(&mut |region: Region| {
                let slot = region.slot.filter(|&slot| self.is_at(slot, index, region.offset));
                parts.extend(slot.map(|slot| (index, slot)));
            });
        }
        parts
    }
}
