//! What the device does with bytes. It sees its own view of a block, never the host's.

use super::SimResource;
use super::handle::{Buffer, Image};
use super::memory::{Quiet, Store};
use super::rule::{Refusal, Rule, require};
use super::state::State;

/// A copy from buffer to buffer. Offsets are from the buffers' begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferCopy {
    /// What is read.
    pub source: Buffer,
    /// Bytes.
    pub source_offset: u64,
    /// What is written.
    pub target: Buffer,
    /// Bytes.
    pub target_offset: u64,
    /// Bytes.
    pub len: u64,
}

/// A copy between a buffer and an image, whose bytes are taken as one row: level by level, layer
/// by layer, without padding, in either tiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageCopy {
    /// The buffer.
    pub buffer: Buffer,
    /// Bytes.
    pub buffer_offset: u64,
    /// The image.
    pub image: Image,
    /// Bytes.
    pub image_offset: u64,
    /// Bytes.
    pub len: u64,
}

/// Bytes of a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) resource: SimResource,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// Bytes of a block that the device may work on.
struct Part<'a> {
    store: &'a Store,
    offset: u64,
}

impl State {
    /// Copies from one resource to another.
    pub(super) fn copy(&self, from: Extent, to: Extent, quiet: Quiet) -> Result<(), Refusal> {
        let source = self.transfer_part(from)?;
        let target = self.transfer_part(to)?;
        let is_apart = !std::ptr::eq(source.store, target.store)
            || source.offset.abs_diff(target.offset) >= from.len;
        let values = [("source", from.offset), ("target", to.offset), ("len", from.len)];
        require(is_apart, Rule::CopyOverlap, &values)?;
        target.store.copy(target.offset, source.store, source.offset, from.len, quiet);
        Ok(())
    }

    /// Sets bytes.
    pub(super) fn fill(&self, extent: Extent, byte: u8, quiet: Quiet) -> Result<(), Refusal> {
        let target = self.transfer_part(extent)?;
        target.store.fill(target.offset, extent.len, byte, quiet);
        Ok(())
    }

    /// Reads as a shader would.
    pub(super) fn read(&self, extent: Extent, quiet: Quiet) -> Result<Vec<u8>, Refusal> {
        let source = self.part(extent)?;
        let len = usize::try_from(extent.len).expect("a block's bytes are the host's");
        let mut bytes = vec![0; len];
        source.store.read(source.offset, &mut bytes, quiet);
        Ok(bytes)
    }

    /// Writes as a shader would.
    pub(super) fn write(&self, extent: Extent, bytes: &[u8], quiet: Quiet) -> Result<(), Refusal> {
        let target = self.part(extent)?;
        target.store.write(target.offset, bytes, quiet);
        Ok(())
    }

    fn transfer_part(&self, extent: Extent) -> Result<Part<'_>, Refusal> {
        let transfer = self.record(extent.resource)?.made.transfer;
        require(transfer, Rule::Transfer, &[("offset", extent.offset)])?;
        self.part(extent)
    }

    fn part(&self, extent: Extent) -> Result<Part<'_>, Refusal> {
        let Extent { resource, offset, len } = extent;
        let record = self.record(resource)?;
        let values = [("offset", offset), ("len", len), ("size", record.made.len)];
        let Some((memory, place)) = record.place else {
            return Err(Refusal::Broken(Rule::Bound, values.to_vec()));
        };
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= record.made.len);
        require(is_inside, Rule::WorkRange, &values)?;
        Ok(Part { store: &self.block(memory)?.device, offset: place + offset })
    }
}
