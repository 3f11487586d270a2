//! The slow truth about the default allocator: a list of who lies where, and what was written.
//!
//! Shared by the property tests and the fuzz target `device`.

use polder_device::sim::Sim;
use polder_device::{
    Access, Allocation, Allocator, Lifetime, Mapping, Options, Placement, Request, Requirements,
    Search, Strategy, Tiling, Wish,
};

/// What the model knows of an allocation.
struct Live {
    allocation: Allocation<Sim>,
    tiling: Tiling,
    stamp: Option<u8>,
}

/// Who lies where in which block, and which bytes were written.
#[derive(Default)]
struct Model {
    live: Vec<Live>,
}

impl Model {
    fn add(&mut self, sim: &Sim, allocator: &Allocator<Sim>, request: &Request<'_, Sim>) {
        let limits = &sim.layout().properties.limits;
        let Ok(mut allocation) = allocator.allocate(request) else { return };
        assert_eq!(allocation.size(), request.requirements.size);
        assert_eq!(allocation.offset() % request.requirements.align, 0, "aligned");
        let pages =
            |a: &Allocation<Sim>, unit: u64| a.offset() / unit..=(a.offset() + a.size() - 1) / unit;
        for other in self.live.iter().filter(|other| same_block(&other.allocation, &allocation)) {
            let shares = |unit| {
                let (one, two) = (pages(&other.allocation, unit), pages(&allocation, unit));
                one.start() <= two.end() && two.start() <= one.end()
            };
            assert!(!shares(1), "{:?} overlaps {allocation:?}", other.allocation);
            let granularity = limits.granularity;
            assert!(other.tiling == request.tiling || !shares(granularity), "granularity");
        }
        let stamp = request.wish.access.is_host().then(|| {
            let stamp = self.live.len() as u8;
            let bytes = vec![stamp; allocation.size().min(256) as usize];
            allocator.write(&mut allocation, 0, &bytes).unwrap();
            stamp
        });
        self.live.push(Live { allocation, tiling: request.tiling, stamp });
    }

    fn remove(&mut self, allocator: &Allocator<Sim>, index: usize) {
        if self.live.is_empty() {
            return;
        }
        let index = index % self.live.len();
        let live = self.live.swap_remove(index);
        if let Some(stamp) = live.stamp {
            let mut bytes = vec![0; live.allocation.size().min(256) as usize];
            allocator.read(&live.allocation, 0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|&byte| byte == stamp), "nobody else wrote there");
        }
        allocator.free(live.allocation).unwrap();
    }
}

fn same_block(one: &Allocation<Sim>, other: &Allocation<Sim>) -> bool {
    one.memory() == other.memory()
}

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Action {
    /// `choice` picks one of each wish, modulo their number.
    Allocate {
        size: u64,
        align: u64,
        optimal: bool,
        choice: [usize; 4],
    },
    Free(usize),
    Trim,
}

/// Plays a history, compares after each step, frees all.
pub fn run(sim: &Sim, actions: &[Action]) {
    let allocator = Allocator::new(sim.clone(), Options { arenas: 2, ..Options::default() });
    let mut model = Model::default();
    for action in actions {
        match *action {
            Action::Allocate { size, align, optimal, choice } => {
                let searches = [Search::Quick, Search::Tight, Search::UpperAddress];
                let access = Access::ALL[choice[0] % 4];
                let persistent = access.is_host() && choice[1] % 2 == 0;
                let wish = Wish {
                    access,
                    mapping: if persistent { Mapping::Persistent } else { Mapping::Counted },
                    lifetime: [Lifetime::General, Lifetime::ShortLived][choice[2] % 60 / 40],
                    placement: [Placement::Auto, Placement::Dedicated][choice[3] % 60 / 55],
                    search: searches[choice[1] % 3],
                    ..Wish::default()
                };
                let needs = Requirements { size, align, ..Requirements::ANY };
                let mut request = Request::new(needs, wish);
                request.tiling = if optimal { Tiling::Optimal } else { Tiling::Linear };
                model.add(sim, &allocator, &request);
            }
            Action::Free(index) => model.remove(&allocator, index),
            Action::Trim => allocator.trim(),
        }
        allocator.check();
    }
    let used: u64 = model.live.iter().map(|live| live.allocation.size()).sum();
    assert_eq!(allocator.used(), used);
    while !model.live.is_empty() {
        model.remove(&allocator, 0);
    }
    allocator.trim();
    assert_eq!((allocator.used(), allocator.held()), (0, 0), "all memory is back");
    allocator.shutdown().unwrap();
    assert_eq!(sim.live().blocks, 0);
    assert_eq!(sim.violations(), []);
}
