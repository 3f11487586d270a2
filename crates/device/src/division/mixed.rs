//! One of two divisions, chosen per arena: what the default allocator is made of.

use super::{Ask, Division, Part, Region, linear, tlsf};

/// Which division all blocks of an arena have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Config {
    /// Anything, freed in any order.
    Tlsf(tlsf::Config),
    /// What is freed about in the order of its making, or the opposite.
    Linear(linear::Config),
}

impl Default for Config {
    fn default() -> Self {
        Self::Tlsf(tlsf::Config::default())
    }
}

/// A block parted for general or for short-lived allocations.
#[derive(Debug)]
pub enum Mixed {
    /// Two-level segregated fit.
    General(tlsf::Tlsf),
    /// A ring.
    ShortLived(linear::Linear),
}

macro_rules! of_either {
    ($self:expr, $division:ident => $answer:expr) => {
        match $self {
            Mixed::General($division) => $answer,
            Mixed::ShortLived($division) => $answer,
        }
    };
}

// SAFETY: Both are divisions, and a block keeps to one of them.
unsafe impl Division for Mixed {
    const EXACT: bool = true;

    type Config = Config;

    fn new(config: &Config, size: u64, granularity: u64) -> Self {
        match config {
            Config::Tlsf(config) => Self::General(tlsf::Tlsf::new(config, size, granularity)),
            Config::Linear(config) => {
                Self::ShortLived(linear::Linear::new(config, size, granularity))
            }
        }
    }

    fn has_upper_end(config: &Config) -> bool {
        match config {
            Config::Tlsf(config) => tlsf::Tlsf::has_upper_end(config),
            Config::Linear(config) => linear::Linear::has_upper_end(config),
        }
    }

    #[inline]
    fn allocate(&mut self, ask: &Ask) -> Option<Part> {
        of_either!(self, division => division.allocate(ask))
    }

    #[inline]
    fn free(&mut self, key: u32) {
        of_either!(self, division => division.free(key));
    }

    #[inline]
    fn used(&self) -> u64 {
        of_either!(self, division => division.used())
    }

    #[inline]
    fn count(&self) -> u32 {
        of_either!(self, division => division.count())
    }

    #[inline]
    fn room(&self) -> u64 {
        of_either!(self, division => division.room())
    }

    fn largest_free(&self) -> u64 {
        of_either!(self, division => division.largest_free())
    }

    fn walk(&self, visit: &mut dyn FnMut(Region)) {
        of_either!(self, division => division.walk(visit));
    }

    fn check(&self) -> Result<(), &'static str> {
        of_either!(self, division => division.check())
    }
}
