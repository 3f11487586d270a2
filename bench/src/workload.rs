//! What is asked of the allocators: sizes, alignments, and in which order they are freed.

use crate::peer::{Live, Need, Peer};
use crate::random::Random;
use std::time::{Duration, Instant};

/// The seed of every workload: each peer is asked for the same.
pub const SEED: u64 = 0x5eed;

/// Where sizes come from. Bytes.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// From a power of two up to below another, each doubling as often as any other.
    Doublings {
        /// The exponent of the least.
        least: u32,
        /// The exponent of the first that is too large.
        end: u32,
    },
    /// Multiples of a step, each as often as any other.
    Steps {
        /// The step, and the least size.
        step: u64,
        /// How many steps the largest size has.
        count: u64,
    },
}

/// Where alignments come from. Bytes.
#[derive(Clone, Copy, Debug)]
pub enum Aligns {
    /// Always the same.
    Fixed(u64),
    /// Every power of two up to this exponent, each as often as any other.
    UpTo(u32),
}

/// An endless row of needs.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Also for other choices of the workload.
    pub random: Random,
    sizes: Sizes,
    aligns: Aligns,
}

impl Needs {
    /// Starts the row.
    pub const fn new(sizes: Sizes, aligns: Aligns) -> Self {
        Self { random: Random::new(SEED), sizes, aligns }
    }

    /// Returns the next need.
    #[inline]
    pub fn next(&mut self) -> Need {
        let random = &mut self.random;
        let size = match self.sizes {
            Sizes::Doublings { least, end } => {
                let doubling = 1 << (u64::from(least) + random.below(u64::from(end - least)));
                doubling + random.below(doubling)
            }
            Sizes::Steps { step, count } => step * (1 + random.below(count)),
        };
        let align = match self.aligns {
            Aligns::Fixed(align) => align,
            Aligns::UpTo(exponent) => 1 << random.below(u64::from(exponent) + 1),
        };
        Need { size, align }
    }
}

/// In which order a pair frees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// What was just allocated.
    Last,
    /// Any that is live, before the allocation.
    Random,
}

/// A peer with live allocations, and what to ask it next.
pub struct Workload<P: Peer> {
    live: Live<P>,
    needs: Needs,
}

impl<P: Peer> Workload<P> {
    /// Fills a peer with `count` allocations.
    pub fn full(peer: P, count: usize, mut needs: Needs) -> Self {
        Self { live: Live::fill(peer, count, || needs.next()), needs }
    }

    /// Frees a random half.
    pub fn halved(mut self) -> Self {
        let Live { peer, handles } = &mut self.live;
        for _ in 0..handles.len() / 2 {
            peer.free(self.needs.random.take(handles));
        }
        self
    }

    /// Frees a random one and allocates another, and says how long the allocation took.
    pub fn replace(&mut self) -> Duration {
        let Live { peer, handles } = &mut self.live;
        peer.free(self.needs.random.take(handles));
        let need = self.needs.next();
        let begin = Instant::now();
        let handle = peer.allocate(need);
        let time = begin.elapsed();
        handles.push(handle);
        time
    }

    /// Does one pair of allocation and free.
    #[inline]
    pub fn pair(&mut self, order: Order) {
        let Live { peer, handles } = &mut self.live;
        match order {
            Order::Last => {
                let handle = peer.allocate(self.needs.next());
                peer.free(handle);
            }
            Order::Random => {
                peer.free(self.needs.random.take(handles));
                handles.push(peer.allocate(self.needs.next()));
            }
        }
    }
}

/// Many free regions that would hold a request but for its alignment, and one that holds it.
pub struct Spoilt<P: Peer> {
    live: Live<P>,
}

impl<P: Peer> Spoilt<P> {
    const REGIONS: u64 = 20_000;
    const SIZE: u64 = 4096;
    /// A region is so far from where an aligned one would begin.
    const ASKEW: u64 = 16;
    /// Bytes of a range that has room for it.
    pub const SIZE_LEAST: u64 = Self::REGIONS * 2 * Self::SIZE + 4 * Self::SIZE;

    /// Fills a peer so.
    pub fn new(mut peer: P) -> Self {
        let plain = |size| Need { size, align: 1 };
        let mut handles = vec![peer.allocate(plain(Self::ASKEW))];
        let mut freed = Vec::new();
        for _ in 0..Self::REGIONS {
            freed.push(peer.allocate(plain(Self::SIZE + Self::ASKEW)));
            handles.push(peer.allocate(plain(Self::SIZE - Self::ASKEW)));
        }
        freed.into_iter().for_each(|handle| peer.free(handle));
        Self { live: Live { peer, handles } }
    }

    /// Allocates what is aligned, and frees it.
    #[inline]
    pub fn pair(&mut self) {
        let need = Need { size: Self::SIZE, align: Self::SIZE };
        let handle = self.live.peer.allocate(need);
        self.live.peer.free(handle);
    }

    /// The same, and says how long the allocation took.
    pub fn allocate(&mut self) -> Duration {
        let need = Need { size: Self::SIZE, align: Self::SIZE };
        let begin = Instant::now();
        let handle = self.live.peer.allocate(need);
        let time = begin.elapsed();
        self.live.peer.free(handle);
        time
    }
}
