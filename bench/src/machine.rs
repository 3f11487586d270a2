//! What the figures were measured on.

use std::process::Command;
use std::thread::available_parallelism;

const LOCK: &str = include_str!("../Cargo.lock");

/// Returns title, processor, compiler, versions of packages, and what else is to be said, in a few
/// lines.
pub fn describe(title: &str, others: &[String], packages: &[&str]) -> String {
    let versions: Vec<_> = packages
        .iter()
        .filter_map(|package| Some(format!("{package} {}", version(package)?)))
        .collect();
    let processors = available_parallelism().map_or(1, std::num::NonZero::get);
    let processor = processor().unwrap_or_else(|| std::env::consts::ARCH.to_string());
    let system = std::env::consts::OS;
    let mut text = format!("## {title}\n\n- {processor}, {processors} processors, {system}\n");
    let rustc = first_line("rustc", &["--version"]);
    let rustc = rustc.unwrap_or_else(|| "an unknown compiler".to_string());
    for line in others.iter().chain([&rustc, &versions.join(", ")]) {
        text.push_str(&format!("- {line}\n"));
    }
    text
}

/// The version that the lock file has of a package.
fn version(package: &str) -> Option<&str> {
    let (_, entry) = LOCK.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(entry.split_once('"')?.0)
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.to_string())
}

/// Returns the first line that a program writes.
pub fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.lines().next()?.trim().to_string())
}
