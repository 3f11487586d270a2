//! Few blocks for what lies scattered in many: moves are proposed, the user copies, places change.
//!
//! A [`Defragmentation`] works in passes. [`begin_pass`](Defragmentation::begin_pass) proposes
//! moves within limits and reserves the places they go to. The user copies the contents and says
//! of each move what became of it: [`copied`](Defragmentation::copied) changes the allocation to
//! its new place, [`ignore`](Defragmentation::ignore) leaves it, and
//! [`destroy`](Defragmentation::destroy) frees it instead. [`end_pass`](Defragmentation::end_pass)
//! frees the places that were left, and gives empty blocks back. An allocation keeps its id.
//!
//! Other threads may allocate and free all the while, in the same blocks. What is freed during a
//! pass keeps both its places until the pass ends, for its copy may be under way.
//!
//! A [`Pool`] is defragmented [by itself](Pool::defragment); the defragmentation of an allocator
//! leaves its pools alone. Moves stay within one memory type and one arena, for an id names its
//! arena. Not moved are dedicated blocks (nothing else lies in them), what was asked to live
//! shortly, and what somebody has [mapped](crate::Strategy::map) at the moment. An allocation
//! mapped all its life ([`Mapping::Persistent`](crate::Mapping)) moves, and its handle gets the new
//! pointer: that is why `copied` takes the handle. The pointer it had before is good until the pass
//! ends.
//!
//! Between `begin_pass` and `copied` nobody may write to an allocation that moves: the copy would
//! miss it. The [mover](mover::Mover) does all this for buffers and images.
//!
//! ```
//! use polder_device::defragment::Options;
//! use polder_device::sim::{Preset, Sim};
//! use polder_device::{Allocator, Growth, Request, Requirements, Strategy, Wish};
//! use std::collections::HashMap;
//!
//! let growth = Some(Growth { size_least: 1 << 20, size_most: 1 << 20 });
//! let options = polder_device::Options { growth, ..polder_device::Options::default() };
//! let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), options);
//! let needs = Requirements { size: 64 << 10, align: 256, ..Requirements::ANY };
//! let request = Request::new(needs, Wish::default());
//! let mut live = HashMap::new();
//! for _ in 0..256 {
//!     let allocation = allocator.allocate(&request)?;
//!     live.insert(allocation.id(), allocation);
//! }
//! let every_second: Vec<_> = live.keys().copied().step_by(2).collect();
//! for id in every_second {
//!     allocator.free(live.remove(&id).unwrap())?;
//! }
//!
//! let held = allocator.held();
//! let mut defragmentation = allocator.defragment(&Options::default())?;
//! loop {
//!     let moves = defragmentation.begin_pass()?.to_vec();
//!     if moves.is_empty() {
//!         break;
//!     }
//!     for each in moves {
//!         // Here the contents are copied.
//!         defragmentation.copied(each.id, live.get_mut(&each.allocation).unwrap())?;
//!     }
//!     defragmentation.end_pass()?;
//! }
//! let stats = defragmentation.stats();
//! drop(defragmentation);
//! assert_eq!(allocator.held(), held - stats.bytes_freed);
//! assert!(allocator.held() <= held / 2 + (1 << 20));
//! # live.into_values().for_each(|one| allocator.free(one).unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub mod mover;
mod options;

pub use crate::arena::Effort;
pub use error::{DefragmentError, NotDestroyed};
pub use mover::Mover;
pub use options::Options;

use crate::allocation::{Allocation, AllocationId, HostPointer};
use crate::allocator::Allocator;
use crate::arena::{Arena, Left, Mapped, Outcome, Packing, Session};
use crate::device::{Device, Tiling};
use crate::division::mixed::{self, Mixed};
use crate::strategy::Pool;
use crate::supply::Supply;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// The name of a move. No two moves of a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MoveId {
    pass: u64,
    index: u32,
}

/// Where an allocation lies, or may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<M> {
    /// The block.
    pub memory: M,
    /// From the block's begin, in bytes.
    pub offset: u64,
    /// The host pointer to its first byte, if the allocation is mapped all its life; good until
    /// the pass ends.
    pub pointer: Option<HostPointer>,
}

/// A proposal: these bytes may go there.
#[derive(Clone, Copy, Debug)]
pub struct Move<M> {
    /// By this it is answered.
    pub id: MoveId,
    /// What moves.
    pub allocation: AllocationId,
    /// Bytes.
    pub size: u64,
    /// Optimal for images of that tiling; linear for buffers and all else.
    pub tiling: Tiling,
    /// Where it lies.
    pub source: Place<M>,
    /// Where it may go: reserved until the pass ends.
    pub target: Place<M>,
}

/// What was done. Bytes are those of allocations and of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Allocations that changed their place.
    pub moved: u64,
    /// Their bytes.
    pub bytes_moved: u64,
    /// Blocks that went back to the device.
    pub blocks_freed: u64,
    /// Their bytes.
    pub bytes_freed: u64,
}

/// An arena, and what is done in it.
struct Site<'a, D: Device> {
    arena: &'a Arena<D, Mixed>,
    packing: Packing,
    done: bool,
}

impl<D: Device> Site<'_, D> {
    /// Works in the arena, and counts the blocks that this frees.
    fn with<R>(
        &mut self,
        stats: &mut Stats,
        work: impl FnOnce(&mut Packing, &mut Session<'_, D, Mixed>) -> R,
    ) -> R {
        self.arena.with(|session| {
            let before = session.gone();
            let result = work(&mut self.packing, session);
            let after = session.gone();
            stats.blocks_freed += after.blocks - before.blocks;
            stats.bytes_freed += after.bytes - before.bytes;
            result
        })
    }
}

/// Which move of which site, and whether it was answered.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    site: usize,
    number: usize,
    answered: bool,
}

/// A defragmentation of an allocator or a pool, in passes. See the [module](self).
///
/// Dropping it ends an open pass: what was not answered stays where it is, and its target is
/// free. As with every free, the device no longer writes there; the places that were left are
/// free too.
pub struct Defragmentation<'a, D: Device> {
    supply: &'a Supply<D>,
    options: Options,
    sites: Vec<Site<'a, D>>,
    /// The number of the open pass.
    pass: Option<u64>,
    moves: Vec<Move<D::Memory>>,
    tickets: Vec<Ticket>,
    stats: Stats,
}

/// Returns a number that no other pass of this process has.
fn fresh_pass() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Relaxed: only that the numbers differ matters.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<D: Device> Allocator<D> {
    /// Begins a defragmentation. Nothing moves before the first pass.
    ///
    /// # Errors
    ///
    /// A limit is zero, there is no such memory type, or another defragmentation works there.
    pub fn defragment(&self, options: &Options) -> Result<Defragmentation<'_, D>, DefragmentError> {
        let types = self.properties().memory_types.len() as u32;
        options.expect_possible(|memory_type| memory_type < types)?;
        let is_wanted = |arena: &&Arena<D, Mixed>| {
            let config = arena.config();
            matches!(config.division, mixed::Config::Tlsf(_))
                && options.memory_type.is_none_or(|wanted| wanted == config.memory_type)
        };
        Defragmentation::new(self.supply(), *options, self.made_arenas().filter(is_wanted))
    }
}

impl<D: Device> Pool<D> {
    /// Begins a defragmentation of this pool alone. As many blocks stay as its rules say at least,
    /// and nothing moves to empty one of those.
    ///
    /// # Errors
    ///
    /// The pool is [linear](DefragmentError::Linear); a limit is zero, the pool is of another
    /// memory type, or another defragmentation works in it.
    pub fn defragment(&self, options: &Options) -> Result<Defragmentation<'_, D>, DefragmentError> {
        let (arena, memory_type) = (self.arena(), self.memory_type());
        options.expect_possible(|wanted| wanted == memory_type)?;
        match arena.config().division {
            mixed::Config::Tlsf(_) => {
                Defragmentation::new(arena.supply(), *options, core::iter::once(arena))
            }
            mixed::Config::Linear(_) => Err(DefragmentError::Linear { memory_type }),
        }
    }
}

impl<'a, D: Device> Defragmentation<'a, D> {
    /// Begins one in these arenas, whose blocks are the supply's.
    fn new(
        supply: &'a Supply<D>,
        options: Options,
        arenas: impl Iterator<Item = &'a Arena<D, Mixed>>,
    ) -> Result<Self, DefragmentError> {
        let (pass, moves, tickets) = (None, Vec::new(), Vec::new());
        let (sites, stats) = (Vec::new(), Stats::default());
        // Dropped on the way out, it gives back what it has claimed.
        let mut it = Self { supply, options, sites, pass, moves, tickets, stats };
        for arena in arenas {
            if !arena.with(|session| session.claim()) {
                let memory_type = arena.config().memory_type;
                return Err(DefragmentError::Busy { memory_type });
            }
            let packing = Packing::new(options.effort, arena.granularity());
            it.sites.push(Site { arena, packing, done: false });
        }
        Ok(it)
    }

    fn device(&self) -> &'a D {
        self.supply.device()
    }

    /// Proposes moves; none when there is nothing left to do, and then no pass is open.
    ///
    /// Takes time in proportion to the allocations in the blocks that it empties or packs, and each
    /// arena's lock for a moment at a time.
    ///
    /// # Errors
    ///
    /// [`DefragmentError::PassOpen`]: end the open pass first.
    pub fn begin_pass(&mut self) -> Result<&[Move<D::Memory>], DefragmentError> {
        self.begin_pass_while(|| true)
    }

    /// As [`begin_pass`](Self::begin_pass), but looks for moves only while `go_on` says so, which
    /// is asked every 64 allocations, or 64 blocks: the way to bound its time. When it finds none
    /// for that, [`is_done`](Self::is_done) tells whether there is nothing left to do.
    ///
    /// # Errors
    ///
    /// [`DefragmentError::PassOpen`]: end the open pass first.
    pub fn begin_pass_while(
        &mut self,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<&[Move<D::Memory>], DefragmentError> {
        if self.pass.is_some() {
            return Err(DefragmentError::PassOpen);
        }
        let Options { bytes_per_pass_max: bytes, moves_per_pass_max: moves, .. } = self.options;
        let mut left = Left { bytes, moves, bytes_max: bytes };
        for site in self.sites.iter_mut().filter(|site| !site.done) {
            site.packing.begin_pass();
            let mut outcome = Outcome::More;
            while outcome == Outcome::More && left.moves > 0 && go_on() {
                outcome = site
                    .with(&mut self.stats, |packing, session| packing.propose(session, &mut left));
            }
            site.done = outcome == Outcome::Done;
        }
        self.collect();
        Ok(&self.moves)
    }

    /// Lists the moves that the arenas have opened.
    fn collect(&mut self) {
        let pass = fresh_pass();
        self.moves.clear();
        self.tickets.clear();
        for (index, site) in self.sites.iter().enumerate() {
            let (moves, tickets) = (&mut self.moves, &mut self.tickets);
            site.arena.with(|session| {
                for number in 0..session.move_count() {
                    let id = MoveId { pass, index: moves.len() as u32 };
                    let proposal = session.proposal(number);
                    let place = |(memory, offset, pointer)| Place { memory, offset, pointer };
                    let [source, target] = proposal.places.map(place);
                    moves.push(Move {
                        id,
                        allocation: site.arena.id(proposal.key),
                        size: proposal.size,
                        tiling: proposal.tiling,
                        source,
                        target,
                    });
                    tickets.push(Ticket { site: index, number, answered: false });
                }
            });
        }
        self.pass = (!self.moves.is_empty()).then_some(pass);
    }

    /// Returns the moves of the open pass.
    #[must_use]
    pub fn moves(&self) -> &[Move<D::Memory>] {
        if self.pass.is_some() { &self.moves } else { &[] }
    }

    /// Says that a move's contents are at its target, or will be before anything else is done
    /// with it there. The allocation lies there from here on, and `allocation` says so; the place
    /// that it left is kept until the pass ends.
    ///
    /// # Errors
    ///
    /// The move is not of the open pass or was answered, the handle is another allocation's, the
    /// allocation was freed, or somebody has mapped it meanwhile; nothing has changed.
    pub fn copied(
        &mut self,
        id: MoveId,
        allocation: &mut Allocation<D>,
    ) -> Result<(), DefragmentError> {
        let Ticket { site, number, .. } = self.ticket(id, Some(allocation))?;
        let Move { allocation: name, target, size, .. } = self.moves[id.index as usize];
        let arena = self.sites[site].arena;
        arena.with(|session| {
            arena.expect_live(name)?;
            session.take_move(number).map_err(|Mapped| DefragmentError::Mapped { id: name })
        })?;
        (allocation.memory, allocation.offset) = (target.memory, target.offset);
        allocation.pointer = target.pointer;
        self.tickets[id.index as usize].answered = true;
        self.stats.moved += 1;
        self.stats.bytes_moved += size;
        Ok(())
    }

    /// Leaves an allocation where it is, for as long as this defragmentation lasts. So does ending
    /// the pass without an answer.
    ///
    /// # Errors
    ///
    /// The move is not of the open pass, or was answered.
    pub fn ignore(&mut self, id: MoveId) -> Result<(), DefragmentError> {
        self.ticket(id, None)?;
        self.pin(id);
        self.tickets[id.index as usize].answered = true;
        Ok(())
    }

    /// Frees an allocation instead of moving it. Its places are free when the pass ends.
    ///
    /// # Errors
    ///
    /// As [`copied`](Self::copied); the allocation comes back.
    pub fn destroy(
        &mut self,
        id: MoveId,
        allocation: Allocation<D>,
    ) -> Result<(), NotDestroyed<D>> {
        let freed = self.ticket(id, Some(&allocation)).and_then(|ticket| {
            self.sites[ticket.site].arena.free(allocation.id()).map_err(DefragmentError::Misuse)
        });
        match freed {
            Ok(()) => {
                self.tickets[id.index as usize].answered = true;
                Ok(())
            }
            Err(reason) => Err(NotDestroyed { reason, allocation }),
        }
    }

    /// Ends the pass: what moves have left and what was freed meanwhile is free, empty blocks go
    /// back to the device. The device has ended all work with the places that were left, and with
    /// the targets of moves that were not answered with [`copied`](Self::copied).
    ///
    /// # Errors
    ///
    /// [`DefragmentError::NoPass`] when none is open.
    pub fn end_pass(&mut self) -> Result<(), DefragmentError> {
        self.pass.ok_or(DefragmentError::NoPass)?;
        for index in 0..self.moves.len() {
            if !self.tickets[index].answered {
                self.pin(self.moves[index].id);
            }
        }
        self.pass = None;
        for site in &mut self.sites {
            site.with(&mut self.stats, |_, session| session.end_moves());
        }
        Ok(())
    }

    /// Returns what was done since the begin.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Tells whether the last pass found that nothing is left to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.sites.iter().all(|site| site.done)
    }

    /// Returns what is known of a move that is still to be answered.
    fn ticket(
        &self,
        id: MoveId,
        allocation: Option<&Allocation<D>>,
    ) -> Result<Ticket, DefragmentError> {
        let pass = self.pass.ok_or(DefragmentError::NoPass)?;
        if id.pass != pass {
            return Err(DefragmentError::WrongPass { id });
        }
        let expected = self.moves[id.index as usize].allocation;
        let ticket = self.tickets[id.index as usize];
        if ticket.answered {
            return Err(DefragmentError::Answered { id });
        }
        match allocation.map(Allocation::id) {
            Some(found) if found != expected => {
                Err(DefragmentError::WrongAllocation { expected, found })
            }
            _ => Ok(ticket),
        }
    }

    /// Leaves the moves from this place in the list on for a later pass, which may propose them
    /// again.
    fn postpone(&mut self, first: usize) {
        self.tickets[first..].iter_mut().for_each(|ticket| ticket.answered = true);
    }

    fn pin(&mut self, id: MoveId) {
        let AllocationId { slot, generation, .. } = self.moves[id.index as usize].allocation;
        let site = &mut self.sites[self.tickets[id.index as usize].site];
        site.packing.pin(polder_core::table::Key { slot, generation });
    }
}

impl<D: Device> Drop for Defragmentation<'_, D> {
    fn drop(&mut self) {
        for site in &mut self.sites {
            site.arena.with(|session| {
                session.end_moves();
                session.release();
            });
        }
    }
}

impl<D: Device> fmt::Debug for Defragmentation<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, moves, stats, .. } = self;
        f.debug_struct("Defragmentation")
            .field("options", options)
            .field("moves", &moves.len())
            .field("stats", stats)
            .finish_non_exhaustive()
    }
}
