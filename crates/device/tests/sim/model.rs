//! Binding against a naive model, which compares each resource with each other byte by page.

use super::*;
use proptest::prelude::*;

const BLOCK_SIZE: u64 = 4096;
const GRANULARITY: u64 = 256;
/// What buffers and small images are aligned to in this test.
const ALIGN: u64 = 16;

#[derive(Clone, Debug)]
enum Action {
    /// Sizes and offsets in units of [`ALIGN`].
    Bind {
        tiling: Tiling,
        size: u64,
        offset: u64,
    },
    Destroy(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let tiling = prop_oneof![Just(Tiling::Linear), Just(Tiling::Optimal)];
    let bind = (tiling, 1u64..8, 0..BLOCK_SIZE / ALIGN);
    prop_oneof![
        4 => bind.prop_map(|(tiling, size, offset)| Action::Bind { tiling, size, offset }),
        1 => (0usize..64).prop_map(Action::Destroy),
    ]
}

#[derive(Clone, Debug)]
struct Lying {
    resource: SimResource,
    range: Range<u64>,
    tiling: Tiling,
}

/// The slow truth: whom the newcomer disturbs, and by which rules.
fn rules_broken(lying: &[Lying], range: &Range<u64>, tiling: Tiling) -> Vec<Rule> {
    let mut broken = Vec::new();
    if range.end > BLOCK_SIZE {
        return vec![Rule::BindRange];
    }
    for other in lying {
        let share = |unit: u64| {
            let of = |range: &Range<u64>| range.start / unit..(range.end - 1) / unit + 1;
            let (here, there) = (of(range), of(&other.range));
            here.clone().any(|index| there.contains(&index))
        };
        if share(1) {
            broken.push(Rule::Overlap);
        }
        if other.tiling != tiling && share(GRANULARITY) {
            broken.push(Rule::Granularity);
        }
    }
    broken
}

fn make(sim: &Sim, tiling: Tiling, size: u64) -> SimResource {
    match tiling {
        Tiling::Linear => buffer(sim, size),
        // A size that is no multiple of the tiles is rounded up to one of them.
        Tiling::Optimal => {
            let width = u32::try_from(size).unwrap();
            image(sim, ImageInfo { width, height: 1, bytes_per_texel: 1, ..SMALL_IMAGE })
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_bound_disturbs_nobody(
        actions in proptest::collection::vec(action(), 1..if cfg!(miri) { 30 } else { 120 }),
    ) {
        let mut layout = layout();
        layout.properties.limits.granularity = GRANULARITY;
        layout.resources.optimal_align_min = ALIGN;
        layout.resources.optimal_align_max = ALIGN;
        let sim = Sim::new(layout).unwrap();
        let memory = sim.allocate(&order(BLOCK_SIZE, 0)).unwrap();
        let mut lying: Vec<Lying> = Vec::new();
        for action in actions {
            match action {
                Action::Bind { tiling, size, offset } => {
                    let resource = make(&sim, tiling, size * ALIGN);
                    let begin = offset * ALIGN;
                    let range = begin..begin + sim.needs(resource).size;
                    let broken = rules_broken(&lying, &range, tiling);
                    match sim.bind_it(resource, memory, begin) {
                        Ok(()) => {
                            prop_assert_eq!(&broken, &[]);
                            lying.push(Lying { resource, range, tiling });
                        }
                        Err(_) => {
                            let rule = sim.take_violations()[0].rule;
                            prop_assert!(broken.contains(&rule), "{rule:?} is not in {broken:?}");
                            sim.destroy_it(resource);
                        }
                    }
                }
                Action::Destroy(_) if lying.is_empty() => {}
                Action::Destroy(index) => {
                    let gone = lying.swap_remove(index % lying.len());
                    sim.destroy_it(gone.resource);
                }
            }
            let live = sim.live();
            prop_assert_eq!(live.buffers + live.images, lying.len() as u64);
        }
        for gone in lying {
            sim.destroy_it(gone.resource);
        }
        sim.release(memory);
        prop_assert_eq!((sim.live(), sim.violations()), (Live::default(), vec![]));
    }
}
