//! How long a plan may be sought: a number of looks, or until a moment.

use super::Limit;
use std::time::Instant;

/// An attempt gets so many looks at the least, so that the last ones are worth their beginning.
const LENT_LEAST: u64 = 1 << 16;

/// What is left of a [`Limit`].
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    looks: u64,
    end: Option<Instant>,
}

impl Allowance {
    /// All of a limit for `count` resources, from this moment on.
    pub fn new(limit: Limit, count: u64) -> Self {
        match limit {
            Limit::LooksPerResource(looks) => {
                Self { looks: looks.saturating_mul(count), end: None }
            }
            Limit::Time(time) => Self { looks: u64::MAX, end: Instant::now().checked_add(time) },
        }
    }

    /// Says that so many items were looked at.
    pub const fn spend(&mut self, looks: u64) {
        self.looks = self.looks.saturating_sub(looks);
    }

    /// Tells whether it is used up.
    pub fn is_over(&self) -> bool {
        self.looks == 0 || self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Does work that may use one of `parts` of what is left.
    pub fn lend<R>(&mut self, parts: u32, work: impl FnOnce(&mut Self) -> R) -> R {
        let looks = (self.looks / u64::from(parts)).max(LENT_LEAST).min(self.looks);
        let time_left = |end: Instant| end.saturating_duration_since(Instant::now());
        let end = self.end.map(|end| end - time_left(end) / parts * (parts - 1));
        let mut lent = Self { looks, end };
        let result = work(&mut lent);
        self.spend(looks - lent.looks);
        result
    }
}
