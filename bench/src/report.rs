//! What is printed, and written into `BENCHMARKS.md` between two comments.

use crate::table::{Table, figure};
use std::fmt::{Display, Write};
use std::{fs, io};

/// The file, in the root of the project.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../BENCHMARKS.md");

/// Which half of Polder a report is about: its part of the file stands between its own comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Device memory.
    Device,
    /// The process's memory.
    Host,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Host => "host",
        }
    }

    fn begin(self) -> String {
        let name = self.name();
        format!("<!-- {name} part: begin, written by `cargo xtask bench {name}` -->")
    }

    fn end(self) -> String {
        format!("<!-- {} part: end -->", self.name())
    }

    /// The file's text with this part between its comments, or at the end if they are not there.
    fn replaced(self, old: &str, text: &str) -> String {
        let (begin, end) = (self.begin(), self.end());
        let (before, after) = match (old.find(&begin), old.find(&end)) {
            (Some(first), Some(last)) if first < last => (&old[..first], &old[last + end.len()..]),
            _ => (old, ""),
        };
        let (before, text) = (before.trim_end(), text.trim_end());
        let after = after.trim_start_matches('\n');
        let gap = if after.is_empty() { "" } else { "\n" };
        format!("{before}\n\n{begin}\n\n{text}\n\n{end}\n{gap}{after}")
    }
}

/// What a ratio has to be.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// No larger.
    AtMost(f64),
    /// No smaller.
    AtLeast(f64),
    /// Smaller.
    Below(f64),
}

impl Limit {
    fn holds(self, seen: f64) -> bool {
        match self {
            Self::AtMost(limit) => seen <= limit,
            Self::AtLeast(limit) => seen >= limit,
            Self::Below(limit) => seen < limit,
        }
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
            Self::Below(limit) => write!(f, "< {limit}"),
        }
    }
}

/// The text so far, and how the targets fared.
pub struct Report {
    part: Part,
    text: String,
    targets: Table,
}

impl Report {
    /// Begins with what was measured on what.
    pub fn new(part: Part, machine: &str) -> Self {
        let targets = Table::new("target", &["limit", "seen", "holds"]);
        let mut report = Self { part, text: String::new(), targets };
        report.say(machine);
        report
    }

    /// Adds a section.
    pub fn section(&mut self, title: &str, words: &str, table: &Table) {
        self.say(&format!("### {title}\n\n{words}\n\n{table}"));
    }

    /// Adds text.
    pub fn say(&mut self, text: &str) {
        println!("{text}");
        writeln!(self.text, "{text}").expect("a string takes any text");
    }

    /// Adds a target and what was seen, if it was measured.
    pub fn target(&mut self, rule: &str, limit: Limit, seen: Option<f64>) {
        let Some(seen) = seen else { return };
        let holds = if limit.holds(seen) { "yes" } else { "**no**" };
        self.targets.row(rule, [limit.to_string(), figure(Some(seen)), holds.to_string()]);
    }

    /// Ends with the targets, after some words on what is compared.
    pub fn finish(&mut self, words: &str) {
        let targets = std::mem::replace(&mut self.targets, Table::new("", &[""; 0]));
        self.section("Targets", words, &targets);
    }

    /// Puts the text in the place of the last one in the file.
    pub fn write(&self) -> io::Result<()> {
        let old = match fs::read_to_string(FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "# Benchmarks\n".to_string(),
            read => read?,
        };
        fs::write(FILE, self.part.replaced(&old, &self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, Part};

    #[test]
    fn a_part_is_written_between_its_comments_and_nothing_else_is_touched() {
        let (begin, end) = (Part::Device.begin(), Part::Device.end());
        let once = Part::Device.replaced("# Benchmarks\n\nWords.\n", "one");
        assert_eq!(once, format!("# Benchmarks\n\nWords.\n\n{begin}\n\none\n\n{end}\n"));
        let more = format!("{once}\n## More\n");
        let twice = Part::Device.replaced(&more, "two");
        assert!(twice.contains("two") && !twice.contains("one"));
        assert!(twice.starts_with("# Benchmarks\n\nWords.\n") && twice.contains("\n\n## More\n"));
        assert_eq!(Part::Device.replaced(&twice, "two"), twice);
    }

    #[test]
    fn the_parts_stand_beside_each_other() {
        let both = Part::Host.replaced(&Part::Device.replaced("", "buffers"), "objects");
        let changed = Part::Device.replaced(&both, "images");
        assert!(changed.contains("images") && changed.contains("objects"));
        assert!(!changed.contains("buffers"));
        assert!(changed.find("images") < changed.find("objects"));
        assert_eq!(Part::Host.replaced(&changed, "objects"), changed);
    }

    #[test]
    fn a_limit_holds_at_its_edge_unless_it_says_below() {
        assert!(Limit::AtMost(1.0).holds(1.0) && Limit::AtLeast(1.0).holds(1.0));
        assert!(!Limit::Below(1.0).holds(1.0));
    }
}
