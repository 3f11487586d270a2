//! The tests that Miri interprets: it sees each undefined behaviour and each race that happens.
//!
//! An interpreter runs one thread at a time, and is some hundred times slower: so there are as many
//! of them at once as there are processors, each with a test executable of its own.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::command::{Outcome, Stop, cargo_nightly, failed, left_out, run, shown};
use crate::toolchain;
use crate::workspace::{Package, Workspace};

/// The packages that are interpreted as they are: all that know neither a driver nor a system. The
/// one with the longest tests first.
const PURE: [&str; 2] = ["polder-device", "polder-core"];
/// The package that is interpreted over a system in software, which is one of its features.
const HOST: &str = "polder-host";
/// Its tests that are short enough for an interpreter, and need no process of their own.
const HOST_TESTS: [&str; 6] = ["failures", "global", "moved", "oracle", "questions", "threads"];

/// How Miri runs unless the user says otherwise. Tests read the clock and files, which isolation
/// forbids.
const FLAGS: &str = "-Zmiri-disable-isolation -Zmiri-strict-provenance";
/// The same for the host heap, which finds owners and slots by their addresses.
const HOST_FLAGS: &str = "-Zmiri-disable-isolation -Zmiri-permissive-provenance";
/// Each property is tried on few cases.
const CASES: (&str, &str) = ("PROPTEST_CASES", "4");

/// Runs all of them; each failure is told where it happens and at the end.
pub fn run_all(workspace: &Workspace) -> Outcome {
    let mut jobs: VecDeque<_> =
        PURE.iter().flat_map(|name| pure(workspace.package(name))).collect();
    jobs.extend(host(workspace.package(HOST)));
    if jobs.is_empty() {
        return left_out("the workspace has no package for it");
    }
    toolchain::nightly(&["miri", "rust-src"])?;
    build(workspace)?;

    let count = thread::available_parallelism().map_or(1, |count| count.get().min(jobs.len()));
    let (jobs, failures) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                while let Some(mut job) = take(&jobs) {
                    if let Err(Stop::Failed(reason) | Stop::LeftOut(reason)) = interpret(&mut job) {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(reason);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failures.is_empty() { Ok(()) } else { failed(failures.join(", ")) }
}

fn take(jobs: &Mutex<VecDeque<Command>>) -> Option<Command> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Builds everything, so that no interpreter waits for another's build.
fn build(workspace: &Workspace) -> Outcome {
    let there = PURE.iter().filter(|name| workspace.package(name).is_some());
    let packages: Vec<_> = there.map(|name| format!("--package={name}")).collect();
    if !packages.is_empty() {
        run(miri(FLAGS).args(packages).arg("--no-run"))?;
    }
    workspace.package(HOST).map_or(Ok(()), |_| {
        let tests = HOST_TESTS.map(|name| format!("--test={name}"));
        run(over_software().arg("--lib").args(tests).arg("--no-run"))
    })
}

/// A command for each test executable of a package, and one for its documentation's examples.
fn pure(package: Option<&Package>) -> Vec<Command> {
    let Some(Package { name, tests, .. }) = package else { return Vec::new() };
    let tests = tests.iter().map(|test| format!("--test={test}"));
    let parts = tests.chain(["--lib".to_string(), "--doc".to_string()]);
    let package = format!("--package={name}");
    parts.map(|part| job(miri(FLAGS), &[package.clone(), part])).collect()
}

fn host(package: Option<&Package>) -> Vec<Command> {
    if package.is_none() {
        return Vec::new();
    }
    let tests = HOST_TESTS.iter().map(|test| format!("--test={test}"));
    let parts = tests.chain(["--lib".to_string()]);
    parts.map(|part| job(over_software(), &[part])).collect()
}

fn over_software() -> Command {
    let mut command = miri(HOST_FLAGS);
    command.arg(format!("--package={HOST}")).arg("--features=sim");
    command
}

fn miri(flags: &str) -> Command {
    let mut command = cargo_nightly();
    for (name, value) in [("MIRIFLAGS", flags), CASES] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command.args(["miri", "test"]);
    command
}

/// Interprets one executable's tests. What it prints comes in one piece, when it ends.
fn interpret(job: &mut Command) -> Outcome {
    let output = job.output().or_else(|error| failed(error.to_string()))?;
    let mut out = io::stdout().lock();
    // A reader who has gone does not make the tests fail.
    let _ = writeln!(out, "$ {}", shown(job))
        .and_then(|()| out.write_all(&output.stderr))
        .and_then(|()| out.write_all(&output.stdout));
    if output.status.success() {
        return Ok(());
    }
    let part = job.get_args().map(|part| part.to_string_lossy());
    let part: Vec<_> = part.filter(|part| part.starts_with("--")).take(2).collect();
    failed(format!("`{}`: {}", part.join(" "), output.status))
}

/// A command that runs tests. Times show which is too long for an interpreter.
fn job(mut command: Command, parts: &[String]) -> Command {
    command.args(parts).args(["--", "-Zunstable-options", "--report-time"]);
    command
}
