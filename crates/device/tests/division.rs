//! Every division in every mode against the naive model, and what is special about each.

mod model;

use model::{Action, Pair, play};
use polder_device::division::{Ask, Buddy, Division, Linear, Region, Slab, Tlsf, Whole};
use polder_device::division::{buddy, linear, slab, tlsf};
use polder_device::{Search, Tiling};
use proptest::prelude::*;

const SEARCHES: [Search; 4] =
    [Search::Quick, Search::Tight, Search::LowestOffset, Search::UpperAddress];
const TILINGS: [Tiling; 2] = [Tiling::Linear, Tiling::Optimal];
const GRANULARITIES: [u64; 4] = [1, 64, 1024, 65536];
const MODES: [linear::Mode; 4] =
    [linear::Mode::Stack, linear::Mode::DoubleStack, linear::Mode::Ring, linear::Mode::Adaptive];

fn ask(size: u64) -> Ask {
    Ask { size, align: 1, tiling: Tiling::Linear, search: Search::Quick, slot: 0 }
}

fn slab_config() -> slab::Config {
    slab::Config { size_least: 16, size_most: 20_000, slots_per_slab: 8 }
}

fn linear_config(mode: linear::Mode) -> linear::Config {
    linear::Config { mode }
}

/// Plays one history on every division in every mode.
fn play_all(size: u64, granularity: u64, actions: &[Action]) {
    play::<Whole>(&(), size, granularity, actions);
    for align_least in [1, 64] {
        play::<Tlsf>(&tlsf::Config { align_least }, size, granularity, actions);
    }
    for mode in MODES {
        play::<Linear>(&linear_config(mode), size, granularity, actions);
    }
    for size_least in [1, 256] {
        play::<Buddy>(&buddy::Config { size_least }, size, granularity, actions);
    }
    for slots_per_slab in [1, 5, 64] {
        let config = slab::Config { slots_per_slab, ..slab_config() };
        play::<Slab>(&config, size, granularity, actions);
    }
}

fn action() -> impl Strategy<Value = Action> {
    let size = prop_oneof![8 => 1u64..3000, 1 => 1u64..100_000];
    let allocate =
        (size, 0u32..13, 0usize..4, 0usize..2).prop_map(|(size, align, search, kind)| {
            let (search, tiling) = (SEARCHES[search], TILINGS[kind]);
            Action::Allocate(Ask { size, align: 1 << align, tiling, search, slot: 0 })
        });
    prop_oneof![3 => allocate, 2 => any::<usize>().prop_map(Action::Free)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 128 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn parts_lie_apart_and_all_memory_is_back_at_the_end(
        actions in proptest::collection::vec(action(), 1..if cfg!(miri) { 12 } else { 200 }),
        size in prop_oneof![1u64..4000, 4000u64..400_000, Just(1 << 18)],
        granularity in 0usize..4,
    ) {
        play_all(size, GRANULARITIES[granularity], &actions);
    }
}

/// Every sequence of four steps on a block of nine with pages of four.
#[test]
fn every_short_history_of_a_tiny_block_agrees_with_the_model() {
    let sizes = [1, 3, 4, 9].into_iter();
    let asks = sizes.flat_map(|size| TILINGS.map(|tiling| Ask { tiling, ..ask(size) }));
    let upper = Ask { search: Search::UpperAddress, align: 2, ..ask(2) };
    let actions: Vec<_> =
        asks.chain([upper]).map(Action::Allocate).chain([0, 1].map(Action::Free)).collect();
    let step = if cfg!(miri) { 3001 } else { 1 };
    for history in (0..actions.len().pow(4)).step_by(step) {
        let digits = (0..4).map(|place| history / actions.len().pow(place) % actions.len());
        let history: Vec<_> = digits.map(|digit| actions[digit]).collect();
        play::<Whole>(&(), 9, 4, &history);
        play::<Tlsf>(&tlsf::Config::default(), 9, 4, &history);
        for mode in MODES {
            play::<Linear>(&linear_config(mode), 9, 4, &history);
        }
        play::<Buddy>(&buddy::Config { size_least: 1 }, 9, 4, &history);
        let config = slab::Config { size_least: 1, size_most: 9, slots_per_slab: 2 };
        play::<Slab>(&config, 9, 4, &history);
    }
}

/// The offset of a part that must fit, and its key.
fn place<D: Division>(division: &mut D, ask: Ask) -> (u64, u32) {
    let part = division.allocate(&ask).expect("there is room");
    (part.offset, part.key)
}

fn regions<D: Division>(division: &D) -> Vec<Region> {
    let mut regions = vec![];
    division.walk(&mut |region| regions.push(region));
    regions
}

fn linear(mode: linear::Mode, size: u64) -> Linear {
    Linear::new(&linear_config(mode), size, 1)
}

#[test]
fn a_stack_gives_back_from_the_top_and_all_when_empty() {
    let mut stack = linear(linear::Mode::Stack, 100);
    let parts = [0, 1, 2].map(|_| place(&mut stack, ask(30)));
    assert_eq!(parts.map(|(offset, _)| offset), [0, 30, 60]);
    assert_eq!(stack.room(), 10);
    stack.free(parts[1].1);
    assert_eq!(stack.room(), 10, "one in the middle waits");
    assert_eq!(regions(&stack).len(), 4, "but is shown as free");
    stack.free(parts[2].1);
    assert_eq!(stack.room(), 70, "what waited comes back with the top");
    assert_eq!(place(&mut stack, ask(70)).0, 30);
    stack.free(parts[0].1);
    assert!(stack.allocate(&ask(1)).is_none(), "the begin waits");
}

#[test]
fn a_double_stack_meets_in_the_middle_and_gives_back_at_both_ends() {
    let upper = |size| Ask { search: Search::UpperAddress, ..ask(size) };
    let mut stack = linear(linear::Mode::DoubleStack, 100);
    let low = [0, 1].map(|_| place(&mut stack, ask(20)));
    let high = [0, 1, 2].map(|_| place(&mut stack, upper(20)));
    assert_eq!(low.map(|(offset, _)| offset), [0, 20]);
    assert_eq!(high.map(|(offset, _)| offset), [80, 60, 40]);
    assert!(stack.allocate(&ask(1)).is_none() && stack.allocate(&upper(1)).is_none());
    stack.free(high[1].1);
    assert_eq!(stack.room(), 0, "one between others waits");
    stack.free(high[2].1);
    stack.free(low[1].1);
    assert_eq!(stack.room(), 60, "the gap grew on both sides");
    stack.free(low[0].1);
    assert_eq!(place(&mut stack, ask(80)).0, 0, "no lower part is left");
}

#[test]
fn a_ring_goes_round_and_waits_for_its_oldest() {
    let mut ring = linear(linear::Mode::Ring, 100);
    let mut live = std::collections::VecDeque::new();
    let mut offsets = vec![];
    for _ in 0..1000 {
        if live.len() == 3 {
            ring.free(live.pop_front().unwrap());
        }
        let (offset, key) = place(&mut ring, ask(30));
        offsets.push(offset);
        live.push_back(key);
        assert_eq!(ring.check(), Ok(()));
    }
    assert_eq!(offsets[..6], [0, 30, 60, 0, 30, 60]);
    ring.free(live[1]);
    assert!(ring.allocate(&ask(30)).is_none(), "the oldest still lives");
    ring.free(live[0]);
    assert!(ring.allocate(&ask(30)).is_some());
}

#[test]
fn a_ring_takes_back_its_newest_part_across_the_end_of_the_block() {
    let mut ring = linear(linear::Mode::Ring, 100);
    let [first, second] = [0, 1].map(|_| place(&mut ring, ask(45)).1);
    ring.free(first);
    let wrapped = place(&mut ring, ask(40));
    assert_eq!(wrapped.0, 0);
    ring.free(wrapped.1);
    assert_eq!(place(&mut ring, ask(8)).0, 90, "it goes on where it was before the wrap");
    ring.free(second);
    assert_eq!(ring.room(), 90);
}

#[test]
fn a_block_that_adapts_is_a_ring_or_a_double_stack() {
    let upper = |size| Ask { search: Search::UpperAddress, ..ask(size) };
    let mut linear = linear(linear::Mode::Adaptive, 100);
    let low = [0, 1].map(|_| place(&mut linear, ask(40)));
    linear.free(low[0].1);
    let wrapped = place(&mut linear, ask(30));
    assert_eq!((wrapped.0, linear.is_wrapped()), (0, true), "it goes round");
    assert!(linear.allocate(&upper(1)).is_none(), "a ring that went round has no upper end");
    linear.free(low[1].1);
    let high = [0, 1].map(|_| place(&mut linear, upper(20)));
    assert_eq!(high.map(|(offset, _)| offset), [80, 60]);
    assert!(linear.allocate(&ask(31)).is_none(), "a double stack does not go round");
    assert_eq!(place(&mut linear, ask(30)).0, 30);
    high.iter().for_each(|part| linear.free(part.1));
    linear.free(wrapped.1);
    assert_eq!(linear.room(), 40);
    assert_eq!(place(&mut linear, ask(40)).0, 60);
    assert_eq!(place(&mut linear, ask(30)).0, 0, "it is a ring again");
}

#[test]
fn a_slab_is_given_back_with_its_last_part() {
    let mut slab = Slab::new(&slab_config(), 1 << 16, 1);
    let parts: Vec<_> = (0..9).map(|_| place(&mut slab, ask(100)).1).collect();
    assert_eq!(slab.slab_count(), 2, "eight in the first, one in the second");
    slab.free(parts[8]);
    assert_eq!(slab.slab_count(), 1);
    parts[..8].iter().for_each(|&key| slab.free(key));
    assert_eq!(slab.slab_count(), 0);
    assert_eq!(regions(&slab), [Region { offset: 0, size: 1 << 16, slot: None }]);
}

#[test]
fn a_slab_has_slots_of_one_class_and_takes_the_one_freed() {
    let mut slab = Slab::new(&slab_config(), 1 << 16, 1);
    let parts: Vec<_> = (0..8).map(|_| place(&mut slab, ask(100))).collect();
    let offsets = parts.iter().map(|part| part.0);
    assert!(offsets.eq((0..8).map(|slot| slot * 112)), "100 rounds up to 112");
    slab.free(parts[3].1);
    assert_eq!(place(&mut slab, ask(97)).0, parts[3].0);
    assert_eq!(slab.used(), 7 * 100 + 97, "as it was asked for");
}

#[test]
fn a_slab_says_what_it_does_not_serve() {
    let config = slab_config();
    assert_eq!(Slab::size_max(&config), 20_000);
    assert_eq!(Slab::block_size(&config, 20_001, 1, 1 << 20), None);
    assert_eq!(Slab::block_size(&config, 20_000, 1, 1 << 20), Some(1 << 20));
    assert_eq!(Slab::block_size(&config, 20_000, 1, 1), Some(20_480), "one slot");
    assert_eq!(Slab::block_size(&config, 1, 1 << 20, 1 << 20), None, "no such alignment");
    assert!(Slab::new(&config, 1 << 20, 1).allocate(&ask(20_001)).is_none());
}

#[test]
fn a_slab_shrinks_to_the_room_there_is() {
    let mut slab = Slab::new(&slab_config(), 3 * 1024, 1);
    let parts = [0, 1, 2].map(|_| place(&mut slab, ask(1024)).0);
    assert_eq!(parts, [0, 1024, 2048]);
    assert!(slab.allocate(&ask(1)).is_none());
}

#[test]
fn every_size_and_alignment_finds_its_slot() {
    let config = slab::Config { size_least: 1, size_most: 1 << 12, slots_per_slab: 3 };
    let step = if cfg!(miri) { 2039 } else { 1 };
    for size in (1..=1 << 12).step_by(step) {
        for align in (0..=12).map(|log| 1 << log) {
            let mut pair = Pair::<Slab>::new(&config, 1 << 14, 1);
            let asked = Ask { align, ..ask(size) };
            assert!(pair.allocate(ask(1)).is_some());
            assert!(pair.allocate(asked).is_some(), "{asked:?}");
            assert!(pair.allocate(asked).is_some(), "{asked:?}");
        }
    }
}

#[test]
fn buddies_split_and_join() {
    let mut buddy = Buddy::new(&buddy::Config { size_least: 16 }, 128, 1);
    let parts = [16, 9, 30, 64].map(|size| place(&mut buddy, ask(size)));
    assert_eq!(parts.map(|(offset, _)| offset), [0, 16, 32, 64]);
    assert_eq!((buddy.room(), buddy.used()), (0, 119));
    buddy.free(parts[0].1);
    assert_eq!(buddy.room(), 16);
    buddy.free(parts[2].1);
    assert_eq!(buddy.room(), 32);
    buddy.free(parts[1].1);
    assert_eq!(buddy.room(), 64, "four joined");
    buddy.free(parts[3].1);
    assert_eq!(regions(&buddy), [Region { offset: 0, size: 128, slot: None }]);
}

#[test]
fn a_page_of_buddies_has_one_tiling_until_it_is_empty() {
    let mut buddy = Buddy::new(&buddy::Config { size_least: 16 }, 256, 64);
    let optimal = Ask { tiling: Tiling::Optimal, ..ask(16) };
    let (linear, optimal) = (place(&mut buddy, ask(16)), place(&mut buddy, optimal));
    assert_eq!((linear.0, optimal.0), (0, 64));
    assert_eq!(place(&mut buddy, ask(32)).0, 32);
    buddy.free(optimal.1);
    assert_eq!(place(&mut buddy, ask(128)).0, 128);
    assert_eq!(place(&mut buddy, ask(64)).0, 64, "the page has no tiling any more");
}

#[test]
fn blocks_of_buddies_are_powers_of_two() {
    let config = buddy::Config { size_least: 256 };
    assert_eq!(Buddy::block_size(&config, 1000, 1, 1 << 20), Some(1 << 20));
    assert_eq!(Buddy::block_size(&config, 1000, 1, 3 << 20), Some(2 << 20));
    assert_eq!(Buddy::block_size(&config, 5 << 20, 1, 3 << 20), Some(8 << 20));
    assert_eq!(Buddy::block_size(&config, 1, 1, 0), Some(256));
    assert_eq!(Buddy::block_size(&config, u64::MAX, 1, 0), None);
    let mut odd = Buddy::new(&config, 3000, 1);
    assert!(odd.allocate(&ask(2049)).is_none(), "the part behind 2048 is never handed out");
    assert!(odd.allocate(&ask(2048)).is_some());
}

#[test]
fn a_whole_block_is_one_part() {
    assert_eq!(Whole::block_size(&(), 1234, 4096, 1 << 20), Some(1234));
    let mut whole = Whole::new(&(), 1234, 1024);
    assert!(whole.allocate(&ask(1235)).is_none());
    let (offset, key) = place(&mut whole, ask(1234));
    assert_eq!((offset, whole.used(), whole.room()), (0, 1234, 0));
    assert!(whole.allocate(&ask(1)).is_none());
    whole.free(key);
    assert_eq!(whole.room(), 1234);
}

/// A linear part put between an optimal one below and an optimal one above keeps to its own page:
/// looking at the lower neighbour alone would let it touch the upper one's.
#[test]
fn both_neighbours_count() {
    let optimal = |size| Ask { tiling: Tiling::Optimal, ..ask(size) };
    let mut tlsf = Tlsf::new(&tlsf::Config::default(), 4 * 1024, 1024);
    let parts = [0, 1, 2].map(|_| place(&mut tlsf, optimal(1000)));
    tlsf.free(parts[1].1);
    assert_eq!(parts.map(|(offset, _)| offset), [0, 1000, 2000]);
    // Free are 1000..2000 and 3000..4096: only the second has a page without optimal bytes.
    assert_eq!(place(&mut tlsf, ask(100)).0, 3072);
    assert!(tlsf.allocate(&ask(1000)).is_none());
    assert_eq!(place(&mut tlsf, optimal(1000)).0, 1000, "its own tiling fits in between");
}

#[test]
#[should_panic(expected = "a key names a live part")]
fn a_key_freed_twice_is_no_live_part_of_a_space() {
    freed_twice::<Tlsf>(&tlsf::Config::default());
}

#[test]
#[should_panic(expected = "a key names a live part")]
fn a_key_freed_twice_is_no_live_part_of_a_stack() {
    freed_twice::<Linear>(&linear::Config::default());
}

#[test]
#[should_panic(expected = "a key names a live part")]
fn a_key_freed_twice_is_no_live_part_of_a_slab() {
    freed_twice::<Slab>(&slab_config());
}

#[test]
#[should_panic(expected = "a key names a live part")]
fn a_key_freed_twice_is_no_live_part_of_buddies() {
    freed_twice::<Buddy>(&buddy::Config::default());
}

fn freed_twice<D: Division>(config: &D::Config) {
    let mut division = D::new(config, 1 << 16, 1);
    let (_, key) = place(&mut division, ask(100));
    place(&mut division, ask(100));
    division.free(key);
    division.free(key);
}
