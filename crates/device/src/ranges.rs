//! Ranges of large buffers, handed out as values: what many small buffers are made of.
//!
//! A driver's buffer costs a call, a handle and a binding each; a program that draws thousands of
//! meshes wants offsets in a few. A [`BufferArena`] makes large buffers of one usage, divides each
//! by a [virtual block](crate::virtual_block), and hands out [`BufferRange`]s: the buffer, where in
//! it the range begins, its host pointer and its device address. (What users have asked VMA for
//! since 2019, its issue 258.)
//!
//! An arena has shards, each with buffers and a lock of its own; a thread keeps to one, as in the
//! [allocator](crate::Allocator), so threads share neither. A shard's next buffer is as large as
//! all that it holds, up to a bound; a range that is large beside that gets a buffer of its own.
//! Of empty buffers a shard keeps one.
//!
//! # Invariants
//!
//! 1. A range is live exactly while the virtual block of its buffer has its name.
//! 2. A block's `room` is at least as large as its largest free region that may be given.
//! 3. No range shares an atom of flushed memory with another, where memory has to be flushed.

mod access;
mod error;
mod frames;
mod pass;
mod range;

pub use error::{PassError, RangeError, RangeFreeError, RangeLeaks, RangeMisuse};
pub use pass::{Limits, Move, Pass};
pub use range::{BufferRange, RangeId, RangeRequest};

use crate::allocation::AllocatorId;
use crate::allocator::Allocator;
use crate::device::Resources;
use crate::error::CreateError;
use crate::factory::{Buffer, Factory};
use crate::frames::Frames;
use crate::request::{Access, Mapping, Wish};
use crate::snapshot::BlockSnapshot;
use crate::strategy::Strategy;
use crate::virtual_block::{Algorithm, VirtualBlock, VirtualError, VirtualPart, VirtualRequest};
use core::fmt;
use core::hash::Hash;
use core::num::NonZeroU64;
use polder_core::stats::Stats;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device whose buffers can be divided.
///
/// # Safety
///
/// A part of a buffer that begins at a multiple of [`range_align`](Divisible::range_align) may be
/// used as the buffer itself may.
pub unsafe trait Divisible: Resources {
    /// What buffers are for.
    type Usage: Copy + Eq + Hash + Send + Sync + 'static;

    /// Returns what a buffer of `size` bytes for this is made from.
    fn buffer_info(&self, size: u64, usage: Self::Usage) -> Self::BufferInfo<'static>;

    /// Returns what the offsets of ranges are multiples of, in bytes: a power of two.
    fn range_align(&self, usage: Self::Usage) -> u64;

    /// Returns the device address of a buffer's first byte, if its usage gives it one.
    ///
    /// # Safety
    ///
    /// The buffer is of this device and this usage, live, and bound.
    unsafe fn device_address(&self, buffer: Self::Buffer, usage: Self::Usage)
    -> Option<NonZeroU64>;
}

/// How a [`BufferArena`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaOptions {
    /// Bytes of a shard's first buffer. A power of two.
    pub size_least: u64,
    /// No buffer that ranges share is larger. A power of two.
    pub size_most: u64,
    /// How many threads get buffers of their own; 0 for one per processor, at most eight.
    pub shards: u32,
}

impl Default for ArenaOptions {
    /// From 256 KiB to 64 MiB, a shard per processor.
    fn default() -> Self {
        Self { size_least: 256 << 10, size_most: 64 << 20, shards: 0 }
    }
}

/// As many shards as are made when nobody says.
const SHARDS_DEFAULT_MAX: usize = 8;
/// A range of more than this part of the next buffer gets a buffer of its own.
const LARGE_SHARE: u64 = 2;
const CHECKED: &str = "the arena's size and alignment are no zero and a power of two";

/// What the arena remembers of a range.
#[derive(Debug)]
struct Note {
    align: u64,
    size: u64,
    name: Option<Box<str>>,
    state: State,
}

/// What becomes of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It stays, or it moves.
    Held,
    /// It was handed in and waits for its frame: then it moves no more.
    Waiting,
    /// An open pass copies to it, and nobody has it yet.
    Target,
}

/// One buffer, and what of it is handed out.
struct Block<D: Divisible> {
    buffer: Buffer<D>,
    address: Option<NonZeroU64>,
    parts: VirtualBlock<Note>,
    /// Invariant 2.
    room: u64,
    /// Whether it is being emptied: then nothing new goes into it, and it stays until its pass
    /// ends, for copies may read it.
    is_closed: bool,
    /// How many ranges in it are targets.
    targets: u32,
}

struct Shard<D: Divisible> {
    /// By number; a place whose buffer is gone is used for the next.
    blocks: Vec<Option<Block<D>>>,
    held: u64,
}

/// Hands out ranges of large buffers of one usage. See the [module](self).
///
/// ```
/// use polder_device::ranges::{ArenaOptions, BufferArena, RangeRequest};
/// use polder_device::sim::{BufferUsage, Preset, Sim};
/// use polder_device::{Access, Allocator, Options};
/// use std::sync::Arc;
///
/// let allocator = Arc::new(Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default()));
/// let usage = BufferUsage::VERTEX | BufferUsage::TRANSFER;
/// let options = ArenaOptions::default();
/// let meshes = BufferArena::new(&allocator, usage, Access::HostWrites, options)?;
/// let request = RangeRequest { name: Some("house"), ..RangeRequest::new(5000) };
/// let mut house = meshes.allocate(request)?;
/// let tree = meshes.allocate(RangeRequest::new(700))?;
/// assert_eq!(house.buffer(), tree.buffer(), "one buffer, two ranges");
/// meshes.write(&mut house, 0, &[1, 2, 3])?;
/// meshes.free(house)?;
/// meshes.free(tree)?;
/// meshes.shutdown()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BufferArena<D: Divisible> {
    id: AllocatorId,
    allocator: Arc<Allocator<D>>,
    usage: D::Usage,
    access: Access,
    options: ArenaOptions,
    /// What every offset and every room is a multiple of.
    align: u64,
    shards: Box<[Mutex<Shard<D>>]>,
    frames: Frames<BufferRange<D>>,
}

impl<D: Divisible> BufferArena<D> {
    /// Makes an arena that holds nothing yet.
    ///
    /// # Errors
    ///
    /// [`RangeError::BadOptions`]: the sizes are no powers of two, or the least is above the most.
    pub fn new(
        allocator: &Arc<Allocator<D>>,
        usage: D::Usage,
        access: Access,
        options: ArenaOptions,
    ) -> Result<Self, RangeError> {
        let ArenaOptions { size_least, size_most, shards } = options;
        let are_powers = size_least.is_power_of_two() && size_most.is_power_of_two();
        if !are_powers || size_least > size_most {
            return Err(RangeError::BadOptions { size_least, size_most });
        }
        let count = match shards {
            0 => crate::allocator::processors().min(SHARDS_DEFAULT_MAX) as u32,
            count => count,
        };
        let atom =
            if access.is_host() { allocator.properties().limits.non_coherent_atom_size } else { 1 };
        let align = allocator.device().range_align(usage).max(atom);
        let shard = |_| Mutex::new(Shard { blocks: Vec::new(), held: 0 });
        Ok(Self {
            id: AllocatorId::fresh(),
            allocator: allocator.clone(),
            usage,
            access,
            options,
            align,
            shards: (0..count).map(shard).collect(),
            frames: Frames::default(),
        })
    }

    /// Returns the allocator that the buffers' memory comes from.
    pub const fn allocator(&self) -> &Arc<Allocator<D>> {
        &self.allocator
    }

    /// Returns what its buffers are for.
    pub const fn usage(&self) -> D::Usage {
        self.usage
    }

    /// Hands out a range, from the first of its shard's buffers that has room, or a new one.
    ///
    /// # Errors
    ///
    /// Those of [`RangeError`]; nothing has changed.
    pub fn allocate(&self, request: RangeRequest<'_>) -> Result<BufferRange<D>, RangeError> {
        let RangeRequest { size, align, .. } = request;
        if size == 0 {
            return Err(RangeError::ZeroSize);
        }
        if !align.is_power_of_two() {
            return Err(RangeError::BadAlign { align });
        }
        let home = crate::allocator::home(self.shards.len() as u32);
        let mut shard = self.lock(home);
        if let Some(range) = self.place(&mut shard, home, &request) {
            return Ok(range);
        }
        let held = shard.held;
        // Nothing is locked while memory is asked for: who is told that it is short may use us.
        drop(shard);
        let block = self.make_for(size.max(align), held)?;
        let mut shard = self.lock(home);
        let block = shard.insert(block);
        let range = self.place_in(&mut shard, home, block, &request);
        range.ok_or(RangeError::TooLarge { size, align })
    }

    /// Looks in the buffers that there are.
    fn place(
        &self,
        shard: &mut Shard<D>,
        home: u32,
        request: &RangeRequest<'_>,
    ) -> Option<BufferRange<D>> {
        (0..shard.blocks.len() as u32).find_map(|block| self.place_in(shard, home, block, request))
    }

    fn place_in(
        &self,
        shard: &mut Shard<D>,
        home: u32,
        index: u32,
        request: &RangeRequest<'_>,
    ) -> Option<BufferRange<D>> {
        let block = shard.blocks[index as usize].as_mut()?;
        let align = request.align.max(self.align);
        let room = request.size.checked_next_multiple_of(self.align)?;
        if block.is_closed || room > block.room {
            return None;
        }
        let note = Note {
            align,
            size: request.size,
            name: request.name.map(Box::from),
            state: State::Held,
        };
        let wanted = VirtualRequest { align, ..VirtualRequest::new(room) };
        match block.parts.allocate(wanted, note) {
            Ok(VirtualPart { allocation: part, offset }) => {
                let id = RangeId { arena: self.id, shard: home, block: index, part };
                Some(block.range(id, offset, request.size))
            }
            Err(VirtualError::NoRoom { room, .. }) => {
                block.room = room;
                None
            }
            Err(error) => unreachable!("{CHECKED}: {error}"),
        }
    }

    /// Makes a buffer with room for `least` bytes, for a shard that holds so many.
    fn make_for(&self, least: u64, held: u64) -> Result<Block<D>, RangeError> {
        let next = held.next_power_of_two();
        let next = next.clamp(self.options.size_least, self.options.size_most);
        let own = least.checked_next_multiple_of(self.align);
        let own = own.ok_or(RangeError::TooLarge { size: least, align: self.align })?;
        let size = if own > next / LARGE_SHARE { own } else { next };
        let made = self.make(size).or_else(|error| match error {
            // What was wished for is more than there is: what is needed may be there.
            CreateError::Allocate(_) if size > own => self.make(own),
            error => Err(error),
        });
        made.map_err(RangeError::Buffer)
    }

    fn make(&self, size: u64) -> Result<Block<D>, CreateError> {
        let mapping = if self.access.is_host() { Mapping::Persistent } else { Mapping::Counted };
        let wish = Wish { mapping, ..Wish::of(self.access) };
        let device = self.allocator.device();
        let buffer = self.allocator.create_buffer(&device.buffer_info(size, self.usage), &wish)?;
        // SAFETY: The buffer was just made for this usage, and is bound.
        let address = unsafe { device.device_address(buffer.handle(), self.usage) };
        let parts = VirtualBlock::new(size, Algorithm::Tlsf).expect(CHECKED);
        Ok(Block { buffer, address, parts, room: size, is_closed: false, targets: 0 })
    }

    /// Takes a range back. Nothing may use it any more: no command that the device has yet to
    /// execute.
    ///
    /// # Errors
    ///
    /// The range is another arena's, or was freed; it comes back.
    pub fn free(&self, range: BufferRange<D>) -> Result<(), RangeFreeError<D>> {
        self.free_by_id(range.id).map_err(|reason| RangeFreeError { reason, range })
    }

    fn free_by_id(&self, id: RangeId) -> Result<(), RangeMisuse> {
        self.expect_own(id)?;
        let mut shard = self.lock(id.shard);
        self.free_in(&mut shard, id)
    }

    fn free_in(&self, shard: &mut Shard<D>, id: RangeId) -> Result<(), RangeMisuse> {
        let block = shard.block_mut(id)?;
        block.parts.free(id.part).map_err(|_| RangeMisuse::Stale { id })?;
        block.room = block.parts.size();
        if block.is_idle() {
            self.release_but_one(shard, id.block);
        }
        Ok(())
    }

    /// Destroys a buffer that has become empty if the shard has another, or it is a large one's.
    fn release_but_one(&self, shard: &mut Shard<D>, emptied: u32) {
        let is_other = |index: usize| index != emptied as usize;
        let mut others = shard.blocks.iter().enumerate().filter(|&(index, _)| is_other(index));
        let has_empty = others.any(|(_, block)| block.as_ref().is_some_and(Block::is_idle));
        let size = shard.blocks[emptied as usize].as_ref().map_or(0, |block| block.parts.size());
        if has_empty || size > self.options.size_most {
            self.release(shard, emptied as usize);
        }
    }

    fn release(&self, shard: &mut Shard<D>, index: usize) {
        let Some(block) = shard.blocks[index].take() else { return };
        shard.held -= block.parts.size();
        if let Err(error) = self.allocator.destroy_buffer(block.buffer) {
            log::error!("a buffer of ranges was freed by another: {error}");
        }
    }

    /// Destroys every buffer of which nothing is handed out.
    pub fn trim(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            for index in 0..shard.blocks.len() {
                if shard.blocks[index].as_ref().is_some_and(Block::is_idle) {
                    self.release(&mut shard, index);
                }
            }
        }
    }

    /// Returns how much is held in buffers and used in ranges. Takes the shards' locks in turn.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.shards {
            lock(shard).blocks.iter().flatten().for_each(|block| stats += block.parts.stats());
        }
        stats
    }

    /// Shows every buffer and every range in it; a shard's number stands for the arena's.
    pub fn snapshot(&self) -> Vec<BlockSnapshot> {
        let name = |note: &Note| note.name.as_deref().map(String::from);
        let mut shown = Vec::new();
        for (arena, shard) in (0..).zip(&self.shards) {
            let shard = lock(shard);
            let blocks = shard.blocks.iter().flatten();
            shown.extend(blocks.map(|block| BlockSnapshot { arena, ..block.parts.snapshot(name) }));
        }
        shown
    }

    /// Ends the arena and destroys its buffers.
    ///
    /// # Errors
    ///
    /// What was still handed out; the buffers are destroyed all the same.
    pub fn shutdown(self) -> Result<(), RangeLeaks> {
        match self.end() {
            leaks if leaks.sizes.is_empty() => Ok(()),
            leaks => Err(leaks),
        }
    }

    fn end(&self) -> RangeLeaks {
        self.frames.take().for_each(|range| self.end_wait(range));
        let mut leaks = RangeLeaks { sizes: Vec::new() };
        for shard in &self.shards {
            let mut shard = lock(shard);
            for index in 0..shard.blocks.len() {
                if let Some(block) = &shard.blocks[index] {
                    let leak = |note: &Note| (note.name.as_deref().map(String::from), note.size);
                    leaks.sizes.extend(block.parts.iter().map(|(_, info)| leak(info.data)));
                }
                self.release(&mut shard, index);
            }
        }
        leaks
    }

    fn expect_own(&self, id: RangeId) -> Result<(), RangeMisuse> {
        self.expect_id(id.arena)
    }

    fn expect_id(&self, found: AllocatorId) -> Result<(), RangeMisuse> {
        let expected = self.id;
        if expected == found { Ok(()) } else { Err(RangeMisuse::WrongArena { expected, found }) }
    }

    fn lock(&self, shard: u32) -> MutexGuard<'_, Shard<D>> {
        lock(&self.shards[shard as usize])
    }
}

/// A shard whose holder panicked is as it was: every change is made at once.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Divisible> Shard<D> {
    /// Adds a buffer and returns its number.
    fn insert(&mut self, block: Block<D>) -> u32 {
        self.held += block.parts.size();
        let vacant = self.blocks.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.blocks.len());
        if vacant.is_none() {
            self.blocks.push(None);
        }
        self.blocks[index] = Some(block);
        index as u32
    }

    fn block_mut(&mut self, id: RangeId) -> Result<&mut Block<D>, RangeMisuse> {
        let block = self.blocks.get_mut(id.block as usize).and_then(Option::as_mut);
        block.ok_or(RangeMisuse::Stale { id })
    }
}

impl<D: Divisible> Block<D> {
    fn range(&self, id: RangeId, offset: u64, size: u64) -> BufferRange<D> {
        let address = self.address.and_then(|address| address.checked_add(offset));
        let pointer = self.buffer.allocation().pointer().map(|pointer| pointer.at(offset));
        BufferRange { id, buffer: self.buffer.handle(), offset, size, pointer, address }
    }

    fn is_idle(&self) -> bool {
        self.parts.is_empty() && !self.is_closed
    }
}

impl<D: Divisible> Drop for BufferArena<D> {
    fn drop(&mut self) {
        let leaks = self.end();
        if !leaks.sizes.is_empty() {
            log::error!("{leaks}");
        }
    }
}

impl<D: Divisible> fmt::Debug for BufferArena<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("BufferArena");
        shown.field("access", &self.access);
        shown.field("stats", &self.stats()).finish_non_exhaustive()
    }
}
