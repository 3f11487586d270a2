//! Pointers that a pass shows: good until it ends, whatever others free beside them.

use super::allocator;
use super::misuse::{PERSISTENT, request};
use polder_device::defragment::{DefragmentError, Defragmentation, Move, Options};
use polder_device::sim::{Call, Memory, Preset, Sim};
use polder_device::{Access, Allocation, Allocator, Effort, Strategy, Wish};
use std::sync::Arc;

const KIB: u64 = 1 << 10;
/// More frees than a mapping that nobody uses outlives.
const FREES: usize = 40;
const FAST: Options = Options {
    effort: Effort::Fast,
    memory_type: None,
    bytes_per_pass_max: u64::MAX,
    moves_per_pass_max: u32::MAX,
};

/// Two blocks: in one 58 KiB that nobody maps, in the other 5 KiB that are mapped all their life,
/// and that fit into the first.
struct Scene {
    sim: Sim,
    allocator: Arc<Allocator<Sim>>,
    others: Vec<Allocation<Sim>>,
}

impl Scene {
    fn new() -> (Self, Allocation<Sim>) {
        let sim = Sim::preset(Preset::Lavapipe);
        let allocator = Arc::new(allocator(&sim));
        let make = |size, wish| allocator.allocate(&request(size, wish)).unwrap();
        let mut others: Vec<_> = (0..60).map(|_| make(KIB, Wish::of(Access::HostRandom))).collect();
        let mut own = make(5 * KIB, PERSISTENT);
        assert!(others.iter().all(|other| other.memory() != own.memory()));
        allocator.write(&mut own, 0, &[7; 5 << 10]).unwrap();
        others.split_off(58).into_iter().for_each(|other| allocator.free(other).unwrap());
        (Self { sim, allocator, others }, own)
    }

    fn make(&self) -> Allocation<Sim> {
        self.allocator.allocate(&request(KIB, Wish::of(Access::HostRandom))).unwrap()
    }

    /// Frees others' beside the target.
    fn free_beside_target(&mut self, one: &Move<Memory>) {
        for other in self.others.drain(..FREES) {
            assert_eq!(other.memory(), one.target.memory);
            self.allocator.free(other).unwrap();
        }
        self.allocator.check();
    }

    /// Allocates and frees beside the source, when the other block is full.
    fn free_beside_source(&mut self, one: &Move<Memory>) {
        let mut frees = 0;
        while frees < FREES {
            let other = self.make();
            if other.memory() == one.source.memory {
                self.allocator.free(other).unwrap();
                frees += 1;
            } else {
                self.others.push(other);
            }
        }
        self.allocator.check();
    }

    fn unmaps(&self) -> u64 {
        self.sim.calls(Call::Unmap)
    }

    fn end(self, own: Option<Allocation<Sim>>) {
        for allocation in self.others.into_iter().chain(own) {
            self.allocator.free(allocation).unwrap();
        }
        self.allocator.check();
        Arc::into_inner(self.allocator).unwrap().shutdown().unwrap();
        assert_eq!(self.sim.violations(), []);
    }
}

fn only_move(work: &mut Defragmentation<'_, Sim>) -> Move<Memory> {
    let [one] = *work.begin_pass().unwrap() else { panic!("one thing is to be moved") };
    assert!(one.source.pointer.is_some() && one.target.pointer.is_some());
    one
}

/// Copies as a host does: by both pointers.
fn copy(one: &Move<Memory>) {
    let [source, target] = [one.source, one.target].map(|place| place.pointer.unwrap().get());
    // SAFETY: Both are good while the pass is open; the target is reserved, and nobody else uses
    // either. They are in two blocks.
    unsafe { target.copy_from_nonoverlapping(source, one.size as usize) };
}

fn expect_bytes(allocator: &Allocator<Sim>, own: &Allocation<Sim>) {
    assert_eq!(allocator.info(own).unwrap().pointer, own.pointer());
    let mut bytes = [0; 5 << 10];
    allocator.read(own, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 5 << 10]);
}

#[test]
fn frees_beside_the_target_leave_it_mapped() {
    let (mut scene, mut own) = Scene::new();
    let allocator = scene.allocator.clone();
    let mut work = allocator.defragment(&FAST).unwrap();
    let one = only_move(&mut work);
    scene.free_beside_target(&one);
    assert_eq!(scene.unmaps(), 0, "the pass has shown a pointer there");
    copy(&one);
    work.copied(one.id, &mut own).unwrap();
    allocator.check();
    expect_bytes(&allocator, &own);
    work.end_pass().unwrap();
    drop(work);
    expect_bytes(&allocator, &own);
    drop(allocator);
    scene.end(Some(own));
}

#[test]
#[cfg_attr(miri, ignore = "minutes, and what is unsafe is in the test above")]
fn what_a_move_has_left_stays_mapped_until_the_pass_ends() {
    let (mut scene, mut own) = Scene::new();
    let allocator = scene.allocator.clone();
    let mut work = allocator.defragment(&FAST).unwrap();
    let one = only_move(&mut work);
    copy(&one);
    work.copied(one.id, &mut own).unwrap();
    scene.free_beside_source(&one);
    assert_eq!(scene.unmaps(), 0, "the pointer that it had is good");
    work.end_pass().unwrap();
    assert_eq!(work.begin_pass().unwrap().len(), 0);
    assert_eq!(work.stats().blocks_freed, 1);
    drop(work);
    expect_bytes(&allocator, &own);
    drop(allocator);
    scene.end(Some(own));
}

#[test]
#[cfg_attr(miri, ignore = "minutes, and what is unsafe is in the test above")]
fn what_is_freed_on_its_way_stays_mapped_until_the_pass_ends() {
    for by_answer in [false, true] {
        let (mut scene, own) = Scene::new();
        let allocator = scene.allocator.clone();
        let mut work = allocator.defragment(&FAST).unwrap();
        let one = only_move(&mut work);
        if by_answer {
            work.destroy(one.id, own).unwrap();
        } else {
            allocator.free(own).unwrap();
        }
        allocator.check();
        scene.free_beside_source(&one);
        scene.free_beside_target(&one);
        assert_eq!(scene.unmaps(), 0, "a copy may be under way");
        copy(&one);
        work.end_pass().unwrap();
        drop(work);
        drop(allocator);
        scene.end(None);
    }
}

#[test]
#[cfg_attr(miri, ignore = "minutes, and what is unsafe is in the test above")]
fn what_is_freed_at_its_target_needs_no_mapping_there() {
    let (mut scene, mut own) = Scene::new();
    let allocator = scene.allocator.clone();
    let mut work = allocator.defragment(&FAST).unwrap();
    let one = only_move(&mut work);
    work.copied(one.id, &mut own).unwrap();
    allocator.free(own).unwrap();
    allocator.check();
    scene.free_beside_source(&one);
    assert_eq!(scene.unmaps(), 0, "the place that it has left is still shown");
    scene.free_beside_target(&one);
    assert_eq!(scene.unmaps(), 1, "nobody has a pointer to the other");
    work.end_pass().unwrap();
    drop(work);
    drop(allocator);
    scene.end(None);
}

#[test]
#[cfg_attr(miri, ignore = "minutes, and what is unsafe is in the test above")]
fn a_move_without_an_answer_leaves_no_map_behind() {
    for ends in [true, false] {
        let (mut scene, own) = Scene::new();
        let allocator = scene.allocator.clone();
        let mut work = allocator.defragment(&FAST).unwrap();
        let one = only_move(&mut work);
        if ends {
            work.end_pass().unwrap();
        }
        drop(work);
        allocator.check();
        expect_bytes(&allocator, &own);
        scene.free_beside_target(&one);
        assert_eq!(scene.unmaps(), 1, "the target is nobody's");
        drop(allocator);
        scene.end(Some(own));
    }
}

/// The user's own map is no part of what a pass keeps, and goes with the free.
#[test]
#[cfg_attr(miri, ignore = "minutes, and what is unsafe is in the test above")]
fn a_map_by_the_owner_ends_with_the_allocation() {
    let (mut scene, mut own) = Scene::new();
    let allocator = scene.allocator.clone();
    let mut work = allocator.defragment(&FAST).unwrap();
    let one = only_move(&mut work);
    allocator.map(&own).unwrap();
    let mapped = DefragmentError::Mapped { id: own.id() };
    assert_eq!(work.copied(one.id, &mut own), Err(mapped));
    allocator.check();
    allocator.free(own).unwrap();
    allocator.check();
    scene.free_beside_source(&one);
    assert_eq!(scene.unmaps(), 0, "the place itself is still kept");
    work.end_pass().unwrap();
    drop(work);
    drop(allocator);
    scene.end(None);
}

/// One of two fits, so neither moves.
#[test]
#[cfg_attr(miri, ignore = "minutes, and what is unsafe is in the test above")]
fn a_move_that_is_taken_back_leaves_no_map_behind() {
    let sim = Sim::preset(Preset::Lavapipe);
    let allocator = allocator(&sim);
    let make = |size, wish| allocator.allocate(&request(size, wish)).unwrap();
    let others: Vec<_> = (0..64).map(|_| make(KIB, Wish::of(Access::HostRandom))).collect();
    let own = [5 * KIB, 3 * KIB].map(|size| make(size, PERSISTENT));
    let mut live = Vec::new();
    for (number, other) in others.into_iter().enumerate() {
        if matches!(number, 0..5 | 10..12 | 20) {
            allocator.free(other).unwrap();
        } else {
            live.push(other);
        }
    }
    let maps = sim.calls(Call::Map);
    let mut work = allocator.defragment(&FAST).unwrap();
    assert_eq!(work.begin_pass().unwrap().len(), 0);
    assert_eq!(sim.calls(Call::Map), maps + 1, "one was about to move");
    allocator.check();
    drop(work);
    for allocation in live.into_iter().chain(own) {
        allocator.free(allocation).unwrap();
        allocator.check();
    }
    allocator.shutdown().unwrap();
    assert_eq!(sim.violations(), []);
}
