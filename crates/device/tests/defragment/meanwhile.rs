//! Others allocate, free and trim between all steps of a pass, and while moves are looked for.

use super::misuse::request;
use super::{EFFORTS, allocator, granular, random};
use polder_device::defragment::{DefragmentError, Defragmentation, Move, Options};
use polder_device::sim::{Memory, Preset, Sim};
use polder_device::{
    Access, Allocation, AllocationId, Allocator, Mapping, Placement, Strategy, Tiling, Wish,
};
use std::collections::{HashMap, HashSet};

/// Each allocation holds its number in every byte, as far as the host sees it.
struct World<'a, R> {
    allocator: &'a Allocator<Sim>,
    live: HashMap<AllocationId, (Allocation<Sim>, u8)>,
    order: Vec<AllocationId>,
    /// What somebody has mapped.
    mapped: HashSet<AllocationId>,
    number: u8,
    random: R,
}

impl<R: FnMut() -> u64> World<'_, R> {
    fn allocate(&mut self, placement: Placement) {
        let random = &mut self.random;
        // Most are small, so that the lock is let go amid a block; what is mapped all its life is
        // rare, so that blocks lose their mapping now and then.
        let is_large = random().is_multiple_of(64);
        let size_max = if is_large { 12_000 } else { 400 };
        let mapping = if is_large { Mapping::Persistent } else { Mapping::Counted };
        let wish = Wish { mapping, placement, ..Wish::of(Access::HostRandom) };
        let mut request = request(1 + random() % size_max, wish);
        if random().is_multiple_of(4) {
            request.tiling = Tiling::Optimal;
        }
        let mut allocation = self.allocator.allocate(&request).unwrap();
        self.number = self.number.wrapping_add(1);
        let bytes = vec![self.number; allocation.size() as usize];
        self.allocator.write(&mut allocation, 0, &bytes).unwrap();
        self.order.push(allocation.id());
        self.live.insert(allocation.id(), (allocation, self.number));
    }

    fn expect_bytes(&self, allocation: &Allocation<Sim>, number: u8) {
        let mut bytes = vec![0; allocation.size() as usize];
        self.allocator.read(allocation, 0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|&byte| byte == number), "nobody else wrote there");
        let known = self.allocator.info(allocation).unwrap();
        assert_eq!((known.memory, known.offset), (allocation.memory(), allocation.offset()));
        if let Some(pointer) = allocation.pointer() {
            assert_eq!(known.pointer, Some(pointer), "its pointer is good");
        }
    }

    /// Frees without a look at the bytes, which would map the block again.
    fn free(&mut self) {
        if !self.order.is_empty() {
            let at = (self.random)() as usize % self.order.len();
            self.free_at(at);
        }
    }

    fn free_at(&mut self, at: usize) {
        let (allocation, _) = self.live.remove(&self.order.swap_remove(at)).unwrap();
        self.mapped.remove(&allocation.id());
        self.allocator.free(allocation).unwrap();
    }

    /// Frees so many in one block that its mapping ends, if nobody has a use for it.
    fn free_in(&mut self, memory: Memory) {
        for _ in 0..40 {
            let is_there = |id: &AllocationId| self.live[id].0.memory() == memory;
            let Some(at) = self.order.iter().position(is_there) else { break };
            self.free_at(at);
        }
        self.allocator.check();
    }

    /// Maps something, or unmaps what is mapped.
    fn map(&mut self) {
        let at = (self.random)() as usize % self.order.len().max(1);
        match self.order.get(at) {
            Some(&id) if self.mapped.len() < 4 => {
                if self.mapped.insert(id) {
                    self.allocator.map(&self.live[&id].0).unwrap();
                }
            }
            _ => {
                for id in self.mapped.drain() {
                    self.allocator.unmap(&self.live[&id].0).unwrap();
                }
            }
        }
    }

    /// What another thread may do at any moment.
    fn meddle(&mut self) {
        let count = (self.random)() as usize % 128;
        match (self.random)() % 32 {
            0 => self.start_afresh(),
            1..8 => (0..2 * count).for_each(|_| self.free()),
            8..24 => (0..count).for_each(|_| self.allocate(Placement::Auto)),
            _ => self.map(),
        }
        self.allocator.check();
    }

    /// Slots and numbers of blocks come back for what is nothing like that which had them.
    fn start_afresh(&mut self) {
        (0..self.order.len()).for_each(|_| self.free());
        self.allocator.trim();
        (0..16).for_each(|_| self.allocate(Placement::Dedicated));
        (0..400).for_each(|_| self.allocate(Placement::Auto));
    }

    fn check_bytes(&self) {
        for (allocation, number) in self.live.values() {
            self.expect_bytes(allocation, *number);
        }
    }

    /// Answers a move in one of many ways, if what moves still lives.
    fn answer(&mut self, work: &mut Defragmentation<'_, Sim>, one: &Move<Memory>) {
        let choice = (self.random)() % 16;
        if let (Some(source), Some(target)) = (one.source.pointer, one.target.pointer) {
            // SAFETY: Both are good until the pass ends, also when the allocation was freed: the
            // one is kept and the other reserved, and nobody else writes there.
            unsafe { target.get().copy_from_nonoverlapping(source.get(), one.size as usize) };
        }
        let Some((mut allocation, number)) = self.live.remove(&one.allocation) else { return };
        match choice {
            0 => work.ignore(one.id).unwrap(),
            1 => {}
            2 => {
                self.mapped.remove(&one.allocation);
                self.order.retain(|&id| id != one.allocation);
                return work.destroy(one.id, allocation).unwrap();
            }
            _ if self.mapped.contains(&one.allocation) => {
                let mapped = DefragmentError::Mapped { id: one.allocation };
                assert_eq!(work.copied(one.id, &mut allocation), Err(mapped));
            }
            _ => {
                work.copied(one.id, &mut allocation).unwrap();
                if one.target.pointer.is_none() {
                    let bytes = vec![number; one.size as usize];
                    self.allocator.write(&mut allocation, 0, &bytes).unwrap();
                }
            }
        }
        self.expect_bytes(&allocation, number);
        self.live.insert(one.allocation, (allocation, number));
    }

    fn defragment(&mut self, options: &Options, passes: u32) {
        let mut work = self.allocator.defragment(options).unwrap();
        for pass in 0..passes {
            let look = || {
                self.meddle();
                true
            };
            let moves = work.begin_pass_while(look).unwrap().to_vec();
            self.meddle();
            for one in &moves {
                if one.target.pointer.is_some() && (self.random)().is_multiple_of(2) {
                    self.free_in(one.target.memory);
                }
                self.answer(&mut work, one);
                if (self.random)().is_multiple_of(8) {
                    self.meddle();
                }
            }
            self.meddle();
            if moves.is_empty() {
                assert!(work.is_done());
                break;
            }
            // The last one ends with the defragmentation.
            if pass + 1 < passes {
                work.end_pass().unwrap();
                self.allocator.check();
            }
        }
        drop(work);
        self.allocator.check();
    }
}

/// Whatever happens in between, every byte is where its owner finds it.
#[test]
#[cfg_attr(miri, ignore = "thousands of allocations")]
fn others_may_do_anything_between_the_steps() {
    let (seeds, count, passes) = (12, 1000, 12);
    for seed in 0..seeds {
        let sim = if seed % 2 == 0 { Sim::preset(Preset::Lavapipe) } else { granular() };
        let allocator = allocator(&sim);
        let mut world = World {
            allocator: &allocator,
            live: HashMap::new(),
            order: Vec::new(),
            mapped: HashSet::new(),
            number: 0,
            random: random(seed + 1),
        };
        (0..count).for_each(|_| world.allocate(Placement::Auto));
        for effort in EFFORTS {
            (0..count / 3).for_each(|_| world.free());
            let options = Options {
                effort,
                memory_type: None,
                bytes_per_pass_max: 1 << (10 + (world.random)() % 10),
                moves_per_pass_max: 1 << ((world.random)() % 12),
            };
            world.defragment(&options, passes);
            world.check_bytes();
            (0..count / 4).for_each(|_| world.allocate(Placement::Auto));
        }
        while !world.order.is_empty() {
            world.free();
        }
        allocator.shutdown().unwrap();
        assert_eq!((sim.live().blocks, sim.violations().len()), (0, 0), "seed {seed}");
    }
}
