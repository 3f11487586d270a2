//! Cargo features, alone and together: an option that nobody builds is one that does not build.
//!
//! The features are those that the manifests name, so a new one is tried without a word here.

use std::process::Command;

use crate::command::{Outcome, cargo, failed, run};
use crate::workspace::{Package, Workspace};

/// What the host heap needs where a thread's state can't be a word of static TLS.
const BASE: &str = if cfg!(target_os = "linux") { "" } else { "std" };

/// The feature with guards around every object.
const GUARDED: &str = "hardened";

/// The feature with a system in software.
const SOFTWARE: &str = "sim";

/// Tests the host heap with each of its features, and checks that the façade builds with each.
pub fn run_all(workspace: &Workspace) -> Outcome {
    for features in choices(package(workspace, "polder-host")?) {
        let mut test = with_features("test", "polder-host", &[BASE, &features].join(","));
        run(test.args(["--lib", "--test=features", "--test=libc_api", "--quiet"]))?;
    }
    // What the guards find, and that they find nothing where nothing is wrong.
    let mut guarded = with_features("test", "polder-host", &[BASE, "std", GUARDED].join(","));
    run(guarded.args(["--test=misuse", "--test=oracle", "--quiet"]))?;
    // What becomes of the heap when each call to the system fails.
    for guards in ["", GUARDED] {
        let mut failing = with_features("test", "polder-host", &[BASE, SOFTWARE, guards].join(","));
        run(failing.args(["--test=failures", "--test=moved", "--quiet"]))?;
    }
    for features in choices(package(workspace, "polder")?) {
        run(&mut with_features("check", "polder", &features))?;
    }
    Ok(())
}

fn package<'a>(workspace: &'a Workspace, name: &str) -> Outcome<&'a Package> {
    workspace.package(name).map_or_else(|| failed(format!("there is no {name}")), Ok)
}

/// No feature, each alone, and all of them.
fn choices(package: &Package) -> Vec<String> {
    let each = package.features.iter().filter(|name| *name != "default").cloned();
    let all = each.clone().collect::<Vec<_>>().join(",");
    [String::new()].into_iter().chain(each).chain([all]).collect()
}

fn with_features(what: &str, package: &str, features: &str) -> Command {
    let mut command = cargo();
    command.args([what, "--package", package, "--no-default-features"]);
    command.args(["--features", features.trim_matches(',')]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_tried_alone_and_together() {
        let features = ["a", "b", "default"].map(String::from).to_vec();
        let package = Package { features, ..Package::default() };
        assert_eq!(choices(&package), ["", "a", "b", "a,b"]);
    }

    #[test]
    fn the_heap_has_features_to_try() {
        let workspace = Workspace::load().unwrap();
        assert!(choices(package(&workspace, "polder-host").unwrap()).len() > 5);
    }
}
