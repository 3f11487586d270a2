//! Copies of buffers and images, recorded into the program's commands, for a
//! [`Mover`](polder_device::defragment::Mover).
//!
//! Only commands of Vulkan 1.0 are used. Barriers are wide, one before all copies of a step and
//! one behind: what was written by any command before is copied, and any command after sees it.

use crate::resources::{TRANSFERS, usage};
use crate::vulkan::Vulkan;
use ash::vk;
use core::fmt;
use polder_device::DeviceError;
use polder_device::defragment::mover::{Relocate, Relocation};

/// What an image is in when it is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ImageState {
    /// The layout of all its levels and layers; the new image gets it too.
    pub layout: vk::ImageLayout,
    /// All aspects of its format.
    pub aspects: vk::ImageAspectFlags,
}

/// Numbers: their names are one of `ash`'s features, which is the program's to choose.
impl fmt::Debug for ImageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (layout, aspects) = (self.layout.as_raw(), self.aspects.as_raw());
        f.debug_struct("ImageState").field("layout", &layout).field("aspects", &aspects).finish()
    }
}

// SAFETY: The copies read the source and write the target.
unsafe impl Relocate for Vulkan {
    type Commands = vk::CommandBuffer;
    type ImageState = ImageState;

    fn can_copy_buffer(&self, info: &vk::BufferCreateInfo<'static>) -> bool {
        usage(info).contains(TRANSFERS)
    }

    fn can_copy_image(&self, info: &vk::ImageCreateInfo<'static>) -> bool {
        let both = vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST;
        // Planes are copied one by one, with extents of their own.
        info.usage.contains(both) && !has_planes(info.format)
    }

    unsafe fn begin_copies(&self, commands: &mut vk::CommandBuffer) {
        let access = vk::AccessFlags::TRANSFER_READ | vk::AccessFlags::TRANSFER_WRITE;
        let barrier = vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
            .dst_access_mask(access);
        let stages = [vk::PipelineStageFlags::ALL_COMMANDS, vk::PipelineStageFlags::TRANSFER];
        // SAFETY: The caller promises commands that are being recorded.
        unsafe { self.barrier(*commands, stages, &[barrier], &[]) };
    }

    unsafe fn copy(
        &self,
        commands: &mut vk::CommandBuffer,
        copy: Relocation<'_, Self>,
    ) -> Result<(), DeviceError> {
        match copy {
            Relocation::Buffer { source, target, info } => {
                let regions = [vk::BufferCopy::default().size(info.size)];
                // SAFETY: The caller promises commands that are being recorded and live buffers;
                // both have the size and the usage.
                unsafe { self.ash().cmd_copy_buffer(*commands, source, target, &regions) };
            }
            Relocation::Image { state, .. } if state.layout == vk::ImageLayout::UNDEFINED => {}
            Relocation::Image { state, .. } if state.layout == vk::ImageLayout::PREINITIALIZED => {
                let rule = "an image that moves is in a layout that it can be brought to again";
                return Err(DeviceError::Invalid { rule });
            }
            Relocation::Image { source, target, info, state } => {
                // SAFETY: The caller promises commands that are being recorded, and live images.
                unsafe { self.copy_image(*commands, [source, target], info, *state) };
            }
        }
        Ok(())
    }

    unsafe fn end_copies(&self, commands: &mut vk::CommandBuffer) {
        let access = vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE;
        let barrier = vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .dst_access_mask(access);
        let stages = [vk::PipelineStageFlags::TRANSFER, vk::PipelineStageFlags::ALL_COMMANDS];
        // SAFETY: The caller promises commands that are being recorded.
        unsafe { self.barrier(*commands, stages, &[barrier], &[]) };
    }
}

impl Vulkan {
    /// # Safety
    ///
    /// As for [`Relocate::copy`].
    unsafe fn copy_image(
        &self,
        commands: vk::CommandBuffer,
        [source, target]: [vk::Image; 2],
        info: &vk::ImageCreateInfo<'static>,
        state: ImageState,
    ) {
        const SOURCE: vk::ImageLayout = vk::ImageLayout::TRANSFER_SRC_OPTIMAL;
        const TARGET: vk::ImageLayout = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
        let transfer = vk::PipelineStageFlags::TRANSFER;
        let (read, write) = (vk::AccessFlags::TRANSFER_READ, vk::AccessFlags::TRANSFER_WRITE);
        let none = vk::AccessFlags::empty();
        let change =
            |image, [before, after]: [vk::ImageLayout; 2], access: [vk::AccessFlags; 2]| {
                vk::ImageMemoryBarrier::default()
                    .image(image)
                    .old_layout(before)
                    .new_layout(after)
                    .src_access_mask(access[0])
                    .dst_access_mask(access[1])
                    .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
                    .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
                    .subresource_range(
                        vk::ImageSubresourceRange::default()
                            .aspect_mask(state.aspects)
                            .level_count(vk::REMAINING_MIP_LEVELS)
                            .layer_count(vk::REMAINING_ARRAY_LAYERS),
                    )
            };
        let before = [
            change(source, [state.layout, SOURCE], [none, read]),
            change(target, [vk::ImageLayout::UNDEFINED, TARGET], [none, write]),
        ];
        // SAFETY: The caller promises commands that are being recorded, and live images, the source
        // in its layout.
        unsafe { self.barrier(commands, [transfer; 2], &[], &before) };
        let regions: Vec<_> =
            (0..info.mip_levels).map(|level| region(info, state, level)).collect();
        // SAFETY: As above; both images have all these levels and layers, the usage, and now the
        // layouts.
        unsafe { self.ash().cmd_copy_image(commands, source, SOURCE, target, TARGET, &regions) };
        // The source goes back to its layout too: its owner may keep it.
        let after = [
            change(target, [TARGET, state.layout], [write, write]),
            change(source, [SOURCE, state.layout], [none, none]),
        ];
        // SAFETY: As above.
        unsafe { self.barrier(commands, [transfer; 2], &[], &after) };
    }

    /// # Safety
    ///
    /// The commands are being recorded, outside of a render pass; the images live and are in the
    /// old layouts.
    unsafe fn barrier(
        &self,
        commands: vk::CommandBuffer,
        [before, after]: [vk::PipelineStageFlags; 2],
        memory: &[vk::MemoryBarrier<'_>],
        images: &[vk::ImageMemoryBarrier<'_>],
    ) {
        let flags = vk::DependencyFlags::empty();
        // SAFETY: The caller promises it.
        unsafe {
            self.ash().cmd_pipeline_barrier(commands, before, after, flags, memory, &[], images);
        };
    }
}

/// Tells whether images of a format have more than one plane.
const fn has_planes(format: vk::Format) -> bool {
    use vk::Format as F;
    matches!(
        format,
        F::G8_B8_R8_3PLANE_420_UNORM
            | F::G8_B8R8_2PLANE_420_UNORM
            | F::G8_B8_R8_3PLANE_422_UNORM
            | F::G8_B8R8_2PLANE_422_UNORM
            | F::G8_B8_R8_3PLANE_444_UNORM
            | F::G8_B8R8_2PLANE_444_UNORM
            | F::G10X6_B10X6_R10X6_3PLANE_420_UNORM_3PACK16
            | F::G10X6_B10X6R10X6_2PLANE_420_UNORM_3PACK16
            | F::G10X6_B10X6_R10X6_3PLANE_422_UNORM_3PACK16
            | F::G10X6_B10X6R10X6_2PLANE_422_UNORM_3PACK16
            | F::G10X6_B10X6_R10X6_3PLANE_444_UNORM_3PACK16
            | F::G10X6_B10X6R10X6_2PLANE_444_UNORM_3PACK16
            | F::G12X4_B12X4_R12X4_3PLANE_420_UNORM_3PACK16
            | F::G12X4_B12X4R12X4_2PLANE_420_UNORM_3PACK16
            | F::G12X4_B12X4_R12X4_3PLANE_422_UNORM_3PACK16
            | F::G12X4_B12X4R12X4_2PLANE_422_UNORM_3PACK16
            | F::G12X4_B12X4_R12X4_3PLANE_444_UNORM_3PACK16
            | F::G12X4_B12X4R12X4_2PLANE_444_UNORM_3PACK16
            | F::G16_B16_R16_3PLANE_420_UNORM
            | F::G16_B16R16_2PLANE_420_UNORM
            | F::G16_B16_R16_3PLANE_422_UNORM
            | F::G16_B16R16_2PLANE_422_UNORM
            | F::G16_B16_R16_3PLANE_444_UNORM
            | F::G16_B16R16_2PLANE_444_UNORM
    )
}

/// All layers of one level.
fn region(info: &vk::ImageCreateInfo<'static>, state: ImageState, level: u32) -> vk::ImageCopy {
    let side = |texels: u32| (texels >> level).max(1);
    let vk::Extent3D { width, height, depth } = info.extent;
    let layers = vk::ImageSubresourceLayers::default()
        .aspect_mask(state.aspects)
        .mip_level(level)
        .layer_count(info.array_layers);
    vk::ImageCopy::default().src_subresource(layers).dst_subresource(layers).extent(vk::Extent3D {
        width: side(width),
        height: side(height),
        depth: side(depth),
    })
}
