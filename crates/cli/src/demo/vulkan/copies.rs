//! The commands of a frame: barrier, copies, barrier.
//!
//! An image is uploaded once, as a whole, and downloaded once, in a later frame: its layout goes
//! from nothing to transfer target to transfer source.

use super::super::scene::{ImageShape, Shape};
use super::super::stage::{Batch, Part};
use ash::vk;
use polder::device::Resource;

type VulkanBatch = Batch<vk::Buffer, vk::Image>;
type VulkanPart = Part<vk::Buffer, vk::Image>;

/// Which way bytes go.
#[derive(Clone, Copy)]
enum Way {
    Upload,
    Download,
}

/// Records the commands of a frame.
///
/// # Safety
///
/// - `commands` is of `device` and recording, and nobody else uses it or its pool.
/// - The batch is as [`Stage::submit`](super::super::stage::Stage::submit) asks for.
pub unsafe fn record(device: &ash::Device, commands: vk::CommandBuffer, batch: &VulkanBatch) {
    // SAFETY: Our caller promises it.
    unsafe { begin_transfers(device, commands, batch) };
    for (buffer, part) in batch.uploads() {
        // SAFETY: As above; `begin_transfers` brought images to their layout.
        unsafe { upload(device, commands, buffer, part) };
    }
    for (buffer, part) in batch.downloads() {
        // SAFETY: As above.
        unsafe { download(device, commands, buffer, part) };
    }
    // SAFETY: As above.
    unsafe { end_transfers(device, commands) };
}

/// Lets what earlier frames wrote be read, and brings images to their layouts.
///
/// # Safety
///
/// As for [`record`].
unsafe fn begin_transfers(device: &ash::Device, commands: vk::CommandBuffer, batch: &VulkanBatch) {
    let earlier = vk::MemoryBarrier::default()
        .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
        .dst_access_mask(vk::AccessFlags::TRANSFER_READ | vk::AccessFlags::TRANSFER_WRITE);
    let mut images = image_barriers(batch.uploads(), Way::Upload);
    images.extend(image_barriers(batch.downloads(), Way::Download));
    let stage = vk::PipelineStageFlags::TRANSFER;
    // SAFETY: The caller promises a recording command buffer and live images of this device, whose
    // layouts are as this module's head says.
    unsafe {
        device.cmd_pipeline_barrier(
            commands,
            stage,
            stage,
            vk::DependencyFlags::empty(),
            &[earlier],
            &[],
            &images,
        );
    };
}

/// Lets the host read what was written.
///
/// # Safety
///
/// As for [`record`].
unsafe fn end_transfers(device: &ash::Device, commands: vk::CommandBuffer) {
    let written = vk::MemoryBarrier::default()
        .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
        .dst_access_mask(vk::AccessFlags::HOST_READ);
    // SAFETY: The caller promises a recording command buffer.
    unsafe {
        device.cmd_pipeline_barrier(
            commands,
            vk::PipelineStageFlags::TRANSFER,
            vk::PipelineStageFlags::HOST,
            vk::DependencyFlags::empty(),
            &[written],
            &[],
            &[],
        );
    };
}

/// # Safety
///
/// As for [`record`].
unsafe fn upload(
    device: &ash::Device,
    commands: vk::CommandBuffer,
    staging: vk::Buffer,
    part: &VulkanPart,
) {
    match (part.payload.resource, part.payload.shape) {
        (Resource::Image(image), Shape::Image { shape, .. }) => {
            let layout = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
            let copies = image_copies(shape, part.offset);
            // SAFETY: The caller promises live handles and that the part lies in the buffer.
            unsafe { device.cmd_copy_buffer_to_image(commands, staging, image, layout, &copies) };
        }
        (Resource::Buffer(buffer), shape) => {
            let copy =
                vk::BufferCopy::default().src_offset(part.offset).dst_offset(0).size(shape.size());
            // SAFETY: As above; the shape is the buffer's own.
            unsafe { device.cmd_copy_buffer(commands, staging, buffer, &[copy]) };
        }
        (Resource::Image(_), Shape::Buffer { .. }) => unreachable!("{MATCHING}"),
    }
}

/// # Safety
///
/// As for [`record`].
unsafe fn download(
    device: &ash::Device,
    commands: vk::CommandBuffer,
    read_back: vk::Buffer,
    part: &VulkanPart,
) {
    match (part.payload.resource, part.payload.shape) {
        (Resource::Image(image), Shape::Image { shape, .. }) => {
            let layout = vk::ImageLayout::TRANSFER_SRC_OPTIMAL;
            let copies = image_copies(shape, part.offset);
            // SAFETY: The caller promises live handles and that the part lies in the buffer.
            unsafe { device.cmd_copy_image_to_buffer(commands, image, layout, read_back, &copies) };
        }
        (Resource::Buffer(buffer), shape) => {
            let copy =
                vk::BufferCopy::default().src_offset(0).dst_offset(part.offset).size(shape.size());
            // SAFETY: As above; the shape is the buffer's own.
            unsafe { device.cmd_copy_buffer(commands, buffer, read_back, &[copy]) };
        }
        (Resource::Image(_), Shape::Buffer { .. }) => unreachable!("{MATCHING}"),
    }
}

const MATCHING: &str = "an image was made from an image's shape";

fn image_barriers<'a>(
    copies: impl Iterator<Item = (vk::Buffer, &'a VulkanPart)>,
    way: Way,
) -> Vec<vk::ImageMemoryBarrier<'static>> {
    copies.filter_map(|(_, part)| image_barrier(part, way)).collect()
}

fn image_barrier(part: &VulkanPart, way: Way) -> Option<vk::ImageMemoryBarrier<'static>> {
    let Resource::Image(image) = part.payload.resource else { return None };
    let range = vk::ImageSubresourceRange::default()
        .aspect_mask(vk::ImageAspectFlags::COLOR)
        .level_count(vk::REMAINING_MIP_LEVELS)
        .layer_count(1);
    let barrier = vk::ImageMemoryBarrier::default()
        .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
        .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
        .image(image)
        .subresource_range(range);
    Some(match way {
        Way::Upload => barrier
            .dst_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .old_layout(vk::ImageLayout::UNDEFINED)
            .new_layout(vk::ImageLayout::TRANSFER_DST_OPTIMAL),
        Way::Download => barrier
            .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .dst_access_mask(vk::AccessFlags::TRANSFER_READ)
            .old_layout(vk::ImageLayout::TRANSFER_DST_OPTIMAL)
            .new_layout(vk::ImageLayout::TRANSFER_SRC_OPTIMAL),
    })
}

/// One copy for each level, tightly packed from `offset` on.
fn image_copies(shape: ImageShape, offset: u64) -> Vec<vk::BufferImageCopy> {
    let mut offset = offset;
    let copy = |level: u32| {
        let edge = shape.level_edge(level);
        let layers = vk::ImageSubresourceLayers::default()
            .aspect_mask(vk::ImageAspectFlags::COLOR)
            .mip_level(level)
            .layer_count(1);
        let copy = vk::BufferImageCopy::default()
            .buffer_offset(offset)
            .image_subresource(layers)
            .image_extent(vk::Extent3D { width: edge, height: edge, depth: 1 });
        offset += shape.level_size(level);
        copy
    };
    (0..shape.mip_levels).map(copy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_each_other_without_a_gap() {
        let copies = image_copies(ImageShape { edge: 4, mip_levels: 3 }, 100);
        let offsets: Vec<_> = copies.iter().map(|copy| copy.buffer_offset).collect();
        let edges: Vec<_> = copies.iter().map(|copy| copy.image_extent.width).collect();
        assert_eq!(offsets, [100, 100 + 64, 100 + 64 + 16]);
        assert_eq!(edges, [4, 2, 1]);
    }
}
