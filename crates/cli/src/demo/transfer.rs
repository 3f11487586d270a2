//! Staging and read-back buffers, and the bytes in them.
//!
//! A [`Ring`] makes as many buffers as frames are on their way and uses them in turn; they stay
//! mapped all their life. One that has become too small is replaced.

use super::random::fill;
use super::scene::BufferRole;
use super::stage::{PART_ALIGN, Part, PartOf, Payload, PayloadOf, Stage, Transfer, TransferOf};
use crate::Failure;
use polder::{Access, Allocator, Buffer, Factory, Mapping, Strategy, Wish};
use std::ops::AddAssign;

/// What the sizes of the buffers are multiples of, so that few are replaced.
const SIZE_STEP: u64 = 2 << 20;

/// Buffers of one role that no frame uses.
pub struct Ring<S: Stage> {
    role: BufferRole,
    /// With their sizes.
    spare: Vec<(u64, Buffer<S::Device>)>,
}

impl<S: Stage> Ring<S> {
    pub const fn new(role: BufferRole) -> Self {
        Self { role, spare: Vec::new() }
    }

    /// Returns a buffer that all `payloads` fit in, or nothing if there are none. One that is too
    /// small is freed after `frame`.
    pub fn take(
        &mut self,
        allocator: &Allocator<S::Device>,
        frame: u64,
        payloads: Vec<PayloadOf<S::Device>>,
    ) -> Result<Option<Passage<S>>, Failure> {
        let (size, parts) = lay_out(payloads);
        if parts.is_empty() {
            return Ok(None);
        }
        if let Some(index) = self.spare.iter().position(|(room, _)| *room >= size) {
            let (size, buffer) = self.spare.swap_remove(index);
            return Ok(Some(Passage { size, buffer, parts }));
        }
        if let Some((_, small)) = self.spare.pop() {
            allocator.free_after(frame, small)?;
        }
        Passage::new(allocator, self.role, size, parts).map(Some)
    }

    /// Takes a buffer back whose frame is completed.
    pub fn put(&mut self, passage: Passage<S>) {
        self.spare.push((passage.size, passage.buffer));
    }

    /// Destroys all buffers.
    pub fn end(&mut self, allocator: &Allocator<S::Device>) -> Result<(), Failure> {
        for (_, buffer) in self.spare.drain(..) {
            allocator.destroy_buffer(buffer)?;
        }
        Ok(())
    }
}

/// Gives each payload its place, and returns how large the whole is.
fn lay_out<B, I>(payloads: Vec<Payload<B, I>>) -> (u64, Vec<Part<B, I>>) {
    let mut size = 0_u64;
    let place = |payload: Payload<B, I>| {
        let offset = size.next_multiple_of(PART_ALIGN);
        size = offset + payload.shape.size();
        Part { payload, offset }
    };
    let parts = payloads.into_iter().map(place).collect();
    (size, parts)
}

/// A buffer for copies, and what is copied.
pub struct Passage<S: Stage> {
    size: u64,
    pub buffer: Buffer<S::Device>,
    pub parts: Vec<PartOf<S::Device>>,
}

impl<S: Stage> Passage<S> {
    /// Makes a buffer of at least `size` bytes.
    fn new(
        allocator: &Allocator<S::Device>,
        role: BufferRole,
        size: u64,
        parts: Vec<PartOf<S::Device>>,
    ) -> Result<Self, Failure> {
        let size = size.next_multiple_of(SIZE_STEP);
        let buffer = allocator.create_buffer(&S::buffer_info(size, role), &wish(role))?;
        Ok(Self { size, buffer, parts })
    }

    /// Fills the buffer with what its parts are to hold, and returns how many bytes that are.
    pub fn write(
        &mut self,
        allocator: &Allocator<S::Device>,
        scratch: &mut Vec<u8>,
    ) -> Result<u64, Failure> {
        let mut total = 0;
        for Part { payload, offset } in &self.parts {
            scratch.resize(usize::try_from(payload.shape.size())?, 0);
            fill(payload.seed, scratch);
            allocator.write(self.buffer.allocation_mut(), *offset, scratch)?;
            total += payload.shape.size();
        }
        Ok(total)
    }

    /// Compares the buffer with what its parts are to hold.
    pub fn compare(
        &self,
        allocator: &Allocator<S::Device>,
        scratch: &mut Scratch,
    ) -> Result<Comparison, Failure> {
        let mut total = Comparison::default();
        for Part { payload, offset } in &self.parts {
            let len = usize::try_from(payload.shape.size())?;
            let (expected, found) = scratch.slices(len);
            fill(payload.seed, expected);
            allocator.read(self.buffer.allocation(), *offset, found)?;
            total.compared += len as u64;
            if expected != found {
                let pairs = expected.iter().zip(&*found);
                total.different +=
                    pairs.filter(|(expected, found)| expected != found).count() as u64;
            }
        }
        Ok(total)
    }

    /// Names the copies.
    pub fn transfer(&self) -> TransferOf<S::Device> {
        Transfer { buffer: self.buffer.handle(), parts: self.parts.clone() }
    }
}

/// How many bytes came back, and how many of them were others than went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comparison {
    pub compared: u64,
    pub different: u64,
}

impl AddAssign for Comparison {
    fn add_assign(&mut self, other: Self) {
        self.compared += other.compared;
        self.different += other.different;
    }
}

/// Host memory for two resources.
#[derive(Debug, Default)]
pub struct Scratch {
    pub first: Vec<u8>,
    second: Vec<u8>,
}

impl Scratch {
    fn slices(&mut self, len: usize) -> (&mut [u8], &mut [u8]) {
        self.first.resize(len, 0);
        self.second.resize(len, 0);
        (&mut self.first, &mut self.second)
    }
}

fn wish(role: BufferRole) -> Wish<'static> {
    let (access, name) = match role {
        BufferRole::ReadBack => (Access::HostReads, "read-back"),
        _ => (Access::HostWrites, "staging"),
    };
    Wish { access, mapping: Mapping::Persistent, name: Some(name), ..Wish::default() }
}
