//! The rules that no compiler knows, checked over the whole workspace.
//!
//! Each module below is one kind of rule and gives [`Finding`]s: a place and the rule that is
//! broken there. The same run is a command, a step of the others, and a test of this crate.
//!
//! # Invariants
//!
//! 1. A rule that must be able to name what it forbids is told so in its own table: no file is
//!    exempt from all rules.

mod architecture;
mod arrows;
mod lines;
mod reach;
mod text;
mod words;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::command::{Outcome, failed};
use crate::workspace::Workspace;

/// Kinds of file that people write; the rest is data or made by programs.
const WRITTEN: [&str; 6] = ["rs", "md", "toml", "yml", "yaml", "sh"];

/// Folders that programs write.
const MADE: [&str; 4] = ["target", ".git", "corpus", "artifacts"];

/// A rule that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: usize,
    rule: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { path: path.to_string(), line, rule: rule.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// A file that somebody wrote.
struct File {
    /// Below the workspace's root, with `/` on every system.
    path: String,
    text: String,
    /// The text of a Rust file with comments and literals blanked; else empty.
    code: String,
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let code = if is_rust(path) { text::code_of(&text) } else { String::new() };
        Self { path: path.to_string(), text, code }
    }

    fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    /// Whether it is only there to try the rest: tests, benchmarks, fuzz targets.
    fn is_trial(&self) -> bool {
        let mut parts = self.path.split('/');
        let is_trial = |part: &str| {
            ["tests", "benches", "examples", "bench", "fuzz", "tests.rs"].contains(&part)
        };
        parts.any(is_trial)
    }
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Prints each broken rule; fails when there is one.
pub fn run(workspace: &Workspace) -> Outcome {
    let findings = check(workspace).or_else(|error| failed(error.to_string()))?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => failed("1 rule is broken"),
        count => failed(format!("{count} rules are broken")),
    }
}

/// All findings, in the order of their places.
fn check(workspace: &Workspace) -> io::Result<Vec<Finding>> {
    let mut files = Vec::new();
    read_folder(&workspace.root, "", &mut files)?;
    let mut findings: Vec<_> = files.iter().flat_map(lines::check).collect();
    findings.extend(files.iter().flat_map(words::check));
    findings.extend(architecture::check(&workspace.root, &files));
    findings.extend(arrows::check(workspace));
    findings.extend(reach::check(workspace, &files));
    findings.sort();
    Ok(findings)
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, place) = (format!("{prefix}{name}"), entry.path());
        if entry.file_type()?.is_dir() {
            // Cargo marks each of its target folders, whatever they are called.
            let is_made = MADE.contains(&&*name) || place.join("CACHEDIR.TAG").exists();
            if !is_made {
                read_folder(&place, &format!("{path}/"), files)?;
            }
        } else if is_written(&path) {
            files.push(File::new(&path, fs::read_to_string(place)?));
        }
    }
    Ok(())
}

fn is_written(path: &str) -> bool {
    let extension = Path::new(path).extension().unwrap_or_default().to_string_lossy();
    WRITTEN.contains(&&*extension) || path == ".ci/run"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = check(&Workspace::load().unwrap()).unwrap();
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn a_finding_is_one_line_with_its_place() {
        assert_eq!(Finding::new("a/b.rs", 7, "rule").to_string(), "a/b.rs:7: rule");
    }

    #[test]
    fn a_trial_is_known_by_its_folder() {
        let is_trial = |path: &str| File::new(path, String::new()).is_trial();
        assert!(is_trial("crates/core/tests/space.rs") && is_trial("fuzz/src/space.rs"));
        assert!(!is_trial("crates/core/src/space.rs"));
    }
}
