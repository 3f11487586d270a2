//! Copies for a [`Mover`](crate::defragment::Mover): done at once, there is nothing to record into.

use super::{BufferCopy, BufferInfo, BufferUsage, ImageInfo, ImageUsage, Sim};
use crate::defragment::mover::{Relocate, Relocation};
use crate::device::{DeviceError, Resource};

// SAFETY: The copies read the source and write the target.
unsafe impl Relocate for Sim {
    type Commands = ();
    type ImageState = ();

    fn can_copy_buffer(&self, info: &BufferInfo) -> bool {
        info.usage.contains(BufferUsage::TRANSFER)
    }

    fn can_copy_image(&self, info: &ImageInfo) -> bool {
        info.usage.contains(ImageUsage::TRANSFER)
    }

    unsafe fn begin_copies(&self, (): &mut ()) {}

    unsafe fn copy(&self, (): &mut (), copy: Relocation<'_, Self>) -> Result<(), DeviceError> {
        match copy {
            Relocation::Buffer { source, target, info } => {
                let (source_offset, target_offset) = (0, 0);
                let len = info.size;
                let copy = BufferCopy { source, source_offset, target, target_offset, len };
                // SAFETY: The caller promises both; no host writes what is being moved.
                unsafe { self.copy_buffer(&copy) }
            }
            Relocation::Image { source, target, info, .. } => {
                let range = 0..image_len(info);
                // SAFETY: As above.
                let bytes = unsafe { self.read_device(Resource::Image(source), range) }?;
                // SAFETY: As above; the target is new.
                unsafe { self.write_device(Resource::Image(target), 0, &bytes) }
            }
        }
    }

    unsafe fn end_copies(&self, (): &mut ()) {}
}

/// Bytes of all levels and layers.
fn image_len(info: &ImageInfo) -> u64 {
    let level = |level: u32| {
        let side = |texels: u32| u64::from((texels >> level).max(1));
        side(info.width) * side(info.height)
    };
    let texels: u64 = (0..info.mip_levels).map(level).sum();
    texels * u64::from(info.layers) * u64::from(info.bytes_per_texel)
}
