//! What an allocator tells of itself: figures that add up, budgets that are asked for seldom, and
//! VMA's own text.

use polder_device::sim::{BufferInfo, BufferUsage, Call, ImageInfo, ImageUsage, Preset, Sim};
use polder_device::strategy::{Rules, Setup};
use polder_device::virtual_block::Detail;
use polder_device::{
    Access, Allocation, Allocator, DetailedStats, EmptyBlocks, Factory, Mapping, Misuse, Options,
    Placement, Request, Requirements, Stats, Strategy, Tiling, Wish,
};
use proptest::prelude::*;
use serde_json::Value;

const MIB: u64 = 1 << 20;

fn allocator() -> Allocator<Sim> {
    Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default())
}

fn request(size: u64, wish: Wish<'_>) -> Request<'_, Sim> {
    Request::new(Requirements { size, align: 16, ..Requirements::ANY }, wish)
}

/// The same figures by the snapshot, region by region.
fn by_snapshot(allocator: &Allocator<Sim>) -> Vec<DetailedStats> {
    let of = |blocks: &[polder_device::snapshot::BlockSnapshot]| {
        let mut stats = DetailedStats::default();
        for block in blocks {
            stats.blocks.push(block.size);
            for region in &block.regions {
                match &region.allocation {
                    Some(allocation) => stats.allocations.push(allocation.size),
                    None => stats.free_regions.push(region.size),
                }
            }
        }
        stats
    };
    allocator.snapshot().memory_types.iter().map(|kind| of(&kind.blocks)).collect()
}

fn check_figures(allocator: &Allocator<Sim>) {
    let all = allocator.detailed_stats();
    assert_eq!(all.memory_types, by_snapshot(allocator));
    assert_eq!(all.heaps.iter().copied().sum::<DetailedStats>(), all.total);
    for (number, stats) in (0..).zip(&all.memory_types) {
        assert_eq!(stats.stats(), allocator.stats(number));
    }
    for (heap, stats) in (0..).zip(&all.heaps) {
        assert_eq!(stats.stats(), allocator.heap_stats(heap));
        let budget = allocator.budget(heap);
        let Stats { blocks, held, .. } = stats.stats();
        assert_eq!((budget.blocks, budget.held), (blocks, held));
    }
    check_text(allocator);
}

/// VMA's text says what the figures say, in the form that its viewer wants.
fn check_text(allocator: &Allocator<Sim>) {
    let all = allocator.detailed_stats();
    let text: Value = serde_json::from_str(&allocator.vma_json(Detail::Regions)).unwrap();
    assert_eq!(text["General"]["API"], "Vulkan");
    check_stats(&text["Total"], &all.total);
    let mut seen = DetailedStats::default();
    for kind in text["DefaultPools"].as_object().unwrap().values() {
        seen += figures_of(kind);
    }
    for kind in text["CustomPools"].as_object().unwrap().values() {
        kind.as_array().unwrap().iter().for_each(|pool| seen += figures_of(pool));
    }
    assert_eq!(seen, all.total);
    let brief: Value = serde_json::from_str(&allocator.vma_json(Detail::Stats)).unwrap();
    assert!(brief.get("DefaultPools").is_none());
    assert_eq!(brief["MemoryInfo"], text["MemoryInfo"]);
    for (number, kind) in allocator.properties().memory_types.iter().enumerate() {
        let heap = &text["MemoryInfo"][format!("Heap {}", kind.heap)];
        let of_type = &heap["MemoryPools"][format!("Type {number}")];
        check_stats(&of_type["Stats"], &all.memory_types[number]);
        check_stats(&heap["Stats"], &all.heaps[kind.heap as usize]);
        assert!(heap["Budget"]["BudgetBytes"].as_u64().unwrap() > 0);
    }
}

fn check_stats(text: &Value, stats: &DetailedStats) {
    let number = |name: &str| text[name].as_u64();
    assert_eq!(number("BlockCount"), Some(stats.blocks.count()));
    assert_eq!(number("BlockBytes"), Some(stats.blocks.total()));
    assert_eq!(number("AllocationCount"), Some(stats.allocations.count()));
    assert_eq!(number("AllocationBytes"), Some(stats.allocations.total()));
    assert_eq!(number("UnusedRangeCount"), Some(stats.free_regions.count()));
    let many = stats.allocations.count() > 1;
    assert_eq!(number("AllocationSizeMin"), stats.allocations.min().filter(|_| many));
    let many = stats.free_regions.count() > 1;
    assert_eq!(number("UnusedRangeSizeMax"), stats.free_regions.max().filter(|_| many));
}

/// What a pool's blocks and dedicated allocations add up to.
fn figures_of(pool: &Value) -> DetailedStats {
    let mut stats = DetailedStats::default();
    for block in pool["Blocks"].as_object().unwrap().values() {
        let total = block["TotalBytes"].as_u64().unwrap();
        stats.blocks.push(total);
        let mut end = 0;
        for part in block["Suballocations"].as_array().unwrap() {
            assert_eq!(part["Offset"], end, "the viewer wants the regions to tile the block");
            let size = part["Size"].as_u64().unwrap();
            end += size;
            if part["Type"] == "FREE" {
                stats.free_regions.push(size);
            } else {
                assert!(part["Usage"].is_u64());
                stats.allocations.push(size);
            }
        }
        assert_eq!(end, total);
    }
    for alone in pool["DedicatedAllocations"].as_array().unwrap() {
        let size = alone["Size"].as_u64().unwrap();
        assert!(alone["Type"].is_string() && alone["Usage"].is_u64());
        stats.blocks.push(size);
        stats.allocations.push(size);
    }
    stats
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn figures_of_types_heaps_and_text_agree_with_the_snapshot(
        steps in proptest::collection::vec(
            (1..200_000u64, 0..6usize, any::<prop::sample::Index>()), 1..60)
    ) {
        let allocator = allocator();
        let pool = allocator.create_pool(&Setup::default(), &[]).unwrap();
        let mut live: Vec<(Allocation<Sim>, bool)> = Vec::new();
        for (size, kind, index) in steps {
            if kind == 0 && !live.is_empty() {
                let (one, is_pool) = live.swap_remove(index.index(live.len()));
                if is_pool { pool.free(one).unwrap() } else { allocator.free(one).unwrap() }
                continue;
            }
            let placement = if kind == 1 { Placement::Dedicated } else { Placement::Auto };
            let access = Access::ALL[kind % Access::ALL.len()];
            let of_pool = kind == 5;
            let access = if of_pool { Access::DeviceOnly } else { access };
            let request = request(size, Wish { placement, access, ..Wish::default() });
            let made = if of_pool { pool.allocate(&request) } else { allocator.allocate(&request) };
            live.push((made.unwrap(), of_pool));
        }
        check_figures(&allocator);
        for (one, is_pool) in live {
            if is_pool { pool.free(one).unwrap() } else { allocator.free(one).unwrap() }
        }
        check_figures(&allocator);
    }
}

#[test]
fn the_text_names_what_lies_where() {
    let allocator = allocator();
    let named = Wish { name: Some("a \"name\"\n"), ..Wish::default() };
    let buffer = allocator.create_buffer(&BufferInfo::default(), &named).unwrap();
    allocator.set_user_data(buffer.allocation(), 0xabc).unwrap();
    let optimal = allocator.create_image(&ImageInfo::default(), &Wish::default()).unwrap();
    let (tiling, usage) = (Tiling::Linear, ImageUsage::SAMPLED);
    let rows = ImageInfo { tiling, usage, ..ImageInfo::default() };
    let rows = allocator.create_image(&rows, &Wish::default()).unwrap();
    let plain = allocator.allocate(&request(100, Wish::default())).unwrap();
    let rules = Rules { block_size: Some(MIB), blocks_least: 1, ..Rules::default() };
    let setup = Setup { rules, name: Some("mine".to_string()), ..Setup::default() };
    let pool = allocator.create_pool(&setup, &[]).unwrap();

    let text: Value = serde_json::from_str(&allocator.vma_json(Detail::Regions)).unwrap();
    let mut parts: Vec<&Value> = Vec::new();
    for kind in text["DefaultPools"].as_object().unwrap().values() {
        for block in kind["Blocks"].as_object().unwrap().values() {
            parts.extend(block["Suballocations"].as_array().unwrap());
        }
        parts.extend(kind["DedicatedAllocations"].as_array().unwrap());
    }
    for (sort, count) in [("BUFFER", 1), ("IMAGE_OPTIMAL", 1), ("IMAGE_LINEAR", 1), ("UNKNOWN", 1)]
    {
        assert_eq!(parts.iter().filter(|part| part["Type"] == sort).count(), count, "{sort}");
    }
    let named = parts.iter().find(|part| part["Type"] == "BUFFER").unwrap();
    assert_eq!((&named["Name"], &named["CustomData"]), (&"a \"name\"\n".into(), &"0xabc".into()));
    for (sort, usage) in [
        ("BUFFER", BufferInfo::default().usage.bits()),
        ("IMAGE_OPTIMAL", ImageInfo::default().usage.bits()),
        ("IMAGE_LINEAR", ImageUsage::SAMPLED.bits()),
        ("UNKNOWN", 0),
    ] {
        let part = parts.iter().find(|part| part["Type"] == sort).unwrap();
        assert_eq!(part["Usage"], usage, "{sort}");
    }
    let mine = &text["CustomPools"]["Type 0"][0];
    assert_eq!((&mine["Name"], &mine["PreferredBlockSize"]), (&"0 - mine".into(), &MIB.into()));
    check_figures(&allocator);

    allocator.free(plain).unwrap();
    allocator.destroy_buffer(buffer).unwrap();
    allocator.destroy_image(optimal).unwrap();
    allocator.destroy_image(rows).unwrap();
    drop(pool);
}

/// A slot that lives again says nothing of what lay there before.
#[test]
fn the_usage_is_that_of_the_resource_that_lies_there() {
    let allocator = allocator();
    let usage = |allocator: &Allocator<Sim>| {
        let text: Value = serde_json::from_str(&allocator.vma_json(Detail::Regions)).unwrap();
        let kinds = text["DefaultPools"].as_object().unwrap().values();
        let blocks = kinds.flat_map(|kind| kind["Blocks"].as_object().unwrap().values());
        let parts = blocks.flat_map(|block| block["Suballocations"].as_array().unwrap());
        parts.filter(|part| part["Type"] != "FREE").map(|part| part["Usage"].as_u64()).next()
    };
    let info =
        BufferInfo { usage: BufferUsage::UNIFORM | BufferUsage::INDEX, ..BufferInfo::default() };
    let wish = Wish { memory_types: 1, ..Wish::default() };
    for _ in 0..3 {
        let buffer = allocator.create_buffer(&info, &wish).unwrap();
        assert_eq!(usage(&allocator), Some(Some(info.usage.bits().into())));
        allocator.destroy_buffer(buffer).unwrap();
        let plain = allocator.allocate(&request(100, wish)).unwrap();
        assert_eq!(usage(&allocator), Some(Some(0)));
        allocator.free(plain).unwrap();
    }
}

#[test]
fn the_driver_is_asked_for_budgets_only_when_something_has_changed() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let allocator = Allocator::new(sim.clone(), Options::default());
    let heap = allocator.properties().memory_types[0].heap;
    for _ in 0..100 {
        assert_eq!(allocator.budget(heap).usage, 0);
    }
    assert_eq!(sim.calls(Call::Budgets), 1);
    let one = allocator.allocate(&request(100, Wish::default())).unwrap();
    let asked = sim.calls(Call::Budgets);
    let budget = allocator.budget(heap);
    assert_eq!((budget.usage, budget.held), (MIB, MIB), "our own blocks count at once");
    assert_eq!(sim.calls(Call::Budgets), asked);
    sim.set_budget(heap, Some(MIB / 2));
    assert!(allocator.budget(heap).is_kept(), "the figure is of before");
    allocator.begin_frame(1);
    let budget = allocator.budget(heap);
    assert_eq!((budget.budget, budget.is_kept()), (MIB / 2, false));
    allocator.begin_frame(1);
    allocator.budget(heap);
    assert_eq!(sim.calls(Call::Budgets), asked + 1, "the same frame asks no second time");
    allocator.free(one).unwrap();
}

#[test]
fn without_a_driver_s_word_the_budget_is_four_fifths() {
    let mut layout = Preset::AmdNavi31.layout();
    layout.memory_budget = false;
    let allocator = Allocator::new(Sim::new(layout).unwrap(), Options::default());
    let one = allocator.allocate(&request(100, Wish::default())).unwrap();
    for (index, heap) in (0..).zip(&allocator.properties().heaps) {
        let budget = allocator.budget(index);
        assert_eq!(budget.budget, heap.size / 100 * 80);
        assert_eq!(budget.usage, budget.held);
    }
    allocator.free(one).unwrap();
}

#[test]
fn an_allocation_carries_a_name_and_a_number() {
    let allocator = allocator();
    let wish = Wish { access: Access::HostWrites, ..Wish::default() };
    let one = allocator.allocate(&request(100, wish)).unwrap();
    let info = allocator.info(&one).unwrap();
    assert_eq!((info.name, info.user_data, info.pointer), (None, 0, None));
    assert_eq!((info.memory, info.offset, info.size), (one.memory(), one.offset(), 100));
    allocator.rename(&one, Some("one")).unwrap();
    allocator.set_user_data(&one, 9).unwrap();
    let pointer = allocator.map(&one).unwrap();
    let info = allocator.info(&one).unwrap();
    assert_eq!((info.name.as_deref(), info.user_data), (Some("one"), 9));
    assert_eq!(info.pointer, Some(pointer));
    allocator.unmap(&one).unwrap();
    allocator.rename(&one, None).unwrap();
    allocator.set_user_data(&one, 0).unwrap();
    assert_eq!(allocator.info(&one).unwrap().name, None);
    let wish = Wish { placement: Placement::Dedicated, mapping: Mapping::WhereVisible, ..wish };
    let alone = allocator.allocate(&request(100, wish)).unwrap();
    let info = allocator.info(&alone).unwrap();
    assert_eq!((info.dedicated, info.block_size, info.pointer), (true, 100, alone.pointer()));
    let other = self::allocator();
    let error = Misuse::WrongAllocator { expected: other.id(), found: allocator.id() };
    assert_eq!(other.info(&one).unwrap_err(), error);
    assert_eq!(other.rename(&one, None).unwrap_err(), error);
    assert_eq!(other.set_user_data(&one, 1).unwrap_err(), error);
    allocator.free(one).unwrap();
    allocator.free(alone).unwrap();
}

/// Allocates and frees many blocks' worth, as a level of a game that is left.
fn churn(allocator: &Allocator<Sim>) {
    let live: Vec<_> =
        (0..8).map(|_| allocator.allocate(&request(MIB, Wish::default())).unwrap()).collect();
    live.into_iter().for_each(|one| allocator.free(one).unwrap());
}

#[test]
fn a_heap_past_its_budget_costs_the_others_nothing() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let options =
        Options { arenas: 1, empty_blocks: EmptyBlocks::WithinBudget, ..Options::default() };
    let allocator = Allocator::new(sim.clone(), options);
    churn(&allocator);
    let (held, heap) = (allocator.held(), allocator.properties().memory_types[0].heap);
    let other = (0..).find(|&other| other != heap).unwrap();
    sim.set_budget(other, Some(0));
    sim.set_other_usage(other, MIB);
    allocator.begin_frame(1);
    assert_eq!(allocator.held(), held);
}

#[test]
fn empty_blocks_stay_while_the_budget_allows() {
    let sim = Sim::preset(Preset::AmdNavi31);
    let options =
        Options { arenas: 1, empty_blocks: EmptyBlocks::WithinBudget, ..Options::default() };
    let allocator = Allocator::new(sim.clone(), options);
    churn(&allocator);
    let (held, calls) = (allocator.held(), sim.calls(Call::Allocate));
    assert!(held >= 8 * MIB, "nothing went back");
    for _ in 0..10 {
        churn(&allocator);
    }
    assert_eq!((allocator.held(), sim.calls(Call::Allocate)), (held, calls), "no driver call");
    assert_eq!(sim.calls(Call::Free), 0);
    allocator.check();

    let heap = allocator.properties().memory_types[0].heap;
    sim.set_budget(heap, Some(MIB));
    allocator.begin_frame(1);
    assert_eq!(allocator.held(), 0, "the budget shrank, and the empty blocks went");
    churn(&allocator);
    assert!(allocator.held() <= 4 * MIB, "past the budget one block stays");
    allocator.check();
}
