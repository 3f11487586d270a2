//! Times peers against each other, in turns.
//!
//! Each round measures every contestant once, A B C A B C and so on, so that whatever else the
//! machine does falls on all alike. A figure is the median of the rounds; a ratio is the median of
//! the ratios within each round. How many pairs a contestant does in a round is found out in the
//! warm-up: as many as fill the round's time.

use crate::table::{Table, figure};
use std::time::{Duration, Instant};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each contestant is measured.
    pub rounds: usize,
    /// How long one measurement of it takes, at least.
    pub round_time: Duration,
    /// A number of pairs to do in each round instead, for counting instructions.
    pub pairs: Option<u32>,
}

impl Effort {
    /// For figures.
    pub const FULL: Self = Self { rounds: 21, round_time: Duration::from_millis(20), pairs: None };
    /// For trying out.
    pub const QUICK: Self = Self { rounds: 3, round_time: Duration::from_millis(1), pairs: None };
}

/// Most pairs in a round.
const PAIRS_MAX: u32 = 1 << 24;

/// One peer in one setting, ready to be measured.
struct Contestant<'a> {
    peer: String,
    setting: String,
    work: Box<dyn FnMut(u32) -> Duration + 'a>,
}

impl Contestant<'_> {
    /// Warms up, and finds how many pairs fill the time.
    fn calibrate(&mut self, effort: Effort) -> u32 {
        if let Some(pairs) = effort.pairs {
            return pairs;
        }
        let mut pairs = 1;
        while (self.work)(pairs) < effort.round_time && pairs < PAIRS_MAX {
            pairs *= 2;
        }
        pairs
    }
}

/// All peers in all settings that are measured against each other.
#[derive(Default)]
pub struct Contest<'a>(Vec<Contestant<'a>>);

impl<'a> Contest<'a> {
    /// Adds what does one pair of allocation and free.
    pub fn add(&mut self, peer: &str, setting: &str, mut pair: impl FnMut() + 'a) {
        self.add_timed(peer, setting, move |pairs| {
            let begin = Instant::now();
            repeat(pairs, &mut pair);
            begin.elapsed()
        });
    }

    /// Adds what does as many pairs as it is told and says how long that took.
    pub fn add_timed(&mut self, peer: &str, setting: &str, work: impl FnMut(u32) -> Duration + 'a) {
        let (peer, setting) = (peer.to_string(), setting.to_string());
        self.0.push(Contestant { peer, setting, work: Box::new(work) });
    }

    /// Measures all.
    pub fn run(mut self, effort: Effort) -> Figures {
        let pairs: Vec<_> = self.0.iter_mut().map(|one| one.calibrate(effort)).collect();
        let figure = |one: &Contestant<'_>| Figure {
            peer: one.peer.clone(),
            setting: one.setting.clone(),
            samples: Vec::new(),
        };
        let mut figures: Vec<_> = self.0.iter().map(figure).collect();
        for _ in 0..effort.rounds {
            for ((contestant, &pairs), figure) in self.0.iter_mut().zip(&pairs).zip(&mut figures) {
                let time = (contestant.work)(pairs);
                figure.samples.push(time.as_nanos() as f64 / f64::from(pairs));
            }
        }
        Figures(figures)
    }
}

/// Does the pairs. Stands alone so that a profiler can be told to look at nothing else.
#[inline(never)]
fn repeat(pairs: u32, pair: &mut impl FnMut()) {
    for _ in 0..pairs {
        pair();
    }
}

/// What one contestant took in each round, in nanoseconds per pair.
struct Figure {
    peer: String,
    setting: String,
    samples: Vec<f64>,
}

/// What was measured.
#[derive(Default)]
pub struct Figures(Vec<Figure>);

/// Names a contestant: peer and setting.
pub type Name<'a> = (&'a str, &'a str);

impl Figures {
    /// Adds what a contestant took in one more round, in whatever unit.
    pub fn add(&mut self, (peer, setting): Name<'_>, sample: f64) {
        let known = |figure: &Figure| figure.peer == peer && figure.setting == setting;
        match self.0.iter_mut().find(|figure| known(figure)) {
            Some(figure) => figure.samples.push(sample),
            None => self.0.push(Figure {
                peer: peer.to_string(),
                setting: setting.to_string(),
                samples: vec![sample],
            }),
        }
    }

    /// Returns the median of a contestant's rounds, in nanoseconds per pair; nothing for one that
    /// was not measured.
    pub fn median(&self, name: Name<'_>) -> Option<f64> {
        Some(median(self.samples(name)?.to_vec()))
    }

    /// Returns a contestant's best round, in nanoseconds per pair.
    pub fn least(&self, name: Name<'_>) -> Option<f64> {
        self.samples(name)?.iter().copied().min_by(f64::total_cmp)
    }

    /// Returns the median of the ratios of `one` to `other` within each round.
    pub fn ratio(&self, one: Name<'_>, other: Name<'_>) -> Option<f64> {
        let pairs = self.samples(one)?.iter().zip(self.samples(other)?);
        Some(median(pairs.map(|(one, other)| one / other).collect()))
    }

    /// Returns the medians, a row for each peer and a column for each setting.
    pub fn table(&self) -> Table {
        let peers = unique(self.0.iter().map(|figure| &*figure.peer));
        let settings = unique(self.0.iter().map(|figure| &*figure.setting));
        let mut table = Table::new("ns per pair", &settings);
        for &peer in &peers {
            table.row(peer, settings.iter().map(|setting| figure(self.median((peer, setting)))));
        }
        table
    }

    /// Returns what was measured in some setting, in the order in which it came.
    pub fn settings(&self) -> Vec<&str> {
        unique(self.0.iter().map(|figure| &*figure.setting))
    }

    /// Returns the geometric mean of the ratios of one peer to another over all settings in which
    /// both were measured.
    pub fn mean_ratio(&self, one: &str, other: &str) -> Option<f64> {
        self.mean_ratio_of(one, other, |_| true)
    }

    /// The same over those settings that fit.
    pub fn mean_ratio_of(
        &self,
        one: &str,
        other: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Option<f64> {
        let fitting = self.settings().into_iter().filter(|setting| fits(setting));
        geometric_mean(fitting.filter_map(|setting| self.ratio((one, setting), (other, setting))))
    }

    fn samples(&self, (peer, setting): Name<'_>) -> Option<&[f64]> {
        let found = self.0.iter().find(|figure| figure.peer == peer && figure.setting == setting);
        found.map(|figure| &*figure.samples)
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// Returns the geometric mean, if there is anything to take it of.
pub fn geometric_mean(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (count, sum) = numbers
        .into_iter()
        .fold((0_u32, 0.0), |(count, sum), number| (count + 1, sum + number.ln()));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::{Figures, geometric_mean};

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let mut figures = Figures::default();
        // The second round was slow for all: it is no outlier among the ratios.
        for (one, other) in [(2.0, 1.0), (20.0, 10.0), (3.0, 1.0)] {
            figures.add(("one", "a"), one);
            figures.add(("other", "a"), other);
        }
        figures.add(("one", "b"), 8.0);
        figures.add(("other", "b"), 1.0);
        figures.add(("one", "c"), 1.0);
        assert_eq!(figures.median(("one", "a")), Some(3.0));
        assert_eq!(figures.ratio(("one", "a"), ("other", "a")), Some(2.0));
        assert_eq!(figures.ratio(("one", "c"), ("other", "c")), None);
        assert_eq!(figures.settings(), ["a", "b", "c"]);
        let mean = figures.mean_ratio("one", "other").unwrap();
        assert!((mean - 4.0).abs() < 1e-9, "the mean of 2 and 8 is {mean}");
    }

    #[test]
    fn there_is_no_mean_of_nothing() {
        assert_eq!(geometric_mean([]), None);
    }
}
