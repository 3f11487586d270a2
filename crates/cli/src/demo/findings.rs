//! What the demo found, for people.

use super::frames::Traffic;
use super::probe::Work;
use super::timed::{Times, clock_cost};
use crate::table::{Side, Table};
use crate::units::{bytes, count};
use polder::LeakReport;
use std::io::{self, Write};
use std::time::Duration;

/// What the demo found.
#[derive(Debug)]
pub struct Findings {
    pub work: Work,
    pub traffic: Traffic,
    /// Of each thread.
    pub times: Vec<Times>,
    pub leaks: Option<LeakReport>,
    /// What the device found wrong.
    pub complaints: Vec<String>,
    pub time: Duration,
}

impl Findings {
    /// Tells whether all went well.
    pub fn is_good(&self) -> bool {
        let all_back = match self.work {
            Work::Executed => self.traffic.uploaded == self.traffic.comparison.compared,
            Work::Dropped => true,
        };
        let same = self.traffic.comparison.different == 0;
        all_back && same && self.leaks.is_none() && self.complaints.is_empty()
    }

    /// Prints all of it.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let cost = clock_cost();
        writeln!(out, "\nNanoseconds per call (reading the clock takes {cost} of them)")?;
        write!(out, "{}", self.times_table())?;
        let Self { traffic, time, .. } = self;
        writeln!(out, "\nResult")?;
        writeln!(out, "  time             {:.2} s", time.as_secs_f64())?;
        writeln!(out, "  uploaded         {}", bytes(traffic.uploaded))?;
        writeln!(out, "  compared         {}", self.compared())?;
        writeln!(out, "  complaints       {}", count(self.complaints.len() as u64))?;
        self.complaints.iter().try_for_each(|complaint| writeln!(out, "    {complaint}"))?;
        let leaks = self.leaks.as_ref().map_or(0, |report| report.leaks.len());
        writeln!(out, "  leaks            {}", count(leaks as u64))?;
        self.leaks.iter().try_for_each(|report| writeln!(out, "    {report}"))
    }

    fn compared(&self) -> String {
        let comparison = self.traffic.comparison;
        match self.work {
            Work::Executed => {
                let different = count(comparison.different);
                format!("{}, {different} bytes differ", bytes(comparison.compared))
            }
            Work::Dropped => "nothing: the driver drops work".to_owned(),
        }
    }

    fn times_table(&self) -> Table<10> {
        const MEDIAN: (&str, Side) = ("median", Side::Right);
        const LATE: (&str, Side) = ("p99", Side::Right);
        let mut table = Table::new([
            ("thread", Side::Left),
            ("loading", Side::Right),
            MEDIAN,
            LATE,
            ("streaming", Side::Right),
            MEDIAN,
            LATE,
            ("frees", Side::Right),
            MEDIAN,
            LATE,
        ]);
        for (thread, times) in self.times.iter().enumerate() {
            table.row(times_row(thread.to_string(), times));
        }
        if self.times.len() > 1 {
            table.row(times_row("all".to_owned(), &Times::all(&self.times)));
        }
        table
    }
}

fn times_row(name: String, times: &Times) -> [String; 10] {
    let [load, stream, free] =
        [&times.load, &times.stream, &times.free].map(|times| figures(times));
    let ([a, b, c], [d, e, f], [g, h, i]) = (load, stream, free);
    [name, a, b, c, d, e, f, g, h, i]
}

/// How many there are, their median and the time that 99 of 100 do not pass.
fn figures(times: &[u64]) -> [String; 3] {
    let mut times = times.to_vec();
    let mut at_share = |percent: usize| match times.len() {
        0 => "-".to_owned(),
        len => count(*times.select_nth_unstable((len - 1) * percent / 100).1),
    };
    let shares = [at_share(50), at_share(99)];
    let [median, late] = shares;
    [count(times.len() as u64), median, late]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::transfer::Comparison;

    fn findings(compared: u64, different: u64) -> Findings {
        Findings {
            work: Work::Executed,
            traffic: Traffic { uploaded: 100, comparison: Comparison { compared, different } },
            times: Vec::new(),
            leaks: None,
            complaints: Vec::new(),
            time: Duration::ZERO,
        }
    }

    #[test]
    fn one_byte_too_few_or_wrong_is_bad() {
        assert!(findings(100, 0).is_good());
        assert!(!findings(99, 0).is_good());
        assert!(!findings(100, 1).is_good());
    }

    #[test]
    fn a_complaint_or_a_leak_is_bad() {
        let complaints = vec!["a rule".to_owned()];
        assert!(!Findings { complaints, ..findings(100, 0) }.is_good());
        let leaks = Some(LeakReport { leaks: Vec::new() });
        assert!(!Findings { leaks, ..findings(100, 0) }.is_good());
    }

    #[test]
    fn the_median_and_the_late_ones_are_of_those_measured() {
        let times: Vec<_> = (1..=1000).rev().collect();
        assert_eq!(figures(&times), ["1,000", "500", "990"]);
        assert_eq!(figures(&[]), ["0", "-", "-"]);
    }
}
