//! Which patterns the program of patterns has.

use super::build::Programs;
use std::io;
use std::process::Command;

/// One pattern.
pub struct Pattern {
    /// Its name.
    pub name: String,
    /// How often it is repeated if nothing else is said.
    pub repetitions: u64,
    /// Whether it is an operation to count, not a program to take the time of.
    pub is_counted: bool,
}

/// Asks the program for all of them.
pub fn all(programs: &Programs) -> io::Result<Vec<Pattern>> {
    let output = Command::new(&programs.patterns).output()?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Each line is a kind, a name and a number.
fn parse(text: &str) -> Vec<Pattern> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Pattern> {
    let mut words = line.split_whitespace();
    Some(Pattern {
        is_counted: words.next()? == "counted",
        name: words.next()?.to_string(),
        repetitions: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_pattern_is_a_line() {
        let patterns = parse("timed larson 200\ncounted pair-64 50000\n");
        let read =
            |at: usize| (&*patterns[at].name, patterns[at].repetitions, patterns[at].is_counted);
        assert_eq!((read(0), read(1)), (("larson", 200, false), ("pair-64", 50_000, true)));
    }
}
