//! Staging and read-back buffers, and the bytes in them.
//!
//! Both live for a frame or a few, so they are asked for as short-lived and lie in linear blocks
//! of their own: that is the ring. Both stay mapped all their life.

use super::random::fill;
use super::scene::BufferRole;
use super::stage::{PART_ALIGN, Part, PartOf, PayloadOf, Stage, Transfer, TransferOf};
use crate::Failure;
use polder::{Access, Allocator, Buffer, Factory, Lifetime, Mapping, Strategy, Wish};

/// A buffer for copies, and what is copied.
pub struct Passage<S: Stage> {
    pub buffer: Buffer<S::Device>,
    pub parts: Vec<PartOf<S::Device>>,
}

impl<S: Stage> Passage<S> {
    /// Makes a buffer that all `payloads` fit in, or nothing if there are none.
    pub fn new(
        allocator: &Allocator<S::Device>,
        role: BufferRole,
        payloads: Vec<PayloadOf<S::Device>>,
    ) -> Result<Option<Self>, Failure> {
        let mut size = 0_u64;
        let place = |payload: PayloadOf<S::Device>| {
            let offset = size.next_multiple_of(PART_ALIGN);
            size = offset + payload.shape.size();
            Part { payload, offset }
        };
        let parts: Vec<_> = payloads.into_iter().map(place).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let buffer = allocator.create_buffer(&S::buffer_info(size, role), &wish(role))?;
        Ok(Some(Self { buffer, parts }))
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
    let (lifetime, mapping) = (Lifetime::ShortLived, Mapping::Persistent);
    Wish { access, lifetime, mapping, name: Some(name), ..Wish::default() }
}
