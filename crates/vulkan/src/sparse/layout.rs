//! Which page backs which part of a sparse resource.
//!
//! Pages have numbers, from 0 on. A layout is a list of sections, each with the pages of all
//! layers of one thing: a level's tiles, or bytes of the resource as it lies in the driver's eyes:
//! a whole buffer, a mip tail, the driver's own data about an image. Tiles are counted along x,
//! then y, then z. Pages of the driver's data come last, for they stay as long as the image.
//!
//! # Invariants
//!
//! 1. Sections follow one another without gaps: each page lies in one.

use super::error::RegionError;
use ash::vk;
use core::fmt;
use core::ops::Range;

/// A part of one level and layer of a sparse image, in texels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// One aspect, or several that the driver keeps together.
    pub aspect: vk::ImageAspectFlags,
    /// Mip level.
    pub level: u32,
    /// Array layer.
    pub layer: u32,
    /// Where it begins: x, y, z.
    pub offset: [u32; 3],
    /// How large it is: width, height, depth.
    pub extent: [u32; 3],
}

// By hand, for the flags say what they are only with a feature of ash's.
impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("aspect", &self.aspect.as_raw())
            .field("level", &self.level)
            .field("layer", &self.layer)
            .field("offset", &self.offset)
            .field("extent", &self.extent)
            .finish()
    }
}

/// Which pages a part means that does not begin or end where pages do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// All that it touches.
    Outwards,
    /// Those that lie in it; the last one does if its end, or the resource's, is in it.
    Inwards,
}

/// What bytes of a resource are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// All of it.
    Whole,
    /// The mip tail of these aspects.
    Tail(vk::ImageAspectFlags),
    /// The driver's own data.
    Metadata,
}

/// A piece of bytes for each layer.
#[derive(Clone, Copy)]
pub(super) struct Bytes {
    pub role: Role,
    /// Of the first layer, from the resource's begin.
    pub offset: u64,
    /// Of one layer.
    pub size: u64,
    /// From layer to layer.
    pub stride: u64,
}

/// A level's tiles.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    pub aspects: vk::ImageAspectFlags,
    pub level: u32,
    /// Of the level, in texels.
    pub size: [u32; 3],
    /// Of a tile, in texels.
    pub tile: [u32; 3],
}

impl Tiles {
    /// How many tiles one layer has, along each axis.
    pub fn counts(&self) -> [u32; 3] {
        core::array::from_fn(|axis| self.size[axis].div_ceil(self.tile[axis]))
    }

    /// The place of the tile with this number in its layer.
    pub fn place(&self, index: u64) -> [u32; 3] {
        let [width, height, _] = self.counts().map(u64::from);
        [index % width, index / width % height, index / (width * height)].map(|at| at as u32)
    }

    /// The tiles of a region, along each axis.
    fn spans(&self, region: &Region, rounding: Rounding) -> Result<[Range<u64>; 3], RegionError> {
        let Region { offset, extent, .. } = *region;
        let end = |axis: usize| u64::from(offset[axis]) + u64::from(extent[axis]);
        if (0..3).any(|axis| end(axis) > u64::from(self.size[axis])) {
            return Err(RegionError::PastEnd { offset, extent, size: self.size });
        }
        Ok(core::array::from_fn(|axis| {
            let (size, tile) = (u64::from(self.size[axis]), u64::from(self.tile[axis]));
            span(u64::from(offset[axis])..end(axis), size, tile, rounding)
        }))
    }
}

#[derive(Clone, Copy)]
pub(super) enum Content {
    Bytes(Bytes),
    Tiles(Tiles),
}

/// The pages of all layers of one thing.
#[derive(Clone, Copy)]
pub(super) struct Section {
    /// Its first page.
    pub first: u64,
    pub layers: u64,
    /// Of each layer.
    pub pages: u64,
    pub content: Content,
}

/// What an image is, as far as its pages are concerned.
pub(super) struct Shape {
    pub extent: [u32; 3],
    pub levels: u32,
    pub layers: u32,
}

impl Shape {
    fn level(&self, level: u32) -> [u32; 3] {
        self.extent.map(|texels| texels.checked_shr(level).unwrap_or(0).max(1))
    }
}

/// The pages of a resource. See the [module](self).
pub(super) struct Layout {
    page_size: u64,
    sections: Vec<Section>,
    /// How many levels and layers there are.
    shape: [u32; 2],
    /// The first page of the driver's own data, behind all others.
    metadata: u64,
}

impl Layout {
    /// That of a buffer, or of an image that is bound as a whole.
    pub fn whole(size: u64, page_size: u64) -> Self {
        let bytes = Bytes { role: Role::Whole, offset: 0, size, stride: 0 };
        Self::of([(1, Content::Bytes(bytes))], [1, 1], page_size)
    }

    /// That of an image that can be resident in part, as the driver describes it.
    pub fn of_image(
        shape: &Shape,
        answers: &[vk::SparseImageMemoryRequirements],
        page_size: u64,
    ) -> Self {
        let is_metadata = |answer: &&vk::SparseImageMemoryRequirements| {
            let aspects = answer.format_properties.aspect_mask;
            aspects.contains(vk::ImageAspectFlags::METADATA)
        };
        let data = answers.iter().filter(|answer| !is_metadata(answer));
        let levels = data.clone().flat_map(|answer| tiles_of(shape, answer));
        let levels = levels.map(|tiles| (shape.layers, Content::Tiles(tiles)));
        let tails = data.map(|answer| {
            let role = Role::Tail(answer.format_properties.aspect_mask);
            tail_of(shape, answer, role)
        });
        let metadata = answers.iter().filter(is_metadata);
        let metadata = metadata.map(|answer| tail_of(shape, answer, Role::Metadata));
        let contents = levels.chain(tails).chain(metadata);
        Self::of(contents, [shape.levels, shape.layers], page_size)
    }

    fn of(
        contents: impl IntoIterator<Item = (u32, Content)>,
        shape: [u32; 2],
        page_size: u64,
    ) -> Self {
        let (mut sections, mut first, mut metadata) = (Vec::new(), 0, None);
        for (layers, content) in contents {
            let pages = match content {
                Content::Bytes(bytes) => bytes.size.div_ceil(page_size),
                Content::Tiles(tiles) => tiles.counts().map(u64::from).iter().product(),
            };
            if matches!(content, Content::Bytes(Bytes { role: Role::Metadata, .. })) {
                metadata = metadata.or(Some(first));
            }
            let layers = u64::from(layers);
            if pages > 0 {
                sections.push(Section { first, layers, pages, content });
            }
            first += layers * pages;
        }
        Self { page_size, sections, shape, metadata: metadata.unwrap_or(first) }
    }

    pub const fn page_size(&self) -> u64 {
        self.page_size
    }

    /// All pages.
    pub fn all(&self) -> Range<u64> {
        0..self.sections.last().map_or(0, |last| last.first + last.layers * last.pages)
    }

    /// All pages but those of the driver's own data.
    pub const fn data(&self) -> Range<u64> {
        0..self.metadata
    }

    /// The pages of the driver's own data, without which nothing of the image can be used.
    pub fn metadata(&self) -> Range<u64> {
        self.metadata..self.all().end
    }

    /// The section of a page.
    pub fn section(&self, page: u64) -> &Section {
        let behind = self.sections.partition_point(|section| section.first <= page);
        &self.sections[behind - 1]
    }

    /// The pages of a range of a buffer's `size` bytes.
    pub fn bytes(
        &self,
        range: Range<u64>,
        size: u64,
        rounding: Rounding,
    ) -> Result<Range<u64>, RegionError> {
        let Range { start, end } = range;
        if start > end || end > size {
            return Err(RegionError::Range { start, end, size });
        }
        Ok(span(range, size, self.page_size, rounding))
    }

    /// The pages of a region, a range for each row of tiles.
    pub fn region(
        &self,
        region: &Region,
        rounding: Rounding,
    ) -> Result<Vec<Range<u64>>, RegionError> {
        let (section, tiles) = self.level(region.aspect, region.level)?;
        let first = self.layer(section, region.layer)?.start;
        let [x, y, z] = tiles.spans(region, rounding)?;
        let [width, height, _] = tiles.counts().map(u64::from);
        let row = |y, z| first + (z * height + y) * width;
        if x.is_empty() {
            return Ok(Vec::new());
        }
        let rows = z.flat_map(|z| y.clone().map(move |y| row(y, z)));
        Ok(rows.map(|row| row + x.start..row + x.end).collect())
    }

    /// The tiles of a level, and their section.
    pub fn level(
        &self,
        aspect: vk::ImageAspectFlags,
        level: u32,
    ) -> Result<(&Section, &Tiles), RegionError> {
        let mut all = self.tiles_of(aspect);
        if let Some(found) = all.find(|(_, tiles)| tiles.level == level) {
            return Ok(found);
        }
        self.expect_aspect(aspect)?;
        let [count, _] = self.shape;
        if level >= count {
            return Err(RegionError::Level { level, count });
        }
        Err(RegionError::InTail { level, first: self.tail_first_level(aspect)? })
    }

    /// The first level that lies in the tail of an aspect; as many as there are levels if none
    /// does.
    pub fn tail_first_level(&self, aspect: vk::ImageAspectFlags) -> Result<u32, RegionError> {
        self.expect_aspect(aspect)?;
        Ok(self.tiles_of(aspect).map(|(_, tiles)| tiles.level + 1).max().unwrap_or(0))
    }

    /// The pages of the mip tail of an aspect and a layer.
    pub fn tail(
        &self,
        aspect: vk::ImageAspectFlags,
        layer: u32,
    ) -> Result<Range<u64>, RegionError> {
        self.expect_aspect(aspect)?;
        let is_tail = |section: &&Section| match section.content {
            Content::Bytes(Bytes { role: Role::Tail(aspects), .. }) => aspects.contains(aspect),
            _ => false,
        };
        let section = self.sections.iter().find(is_tail).ok_or(RegionError::NoTail)?;
        self.layer(section, layer)
    }

    /// The pages of a section's layer.
    pub fn layer(&self, section: &Section, layer: u32) -> Result<Range<u64>, RegionError> {
        if u64::from(layer) >= section.layers {
            return Err(RegionError::Layer { layer, count: section.layers as u32 });
        }
        let first = section.first + u64::from(layer) * section.pages;
        Ok(first..first + section.pages)
    }

    fn tiles_of(
        &self,
        aspect: vk::ImageAspectFlags,
    ) -> impl Iterator<Item = (&Section, &Tiles)> + '_ {
        self.sections.iter().filter_map(move |section| match &section.content {
            Content::Tiles(tiles) if names(tiles.aspects, aspect) => Some((section, tiles)),
            _ => None,
        })
    }

    fn expect_aspect(&self, aspect: vk::ImageAspectFlags) -> Result<(), RegionError> {
        for section in &self.sections {
            let aspects = match section.content {
                Content::Tiles(tiles) => tiles.aspects,
                Content::Bytes(Bytes { role: Role::Tail(aspects), .. }) => aspects,
                Content::Bytes(Bytes { role: Role::Whole, .. }) => {
                    return Err(RegionError::NotResident);
                }
                Content::Bytes(_) => continue,
            };
            if names(aspects, aspect) {
                return Ok(());
            }
        }
        Err(RegionError::Aspect { aspect: aspect.as_raw() })
    }
}

fn names(aspects: vk::ImageAspectFlags, aspect: vk::ImageAspectFlags) -> bool {
    !aspect.is_empty() && aspects.contains(aspect)
}

/// The levels of the aspects of an answer that do not lie in the tail.
fn tiles_of(
    shape: &Shape,
    answer: &vk::SparseImageMemoryRequirements,
) -> impl Iterator<Item = Tiles> {
    let vk::SparseImageFormatProperties { aspect_mask, image_granularity, .. } =
        answer.format_properties;
    let vk::Extent3D { width, height, depth } = image_granularity;
    let levels = 0..answer.image_mip_tail_first_lod.min(shape.levels);
    levels.map(move |level| Tiles {
        aspects: aspect_mask,
        level,
        size: shape.level(level),
        tile: [width, height, depth],
    })
}

/// The tail of an answer, and how many layers have one.
fn tail_of(
    shape: &Shape,
    answer: &vk::SparseImageMemoryRequirements,
    role: Role,
) -> (u32, Content) {
    let flags = answer.format_properties.flags;
    let is_single = flags.contains(vk::SparseImageFormatFlags::SINGLE_MIPTAIL);
    // The driver may fill in the rest where no level is left for it.
    let is_empty = role != Role::Metadata && answer.image_mip_tail_first_lod >= shape.levels;
    let bytes = Bytes {
        role,
        offset: answer.image_mip_tail_offset,
        size: if is_empty { 0 } else { answer.image_mip_tail_size },
        stride: answer.image_mip_tail_stride,
    };
    (if is_single { 1 } else { shape.layers }, Content::Bytes(bytes))
}

/// The units of `unit` that a part of `size` means.
fn span(part: Range<u64>, size: u64, unit: u64, rounding: Rounding) -> Range<u64> {
    let Range { start, end } = part;
    match rounding {
        Rounding::Outwards if start == end => 0..0,
        Rounding::Outwards => start / unit..end.div_ceil(unit),
        Rounding::Inwards => {
            let first = start.div_ceil(unit);
            let last = if end == size { end.div_ceil(unit) } else { end / unit };
            first..last.max(first)
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]

    use super::*;

    const PAGE: u64 = 64 << 10;
    const COLOR: vk::ImageAspectFlags = vk::ImageAspectFlags::COLOR;

    fn answer(
        aspects: vk::ImageAspectFlags,
        tile: [u32; 3],
        first: u32,
    ) -> vk::SparseImageMemoryRequirements {
        let [width, height, depth] = tile;
        let format = vk::SparseImageFormatProperties::default()
            .aspect_mask(aspects)
            .image_granularity(vk::Extent3D { width, height, depth });
        vk::SparseImageMemoryRequirements::default()
            .format_properties(format)
            .image_mip_tail_first_lod(first)
            .image_mip_tail_size(PAGE)
            .image_mip_tail_offset(100 * PAGE)
            .image_mip_tail_stride(7 * PAGE)
    }

    /// 1000 x 500 texels, four levels of which the last two share a page, in three layers.
    fn layout() -> Layout {
        let shape = Shape { extent: [1000, 500, 1], levels: 4, layers: 3 };
        let metadata = answer(vk::ImageAspectFlags::METADATA, [1, 1, 1], 0);
        let answers = [metadata, answer(COLOR, [128, 128, 1], 2)];
        Layout::of_image(&shape, &answers, PAGE)
    }

    fn region(level: u32, offset: [u32; 3], extent: [u32; 3]) -> Region {
        Region { aspect: COLOR, level, layer: 1, offset, extent }
    }

    #[test]
    fn every_page_has_its_section() {
        let layout = layout();
        // 8 x 4 tiles, 4 x 2 tiles, a tail for each layer; then the driver's own.
        assert_eq!(layout.data(), 0..3 * (32 + 8 + 1));
        assert_eq!(layout.metadata(), 123..126);
        for page in layout.all() {
            let section = layout.section(page);
            assert!(section.first <= page && page < section.first + section.layers * section.pages);
        }
    }

    #[test]
    fn commits_round_outwards_and_decommits_inwards() {
        let layout = layout();
        let part = region(0, [100, 0, 0], [200, 129, 1]);
        let all = layout.region(&part, Rounding::Outwards).unwrap();
        assert_eq!(all, [32..35, 40..43], "layer 1: columns 0 to 2, rows 0 and 1");
        let inner = layout.region(&part, Rounding::Inwards).unwrap();
        assert_eq!(inner, [33..34]);
        let edge = region(0, [896, 384, 0], [104, 116, 1]);
        for rounding in [Rounding::Outwards, Rounding::Inwards] {
            let found = layout.region(&edge, rounding).unwrap();
            assert_eq!(found, [63..64], "the corner is a whole tile");
        }
        let none = region(0, [200, 200, 0], [0, 10, 1]);
        assert_eq!(layout.region(&none, Rounding::Outwards).unwrap(), []);
    }

    #[test]
    fn bytes_are_rounded_to_pages() {
        let layout = Layout::whole(10 * PAGE, PAGE);
        let size = 9 * PAGE + 100;
        let pages = |range, rounding| layout.bytes(range, size, rounding).unwrap();
        assert_eq!(pages(1..PAGE + 1, Rounding::Outwards), 0..2);
        assert!(pages(1..PAGE + 1, Rounding::Inwards).is_empty());
        assert_eq!(pages(1..size, Rounding::Inwards), 1..10);
        assert!(pages(5..5, Rounding::Outwards).is_empty());
        assert_eq!(
            layout.bytes(7..size + 1, size, Rounding::Outwards),
            Err(RegionError::Range { start: 7, end: size + 1, size })
        );
    }

    #[test]
    fn what_is_not_there_has_a_reason() {
        let layout = layout();
        let pages = |region: Region| layout.region(&region, Rounding::Outwards).unwrap_err();
        let whole = [1, 1, 1];
        let (depth, none) = (vk::ImageAspectFlags::DEPTH, vk::ImageAspectFlags::empty());
        for aspect in [depth, none, vk::ImageAspectFlags::METADATA] {
            let error = pages(Region { aspect, ..region(0, [0; 3], whole) });
            assert_eq!(error, RegionError::Aspect { aspect: aspect.as_raw() });
        }
        assert_eq!(pages(region(2, [0; 3], whole)), RegionError::InTail { level: 2, first: 2 });
        assert_eq!(pages(region(4, [0; 3], whole)), RegionError::Level { level: 4, count: 4 });
        let behind = Region { layer: 3, ..region(0, [0; 3], whole) };
        assert_eq!(pages(behind), RegionError::Layer { layer: 3, count: 3 });
        let (offset, extent, size) = ([u32::MAX, 0, 0], whole, [500, 250, 1]);
        assert_eq!(pages(region(1, offset, extent)), RegionError::PastEnd { offset, extent, size });
        assert_eq!(layout.tail(COLOR, 3), Err(RegionError::Layer { layer: 3, count: 3 }));
        let whole = Layout::whole(PAGE, PAGE);
        assert_eq!(whole.tail(COLOR, 0), Err(RegionError::NotResident));
    }

    #[test]
    fn aspects_that_share_pages_answer_to_each_name() {
        let (depth, stencil) = (vk::ImageAspectFlags::DEPTH, vk::ImageAspectFlags::STENCIL);
        let shape = Shape { extent: [256, 256, 1], levels: 1, layers: 1 };
        let both = Layout::of_image(&shape, &[answer(depth | stencil, [128, 128, 1], 1)], PAGE);
        assert_eq!(both.all(), 0..4, "no level is left for the tail");
        for aspect in [depth, stencil, depth | stencil] {
            assert_eq!(both.level(aspect, 0).map(|(section, _)| section.first), Ok(0));
            assert_eq!(both.tail(aspect, 0), Err(RegionError::NoTail));
        }
        let answers = [answer(depth, [128, 128, 1], 1), answer(stencil, [256, 256, 1], 1)];
        let apart = Layout::of_image(&shape, &answers, PAGE);
        assert_eq!(apart.level(stencil, 0).map(|(section, _)| section.first), Ok(4));
        assert!(apart.level(depth | stencil, 0).is_err(), "each has pages of its own");
    }
}
