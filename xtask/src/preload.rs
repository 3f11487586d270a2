//! The C library in place of the system's `malloc`: what it exports, programs of ours that try
//! each promise, other people's programs, and what it costs to start with it.
//!
//! The library is built twice: with its word in static TLS, and for programs that load it late.
//! Both are preloaded into everything. Programs of ours lie in `capi/malloc/tests/programs` and
//! end by themselves in bounded time.

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

fn build(workspace: &Workspace) -> Outcome<[Library; 2]> {
    let late = workspace.target.join("late-tls");
    build_into(&workspace.target, &[])?;
    build_into(&late, &["--features", "local-dynamic-tls"])?;
    Ok([
        Library { name: "static TLS", file: file_in(&workspace.target), tls: Tls::Static },
        Library { name: "dynamic TLS", file: file_in(&late), tls: Tls::Dynamic },
    ])
}

/// Alone: in one build with other packages the heap has their features too.
fn build_into(target: &Path, arguments: &[&str]) -> Outcome {
    let mut command = cargo();
    command.args(["build", "--package", "polder-malloc", "--profile", "malloc"]);
    run(command.args(arguments).arg("--target-dir").arg(target))
}

fn file_in(target: &Path) -> PathBuf {
    target.join("malloc").join(LIBRARY)
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
