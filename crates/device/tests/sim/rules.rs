//! Each rule, broken once by each kind of call that can.

use super::*;

/// What a test can see of a device.
#[derive(Debug, PartialEq)]
struct View {
    live: Live,
    held: u64,
    bytes: Vec<u8>,
}

/// A device with a mapped block of 128 KiB of type 0, in which lies `first`, a buffer of
/// 256 bytes at 0, and an unbound `other`.
struct Stage {
    sim: Sim,
    memory: Memory,
    first: SimResource,
    other: SimResource,
}

impl Stage {
    fn new() -> Self {
        let sim = sim();
        let memory = sim.allocate(&order(1 << 17, 0)).unwrap();
        sim.map_it(memory).unwrap();
        let (first, other) = (buffer(&sim, 256), buffer(&sim, 256));
        sim.bind_it(first, memory, 0).unwrap();
        sim.write(first, 0, &[5; 256]).unwrap();
        Self { sim, memory, first, other }
    }

    fn view(&self) -> View {
        let Self { sim, first, .. } = self;
        let bytes = sim.read(*first, 0..256).unwrap();
        View { live: sim.live(), held: sim.held(0), bytes }
    }

    fn buffer(&self) -> Buffer {
        let Resource::Buffer(buffer) = self.first else { unreachable!("first is a buffer") };
        buffer
    }

    fn allocate(&self, change: impl FnOnce(&mut SimOrder)) -> Result {
        let mut order = order(4096, 0);
        change(&mut order);
        self.sim.allocate(&order).map(drop)
    }

    fn create_image(&self, change: impl FnOnce(&mut ImageInfo)) -> Result {
        let mut info = SMALL_IMAGE;
        change(&mut info);
        self.sim.create_image(&info).map(drop)
    }

    fn create_buffer(&self, size: u64, usage: BufferUsage) -> Result {
        self.sim.create_buffer(&BufferInfo { size, usage }).map(drop)
    }

    /// Makes what `make` makes, tries to bind it, and destroys it.
    fn bind_new(&self, resource: SimResource, offset: u64) -> Result {
        let result = self.sim.bind_it(resource, self.memory, offset);
        self.sim.destroy_it(resource);
        result
    }

    /// Uses a handle whose owner is gone, while another one lives in its slot.
    fn with_stale<T: Copy>(
        &self,
        make: impl Fn() -> T,
        end: impl Fn(T),
        work: impl FnOnce(T) -> Result,
    ) -> Result {
        let stale = make();
        end(stale);
        let next = make();
        let result = work(stale);
        end(next);
        result
    }

    fn dedicated(&self, work: impl FnOnce(Memory, SimResource) -> Result) -> Result {
        let own = buffer(&self.sim, 512);
        let order = Order { dedicated: Some(own), ..order(512, 0) };
        let memory = self.sim.allocate(&order)?;
        let result = work(memory, own);
        self.sim.release(memory);
        self.sim.destroy_it(own);
        result
    }
}

/// Breaks a rule by each call that can.
fn break_rule(stage: &Stage, rule: Rule) -> Vec<Result> {
    let Stage { sim, memory, first, other } = stage;
    let (memory, first, other) = (*memory, *first, *other);
    match rule {
        Rule::LiveMemory => break_live_memory(stage),
        Rule::LiveBuffer | Rule::LiveImage => break_live_resource(stage, rule),
        Rule::BlockNotEmpty => vec![stage.allocate(|order| order.size = 0)],
        Rule::BlockSize => vec![stage.allocate(|order| order.size = (1 << 19) + 1)],
        Rule::HeapSize => break_heap_size(),
        Rule::MemoryTypeNumber => vec![stage.allocate(|order| order.memory_type = 5)],
        Rule::Priority => vec![
            stage.allocate(|order| order.priority = 1.01),
            stage.allocate(|order| order.priority = -0.5),
            stage.allocate(|order| order.priority = f32::NAN),
        ],
        Rule::DeviceMask => {
            [0b10, u32::MAX].map(|mask| stage.allocate(|order| order.device_mask = mask)).to_vec()
        }
        Rule::MappedInstance => break_mapped_instance(),
        Rule::DedicatedSize => vec![stage.allocate(|order| order.dedicated = Some(other))],
        Rule::FreeWhileBound => {
            sim.release(memory);
            vec![]
        }
        Rule::HostVisible => {
            let hidden = sim.allocate(&order(64, 2)).unwrap();
            let result = sim.map_it(hidden).map(drop);
            sim.release(hidden);
            vec![result]
        }
        Rule::MappedOnce => vec![sim.map_it(memory).map(drop)],
        Rule::Mapped => break_mapped(stage),
        #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
        Rule::MappedRange => [64..64, (1 << 17) - 64..(1 << 17) + 64, 64..0]
            .map(|range: Range<u64>| sim.flush_it(memory, range))
            .to_vec(),
        Rule::Atom => vec![
            sim.flush_it(memory, 32..64),
            sim.flush_it(memory, 0..65),
            sim.invalidate_it(memory, 32..64),
        ],
        Rule::ResourceSize
        | Rule::HasUsage
        | Rule::ImageExtent
        | Rule::MipLevels
        | Rule::Transient
        | Rule::HasMemoryType => break_creation(stage, rule),
        Rule::Bound | Rule::WorkRange | Rule::Transfer | Rule::CopyOverlap => {
            break_work(stage, rule)
        }
        Rule::BoundOnce => vec![sim.bind_it(first, memory, 4096)],
        _ => break_binding(stage, rule),
    }
}

fn break_live_memory(stage: &Stage) -> Vec<Result> {
    let Stage { sim, other, .. } = stage;
    let use_stale = |work: &dyn Fn(Memory) -> Result| {
        let make = || sim.allocate(&order(4096, 0)).unwrap();
        stage.with_stale(make, |memory| sim.release(memory), work)
    };
    use_stale(&|stale| {
        sim.release(stale);
        sim.unmap_it(stale);
        Ok(())
    })
    .unwrap();
    vec![
        use_stale(&|stale| sim.map_it(stale).map(drop)),
        use_stale(&|stale| sim.flush_it(stale, 0..64)),
        use_stale(&|stale| sim.invalidate_it(stale, 0..64)),
        use_stale(&|stale| sim.bind_it(*other, stale, 0)),
    ]
}

fn break_live_resource(stage: &Stage, rule: Rule) -> Vec<Result> {
    let Stage { sim, memory, .. } = stage;
    let make = || match rule {
        Rule::LiveBuffer => buffer(sim, 256),
        _ => image(sim, SMALL_IMAGE),
    };
    let use_stale = |work: &dyn Fn(SimResource) -> Result| {
        stage.with_stale(make, |resource| sim.destroy_it(resource), work)
    };
    use_stale(&|stale| {
        sim.destroy_it(stale);
        assert_eq!(sim.needs(stale).memory_types, 0);
        Ok(())
    })
    .unwrap();
    vec![
        use_stale(&|stale| sim.bind_it(stale, *memory, 1 << 16)),
        use_stale(&|stale| sim.read(stale, 0..1).map(drop)),
        use_stale(&|stale| stage.allocate(|order| order.dedicated = Some(stale))),
    ]
}

/// The stage's heap is larger than its largest block, so another device has to do.
fn break_heap_size() -> Vec<Result> {
    let mut layout = layout();
    layout.properties.heaps[0].size = 1024;
    let sim = Sim::new(layout).unwrap();
    let error = sim.allocate(&order(2048, 0)).unwrap_err();
    assert_eq!(error, DeviceError::Invalid { rule: Rule::HeapSize.text() });
    assert_eq!(sim.violations()[0].rule, Rule::HeapSize);
    assert_eq!(sim.held(0), 0);
    vec![]
}

/// A group of two, of which each has its own of the heap.
fn break_mapped_instance() -> Vec<Result> {
    let mut layout = layout();
    layout.properties.group = Group { devices: 2, heaps: 1 };
    let sim = Sim::new(layout).unwrap();
    for (device_mask, instances) in [(0, 2), (0b11, 2), (0b01, 1), (0b10, 1)] {
        let memory = sim.allocate(&Order { device_mask, ..order(4096, 0) }).unwrap();
        let refused = Err(DeviceError::Invalid { rule: Rule::MappedInstance.text() });
        let expected = if instances == 1 { Ok(()) } else { refused };
        assert_eq!(sim.map_it(memory).map(drop), expected);
        sim.release(memory);
        let broken: Vec<_> = sim.take_violations().iter().map(|one| one.rule).collect();
        assert_eq!(broken, vec![Rule::MappedInstance; instances - 1]);
    }
    vec![]
}

fn break_mapped(stage: &Stage) -> Vec<Result> {
    let sim = &stage.sim;
    let unmapped = sim.allocate(&order(4096, 0)).unwrap();
    sim.unmap_it(unmapped);
    let results = vec![sim.flush_it(unmapped, 0..64), sim.invalidate_it(unmapped, 0..64)];
    sim.release(unmapped);
    results
}

fn break_creation(stage: &Stage, rule: Rule) -> Vec<Result> {
    let transient = ImageUsage::TRANSIENT;
    match rule {
        Rule::ResourceSize => vec![
            stage.create_buffer(0, BufferUsage::TRANSFER),
            stage.create_buffer(u64::MAX, BufferUsage::TRANSFER),
            stage.create_image(|info| {
                (info.width, info.height, info.layers) = (u32::MAX, u32::MAX, u32::MAX);
                info.bytes_per_texel = u32::MAX;
            }),
        ],
        Rule::HasUsage => vec![
            stage.create_buffer(64, BufferUsage::empty()),
            stage.create_image(|info| info.usage = ImageUsage::empty()),
        ],
        Rule::ImageExtent => vec![
            stage.create_image(|info| info.width = 0),
            stage.create_image(|info| info.height = 0),
            stage.create_image(|info| info.layers = 0),
            stage.create_image(|info| info.mip_levels = 0),
            stage.create_image(|info| info.bytes_per_texel = 0),
        ],
        Rule::MipLevels => vec![stage.create_image(|info| info.mip_levels = 6)],
        Rule::Transient => vec![
            stage.create_image(|info| info.usage = transient),
            stage.create_image(|info| {
                info.usage = transient | ImageUsage::COLOR_TARGET | ImageUsage::TRANSFER;
            }),
        ],
        _ => break_has_memory_type(),
    }
}

/// A device without protected memory has none for a protected resource.
fn break_has_memory_type() -> Vec<Result> {
    let sim = Sim::new(Layout::default()).unwrap();
    let info = BufferInfo { usage: BufferUsage::PROTECTED, ..BufferInfo::default() };
    let error = sim.create_buffer(&info).unwrap_err();
    assert_eq!(error, DeviceError::Invalid { rule: Rule::HasMemoryType.text() });
    assert_eq!(sim.live(), Live::default());
    vec![]
}

fn break_binding(stage: &Stage, rule: Rule) -> Vec<Result> {
    let Stage { sim, memory, other, .. } = stage;
    let transfer = BufferUsage::TRANSFER;
    let make = |usage| Resource::Buffer(raw_buffer(sim, 256, usage));
    match rule {
        Rule::BindMemoryType => break_memory_type(stage),
        Rule::BindAlign => vec![sim.bind_it(*other, *memory, 8)],
        Rule::BindRange => [(1 << 17) - 128, 1 << 17, u64::MAX - 15]
            .map(|offset| sim.bind_it(*other, *memory, offset))
            .to_vec(),
        Rule::Overlap => {
            let between = buffer(sim, 256);
            sim.bind_it(between, *memory, 1024).unwrap();
            let offsets = [0, 16, 240, 1024 - 240, 1024, 1024 + 240];
            let results = offsets.map(|offset| sim.bind_it(*other, *memory, offset));
            sim.destroy_it(between);
            results.to_vec()
        }
        Rule::Granularity => vec![
            stage.bind_new(image(sim, SMALL_IMAGE), 4096),
            stage.bind_new(image(sim, SMALL_IMAGE), (1 << 16) - 4096),
            break_granularity_before(stage),
        ],
        Rule::DedicatedAlone => vec![
            stage.dedicated(|memory, _| sim.bind_it(*other, memory, 0)),
            stage.dedicated(|memory, _| sim.bind_it(*other, memory, 256)),
        ],
        Rule::DedicatedRequired => vec![
            stage.bind_new(make(transfer | BufferUsage::EXTERNAL), 4096),
            stage.bind_new(
                image(sim, ImageInfo { usage: ImageUsage::EXTERNAL, ..SMALL_IMAGE }),
                1 << 16,
            ),
        ],
        Rule::DeviceAddress => {
            vec![stage.bind_new(make(transfer | BufferUsage::DEVICE_ADDRESS), 4096)]
        }
        _ => panic!("no test breaks {rule:?}"),
    }
}

/// A linear resource in the page in which an optimal one begins.
fn break_granularity_before(stage: &Stage) -> Result {
    let Stage { sim, memory, other, .. } = stage;
    let optimal = image(sim, SMALL_IMAGE);
    sim.bind_it(optimal, *memory, (1 << 16) + 4096).unwrap();
    let result = sim.bind_it(*other, *memory, 1 << 16);
    sim.destroy_it(optimal);
    result
}

/// Lazily allocated memory is for transient images, protected memory for protected resources.
fn break_memory_type(stage: &Stage) -> Vec<Result> {
    let sim = &stage.sim;
    let lazy = sim.allocate(&order(1 << 16, 3)).unwrap();
    let protected = sim.allocate(&order(1 << 16, 4)).unwrap();
    let guarded = Resource::Buffer(raw_buffer(sim, 256, BufferUsage::PROTECTED));
    let plain = image(sim, SMALL_IMAGE);
    let results = vec![
        sim.bind_it(stage.other, lazy, 0),
        sim.bind_it(plain, lazy, 0),
        sim.bind_it(plain, protected, 0),
        sim.bind_it(guarded, stage.memory, 1 << 16),
    ];
    for resource in [guarded, plain] {
        sim.destroy_it(resource);
    }
    for memory in [lazy, protected] {
        sim.release(memory);
    }
    results
}

fn break_work(stage: &Stage, rule: Rule) -> Vec<Result> {
    let (sim, first) = (&stage.sim, stage.buffer());
    let Resource::Buffer(unbound) = stage.other else { unreachable!("other is a buffer") };
    let copy =
        BufferCopy { source: first, source_offset: 0, target: first, target_offset: 128, len: 128 };
    match rule {
        Rule::Bound => vec![
            sim.fill(unbound, 0..16, 1),
            sim.copy(BufferCopy { target: unbound, ..copy }),
            sim.copy(BufferCopy { source: unbound, ..copy }),
            sim.read(stage.other, 0..16).map(drop),
            sim.write(stage.other, 0, &[1]),
        ],
        #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
        Rule::WorkRange => vec![
            sim.fill(first, 0..257, 1),
            sim.fill(first, 16..8, 1),
            sim.copy(BufferCopy { target_offset: 129, ..copy }),
            sim.copy(BufferCopy { source_offset: u64::MAX, ..copy }),
            sim.read(stage.first, 256..257).map(drop),
            sim.write(stage.first, 256, &[1]),
        ],
        Rule::Transfer => {
            let silent = raw_buffer(sim, 256, BufferUsage::VERTEX);
            sim.bind_it(Resource::Buffer(silent), stage.memory, 512).unwrap();
            let results = vec![
                sim.fill(silent, 0..16, 1),
                sim.copy(BufferCopy { source: silent, ..copy }),
                sim.copy(BufferCopy { target: silent, ..copy }),
            ];
            sim.destroy_it(Resource::Buffer(silent));
            results
        }
        _ => vec![
            sim.copy(BufferCopy { target_offset: 127, ..copy }),
            sim.copy(BufferCopy { source_offset: 128, ..copy }),
        ],
    }
}

#[test]
fn each_broken_rule_is_reported_and_changes_nothing() {
    for &rule in Rule::ALL {
        let stage = Stage::new();
        assert_eq!(stage.sim.violations(), [], "{rule:?}");
        let before = stage.view();
        for result in break_rule(&stage, rule) {
            assert_eq!(result, Err(DeviceError::Invalid { rule: rule.text() }));
        }
        assert_eq!(stage.view(), before, "{rule:?}");
        let violations = stage.sim.take_violations();
        let elsewhere = matches!(rule, Rule::HeapSize | Rule::HasMemoryType | Rule::MappedInstance);
        assert_eq!(violations.is_empty(), elsewhere, "{rule:?}");
        for violation in &violations {
            assert_eq!(violation.rule, rule, "{violation}");
            assert!(violation.to_string().contains(rule.text()));
        }
        assert_eq!(stage.sim.bind_it(stage.other, stage.memory, 256), Ok(()), "{rule:?}");
        assert!(stage.sim.violations().is_empty(), "{rule:?}");
    }
}

#[test]
fn a_violation_names_call_rule_and_values() {
    let stage = Stage::new();
    stage.sim.bind_it(stage.other, stage.memory, 8).unwrap_err();
    let violation = &stage.sim.violations()[0];
    assert_eq!(violation.call, Call::Bind);
    assert_eq!(
        violation.to_string(),
        "bind: a resource is bound at a multiple of its alignment; offset 8, align 16"
    );
}

#[test]
fn a_double_free_is_found_and_a_mapped_block_may_be_freed() {
    let sim = sim();
    let memory = sim.allocate(&order(4096, 0)).unwrap();
    sim.map_it(memory).unwrap();
    sim.release(memory);
    assert_eq!((sim.live(), sim.violations()), (Live::default(), vec![]));
    sim.release(memory);
    assert_eq!(sim.violations()[0].rule, Rule::LiveMemory);
    assert_eq!(sim.held(0), 0);
}
