//! Does the driver execute? A few bytes go to the device and come back.
//!
//! Drivers for tests accept work and drop it. A read-back buffer that the host filled tells the
//! three cases apart: what was sent is there (it executes), what the host wrote is still there
//! (it drops work), anything else (something is broken, and the demo ends).

use super::random::fill;
use super::scene::{BufferRole, Shape};
use super::stage::{Batch, Payload, Stage};
use super::transfer::{Passage, Ring};
use crate::Failure;
use polder::device::Resource;
use polder::{Allocator, Factory, Strategy, Wish};

/// Whether work that is handed in is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Executed,
    Dropped,
}

const SIZE: usize = 4096;
const SENT: u64 = 1;
const BEFORE: u64 = 2;

/// Finds out, with the copies of a frame that is used for nothing else.
pub fn probe<S: Stage>(
    stage: &mut S,
    allocator: &Allocator<S::Device>,
    frame: u64,
) -> Result<Work, Failure> {
    let (size, role) = (SIZE as u64, BufferRole::Storage);
    let target = allocator.create_buffer(&S::buffer_info(size, role), &Wish::default())?;
    let resource = Resource::Buffer(target.handle());
    let payload = Payload { resource, shape: Shape::Buffer { role, size }, seed: SENT };

    let mut staging = passage::<S>(allocator, BufferRole::Staging, payload)?;
    staging.write(allocator, &mut Vec::new())?;
    let upload = Batch { upload: Some(staging.transfer()), download: None };
    // SAFETY: All was just made, is used by nothing else, and is destroyed below the waiting.
    unsafe { stage.submit(frame, &upload) }?;
    stage.wait(frame)?;

    let mut read_back = passage::<S>(allocator, BufferRole::ReadBack, payload)?;
    allocator.write(read_back.buffer.allocation_mut(), 0, &bytes(BEFORE))?;
    let download = Batch { upload: None, download: Some(read_back.transfer()) };
    // SAFETY: As above; the frame's copies before were waited for.
    unsafe { stage.submit(frame, &download) }?;
    stage.wait(frame)?;

    let mut found = [0; SIZE];
    allocator.read(read_back.buffer.allocation(), 0, &mut found)?;
    for buffer in [staging.buffer, read_back.buffer, target] {
        allocator.destroy_buffer(buffer)?;
    }
    judge(&found)
}

fn passage<S: Stage>(
    allocator: &Allocator<S::Device>,
    role: BufferRole,
    payload: super::stage::PayloadOf<S::Device>,
) -> Result<Passage<S>, Failure> {
    Ok(Ring::new(role).take(allocator, 0, vec![payload])?.expect("there is a payload"))
}

fn bytes(seed: u64) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    fill(seed, &mut bytes);
    bytes
}

fn judge(found: &[u8; SIZE]) -> Result<Work, Failure> {
    if *found == bytes(SENT) {
        Ok(Work::Executed)
    } else if *found == bytes(BEFORE) {
        Ok(Work::Dropped)
    } else {
        Err("the first copy came back with bytes that nobody wrote".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_that_somebody_wrote_are_an_answer() {
        assert_eq!(judge(&bytes(SENT)).unwrap(), Work::Executed);
        assert_eq!(judge(&bytes(BEFORE)).unwrap(), Work::Dropped);
        let mut mixed = bytes(SENT);
        mixed[SIZE - 1] ^= 1;
        assert!(judge(&mixed).is_err());
    }
}
