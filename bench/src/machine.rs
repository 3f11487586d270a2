//! What the figures were measured on.

use crate::gpu::Gpu;
use std::process::Command;
use std::thread::available_parallelism;

const LOCK: &str = include_str!("../Cargo.lock");
/// The packages whose versions are said.
const PACKAGES: [&str; 7] = [
    "polder-device",
    "vk-mem",
    "gpu-allocator",
    "gpu-alloc",
    "gpu-alloc-ash",
    "offset-allocator",
    "ash",
];

/// Returns processor, driver and versions in a few lines.
pub fn describe(gpu: &Gpu) -> String {
    let versions: Vec<_> = PACKAGES
        .iter()
        .filter_map(|package| Some(format!("{package} {}", version(package)?)))
        .collect();
    let processors = available_parallelism().map_or(1, std::num::NonZero::get);
    format!(
        "## Device memory\n\n- {}, {processors} processors, {}\n- {}\n- {}\n- {}\n",
        processor().unwrap_or_else(|| std::env::consts::ARCH.to_string()),
        std::env::consts::OS,
        gpu.name(),
        rustc().unwrap_or_else(|| "an unknown compiler".to_string()),
        versions.join(", ")
    )
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

fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_string())
}
