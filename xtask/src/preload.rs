//! The C library in place of the system's `malloc`: what it exports, programs of ours that try
//! each promise, other people's programs, and what it costs to start with it.
//!
//! The library is built with its word in static TLS, for programs that load it late, and hardened.
//! All are preloaded into programs of ours, the first into those of others. Ours lie in
//! `capi/malloc/tests/programs` and end by themselves in bounded time.

mod cost;
mod programs;
mod real;
mod symbols;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Outcome, cargo, failed, find_program, left_out, run};
use crate::report::Report;
use crate::workspace::Workspace;

use programs::Programs;

/// The file that is built.
const LIBRARY: &str = "libpolder_malloc.so";

/// One build of the library.
#[derive(Debug, Clone)]
pub struct Library {
    /// What it is called here.
    name: &'static str,
    file: PathBuf,
    tls: Tls,
}

/// How a library finds the thread's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// At a fixed distance, which must be free when it is loaded.
    Static,
    /// By a call.
    Dynamic,
}

/// Runs everything, as steps of their own.
pub fn run_all(report: &mut Report, workspace: &Workspace) {
    if !cfg!(target_os = "linux") {
        return report.leave_out("preload", "the library takes malloc's place on Linux alone");
    }
    let Some(libraries) = report.step("preload build", || build(workspace)) else { return };
    report.step("preload symbols", || libraries.iter().try_for_each(symbols::check));
    let made = report.step("preload programs", || Programs::build(workspace));
    if let Some(programs) = made {
        programs.run_all(report, &libraries);
        report.step("preload cost", || cost::check(&programs, &libraries[0]));
    }
    real::run_all(report, workspace, &libraries[0]);
}

/// Each build in a folder of its own, alone: in one build with other packages the heap has their
/// features too.
fn build(workspace: &Workspace) -> Outcome<Vec<Library>> {
    BUILDS.iter().map(|build| build.run(&workspace.target)).collect()
}

/// How one of the libraries is built.
struct Build {
    name: &'static str,
    /// Below the target folder.
    folder: &'static str,
    arguments: &'static [&'static str],
    tls: Tls,
}

/// The first is what a user gets who asks for nothing.
const BUILDS: [Build; 3] = [
    Build { name: "static TLS", folder: "", arguments: &[], tls: Tls::Static },
    Build {
        name: "dynamic TLS",
        folder: "late-tls",
        arguments: &["--features", "local-dynamic-tls"],
        tls: Tls::Dynamic,
    },
    Build {
        name: "hardening",
        folder: "hardened",
        arguments: &["--features", "hardened"],
        tls: Tls::Static,
    },
];

impl Build {
    fn run(&self, target: &Path) -> Outcome<Library> {
        let target = target.join(self.folder);
        let mut command = cargo();
        command.args(["build", "--package", "polder-malloc", "--profile", "malloc"]);
        run(command.args(self.arguments).arg("--target-dir").arg(&target))?;
        let file = target.join("malloc").join(LIBRARY);
        Ok(Library { name: self.name, file, tls: self.tls })
    }
}

impl Library {
    /// Puts it before all other libraries of a command.
    fn preload<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", &self.file)
    }
}

/// A program of the machine; without it the step is left out.
fn needed(program: &str) -> Outcome {
    match find_program(program) {
        Some(_) => Ok(()),
        None => left_out(format!("`{program}` is not there")),
    }
}

/// A claim about what was measured.
fn claim(is_so: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { failed(otherwise()) }
}
