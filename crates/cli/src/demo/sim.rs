//! The demo on the software device, whose copies are done when they are asked for.

use super::scene::{BufferRole, ImageRole, ImageShape, TEXEL_SIZE};
use super::stage::{Batch, Part, Stage};
use crate::Failure;
use polder::device::sim::{
    Buffer, BufferCopy, BufferInfo, BufferUsage, Image, ImageCopy, ImageInfo, ImageUsage, Sim,
};
use polder::device::{DeviceError, Resource, Tiling};

/// The software device.
#[derive(Debug)]
pub struct SimStage {
    sim: Sim,
}

impl SimStage {
    pub const fn new(sim: Sim) -> Self {
        Self { sim }
    }

    /// Copies from the staging buffer.
    ///
    /// # Safety
    ///
    /// As for [`Stage::submit`].
    unsafe fn upload(
        &self,
        staging: Buffer,
        part: &Part<Buffer, Image>,
    ) -> Result<(), DeviceError> {
        match copy(staging, part) {
            // SAFETY: The caller promises that the host leaves both alone.
            Resource::Buffer(copy) => unsafe { self.sim.copy_buffer(&copy) },
            // SAFETY: As above.
            Resource::Image(copy) => unsafe { self.sim.copy_buffer_to_image(&copy) },
        }
    }

    /// Copies to the read-back buffer.
    ///
    /// # Safety
    ///
    /// As for [`Stage::submit`].
    unsafe fn download(
        &self,
        read_back: Buffer,
        part: &Part<Buffer, Image>,
    ) -> Result<(), DeviceError> {
        match copy(read_back, part) {
            // SAFETY: The caller promises that the host leaves both alone.
            Resource::Buffer(copy) => unsafe { self.sim.copy_buffer(&reversed(copy)) },
            // SAFETY: As above.
            Resource::Image(copy) => unsafe { self.sim.copy_image_to_buffer(&copy) },
        }
    }
}

/// The copy of a part from the buffer that it lies in.
fn copy(buffer: Buffer, part: &Part<Buffer, Image>) -> Resource<BufferCopy, ImageCopy> {
    let len = part.payload.shape.size();
    let offset = part.offset;
    match part.payload.resource {
        Resource::Buffer(target) => Resource::Buffer(BufferCopy {
            source: buffer,
            source_offset: offset,
            target,
            target_offset: 0,
            len,
        }),
        Resource::Image(image) => Resource::Image(ImageCopy {
            buffer,
            buffer_offset: offset,
            image,
            image_offset: 0,
            len,
        }),
    }
}

fn reversed(copy: BufferCopy) -> BufferCopy {
    let BufferCopy { source, source_offset, target, target_offset, len } = copy;
    BufferCopy {
        source: target,
        source_offset: target_offset,
        target: source,
        target_offset: source_offset,
        len,
    }
}

impl Stage for SimStage {
    type Device = Sim;

    fn buffer_info(size: u64, role: BufferRole) -> BufferInfo {
        let usage = match role {
            BufferRole::Uniform => BufferUsage::UNIFORM,
            BufferRole::Mesh => BufferUsage::VERTEX | BufferUsage::INDEX,
            BufferRole::Storage => BufferUsage::STORAGE,
            BufferRole::Staging | BufferRole::ReadBack => BufferUsage::TRANSFER,
        };
        BufferInfo { size, usage: usage | BufferUsage::TRANSFER }
    }

    fn image_info(shape: ImageShape, role: ImageRole) -> ImageInfo {
        ImageInfo {
            width: shape.edge,
            height: shape.edge,
            layers: 1,
            mip_levels: shape.mip_levels,
            bytes_per_texel: TEXEL_SIZE as u32,
            tiling: Tiling::Optimal,
            usage: match role {
                ImageRole::Texture => ImageUsage::SAMPLED | ImageUsage::TRANSFER,
                ImageRole::Target => ImageUsage::COLOR_TARGET | ImageUsage::TRANSIENT,
            },
        }
    }

    unsafe fn submit(&mut self, _frame: u64, batch: &Batch<Buffer, Image>) -> Result<(), Failure> {
        for (buffer, part) in batch.uploads() {
            // SAFETY: The caller promises what `upload` asks for.
            unsafe { self.upload(buffer, part) }?;
        }
        for (buffer, part) in batch.downloads() {
            // SAFETY: The caller promises what `download` asks for.
            unsafe { self.download(buffer, part) }?;
        }
        Ok(())
    }

    fn wait(&mut self, _frame: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn complaints(&self) -> Vec<String> {
        self.sim.violations().iter().map(ToString::to_string).collect()
    }
}
