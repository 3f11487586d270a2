//! The mover in a frame loop: contents, handles, failures at every step.

use super::granular;
use super::ground::Ground;
use polder_device::defragment::mover::{NotCopyable, Step};
use polder_device::defragment::{Mover, Options};
use polder_device::sim::{BufferInfo, BufferUsage, Call, ImageInfo, ImageUsage, Sim};
use polder_device::strategy::Pool;
use polder_device::{
    AllocationId, Allocator, Buffer, DeviceError, Effort, Factory, Image, Resource, Strategy, Wish,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Frames that are under way at once.
const FRAMES: u64 = 2;
/// How many buffers and images are made.
const COUNT: u8 = 100;

fn buffer_info() -> BufferInfo {
    BufferInfo { size: 5000, ..BufferInfo::default() }
}

fn image_info() -> ImageInfo {
    ImageInfo { width: 40, height: 20, ..ImageInfo::default() }
}

/// What a program holds: every byte of a resource is its number.
struct Program {
    sim: Sim,
    buffers: HashMap<AllocationId, (Buffer<Sim>, u8)>,
    images: HashMap<AllocationId, (Image<Sim>, u8)>,
}

impl Program {
    /// A half of what was made.
    fn new(sim: &Sim, ground: &impl Ground, count: u8) -> Self {
        let (mut buffers, mut images) = (HashMap::new(), HashMap::new());
        let mut spare = Vec::new();
        for number in 0..count {
            let (buffer, image) = (buffer_info(), image_info());
            let buffer = ground.create_buffer(&buffer, &Wish::default()).unwrap();
            if number % 2 == 0 {
                spare.push(buffer);
            } else {
                buffers.insert(buffer.allocation().id(), (buffer, number));
            }
            let image = ground.create_image(&image, &Wish::default()).unwrap();
            images.insert(image.allocation().id(), (image, number));
        }
        spare.into_iter().for_each(|buffer| ground.destroy_buffer(buffer).unwrap());
        let program = Self { sim: sim.clone(), buffers, images };
        for (resource, number) in program.resources() {
            // SAFETY: This thread alone uses it.
            unsafe { sim.write_device(resource, 0, &[number; 3000]) }.unwrap();
        }
        program
    }

    fn resources(&self) -> Vec<(polder_device::sim::SimResource, u8)> {
        let buffers =
            self.buffers.values().map(|(one, seed)| (Resource::Buffer(one.handle()), *seed));
        let images = self.images.values().map(|(one, seed)| (Resource::Image(one.handle()), *seed));
        buffers.chain(images).collect()
    }

    fn check(&self, ground: &impl Ground) {
        ground.check();
        for (resource, number) in self.resources() {
            // SAFETY: This thread alone uses it.
            let bytes = unsafe { self.sim.read_device(resource, 0..3000) }.unwrap();
            assert_eq!(bytes, [number; 3000]);
        }
        assert_eq!(self.sim.violations(), []);
    }

    fn register(&self, mover: &mut Mover<'_, Sim>) {
        for (buffer, _) in self.buffers.values() {
            mover.register_buffer(buffer, buffer_info()).unwrap();
        }
        for (image, _) in self.images.values() {
            mover.register_image(image, image_info(), ()).unwrap();
        }
    }

    fn step(
        &mut self,
        mover: &mut Mover<'_, Sim>,
        frame: u64,
    ) -> Result<Step, polder_device::defragment::mover::MoveError> {
        // SAFETY: All that is registered lives, and the device in software works at once.
        unsafe {
            mover.step(
                &mut (),
                frame,
                || true,
                |swap| {
                    if let Some((buffer, _)) = self.buffers.get_mut(&swap.allocation()) {
                        swap.buffer(buffer).unwrap();
                    } else if let Some((image, _)) = self.images.get_mut(&swap.allocation()) {
                        swap.image(image).unwrap();
                    }
                },
            )
        }
    }

    fn end<G: Ground>(self, ground: Arc<G>) {
        for (buffer, _) in self.buffers.into_values() {
            ground.destroy_buffer(buffer).unwrap();
        }
        for (image, _) in self.images.into_values() {
            ground.destroy_image(image).unwrap();
        }
        ground.check();
        let ground = Arc::into_inner(ground).expect("nobody else has it");
        assert!(ground.dispose().is_ok());
        let left = self.sim.live();
        assert_eq!((left.buffers, left.images, left.blocks), (0, 0, 0));
        assert_eq!(self.sim.violations(), []);
    }
}

#[test]
#[cfg_attr(miri, ignore = "some hundred frames")]
fn resources_move_in_a_frame_loop_and_keep_their_contents() {
    loop_of_frames::<Allocator<Sim>>();
    loop_of_frames::<Pool<Sim>>();
}

fn loop_of_frames<G: Ground>() {
    for effort in [Effort::Fast, Effort::Balanced, Effort::Full, Effort::Extensive] {
        let sim = granular();
        let ground = G::begin(&sim);
        let mut program = Program::new(&sim, &*ground, COUNT);
        let held = ground.held();
        let options = Options { effort, bytes_per_pass_max: 20_000, ..Options::default() };
        let mut mover = Mover::new(ground.defragment(&options).unwrap());
        program.register(&mut mover);
        for frame in 1..10_000 {
            if frame > FRAMES {
                mover.complete(frame - FRAMES);
            }
            if mover.is_done() {
                break;
            }
            program.step(&mut mover, frame).unwrap();
            program.check(&*ground);
        }
        assert!(mover.is_done());
        assert!(mover.stats().moved > 0);
        drop(mover);
        assert!(ground.held() < held, "{effort:?}");
        program.check(&*ground);
        program.end(ground);
    }
}

#[test]
#[cfg_attr(miri, ignore = "some hundred loops")]
fn every_call_may_fail_and_all_stays_whole() {
    for n in 1..200 {
        let sim = granular();
        let allocator = Allocator::begin(&sim);
        let mut program = Program::new(&sim, &*allocator, COUNT / 2);
        let options = Options { bytes_per_pass_max: 60_000, ..Options::default() };
        let mut mover = Mover::new(allocator.defragment(&options).unwrap());
        program.register(&mut mover);
        sim.fail_any(n);
        let mut failed = 0;
        for frame in 1..40 {
            failed += u32::from(program.step(&mut mover, frame).is_err());
            allocator.check();
            mover.complete(frame);
            allocator.check();
        }
        let reached = sim.pending_failures() == 0;
        sim.clear_failures();
        drop(mover);
        program.check(&*allocator);
        program.end(allocator);
        if !reached {
            assert!(n > 20, "the loop makes calls");
            return;
        }
        assert!(failed <= 1);
    }
}

/// Registers all, steps and completes until nothing is left to do; returns how many steps failed.
fn finish(program: &mut Program, mover: &mut Mover<'_, Sim>) -> u32 {
    program.register(mover);
    let mut failed = 0;
    for frame in 1..1000 {
        mover.complete(frame - 1);
        if mover.is_done() {
            return failed;
        }
        failed += u32::from(program.step(mover, frame).is_err());
    }
    panic!("it comes to an end");
}

/// Three blocks, with 8, 2 and 2 buffers: the first has room for the others'.
fn three_blocks(sim: &Sim, allocator: &Allocator<Sim>) -> Program {
    let mut program = Program { sim: sim.clone(), buffers: HashMap::new(), images: HashMap::new() };
    let mut kept = HashMap::from([(0, 8), (1, 2), (2, 2)]);
    let mut memories = Vec::new();
    let mut spare = Vec::new();
    for number in 0..39 {
        let buffer = allocator.create_buffer(&buffer_info(), &Wish::default()).unwrap();
        let memory = buffer.allocation().memory();
        if !memories.contains(&memory) {
            memories.push(memory);
        }
        match kept.get_mut(&(memories.len() - 1)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                let resource = Resource::Buffer(buffer.handle());
                // SAFETY: This thread alone uses it.
                unsafe { sim.write_device(resource, 0, &[number; 3000]) }.unwrap();
                program.buffers.insert(buffer.allocation().id(), (buffer, number));
            }
            _ => spare.push(buffer),
        }
    }
    assert_eq!(memories.len(), 3);
    spare.into_iter().for_each(|buffer| allocator.destroy_buffer(buffer).unwrap());
    program
}

#[test]
#[cfg_attr(miri, ignore = "some ten frames")]
fn one_failure_keeps_its_own_block_and_no_other() {
    for call in [Call::CreateBuffer, Call::Bind] {
        for failures in 0..3 {
            let sim = granular();
            let allocator = Allocator::begin(&sim);
            let mut program = three_blocks(&sim, &allocator);
            let options = Options { effort: Effort::Fast, ..Options::default() };
            let mut mover = Mover::new(allocator.defragment(&options).unwrap());
            // The second is again the first of a step.
            (0..failures).for_each(|n| sim.fail(call, 1 + n, DeviceError::OutOfHostMemory));
            assert_eq!(u64::from(finish(&mut program, &mut mover)), failures);
            assert_eq!(mover.stats().blocks_freed, 2 - failures, "{call:?}");
            drop(mover);
            program.check(&*allocator);
            program.end(allocator);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "some ten frames")]
fn a_device_that_makes_nothing_lets_the_mover_end() {
    let sim = granular();
    let allocator = Allocator::begin(&sim);
    let mut program = Program::new(&sim, &*allocator, COUNT);
    let mut mover = Mover::new(allocator.defragment(&Options::default()).unwrap());
    for n in 1..1000 {
        sim.fail(Call::CreateBuffer, n, DeviceError::OutOfHostMemory);
        sim.fail(Call::CreateImage, n, DeviceError::OutOfHostMemory);
    }
    assert!(finish(&mut program, &mut mover) > 0);
    assert_eq!(mover.stats().moved, 0);
    sim.clear_failures();
    drop(mover);
    program.check(&*allocator);
    program.end(allocator);
}

#[test]
#[cfg_attr(miri, ignore = "some ten frames")]
fn a_pass_that_was_open_ends_and_its_moves_come_again() {
    for moves_per_pass_max in [5, u32::MAX] {
        let sim = granular();
        let allocator = Allocator::begin(&sim);
        let mut program = Program::new(&sim, &*allocator, COUNT);
        let options = Options { moves_per_pass_max, ..Options::default() };
        let mut work = allocator.defragment(&options).unwrap();
        assert!(!work.begin_pass().unwrap().is_empty());
        let mut mover = Mover::new(work);
        allocator.check();
        assert_eq!(finish(&mut program, &mut mover), 0);
        assert!(mover.stats().blocks_freed > 2, "{:?}", mover.stats());
        drop(mover);
        program.check(&*allocator);
        program.end(allocator);
    }
}

#[test]
fn what_nobody_takes_or_registers_stays() {
    let sim = granular();
    let allocator = Allocator::begin(&sim);
    let program = Program::new(&sim, &*allocator, COUNT);
    let mut mover = Mover::new(allocator.defragment(&Options::default()).unwrap());
    for (buffer, _) in program.buffers.values() {
        mover.register_buffer(buffer, buffer_info()).unwrap();
    }
    // SAFETY: All that is registered lives, and the device in software works at once.
    let step = unsafe { mover.step(&mut (), 1, || true, |_| {}) };
    assert_eq!(step, Ok(Step::Moved(0)));
    // SAFETY: As above.
    let step = unsafe { mover.step(&mut (), 2, || true, |_| {}) };
    assert_eq!(step, Ok(Step::Waits), "what was copied for nothing is still in use");
    drop(mover);
    program.check(&*allocator);
    program.end(allocator);
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let sim = granular();
    let allocator = super::allocator(&sim);
    let info = BufferInfo { usage: BufferUsage::UNIFORM, ..buffer_info() };
    let buffer = allocator.create_buffer(&info, &Wish::default()).unwrap();
    let texture = ImageInfo { usage: ImageUsage::SAMPLED, ..image_info() };
    let image = allocator.create_image(&texture, &Wish::default()).unwrap();
    let mut mover = Mover::new(allocator.defragment(&Options::default()).unwrap());
    let id = buffer.allocation().id();
    assert_eq!(mover.register_buffer(&buffer, info), Err(NotCopyable { id }));
    let id = image.allocation().id();
    assert_eq!(mover.register_image(&image, texture, ()), Err(NotCopyable { id }));
    drop(mover);
    allocator.destroy_buffer(buffer).unwrap();
    allocator.destroy_image(image).unwrap();
    allocator.shutdown().unwrap();
}
