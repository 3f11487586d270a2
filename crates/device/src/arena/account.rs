//! What an arena can tell of itself: its blocks, its leaks.

use super::block::Contents;
use super::entry::Entry;
use super::notes::Note;
use super::state::State;
use super::{Arena, Session};
use crate::device::Device;
use crate::division::{Division, Region};
use crate::snapshot::{AllocationSnapshot, BlockSnapshot, Leak, RegionSnapshot};
use polder_core::stats::{DetailedStats, Sizes};
use polder_core::table::Key;
use std::collections::HashMap;

impl<D: Device, V: Division> Arena<D, V> {
    /// Shows every block.
    pub fn snapshot(&self) -> Vec<BlockSnapshot> {
        self.with(|session| {
            session.blocks().map(|block| self.block_snapshot(session, block)).collect()
        })
    }

    fn block_snapshot(&self, session: &Session<'_, D, V>, index: u32) -> BlockSnapshot {
        let block = session.block(index);
        let size = block.grant.size;
        let mut shot = BlockSnapshot {
            arena: self.config.index,
            size,
            used: 0,
            allocations: 0,
            largest_free: 0,
            dedicated: matches!(block.contents, Contents::Dedicated { .. }),
            maps: block.maps,
            regions: Vec::new(),
        };
        let mut visit = |region: Region| {
            let Region { offset, size, .. } = region;
            let slot = session.slot_at(index, &region);
            let allocation = slot.map(|slot| session.allocation_snapshot(slot));
            shot.used += allocation.as_ref().map_or(0, |allocation| allocation.size);
            shot.allocations += u32::from(allocation.is_some());
            shot.regions.push(RegionSnapshot { offset, size, allocation });
        };
        match &block.contents {
            Contents::Shared { division } => {
                division.walk(&mut |region| session.watch.part(region, &mut visit));
                shot.largest_free = division.largest_free();
            }
            &Contents::Dedicated { slot } => visit(Region { offset: 0, size, slot: Some(slot) }),
        }
        shot
    }

    /// Returns the figures of every block, allocation and free region; looks at each of them.
    pub fn detailed_stats(&self) -> DetailedStats {
        self.with(|session| {
            let mut stats = DetailedStats::default();
            for index in session.blocks() {
                let block = session.block(index);
                stats.blocks.push(block.grant.size);
                match &block.contents {
                    Contents::Shared { division } => {
                        stats += session.tally(index, division);
                    }
                    &Contents::Dedicated { slot } => {
                        stats.allocations.push(session.entry(slot).size);
                    }
                }
            }
            stats
        })
    }

    /// Returns what is still allocated.
    pub fn leaks(&self) -> Vec<Leak> {
        self.with(|session| session.live_keys().map(|key| self.leak(session, key)).collect())
    }

    fn leak(&self, session: &Session<'_, D, V>, key: Key) -> Leak {
        let (Entry { size, .. }, ..) = session.locate(key.slot);
        let note = session.note_of(key.slot);
        let name = note.and_then(|note| note.name.as_deref()).map(String::from);
        let backtrace = note.and_then(|note| note.backtrace.as_ref()).map(ToString::to_string);
        let (id, memory_type) = (self.id(key), self.config.memory_type);
        Leak { id, name, size, memory_type, backtrace }
    }

    /// Verifies the invariants of the [module](super) and of every division; for tests.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    pub fn check(&self) {
        self.with(|session| session.check(session.live_keys().map(|key| key.slot)));
    }
}

impl<D: Device, V: Division> State<D, V> {
    /// Whose a region of a block is. What an open pass keeps is nobody's.
    pub(super) fn slot_at(&self, block: u32, region: &Region) -> Option<u32> {
        region.slot.filter(|&slot| self.is_at(slot, block, region.offset))
    }

    /// The figures of a block's allocations and free regions.
    pub(super) fn tally(&self, block: u32, division: &V) -> DetailedStats {
        let is_plain = V::EXACT && self.moves.len() == 0 && self.watch.margin == 0;
        // By whether a region is used: which it is nobody can guess, and a branch would cost more
        // than all the rest.
        let mut sizes = [Sizes::NONE; 2];
        division.walk(&mut |region| {
            if is_plain {
                sizes[usize::from(region.slot.is_some())].push(region.size);
                return;
            }
            self.watch.part(region, &mut |region| match self.slot_at(block, &region) {
                Some(slot) => sizes[1].push(self.entry(slot).size),
                None => sizes[0].push(region.size),
            });
        });
        let [free_regions, allocations] = sizes;
        DetailedStats { allocations, free_regions, ..DetailedStats::default() }
    }

    fn allocation_snapshot(&self, slot: u32) -> AllocationSnapshot {
        let (Entry { size, tiling, .. }, ..) = self.locate(slot);
        let name = self.note_of(slot).and_then(|note: &Note| note.name.as_deref());
        AllocationSnapshot { slot, size, tiling, name: name.map(String::from) }
    }

    /// Returns the size of the largest free region of any shared block.
    pub fn largest_free(&self) -> u64 {
        let largest = self.blocks().filter_map(|index| match &self.block(index).contents {
            Contents::Shared { division } => Some(division.largest_free()),
            Contents::Dedicated { .. } => None,
        });
        largest.max().unwrap_or(0)
    }

    fn check(&self, live: impl Iterator<Item = u32>) {
        let (mut used, mut count, mut shared) = (0, 0, 0);
        let mut maps = HashMap::<u32, u32>::new();
        for (block, kept) in self.moves.kept() {
            *maps.entry(block).or_default() += kept;
            shared += 1;
        }
        for slot in live {
            let (entry, ..) = self.locate(slot);
            let is_shared = self.is_shared(slot);
            let end = entry.offset + entry.size + if is_shared { self.watch.margin } else { 0 };
            assert!(end <= self.block(entry.block).grant.size, "invariant 1");
            used += entry.size;
            count += 1;
            shared += u32::from(is_shared);
            *maps.entry(entry.block).or_default() += entry.maps;
        }
        assert_eq!((used, count), (self.used(), self.count()), "invariant 5");
        let blocks: Vec<_> = self.blocks().map(|index| self.block(index)).collect();
        assert_eq!(blocks.iter().map(|block| block.grant.size).sum::<u64>(), self.held());
        for index in self.blocks() {
            let block = self.block(index);
            assert_eq!(block.maps, maps.get(&index).copied().unwrap_or(0), "invariant 4");
            assert!(block.maps == 0 || block.pointer.is_some(), "invariant 4");
        }
        let divisions = blocks.iter().filter_map(|block| match &block.contents {
            Contents::Shared { division } => Some(division),
            Contents::Dedicated { .. } => None,
        });
        let divisions: Vec<_> = divisions.collect();
        let parts: u32 = divisions.iter().map(|division| division.count()).sum();
        assert_eq!(parts, shared, "invariant 7");
        assert!(divisions.iter().all(|one| one.check() == Ok(())), "its own invariants");
        self.check_shelves();
    }
}
