//! What the device is told of pages, and the call that tells it.
//!
//! Pages that follow one another become one bind where their memory does too; tiles only along a
//! row, whose order in memory cannot be mistaken.

use super::error::SparseError;
use super::layout::{Bytes, Content, Layout, Role, Section, Tiles};
use super::pages::Pending;
use crate::error::device_error;
use crate::vulkan::Vulkan;
use ash::vk;
use polder_device::Resource;

/// What a resource has to tell the device.
pub struct Binds {
    resource: Resource<vk::Buffer, vk::Image>,
    bytes: Vec<vk::SparseMemoryBind>,
    tiles: Vec<vk::SparseImageMemoryBind>,
}

impl Binds {
    /// Translates what is pending, which is ordered by page.
    pub(super) fn new(
        resource: Resource<vk::Buffer, vk::Image>,
        layout: &Layout,
        pending: &[Pending<vk::DeviceMemory>],
    ) -> Self {
        let mut binds = Self { resource, bytes: Vec::new(), tiles: Vec::new() };
        let joins = |one: &Pending<_>, next: &Pending<_>| joins(layout, one, next);
        for run in pending.chunk_by(joins) {
            let section = layout.section(run[0].page);
            let index = run[0].page - section.first;
            let part = Part {
                layer: index / section.pages,
                page: index % section.pages,
                count: run.len() as u64,
                target: run[0].target,
            };
            match &section.content {
                Content::Bytes(bytes) => {
                    binds.bytes.push(bytes_bind(bytes, &part, layout.page_size()));
                }
                Content::Tiles(tiles) => binds.tiles.push(tiles_bind(tiles, &part)),
            }
        }
        binds
    }
}

/// Pages of one layer of a section, bound in one piece.
struct Part {
    layer: u64,
    /// The first, from the layer's begin.
    page: u64,
    count: u64,
    target: Option<(vk::DeviceMemory, u64)>,
}

/// Tells whether two pages are bound in one piece.
fn joins(
    layout: &Layout,
    one: &Pending<vk::DeviceMemory>,
    next: &Pending<vk::DeviceMemory>,
) -> bool {
    let section = layout.section(one.page);
    let memory_follows = match (one.target, next.target) {
        (Some((block, at)), Some((next_block, next_at))) => {
            block == next_block && at + layout.page_size() == next_at
        }
        (None, None) => true,
        _ => false,
    };
    one.page + 1 == next.page && memory_follows && !begins_piece(section, next.page)
}

/// Tells whether a page that follows one of the section cannot be in one bind with it: it is the
/// first of a layer or of a row, or another section's.
fn begins_piece(section: &Section, page: u64) -> bool {
    let index = page - section.first;
    let width = match &section.content {
        Content::Bytes(_) => section.pages,
        Content::Tiles(tiles) => u64::from(tiles.counts()[0]),
    };
    // A layer is a whole number of rows.
    index.is_multiple_of(width)
}

fn bytes_bind(bytes: &Bytes, part: &Part, page_size: u64) -> vk::SparseMemoryBind {
    let begin = part.page * page_size;
    let (memory, memory_offset) = part.target.unwrap_or_default();
    let flags = match bytes.role {
        Role::Metadata => vk::SparseMemoryBindFlags::METADATA,
        Role::Whole | Role::Tail(_) => vk::SparseMemoryBindFlags::empty(),
    };
    vk::SparseMemoryBind::default()
        .resource_offset(bytes.offset + part.layer * bytes.stride + begin)
        .size((part.count * page_size).min(bytes.size - begin))
        .memory(memory)
        .memory_offset(memory_offset)
        .flags(flags)
}

fn tiles_bind(tiles: &Tiles, part: &Part) -> vk::SparseImageMemoryBind {
    let place = tiles.place(part.page);
    let offset: [u32; 3] = core::array::from_fn(|axis| place[axis] * tiles.tile[axis]);
    let count = [part.count as u32, 1, 1];
    let extent: [u32; 3] = core::array::from_fn(|axis| {
        (count[axis] * tiles.tile[axis]).min(tiles.size[axis] - offset[axis])
    });
    let subresource = vk::ImageSubresource::default()
        .aspect_mask(tiles.aspects)
        .mip_level(tiles.level)
        .array_layer(part.layer as u32);
    let (memory, memory_offset) = part.target.unwrap_or_default();
    let [x, y, z] = offset.map(|texels| texels as i32);
    let [width, height, depth] = extent;
    vk::SparseImageMemoryBind::default()
        .subresource(subresource)
        .offset(vk::Offset3D { x, y, z })
        .extent(vk::Extent3D { width, height, depth })
        .memory(memory)
        .memory_offset(memory_offset)
}

/// Where and when binds are submitted.
#[derive(Clone, Copy)]
pub struct Submission<'a> {
    /// Whose family binds sparse resources.
    pub queue: vk::Queue,
    /// The semaphores to wait for and to signal, and a chain (the values of timelines, say). Binds
    /// that stand in it are replaced.
    pub info: vk::BindSparseInfo<'a>,
    /// Signalled when the device has executed the binds; may be null.
    pub fence: vk::Fence,
    /// The frame that the binds belong to: memory that they take away is free once that is
    /// completed.
    pub frame: u64,
}

/// A sparse resource that may have something to tell the device. No other type than
/// [`Sparse`](super::Sparse) implements it, and what it has is for [`submit`] alone:
///
/// ```compile_fail,E0061
/// fn say_it_was_submitted(resource: &mut dyn polder_vulkan::sparse::HasBinds) {
///     resource.submitted(1);
/// }
/// ```
pub trait HasBinds: sealed::Resource {}

impl<T: sealed::Resource> HasBinds for T {}

pub(super) mod sealed {
    //! What of a sparse resource only this crate may call.

    /// What only [`submit`](super::submit) can make: others could name the methods through the
    /// trait beneath, and so free pages that the device has.
    #[derive(Clone, Copy)]
    pub struct Token(pub(super) ());

    /// What [`submit`](super::submit) needs.
    pub trait Resource {
        #[doc(hidden)]
        fn binds(&self, token: Token) -> super::Binds;
        #[doc(hidden)]
        fn is_open(&self, frame: u64, token: Token) -> bool;
        #[doc(hidden)]
        fn submitted(&mut self, frame: u64, token: Token);
    }
}

/// Tells the device all that is pending of some resources, in one `vkQueueBindSparse`.
///
/// The call is made, and semaphores are waited for and signalled, when nothing is pending too.
///
/// # Errors
///
/// [`SparseError::FrameCompleted`], or [`SparseError::Submit`] from the driver; what was pending
/// is pending as before.
///
/// # Safety
///
/// - The queue is `device`'s, its family binds sparse resources, and nobody else uses it meanwhile.
/// - The resources are `device`'s. If that is a group, each pool and heap of theirs orders its
///   blocks for device 0 (`Rules::device_mask`), which is the one that binds.
/// - The semaphores, the chain and the fence are valid usage of `vkQueueBindSparse`.
/// - Commands that use a page which is taken back here have been executed when these binds are,
///   and so have the binds of earlier submissions to the pages that change here: the semaphores
///   of `info` see to it, or the caller has waited.
/// - The frame is completed only when the device has executed the binds.
pub unsafe fn submit(
    device: &Vulkan,
    resources: &mut [&mut dyn HasBinds],
    submission: &Submission<'_>,
) -> Result<(), SparseError> {
    let Submission { queue, info, fence, frame } = *submission;
    let token = sealed::Token(());
    if !resources.iter().all(|resource| resource.is_open(frame, token)) {
        return Err(SparseError::FrameCompleted { frame });
    }
    let binds: Vec<_> = resources.iter().map(|resource| resource.binds(token)).collect();
    let (mut buffers, mut images, mut tiles) = (Vec::new(), Vec::new(), Vec::new());
    for one in &binds {
        match one.resource {
            // Vulkan takes no empty list.
            Resource::Buffer(_) if one.bytes.is_empty() => {}
            Resource::Buffer(buffer) => buffers
                .push(vk::SparseBufferMemoryBindInfo::default().buffer(buffer).binds(&one.bytes)),
            Resource::Image(image) => {
                let bytes = vk::SparseImageOpaqueMemoryBindInfo::default().image(image);
                images.extend((!one.bytes.is_empty()).then(|| bytes.binds(&one.bytes)));
                let texels = vk::SparseImageMemoryBindInfo::default().image(image);
                tiles.extend((!one.tiles.is_empty()).then(|| texels.binds(&one.tiles)));
            }
        }
    }
    let infos = [info.buffer_binds(&buffers).image_opaque_binds(&images).image_binds(&tiles)];
    // SAFETY: The caller promises queue, semaphores, chain, fence and order; the binds are of live
    // resources, name live memory of a type that each allows, and each page once.
    unsafe { device.ash().queue_bind_sparse(queue, &infos, fence) }
        .map_err(|error| SparseError::Submit(device_error(error)))?;
    resources.iter_mut().for_each(|resource| resource.submitted(frame, token));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::layout::Shape;
    use super::*;
    use ash::vk::Handle;
    use std::collections::BTreeMap;

    const PAGE: u64 = 64 << 10;

    /// An answer as drivers give them.
    fn answer(
        aspects: vk::ImageAspectFlags,
        flags: vk::SparseImageFormatFlags,
        [width, height, depth]: [u32; 3],
        [first, pages, offset, stride]: [u32; 4],
    ) -> vk::SparseImageMemoryRequirements {
        let format = vk::SparseImageFormatProperties::default()
            .aspect_mask(aspects)
            .flags(flags)
            .image_granularity(vk::Extent3D { width, height, depth });
        vk::SparseImageMemoryRequirements::default()
            .format_properties(format)
            .image_mip_tail_first_lod(first)
            .image_mip_tail_size(u64::from(pages) * PAGE)
            .image_mip_tail_offset(u64::from(offset) * PAGE)
            .image_mip_tail_stride(u64::from(stride) * PAGE)
    }

    /// Images of several sorts: in layers with a tail each, in layers with one tail, deep, with
    /// depth and stencil apart and data of the driver's own.
    fn layouts() -> Vec<(Shape, Layout)> {
        use vk::ImageAspectFlags as Aspect;
        let (none, single) =
            (vk::SparseImageFormatFlags::empty(), vk::SparseImageFormatFlags::SINGLE_MIPTAIL);
        let cases = [
            ([1000, 520, 1], vec![answer(Aspect::COLOR, none, [128, 128, 1], [3, 2, 90, 50])]),
            ([300, 40, 1], vec![answer(Aspect::COLOR, single, [256, 128, 1], [1, 5, 90, 0])]),
            ([100, 90, 70], vec![answer(Aspect::COLOR, single, [32, 32, 16], [2, 1, 90, 0])]),
            (
                [512, 500, 1],
                vec![
                    answer(Aspect::DEPTH, none, [128, 128, 1], [2, 1, 90, 4]),
                    answer(Aspect::METADATA, single, [1, 1, 1], [0, 3, 200, 0]),
                    answer(Aspect::STENCIL, none, [256, 256, 1], [2, 1, 92, 4]),
                ],
            ),
        ];
        let layout = |(extent, answers): ([u32; 3], Vec<_>)| {
            let shape = Shape { extent, levels: 5, layers: 3 };
            let layout = Layout::of_image(&shape, &answers, PAGE);
            (shape, layout)
        };
        cases.into_iter().map(layout).collect()
    }

    fn pending(page: u64, memory: u64, offset: u64) -> Pending<vk::DeviceMemory> {
        Pending { page, target: Some((vk::DeviceMemory::from_raw(memory), offset)) }
    }

    fn image() -> Resource<vk::Buffer, vk::Image> {
        Resource::Image(vk::Image::null())
    }

    /// What memory each tile and each page of bytes has, as a driver would read the binds.
    fn read(shape: &Shape, layout: &Layout, binds: &Binds) -> BTreeMap<[u64; 6], u64> {
        let mut memory = BTreeMap::new();
        for bind in &binds.bytes {
            assert_eq!((bind.resource_offset % PAGE, bind.size % PAGE), (0, 0));
            for page in 0..bind.size / PAGE {
                let key = [u64::MAX, bind.resource_offset / PAGE + page, 0, 0, 0, 0];
                let before = memory.insert(key, bind.memory_offset / PAGE + page);
                assert_eq!(before, None, "bytes are bound once");
            }
        }
        for bind in &binds.tiles {
            let subresource = bind.subresource;
            let level = layout.level(subresource.aspect_mask, subresource.mip_level).unwrap().1;
            let vk::Extent3D { width, height, depth } = bind.extent;
            let offset = [bind.offset.x, bind.offset.y, bind.offset.z].map(|at| at as u32);
            let mut counts = [0; 3];
            for (axis, extent) in [width, height, depth].into_iter().enumerate() {
                let size = (shape.extent[axis] >> subresource.mip_level).max(1);
                let (end, tile) = (offset[axis] + extent, level.tile[axis]);
                assert_eq!(offset[axis] % tile, 0, "a bind begins where a tile does");
                assert!(end == size || end < size && extent % tile == 0, "and ends so");
                counts[axis] = extent.div_ceil(tile);
            }
            assert_eq!(counts[1..], [1, 1], "a bind is part of a row");
            for x in 0..counts[0] {
                let key = [
                    u64::from(subresource.aspect_mask.as_raw()),
                    u64::from(subresource.mip_level),
                    u64::from(subresource.array_layer),
                    u64::from(offset[0] / level.tile[0] + x),
                    u64::from(offset[1] / level.tile[1]),
                    u64::from(offset[2] / level.tile[2]),
                ];
                let before = memory.insert(key, bind.memory_offset / PAGE + u64::from(x));
                assert_eq!(before, None, "{key:?} is bound once");
            }
        }
        memory
    }

    #[test]
    fn however_memory_lies_every_page_gets_its_own() {
        for (shape, layout) in layouts() {
            let pages: Vec<_> = layout.all().collect();
            let in_order: Vec<_> =
                pages.iter().map(|&page| pending(page, 7, page * PAGE)).collect();
            let spread: Vec<_> =
                pages.iter().map(|&page| pending(page, 7, 2 * page * PAGE)).collect();
            let (few, many) =
                (Binds::new(image(), &layout, &in_order), Binds::new(image(), &layout, &spread));
            let (one, other) = (read(&shape, &layout, &few), read(&shape, &layout, &many));
            assert_eq!(one.len(), pages.len(), "every page is some part of the image");
            assert_eq!(many.bytes.len() + many.tiles.len(), pages.len());
            assert!(few.bytes.len() + few.tiles.len() < pages.len());
            assert!(one.iter().all(|(key, page)| other[key] == 2 * page), "no page is mixed up");
            let found: std::collections::BTreeSet<_> = one.into_values().collect();
            assert!(found.into_iter().eq(pages), "no page of memory is bound twice");
        }
    }

    #[test]
    fn only_the_driver_s_own_data_is_bound_as_such() {
        for (_, layout) in layouts() {
            let all: Vec<_> = layout.all().map(|page| pending(page, 7, page * PAGE)).collect();
            let binds = Binds::new(image(), &layout, &all);
            let is_own = |bind: &&vk::SparseMemoryBind| !bind.flags.is_empty();
            let own: u64 = binds.bytes.iter().filter(is_own).map(|bind| bind.size / PAGE).sum();
            assert_eq!(own, layout.metadata().end - layout.metadata().start);
        }
    }

    #[test]
    fn binds_join_where_block_and_offset_follow() {
        let layout = Layout::whole(9 * PAGE + 100, PAGE);
        let none = |page| Pending { page, target: None };
        let list = [
            pending(0, 7, 0),
            pending(1, 7, PAGE),
            pending(2, 8, 2 * PAGE),
            pending(4, 8, 3 * PAGE),
            none(5),
            none(6),
            pending(7, 8, 5 * PAGE),
            pending(9, 8, 7 * PAGE),
        ];
        let binds = Binds::new(Resource::Buffer(vk::Buffer::null()), &layout, &list);
        let of = |bind: &vk::SparseMemoryBind| {
            (bind.resource_offset, bind.size, bind.memory.as_raw(), bind.memory_offset)
        };
        let found: Vec<_> = binds.bytes.iter().map(of).collect();
        let expected = [
            (0, 2 * PAGE, 7, 0),
            (2 * PAGE, PAGE, 8, 2 * PAGE),
            (4 * PAGE, PAGE, 8, 3 * PAGE),
            (5 * PAGE, 2 * PAGE, 0, 0),
            (7 * PAGE, PAGE, 8, 5 * PAGE),
            (9 * PAGE, 100, 8, 7 * PAGE),
        ];
        assert_eq!(found, expected);
    }
}
