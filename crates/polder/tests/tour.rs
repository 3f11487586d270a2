//! What the README and the crate's tour show is what the examples compile.

use std::fs;
use std::path::Path;

const BEGIN: [&str; 2] = ["// The tour and the README show this.", "// The README shows this."];
/// What the README shows.
const SHOWN: [&str; 3] = ["examples/host.rs", "examples/vulkan.rs", "examples/defragment.rs"];
const END: &str = "// So far.";

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The marked parts of an example, each without the indentation of its mark.
fn shown(path: &str) -> Vec<String> {
    let example = text(path);
    let mut parts = Vec::new();
    let mut lines = example.lines();
    while let Some(mark) = lines.find(|line| BEGIN.contains(&line.trim())) {
        let indent = &mark[..mark.len() - mark.trim_start().len()];
        let part = lines.by_ref().take_while(|line| line.trim() != END);
        let part = part.map(|line| format!("{}\n", line.strip_prefix(indent).unwrap_or(line)));
        parts.push(part.collect());
    }
    assert!(!parts.is_empty(), "{path} marks what is shown");
    parts
}

#[test]
fn the_readme_shows_the_examples() {
    let readme = text("../../README.md");
    for part in SHOWN.map(shown).concat() {
        assert!(readme.contains(&format!("```rust\n{part}```\n")), "the README has not\n{part}");
    }
}

#[test]
fn the_tour_shows_the_example() {
    let tour: String = text("src/lib.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    for part in shown("examples/vulkan.rs") {
        assert!(tour.contains(&format!("```ignore\n{part}```\n")));
    }
}

#[test]
fn the_examples_are_short() {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    for part in SHOWN.map(shown).concat() {
        assert!(part.lines().filter(is_code).count() <= 20);
    }
}
