//! Parts of a toolchain that a machine may lack, added where that is possible.
//!
//! A nightly compiler, components of it and a C++ compiler are wanted by some steps only. Each
//! function adds what is missing or leaves the step out with the reason.

use std::process::Command;

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
