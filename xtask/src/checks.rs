//! The checks that run on any machine: lints, tests, Miri and loom.

use std::path::Path;

use crate::command::{Outcome, cargo, cargo_nightly, left_out, run};
use crate::report::Report;
use crate::tidy;
use crate::toolchain;
use crate::workspace::Workspace;

/// The packages that Miri checks as they are: all that know neither a driver nor a system.
const PURE: [&str; 2] = ["polder-core", "polder-device"];

/// The packages that may have models for loom, and where these begin.
const CONCURRENT: [&str; 3] = ["polder-core", "polder-device", HOST];
const MODELS: [&str; 2] = ["tests/loom.rs", "tests/loom/main.rs"];

/// Workspaces of their own, whose format is checked with ours.
const OUTSIDE: [&str; 2] = ["bench", "fuzz"];

/// The package that Miri checks over a system in software, which is one of its features.
const HOST: &str = "polder-host";
/// Its tests that are short enough for an interpreter, and need no process of their own.
const HOST_TESTS: [&str; 8] = [
    "--features=sim",
    "--lib",
    "--test=failures",
    "--test=global",
    "--test=moved",
    "--test=oracle",
    "--test=questions",
    "--test=threads",
];

/// How Miri runs unless the user says otherwise. Tests read the clock and files, which isolation
/// forbids.
const MIRI_FLAGS: &str = "-Zmiri-disable-isolation -Zmiri-strict-provenance";
/// The same for the host heap, which finds owners and slots by their addresses.
const MIRI_HOST_FLAGS: &str = "-Zmiri-disable-isolation -Zmiri-permissive-provenance";
/// An interpreter is some hundred times slower, so that each property is tried on few cases.
const MIRI_CASES: (&str, &str) = ("PROPTEST_CASES", "4");

/// Format, lints, documentation and `tidy`.
pub fn lint(report: &mut Report, workspace: &Workspace) {
    report.step("rustfmt", || {
        toolchain::components(&["rustfmt"])?;
        run(cargo().args(["fmt", "--all", "--check"]))?;
        let manifests = OUTSIDE.map(|folder| workspace.root.join(folder).join("Cargo.toml"));
        manifests.iter().filter(|manifest| manifest.is_file()).try_for_each(|manifest| {
            run(cargo().args(["fmt", "--all", "--check", "--manifest-path"]).arg(manifest))
        })
    });
    report.step("clippy", || {
        toolchain::components(&["clippy"])?;
        run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    report.step("doc", || {
        let mut doc = cargo();
        run(doc.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps", "--workspace"]))
    });
    report.step("tidy", || tidy::run(workspace));
}

/// The tests of every package, documentation's examples among them.
pub fn test() -> Outcome {
    run(cargo().args(["test", "--workspace"]))
}

/// The tests that Miri interprets: it sees each undefined behaviour and each race that happens.
pub fn miri(workspace: &Workspace) -> Outcome {
    let packages = packages(workspace, &PURE, |_| true);
    if packages.is_empty() {
        return left_out("the workspace has no package for it");
    }
    toolchain::nightly(&["miri", "rust-src"])?;
    miri_test(MIRI_FLAGS, &packages)?;
    if workspace.package(HOST).is_none() {
        return Ok(());
    }
    let package = format!("--package={HOST}");
    let tests = HOST_TESTS.map(String::from);
    miri_test(MIRI_HOST_FLAGS, &[&[package], &tests[..]].concat())
}

fn miri_test(flags: &str, arguments: &[String]) -> Outcome {
    let mut command = cargo_nightly();
    for (name, value) in [("MIRIFLAGS", flags), MIRI_CASES] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command.args(["miri", "test"]).args(arguments);
    // Times show which test is too long for an interpreter.
    run(command.args(["--", "-Zunstable-options", "--report-time"]))
}

/// The tests that loom runs in every order of their threads' steps.
pub fn loom(workspace: &Workspace) -> Outcome {
    let has_models = |folder: &Path| MODELS.iter().any(|file| folder.join(file).is_file());
    let packages = packages(workspace, &CONCURRENT, has_models);
    if packages.is_empty() {
        return left_out("no package has a test `loom`");
    }
    let mut command = cargo();
    command.env("RUSTFLAGS", "--cfg loom");
    // Other flags would rebuild everything each time they change.
    command.env("CARGO_TARGET_DIR", workspace.target.join("loom"));
    run(command.args(["test", "--release", "--test", "loom"]).args(packages))
}

/// `--package` for each of these packages that is there and of whose folder `fits` holds.
fn packages(workspace: &Workspace, names: &[&str], fits: impl Fn(&Path) -> bool) -> Vec<String> {
    let packages = names.iter().filter_map(|name| workspace.package(name));
    let fitting = packages.filter(|package| fits(&package.folder));
    fitting.map(|package| format!("--package={}", package.name)).collect()
}
