//! Sparse images.

use super::error::{RegionError, SparseError};
use super::layout::{Layout, Region, Rounding, Shape};
use super::pages::Pages;
use super::{Feature, Needs, SparseImage, SparseOptions};
use super::{expect_features, expect_first_device, expect_space, supported};
use crate::error::device_error;
use crate::vulkan::Vulkan;
use ash::vk;
use core::ops::Range;
use polder_device::{DeviceError, Resource, Resources, Strategy};

impl<S: Strategy<Vulkan>> SparseImage<S> {
    /// Makes a sparse image, of the device of `strategy`. The flags of `info` have
    /// `SPARSE_BINDING`, and `SPARSE_RESIDENCY` if parts of it are committed. It has no memory but
    /// that of the driver's own data, where there is such.
    ///
    /// # Errors
    ///
    /// [`SparseError`]: the flag, a feature, device 0 of the wish's mask, the format or the address
    /// space is missing, there is no memory for the driver's data, or the driver's error.
    pub fn new(
        strategy: S,
        info: &vk::ImageCreateInfo<'_>,
        options: &SparseOptions<'_>,
    ) -> Result<Self, SparseError> {
        let device = strategy.device();
        check(device, info)?;
        expect_first_device(options)?;
        // SAFETY: `Vulkan::new`'s caller promises a live device and valid create infos.
        let handle = unsafe { device.ash().create_image(info, device.host()) };
        let handle = handle.map_err(|error| SparseError::Create(device_error(error)))?;
        // SAFETY: The device just made it; `check` refuses disjoint images.
        let requirements = unsafe { device.requirements(Resource::Image(handle)) };
        let tiling = device.tiling(info);
        let needs = Needs { requirements, tiling, device_address: false };
        let terms = needs.terms(device, options);
        let layout = if info.flags.contains(vk::ImageCreateFlags::SPARSE_RESIDENCY) {
            // SAFETY: As above.
            let answers = unsafe { device.ash().get_image_sparse_memory_requirements(handle) };
            Layout::of_image(&shape(info), &answers, terms.page_size)
        } else {
            Layout::whole(requirements.size, terms.page_size)
        };
        // From here on it is destroyed when it is dropped.
        let mut image = Self { handle, size: 0, layout, pages: Pages::new(strategy, terms) };
        expect_space(image.strategy().device(), requirements.size)?;
        image.pages.commit(&[image.layout.metadata()]).map_err(SparseError::Allocate)?;
        Ok(image)
    }

    /// Gives memory to every tile that one of `regions` touches and that has none. Takes time with
    /// the number of tiles.
    ///
    /// # Errors
    ///
    /// [`SparseError::Region`] or [`SparseError::Allocate`]: no tile was committed.
    pub fn commit(&mut self, regions: &[Region]) -> Result<(), SparseError> {
        let pages = self.pages_of(regions, Rounding::Outwards)?;
        self.pages.commit(&pages).map_err(SparseError::Allocate)
    }

    /// Takes back every tile that lies in one of `regions` as a whole; a tile at the edge of its
    /// level does when all of it that is inside the level does.
    ///
    /// # Errors
    ///
    /// [`SparseError::Region`]: nothing has changed.
    pub fn decommit(&mut self, regions: &[Region]) -> Result<(), SparseError> {
        let pages = self.pages_of(regions, Rounding::Inwards)?;
        self.pages.decommit(&pages);
        Ok(())
    }

    /// Tells whether all of a region has memory; what is pending counts as done.
    ///
    /// # Errors
    ///
    /// Those of [`RegionError`].
    pub fn is_committed(&self, region: &Region) -> Result<bool, RegionError> {
        let mut rows = self.layout.region(region, Rounding::Outwards)?.into_iter();
        Ok(rows.all(|row| self.pages.is_committed(row)))
    }

    /// Gives memory to the mip tail of a layer. Where one tail is for all layers it is layer 0's.
    ///
    /// # Errors
    ///
    /// [`SparseError::Region`] or [`SparseError::Allocate`]: nothing was committed.
    pub fn commit_tail(
        &mut self,
        aspect: vk::ImageAspectFlags,
        layer: u32,
    ) -> Result<(), SparseError> {
        let pages = self.layout.tail(aspect, layer)?;
        self.pages.commit(&[pages]).map_err(SparseError::Allocate)
    }

    /// Takes back the mip tail of a layer.
    ///
    /// # Errors
    ///
    /// [`SparseError::Region`]: nothing has changed.
    pub fn decommit_tail(
        &mut self,
        aspect: vk::ImageAspectFlags,
        layer: u32,
    ) -> Result<(), SparseError> {
        let pages = self.layout.tail(aspect, layer)?;
        self.pages.decommit(&[pages]);
        Ok(())
    }

    /// Tells whether the mip tail of a layer has memory; what is pending counts as done.
    ///
    /// # Errors
    ///
    /// Those of [`RegionError`].
    pub fn is_tail_committed(
        &self,
        aspect: vk::ImageAspectFlags,
        layer: u32,
    ) -> Result<bool, RegionError> {
        Ok(self.pages.is_committed(self.layout.tail(aspect, layer)?))
    }

    /// Returns the first level that lies in the mip tail: as many as there are levels if none does.
    ///
    /// # Errors
    ///
    /// [`RegionError::Aspect`], [`RegionError::NotResident`].
    pub fn tail_first_level(&self, aspect: vk::ImageAspectFlags) -> Result<u32, RegionError> {
        self.layout.tail_first_level(aspect)
    }

    /// Returns the size of a tile of a level, in texels: what Vulkan calls the image granularity.
    ///
    /// # Errors
    ///
    /// Those of [`RegionError`].
    pub fn tile_size(
        &self,
        aspect: vk::ImageAspectFlags,
        level: u32,
    ) -> Result<[u32; 3], RegionError> {
        Ok(self.layout.level(aspect, level)?.1.tile)
    }

    /// Returns how many tiles a level has along each axis.
    ///
    /// # Errors
    ///
    /// Those of [`RegionError`].
    pub fn tile_counts(
        &self,
        aspect: vk::ImageAspectFlags,
        level: u32,
    ) -> Result<[u32; 3], RegionError> {
        Ok(self.layout.level(aspect, level)?.1.counts())
    }

    /// Returns the region of one tile, named by its place among the tiles of its level.
    ///
    /// # Errors
    ///
    /// Those of [`RegionError`].
    pub fn tile(
        &self,
        aspect: vk::ImageAspectFlags,
        level: u32,
        layer: u32,
        tile: [u32; 3],
    ) -> Result<Region, RegionError> {
        let (section, tiles) = self.layout.level(aspect, level)?;
        self.layout.layer(section, layer)?;
        let counts = tiles.counts();
        if (0..3).any(|axis| tile[axis] >= counts[axis]) {
            return Err(RegionError::Tile { tile, counts });
        }
        let offset: [u32; 3] = core::array::from_fn(|axis| tile[axis] * tiles.tile[axis]);
        let side = |axis: usize| tiles.tile[axis].min(tiles.size[axis] - offset[axis]);
        Ok(Region { aspect, level, layer, offset, extent: core::array::from_fn(side) })
    }

    /// Returns the region of a whole level of a layer.
    ///
    /// # Errors
    ///
    /// Those of [`RegionError`].
    pub fn level(
        &self,
        aspect: vk::ImageAspectFlags,
        level: u32,
        layer: u32,
    ) -> Result<Region, RegionError> {
        let (section, tiles) = self.layout.level(aspect, level)?;
        self.layout.layer(section, layer)?;
        Ok(Region { aspect, level, layer, offset: [0; 3], extent: tiles.size })
    }

    /// Returns the places of the tiles of a level and layer that have memory, among those of the
    /// level: by z, then y, then x.
    ///
    /// # Errors
    ///
    /// Those of [`RegionError`].
    pub fn committed(
        &self,
        aspect: vk::ImageAspectFlags,
        level: u32,
        layer: u32,
    ) -> Result<Vec<[u32; 3]>, RegionError> {
        let (section, tiles) = self.layout.level(aspect, level)?;
        let pages = self.layout.layer(section, layer)?;
        let first = pages.start;
        Ok(self.pages.committed(pages).map(|page| tiles.place(page - first)).collect())
    }

    fn pages_of(
        &self,
        regions: &[Region],
        rounding: Rounding,
    ) -> Result<Vec<Range<u64>>, RegionError> {
        let mut pages = Vec::new();
        for region in regions {
            pages.extend(self.layout.region(region, rounding)?);
        }
        Ok(pages)
    }
}

fn shape(info: &vk::ImageCreateInfo<'_>) -> Shape {
    let vk::Extent3D { width, height, depth } = info.extent;
    Shape { extent: [width, height, depth], levels: info.mip_levels, layers: info.array_layers }
}

fn check(device: &Vulkan, info: &vk::ImageCreateInfo<'_>) -> Result<(), SparseError> {
    use vk::ImageCreateFlags as Flags;
    if !info.flags.contains(Flags::SPARSE_BINDING) {
        return Err(SparseError::FlagMissing { flag: "VK_IMAGE_CREATE_SPARSE_BINDING_BIT" });
    }
    if info.flags.contains(Flags::DISJOINT) {
        let rule = "the planes of a disjoint image are bound one by one, not here";
        return Err(SparseError::Create(DeviceError::Invalid { rule }));
    }
    let has = supported(device);
    expect_features(&[
        (true, "sparseBinding", has.sparse_binding),
        (
            info.flags.contains(Flags::SPARSE_ALIASED),
            "sparseResidencyAliased",
            has.sparse_residency_aliased,
        ),
    ])?;
    if !info.flags.contains(Flags::SPARSE_RESIDENCY) {
        return Ok(());
    }
    expect_features(&residency(&has, info))?;
    // The layout knows no planes, whose levels differ in size.
    let planes = vk::ImageAspectFlags::PLANE_0 | vk::ImageAspectFlags::PLANE_1;
    let formats = formats(device, info);
    // Vulkan has no tiles of one dimension, though drivers answer as if.
    let is_flat = info.image_type == vk::ImageType::TYPE_1D;
    if is_flat || formats.is_empty() || formats.iter().any(|one| one.aspect_mask.intersects(planes))
    {
        return Err(SparseError::Format { format: info.format.as_raw() });
    }
    Ok(())
}

/// Asks how images like this can be resident in part; nothing when they cannot.
fn formats(
    device: &Vulkan,
    info: &vk::ImageCreateInfo<'_>,
) -> Vec<vk::SparseImageFormatProperties> {
    let (instance, physical_device) = device.physical();
    let (format, kind, samples) = (info.format, info.image_type, info.samples);
    let (usage, tiling) = (info.usage, info.tiling);
    // SAFETY: `Vulkan::new`'s caller promises a live instance and a physical device of its, and
    // values in the create info that Vulkan knows.
    unsafe {
        instance.get_physical_device_sparse_image_format_properties(
            physical_device,
            format,
            kind,
            samples,
            usage,
            tiling,
        )
    }
}

/// The features that an image wants that is resident in part.
fn residency(has: &vk::PhysicalDeviceFeatures, info: &vk::ImageCreateInfo<'_>) -> [Feature; 6] {
    use vk::SampleCountFlags as Samples;
    let is_3d = info.image_type == vk::ImageType::TYPE_3D;
    let samples = |count| info.samples.contains(count);
    [
        (!is_3d, "sparseResidencyImage2D", has.sparse_residency_image2_d),
        (is_3d, "sparseResidencyImage3D", has.sparse_residency_image3_d),
        (samples(Samples::TYPE_2), "sparseResidency2Samples", has.sparse_residency2_samples),
        (samples(Samples::TYPE_4), "sparseResidency4Samples", has.sparse_residency4_samples),
        (samples(Samples::TYPE_8), "sparseResidency8Samples", has.sparse_residency8_samples),
        (samples(Samples::TYPE_16), "sparseResidency16Samples", has.sparse_residency16_samples),
    ]
}
