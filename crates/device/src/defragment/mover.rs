//! Moves buffers and images in a running frame loop.
//!
//! A [`Mover`] knows the resources that were registered with it. Each [`step`](Mover::step) looks
//! for a few moves, makes each resource anew at its new place, records the copies into the user's
//! command buffer, and hands the new handles over by a callback: whatever is recorded behind them
//! uses the new resource. When the device has [completed](Mover::complete) that frame the old
//! resources are destroyed, their places are free, and the next step may begin.
//!
//! Handles change when the copy is recorded, not when it is done: on one queue all that comes
//! behind sees what was copied, frames that are under way keep the old resource, and nothing need
//! be held still. Only what the *host* writes must wait: between a step and the completion of its
//! frame the host does not write to a resource that the step has moved.
//!
//! ```
//! use polder_device::defragment::{Mover, Options};
//! use polder_device::sim::{BufferInfo, Preset, Sim};
//! use polder_device::{Allocator, Factory, Growth, Strategy, Wish};
//! use std::collections::HashMap;
//!
//! let growth = Some(Growth { size_least: 1 << 20, size_most: 1 << 20 });
//! let options = polder_device::Options { growth, ..polder_device::Options::default() };
//! let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), options);
//! let info = BufferInfo::default();
//! let mut buffers = HashMap::new();
//! for _ in 0..64 {
//!     let buffer = allocator.create_buffer(&info, &Wish::default())?;
//!     buffers.insert(buffer.allocation().id(), buffer);
//! }
//! let every_second: Vec<_> = buffers.keys().copied().step_by(2).collect();
//! for id in every_second {
//!     allocator.destroy_buffer(buffers.remove(&id).unwrap())?;
//! }
//!
//! let held = allocator.held();
//! let options = Options { bytes_per_pass_max: 512 << 10, ..Options::default() };
//! let mut mover = Mover::new(allocator.defragment(&options)?);
//! for buffer in buffers.values() {
//!     mover.register_buffer(buffer, info)?;
//! }
//! for frame in 0.. {
//!     // The frame before has been completed: a fence or a timeline value says so.
//!     mover.complete(frame);
//!     if mover.is_done() {
//!         break;
//!     }
//!     // SAFETY: All that is registered lives; the device in software works at once.
//!     unsafe {
//!         mover.step(&mut (), frame + 1, || true, |swap| {
//!             if let Some(buffer) = buffers.get_mut(&swap.allocation()) {
//!                 swap.buffer(buffer).expect("nobody has mapped it");
//!             }
//!         })?;
//!     }
//! }
//! drop(mover);
//! assert!(allocator.held() < held);
//! # buffers.into_values().for_each(|one| allocator.destroy_buffer(one).unwrap());
//! # allocator.shutdown()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::{DefragmentError, Defragmentation, Move, MoveId, Stats};
use crate::allocation::AllocationId;
use crate::device::{Device, DeviceError, Resource, Resources};
use crate::factory::{Buffer, Image};
use core::fmt;
use std::collections::HashMap;
use thiserror::Error;

/// A device whose resources a [`Mover`] can copy.
///
/// # Safety
///
/// [`copy`](Relocate::copy) reads the source alone and writes the target alone.
pub unsafe trait Relocate: Resources {
    /// What copies are recorded into.
    type Commands;
    /// What must be known of an image to copy it, beyond how it was made.
    type ImageState: Clone;

    /// Tells whether buffers made so can be copied from and to.
    fn can_copy_buffer(&self, info: &Self::BufferInfo<'static>) -> bool;

    /// Tells whether images made so can be copied from and to.
    fn can_copy_image(&self, info: &Self::ImageInfo<'static>) -> bool;

    /// Lets the copies that follow come behind all that was recorded before.
    ///
    /// # Safety
    ///
    /// The commands are being recorded, outside of a render pass.
    unsafe fn begin_copies(&self, commands: &mut Self::Commands);

    /// Copies the whole of a resource to another that was made like it.
    ///
    /// # Errors
    ///
    /// The device's; nothing was recorded.
    ///
    /// # Safety
    ///
    /// - The commands are being recorded, outside of a render pass, behind `begin_copies`.
    /// - Both resources live, bound to memory, until the commands have been executed.
    unsafe fn copy(
        &self,
        commands: &mut Self::Commands,
        copy: Relocation<'_, Self>,
    ) -> Result<(), DeviceError>;

    /// Lets all that is recorded from here on see what was copied.
    ///
    /// # Safety
    ///
    /// As for `begin_copies`.
    unsafe fn end_copies(&self, commands: &mut Self::Commands);
}

/// One copy.
#[derive(Debug)]
pub enum Relocation<'a, D: Relocate + ?Sized> {
    /// Of a buffer.
    Buffer {
        /// What is read.
        source: D::Buffer,
        /// What is written.
        target: D::Buffer,
        /// How both were made.
        info: &'a D::BufferInfo<'static>,
    },
    /// Of an image.
    Image {
        /// What is read.
        source: D::Image,
        /// What is written: new, it has no contents.
        target: D::Image,
        /// How both were made.
        info: &'a D::ImageInfo<'static>,
        /// The state that the source is in, and the target is to be in.
        state: &'a D::ImageState,
    },
}

/// A resource of a device.
type ResourceOf<D> = Resource<<D as Device>::Buffer, <D as Device>::Image>;

/// A resource that may move, and how to make it anew.
enum Known<D: Relocate> {
    Buffer { handle: D::Buffer, info: D::BufferInfo<'static> },
    Image { handle: D::Image, info: D::ImageInfo<'static>, state: D::ImageState },
}

/// The resource cannot be copied: make it with usage for transfers, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{id} belongs to a resource that was not made to be copied from and to")]
pub struct NotCopyable {
    /// Its memory.
    pub id: AllocationId,
}

/// Which step of a move the device refused. The move is off, those before it stand, and the
/// allocator is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The resource could not be made anew.
    #[error("the resource could not be created: {0}")]
    Create(#[source] DeviceError),
    /// It could not be bound to its new place.
    #[error("the resource could not be bound: {0}")]
    Bind(#[source] DeviceError),
    /// Its copy could not be recorded.
    #[error("the copy could not be recorded: {0}")]
    Copy(#[source] DeviceError),
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The frame of the last step is not completed.
    Waits,
    /// So many resources have moved.
    Moved(usize),
    /// There is nothing left to move.
    Done,
}

/// A new handle for a resource, on its way to the owner.
#[derive(Debug)]
pub struct Swap<'m, 'a, D: Relocate> {
    work: &'m mut Defragmentation<'a, D>,
    id: MoveId,
    allocation: AllocationId,
    new: ResourceOf<D>,
    old: Option<ResourceOf<D>>,
}

impl<D: Relocate> Swap<'_, '_, D> {
    /// Returns whose memory moves.
    #[must_use]
    pub const fn allocation(&self) -> AllocationId {
        self.allocation
    }

    /// Puts the new handle and place into the owner's buffer. The mover destroys the old handle.
    ///
    /// # Errors
    ///
    /// It is not this buffer that moves, or somebody has freed or mapped its memory: it stays.
    pub fn buffer(&mut self, buffer: &mut Buffer<D>) -> Result<(), DefragmentError> {
        let Resource::Buffer(new) = self.new else {
            return Err(self.wrong(buffer.allocation().id()));
        };
        self.work.copied(self.id, buffer.allocation_mut())?;
        self.old = Some(Resource::Buffer(buffer.replace_handle(new)));
        Ok(())
    }

    /// Puts the new handle and place into the owner's image. The mover destroys the old handle.
    ///
    /// # Errors
    ///
    /// It is not this image that moves, or somebody has freed or mapped its memory: it stays.
    pub fn image(&mut self, image: &mut Image<D>) -> Result<(), DefragmentError> {
        let Resource::Image(new) = self.new else {
            return Err(self.wrong(image.allocation().id()));
        };
        self.work.copied(self.id, image.allocation_mut())?;
        self.old = Some(Resource::Image(image.replace_handle(new)));
        Ok(())
    }

    const fn wrong(&self, found: AllocationId) -> DefragmentError {
        DefragmentError::WrongAllocation { expected: self.allocation, found }
    }
}

/// See the [module](self).
///
/// Dropping it destroys what waits to be destroyed: the device has then completed the frame of
/// the last step.
pub struct Mover<'a, D: Relocate> {
    work: Defragmentation<'a, D>,
    known: HashMap<AllocationId, Known<D>>,
    /// The frame of the open pass, and what is destroyed after it.
    frame: Option<u64>,
    old: Vec<ResourceOf<D>>,
}

impl<'a, D: Relocate> Mover<'a, D> {
    /// Makes a mover that does the work of a defragmentation. What is not registered stays.
    ///
    /// A pass that is open [ends](Defragmentation::end_pass), with all that the device must have
    /// done for that; the moves in it that were not answered may come again.
    #[must_use]
    pub fn new(mut work: Defragmentation<'a, D>) -> Self {
        work.postpone(0);
        // Refused when none is open, which is as good.
        let _ = work.end_pass();
        Self { work, known: HashMap::new(), frame: None, old: Vec::new() }
    }

    /// Lets a buffer move. `info` is what it was made with.
    ///
    /// # Errors
    ///
    /// It cannot be copied.
    pub fn register_buffer(
        &mut self,
        buffer: &Buffer<D>,
        info: D::BufferInfo<'static>,
    ) -> Result<(), NotCopyable> {
        let (id, handle) = (buffer.allocation().id(), buffer.handle());
        if !self.device().can_copy_buffer(&info) {
            return Err(NotCopyable { id });
        }
        self.known.insert(id, Known::Buffer { handle, info });
        Ok(())
    }

    /// Lets an image move. `info` is what it was made with, `state` what it is in at each step.
    ///
    /// # Errors
    ///
    /// It cannot be copied.
    pub fn register_image(
        &mut self,
        image: &Image<D>,
        info: D::ImageInfo<'static>,
        state: D::ImageState,
    ) -> Result<(), NotCopyable> {
        let (id, handle) = (image.allocation().id(), image.handle());
        if !self.device().can_copy_image(&info) {
            return Err(NotCopyable { id });
        }
        self.known.insert(id, Known::Image { handle, info, state });
        Ok(())
    }

    /// Lets a resource stay from here on: before it is destroyed, or when its state changes.
    pub fn forget(&mut self, allocation: AllocationId) {
        self.known.remove(&allocation);
    }

    /// Moves some resources: records their copies, and hands each new handle to `swap`.
    ///
    /// Looks for moves while `go_on` says so, which is asked every 64 allocations; bytes and moves
    /// are bounded by the options of the defragmentation. A resource whose handle `swap` does not
    /// take stays where it is.
    ///
    /// # Errors
    ///
    /// [`MoveError`] says what the device refused. Moves before that one stand: the commands are
    /// to be submitted all the same. Those behind it may come again in a later step; it alone stays
    /// where it is from here on.
    ///
    /// # Safety
    ///
    /// - The commands are being recorded, outside of a render pass, and are submitted as a part of
    ///   `frame`, to the queue that uses the resources.
    /// - All registered resources live, made with their infos and in their states.
    pub unsafe fn step(
        &mut self,
        commands: &mut D::Commands,
        frame: u64,
        go_on: impl FnMut() -> bool,
        mut swap: impl FnMut(&mut Swap<'_, 'a, D>),
    ) -> Result<Step, MoveError> {
        if self.frame.is_some() {
            return Ok(Step::Waits);
        }
        let Ok(moves) = self.work.begin_pass_while(go_on) else {
            unreachable!("a pass is open from a step to the completion of its frame, never beyond");
        };
        let moves = moves.to_vec();
        if moves.is_empty() {
            return Ok(if self.is_done() { Step::Done } else { Step::Moved(0) });
        }
        self.frame = Some(frame);
        let device = self.device();
        // SAFETY: The caller promises it of the commands.
        unsafe { device.begin_copies(commands) };
        // SAFETY: As above, and of the resources.
        let moved = unsafe { self.make_moves(&moves, commands, &mut swap) };
        // SAFETY: As above.
        unsafe { device.end_copies(commands) };
        if self.old.is_empty() {
            self.end();
        }
        Ok(Step::Moved(moved?))
    }

    /// # Safety
    ///
    /// As for `step`.
    unsafe fn make_moves(
        &mut self,
        moves: &[Move<D::Memory>],
        commands: &mut D::Commands,
        swap: &mut impl FnMut(&mut Swap<'_, 'a, D>),
    ) -> Result<usize, MoveError> {
        let mut moved = 0;
        for (number, one) in moves.iter().enumerate() {
            // SAFETY: The caller promises it.
            let copied = unsafe { self.copy(one, commands) };
            // What failed stays, or it would be tried for ever.
            let copied = copied.inspect_err(|_| self.work.postpone(number + 1));
            let Some(new) = copied? else { continue };
            let (id, allocation) = (one.id, one.allocation);
            let mut offer = Swap { work: &mut self.work, id, allocation, new, old: None };
            swap(&mut offer);
            // The commands name both: the one that nobody has lives as long as they do.
            let Some(old) = offer.old else {
                self.old.push(new);
                continue;
            };
            self.old.push(old);
            moved += 1;
            match (self.known.get_mut(&allocation), new) {
                (Some(Known::Buffer { handle, .. }), Resource::Buffer(new)) => *handle = new,
                (Some(Known::Image { handle, .. }), Resource::Image(new)) => *handle = new,
                _ => unreachable!("it was made like the one that is known"),
            }
        }
        Ok(moved)
    }

    /// Makes a resource anew at the target of its move, and records the copy; nothing for one that
    /// is not known, or whose needs are not those that it had.
    ///
    /// # Safety
    ///
    /// As for `step`.
    unsafe fn copy(
        &self,
        one: &Move<D::Memory>,
        commands: &mut D::Commands,
    ) -> Result<Option<ResourceOf<D>>, MoveError> {
        let Some(known) = self.known.get(&one.allocation) else { return Ok(None) };
        let device = self.device();
        let (resource, copy) = match known {
            Known::Buffer { handle, info } => {
                let target = device.create_buffer(info).map_err(MoveError::Create)?;
                let copy = Relocation::Buffer { source: *handle, target, info };
                (Resource::Buffer(target), copy)
            }
            Known::Image { handle, info, state } => {
                let target = device.create_image(info).map_err(MoveError::Create)?;
                let copy = Relocation::Image { source: *handle, target, info, state };
                (Resource::Image(target), copy)
            }
        };
        // SAFETY: It was just made, and the device has not seen it.
        let undo = || unsafe { device.destroy(resource) };
        // SAFETY: The device just made it.
        let needs = unsafe { device.requirements(resource) };
        if needs.size > one.size || !one.target.offset.is_multiple_of(needs.align) {
            undo();
            return Ok(None);
        }
        // SAFETY: It is new, and its target is reserved for it, in the memory type of its like,
        // with the size and alignment that it needs.
        let bound = unsafe { device.bind(resource, one.target.memory, one.target.offset) };
        bound.map_err(MoveError::Bind).inspect_err(|_| undo())?;
        // SAFETY: The caller promises it of the commands and of the source, which is destroyed by
        // us after their frame; so is the target, or else its owner answers for it.
        let copied = unsafe { device.copy(commands, copy) };
        copied.map_err(MoveError::Copy).inspect_err(|_| undo())?;
        Ok(Some(resource))
    }

    /// Says that the device has completed `frame` and all before it: what was left in a step of
    /// those is destroyed, and its memory is free.
    pub fn complete(&mut self, frame: u64) {
        if self.frame.is_some_and(|open| open <= frame) {
            self.end();
        }
    }

    /// Tells whether all is done: nothing left to move, nothing waits.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.frame.is_none() && self.work.is_done()
    }

    /// Returns what was done since the begin.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.work.stats()
    }

    fn device(&self) -> &'a D {
        self.work.device()
    }

    fn end(&mut self) {
        let device = self.device();
        for resource in self.old.drain(..) {
            // SAFETY: It was made by us, or given up by its owner for one that we made; the device
            // has completed the frame that used it last, says who calls `complete` or drops this.
            unsafe { device.destroy(resource) };
        }
        self.frame = None;
        let ended = self.work.end_pass();
        debug_assert_eq!(ended, Ok(()), "a frame has an open pass");
    }
}

impl<D: Relocate> Drop for Mover<'_, D> {
    fn drop(&mut self) {
        if self.frame.is_some() {
            self.end();
        }
    }
}

impl<D: Relocate> fmt::Debug for Mover<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, known, frame, .. } = self;
        f.debug_struct("Mover")
            .field("work", work)
            .field("known", &known.len())
            .field("frame", frame)
            .finish_non_exhaustive()
    }
}
