//! Copies for a [`Mover`](crate::defragment::Mover): done at once, there is nothing to record into.

use super::resources::image_len;
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
                let range = 0..image_len(info).expect("images were made of it");
                // SAFETY: As above.
                let bytes = unsafe { self.read_device(Resource::Image(source), range) }?;
                // SAFETY: As above; the target is new.
                unsafe { self.write_device(Resource::Image(target), 0, &bytes) }
            }
        }
    }

    unsafe fn end_copies(&self, (): &mut ()) {}
}
