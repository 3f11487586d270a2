//! `ARCHITECTURE.md` tells the truth: its paths exist, and its list of files with `unsafe` is
//! the list of files with `unsafe`.
//!
//! A reviewer of memory safety reads that list and nothing else, so it must be complete. Tests
//! may use `unsafe` without being listed: they are not what a user builds.

use std::path::Path;

use super::{File, Finding, text};

const ARCHITECTURE: &str = "ARCHITECTURE.md";

const SECTION: &str = "## Files with unsafe";

/// The findings of the text and of the files that it must list.
pub fn check(root: &Path, files: &[File]) -> Vec<Finding> {
    let told = files.iter().find(|file| file.path == ARCHITECTURE);
    let text = told.map_or("", |file| &file.text);
    let mut findings = unlisted(text, files);
    findings.extend(listed_in_vain(text, files));
    findings.extend(dead_paths(text, |path| root.join(path).exists()));
    findings
}

fn unlisted(text: &str, files: &[File]) -> Vec<Finding> {
    let is_listed = |file: &&File| listed(text).any(|(_, path)| path == file.path);
    let product = files.iter().filter(|file| file.is_rust() && !file.is_trial());
    product
        .filter(|file| !is_listed(file))
        .filter_map(|file| {
            let rule = format!("`unsafe` in a file that {ARCHITECTURE} does not list");
            Some(Finding::new(&file.path, first_unsafe(file)?, rule))
        })
        .collect()
}

fn listed_in_vain(text: &str, files: &[File]) -> Vec<Finding> {
    let has_unsafe =
        |path: &str| files.iter().any(|file| file.path == path && first_unsafe(file).is_some());
    listed(text)
        .filter(|(_, path)| !has_unsafe(path))
        .map(|(line, path)| Finding::new(ARCHITECTURE, line, format!("`{path}` has no `unsafe`")))
        .collect()
}

/// Names that look like paths of the workspace and lead nowhere.
fn dead_paths(text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let dead = quoted(line).filter(|name| is_path(name) && !exists(name));
        let rules = dead.map(|name| format!("`{name}` does not exist"));
        findings.extend(rules.map(|rule| Finding::new(ARCHITECTURE, index + 1, rule)));
    }
    findings
}

/// The paths that the section lists, with their lines.
fn listed(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().skip_while(|(_, line)| !line.starts_with(SECTION));
    let section = numbered.skip(1).take_while(|(_, line)| !line.starts_with("## "));
    let bullets = section.filter(|(_, line)| line.starts_with(['-', '*']));
    bullets.filter_map(|(index, line)| Some((index + 1, quoted(line).next()?)))
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_path(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let ends = [".rs", ".md", ".toml", "/"];
    let is_below = ["crates/", "capi/", "compat/", "xtask/", "bench/", "fuzz/"];
    name.chars().all(is_plain)
        && ends.iter().any(|end| name.ends_with(end))
        && is_below.iter().any(|folder| name.starts_with(folder))
}

/// The line of the first `unsafe` that is code.
fn first_unsafe(file: &File) -> Option<usize> {
    let mut lines = file.code.lines();
    lines.position(|line| text::words(line).any(|word| word == "unsafe")).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A\n\n`crates/gone.rs`\n\n## Files with unsafe\n\n- `crates/a.rs`: why\n\n\
                        - `crates/b.rs`: why\n\n## Next\n\n- `crates/c.rs`\n";

    fn file(path: &str, text: &str) -> File {
        File::new(path, text.to_string())
    }

    #[test]
    fn the_list_is_checked_in_both_directions() {
        let files = [
            file("crates/a.rs", "unsafe fn f() {}"),
            file("crates/b.rs", "// unsafe\nfn f() {}"),
            file("crates/c.rs", "fn f() {}\nunsafe impl Send for A {}"),
            file("crates/tests/d.rs", "unsafe fn f() {}"),
        ];
        let unlisted = unlisted(TEXT, &files);
        assert_eq!(unlisted.len(), 1);
        assert!(unlisted[0].to_string().starts_with("crates/c.rs:2: "));
        let vain: Vec<_> = listed_in_vain(TEXT, &files);
        assert_eq!(vain, [Finding::new(ARCHITECTURE, 9, "`crates/b.rs` has no `unsafe`")]);
    }

    #[test]
    fn a_path_that_is_told_exists() {
        let found = dead_paths(TEXT, |path| path != "crates/gone.rs");
        assert_eq!(found, [Finding::new(ARCHITECTURE, 3, "`crates/gone.rs` does not exist")]);
    }
}
