//! The debug aids: what is written behind an allocation is seen, in every division and after every
//! move; memory that is new or free is filled; and none of it is seen by who does nothing wrong.

use polder_device::allocator::PoolSetup;
use polder_device::debug::{Aids, BadAids, Inspection, NotInspected};
use polder_device::defragment;
use polder_device::device::MemoryType;
use polder_device::division::{Division, linear, mixed, slab};
use polder_device::sim::{BufferInfo, Call, ImageInfo, Layout, Preset, Sim};
use polder_device::strategy::{Buddy, Neighbours, Rules, Setup, Slab, Suballocator, Tlsf};
use polder_device::virtual_block::Detail;
use polder_device::{
    Access, Aliasing, AllocError, Allocation, Allocator, Device, DeviceError, Effort, Factory,
    Growth, HostPointer, Lifetime, Mapping, MemoryProperties, Options, Placement, Request,
    Requirements, Resource, Resources, Search, ShortageCause, Strategy, Tiling, Wish,
};
use std::sync::{Arc, Mutex, Once};

/// Device memory that the host does not see.
const HIDDEN: u32 = 0;
/// Host and device see each other's writes.
const COHERENT: u32 = 1;
/// They do not, without a flush.
const CACHED: u32 = 2;

const MARGIN: u64 = 20;
const DETECT: Aids = Aids {
    margin: MARGIN,
    detect_corruption: true,
    fill: false,
    granularity_least: 1,
    always_dedicated: false,
    align_least: 1,
};
const FILL: Aids = Aids { margin: 0, detect_corruption: false, fill: true, ..DETECT };
const ALL: Aids =
    Aids { fill: true, granularity_least: 256, always_dedicated: false, align_least: 32, ..DETECT };

const CREATED: u8 = 0xDC;
const DESTROYED: u8 = 0xEF;

/// A device with memory of each kind.
fn sim() -> Sim {
    let visible = MemoryProperties::HOST_VISIBLE;
    let kinds = [
        MemoryProperties::DEVICE_LOCAL,
        visible | MemoryProperties::HOST_COHERENT,
        visible | MemoryProperties::HOST_CACHED,
    ];
    let mut layout = Layout::default();
    layout.properties.memory_types =
        kinds.map(|properties| MemoryType { properties, heap: 0 }).to_vec();
    Sim::new(layout).expect("a device may have it")
}

fn options(aids: Aids) -> Options {
    let growth = Some(Growth { size_least: 64 << 10, size_most: 64 << 10 });
    Options { aids, growth, arenas: 1, ..Options::default() }
}

fn allocator(aids: Aids) -> Allocator<Sim> {
    Allocator::new(sim(), options(aids))
}

/// A request in one memory type.
fn request(memory_type: u32, size: u64, wish: Wish<'_>) -> Request<'_, Sim> {
    let access = if memory_type == HIDDEN { Access::DeviceOnly } else { Access::HostRandom };
    let memory_types = 1 << memory_type;
    let needs = Requirements { size, memory_types, ..Requirements::ANY };
    Request::new(needs, Wish { access, ..wish })
}

fn persistent() -> Wish<'static> {
    Wish { mapping: Mapping::Persistent, ..Wish::default() }
}

/// Changes the byte that is `past_end` bytes behind an allocation's end, as a faulty program does.
fn stain<S: Strategy<Sim>>(strategy: &S, allocation: &Allocation<Sim>, past_end: u64) {
    let first = strategy.map(allocation).unwrap().get();
    let byte = first.as_ptr().wrapping_add((allocation.size() + past_end) as usize);
    // SAFETY: The margin is mapped with its block, and no other thread uses it.
    let before = unsafe { byte.read() };
    // SAFETY: As above.
    unsafe { byte.write(!before) };
    strategy.unmap(allocation).unwrap();
}

fn bytes_at(pointer: HostPointer, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    let source = pointer.get().as_ptr();
    // SAFETY: The callers' bytes are mapped, and no other thread uses them.
    unsafe { source.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
    bytes
}

fn clean(inspection: &Inspection) -> bool {
    inspection.found.is_empty() && inspection.unread == 0
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What was logged by any test.
struct Lines(Mutex<Vec<String>>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

static LINES: Lines = Lines(Mutex::new(Vec::new()));

fn start_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Error);
    });
}

fn logged_of(name: &str) -> Vec<String> {
    LINES.0.lock().unwrap().iter().filter(|line| line.contains(name)).cloned().collect()
}

#[test]
fn a_byte_written_anywhere_in_the_margin_is_found_where_it_is() {
    let allocator = allocator(DETECT);
    for lifetime in [Lifetime::General, Lifetime::ShortLived] {
        for size in if cfg!(miri) { vec![3] } else { vec![1, 3, 1000, 4096] } {
            let wish = Wish { lifetime, ..Wish::default() };
            let make = || allocator.allocate(&request(COHERENT, size, wish)).unwrap();
            let live = [make(), make(), make()];
            for past_end in (0..MARGIN).step_by(if cfg!(miri) { 7 } else { 1 }) {
                stain(&allocator, &live[1], past_end);
                let inspection = allocator.check_corruption(1 << COHERENT).unwrap();
                assert_eq!((inspection.margins, inspection.unread), (3, 0));
                let [found] = &inspection.found[..] else { panic!("{inspection:?}") };
                assert_eq!((found.id, found.past_end), (live[1].id(), past_end));
                assert_eq!((found.size, found.offset), (size, live[1].offset()));
                assert_eq!(found.memory_type, COHERENT);
                stain(&allocator, &live[1], past_end);
                assert!(clean(&allocator.check_corruption(1 << COHERENT).unwrap()));
            }
            live.into_iter().for_each(|one| allocator.free(one).unwrap());
        }
    }
    assert_eq!(allocator.corruptions(), [], "all was whole when it was freed");
}

#[test]
fn a_free_says_once_what_it_finds() {
    start_log();
    let options = Options { backtraces: !cfg!(miri), ..options(DETECT) };
    let allocator = Allocator::new(sim(), options);
    let wish = Wish { name: Some("too short by five"), ..persistent() };
    let allocation = allocator.allocate(&request(COHERENT, 1001, wish)).unwrap();
    let (id, offset) = (allocation.id(), allocation.offset());
    stain(&allocator, &allocation, 5);
    let seen = allocator.check_corruption(u32::MAX).unwrap().found;
    assert_eq!(logged_of("too short by five"), [""; 0], "who asks is told, not the log");
    allocator.free(allocation).unwrap();
    let found = allocator.corruptions();
    assert_eq!(found, seen);
    assert_eq!((found[0].id, found[0].past_end, found[0].size), (id, 5, 1001));
    let trace = found[0].backtrace.as_deref();
    assert!(cfg!(miri) || trace.is_some_and(|trace| trace.contains("a_free_says_once")));
    let lines = logged_of("too short by five");
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let place = format!("1001 bytes at {offset}");
    for part in ["ERROR", "5 bytes past its end", &place, &id.to_string()] {
        assert!(line.contains(part), "{line} says {part}");
    }
}

#[test]
fn memory_that_cannot_be_checked_is_named() {
    let with = allocator(DETECT);
    for memory_types in [1 << HIDDEN, 1 << CACHED, 1 << HIDDEN | 1 << CACHED, 0] {
        let error = NotInspected { memory_types };
        assert_eq!(with.check_corruption(memory_types), Err(error));
    }
    assert_eq!(with.check_corruption(!7), Err(NotInspected { memory_types: 0 }));
    let skipped = with.check_corruption(u32::MAX).unwrap().skipped;
    assert_eq!(skipped, 1 << HIDDEN | 1 << CACHED);
    for memory_type in [HIDDEN, CACHED] {
        let pool = with.create_pool(&Setup { memory_type, ..Setup::default() }, &[]).unwrap();
        let error = NotInspected { memory_types: 1 << memory_type };
        assert_eq!(pool.check_corruption(), Err(error));
    }
    for aids in [Aids::default(), FILL, Aids { detect_corruption: false, ..DETECT }] {
        let error = NotInspected { memory_types: 7 };
        assert_eq!(allocator(aids).check_corruption(u32::MAX), Err(error));
    }
}

#[test]
fn a_margin_is_kept_where_it_cannot_be_checked() {
    let allocator = allocator(Aids { detect_corruption: false, ..DETECT });
    for memory_type in [HIDDEN, COHERENT, CACHED] {
        let make = |size| allocator.allocate(&request(memory_type, size, Wish::default())).unwrap();
        let count = if cfg!(miri) { 5 } else { 50 };
        let mut live: Vec<_> = (1..count).map(|number| make(number * 7)).collect();
        live.sort_by_key(|one| (format!("{:?}", one.memory()), one.offset()));
        for pair in live.windows(2) {
            let end = pair[0].offset() + pair[0].size() + MARGIN;
            assert!(pair[0].memory() != pair[1].memory() || end <= pair[1].offset());
        }
        allocator.check();
        live.into_iter().for_each(|one| allocator.free(one).unwrap());
    }
    assert_eq!(allocator.device().calls(Call::Map), 0, "nobody looks into it");
}

/// Allocations come and go, each writes all its own bytes; then one of them writes too many.
fn play<V: Division>(strategy: &Suballocator<Sim, V>, size_most: u64, searches: &[Search]) {
    let (mut random, mut live) = (Random(7), Vec::<Allocation<Sim>>::new());
    let mut found = strategy.corruptions().len();
    for step in 0..if cfg!(miri) { 8 } else { 400 } {
        if live.len() > 40 || random.below(3) == 0 && !live.is_empty() {
            let one = live.swap_remove(random.below(live.len() as u64) as usize);
            if random.below(8) == 0 {
                let past_end = random.below(MARGIN);
                stain(strategy, &one, past_end);
                let inspection = strategy.check_corruption().unwrap();
                let [seen] = &inspection.found[..] else { panic!("{inspection:?}") };
                assert_eq!((seen.id, seen.past_end), (one.id(), past_end));
                found += 1;
            }
            strategy.free(one).unwrap();
        } else {
            let search = searches[random.below(searches.len() as u64) as usize];
            let size = 1 + random.below(size_most);
            let wish = Wish { search, ..Wish::default() };
            let mut one = strategy.allocate(&request(COHERENT, size, wish)).unwrap();
            assert_eq!(one.size(), size);
            strategy.write(&mut one, 0, &vec![0x55; size as usize]).unwrap();
            live.push(one);
        }
        strategy.check();
        let inspection = strategy.check_corruption().unwrap();
        assert!(clean(&inspection), "step {step}: {inspection:?}");
        assert_eq!(inspection.margins, live.len() as u64);
        assert_eq!(strategy.used(), live.iter().map(Allocation::size).sum::<u64>());
        assert_eq!(strategy.corruptions().len(), found);
    }
    live.into_iter().for_each(|one| strategy.free(one).unwrap());
    assert_eq!(strategy.device().violations(), []);
}

#[test]
fn every_division_keeps_margins() {
    let growth = Some(Growth { size_least: 64 << 10, size_most: 64 << 10 });
    let device = || Arc::new(sim());
    let tlsf = Setup { memory_type: COHERENT, growth, ..Setup::default() };
    let upper = [Search::default(), Search::UpperAddress, Search::LowestOffset];
    play(&Tlsf::with_aids(device(), tlsf, DETECT), 5000, &upper);
    let buddy = Setup { memory_type: COHERENT, growth, ..Setup::default() };
    play(&Buddy::with_aids(device(), buddy, DETECT), 5000, &upper[..1]);
    let division = slab::Config { size_most: 5000, slots_per_slab: 4, ..slab::Config::default() };
    let slab = Setup { memory_type: COHERENT, growth, division, ..Setup::default() };
    let slab = Slab::with_aids(device(), slab, DETECT);
    play(&slab, 5000 - MARGIN, &upper[..1]);
    // What it serves at most is said without the margin.
    let size_max = 5000 - MARGIN;
    let refused = slab.allocate(&request(COHERENT, size_max + 1, Wish::default()));
    assert_eq!(cause(&refused.unwrap_err()), ShortageCause::Strategy { size_max });
}

#[test]
fn every_algorithm_of_a_pool_keeps_margins() {
    use linear::Mode;
    let allocator = allocator(DETECT);
    let general = (mixed::Config::default(), 3);
    let linear = [(Mode::Stack, 1), (Mode::DoubleStack, 2), (Mode::Ring, 1), (Mode::Adaptive, 2)];
    let linear = linear.map(|(mode, ends)| (mixed::Config::Linear(linear::Config { mode }), ends));
    let searches = [Search::default(), Search::UpperAddress, Search::LowestOffset];
    let mut found = 0;
    for (division, searches_len) in linear.into_iter().chain([general]) {
        let rules = Rules { block_size: Some(16 << 10), ..Rules::default() };
        let setup = PoolSetup::<Sim> { memory_type: COHERENT, division, rules, ..Setup::default() };
        let pool = allocator.create_pool(&setup, &[]).unwrap();
        play(&pool, 3000, &searches[..searches_len]);
        let size_max = (16 << 10) - MARGIN;
        let whole = pool.allocate(&request(COHERENT, size_max, Wish::default())).unwrap();
        let refused = pool.allocate(&request(COHERENT, size_max + 1, Wish::default()));
        assert_eq!(cause(&refused.unwrap_err()), ShortageCause::Strategy { size_max });
        stain(&*pool, &whole, 0);
        let seen = allocator.check_corruption(1 << COHERENT).unwrap();
        assert_eq!((seen.found.len(), seen.found[0].id), (1, whole.id()));
        pool.free(whole).unwrap();
        found = pool.corruptions().len();
        assert_eq!(allocator.corruptions(), pool.corruptions(), "those of pools are among all");
    }
    assert!(found > 0);
}

fn cause(error: &AllocError) -> ShortageCause {
    match error {
        AllocError::OutOfMemory(shortage) => shortage.cause,
        other => panic!("{other} is no shortage"),
    }
}

/// No unsafe code is here that the others do not run; JSON takes an interpreter a minute.
#[test]
#[cfg_attr(miri, ignore)]
fn figures_are_those_of_the_requests() {
    for margin in [0, MARGIN] {
        let allocator = allocator(Aids { margin, ..Aids::default() });
        let pool = allocator.create_pool(&Setup::default(), &[]).unwrap();
        let sizes = [100, 1, 5000, 77, 30_000];
        let make = |&size| allocator.allocate(&request(HIDDEN, size, Wish::default())).unwrap();
        let live: Vec<_> = sizes.iter().map(make).collect();
        let make = |&size| pool.allocate(&request(HIDDEN, size, Wish::default())).unwrap();
        let pooled: Vec<_> = sizes.iter().map(make).collect();
        let total: u64 = 2 * sizes.iter().sum::<u64>();
        let figures = allocator.detailed_stats().total;
        assert_eq!((figures.allocations.total(), figures.allocations.count()), (total, 10));
        assert_eq!(figures.allocations.max(), Some(30_000));
        assert_eq!(allocator.stats(HIDDEN).used, total);
        let shot = &allocator.snapshot().memory_types[HIDDEN as usize];
        assert_eq!((shot.used(), shot.allocations()), (total, 10));
        let mut free = 0;
        for block in &shot.blocks {
            let mut end = 0;
            for region in &block.regions {
                assert_eq!(region.offset, end, "regions tile the block");
                end += region.size;
                match &region.allocation {
                    Some(allocation) => assert_eq!(region.size, allocation.size),
                    None => free += 1,
                }
            }
            assert_eq!(end, block.size);
        }
        assert_eq!(figures.free_regions.count(), free);
        assert_text(&allocator.vma_json(Detail::Regions), total);
        live.into_iter().for_each(|one| allocator.free(one).unwrap());
        pooled.into_iter().for_each(|one| pool.free(one).unwrap());
    }
}

/// VMA's text has regions that tile each block, and allocations of `total` bytes.
fn assert_text(text: &str, total: u64) {
    let text: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut bytes = 0;
    let default = text["DefaultPools"].as_object().unwrap().values();
    let custom = text["CustomPools"].as_object().unwrap().values();
    let custom = custom.flat_map(|pools| pools.as_array().unwrap());
    for block in default.chain(custom).flat_map(|pool| pool["Blocks"].as_object().unwrap().values())
    {
        let mut end = 0;
        for part in block["Suballocations"].as_array().unwrap() {
            assert_eq!(part["Offset"], end, "the viewer wants the regions to tile the block");
            let size = part["Size"].as_u64().unwrap();
            end += size;
            bytes += if part["Type"] == "FREE" { 0 } else { size };
        }
        assert_eq!(block["TotalBytes"], end);
    }
    assert_eq!(bytes, total);
    assert_eq!(text["Total"]["AllocationBytes"], total);
}

/// Many small blocks, half of them empty, and what lives in them.
fn scattered(allocator: &Allocator<Sim>, memory_type: u32) -> Vec<Allocation<Sim>> {
    let count = if cfg!(miri) { 16 } else { 200 };
    let size = |number: u64| 3000 + number * 13 % 700;
    let make =
        |number| allocator.allocate(&request(memory_type, size(number), persistent())).unwrap();
    let all: Vec<_> = (0..count).map(make).collect();
    let (stay, go): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.id().slot % 2 == 0);
    go.into_iter().for_each(|one| allocator.free(one).unwrap());
    stay
}

#[test]
fn a_margin_moves_with_its_allocation() {
    let growth = Some(Growth { size_least: 16 << 10, size_most: 16 << 10 });
    let allocator = Allocator::new(sim(), Options { growth, ..options(DETECT) });
    let mut live = scattered(&allocator, COHERENT);
    let options = defragment::Options { effort: Effort::Full, ..defragment::Options::default() };
    let mut work = allocator.defragment(&options).unwrap();
    let (mut moved, mut expected) = (0, 0);
    loop {
        let moves = work.begin_pass().unwrap().to_vec();
        if moves.is_empty() {
            break;
        }
        for (number, one) in moves.iter().enumerate() {
            let place = live.iter().position(|live| live.id() == one.allocation).unwrap();
            let source = one.source.pointer.unwrap();
            let end = source.get().as_ptr().wrapping_add(one.size as usize);
            match number % 7 {
                0 => {
                    // Too much was written where it lay.
                    // SAFETY: The margin is mapped, and no other thread uses it.
                    unsafe { end.write(0) };
                    work.copied(one.id, &mut live[place]).unwrap();
                    expected += 1;
                }
                1 => {
                    // SAFETY: As above.
                    unsafe { end.wrapping_add(3).write(0) };
                    work.destroy(one.id, live.swap_remove(place)).unwrap();
                    expected += 1;
                }
                2 => work.ignore(one.id).unwrap(),
                3 => allocator.free(live.swap_remove(place)).unwrap(),
                _ => work.copied(one.id, &mut live[place]).unwrap(),
            }
            assert_eq!(allocator.corruptions().len(), expected);
            moved += 1;
        }
        let inspection = allocator.check_corruption(1 << COHERENT).unwrap();
        assert!(clean(&inspection), "{inspection:?}");
        work.end_pass().unwrap();
        allocator.check();
        let inspection = allocator.check_corruption(1 << COHERENT).unwrap();
        assert!(clean(&inspection), "{inspection:?}");
        assert_eq!(inspection.margins, live.len() as u64);
    }
    drop(work);
    assert!(moved >= if cfg!(miri) { 1 } else { 7 }, "there is something to move");
    for one in &live {
        stain(&allocator, one, MARGIN - 1);
        assert_eq!(allocator.check_corruption(1 << COHERENT).unwrap().found[0].id, one.id());
        stain(&allocator, one, MARGIN - 1);
    }
    live.into_iter().for_each(|one| allocator.free(one).unwrap());
    assert_eq!(allocator.corruptions().len(), expected);
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn places_of_moves_are_filled() {
    let growth = Some(Growth { size_least: 16 << 10, size_most: 16 << 10 });
    for memory_type in [COHERENT, CACHED] {
        let allocator = Allocator::new(sim(), Options { growth, ..options(FILL) });
        let mut live = scattered(&allocator, memory_type);
        let mut work = allocator.defragment(&defragment::Options::default()).unwrap();
        let mut moved = 0;
        loop {
            let moves = work.begin_pass().unwrap().to_vec();
            if moves.is_empty() {
                break;
            }
            for one in &moves {
                let [source, target] = [one.source, one.target].map(|place| place.pointer.unwrap());
                assert_eq!(bytes_at(target, one.size), vec![CREATED; one.size as usize]);
                let handle = live.iter_mut().find(|live| live.id() == one.allocation).unwrap();
                assert_eq!(handle.pointer(), Some(source));
                work.copied(one.id, handle).unwrap();
                moved += 1;
            }
            work.end_pass().unwrap();
        }
        drop(work);
        assert!(moved > 0, "there is something to move");
        live.into_iter().for_each(|one| allocator.free(one).unwrap());
        assert_eq!(allocator.device().violations(), []);
    }
}

#[test]
fn memory_is_filled_as_the_device_sees_it_too() {
    for (memory_type, placement) in [COHERENT, CACHED]
        .into_iter()
        .flat_map(|kind| [Placement::Auto, Placement::Dedicated].map(|place| (kind, place)))
    {
        let allocator = allocator(FILL);
        let wish = Wish { placement, ..Wish::default() };
        let size = 1000;
        let one = allocator.allocate(&request(memory_type, size, wish)).unwrap();
        let mut bytes = vec![0; size as usize];
        // In memory that is not coherent this is what the device sees.
        allocator.read(&one, 0, &mut bytes).unwrap();
        assert_eq!(bytes, vec![CREATED; size as usize]);
        allocator.free(one).unwrap();
        assert_eq!(allocator.device().violations(), []);
    }
}

#[test]
fn freed_memory_is_filled_and_its_neighbours_stay() {
    for memory_type in [COHERENT, CACHED] {
        let allocator = allocator(FILL);
        let size = 1000;
        let wish = Wish { align: 256, ..Wish::default() };
        let make = || allocator.allocate(&request(memory_type, size, wish)).unwrap();
        let mut live = [make(), make(), make()];
        for one in &mut live {
            allocator.write(one, 0, &[0x55; 1000]).unwrap();
        }
        let [before, one, after] = live;
        let (memory, offset) = (one.memory(), one.offset());
        allocator.free(one).unwrap();
        let sim = allocator.device();
        let buffer = sim.create_buffer(&BufferInfo { size, ..BufferInfo::default() }).unwrap();
        let resource = Resource::Buffer(buffer);
        // SAFETY: Both are live, and nobody has the place.
        unsafe { sim.bind(resource, memory, offset) }.unwrap();
        // SAFETY: No other thread is there.
        let found = unsafe { sim.read_device(resource, 0..size) }.unwrap();
        assert_eq!(found, vec![DESTROYED; size as usize]);
        // SAFETY: It was made above.
        unsafe { sim.destroy(resource) };
        for one in [before, after] {
            let mut bytes = vec![0; size as usize];
            allocator.read(&one, 0, &mut bytes).unwrap();
            assert_eq!(bytes, vec![0x55; size as usize]);
            allocator.free(one).unwrap();
        }
        assert_eq!(allocator.device().violations(), []);
    }
}

#[test]
fn what_the_host_does_not_see_or_does_not_own_is_not_filled() {
    let allocator = allocator(ALL);
    let hidden = allocator.allocate(&request(HIDDEN, 1000, Wish::default())).unwrap();
    allocator.free(hidden).unwrap();
    let extra = 7;
    let wish = Wish { placement: Placement::Dedicated, ..Wish::default() };
    let mut imported = request(COHERENT, 1000, wish);
    imported.extra = Some(&extra);
    let imported = allocator.allocate(&imported).unwrap();
    assert_eq!(allocator.device().calls(Call::Map), 0);
    let mut bytes = [1; 1000];
    allocator.read(&imported, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 1000], "as the device gave it");
    allocator.free(imported).unwrap();

    let rules = Rules { extra: Some(7), ..Rules::default() };
    let pool = Setup { memory_type: COHERENT, rules, ..Setup::default() };
    let pool = allocator.create_pool(&pool, &[]).unwrap();
    let imported = pool.allocate(&request(COHERENT, 1000, Wish::default())).unwrap();
    pool.read(&imported, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 1000], "as the device gave the pool its block");
    pool.free(imported).unwrap();
}

#[test]
fn when_an_aid_fails_the_allocation_does_not() {
    for (call, memory_type) in [(Call::Map, COHERENT), (Call::Map, CACHED), (Call::Flush, CACHED)] {
        for n in 1..=if cfg!(miri) { 1 } else { 12 } {
            let allocator = allocator(ALL);
            let sim = allocator.device();
            sim.fail(call, n, call.usual_error().unwrap());
            let mut live = Vec::new();
            for size in [100, 20_000, 30_000, 31_000, 25_000, 30_000] {
                let wish = Wish::default();
                live.push(allocator.allocate(&request(memory_type, size, wish)).unwrap());
            }
            let alone = Wish { placement: Placement::Dedicated, ..Wish::default() };
            live.push(allocator.allocate(&request(memory_type, 100, alone)).unwrap());
            if memory_type == COHERENT {
                let seen = allocator.check_corruption(1 << COHERENT).unwrap();
                assert_eq!((seen.found, seen.margins + seen.unread), (vec![], 6));
            }
            live.into_iter().for_each(|one| allocator.free(one).unwrap());
            allocator.check();
            assert_eq!((allocator.corruptions(), allocator.used()), (vec![], 0));
            assert_eq!(sim.violations(), []);
        }
    }
}

#[test]
fn a_block_that_cannot_be_mapped_is_counted_as_unread() {
    let allocator = allocator(DETECT);
    let sim = allocator.device();
    sim.fail(Call::Map, 1, DeviceError::MapFailed);
    let wish = Wish::default();
    let first = allocator.allocate(&request(COHERENT, 100, wish)).unwrap();
    let second = allocator.allocate(&request(COHERENT, 100, wish)).unwrap();
    let seen = allocator.check_corruption(1 << COHERENT).unwrap();
    assert_eq!((seen.margins, seen.unread), (1, 1), "the first has no pattern");
    stain(&allocator, &first, 0);
    assert_eq!(allocator.check_corruption(1 << COHERENT).unwrap().found, []);
    // Frees let the mapping end that nobody uses.
    while sim.live().mapped > 0 {
        let short = allocator.allocate(&request(COHERENT, 100, wish)).unwrap();
        allocator.free(short).unwrap();
    }
    sim.fail(Call::Map, 1, DeviceError::MapFailed);
    let seen = allocator.check_corruption(1 << COHERENT).unwrap();
    assert_eq!((seen.margins, seen.unread), (0, 2));
    let seen = allocator.check_corruption(1 << COHERENT).unwrap();
    assert_eq!((seen.margins, seen.unread), (1, 1));
    allocator.free(first).unwrap();
    allocator.free(second).unwrap();
}

/// Each call of an allocation with all aids fails once: it succeeds all the same, or nothing has
/// changed.
#[test]
fn every_call_fails_once_with_all_aids() {
    let wishes = [Mapping::Counted, Mapping::Persistent].into_iter().flat_map(|mapping| {
        [Placement::Auto, Placement::Dedicated].map(|placement| Wish {
            mapping,
            placement,
            ..Wish::default()
        })
    });
    let cases = wishes.flat_map(|wish| [(wish, CACHED), (wish, COHERENT)]);
    for (wish, memory_type) in cases.take(if cfg!(miri) { 1 } else { usize::MAX }) {
        for n in 1.. {
            let allocator = allocator(ALL);
            let sim = allocator.device();
            let other = allocator.allocate(&request(memory_type, 60_000, wish)).unwrap();
            let (before, blocks) = (allocator.snapshot(), sim.live().blocks);
            sim.fail_any(n);
            let made = allocator.allocate(&request(memory_type, 20_000, wish));
            let is_over = sim.pending_failures() > 0;
            sim.clear_failures();
            allocator.check();
            match made {
                Ok(one) => allocator.free(one).unwrap(),
                Err(_) => {
                    assert!(!is_over, "without a failure it succeeds");
                    assert_eq!((allocator.snapshot(), sim.live().blocks), (before, blocks));
                }
            }
            allocator.free(other).unwrap();
            assert_eq!((allocator.corruptions(), sim.violations()), (vec![], vec![]));
            allocator.shutdown().unwrap();
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn a_granularity_is_forced_up() {
    let page = 4096;
    let aids = Aids { granularity_least: page, ..Aids::default() };
    let allocator = Allocator::new(Sim::preset(Preset::Lavapipe), options(aids));
    assert_eq!(allocator.properties().limits.granularity, 64, "less than is forced");
    let pool = |neighbours| {
        let rules = Rules { neighbours, ..Rules::default() };
        allocator.create_pool(&Setup { rules, ..Setup::default() }, &[]).unwrap()
    };
    let (apart, alike) = (pool(Neighbours::Apart), pool(Neighbours::Alike));
    let shares = |strategy: &dyn Strategy<Sim>| {
        let tilings = [Tiling::Linear, Tiling::Optimal].into_iter().cycle().take(if cfg!(miri) {
            4
        } else {
            20
        });
        let make = |tiling| {
            let needs = Requirements { size: 300, ..Requirements::ANY };
            let request = Request { tiling, ..Request::new(needs, Wish::default()) };
            (strategy.allocate(&request).unwrap(), tiling)
        };
        let live: Vec<_> = tilings.map(make).collect();
        let shares = live.iter().any(|(one, tiling)| {
            live.iter().any(|(other, other_tiling)| {
                one.memory() == other.memory()
                    && tiling != other_tiling
                    && (one.offset() + one.size() - 1) / page == other.offset() / page
            })
        });
        live.into_iter().for_each(|(one, _)| strategy.free(one).unwrap());
        shares
    };
    assert!(!shares(&allocator) && !shares(&*apart));
    assert!(shares(&*alike), "who answers for it is believed");
    let plain = Allocator::new(Sim::preset(Preset::Lavapipe), options(Aids::default()));
    assert!(shares(&plain), "the test can fail");
}

#[test]
fn every_offset_is_a_multiple_of_the_least_alignment() {
    let aids = Aids { align_least: 512, margin: MARGIN, ..Aids::default() };
    let allocator = allocator(aids);
    let pool = allocator.create_pool(&Setup::default(), &[]).unwrap();
    let rules = Rules { align: 1024, ..Rules::default() };
    let wider = allocator.create_pool(&Setup { rules, ..Setup::default() }, &[]).unwrap();
    let strategies: [(&dyn Strategy<Sim>, u64); 3] =
        [(&allocator, 512), (&*pool, 512), (&*wider, 1024)];
    for (strategy, align) in strategies {
        let make = |size| strategy.allocate(&request(HIDDEN, size, Wish::default())).unwrap();
        let live: Vec<_> = (1..if cfg!(miri) { 5 } else { 40 }).map(make).collect();
        assert!(live.iter().all(|one| one.offset() % align == 0));
        live.into_iter().for_each(|one| strategy.free(one).unwrap());
    }
}

#[test]
fn every_allocation_is_alone_that_may_be() {
    let aids = Aids { always_dedicated: true, ..ALL };
    let allocator = allocator(aids);
    let ruled = Rules { block_size: Some(64 << 10), ..Rules::default() };
    let ruled = allocator.create_pool(&Setup { rules: ruled, ..Setup::default() }, &[]).unwrap();
    let filled = Rules { blocks_least: 1, ..Rules::default() };
    let filled = allocator.create_pool(&Setup { rules: filled, ..Setup::default() }, &[]).unwrap();
    let dedicated = |strategy: &dyn Strategy<Sim>, wish| {
        let one = strategy.allocate(&request(HIDDEN, 100, wish)).unwrap();
        let size = allocator.device().block(one.memory()).unwrap().size;
        strategy.free(one).unwrap();
        size == 100
    };
    for lifetime in [Lifetime::General, Lifetime::ShortLived] {
        let wish = Wish { lifetime, ..Wish::default() };
        assert!(dedicated(&allocator, wish) && dedicated(&*filled, wish));
        assert!(!dedicated(&*ruled, wish), "all its blocks have one size");
    }
    let existing = Wish { placement: Placement::Existing, ..Wish::default() };
    assert!(!dedicated(&*filled, existing), "no new block, as was asked");
    let refused = allocator.allocate(&request(HIDDEN, 100, existing)).unwrap_err();
    assert_eq!(cause(&refused), ShortageCause::NewBlockForbidden);
    let buffer = allocator.create_buffer(&BufferInfo::default(), &Wish::default()).unwrap();
    let info = allocator.info(buffer.allocation()).unwrap();
    assert!(info.dedicated && info.block_size == info.size, "and has no margin");
    allocator.destroy_buffer(buffer).unwrap();
    let image = allocator.create_image(&ImageInfo::default(), &Wish::default()).unwrap();
    assert!(allocator.info(image.allocation()).unwrap().dedicated);
    allocator.destroy_image(image).unwrap();
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn when_blocks_run_out_nobody_shares_who_is_always_alone() {
    let mut layout = Layout::default();
    layout.properties.limits.block_count_max = 3;
    let aids = Aids { always_dedicated: true, ..Aids::default() };
    let allocator = Allocator::new(Sim::new(layout).unwrap(), options(aids));
    let make = || allocator.allocate(&request(0, 64, Wish::default()));
    let live: Vec<_> = (0..3).map(|_| make().unwrap()).collect();
    assert_eq!(cause(&make().unwrap_err()), ShortageCause::BlockCount { count_max: 3 });
    live.into_iter().for_each(|one| allocator.free(one).unwrap());
}

#[test]
fn resources_in_the_same_bytes_keep_the_margin() {
    let allocator = allocator(ALL);
    let wish = Wish { aliasing: Aliasing::Allowed, access: Access::HostRandom, ..Wish::default() };
    let info = BufferInfo { size: 1000, ..BufferInfo::default() };
    let wish = Wish { memory_types: 1 << COHERENT, ..wish };
    let buffer = allocator.create_buffer(&info, &wish).unwrap();
    let half = BufferInfo { size: 500, ..info };
    let offset = (buffer.allocation().size() / 2).next_multiple_of(256) - 256;
    let alias = allocator.create_aliasing_buffer(&half, buffer.allocation(), offset).unwrap();
    let sim = allocator.device();
    // SAFETY: No other thread is there.
    unsafe { sim.write_device(Resource::Buffer(alias), 0, &[9; 500]) }.unwrap();
    assert!(clean(&allocator.check_corruption(1 << COHERENT).unwrap()));
    // SAFETY: It was made above, and nothing uses it.
    unsafe { sim.destroy(Resource::Buffer(alias)) };
    allocator.destroy_buffer(buffer).unwrap();
    assert_eq!((allocator.corruptions(), sim.violations()), (vec![], vec![]));
}

#[test]
fn the_largest_requests_have_room_for_no_margin() {
    let allocator = allocator(DETECT);
    let heap = allocator.properties().heaps[0].size;
    let whole = allocator.allocate(&request(HIDDEN, heap, Wish::default())).unwrap();
    allocator.free(whole).unwrap();
    let error = allocator.allocate(&request(HIDDEN, u64::MAX, Wish::default())).unwrap_err();
    assert!(matches!(error, AllocError::TooLarge { size: u64::MAX, .. }));
}

#[test]
fn threads_that_do_nothing_wrong_are_not_blamed() {
    let allocator = Allocator::new(sim(), Options { arenas: 2, ..options(ALL) });
    let steps = if cfg!(miri) { 8 } else { 2000 };
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let allocator = &allocator;
            scope.spawn(move || {
                let (mut random, mut live) = (Random(seed), Vec::new());
                for step in 0..steps {
                    let kind = COHERENT + random.below(2) as u32;
                    let size = 1 + random.below(5000);
                    let mut one =
                        allocator.allocate(&request(kind, size, Wish::default())).unwrap();
                    allocator.write(&mut one, 0, &vec![seed as u8; size as usize]).unwrap();
                    live.push(one);
                    if live.len() > 20 {
                        let old = live.swap_remove(random.below(20) as usize);
                        allocator.free(old).unwrap();
                    }
                    if step % 50 == 0 {
                        assert!(clean(&allocator.check_corruption(1 << COHERENT).unwrap()));
                    }
                }
                live.into_iter().for_each(|one| allocator.free(one).unwrap());
            });
        }
    });
    allocator.check();
    assert_eq!((allocator.corruptions(), allocator.used()), (vec![], 0));
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn aids_that_cannot_be_are_named() {
    let sim = sim();
    let check = |aids: Aids| aids.check(sim.properties()).unwrap_err();
    let plain = Aids::default();
    assert_eq!(plain.check(sim.properties()), Ok(()));
    assert_eq!(ALL.check(sim.properties()), Ok(()));
    assert_eq!(check(Aids { margin: 6, ..plain }), BadAids::MarginInPieces { margin: 6 });
    assert_eq!(check(Aids { detect_corruption: true, ..plain }), BadAids::NoMargin);
    let heap = sim.properties().heaps[0].size;
    let (margin, most) = (1 << 63, u64::MAX / 2 - heap);
    assert_eq!(check(Aids { margin, ..plain }), BadAids::MarginTooLarge { margin, most });
    let name = "granularity_least";
    let bad = BadAids::NotPowerOfTwo { name, value: 0 };
    assert_eq!(check(Aids { granularity_least: 0, ..plain }), bad);
    let bad = BadAids::NotPowerOfTwo { name: "align_least", value: 24 };
    assert_eq!(check(Aids { align_least: 24, ..plain }), bad);
}

#[test]
#[should_panic(expected = "a margin is a multiple of 4 bytes, and 2 is none")]
fn an_allocator_with_such_aids_is_not_made() {
    drop(allocator(Aids { margin: 2, ..Aids::default() }));
}

#[test]
fn a_leak_in_a_pool_has_its_name_and_where_it_was_made() {
    start_log();
    let options = Options { backtraces: !cfg!(miri), ..Options::default() };
    let allocator = Allocator::new(sim(), options);
    let pool = allocator.create_pool(&Setup::default(), &[]).unwrap();
    let wish = Wish { name: Some("lost in a pool"), ..Wish::default() };
    drop(pool.allocate(&request(HIDDEN, 1234, wish)).unwrap());
    let leaks = pool.leaks();
    assert_eq!((leaks.len(), leaks[0].size), (1, 1234));
    assert_eq!(leaks[0].name.as_deref(), Some("lost in a pool"));
    let trace = leaks[0].backtrace.as_deref();
    assert!(cfg!(miri) || trace.is_some_and(|trace| trace.contains("a_leak_in_a_pool")));
    drop(pool);
    let lines = logged_of("lost in a pool");
    assert_eq!(lines.len(), 1);
    assert!(cfg!(miri) || lines[0].contains("a_leak_in_a_pool"), "{}", lines[0]);
    assert_eq!(allocator.device().live().blocks, 0);
}
