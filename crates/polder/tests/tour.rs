//! What the README and the crate's tour show is what `examples/vulkan.rs` compiles.

use std::fs;
use std::path::Path;

const BEGIN: &str = "// The tour and the README show this.\n";
const END: &str = "// So far.\n";

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown() -> String {
    let example = text("examples/vulkan.rs");
    let (_, rest) = example.split_once(BEGIN).expect("the example marks where it is shown");
    rest.split_once(END).expect("the example marks where the shown part ends").0.to_owned()
}

#[test]
fn the_readme_shows_the_example() {
    assert!(text("../../README.md").contains(&format!("```rust\n{}```\n", shown())));
}

#[test]
fn the_tour_shows_the_example() {
    let tour: String = text("src/lib.rs")
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert!(tour.contains(&format!("```ignore\n{}```\n", shown())));
}

#[test]
fn the_example_is_short() {
    let code = shown();
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    assert!(code.lines().filter(is_code).count() <= 20);
}
