//! Does the driver execute? A few bytes go to the device and come back.
//!
//! Drivers for tests accept work and drop it. A read-back buffer that the host filled tells the
//! three cases apart: what was sent is there (it executes), what the host wrote is still there
//! (it drops work), anything else (something is broken, and the demo ends).

use super::random::fill;
use super::scene::{BufferRole, Shape};
use super::stage::{Batch, Payload, PayloadOf, Stage};
use super::transfer::Ring;
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
    let mut there = Ring::new(BufferRole::Staging);
    let mut back = Ring::new(BufferRole::ReadBack);

    let sent = send(stage, allocator, frame, (&mut there, payload));
    let found = sent.and_then(|()| receive(stage, allocator, frame, (&mut back, payload)));
    there.end(allocator)?;
    back.end(allocator)?;
    allocator.destroy_buffer(target)?;
    judge(&found?)
}

/// Copies the payload's bytes to its buffer.
fn send<S: Stage>(
    stage: &mut S,
    allocator: &Allocator<S::Device>,
    frame: u64,
    (ring, payload): (&mut Ring<S>, PayloadOf<S::Device>),
) -> Result<(), Failure> {
    let mut staging = ring.take(allocator, frame, vec![payload])?.expect(PAYLOAD);
    let written = staging.write(allocator, &mut Vec::new());
    let upload = Batch { upload: Some(staging.transfer()), download: None };
    ring.put(staging);
    written?;
    // SAFETY: The caller keeps the target until we return, and the ring keeps the staging buffer,
    // which the host has written; we wait below.
    unsafe { stage.submit(frame, &upload) }?;
    stage.wait(frame)
}

/// Copies the payload's buffer to one that the host has filled, and returns what is there then.
fn receive<S: Stage>(
    stage: &mut S,
    allocator: &Allocator<S::Device>,
    frame: u64,
    (ring, payload): (&mut Ring<S>, PayloadOf<S::Device>),
) -> Result<[u8; SIZE], Failure> {
    let mut read_back = ring.take(allocator, frame, vec![payload])?.expect(PAYLOAD);
    let written = allocator.write(read_back.buffer.allocation_mut(), 0, &bytes(BEFORE));
    let download = Batch { upload: None, download: Some(read_back.transfer()) };
    // SAFETY: The caller keeps the target until we return, we keep the read-back buffer and touch
    // it only after the waiting; the frame's copies before were waited for by `send`.
    let copied = unsafe { stage.submit(frame, &download) }.and_then(|()| stage.wait(frame));
    let mut found = [0; SIZE];
    let read = copied.and_then(|()| {
        let read = allocator.read(read_back.buffer.allocation(), 0, &mut found);
        Ok(written.and(read)?)
    });
    ring.put(read_back);
    read.map(|()| found)
}

const PAYLOAD: &str = "there is a payload";

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
