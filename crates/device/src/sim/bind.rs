//! The rules of resources: how they come, where in a block they may lie, how they go.

use super::SimResource;
use super::handle::{Buffer, Image, Memory};
use super::layout::Layout;
use super::resources::{BufferInfo, ImageInfo, make_buffer, make_image};
use super::rule::{Refusal, Rule, require};
use super::state::{Block, Bound, Record, State};
use crate::device::DedicatedWish;

/// Where a resource is to be bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    pub(super) resource: SimResource,
    pub(super) memory: Memory,
    pub(super) offset: u64,
    /// Whether others lie there too, as the user knows.
    pub(super) is_alias: bool,
}

impl State {
    /// Makes a buffer without memory.
    pub(super) fn create_buffer(
        &mut self,
        layout: &Layout,
        info: &BufferInfo,
    ) -> Result<Buffer, Refusal> {
        let made = make_buffer(layout, info)?;
        Ok(Buffer(self.buffers.insert(Record { made, place: None, is_alias: false })))
    }

    /// Makes an image without memory.
    pub(super) fn create_image(
        &mut self,
        layout: &Layout,
        info: &ImageInfo,
    ) -> Result<Image, Refusal> {
        let made = make_image(layout, info)?;
        Ok(Image(self.images.insert(Record { made, place: None, is_alias: false })))
    }

    /// Binds a resource.
    pub(super) fn bind(&mut self, layout: &Layout, binding: Binding) -> Result<(), Refusal> {
        let Binding { resource, memory, offset, is_alias } = binding;
        let record = self.record(resource)?;
        let block = self.block(memory)?;
        let bound_before = u64::from(record.place.is_some());
        require(bound_before == 0, Rule::BoundOnce, &[("offset", offset)])?;
        check_place(record, block, offset)?;
        check_dedicated(record, block, &binding)?;
        let bound =
            Bound { end: offset + record.made.requirements.size, tiling: record.made.tiling };
        if is_alias {
            self.block_mut(memory)?.aliases += 1;
        } else {
            check_neighbours(block, offset, bound, layout.properties.limits.granularity)?;
            self.block_mut(memory)?.bound.insert(offset, bound);
        }
        let record = self.record_mut(resource);
        (record.place, record.is_alias) = (Some((memory, offset)), is_alias);
        Ok(())
    }

    /// Destroys a resource.
    pub(super) fn destroy(&mut self, resource: SimResource) -> Result<(), Refusal> {
        let Record { place, is_alias, .. } = *self.record(resource)?;
        match place {
            Some((memory, _)) if is_alias => self.block_mut(memory)?.aliases -= 1,
            Some((memory, offset)) => drop(self.block_mut(memory)?.bound.remove(&offset)),
            None => {}
        }
        match resource {
            SimResource::Buffer(buffer) => drop(self.buffers.remove(buffer.0)),
            SimResource::Image(image) => drop(self.images.remove(image.0)),
        }
        Ok(())
    }

    fn record_mut(&mut self, resource: SimResource) -> &mut Record {
        let found = match resource {
            SimResource::Buffer(buffer) => self.buffers.get_mut(buffer.0),
            SimResource::Image(image) => self.images.get_mut(image.0),
        };
        found.expect("the resource was found before")
    }
}

/// Verifies what the resource's requirements say.
fn check_place(record: &Record, block: &Block, offset: u64) -> Result<(), Refusal> {
    let requirements = &record.made.requirements;
    let (size, align) = (requirements.size, requirements.align);
    let number = block.info.memory_type;
    let allowed = requirements.memory_types >> number & 1 == 1;
    let types = u64::from(requirements.memory_types);
    let type_values = [("memory type", number.into()), ("allowed", types)];
    require(allowed, Rule::BindMemoryType, &type_values)?;
    let align_values = [("offset", offset), ("align", align)];
    require(offset.is_multiple_of(align), Rule::BindAlign, &align_values)?;
    let is_inside = offset.checked_add(size).is_some_and(|end| end <= block.info.size);
    let range_values = [("offset", offset), ("size", size), ("block size", block.info.size)];
    require(is_inside, Rule::BindRange, &range_values)?;
    let address_kept = !record.made.device_address || block.info.device_address;
    require(address_kept, Rule::DeviceAddress, &align_values)
}

/// Verifies that who must be alone is, and that a dedicated block takes its own resource.
fn check_dedicated(record: &Record, block: &Block, binding: &Binding) -> Result<(), Refusal> {
    let values = [("offset", binding.offset)];
    match block.info.dedicated {
        Some(own) => {
            let is_own = own == binding.resource && binding.offset == 0;
            require(is_own, Rule::DedicatedAlone, &values)
        }
        None => {
            let may_share = record.made.requirements.dedicated != DedicatedWish::Required;
            require(may_share, Rule::DedicatedRequired, &values)
        }
    }
}

/// Verifies that the resource shares nothing with those before and behind it.
///
/// The nearest ones are enough: they do not overlap others, and whatever shares a page with one
/// of them has its tiling.
fn check_neighbours(
    block: &Block,
    offset: u64,
    bound: Bound,
    granularity: u64,
) -> Result<(), Refusal> {
    let before = block.bound.range(..=offset).next_back();
    let after = block.bound.range(offset + 1..).next();
    for (&begin, other) in before.into_iter().chain(after) {
        let values =
            [("offset", offset), ("end", bound.end), ("other", begin), ("other's end", other.end)];
        require(bound.end <= begin || other.end <= offset, Rule::Overlap, &values)?;
        let page = |byte: u64| byte / granularity;
        let is_apart = page(bound.end - 1) < page(begin) || page(other.end - 1) < page(offset);
        require(bound.tiling == other.tiling || is_apart, Rule::Granularity, &values)?;
    }
    Ok(())
}
