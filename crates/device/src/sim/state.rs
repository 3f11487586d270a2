//! What a software device holds, and the rules of its blocks.
//!
//! Every function checks all it needs before it changes anything, and returns the broken rule.
//!
//! # Invariants
//!
//! 1. A heap's `held` on a device is the sum of the sizes of its blocks with an instance there.
//! 2. A resource that says it is bound stands in its block's `bound` at its offset, and a block's
//!    `bound` names only resources that live.

use super::failure::{Call, Failures};
use super::handle::{Memory, Slots};
use super::layout::Layout;
use super::memory::{Quiet, Store};
use super::resources::Made;
use super::rule::{Refusal, Rule, Violation, require};
use super::{BlockInfo, Live, SimOrder, SimResource};
use crate::device::{
    DeviceError, HeapBudget, MappedRange, MemoryProperties, MemoryType, Order, Tiling, mask_of_all,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;

/// Most violations that are kept; the first ones tell the most.
const VIOLATIONS_MAX: usize = 1000;

/// Everything that changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) failures: Failures,
    pub(super) violations: Vec<Violation>,
    /// Of each heap; for each device of a group, where each has its own.
    pub(super) heaps: Vec<Vec<HeapState>>,
    pub(super) blocks: Slots<Block>,
    pub(super) buffers: Slots<Record>,
    pub(super) images: Slots<Record>,
}

/// One heap, or one device's own of it. Bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct HeapState {
    /// In blocks.
    pub(super) held: u64,
    /// What other processes use.
    pub(super) other_usage: u64,
    /// What the driver says that it grants, if a user made it say so.
    pub(super) budget: Option<u64>,
}

/// One block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) info: BlockInfo,
    /// What the device sees.
    pub(super) device: Store,
    /// What the host sees, where it needs flush and invalidate to see the same.
    host: Option<Store>,
    /// The resources in it by their offset.
    pub(super) bound: BTreeMap<u64, Bound>,
    /// How many resources lie in it wherever others do.
    pub(super) aliases: u64,
}

/// A resource's place in its block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) end: u64,
    pub(super) tiling: Tiling,
}

/// A buffer or an image.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) made: Made,
    /// Its block and where in it, once it is bound.
    pub(super) place: Option<(Memory, u64)>,
    pub(super) is_alias: bool,
}

/// Which way bytes go between the host's view and the device's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Flush,
    Invalidate,
}

impl State {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            failures: Failures::default(),
            violations: Vec::new(),
            heaps: (0..layout.properties.heaps.len() as u32)
                .map(|heap| layout.properties.group.instances(heap) as usize)
                .map(|instances| vec![HeapState::default(); instances])
                .collect(),
            blocks: Slots::default(),
            buffers: Slots::default(),
            images: Slots::default(),
        }
    }

    /// Makes the device's error of a refusal, and remembers a broken rule.
    pub(super) fn report(&mut self, call: Call, refusal: Refusal) -> DeviceError {
        match refusal {
            Refusal::Failed(error) => error,
            Refusal::Broken(rule, values) => {
                if self.violations.len() < VIOLATIONS_MAX {
                    self.violations.push(Violation { call, rule, values });
                }
                DeviceError::Invalid { rule: rule.text() }
            }
        }
    }

    pub(super) fn live(&self) -> Live {
        Live {
            blocks: self.blocks.len(),
            buffers: self.buffers.len(),
            images: self.images.len(),
            mapped: self.blocks.iter().filter(|block| block.info.mapped).count() as u64,
        }
    }

    /// What is granted of each heap on a device of the group.
    pub(super) fn budgets(&self, layout: &Layout, device: u32) -> Vec<HeapBudget> {
        let heaps = self.heaps.iter().zip(&layout.properties.heaps);
        heaps
            .map(|(states, heap)| {
                let state = &states[(device as usize).min(states.len() - 1)];
                HeapBudget {
                    budget: state.budget.unwrap_or(heap.size.saturating_sub(state.other_usage)),
                    usage: state.held,
                }
            })
            .collect()
    }

    /// The states of a heap that a block with such a mask changes.
    fn instances(&mut self, heap: u32, mask: u32) -> impl Iterator<Item = &mut HeapState> {
        let states = &mut self.heaps[heap as usize];
        let is_alone = states.len() == 1;
        let has_instance = move |device: u32| is_alone || mask == 0 || mask >> device & 1 == 1;
        (0..).zip(states).filter(move |&(device, _)| has_instance(device)).map(|(_, state)| state)
    }

    /// Gives a block.
    pub(super) fn allocate(
        &mut self,
        layout: &Layout,
        order: &SimOrder,
    ) -> Result<Memory, Refusal> {
        let memory_type = self.check_order(layout, order)?;
        self.check_room(layout, order, memory_type.heap)?;
        let block = Block::new(layout, order, memory_type)?;
        self.instances(memory_type.heap, order.device_mask)
            .for_each(|state| state.held += order.size);
        Ok(Memory(self.blocks.insert(block)))
    }

    fn check_order(&self, layout: &Layout, order: &SimOrder) -> Result<MemoryType, Refusal> {
        let &Order { size, memory_type: number, priority, .. } = order;
        let properties = &layout.properties;
        let (size_max, types) = (properties.limits.block_size_max, &properties.memory_types);
        require(size > 0, Rule::BlockNotEmpty, &[])?;
        let memory_type = types.get(number as usize).copied();
        let known = memory_type.ok_or_else(|| {
            Refusal::Broken(Rule::MemoryTypeNumber, vec![("memory type", number.into())])
        })?;
        let heap_size = properties.heaps[known.heap as usize].size;
        require(size <= size_max, Rule::BlockSize, &[("size", size), ("most", size_max)])?;
        require(size <= heap_size, Rule::HeapSize, &[("size", size), ("heap size", heap_size)])?;
        let group = properties.group;
        let devices = [("mask", order.device_mask.into()), ("devices", group.devices.into())];
        require(group.has(order.device_mask), Rule::DeviceMask, &devices)?;
        let percent = (priority * 100.0) as u64;
        require((0.0..=1.0).contains(&priority), Rule::Priority, &[("percent", percent)])?;
        if let Some(resource) = order.dedicated {
            let needed = self.record(resource)?.made.requirements.size;
            require(size == needed, Rule::DedicatedSize, &[("size", size), ("needed", needed)])?;
        }
        Ok(known)
    }

    fn check_room(
        &mut self,
        layout: &Layout,
        order: &SimOrder,
        heap: u32,
    ) -> Result<(), DeviceError> {
        if self.blocks.len() >= layout.properties.limits.block_count_max {
            return Err(DeviceError::TooManyBlocks);
        }
        let heap_size = layout.properties.heaps[heap as usize].size;
        let mut instances = self.instances(heap, order.device_mask);
        let is_full = instances.any(|state| {
            let taken = state.held.saturating_add(state.other_usage);
            taken.saturating_add(order.size) > heap_size
        });
        if is_full { Err(DeviceError::OutOfDeviceMemory) } else { Ok(()) }
    }

    /// Takes a block back.
    pub(super) fn free(&mut self, layout: &Layout, memory: Memory) -> Result<(), Refusal> {
        let block = self.block(memory)?;
        let bound = block.bound.len() as u64 + block.aliases;
        require(bound == 0, Rule::FreeWhileBound, &[("resources", bound)])?;
        let block = self.blocks.remove(memory.0).expect("the block was found above");
        let heap = layout.properties.memory_types[block.info.memory_type as usize].heap;
        let BlockInfo { size, device_mask, .. } = block.info;
        self.instances(heap, device_mask).for_each(|state| state.held -= size);
        Ok(())
    }

    /// Maps a block.
    pub(super) fn map(&mut self, layout: &Layout, memory: Memory) -> Result<NonNull<u8>, Refusal> {
        let block = self.block_mut(memory)?;
        let number = block.info.memory_type;
        let properties = layout.properties.memory_types[number as usize].properties;
        let visible = properties.contains(MemoryProperties::HOST_VISIBLE);
        require(visible, Rule::HostVisible, &[("memory type", number.into())])?;
        let instances = block.info.device_mask.count_ones().max(1);
        let count = [("instances", instances.into())];
        require(instances == 1, Rule::MappedInstance, &count)?;
        require(!block.info.mapped, Rule::MappedOnce, &memory.0.values())?;
        block.info.mapped = true;
        Ok(block.host.as_ref().unwrap_or(&block.device).pointer())
    }

    /// Ends a mapping.
    pub(super) fn unmap(&mut self, memory: Memory) -> Result<(), Refusal> {
        let block = self.block_mut(memory)?;
        require(block.info.mapped, Rule::Mapped, &memory.0.values())?;
        block.info.mapped = false;
        Ok(())
    }

    /// Makes the two views of all ranges equal, or of none.
    pub(super) fn synchronise(
        &self,
        layout: &Layout,
        ranges: &[MappedRange<Memory>],
        direction: Direction,
        quiet: Quiet,
    ) -> Result<(), Refusal> {
        for MappedRange { memory, range } in ranges {
            self.check_range(layout, *memory, range)?;
        }
        for MappedRange { memory, range } in ranges {
            self.block(*memory)?.synchronise(range, direction, quiet);
        }
        Ok(())
    }

    fn check_range(
        &self,
        layout: &Layout,
        memory: Memory,
        range: &Range<u64>,
    ) -> Result<(), Refusal> {
        let BlockInfo { size, mapped, .. } = self.block(memory)?.info;
        let atom = layout.properties.limits.non_coherent_atom_size;
        let values = [("begin", range.start), ("end", range.end), ("size", size), ("atom", atom)];
        let is_inside = !range.is_empty() && range.end <= size;
        let is_whole = range.end.is_multiple_of(atom) || range.end == size;
        require(mapped, Rule::Mapped, &values)?;
        require(is_inside, Rule::MappedRange, &values)?;
        require(range.start.is_multiple_of(atom) && is_whole, Rule::Atom, &values)
    }

    /// Finds a block.
    pub(super) fn block(&self, memory: Memory) -> Result<&Block, Refusal> {
        self.blocks.get(memory.0).ok_or_else(|| missing(memory))
    }

    /// Finds a block to change it.
    pub(super) fn block_mut(&mut self, memory: Memory) -> Result<&mut Block, Refusal> {
        self.blocks.get_mut(memory.0).ok_or_else(|| missing(memory))
    }

    /// Finds a buffer or an image.
    pub(super) fn record(&self, resource: SimResource) -> Result<&Record, Refusal> {
        let (found, rule, key) = match resource {
            SimResource::Buffer(buffer) => (self.buffers.get(buffer.0), Rule::LiveBuffer, buffer.0),
            SimResource::Image(image) => (self.images.get(image.0), Rule::LiveImage, image.0),
        };
        found.ok_or_else(|| Refusal::Broken(rule, key.values().to_vec()))
    }
}

fn missing(memory: Memory) -> Refusal {
    Refusal::Broken(Rule::LiveMemory, memory.0.values().to_vec())
}

impl Block {
    fn new(layout: &Layout, order: &SimOrder, kind: MemoryType) -> Result<Self, DeviceError> {
        let MemoryType { properties, heap } = kind;
        let &Order { size, memory_type, priority, device_address, dedicated, extra, .. } = order;
        let device_mask = match layout.properties.group.instances(heap) {
            1 => 0,
            devices if order.device_mask == 0 => mask_of_all(devices),
            _ => order.device_mask,
        };
        let take = || {
            let align = layout.properties.limits.map_align_min;
            Store::new(size, align).ok_or(DeviceError::OutOfHostMemory)
        };
        let has_two_views = properties.contains(MemoryProperties::HOST_VISIBLE)
            && !properties.contains(MemoryProperties::HOST_COHERENT);
        let host = if has_two_views { Some(take()?) } else { None };
        let info = BlockInfo {
            size,
            memory_type,
            priority,
            device_address,
            dedicated,
            extra,
            device_mask,
            mapped: false,
        };
        Ok(Self { info, device: take()?, host, bound: BTreeMap::new(), aliases: 0 })
    }

    fn synchronise(&self, range: &Range<u64>, direction: Direction, quiet: Quiet) {
        let Some(host) = &self.host else { return };
        match direction {
            Direction::Flush => self.device.copy_same(host, range, quiet),
            Direction::Invalidate => host.copy_same(&self.device, range, quiet),
        }
    }
}
