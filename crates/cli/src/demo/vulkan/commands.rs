//! A queue, and a command buffer and a fence for each frame in flight.
//!
//! # Invariants
//!
//! 1. A slot's fence is signalled, or the queue will signal it.
//! 2. A slot's command buffer is recorded only while its fence is signalled.

use super::super::scene::{BufferRole, ImageRole, ImageShape};
use super::super::stage::{Batch, BatchOf, FRAMES_IN_FLIGHT, Stage};
use super::{Context, copies};
use crate::Failure;
use ash::vk;
use polder::vulkan::Vulkan;

/// The longest that a frame's copies take, in nanoseconds.
const WAIT_MAX_NS: u64 = 60_000_000_000;

/// Copies on a queue.
pub struct VulkanStage<'a> {
    context: &'a Context,
    pool: vk::CommandPool,
    slots: Vec<Slot>,
}

/// What a frame in flight needs.
#[derive(Clone, Copy)]
struct Slot {
    commands: vk::CommandBuffer,
    fence: vk::Fence,
}

impl<'a> VulkanStage<'a> {
    /// Makes what all frames need.
    ///
    /// # Errors
    ///
    /// The device's.
    pub fn new(context: &'a Context) -> Result<Self, vk::Result> {
        let pool = create_pool(context)?;
        // From here on `drop` destroys what there is.
        let mut stage = Self { context, pool, slots: Vec::new() };
        for commands in allocate_commands(context, pool)? {
            let fence = create_fence(context)?;
            stage.slots.push(Slot { commands, fence });
        }
        Ok(stage)
    }

    fn slot(&self, frame: u64) -> Slot {
        self.slots[(frame % FRAMES_IN_FLIGHT) as usize]
    }

    /// Records a batch.
    ///
    /// # Safety
    ///
    /// As for [`Stage::submit`].
    unsafe fn record(
        &self,
        commands: vk::CommandBuffer,
        batch: &Batch<vk::Buffer, vk::Image>,
    ) -> Result<(), vk::Result> {
        let device = &self.context.device;
        let info = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: The caller waited for the slot's frame before, so the device is done with the
        // command buffer; its pool lets it be reset by this.
        unsafe { device.begin_command_buffer(commands, &info) }?;
        // SAFETY: The command buffer is recording and this thread's alone; the caller promises
        // that the batch's handles are this device's and live.
        unsafe { copies::record(device, commands, batch) };
        // SAFETY: The command buffer is recording.
        unsafe { device.end_command_buffer(commands) }
    }
}

impl Drop for VulkanStage<'_> {
    fn drop(&mut self) {
        let device = &self.context.device;
        // SAFETY: Nobody else has the device's queue. A lost device is idle as well.
        let _ = unsafe { device.device_wait_idle() };
        for slot in &self.slots {
            // SAFETY: Made in `new`, and the device is idle.
            unsafe { device.destroy_fence(slot.fence, None) };
        }
        // SAFETY: As above; the command buffers go with their pool.
        unsafe { device.destroy_command_pool(self.pool, None) };
    }
}

impl Stage for VulkanStage<'_> {
    type Device = Vulkan;

    fn buffer_info(size: u64, role: BufferRole) -> vk::BufferCreateInfo<'static> {
        let copied = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
        let usage = match role {
            BufferRole::Uniform => copied | vk::BufferUsageFlags::UNIFORM_BUFFER,
            BufferRole::Mesh => {
                copied | vk::BufferUsageFlags::VERTEX_BUFFER | vk::BufferUsageFlags::INDEX_BUFFER
            }
            BufferRole::Storage => copied | vk::BufferUsageFlags::STORAGE_BUFFER,
            BufferRole::Staging => vk::BufferUsageFlags::TRANSFER_SRC,
            BufferRole::ReadBack => vk::BufferUsageFlags::TRANSFER_DST,
        };
        vk::BufferCreateInfo::default().size(size).usage(usage)
    }

    fn image_info(shape: ImageShape, role: ImageRole) -> vk::ImageCreateInfo<'static> {
        let usage = match role {
            ImageRole::Texture => {
                vk::ImageUsageFlags::TRANSFER_SRC
                    | vk::ImageUsageFlags::TRANSFER_DST
                    | vk::ImageUsageFlags::SAMPLED
            }
            ImageRole::Target => {
                vk::ImageUsageFlags::COLOR_ATTACHMENT | vk::ImageUsageFlags::TRANSIENT_ATTACHMENT
            }
        };
        vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            // Four bytes a texel; every device knows it, for both roles.
            .format(vk::Format::R8G8B8A8_UNORM)
            .extent(vk::Extent3D { width: shape.edge, height: shape.edge, depth: 1 })
            .mip_levels(shape.mip_levels)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::OPTIMAL)
            .usage(usage)
    }

    unsafe fn submit(&mut self, frame: u64, batch: &BatchOf<Vulkan>) -> Result<(), Failure> {
        let Context { device, queue, .. } = self.context;
        let slot = self.slot(frame);
        // SAFETY: The caller promises what `submit` asks for.
        unsafe { self.record(slot.commands, batch) }?;
        // SAFETY: The fence is signalled: the frame that used it was waited for.
        unsafe { device.reset_fences(&[slot.fence]) }?;
        let commands = [slot.commands];
        let info = vk::SubmitInfo::default().command_buffers(&commands);
        // SAFETY: The command buffer is recorded and the fence is reset; `&mut self` keeps others
        // from the queue.
        unsafe { device.queue_submit(*queue, &[info], slot.fence) }?;
        Ok(())
    }

    fn wait(&mut self, frame: u64) -> Result<(), Failure> {
        let fence = self.slot(frame).fence;
        // SAFETY: The fence is this device's and live.
        let waited = unsafe { self.context.device.wait_for_fences(&[fence], true, WAIT_MAX_NS) };
        Ok(waited?)
    }

    fn complaints(&self) -> Vec<String> {
        // The validation layer speaks for itself.
        Vec::new()
    }
}

fn create_pool(context: &Context) -> Result<vk::CommandPool, vk::Result> {
    let info = vk::CommandPoolCreateInfo::default()
        .queue_family_index(context.family)
        .flags(vk::CommandPoolCreateFlags::RESET_COMMAND_BUFFER);
    // SAFETY: The device is live and has a queue of this family.
    unsafe { context.device.create_command_pool(&info, None) }
}

fn allocate_commands(
    context: &Context,
    pool: vk::CommandPool,
) -> Result<Vec<vk::CommandBuffer>, vk::Result> {
    let info = vk::CommandBufferAllocateInfo::default()
        .command_pool(pool)
        .level(vk::CommandBufferLevel::PRIMARY)
        .command_buffer_count(FRAMES_IN_FLIGHT as u32);
    // SAFETY: The pool is this device's, and this thread's alone.
    unsafe { context.device.allocate_command_buffers(&info) }
}

/// A fence that nothing has to be waited for.
fn create_fence(context: &Context) -> Result<vk::Fence, vk::Result> {
    let info = vk::FenceCreateInfo::default().flags(vk::FenceCreateFlags::SIGNALED);
    // SAFETY: The device is live.
    unsafe { context.device.create_fence(&info, None) }
}
