//! Buffers that move while frames are made, on the software device.

use polder::device::defragment::{self, Mover, Stats};
use polder::device::sim::{BufferInfo, Preset, Sim};
use polder::device::{AllocationId, Growth};
use polder::{Allocator, Buffer, Factory, Options, Strategy, Wish};
use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

/// What a program looks its buffers up by.
type Buffers = HashMap<AllocationId, Buffer<Sim>>;
/// How many frames the device may be behind.
const FRAMES: u64 = 2;

// The README shows this.
/// Moves what a millisecond suffices for. The device has completed all but the last `FRAMES`.
fn defragment(
    mover: &mut Mover<'_, Sim>,
    commands: &mut (),
    frame: u64,
    buffers: &mut Buffers,
) -> Result<(), Box<dyn Error>> {
    mover.complete(frame.saturating_sub(FRAMES)); // Destroys the old handles of that frame.
    let begin = Instant::now();
    let has_time = || begin.elapsed() < Duration::from_millis(1);
    let swap = |swap: &mut defragment::mover::Swap<'_, '_, Sim>| {
        if let Some(buffer) = buffers.get_mut(&swap.allocation()) {
            swap.buffer(buffer).expect("nobody maps it");
        }
    };
    // SAFETY: The commands belong to this frame; what is registered lives.
    unsafe { mover.step(commands, frame, has_time, swap)? };
    Ok(()) // All that is recorded from here on uses the new handles.
}
// So far.

fn main() -> Result<(), Box<dyn Error>> {
    let growth = Some(Growth { size_least: 1 << 20, size_most: 1 << 20 });
    let options = Options { growth, ..Options::default() };
    let allocator = Allocator::new(Sim::preset(Preset::AmdNavi31), options);
    let info = BufferInfo::default();
    let made: Result<Vec<_>, _> =
        (0..200).map(|_| allocator.create_buffer(&info, &Wish::default())).collect();
    let mut buffers = Buffers::new();
    for (number, buffer) in made?.into_iter().enumerate() {
        if number % 2 == 0 {
            buffers.insert(buffer.allocation().id(), buffer);
        } else {
            allocator.destroy_buffer(buffer)?;
        }
    }

    let held = allocator.held();
    let stats = run(&allocator, info, &mut buffers)?;
    println!("{held} bytes were held, {} are: {stats:?}", allocator.held());
    assert!(allocator.held() < held);
    for buffer in buffers.into_values() {
        allocator.destroy_buffer(buffer)?;
    }
    allocator.shutdown()?;
    Ok(())
}

/// Makes frames until nothing is left to move.
fn run(
    allocator: &Allocator<Sim>,
    info: BufferInfo,
    buffers: &mut Buffers,
) -> Result<Stats, Box<dyn Error>> {
    let options =
        defragment::Options { bytes_per_pass_max: 512 << 10, ..defragment::Options::default() };
    let mut mover = Mover::new(allocator.defragment(&options)?);
    for buffer in buffers.values() {
        mover.register_buffer(buffer, info)?;
    }
    let mut frame = 0;
    while !mover.is_done() {
        frame += 1;
        defragment(&mut mover, &mut (), frame, buffers)?;
    }
    Ok(mover.stats())
}
