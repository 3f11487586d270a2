//! Buffers and images: what they are made from, and what they need of their memory.

use super::layout::Layout;
use super::rule::{Refusal, Rule, require};
use crate::device::{DedicatedWish, MemoryProperties, Requirements, Tiling};
use bitflags::bitflags;

/// Most bytes of a resource.
const SIZE_MAX: u64 = 1 << 48;
/// What the size of a small image in the device's own order is a multiple of.
const TILE_SIZE: u64 = 256;
/// Least alignment of a buffer, and the most that a limit raises it to.
const BUFFER_ALIGN_MIN: u64 = 16;
const BUFFER_ALIGN_MAX: u64 = 256;
/// Alignment of an image in rows.
const LINEAR_IMAGE_ALIGN: u64 = 256;

bitflags! {
    /// What a buffer is for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct BufferUsage: u32 {
        /// Copies and fills.
        const TRANSFER = 1;
        /// Uniform data.
        const UNIFORM = 1 << 1;
        /// Storage.
        const STORAGE = 1 << 2;
        /// Vertices.
        const VERTEX = 1 << 3;
        /// Indices.
        const INDEX = 1 << 4;
        /// It has a device address.
        const DEVICE_ADDRESS = 1 << 5;
        /// Other processes see it: it works only alone in its block.
        const EXTERNAL = 1 << 6;
        /// Only protected memory holds it.
        const PROTECTED = 1 << 7;
    }
}

bitflags! {
    /// What an image is for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct ImageUsage: u32 {
        /// Copies.
        const TRANSFER = 1;
        /// Shaders sample it.
        const SAMPLED = 1 << 1;
        /// Shaders write it.
        const STORAGE = 1 << 2;
        /// It is drawn into.
        const COLOR_TARGET = 1 << 3;
        /// Depth and stencil are drawn into it.
        const DEPTH_TARGET = 1 << 4;
        /// It lives in a render pass only: lazily allocated memory will do.
        const TRANSIENT = 1 << 5;
        /// Other processes see it: it works only alone in its block.
        const EXTERNAL = 1 << 6;
        /// Only protected memory holds it.
        const PROTECTED = 1 << 7;
    }
}

impl ImageUsage {
    /// What is drawn into.
    const TARGET: Self = Self::COLOR_TARGET.union(Self::DEPTH_TARGET);
}

/// What a buffer of the software device is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferInfo {
    /// Bytes.
    pub size: u64,
    /// What it is for.
    pub usage: BufferUsage,
}

impl Default for BufferInfo {
    /// 64 KiB for transfers and storage.
    fn default() -> Self {
        Self { size: 64 << 10, usage: BufferUsage::TRANSFER | BufferUsage::STORAGE }
    }
}

/// What an image of the software device is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// Texels.
    pub width: u32,
    /// Texels.
    pub height: u32,
    /// How many layers it has.
    pub layers: u32,
    /// How many mip levels it has, the largest included.
    pub mip_levels: u32,
    /// Bytes of a texel.
    pub bytes_per_texel: u32,
    /// How its bytes are laid out.
    pub tiling: Tiling,
    /// What it is for.
    pub usage: ImageUsage,
}

impl Default for ImageInfo {
    /// 256 x 256 texels of four bytes, in the device's own order, for transfers and sampling.
    fn default() -> Self {
        Self {
            width: 256,
            height: 256,
            layers: 1,
            mip_levels: 1,
            bytes_per_texel: 4,
            tiling: Tiling::Optimal,
            usage: ImageUsage::TRANSFER | ImageUsage::SAMPLED,
        }
    }
}

/// What the resources of a software device need of their memory. All are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceRules {
    /// `minUniformBufferOffsetAlignment`.
    pub uniform_align_min: u64,
    /// `minStorageBufferOffsetAlignment`.
    pub storage_align_min: u64,
    /// `optimalBufferCopyOffsetAlignment`.
    pub copy_offset_align: u64,
    /// Alignment of the smallest images in the device's own order.
    pub optimal_align_min: u64,
    /// Alignment of the largest ones.
    pub optimal_align_max: u64,
    /// From which size on a render target prefers a block of its own, if ever.
    pub dedicated_preferred_size: Option<u64>,
    /// From which size on any resource works only in a block of its own, if ever.
    pub dedicated_required_size: Option<u64>,
}

impl ResourceRules {
    pub(super) const DEFAULT: Self = Self {
        uniform_align_min: 16,
        storage_align_min: 16,
        copy_offset_align: 1,
        optimal_align_min: 4 << 10,
        optimal_align_max: 64 << 10,
        dedicated_preferred_size: None,
        dedicated_required_size: None,
    };
}

impl Default for ResourceRules {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A resource as the device keeps it, before it has memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) requirements: Requirements,
    pub(super) tiling: Tiling,
    /// Bytes that the device works on; padding is beyond.
    pub(super) len: u64,
    pub(super) transfer: bool,
    pub(super) device_address: bool,
}

/// What decides which memory types hold a resource, and whether it wants them alone.
struct Nature {
    lazy: bool,
    protected: bool,
    external: bool,
    target: bool,
}

/// Makes a buffer of its description.
pub(super) fn make_buffer(layout: &Layout, info: &BufferInfo) -> Result<Made, Refusal> {
    let BufferInfo { size, usage } = *info;
    require((1..=SIZE_MAX).contains(&size), Rule::ResourceSize, &[("size", size)])?;
    require(!usage.is_empty(), Rule::HasUsage, &[])?;
    let align = buffer_align(&layout.resources, usage);
    let nature = Nature {
        lazy: false,
        protected: usage.contains(BufferUsage::PROTECTED),
        external: usage.contains(BufferUsage::EXTERNAL),
        target: false,
    };
    Ok(Made {
        requirements: requirements(layout, size.next_multiple_of(align), align, &nature)?,
        tiling: Tiling::Linear,
        len: size,
        transfer: usage.contains(BufferUsage::TRANSFER),
        device_address: usage.contains(BufferUsage::DEVICE_ADDRESS),
    })
}

pub(super) fn buffer_align(rules: &ResourceRules, usage: BufferUsage) -> u64 {
    let aligns = [
        (BufferUsage::UNIFORM, rules.uniform_align_min),
        (BufferUsage::STORAGE, rules.storage_align_min),
        (BufferUsage::TRANSFER, rules.copy_offset_align),
    ];
    let asked = aligns.into_iter().filter(|(bit, _)| usage.contains(*bit)).map(|(_, align)| align);
    asked.max().unwrap_or(BUFFER_ALIGN_MIN).clamp(BUFFER_ALIGN_MIN, BUFFER_ALIGN_MAX)
}

/// Makes an image of its description.
pub(super) fn make_image(layout: &Layout, info: &ImageInfo) -> Result<Made, Refusal> {
    let usage = info.usage;
    require(!usage.is_empty(), Rule::HasUsage, &[])?;
    let transient = usage.contains(ImageUsage::TRANSIENT);
    let allowed = ImageUsage::TRANSIENT | ImageUsage::TARGET | ImageUsage::PROTECTED;
    let is_target = usage.intersects(ImageUsage::TARGET);
    let only_target = is_target && allowed.contains(usage);
    require(!transient || only_target, Rule::Transient, &[("usage", usage.bits().into())])?;
    let len = image_len(info)?;
    let (size, align) = match info.tiling {
        Tiling::Linear => (len.next_multiple_of(LINEAR_IMAGE_ALIGN), LINEAR_IMAGE_ALIGN),
        Tiling::Optimal => (len.next_multiple_of(TILE_SIZE), optimal_align(layout, len)),
    };
    let nature = Nature {
        lazy: transient,
        protected: usage.contains(ImageUsage::PROTECTED),
        external: usage.contains(ImageUsage::EXTERNAL),
        target: is_target,
    };
    Ok(Made {
        requirements: requirements(layout, size, align, &nature)?,
        tiling: info.tiling,
        len,
        transfer: usage.contains(ImageUsage::TRANSFER),
        device_address: false,
    })
}

/// Returns the bytes of all levels and layers.
pub(super) fn image_len(info: &ImageInfo) -> Result<u64, Refusal> {
    let ImageInfo { width, height, layers, mip_levels, bytes_per_texel, .. } = *info;
    let extent = [
        ("width", u64::from(width)),
        ("height", height.into()),
        ("layers", layers.into()),
        ("mip levels", mip_levels.into()),
        ("bytes per texel", bytes_per_texel.into()),
    ];
    require(extent.iter().all(|&(_, value)| value > 0), Rule::ImageExtent, &extent)?;
    let levels_max = width.max(height).ilog2() + 1;
    require(mip_levels <= levels_max, Rule::MipLevels, &extent)?;
    let level = |level: u32| {
        let texels = u64::from((width >> level).max(1)) * u64::from((height >> level).max(1));
        u128::from(texels) * u128::from(u64::from(layers) * u64::from(bytes_per_texel))
    };
    let first = u64::try_from(level(0)).unwrap_or(u64::MAX);
    require(first <= SIZE_MAX, Rule::ResourceSize, &extent)?;
    let len: u128 = (0..mip_levels).map(level).sum();
    // Each level is at most half of the one before, so all are less than twice the first.
    Ok(u64::try_from(len).expect("all levels of 2^48 bytes are below 2^49"))
}

/// Returns the alignment of an image in the device's own order: drivers give larger pages to
/// larger images.
fn optimal_align(layout: &Layout, len: u64) -> u64 {
    let ResourceRules { optimal_align_min: min, optimal_align_max: max, .. } = layout.resources;
    let wanted = (len / 16).next_power_of_two();
    wanted.min(max).max(min)
}

fn requirements(
    layout: &Layout,
    size: u64,
    align: u64,
    nature: &Nature,
) -> Result<Requirements, Refusal> {
    let memory_types = memory_types(layout, nature);
    require(memory_types != 0, Rule::HasMemoryType, &[("size", size)])?;
    let dedicated = dedicated(&layout.resources, size, nature);
    Ok(Requirements { size, align, memory_types, dedicated })
}

fn memory_types(layout: &Layout, nature: &Nature) -> u32 {
    let fits = |properties: MemoryProperties| {
        properties.contains(MemoryProperties::PROTECTED) == nature.protected
            && (nature.lazy || !properties.contains(MemoryProperties::LAZILY_ALLOCATED))
    };
    let types = layout.properties.memory_types.iter().enumerate();
    types.filter(|(_, kind)| fits(kind.properties)).fold(0, |bits, (number, _)| bits | 1 << number)
}

fn dedicated(rules: &ResourceRules, size: u64, nature: &Nature) -> DedicatedWish {
    let reaches = |threshold: Option<u64>| threshold.is_some_and(|least| size >= least);
    if nature.external || reaches(rules.dedicated_required_size) {
        DedicatedWish::Required
    } else if nature.target && reaches(rules.dedicated_preferred_size) {
        DedicatedWish::Preferred
    } else {
        DedicatedWish::None
    }
}
