//! The memory type of each intent is the one that VMA chooses, on the device of every preset.

use polder_device::sim::{BufferInfo, BufferUsage, Preset, Sim};
use polder_device::{
    Access, Aliasing, AllocError, Allocator, Contradiction, DedicatedWish, DeviceKind,
    DeviceProperties, Factory, HostAccess, Intent, Mapping, MemoryProperties, Options, Placement,
    Request, Requirements, Search, ShortageCause, Strategy, Usage, UsedBy, Wish,
};

const USAGES: [Usage; 10] = [
    Usage::Auto,
    Usage::PreferDevice,
    Usage::PreferHost,
    Usage::Unknown,
    Usage::DeviceOnly,
    Usage::HostOnly,
    Usage::HostToDevice,
    Usage::DeviceToHost,
    Usage::HostCopy,
    Usage::LazilyAllocated,
];

const LOCAL: u32 = 1;
const VISIBLE: u32 = 2;
const COHERENT: u32 = 4;
const CACHED: u32 = 8;
const LAZY: u32 = 16;
const AMD: u32 = 64 | 128;

/// VMA's masks: required, preferred, not preferred.
fn masks(intent: &Intent, integrated: bool, device_access: bool) -> [u32; 3] {
    let (own_required, own_preferred) = (intent.required.bits(), intent.preferred.bits());
    let local = if integrated && own_preferred & VISIBLE != 0 { 0 } else { LOCAL };
    let (device, host) = (intent.usage == Usage::PreferDevice, intent.usage == Usage::PreferHost);
    let (sequential, random, transfer) = match intent.host {
        HostAccess::None => (false, false, false),
        HostAccess::Sequential => (true, false, false),
        HostAccess::Random => (false, true, false),
        HostAccess::SequentialOrTransfer => (true, false, true),
        HostAccess::RandomOrTransfer => (false, true, true),
    };
    let instead = transfer && !integrated && device_access && !host;
    let [required, preferred, avoided] = match intent.usage {
        Usage::Unknown => [0, 0, 0],
        Usage::DeviceOnly => [0, local, 0],
        Usage::HostOnly => [VISIBLE | COHERENT, 0, 0],
        Usage::HostToDevice => [VISIBLE, local, 0],
        Usage::DeviceToHost => [VISIBLE, CACHED, 0],
        Usage::HostCopy => [0, 0, LOCAL],
        Usage::LazilyAllocated => [LAZY, 0, 0],
        _ if random && instead => [0, CACHED | LOCAL, 0],
        _ if random => [VISIBLE, CACHED, 0],
        _ if sequential && instead => [0, LOCAL | VISIBLE, CACHED],
        _ if sequential && host => [VISIBLE, 0, CACHED | LOCAL],
        _ if sequential && (device_access || device) => [VISIBLE, LOCAL, CACHED],
        _ if sequential => [VISIBLE, 0, CACHED | LOCAL],
        _ if host => [0, 0, LOCAL],
        _ => [0, LOCAL, 0],
    };
    let asks = (own_required | own_preferred) & AMD != 0;
    let uncached = if asks { 0 } else { 128 };
    [required | own_required, preferred | own_preferred, avoided | uncached]
}

/// VMA's choice: the first of the cheapest, by counting bits.
fn choice(properties: &DeviceProperties, allowed: u32, masks: [u32; 3]) -> Option<u32> {
    let [required, preferred, avoided] = masks;
    let fits = (0..).zip(&properties.memory_types).filter_map(|(index, kind)| {
        let has = kind.properties.bits();
        let fits = allowed >> index & 1 == 1 && required & !has == 0;
        fits.then(|| ((preferred & !has).count_ones() + (avoided & has).count_ones(), index))
    });
    fits.min().map(|(_, index)| index)
}

/// Each intent that a user can have, with properties of the user's own.
fn intents() -> impl Iterator<Item = Intent> {
    let own = [0, LOCAL, VISIBLE, CACHED, COHERENT | CACHED, 64, 128];
    let own = own.map(MemoryProperties::from_bits_retain);
    USAGES.into_iter().flat_map(move |usage| {
        HostAccess::ALL.into_iter().flat_map(move |host| {
            own.into_iter().flat_map(move |required| {
                own.into_iter().map(move |preferred| Intent {
                    usage,
                    host,
                    required,
                    preferred,
                    mapping: Mapping::Counted,
                })
            })
        })
    })
}

#[test]
#[cfg_attr(miri, ignore = "exhaustive arithmetic without unsafe")]
fn the_type_is_the_one_that_vma_chooses() {
    for preset in Preset::ALL {
        let allocator = Allocator::new(Sim::preset(preset), Options::default());
        let properties = allocator.properties();
        let integrated = properties.kind == DeviceKind::IntegratedGpu;
        for intent in intents() {
            for used_by in [UsedBy::Transfers, UsedBy::Device] {
                let wish = intent.wish(properties.kind, used_by).unwrap();
                let masks = masks(&intent, integrated, used_by == UsedBy::Device);
                for allowed in [u32::MAX, !1, 0b1010_1010, 0b0101_0110] {
                    let found = allocator.find_memory_type(allowed, &wish);
                    let expected = choice(properties, allowed, masks);
                    assert_eq!(found, expected, "{preset:?} {intent:?} {used_by:?} {allowed:b}");
                }
            }
        }
    }
}

#[test]
fn the_type_stays_vma_s_choice_when_new_blocks_are_needed() {
    let allocator = navi();
    let intent = Intent { usage: Usage::HostOnly, ..Intent::default() };
    let wish = intent.wish(DeviceKind::DiscreteGpu, UsedBy::Device).unwrap();
    let expected = allocator.find_memory_type(u32::MAX, &wish);
    let needs = Requirements { size: 16 << 20, ..NEEDS };
    let live: Vec<_> =
        (0..8).map(|_| allocator.allocate(&Request::new(needs, wish)).unwrap()).collect();
    for allocation in live {
        assert_eq!(Some(allocation.memory_type()), expected);
        allocator.free(allocation).unwrap();
    }
}

fn navi() -> Allocator<Sim> {
    Allocator::new(Sim::preset(Preset::AmdNavi31), Options::default())
}

const NEEDS: Requirements = Requirements { size: 1000, align: 16, ..Requirements::ANY };

#[test]
fn an_intent_that_contradicts_itself_is_named() {
    let mapped = Intent { mapping: Mapping::WhereVisible, ..Intent::of(Usage::Auto) };
    let kind = DeviceKind::DiscreteGpu;
    let error = mapped.wish(kind, UsedBy::Device).unwrap_err();
    assert_eq!(error, Contradiction::MappedWithoutHostAccess);
    let error = Intent::of(Usage::PreferHost).wish(kind, UsedBy::Unknown).unwrap_err();
    assert_eq!(error, Contradiction::UnknownUse);
    let old = Intent { usage: Usage::HostOnly, ..mapped };
    assert!(old.wish(kind, UsedBy::Unknown).is_ok(), "the old usages ask for nothing");
}

#[test]
fn a_resource_says_what_it_is_used_by() {
    let allocator = navi();
    let intent = Intent { host: HostAccess::Sequential, ..Intent::of(Usage::Auto) };
    let buffer = |usage| BufferInfo { usage, ..BufferInfo::default() };
    let upload = allocator.buffer_wish(&buffer(BufferUsage::TRANSFER), &intent).unwrap();
    assert_eq!(upload.avoided & MemoryProperties::DEVICE_LOCAL, MemoryProperties::DEVICE_LOCAL);
    let uniform = allocator.buffer_wish(&buffer(BufferUsage::UNIFORM), &intent).unwrap();
    assert_eq!(uniform.preferred, MemoryProperties::DEVICE_LOCAL);
    let image = allocator.image_wish(&Default::default(), &Intent::of(Usage::Auto)).unwrap();
    assert_eq!(image.preferred, MemoryProperties::DEVICE_LOCAL);
}

#[test]
fn an_existing_block_is_used_or_the_error_says_why_not() {
    let allocator = navi();
    let wish = Wish { placement: Placement::Existing, ..Wish::default() };
    let request = Request::new(NEEDS, wish);
    match allocator.allocate(&request).unwrap_err() {
        AllocError::OutOfMemory(error) => {
            assert_eq!(error.cause, ShortageCause::NewBlockForbidden);
        }
        error => panic!("{error}"),
    }
    assert_eq!(allocator.held(), 0, "no block was taken");
    let first = allocator.allocate(&Request::new(NEEDS, Wish::default())).unwrap();
    let second = allocator.allocate(&request).unwrap();
    assert_eq!(second.memory(), first.memory());
    let preferred = Requirements { dedicated: DedicatedWish::Preferred, ..NEEDS };
    let third = allocator.allocate(&Request::new(preferred, wish)).unwrap();
    assert_eq!(third.memory(), first.memory(), "a preference is no need");
    let required = Requirements { dedicated: DedicatedWish::Required, ..NEEDS };
    let error = allocator.allocate(&Request::new(required, wish)).unwrap_err();
    assert_eq!(error, AllocError::Contradiction(Contradiction::NewBlockForbidden));
    [first, second, third].into_iter().for_each(|one| allocator.free(one).unwrap());
    allocator.shutdown().unwrap();
}

#[test]
fn a_wish_narrows_types_and_widens_alignment() {
    let allocator = navi();
    let wish = Wish { memory_types: 0b10, align: 4096, ..Wish::of(Access::Stated) };
    let one = allocator.allocate(&Request::new(NEEDS, wish)).unwrap();
    let two = allocator.allocate(&Request::new(NEEDS, wish)).unwrap();
    assert_eq!((one.memory_type(), two.memory_type()), (1, 1));
    assert_eq!((one.offset() % 4096, two.offset() % 4096), (0, 0));
    let wide = Requirements { align: 1 << 16, ..NEEDS };
    assert_eq!(Request::<Sim>::new(wide, wish).requirements.align, 1 << 16);
    let bad = Wish { align: 3, ..wish };
    let error = allocator.allocate(&Request::new(NEEDS, bad)).unwrap_err();
    assert_eq!(error, AllocError::BadAlign { align: 3 });
    let none = Wish { memory_types: 0, ..wish };
    let error = allocator.allocate(&Request::new(NEEDS, none)).unwrap_err();
    assert!(matches!(error, AllocError::NoMemoryType { memory_types: 0, .. }));
    allocator.free(one).unwrap();
    allocator.free(two).unwrap();
}

#[test]
fn what_is_mapped_where_visible_is_mapped_there_and_nowhere_else() {
    let allocator = navi();
    let wish = Wish { mapping: Mapping::WhereVisible, ..Wish::default() };
    let hidden = allocator.allocate(&Request::new(NEEDS, wish)).unwrap();
    assert_eq!(hidden.pointer(), None);
    let visible = Wish { required: MemoryProperties::HOST_VISIBLE, ..wish };
    for placement in [Placement::Auto, Placement::Dedicated] {
        let wish = Wish { placement, ..visible };
        let mapped = allocator.allocate(&Request::new(NEEDS, wish)).unwrap();
        assert!(mapped.pointer().is_some());
        allocator.free(mapped).unwrap();
    }
    allocator.free(hidden).unwrap();
    assert_eq!(allocator.device().violations(), []);
}

#[test]
fn a_block_for_aliases_is_told_of_no_resource() {
    let allocator = navi();
    let info = BufferInfo::default();
    for (aliasing, is_told) in [(Aliasing::Never, true), (Aliasing::Allowed, false)] {
        let wish = Wish { placement: Placement::Dedicated, aliasing, ..Wish::default() };
        let buffer = allocator.create_buffer(&info, &wish).unwrap();
        let block = allocator.device().block(buffer.allocation().memory()).unwrap();
        assert_eq!(block.dedicated.is_some(), is_told);
        allocator.destroy_buffer(buffer).unwrap();
    }
}

#[test]
fn lazily_allocated_memory_is_alone() {
    let wish = Intent::of(Usage::LazilyAllocated).wish(DeviceKind::Other, UsedBy::Unknown);
    assert_eq!(wish.unwrap().placement, Placement::Dedicated);
}

#[test]
fn upper_addresses_are_served_by_general_blocks() {
    let allocator = navi();
    let low = allocator.allocate(&Request::new(NEEDS, Wish::default())).unwrap();
    let wish = Wish { search: Search::UpperAddress, ..Wish::default() };
    let high = allocator.allocate(&Request::new(NEEDS, wish)).unwrap();
    assert!(high.offset() > low.offset() + 100_000, "the other end of the block");
    allocator.free(low).unwrap();
    allocator.free(high).unwrap();
}

#[test]
fn a_ring_has_no_upper_end() {
    use polder_device::Lifetime;
    let allocator = navi();
    let short = Wish { lifetime: Lifetime::ShortLived, ..Wish::default() };
    let one = allocator.allocate(&Request::new(NEEDS, short)).unwrap();
    let upper = Wish { search: Search::UpperAddress, ..short };
    let error = allocator.allocate(&Request::new(NEEDS, upper)).unwrap_err();
    assert_eq!(error, AllocError::Contradiction(Contradiction::NoUpperEnd));
    allocator.free(one).unwrap();
}
