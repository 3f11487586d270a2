//! What a scene is made of: many small things, few large ones, each of its class's sizes.
//!
//! A [`Scene`] draws one [`Item`] after the other. Classes come by weight; sizes are spread evenly
//! over their doublings, as those of real scenes are. On a small device, or for a quick run, the
//! largest sizes are halved some times.

use super::random::Random;
use polder::device::MemoryProperties;
use polder::{Access, Mapping, Wish};

/// Bytes of a texel.
pub const TEXEL_SIZE: u64 = 4;
/// With so much memory sizes are not scaled.
const HEAP_SIZE_FULL: u64 = 2 << 30;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferRole {
    Uniform,
    Mesh,
    Storage,
    Staging,
    ReadBack,
}

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageRole {
    /// Sampled, with all mip levels.
    Texture,
    /// Drawn into within one pass.
    Target,
}

/// How a resource is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Buffer { role: BufferRole, size: u64 },
    Image { role: ImageRole, shape: ImageShape },
}

/// A square image, tightly packed level after level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Texels of an edge.
    pub edge: u32,
    pub mip_levels: u32,
}

impl ImageShape {
    /// The edge of a level, in texels.
    pub const fn level_edge(self, level: u32) -> u32 {
        let edge = self.edge >> level;
        if edge == 0 { 1 } else { edge }
    }

    /// The bytes of a level.
    pub const fn level_size(self, level: u32) -> u64 {
        let edge = self.level_edge(level) as u64;
        edge * edge * TEXEL_SIZE
    }
}

impl Shape {
    /// The bytes that it holds.
    pub fn size(&self) -> u64 {
        match *self {
            Self::Buffer { size, .. } => size,
            Self::Image { shape, .. } => {
                (0..shape.mip_levels).map(|level| shape.level_size(level)).sum()
            }
        }
    }
}

/// Who brings a resource its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// A copy from the staging buffer.
    Copied,
    /// The host writes them where they are.
    Written,
    /// Nobody.
    None,
}

/// Things of one sort.
#[derive(Debug)]
pub struct Class {
    pub name: &'static str,
    /// How many of a thousand things are of this class.
    weight: u64,
    sizes: Sizes,
    pub filling: Filling,
}

#[derive(Debug)]
enum Sizes {
    /// Bytes.
    Buffer { role: BufferRole, least: u64, most: u64 },
    /// Texels of an edge, as powers of two, each with its weight of a hundred.
    Texture(&'static [(u32, u64)]),
    /// Texels of an edge.
    Target { edge: u32 },
}

static CLASSES: [Class; 6] = [
    Class {
        name: "uniforms",
        weight: 348,
        sizes: Sizes::Buffer { role: BufferRole::Uniform, least: 192, most: 4 << 10 },
        filling: Filling::Copied,
    },
    Class {
        name: "dynamic",
        weight: 40,
        sizes: Sizes::Buffer { role: BufferRole::Uniform, least: 1 << 10, most: 64 << 10 },
        filling: Filling::Written,
    },
    Class {
        name: "mesh",
        weight: 280,
        sizes: Sizes::Buffer { role: BufferRole::Mesh, least: 4 << 10, most: 128 << 10 },
        filling: Filling::Copied,
    },
    Class {
        name: "storage",
        weight: 80,
        sizes: Sizes::Buffer { role: BufferRole::Storage, least: 8 << 10, most: 256 << 10 },
        filling: Filling::Copied,
    },
    Class {
        name: "texture",
        weight: 250,
        sizes: Sizes::Texture(&[(32, 32), (64, 32), (128, 24), (256, 10), (512, 2)]),
        filling: Filling::Copied,
    },
    Class { name: "target", weight: 2, sizes: Sizes::Target { edge: 512 }, filling: Filling::None },
];

impl Class {
    /// What it wants of its memory.
    pub fn wish(&self) -> Wish<'static> {
        let plain = Wish { name: Some(self.name), ..Wish::default() };
        match (&self.sizes, self.filling) {
            (Sizes::Target { .. }, _) => {
                Wish { preferred: MemoryProperties::LAZILY_ALLOCATED, ..plain }
            }
            (_, Filling::Written) => Wish {
                access: Access::HostWrites,
                preferred: MemoryProperties::DEVICE_LOCAL,
                mapping: Mapping::Persistent,
                ..plain
            },
            _ => plain,
        }
    }
}

/// One thing of the scene.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub class: &'static Class,
    pub shape: Shape,
    /// What its bytes come from.
    pub seed: u64,
}

/// Draws things.
#[derive(Debug)]
pub struct Scene {
    random: Random,
    halvings: u32,
}

/// How often sizes are halved on a device with heaps of this size at most.
pub const fn halvings(heap_size: u64) -> u32 {
    let share = HEAP_SIZE_FULL / if heap_size == 0 { 1 } else { heap_size };
    if share == 0 { 0 } else { share.ilog2() }
}

impl Scene {
    pub const fn new(random: Random, halvings: u32) -> Self {
        Self { random, halvings }
    }

    /// Draws the next thing.
    pub fn item(&mut self) -> Item {
        let class = pick(&CLASSES, self.random.below(1000), |class| class.weight);
        let shape = match class.sizes {
            Sizes::Buffer { role, least, most } => {
                let most = (most >> self.halvings).max(least);
                Shape::Buffer { role, size: self.random.size(least, most) }
            }
            Sizes::Texture(edges) => {
                let (edge, _) = *pick(edges, self.random.below(100), |(_, weight)| *weight);
                let edge = self.scaled(edge);
                let shape = ImageShape { edge, mip_levels: edge.ilog2() + 1 };
                Shape::Image { role: ImageRole::Texture, shape }
            }
            Sizes::Target { edge } => {
                let shape = ImageShape { edge: self.scaled(edge), mip_levels: 1 };
                Shape::Image { role: ImageRole::Target, shape }
            }
        };
        Item { class, shape, seed: self.random.number() }
    }

    /// Draws a number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        self.random.below(end as u64) as usize
    }

    /// An edge that is halved half as often, since it counts twice.
    const fn scaled(&self, edge: u32) -> u32 {
        let edge = edge >> self.halvings.div_ceil(2);
        if edge < 8 { 8 } else { edge }
    }
}

/// The choice that `number` falls on, when each takes as many numbers as it weighs.
fn pick<T>(choices: &[T], mut number: u64, weight: impl Fn(&T) -> u64) -> &T {
    for choice in choices {
        let weight = weight(choice);
        if number < weight {
            return choice;
        }
        number -= weight;
    }
    choices.last().expect("there is something to choose from")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_complete() {
        assert_eq!(CLASSES.iter().map(|class| class.weight).sum::<u64>(), 1000);
    }

    #[test]
    fn ten_thousand_things_take_some_hundred_mebibytes() {
        let total = |halvings| {
            let mut scene = Scene::new(Random::new(1, 0), halvings);
            (0..10_000).map(|_| scene.item().shape.size()).sum::<u64>()
        };
        assert!((300 << 20..500 << 20).contains(&total(0)), "{}", total(0));
        assert!(total(3) < total(0) / 4);
    }

    #[test]
    fn a_small_heap_halves_sizes() {
        assert_eq!([24 << 30, 2 << 30, 1 << 30, 256 << 20].map(halvings), [0, 0, 1, 3]);
    }

    #[test]
    fn the_levels_of_an_image_follow_each_other() {
        let shape = ImageShape { edge: 4, mip_levels: 3 };
        let image = Shape::Image { role: ImageRole::Texture, shape };
        assert_eq!(image.size(), 4 * (16 + 4 + 1));
    }
}
