//! Parts of a toolchain that a machine may lack, added where that is possible.
//!
//! A nightly compiler, components of it, standard libraries of other targets, a C++ compiler and
//! programs of Debian's are wanted by some steps only. Each function adds what is missing or leaves
//! the step out with the reason.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use crate::command::{Outcome, cargo_nightly, find_program, is_root, left_out, output, run};

/// A nightly toolchain with these components.
pub fn nightly(components: &[&str]) -> Outcome {
    if find_program("rustup").is_none() {
        return left_out("a nightly toolchain is needed, and there is no rustup to get one");
    }
    if output(cargo_nightly().arg("--version")).is_err() {
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        if run(&mut install).is_err() {
            return left_out("there is no nightly toolchain, and it could not be installed");
        }
    }
    for component in components {
        add("nightly", component)?;
    }
    Ok(())
}

/// The components of the toolchain in use, where rustup is what manages it. Without rustup a
/// missing one shows when it is used.
pub fn components(components: &[&str]) -> Outcome {
    if find_program("rustup").is_none() {
        return Ok(());
    }
    let active = output(Command::new("rustup").args(["show", "active-toolchain"]));
    let Ok(active) = active else { return Ok(()) };
    let toolchain = active.split_whitespace().next().unwrap_or("stable");
    components.iter().try_for_each(|component| add(toolchain, component))
}

fn add(toolchain: &str, component: &str) -> Outcome {
    let rustup = |arguments: &[&str]| {
        let mut command = Command::new("rustup");
        command.args(["component"]).args(arguments).args(["--toolchain", toolchain]);
        command
    };
    let list = output(&mut rustup(&["list", "--installed"])).unwrap_or_default();
    if list.lines().any(|line| line.starts_with(component)) {
        return Ok(());
    }
    if run(&mut rustup(&["add", component])).is_ok() {
        return Ok(());
    }
    left_out(format!("{toolchain} toolchain lacks `{component}`, and it could not be added"))
}

/// The target that the compiler builds for by default.
pub fn host() -> Outcome<String> {
    let version = output(Command::new("rustc").arg("-vV")).unwrap_or_default();
    match version.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_string()),
        None => left_out("`rustc -vV` does not name its host"),
    }
}

/// Where a target's standard library comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// It lies beside the compiler.
    Installed,
    /// From its sources, which a nightly toolchain has: the nightly cargo builds it.
    Sources,
}

/// The standard library of a target. It is added where rustup can; when it once could not, it is
/// not asked again, for it may take long to say so.
pub fn target(name: &str) -> Outcome<Library> {
    static HAS_FAILED: AtomicBool = AtomicBool::new(false);
    let has_rustup = find_program("rustup").is_some();
    if !has_library(name) && has_rustup && !HAS_FAILED.load(Relaxed) {
        let added = run(Command::new("rustup").args(["target", "add", name]));
        HAS_FAILED.store(added.is_err(), Relaxed);
    }
    if has_library(name) {
        return Ok(Library::Installed);
    }
    if has_sources() {
        return Ok(Library::Sources);
    }
    left_out(format!("the standard library of {name} is not there, and could not be added"))
}

fn has_library(target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    let folder = output(rustc.args(["--print", "target-libdir", "--target", target]));
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn has_sources() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.env_remove("RUSTUP_TOOLCHAIN").args(["+nightly", "--print", "sysroot"]);
    let folder = output(&mut rustc);
    folder.is_ok_and(|folder| Path::new(folder.trim()).join("lib/rustlib/src/rust").is_dir())
}

/// A C++ compiler, which other projects' code is built with; ours needs none.
pub fn cxx() -> Outcome {
    let has_compiler = || ["c++", "g++", "clang++"].iter().any(|name| find_program(name).is_some());
    if has_compiler() || std::env::var_os("CXX").is_some() {
        return Ok(());
    }
    install("there is no C++ compiler", &["g++"])?;
    if !has_compiler() {
        return left_out("there is no C++ compiler, and `apt-get install g++` brought none");
    }
    Ok(())
}

/// Programs, from these packages of Debian's where one is missing.
pub fn packages(programs: &[&str], packages: &[&str]) -> Outcome {
    let missing = || programs.iter().find(|program| find_program(program).is_none());
    let Some(first) = missing() else { return Ok(()) };
    install(&format!("there is no `{first}`"), packages)?;
    match missing() {
        Some(still) => left_out(format!("there is no `{still}`, and no package brought it")),
        None => Ok(()),
    }
}

/// Debian's packages, installed where that is possible without asking; what they are for is
/// missing otherwise.
pub fn install(missing: &str, packages: &[&str]) -> Outcome {
    if find_program("apt-get").is_none() {
        return left_out(missing);
    }
    if !is_root() {
        return left_out(format!("{missing}: run `sudo apt-get install {}`", packages.join(" ")));
    }
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["--quiet", "--yes"]);
        // Servers among them are not to start.
        command.env("RUNLEVEL", "1").args(arguments).args(["--no-install-recommends"]);
        command
    };
    let mut install = apt_get(&["install"]);
    install.args(packages);
    if run(&mut apt_get(&["update"])).and_then(|()| run(&mut install)).is_err() {
        return left_out(format!("{missing}, and `apt-get install` failed"));
    }
    Ok(())
}
