//! Virtual blocks against the naive model, what each algorithm promises, and every typed error.
//! No `unsafe` is behind it, so that there is nothing for Miri to see.

#![cfg(not(miri))]

mod model;

use core::num::NonZeroU64;
use model::{Action, play};
use polder_device::virtual_block::Detail;
use polder_device::{
    Algorithm, Search, VirtualAllocation, VirtualBlock, VirtualError, VirtualMisuse, VirtualRequest,
};
use proptest::prelude::*;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Tlsf, Algorithm::Linear];
const SEARCHES: [Search; 4] =
    [Search::Quick, Search::Tight, Search::LowestOffset, Search::UpperAddress];

fn request() -> impl Strategy<Value = VirtualRequest> {
    let size = prop_oneof![20 => 1u64..3000, 2 => 1u64..100_000, 1 => Just(0)];
    let align = prop_oneof![20 => (0u32..13).prop_map(|log| 1 << log), 1 => 0u64..20];
    (size, align, 0usize..4).prop_map(|(size, align, search)| VirtualRequest {
        size,
        align,
        search: SEARCHES[search],
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        30 => request().prop_map(Action::Allocate),
        15 => any::<usize>().prop_map(Action::Free),
        3 => any::<usize>().prop_map(Action::FreeAgain),
        3 => any::<usize>().prop_map(Action::FreeElsewhere),
        3 => any::<usize>().prop_map(Action::SetData),
        1 => Just(Action::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_virtual_block_agrees_with_the_model(
        actions in proptest::collection::vec(action(), 1..150),
        size in prop_oneof![1u64..4000, 4000u64..400_000],
    ) {
        ALGORITHMS.into_iter().for_each(|algorithm| play(size, algorithm, &actions));
    }
}

/// Every sequence of four steps on a block of nine.
#[test]
fn every_short_history_of_a_tiny_block_agrees_with_the_model() {
    let ask = |size, align, search| Action::Allocate(VirtualRequest { size, align, search });
    let mut actions = vec![Action::Clear, Action::FreeAgain(0)];
    actions.extend([1, 3, 4, 9].map(|size| ask(size, 1, Search::Quick)));
    actions.extend([2, 5].map(|size| ask(size, 2, Search::UpperAddress)));
    actions.push(ask(2, 4, Search::LowestOffset));
    actions.extend([0, 1].map(Action::Free));
    for history in 0..actions.len().pow(4) {
        let digits = (0..4).map(|place| history / actions.len().pow(place) % actions.len());
        let history: Vec<_> = digits.map(|digit| actions[digit]).collect();
        ALGORITHMS.into_iter().for_each(|algorithm| play(9, algorithm, &history));
    }
}

fn block(size: u64, algorithm: Algorithm) -> VirtualBlock {
    VirtualBlock::new(size, algorithm).unwrap()
}

fn upper(size: u64) -> VirtualRequest {
    VirtualRequest { search: Search::UpperAddress, ..VirtualRequest::new(size) }
}

/// The offset of a part that must fit, and its handle.
fn place(block: &mut VirtualBlock, request: VirtualRequest) -> (u64, VirtualAllocation) {
    let part = block.allocate(request, ()).expect("there is room");
    (part.offset, part.allocation)
}

#[test]
fn nothing_has_no_size() {
    for algorithm in ALGORITHMS {
        assert_eq!(VirtualBlock::<()>::new(0, algorithm).err(), Some(VirtualError::ZeroSize));
        let zero = block(100, algorithm).allocate(VirtualRequest::new(0), ());
        assert_eq!(zero, Err(VirtualError::ZeroSize));
    }
}

#[test]
fn an_alignment_is_a_power_of_two() {
    for (algorithm, align) in ALGORITHMS.into_iter().flat_map(|one| [(one, 0), (one, 3)]) {
        let odd = VirtualRequest { align, ..VirtualRequest::new(1) };
        let refused = block(100, algorithm).allocate(odd, ());
        assert_eq!(refused, Err(VirtualError::BadAlign { align }));
    }
}

#[test]
fn only_linear_blocks_have_upper_addresses_and_not_while_they_are_rings() {
    let refused = block(100, Algorithm::Tlsf).allocate(upper(1), ());
    assert_eq!(refused, Err(VirtualError::UpperAddressNotLinear));

    let mut ring = block(100, Algorithm::Linear);
    let oldest = place(&mut ring, VirtualRequest::new(50)).1;
    place(&mut ring, VirtualRequest::new(50));
    ring.free(oldest).unwrap();
    assert_eq!(place(&mut ring, VirtualRequest::new(20)).0, 0);
    assert_eq!(ring.allocate(upper(1), ()), Err(VirtualError::UpperAddressInRing));
    assert_eq!(ring.check(), Ok(()));
}

#[test]
fn a_full_block_says_how_much_room_there_is() {
    for algorithm in ALGORITHMS {
        let mut block = block(100, algorithm);
        place(&mut block, VirtualRequest::new(95));
        let big = VirtualRequest { align: 4, ..VirtualRequest::new(6) };
        let refused = block.allocate(big, ());
        assert_eq!(refused, Err(VirtualError::NoRoom { size: 6, align: 4, room: 5 }));
        assert_eq!(place(&mut block, VirtualRequest::new(5)).0, 95);
    }
}

#[test]
fn handles_of_other_blocks_and_made_up_ones_are_found_out() {
    let [mut one, mut other] = ALGORITHMS.map(|algorithm| block(1 << 20, algorithm));
    let parts: Vec<_> = (0..1000).map(|_| place(&mut one, VirtualRequest::new(7)).1).collect();
    for _ in 0..1000 {
        place(&mut other, VirtualRequest::new(7));
    }
    for allocation in parts {
        let wrong = Err(VirtualMisuse::WrongBlock { allocation });
        assert_eq!(other.free(allocation), wrong);
        assert_eq!(VirtualAllocation::from_bits(allocation.to_bits()), allocation);
        let next = VirtualAllocation::from_bits(allocation.to_bits().saturating_add(1 << 40));
        assert!(one.info(next).is_err(), "another generation");
        assert_eq!(one.free(allocation), Ok(()));
    }
    let made_up = VirtualAllocation::from_bits(NonZeroU64::MIN);
    assert_eq!(one.free(made_up), Err(VirtualMisuse::WrongBlock { allocation: made_up }));
    assert_eq!(other.stats().allocations, 1000);
}

#[test]
fn a_linear_block_is_a_stack_a_double_stack_and_a_ring() {
    let mut linear = block(100, Algorithm::Linear);
    let low = [0, 1, 2].map(|_| place(&mut linear, VirtualRequest::new(20)));
    linear.free(low[2].1).unwrap();
    assert_eq!(place(&mut linear, VirtualRequest::new(10)).0, 40, "a stack");
    let high = [0, 1].map(|_| place(&mut linear, upper(20)));
    assert_eq!(high.map(|part| part.0), [80, 60], "a double stack");
    high.iter().for_each(|part| linear.free(part.1).unwrap());
    linear.free(low[0].1).unwrap();
    assert_eq!(place(&mut linear, VirtualRequest::new(50)).0, 50);
    assert_eq!(place(&mut linear, VirtualRequest::new(15)).0, 0, "a ring");
}

#[test]
fn the_lowest_offset_and_the_closest_fit_are_what_they_say() {
    let mut tlsf = block(1000, Algorithm::Tlsf);
    let parts = [300, 10, 100, 10].map(|size| place(&mut tlsf, VirtualRequest::new(size)).1);
    [parts[0], parts[2]].iter().for_each(|&part| tlsf.free(part).unwrap());
    let ask = |search| VirtualRequest { search, ..VirtualRequest::new(90) };
    let tight = place(&mut tlsf, ask(Search::Tight));
    assert_eq!(tight.0, 310, "the region of 100");
    tlsf.free(tight.1).unwrap();
    assert_eq!(place(&mut tlsf, ask(Search::LowestOffset)).0, 0);
}

#[test]
fn data_is_dropped_once_wherever_it_goes() {
    let counted = std::rc::Rc::new(());
    let mut block = VirtualBlock::new(100, Algorithm::Tlsf).unwrap();
    let ask = VirtualRequest::new(30);
    let parts = [0, 1, 2].map(|_| block.allocate(ask, counted.clone()).unwrap());
    assert!(block.allocate(ask, counted.clone()).is_err());
    assert_eq!(std::rc::Rc::strong_count(&counted), 4, "a refused request keeps nothing");
    drop(block.free(parts[0].allocation).unwrap());
    assert_eq!(std::rc::Rc::strong_count(&counted), 3);
    block.clear();
    assert_eq!(std::rc::Rc::strong_count(&counted), 1);
    block.allocate(ask, counted.clone()).unwrap();
    drop(block);
    assert_eq!(std::rc::Rc::strong_count(&counted), 1);
}

/// VMA takes a linear part without user data for a free one; ours are told from their slots.
#[test]
fn the_text_is_vmas_and_tells_of_parts_without_data() {
    for algorithm in ALGORITHMS {
        let mut block = VirtualBlock::new(1000, algorithm).unwrap();
        for data in [None, Some("a \"b\"\n\\c")] {
            block.allocate(VirtualRequest::new(100), data).unwrap();
        }
        let text = block.vma_json(Detail::Regions, |data| data.map(String::from));
        let expected = r#"{
  "Stats": {
    "BlockCount": 1, 
    "BlockBytes": 1000, 
    "AllocationCount": 2, 
    "AllocationBytes": 200, 
    "UnusedRangeCount": 1, 
    "AllocationSizeMin": 100, 
    "AllocationSizeMax": 100
  }, 
  "Details": {
    "TotalBytes": 1000, 
    "UnusedBytes": 800, 
    "Allocations": 2, 
    "UnusedRanges": 1, 
    "Suballocations": [
      {"Offset": 0, "Size": 100}, 
      {"Offset": 100, "Size": 100, "CustomData": "a \"b\"\n\\c"}, 
      {"Offset": 200, "Type": "FREE", "Size": 800}
    ]
  }
}"#;
        assert_eq!(text, expected);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["Details"]["Suballocations"][1]["CustomData"], "a \"b\"\n\\c");
        let short = block.vma_json(Detail::Stats, |_| None);
        assert!(!short.contains("Details"));
        assert!(serde_json::from_str::<serde_json::Value>(&short).is_ok());
    }
}

#[test]
fn control_characters_are_escaped() {
    let mut block = VirtualBlock::new(10, Algorithm::Tlsf).unwrap();
    let all: String = (0..=0x7f).map(|byte| char::from(byte as u8)).chain(['é', '☃']).collect();
    block.allocate(VirtualRequest::new(1), all.clone()).unwrap();
    let text = block.vma_json(Detail::Regions, |data| Some(data.clone()));
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["Details"]["Suballocations"][0]["CustomData"], *all);
}

#[test]
fn the_largest_block_there_is_can_be_divided() {
    for algorithm in ALGORITHMS {
        let mut block = block(u64::MAX, algorithm);
        let whole = place(&mut block, VirtualRequest::new(u64::MAX)).1;
        assert!(block.allocate(VirtualRequest::new(1), ()).is_err());
        block.free(whole).unwrap();
        let high = VirtualRequest { align: 1 << 63, ..VirtualRequest::new(1 << 62) };
        assert_eq!([0, 1].map(|_| place(&mut block, high).0), [0, 1 << 63]);
        assert!(block.allocate(high, ()).is_err());
    }
}
