//! What can go wrong with sparse resources, and what the caller can do about it.

use polder_device::{AllocError, DeviceError};
use thiserror::Error;

/// Why a sparse resource was not made, its pages not committed, or its binds not submitted.
/// Nothing has changed after any of these.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SparseError {
    /// The create info does not say that the resource is sparse: set the flag.
    #[error("a sparse resource is created with {flag}")]
    FlagMissing {
        /// The flag's name in Vulkan.
        flag: &'static str,
    },
    /// The physical device does not have the feature, so that it cannot be enabled: do without
    /// sparse resources of this sort.
    #[error("the device does not have {feature}")]
    FeatureMissing {
        /// The feature's name in Vulkan.
        feature: &'static str,
    },
    /// The device has no residency for images of this format, type, sample count, usage and
    /// tiling: choose others.
    #[error("images of format {format} cannot be resident in part with this usage and tiling")]
    Format {
        /// `VkFormat`.
        format: i32,
    },
    /// The resource is larger than all of the address space that the device keeps for sparse ones,
    /// or the buffer than the largest.
    #[error("{size} bytes are more than the {size_max} that sparse resources can have")]
    TooLarge {
        /// What the resource would take.
        size: u64,
        /// `sparseAddressSpaceSize`, or `maxBufferSize` of `maintenance4`.
        size_max: u64,
    },
    /// Pages are bound on device 0 of a group, and the mask is without it: add bit 0.
    #[error("the device mask {mask:#b} is without device 0, on which pages are bound")]
    DeviceMask {
        /// What the wish says.
        mask: u32,
    },
    /// The device did not make the resource.
    #[error("the sparse resource could not be created: {0}")]
    Create(#[source] DeviceError),
    /// The part of the resource that was named is not there.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// There was no memory for the pages: all or none are committed.
    #[error("there is no memory for the pages: {0}")]
    Allocate(#[source] AllocError),
    /// The frame is completed, so nothing can be submitted in it any more: name a later one.
    #[error("frame {frame} is completed: a submission belongs to a later one")]
    FrameCompleted {
        /// What was named.
        frame: u64,
    },
    /// The queue did not take the binds; they are pending as before.
    #[error("the binds could not be submitted: {0}")]
    Submit(#[source] DeviceError),
}

/// Why a part of a sparse resource cannot be named so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The range of a buffer ends behind it, or before it begins.
    #[error("{start}..{end} is no range of {size} bytes")]
    Range {
        /// Where it begins, in bytes.
        start: u64,
        /// Where it ends.
        end: u64,
        /// How many bytes the buffer has.
        size: u64,
    },
    /// The image has no such aspect, or none of its own pages for it.
    #[error("the image has no pages for the aspect {aspect:#x}")]
    Aspect {
        /// `VkImageAspectFlags`.
        aspect: u32,
    },
    /// The image has fewer levels.
    #[error("the image has {count} levels, and level {level} was named")]
    Level {
        /// What was named.
        level: u32,
        /// How many there are.
        count: u32,
    },
    /// The image has fewer layers, or its one tail is that of layer 0.
    #[error("there are {count} layers, and layer {layer} was named")]
    Layer {
        /// What was named.
        layer: u32,
        /// How many there are.
        count: u32,
    },
    /// The level has no tiles: it lies in the mip tail, which is committed as a whole.
    #[error("level {level} lies in the mip tail, which begins at level {first}")]
    InTail {
        /// What was named.
        level: u32,
        /// The first level of the tail.
        first: u32,
    },
    /// All levels of the image have tiles.
    #[error("the image has no mip tail")]
    NoTail,
    /// The region ends behind its level.
    #[error("{extent:?} texels at {offset:?} end behind a level of {size:?}")]
    PastEnd {
        /// Where the region begins, in texels.
        offset: [u32; 3],
        /// How large it is.
        extent: [u32; 3],
        /// How large the level is.
        size: [u32; 3],
    },
    /// The level has fewer tiles.
    #[error("a level of {counts:?} tiles has none at {tile:?}")]
    Tile {
        /// What was named.
        tile: [u32; 3],
        /// How many tiles the level has.
        counts: [u32; 3],
    },
    /// The image was made without `VK_IMAGE_CREATE_SPARSE_RESIDENCY_BIT`: it is committed as a
    /// whole.
    #[error("the image is bound as a whole: it has neither tiles nor a mip tail")]
    NotResident,
}
