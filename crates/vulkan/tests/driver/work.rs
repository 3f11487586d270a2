//! Copies on the queue, waited for.

use crate::gpu::Gpu;
use ash::vk;

/// Longer than any of the tests' copies take, in nanoseconds.
const WAIT_MAX_NS: u64 = 20_000_000_000;

/// Commands in the making.
pub struct Recorder<'a> {
    device: &'a ash::Device,
    commands: vk::CommandBuffer,
    family: u32,
}

/// Which way memory goes between this device's queue and everybody else's.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Out,
    In,
}

impl Gpu {
    /// Records commands, submits them and waits until they are done.
    pub fn submit(&self, record: impl FnOnce(&Recorder<'_>)) {
        let queue = self.queue.lock().expect("no test panics while it submits");
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(queue.pool)
            .command_buffer_count(1);
        // SAFETY: The pool is the device's, and we hold its lock.
        let commands = unsafe { self.device.allocate_command_buffers(&info) };
        let commands = commands.expect("a command buffer can be made");
        let (device, family) = (&self.device, queue.family);
        let recorder = Recorder { device, commands: commands[0], family };
        recorder.record(record);

        // SAFETY: The device is live.
        let fence = unsafe { self.device.create_fence(&vk::FenceCreateInfo::default(), None) };
        let fence = fence.expect("a fence can be made");
        let submits = [vk::SubmitInfo::default().command_buffers(&commands)];
        // SAFETY: The commands are recorded, the fence is new, and we hold the queue's lock.
        let submitted = unsafe { self.device.queue_submit(queue.queue, &submits, fence) };
        submitted.expect("work can be submitted");
        // SAFETY: The fence is this device's.
        let waited = unsafe { self.device.wait_for_fences(&[fence], true, WAIT_MAX_NS) };
        waited.expect("a copy ends in time");
        // SAFETY: The work that would signal it has ended.
        unsafe { self.device.destroy_fence(fence, None) };
        // SAFETY: Their work has ended, and we hold the pool's lock.
        unsafe { self.device.free_command_buffers(queue.pool, &commands) };
    }
}

impl Recorder<'_> {
    fn record(&self, record: impl FnOnce(&Self)) {
        let once = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: The command buffer is new.
        let begun = unsafe { self.device.begin_command_buffer(self.commands, &once) };
        begun.expect("recording can begin");
        record(self);
        self.barrier(vk::PipelineStageFlags::HOST, vk::AccessFlags::HOST_READ);
        // SAFETY: It is being recorded.
        let ended = unsafe { self.device.end_command_buffer(self.commands) };
        ended.expect("recording can end");
    }

    /// Copies `size` bytes from the begin of one buffer to that of another.
    pub fn copy(&self, source: vk::Buffer, target: vk::Buffer, size: u64) {
        self.copy_part(source, target, vk::BufferCopy::default().size(size));
    }

    /// Copies a part of one buffer to a part of another.
    pub fn copy_part(&self, source: vk::Buffer, target: vk::Buffer, part: vk::BufferCopy) {
        let regions = [part];
        // SAFETY: The tests keep both buffers alive until the submission is done.
        unsafe { self.device.cmd_copy_buffer(self.commands, source, target, &regions) };
    }

    /// Gives a buffer to queues elsewhere, or takes it from them.
    pub fn pass_buffer(&self, buffer: vk::Buffer, way: Way) {
        let [from, to] = self.families(way);
        let barrier = vk::BufferMemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
            .dst_access_mask(vk::AccessFlags::MEMORY_READ | vk::AccessFlags::MEMORY_WRITE)
            .src_queue_family_index(from)
            .dst_queue_family_index(to)
            .buffer(buffer)
            .size(vk::WHOLE_SIZE);
        self.pass(&[barrier], &[]);
    }

    /// Gives an image that is in the layout of a source to queues elsewhere, or takes it from
    /// them.
    pub fn pass_image(&self, image: vk::Image, way: Way) {
        let [from, to] = self.families(way);
        let whole = vk::ImageSubresourceRange::default()
            .aspect_mask(vk::ImageAspectFlags::COLOR)
            .level_count(1)
            .layer_count(1);
        let barrier = vk::ImageMemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::MEMORY_WRITE)
            .dst_access_mask(vk::AccessFlags::MEMORY_READ)
            .old_layout(vk::ImageLayout::TRANSFER_SRC_OPTIMAL)
            .new_layout(vk::ImageLayout::TRANSFER_SRC_OPTIMAL)
            .src_queue_family_index(from)
            .dst_queue_family_index(to)
            .image(image)
            .subresource_range(whole);
        self.pass(&[], &[barrier]);
    }

    const fn families(&self, way: Way) -> [u32; 2] {
        match way {
            Way::Out => [self.family, vk::QUEUE_FAMILY_EXTERNAL],
            Way::In => [vk::QUEUE_FAMILY_EXTERNAL, self.family],
        }
    }

    fn pass(&self, buffers: &[vk::BufferMemoryBarrier<'_>], images: &[vk::ImageMemoryBarrier<'_>]) {
        let (all, none) = (vk::PipelineStageFlags::ALL_COMMANDS, vk::DependencyFlags::empty());
        // SAFETY: It is being recorded, outside of any render pass; the tests keep what is passed
        // alive until the submission is done.
        unsafe {
            self.device.cmd_pipeline_barrier(self.commands, all, all, none, &[], buffers, images);
        }
    }

    /// The commands themselves.
    pub const fn handle(&self) -> vk::CommandBuffer {
        self.commands
    }

    /// Copies an image that is in the layout of a source to a buffer.
    pub fn copy_out(&self, image: vk::Image, target: vk::Buffer, width: u32) {
        let layout = vk::ImageLayout::TRANSFER_SRC_OPTIMAL;
        let regions = [whole(width)];
        // SAFETY: The tests keep both alive until the submission is done, and the image has this
        // layout.
        unsafe {
            self.device.cmd_copy_image_to_buffer(self.commands, image, layout, target, &regions);
        }
    }

    /// Makes what was copied so far visible to `access` of `stage`.
    pub fn barrier(&self, stage: vk::PipelineStageFlags, access: vk::AccessFlags) {
        let barriers = [vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::TRANSFER_WRITE)
            .dst_access_mask(access)];
        let (transfer, none) = (vk::PipelineStageFlags::TRANSFER, vk::DependencyFlags::empty());
        // SAFETY: It is being recorded, outside of any render pass.
        unsafe {
            self.device.cmd_pipeline_barrier(
                self.commands,
                transfer,
                stage,
                none,
                &barriers,
                &[],
                &[],
            );
        }
    }

    /// Copies a buffer to a new square image with `width` texels of four bytes a side, and that
    /// image to another buffer.
    pub fn copy_through(
        &self,
        source: vk::Buffer,
        image: vk::Image,
        target: vk::Buffer,
        width: u32,
    ) {
        let regions = [whole(width)];
        let (new, filled) =
            (vk::ImageLayout::TRANSFER_DST_OPTIMAL, vk::ImageLayout::TRANSFER_SRC_OPTIMAL);
        self.change(image, [vk::ImageLayout::UNDEFINED, new]);
        // SAFETY: The tests keep image and buffers alive until the submission is done, and the
        // image has this layout.
        unsafe {
            self.device.cmd_copy_buffer_to_image(self.commands, source, image, new, &regions);
        }
        self.change(image, [new, filled]);
        // SAFETY: As above.
        unsafe {
            self.device.cmd_copy_image_to_buffer(self.commands, image, filled, target, &regions);
        }
    }

    fn change(&self, image: vk::Image, [before, after]: [vk::ImageLayout; 2]) {
        let access = |layout| match layout {
            vk::ImageLayout::TRANSFER_DST_OPTIMAL => vk::AccessFlags::TRANSFER_WRITE,
            vk::ImageLayout::TRANSFER_SRC_OPTIMAL => vk::AccessFlags::TRANSFER_READ,
            _ => vk::AccessFlags::empty(),
        };
        let whole = vk::ImageSubresourceRange::default()
            .aspect_mask(vk::ImageAspectFlags::COLOR)
            .level_count(1)
            .layer_count(1);
        let barriers = [vk::ImageMemoryBarrier::default()
            .image(image)
            .old_layout(before)
            .new_layout(after)
            .src_access_mask(access(before))
            .dst_access_mask(access(after))
            .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
            .subresource_range(whole)];
        let (transfer, none) = (vk::PipelineStageFlags::TRANSFER, vk::DependencyFlags::empty());
        // SAFETY: It is being recorded, outside of any render pass; the image has the old layout.
        unsafe {
            self.device.cmd_pipeline_barrier(
                self.commands,
                transfer,
                transfer,
                none,
                &[],
                &[],
                &barriers,
            );
        }
    }
}

/// A buffer to copy from and to.
pub fn buffer_info<'a>(size: u64) -> vk::BufferCreateInfo<'a> {
    let usage = vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    vk::BufferCreateInfo::default().size(size).usage(usage)
}

/// A square image with `width` texels of four bytes a side, to copy from and to.
pub fn image_info<'a>(width: u32) -> vk::ImageCreateInfo<'a> {
    vk::ImageCreateInfo::default()
        .image_type(vk::ImageType::TYPE_2D)
        .format(vk::Format::R8G8B8A8_UNORM)
        .extent(vk::Extent3D { width, height: width, depth: 1 })
        .mip_levels(1)
        .array_layers(1)
        .samples(vk::SampleCountFlags::TYPE_1)
        .tiling(vk::ImageTiling::OPTIMAL)
        .usage(vk::ImageUsageFlags::TRANSFER_SRC | vk::ImageUsageFlags::TRANSFER_DST)
}

/// Bytes that no memory holds by chance; `seed` tells one pattern from another.
pub fn pattern(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// All of a square image with `width` texels a side.
fn whole(width: u32) -> vk::BufferImageCopy {
    let layers = vk::ImageSubresourceLayers::default();
    let layers = layers.aspect_mask(vk::ImageAspectFlags::COLOR).layer_count(1);
    let extent = vk::Extent3D { width, height: width, depth: 1 };
    vk::BufferImageCopy::default().image_subresource(layers).image_extent(extent)
}
