//! What the demo needs of a device beside memory: something that copies.
//!
//! A [`Stage`] describes buffers and images in its device's words and carries out a [`Batch`] of
//! copies per frame. Everything else of the demo is the same on every device.

use super::scene::{BufferRole, ImageRole, ImageShape, Shape};
use crate::Failure;
use polder::device::{Device, Resource, Resources};

/// How many frames the host is ahead of the device at most.
pub const FRAMES_IN_FLIGHT: u64 = 3;
/// What offsets in staging and read-back buffers are multiples of, in bytes: more than copies of
/// texels need.
pub const PART_ALIGN: u64 = 16;

/// A whole resource and where its bytes lie in a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Part<B, I> {
    pub payload: Payload<B, I>,
    /// From the buffer's begin, a multiple of [`PART_ALIGN`].
    pub offset: u64,
}

/// A resource and the bytes that it is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Payload<B, I> {
    pub resource: Resource<B, I>,
    pub shape: Shape,
    /// What the bytes come from.
    pub seed: u64,
}

/// Copies between one buffer and many resources.
#[derive(Clone, Debug)]
pub struct Transfer<B, I> {
    pub buffer: B,
    pub parts: Vec<Part<B, I>>,
}

/// The copies of a frame.
#[derive(Clone, Debug)]
pub struct Batch<B, I> {
    /// From a staging buffer to resources that hold nothing yet.
    pub upload: Option<Transfer<B, I>>,
    /// To a read-back buffer from resources that were uploaded in an earlier frame.
    pub download: Option<Transfer<B, I>>,
}

impl<B: Copy, I> Batch<B, I> {
    /// Each resource that bytes go to, with the buffer that they come from.
    pub fn uploads(&self) -> impl Iterator<Item = (B, &Part<B, I>)> {
        self.upload.iter().flat_map(Transfer::copies)
    }

    /// Each resource that bytes come from, with the buffer that they go to.
    pub fn downloads(&self) -> impl Iterator<Item = (B, &Part<B, I>)> {
        self.download.iter().flat_map(Transfer::copies)
    }
}

impl<B: Copy, I> Transfer<B, I> {
    fn copies(&self) -> impl Iterator<Item = (B, &Part<B, I>)> {
        self.parts.iter().map(|part| (self.buffer, part))
    }
}

/// The copies of a frame on a device.
pub type BatchOf<D> = Batch<<D as Device>::Buffer, <D as Device>::Image>;
/// Copies on a device.
pub type TransferOf<D> = Transfer<<D as Device>::Buffer, <D as Device>::Image>;
/// A resource of a device, and its place.
pub type PartOf<D> = Part<<D as Device>::Buffer, <D as Device>::Image>;
/// A resource of a device.
pub type PayloadOf<D> = Payload<<D as Device>::Buffer, <D as Device>::Image>;

/// Describes resources and copies them.
pub trait Stage {
    /// The device.
    type Device: Resources;

    /// Describes a buffer.
    fn buffer_info(size: u64, role: BufferRole)
    -> <Self::Device as Resources>::BufferInfo<'static>;

    /// Describes an image.
    fn image_info(
        shape: ImageShape,
        role: ImageRole,
    ) -> <Self::Device as Resources>::ImageInfo<'static>;

    /// Starts the copies of a frame, after those of all earlier frames.
    ///
    /// # Errors
    ///
    /// The device's; nothing was started.
    ///
    /// # Safety
    ///
    /// - The batch's handles are of this stage's device, and live until [`wait`](Self::wait) for
    ///   this frame returned; its parts lie in its buffers.
    /// - Until then the host does not write the staging buffer, and does not touch the read-back
    ///   buffer.
    /// - The frame that is [`FRAMES_IN_FLIGHT`] before this one was waited for.
    unsafe fn submit(&mut self, frame: u64, batch: &BatchOf<Self::Device>) -> Result<(), Failure>;

    /// Waits until the copies of a frame are done; at once if there are none.
    ///
    /// # Errors
    ///
    /// The device's, or it took too long.
    fn wait(&mut self, frame: u64) -> Result<(), Failure>;

    /// Tells what the device found wrong with how it was used, one sentence each.
    fn complaints(&self) -> Vec<String>;
}
