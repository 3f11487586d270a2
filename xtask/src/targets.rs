//! The systems that the libraries are for, as far as a compiler can tell: each target is linted
//! here, whatever this machine is. Nothing is linked, so a target needs its standard library and
//! no other tool.

use std::process::Command;

use crate::command::{Outcome, cargo, cargo_nightly, run};
use crate::report::Report;
use crate::toolchain::{self, Library};
use crate::workspace::Workspace;

/// One system.
struct Target {
    name: &'static str,
    /// Whether the host heap runs there without `std`.
    is_free_of_std: bool,
}

const TARGETS: [Target; 6] = [
    Target { name: "x86_64-unknown-linux-musl", is_free_of_std: true },
    Target { name: "aarch64-unknown-linux-gnu", is_free_of_std: true },
    Target { name: "aarch64-apple-darwin", is_free_of_std: false },
    Target { name: "x86_64-apple-darwin", is_free_of_std: false },
    Target { name: "x86_64-pc-windows-gnu", is_free_of_std: false },
    Target { name: "x86_64-unknown-freebsd", is_free_of_std: false },
];

/// The feature that puts a system in software in the place of the target's.
const IN_SOFTWARE: &str = "sim";
/// The libraries that are for every system.
const LIBRARIES: [&str; 5] =
    ["polder-core", "polder-host", "polder-device", "polder-vulkan", "polder"];

/// Checks each target, as a step of its own.
pub fn check(report: &mut Report, workspace: &Workspace) {
    for target in &TARGETS {
        report.step(&format!("target {}", target.name), || check_one(target, workspace));
    }
}

fn check_one(target: &Target, workspace: &Workspace) -> Outcome {
    toolchain::components(&["clippy"])?;
    let library = toolchain::target(target.name)?;
    let mut all = command(target, library);
    for package in LIBRARIES.iter().filter_map(|name| workspace.package(name)) {
        all.arg(format!("--package={}", package.name));
        let features = package.features.iter().filter(|name| *name != IN_SOFTWARE);
        all.args(features.map(|name| format!("--features={}/{name}", package.name)));
    }
    end(&mut all, library)?;
    if !target.is_free_of_std {
        return Ok(());
    }
    let mut host = command(target, library);
    end(host.args(["--package=polder-host", "--no-default-features"]), library)
}

/// Clippy, or the bare compiler where the standard library has to be built: its clippy may not be
/// there, and is another one.
fn command(target: &Target, library: Library) -> Command {
    let (mut command, arguments) = match library {
        Library::Installed => (cargo(), ["clippy", "--quiet"]),
        Library::Sources => (cargo_nightly(), ["check", "-Zbuild-std"]),
    };
    command.args(arguments).args(["--target", target.name]);
    command
}

fn end(command: &mut Command, library: Library) -> Outcome {
    match library {
        Library::Installed => run(command.args(["--", "-D", "warnings"])),
        Library::Sources => run(command),
    }
}
