//! The checks that run on any machine: lints, tests and loom.

use std::path::Path;

use crate::command::{Outcome, cargo, left_out, run};
use crate::report::Report;
use crate::tidy;
use crate::toolchain;
use crate::workspace::Workspace;

/// The packages that may have models for loom, and where these begin.
const CONCURRENT: [&str; 3] = ["polder-core", "polder-device", "polder-host"];
const MODELS: [&str; 2] = ["tests/loom.rs", "tests/loom/main.rs"];

/// Workspaces of their own, whose format is checked with ours.
const OUTSIDE: [&str; 2] = ["bench", "fuzz"];

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
