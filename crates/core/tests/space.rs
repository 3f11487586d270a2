//! A space against its naive model: random, exhaustive at small sizes, and at its edges.

mod model;

use model::{Growing, Pair, space, space_of};
use polder_core::space::{
    Aligned, Candidate, Fit, Record, RegionId, Request, ResizeError, Space, SpaceError, Strategy,
};
use polder_core::store::{Lent, Store};
use proptest::prelude::*;

const ALL: [Strategy; 4] =
    [Strategy::Quick, Strategy::Tight, Strategy::LowestOffset, Strategy::UpperAddress];

fn request(size: u64, align: u64) -> Request {
    Request { size, align, strategy: Strategy::Quick, tag: 0 }
}

#[derive(Clone, Debug)]
enum Action {
    Allocate(Request),
    Free(usize),
    Resize(usize, u64),
}

impl Action {
    fn run(&self, pair: &mut Pair) {
        match self {
            Self::Allocate(request) => drop(pair.allocate(*request)),
            Self::Free(index) => pair.free(*index),
            Self::Resize(index, size) => pair.resize(*index, *size),
        }
    }
}

fn action() -> impl Strategy_<Value = Action> {
    let allocate =
        (1u64..3000, 0u32..10, 0usize..4, any::<u32>()).prop_map(|(size, align, strategy, tag)| {
            Action::Allocate(Request { size, align: 1 << align, strategy: ALL[strategy], tag })
        });
    let resize = (0usize..64, 0u64..4000).prop_map(|(index, size)| Action::Resize(index, size));
    prop_oneof![3 => allocate, 2 => (0usize..64).prop_map(Action::Free), 2 => resize]
}

/// As many records as are wanted, or so few that the store is full at times.
fn records_max() -> impl Strategy_<Value = usize> {
    prop_oneof![2 => Just(usize::MAX), 1 => 1usize..40]
}

use proptest::strategy::Strategy as Strategy_;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_overlap_and_all_back_at_the_end(
        actions in proptest::collection::vec(action(), 1..if cfg!(miri) { 40 } else { 300 }),
        size in 1u64..60_000,
        records_max in records_max(),
    ) {
        let mut pair = Pair::new(size, records_max);
        for action in actions {
            action.run(&mut pair);
        }
        while pair.live() > 0 {
            pair.free(0);
        }
        prop_assert_eq!(pair.real.used(), 0);
        prop_assert_eq!(pair.real.largest_free(), size);
        prop_assert_eq!(pair.real.walk().count(), 1);
    }
}

/// Every sequence of five actions on a space of eight: allocations of one to eight, aligned to
/// one, two or four, and frees of the first two.
#[test]
fn every_short_history_of_a_tiny_space_agrees_with_the_model() {
    let sizes = [1, 2, 3, 5, 8].into_iter();
    let requests =
        sizes.flat_map(|size| [1, 4].map(|align| Action::Allocate(request(size, align))));
    let actions: Vec<_> = requests.chain([Action::Free(0), Action::Free(1)]).collect();
    every_history_of_five(&actions, usize::MAX);
}

/// Every sequence of five actions, half of which resize one of the first two regions; with all
/// records, and with so few that the fifth region is the last.
#[test]
fn every_short_history_that_resizes_agrees_with_the_model() {
    let allocations = [1, 2, 4].map(|size| Action::Allocate(request(size, 1)));
    let frees = [0, 1].map(Action::Free);
    let resizes = [0, 1].into_iter().flat_map(|index| [1, 3, 8].map(|s| Action::Resize(index, s)));
    let actions: Vec<_> = allocations.into_iter().chain(frees).chain(resizes).collect();
    every_history_of_five(&actions, usize::MAX);
    every_history_of_five(&actions, 5);
}

fn every_history_of_five(actions: &[Action], records_max: usize) {
    if cfg!(miri) {
        return;
    }
    for history in 0..actions.len().pow(5) {
        let (mut pair, mut rest) = (Pair::new(8, records_max), history);
        for _ in 0..5 {
            actions[rest % actions.len()].run(&mut pair);
            rest /= actions.len();
        }
    }
}

#[test]
fn a_region_that_fits_exactly_is_found_though_its_bin_is_below() {
    for strategy in ALL {
        let mut space = space(1 << 20);
        let odd = Request { strategy, ..request(100_001, 1) };
        let placed = space.allocate(odd).unwrap();
        let rest = (1 << 20) - 100_001;
        space.allocate(request(rest, 1)).unwrap();
        space.free(placed.id).unwrap();
        assert_eq!(space.allocate(odd).unwrap().offset, placed.offset, "{strategy:?}");
    }
}

#[test]
fn bad_requests_are_named_and_change_nothing() {
    let mut space = space(100);
    let before = format!("{space:?}");
    assert_eq!(space.allocate(request(0, 1)), Err(SpaceError::ZeroSize));
    assert_eq!(space.allocate(request(1, 3)), Err(SpaceError::BadAlign { align: 3 }));
    assert_eq!(space.allocate(request(1, 0)), Err(SpaceError::BadAlign { align: 0 }));
    assert_eq!(space.allocate(request(101, 1)), Err(SpaceError::NoRoom));
    assert_eq!(space.allocate(request(u64::MAX, 1 << 63)), Err(SpaceError::NoRoom));
    assert!(space.free(RegionId::from_index(0)).is_err());
    assert!(space.free(RegionId::from_index(77)).is_err());
    for id in [0, 77, u32::MAX].map(RegionId::from_index) {
        assert_eq!(space.resize(id, 0), Err(ResizeError::ZeroSize));
        assert_eq!(space.resize(id, 1), Err(ResizeError::NotUsed { id }));
    }
    assert_eq!(format!("{space:?}"), before);
}

#[test]
fn a_region_freed_twice_is_not_used() {
    let mut space = space(100);
    let placed = space.allocate(request(10, 1)).unwrap();
    let other = space.allocate(request(10, 1)).unwrap();
    space.free(placed.id).unwrap();
    assert_eq!(space.free(placed.id).unwrap_err().id, placed.id);
    assert_eq!(space.set_tag(placed.id, 1).unwrap_err().id, placed.id);
    assert_eq!(space.resize(placed.id, 1), Err(ResizeError::NotUsed { id: placed.id }));
    space.set_tag(other.id, 9).unwrap();
    assert_eq!(space.free(other.id).unwrap().tag, Some(9));
}

#[test]
fn a_space_without_storage_says_so_and_changes_nothing() {
    let heads = || Growing::new(usize::MAX);
    assert_eq!(
        Space::new(64, Growing::new(0), heads()).unwrap_err(),
        SpaceError::NoRecords,
        "no record for the first region"
    );
    assert_eq!(
        Space::new(64, Growing::<Record>::new(9), Growing::new(3)).unwrap_err(),
        SpaceError::NoRecords,
        "no heads for the bins"
    );
    let mut records = [Record::EMPTY; 2];
    let mut space = Space::new(64, Lent::new(&mut records), heads()).unwrap();
    assert_eq!(space.allocate(request(8, 1)), Err(SpaceError::NoRecords));
    assert_eq!(space.check(), Ok(()));
    assert_eq!(space.largest_free(), 64);
}

#[test]
fn a_full_store_refuses_only_the_resize_that_needs_a_record() {
    let mut space = space_of(64, 5);
    let [low, middle, high] = [8; 3].map(|size| space.allocate(request(size, 1)).unwrap().id);
    assert_eq!(space.resize(middle, 4), Ok(()), "what is given back has the last record");
    let full = format!("{space:?}");
    assert_eq!(space.resize(low, 4), Err(ResizeError::NoRecords));
    assert_eq!(format!("{space:?}"), full, "nothing has changed");
    assert_eq!(space.resize(high, 16), Ok(()), "growing needs no record");
    assert_eq!(space.resize(high, 8), Ok(()), "nor does what joins a free region");
    assert_eq!(space.resize(high, 48), Ok(()), "taking all gives a record back");
    assert_eq!(space.resize(low, 4), Ok(()));
    assert_eq!(space.used(), 56);
    assert_eq!(space.check(), Ok(()));
}

#[test]
fn a_region_grows_to_the_next_used_one_and_no_further() {
    let mut space = space(100);
    let [low, middle, high] = [10, 20, 30].map(|size| space.allocate(request(size, 1)).unwrap());
    assert_eq!(space.resize(low.id, 11), Err(ResizeError::NoRoom { size_max: 10 }));
    space.set_tag(low.id, 7).unwrap();
    space.free(middle.id).unwrap();
    assert_eq!(space.resize(low.id, 31), Err(ResizeError::NoRoom { size_max: 30 }));
    assert_eq!(space.resize(low.id, 29), Ok(()));
    assert_eq!(space.resize(low.id, 30), Ok(()));
    assert_eq!(space.resize(high.id, u64::MAX), Err(ResizeError::NoRoom { size_max: 70 }));
    assert_eq!(space.resize(high.id, 70), Ok(()));
    let grown = space.free(low.id).unwrap();
    assert_eq!((grown.offset, grown.size, grown.tag), (0, 30, Some(7)));
    assert_eq!(space.used(), 70);
    assert_eq!(space.check(), Ok(()));
}

#[test]
fn what_a_region_gives_back_is_one_free_region() {
    let mut space = space(100);
    let [low, high] = [50, 20].map(|size| space.allocate(request(size, 1)).unwrap());
    assert_eq!(space.resize(high.id, 1), Ok(()), "beside the free end");
    assert_eq!(space.resize(low.id, 40), Ok(()), "beside a used region");
    assert_eq!(space.resize(low.id, 30), Ok(()), "beside what it gave back");
    let regions: Vec<_> = space.walk().map(|r| (r.offset, r.size, r.tag.is_some())).collect();
    assert_eq!(regions, [(0, 30, true), (30, 20, false), (50, 1, true), (51, 49, false)]);
    assert_eq!(space.used(), 31);
}

#[test]
fn the_same_size_touches_nothing() {
    let mut space = space(100);
    let [low, high] = [50, 20].map(|size| space.allocate(request(size, 1)).unwrap());
    let before = format!("{space:?}");
    assert_eq!(space.resize(low.id, 50), Ok(()), "before a used region");
    assert_eq!(space.resize(high.id, 20), Ok(()), "before a free one");
    assert_eq!(format!("{space:?}"), before);
}

#[test]
fn the_largest_space_there_is_can_be_one_region() {
    let mut space = space(u64::MAX);
    let all = space.allocate(request(1, 1)).unwrap().id;
    assert_eq!(space.resize(all, u64::MAX), Ok(()));
    assert_eq!((space.used(), space.free_count()), (u64::MAX, 0));
    assert_eq!(space.resize(all, 1), Ok(()));
    assert_eq!(space.largest_free(), u64::MAX - 1);
    assert_eq!(space.check(), Ok(()));
}

#[test]
fn a_small_space_needs_little_storage_and_a_full_one_needs_it_once() {
    let mut space = space(1 << 28);
    let ids: Vec<_> = (0..1000).map(|_| space.allocate(request(64, 64)).unwrap().id).collect();
    ids.into_iter().for_each(|id| assert!(space.free(id).is_ok()));
    let first: Vec<_> = (0..1000).map(|_| space.allocate(request(64, 64)).unwrap()).collect();
    assert_eq!(first.len(), 1000);
    assert!(space.walk().count() <= 1001);
    assert_eq!(space.check(), Ok(()));
}

/// Keeps odd and even tags in different pages of 64.
struct Pages(u32);

impl Fit for Pages {
    fn slack(&self) -> u64 {
        128
    }

    fn lowest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64> {
        let differs = |tag: Option<u32>| tag.is_some_and(|tag| tag % 2 != self.0 % 2);
        let align = if differs(candidate.tag_before()) { 64 } else { 1 };
        let offset = candidate.start().next_multiple_of(align);
        let end = if differs(candidate.tag_after()) {
            candidate.end() / 64 * 64
        } else {
            candidate.end()
        };
        (offset + size <= end).then_some(offset)
    }

    fn highest(&self, candidate: &Candidate<'_>, size: u64) -> Option<u64> {
        self.lowest(candidate, size)
    }
}

#[test]
fn a_rule_sees_both_neighbours() {
    let mut space = space(1000);
    let mut place = |tag| {
        let request = Request { tag, ..request(10, 1) };
        space.allocate_where(request, &Pages(tag)).unwrap()
    };
    let (a, b, c) = (place(1), place(2), place(1));
    assert_eq!((a.offset, b.offset), (0, 64), "another page for another kind");
    assert!((10..54).contains(&c.offset) || c.offset >= 128, "{c:?}");
}

#[test]
fn the_plain_rule_finds_both_ends() {
    let mut space = space(1000);
    let low = space.allocate(Request { strategy: Strategy::LowestOffset, ..request(10, 64) });
    let high = space.allocate(Request { strategy: Strategy::UpperAddress, ..request(10, 64) });
    assert_eq!((low.unwrap().offset, high.unwrap().offset), (0, 960));
    assert_eq!(Aligned { align: 64 }.slack(), 63);
}

#[test]
fn a_store_of_fixed_length_ends_where_it_ends() {
    let mut numbers = [0; 2];
    let mut lent = Lent::new(&mut numbers);
    assert!(lent.push(1).is_ok() && lent.push(2).is_ok() && lent.push(3).is_err());
    assert_eq!(lent.records(), [1, 2]);
}

#[test]
fn the_bound_on_the_largest_free_region_holds_and_is_close() {
    let mut space = space(100_000);
    for size in [1, 100, 30_000, 5_000] {
        space.allocate(request(size, 1)).unwrap();
        let (bound, exact) = (space.largest_free_bound(), space.largest_free());
        assert!(bound >= exact && bound <= exact + exact / 16 + 1, "{bound} {exact}");
    }
}
