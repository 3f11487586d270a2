//! A space against its naive model: random, exhaustive at small sizes, and at its edges.

mod model;

use model::{Growing, Pair, space};
use polder_core::space::{
    Aligned, Candidate, Fit, Record, RegionId, Request, Space, SpaceError, Strategy,
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
}

fn action() -> impl Strategy_<Value = Action> {
    let allocate =
        (1u64..3000, 0u32..10, 0usize..4, any::<u32>()).prop_map(|(size, align, strategy, tag)| {
            Action::Allocate(Request { size, align: 1 << align, strategy: ALL[strategy], tag })
        });
    prop_oneof![3 => allocate, 2 => (0usize..64).prop_map(Action::Free)]
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
    ) {
        let mut pair = Pair::new(size);
        for action in actions {
            match action {
                Action::Allocate(request) => drop(pair.allocate(request)),
                Action::Free(index) => pair.free(index),
            }
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
    if cfg!(miri) {
        return;
    }
    let sizes = [1, 2, 3, 5, 8].into_iter();
    let requests =
        sizes.flat_map(|size| [1, 4].map(|align| Action::Allocate(request(size, align))));
    let actions: Vec<_> = requests.chain([Action::Free(0), Action::Free(1)]).collect();
    let total = actions.len().pow(5);
    for history in 0..total {
        let (mut pair, mut rest) = (Pair::new(8), history);
        for _ in 0..5 {
            match &actions[rest % actions.len()] {
                Action::Allocate(request) => drop(pair.allocate(*request)),
                Action::Free(index) => pair.free(*index),
            }
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
