//! Rows of requests like those of programs, the same in every run.

use crate::peer::Need;
use crate::random::Random;
use crate::workload::{Aligns, Needs, SEED, Sizes};

/// One request. Sizes are bytes.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Allocates.
    Allocate {
        /// What it is freed by.
        id: u32,
        /// What is asked for.
        need: Need,
    },
    /// Frees.
    Free {
        /// What was allocated.
        id: u32,
        /// Its size.
        size: u64,
    },
}

/// A way to make steps, and what is said of them.
pub struct Trace {
    /// For files and targets.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// What the requests are.
    pub words: &'static str,
    /// Makes the steps.
    pub make: fn() -> Vec<Step>,
}

/// All traces.
pub const TRACES: &[Trace] = &[
    Trace {
        name: "textures",
        title: "Held bytes: textures",
        words: "400 textures with their mip chains, 64 KiB to 21 MiB, are loaded; a random half \
                is freed; 150 others are loaded.",
        make: textures,
    },
    Trace {
        name: "buffers",
        title: "Held bytes: small buffers",
        words: "30,000 buffers of 256 B to 64 KiB are made; a random half is freed; 10,000 others \
                are made.",
        make: buffers,
    },
    Trace {
        name: "streaming",
        title: "Held bytes: streaming",
        words: "400 frames: each frees its share of what is live and allocates textures, buffers \
                and staging memory that lives for three frames. Then all but a twentieth of what \
                is live is freed.",
        make: streaming,
    },
];

/// Small buffers: 256 B to 64 KiB.
const BUFFERS: Needs = Needs::new(Sizes::Doublings { least: 8, end: 16 }, Aligns::Fixed(256));
/// Staging memory: 64 KiB to 1 MiB.
const STAGING: Needs = Needs::new(Sizes::Doublings { least: 16, end: 20 }, Aligns::Fixed(256));

const FRAMES: u32 = 400;
/// The frames in which only the scene grows.
const FRAMES_LOADING: u32 = 100;
const STAGING_FRAMES: usize = 3;
/// What is left at the end is one in so many.
const LEFT_SHARE: usize = 20;

/// Steps, and what is live after them.
struct Recorder {
    random: Random,
    steps: Vec<Step>,
    live: Vec<(u32, u64)>,
    id_next: u32,
}

impl Recorder {
    fn new() -> Self {
        Self { random: Random::new(SEED), steps: Vec::new(), live: Vec::new(), id_next: 0 }
    }

    fn allocate(&mut self, need: Need) {
        let id = self.id_next;
        self.id_next += 1;
        self.steps.push(Step::Allocate { id, need });
        self.live.push((id, need.size));
    }

    fn free(&mut self, (id, size): (u32, u64)) {
        self.steps.push(Step::Free { id, size });
    }

    fn free_any(&mut self) {
        let freed = self.random.take(&mut self.live);
        self.free(freed);
    }

    fn free_until(&mut self, left: usize) {
        while self.live.len() > left {
            self.free_any();
        }
    }

    /// A square texture of 128 to 2,048 texels with its mip chain, in 4 bytes or, twice as often,
    /// in 1 byte a texel; what lies on whole 64 KiB, as on devices that compress.
    fn texture(&mut self) -> Need {
        const PAGE: u64 = 64 << 10;
        let edge = 128 << self.random.below(5);
        let texel = if self.random.below(3) == 0 { 4 } else { 1 };
        let size: u64 = edge * edge * texel * 4 / 3;
        Need { size: size.next_multiple_of(PAGE), align: PAGE }
    }
}

fn textures() -> Vec<Step> {
    let mut recorder = Recorder::new();
    for count in [400, 150] {
        for _ in 0..count {
            let texture = recorder.texture();
            recorder.allocate(texture);
        }
        if count == 400 {
            recorder.free_until(200);
        }
    }
    recorder.steps
}

fn buffers() -> Vec<Step> {
    let (mut recorder, mut needs) = (Recorder::new(), BUFFERS);
    (0..30_000).for_each(|_| recorder.allocate(needs.next()));
    recorder.free_until(15_000);
    (0..10_000).for_each(|_| recorder.allocate(needs.next()));
    recorder.steps
}

fn streaming() -> Vec<Step> {
    let (mut recorder, mut buffers, mut staging_needs) = (Recorder::new(), BUFFERS, STAGING);
    let mut staging = std::collections::VecDeque::new();
    for frame in 0..FRAMES {
        if staging.len() == STAGING_FRAMES {
            let oldest: Vec<_> = staging.pop_front().unwrap_or_default();
            oldest.into_iter().for_each(|freed| recorder.free(freed));
        }
        let (textures, small) = (recorder.random.below(4), recorder.random.below(24));
        if frame >= FRAMES_LOADING {
            let left = recorder.live.len().saturating_sub((textures + small) as usize);
            recorder.free_until(left);
        }
        for _ in 0..textures {
            let texture = recorder.texture();
            recorder.allocate(texture);
        }
        (0..small).for_each(|_| recorder.allocate(buffers.next()));
        let scene = recorder.live.len();
        let count = recorder.random.below(8);
        (0..count).for_each(|_| recorder.allocate(staging_needs.next()));
        staging.push_back(recorder.live.split_off(scene));
    }
    staging.into_iter().flatten().for_each(|freed| recorder.free(freed));
    let left = recorder.live.len() / LEFT_SHARE;
    recorder.free_until(left);
    recorder.steps
}
