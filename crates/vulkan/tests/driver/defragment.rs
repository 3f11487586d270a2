//! Buffers and images that move while frames are rendered, on a Vulkan device.

use crate::gpu::Gpu;
use crate::work::{buffer_info, image_info, pattern};
use ash::vk;
use polder_device::defragment::mover::Step;
use polder_device::defragment::{Defragmentation, Mover, Options};
use polder_device::strategy::{Rules, Setup};
use polder_device::{
    Access, AllocationId, Allocator, Buffer, Effort, Factory, Growth, Image, Strategy, Wish,
};
use polder_vulkan::{ImageState, Vulkan};
use std::collections::HashMap;

const COUNT: u32 = 60;
const SIZE: u64 = 40_000;
const WIDTH: u32 = 64;

const STATE: ImageState = ImageState {
    layout: vk::ImageLayout::TRANSFER_SRC_OPTIMAL,
    aspects: vk::ImageAspectFlags::COLOR,
};

fn new_buffer(home: &dyn Strategy<Vulkan>, size: u64, access: Access) -> Buffer<Vulkan> {
    home.create_buffer(&buffer_info(size), &Wish::of(access)).expect("it is small")
}

/// What a program holds, half of what it made, and what its patterns travel through.
struct Program<'a> {
    gpu: &'a Gpu,
    allocator: &'a Allocator<Vulkan>,
    /// Where its resources lie: the allocator, or a pool.
    home: &'a dyn Strategy<Vulkan>,
    upload: Buffer<Vulkan>,
    download: Buffer<Vulkan>,
    buffers: HashMap<AllocationId, (u32, Buffer<Vulkan>)>,
    images: HashMap<AllocationId, (u32, Image<Vulkan>)>,
}

impl<'a> Program<'a> {
    fn new(gpu: &'a Gpu, allocator: &'a Allocator<Vulkan>, home: &'a dyn Strategy<Vulkan>) -> Self {
        let upload = new_buffer(allocator, SIZE, Access::HostWrites);
        let download = new_buffer(allocator, SIZE, Access::HostReads);
        let (buffers, images) = (HashMap::new(), HashMap::new());
        let mut program = Self { gpu, allocator, home, upload, download, buffers, images };
        let (used, spare): (Vec<_>, Vec<_>) =
            (0..COUNT).map(|number| (number, program.make(number))).partition(|one| one.0 % 3 == 0);
        for (number, (buffer, image)) in used {
            program.buffers.insert(buffer.allocation().id(), (number, buffer));
            program.images.insert(image.allocation().id(), (number, image));
        }
        for (_, (buffer, image)) in spare {
            home.destroy_buffer(buffer).expect("it is ours");
            home.destroy_image(image).expect("it is ours");
        }
        program
    }

    /// A buffer and an image with a pattern, the image in the layout of a source.
    fn make(&mut self, number: u32) -> (Buffer<Vulkan>, Image<Vulkan>) {
        let bytes = pattern(number, SIZE as usize);
        let written = self.allocator.write(self.upload.allocation_mut(), 0, &bytes);
        written.expect("it can be written");
        let buffer = new_buffer(self.home, SIZE, Access::DeviceOnly);
        let image = self.home.create_image(&image_info(WIDTH), &Wish::default());
        let image = image.expect("it is small");
        let (upload, download) = (self.upload.handle(), self.download.handle());
        self.gpu.submit(|commands| {
            commands.copy(upload, buffer.handle(), SIZE);
            commands.copy_through(upload, image.handle(), download, WIDTH);
        });
        (buffer, image)
    }

    fn register(&self, mover: &mut Mover<'_, Vulkan>) {
        for (_, buffer) in self.buffers.values() {
            mover.register_buffer(buffer, buffer_info(SIZE)).expect("it can be copied");
        }
        for (_, image) in self.images.values() {
            mover.register_image(image, image_info(WIDTH), STATE).expect("it can be copied");
        }
    }

    fn frame(&mut self, mover: &mut Mover<'_, Vulkan>, frame: u64) {
        self.gpu.submit(|commands| {
            let mut commands = commands.handle();
            // SAFETY: The commands are being recorded and submitted; all that is registered lives,
            // and the images are in their state.
            let step = unsafe {
                mover.step(
                    &mut commands,
                    frame,
                    || true,
                    |swap| {
                        if let Some((_, buffer)) = self.buffers.get_mut(&swap.allocation()) {
                            swap.buffer(buffer).expect("nobody has mapped it");
                        } else if let Some((_, image)) = self.images.get_mut(&swap.allocation()) {
                            swap.image(image).expect("nobody has mapped it");
                        }
                    },
                )
            };
            assert!(step.expect("the device makes small things") != Step::Waits);
        });
        // `submit` waits for its fence.
        mover.complete(frame);
    }

    fn check(&self, number: u32, len: u64) {
        let mut found = vec![0; len as usize];
        let read = self.allocator.read(self.download.allocation(), 0, &mut found);
        read.expect("it can be read");
        let expected = pattern(number, SIZE as usize);
        assert!(found == expected[..len as usize] || !self.gpu.executes(), "{number}");
    }

    /// Looks whether all is as it was, and ends.
    fn end(mut self) {
        let download = self.download.handle();
        for (number, buffer) in core::mem::take(&mut self.buffers).into_values() {
            self.gpu.submit(|commands| commands.copy(buffer.handle(), download, SIZE));
            self.check(number, SIZE);
            self.home.destroy_buffer(buffer).expect("it is ours");
        }
        for (number, image) in core::mem::take(&mut self.images).into_values() {
            self.gpu.submit(|commands| commands.copy_out(image.handle(), download, WIDTH));
            self.check(number, u64::from(WIDTH * WIDTH * 4));
            self.home.destroy_image(image).expect("it is ours");
        }
        self.allocator.destroy_buffer(self.upload).expect("it is ours");
        self.allocator.destroy_buffer(self.download).expect("it is ours");
    }

    /// Renders frames until nothing is left to move; returns whether anything did.
    fn render(&mut self, work: Defragmentation<'_, Vulkan>) -> bool {
        let mut mover = Mover::new(work);
        self.register(&mut mover);
        for frame in 1.. {
            self.frame(&mut mover, frame);
            if mover.is_done() {
                break;
            }
        }
        mover.stats().moved > 0
    }
}

const GROWTH: Option<Growth> = Some(Growth { size_least: 1 << 20, size_most: 1 << 20 });
const OPTIONS: Options = Options {
    effort: Effort::Full,
    memory_type: None,
    bytes_per_pass_max: 200_000,
    moves_per_pass_max: u32::MAX,
};

/// Makes things, moves them while frames are rendered, and looks at all of them; `look` is called
/// while they live.
pub fn move_all(gpu: &Gpu, allocator: &Allocator<Vulkan>, look: impl Fn()) {
    let mut program = Program::new(gpu, allocator, allocator);
    let held = allocator.held();
    assert!(program.render(allocator.defragment(&OPTIONS).expect("nobody else does")));
    allocator.check();
    assert!(allocator.held() < held);
    look();
    program.end();
}

#[test]
fn resources_that_move_keep_their_contents() {
    let Some(gpu) = Gpu::open() else { return };
    let options = polder_device::Options { growth: GROWTH, ..polder_device::Options::default() };
    let allocator = Allocator::new(gpu.vulkan(), options);
    move_all(&gpu, &allocator, || ());
    allocator.shutdown().expect("nothing is left");
}

/// The first memory type that buffers and images can both lie in.
fn memory_type_for_both(allocator: &Allocator<Vulkan>) -> Option<u32> {
    let (buffer, image) = (buffer_info(SIZE), image_info(WIDTH));
    let types = allocator.properties().memory_types.len() as u32;
    (0..types).find(|&memory_type| {
        let wish = Wish { memory_types: 1 << memory_type, ..Wish::default() };
        let of_buffer = allocator.find_memory_type_for_buffer(&buffer, &wish);
        let of_image = allocator.find_memory_type_for_image(&image, &wish);
        of_buffer.expect("it is small").is_some() && of_image.expect("it is small").is_some()
    })
}

#[test]
fn resources_of_a_pool_move_and_keep_their_contents() {
    let Some(gpu) = Gpu::open() else { return };
    let allocator = Allocator::new(gpu.vulkan(), polder_device::Options::default());
    let memory_type = memory_type_for_both(&allocator).expect("buffers and images share a type");
    let rules = Rules { blocks_least: 3, ..Rules::default() };
    let setup = Setup { memory_type, growth: GROWTH, rules, ..Setup::default() };
    let pool = allocator.create_pool(&setup, &[]).expect("it is small");
    let mut program = Program::new(&gpu, &allocator, &*pool);

    let before = pool.stats();
    assert!(program.render(pool.defragment(&OPTIONS).expect("nobody else does")));
    pool.check();
    let after = pool.stats();
    assert!(after.blocks < before.blocks && after.blocks >= 3, "{before:?} {after:?}");
    program.end();
    assert_eq!(pool.stats().allocations, 0);
    drop(pool);
    allocator.shutdown().expect("nothing is left");
}
