//! What is printed, and written into `BENCHMARKS.md` between two comments.

use crate::table::{Table, figure};
use std::fmt::{Display, Write};
use std::{fs, io};

/// The file, in the root of the project.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../BENCHMARKS.md");
const BEGIN: &str = "<!-- device part: begin, written by `cargo xtask bench device` -->";
const END: &str = "<!-- device part: end -->";

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
    text: String,
    targets: Table,
}

impl Report {
    /// Begins with what was measured on what.
    pub fn new(machine: &str) -> Self {
        let targets = Table::new("target", &["limit", "seen", "holds"]);
        let mut report = Self { text: String::new(), targets };
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

    /// Ends with the targets.
    pub fn finish(&mut self) {
        let words = "Ratios are medians of the ratios within each round.";
        let targets = std::mem::replace(&mut self.targets, Table::new("", &[""; 0]));
        self.section("Targets", words, &targets);
    }

    /// Puts the text in the place of the last one in the file.
    pub fn write(&self) -> io::Result<()> {
        let old = match fs::read_to_string(FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "# Benchmarks\n".to_string(),
            read => read?,
        };
        fs::write(FILE, replaced(&old, &self.text))
    }
}

/// The file's text with this part between the comments, or at the end if they are not there.
fn replaced(old: &str, part: &str) -> String {
    let (before, after) = match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) if begin < end => (&old[..begin], &old[end + END.len()..]),
        _ => (old, ""),
    };
    let before = before.trim_end();
    format!(
        "{before}\n\n{BEGIN}\n\n{}\n\n{END}\n{}",
        part.trim_end(),
        after.trim_start_matches('\n')
    )
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, Limit, replaced};

    #[test]
    fn the_part_is_written_between_its_comments_and_nothing_else_is_touched() {
        let once = replaced("# Benchmarks\n\nWords.\n", "one");
        assert_eq!(once, format!("# Benchmarks\n\nWords.\n\n{BEGIN}\n\none\n\n{END}\n"));
        let more = format!("{once}\n## More\n");
        let twice = replaced(&more, "two");
        assert!(twice.contains("two") && !twice.contains("one"));
        assert!(twice.starts_with("# Benchmarks\n\nWords.\n") && twice.contains("## More\n"));
        assert_eq!(replaced(&twice, "two"), twice);
    }

    #[test]
    fn a_limit_holds_at_its_edge_unless_it_says_below() {
        assert!(Limit::AtMost(1.0).holds(1.0) && Limit::AtLeast(1.0).holds(1.0));
        assert!(!Limit::Below(1.0).holds(1.0));
    }
}
