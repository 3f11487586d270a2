//! The project's own commands: `cargo xtask --help`.
//!
//! `lint` and `test` are what a change must pass; each part of them is a command as well. What
//! a machine lacks is added where that is possible without asking, else the part is left out
//! and said to be. A part that was asked for by name and is left out counts as a failure.

mod apt;
mod checks;
mod command;
mod debian;
mod drivers;
mod elsewhere;
mod features;
mod miri;
mod outside;
mod preload;
mod report;
mod sanitize;
mod targets;
mod tidy;
mod toolchain;
mod vulkan;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use command::{Outcome, left_out};
use drivers::{DRIVERS, Driver, Setup};
use report::{Missing, Report};
use workspace::Workspace;

/// How long `test` fuzzes each target: enough to meet what a change has just broken.
const FUZZ_SECONDS: u64 = 20;

/// Polder's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Sets up what the tests need and passes all of them.
    Test,
    /// Format, clippy, documentation and tidy, with warnings as errors.
    Lint,
    /// The rules that no compiler knows: layout, arrows between crates, words, `unsafe`.
    Tidy,
    /// The libraries as each of their systems would compile them.
    Targets,
    /// The host heap's tests on aarch64, under an emulator.
    Aarch64,
    /// The host heap's tests on Windows, under wine.
    Windows,
    /// The tests of the pure crates under Miri.
    Miri,
    /// The concurrent parts in every order of their threads' steps.
    Loom,
    /// The host heap's stress tests with the address and the thread sanitizer.
    Sanitize,
    /// Cargo features, alone and together.
    Features,
    /// Fuzz targets, for a bounded time.
    Fuzz {
        /// One target; all when it is left away.
        target: Option<String>,
        /// How long each target runs.
        #[arg(long, default_value_t = FUZZ_SECONDS)]
        seconds: u64,
    },
    /// The C library in place of the system's `malloc`: programs of ours and others with it.
    Preload,
    /// The benchmark program in `bench`, with these arguments.
    Bench {
        /// What to measure, and the program's own options.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// The whole device test set on one driver.
    Vulkan {
        /// The driver's name.
        #[arg(long, required_unless_present = "list")]
        driver: Option<String>,
        /// Says which drivers are there.
        #[arg(long)]
        list: bool,
        /// Arguments for the test executables.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let is_many = matches!(task, Task::Test | Task::Preload);
    let missing = if is_many { Missing::IsSaid } else { Missing::Fails };
    let mut report = Report::new(missing);
    match Workspace::load() {
        Ok(workspace) => run(&task, &mut report, &workspace),
        Err(stop) => report.leave_out("all", stop.reason()),
    }
    report.finish()
}

fn run(task: &Task, report: &mut Report, workspace: &Workspace) {
    match task {
        Task::Test => test(report, workspace),
        Task::Lint => checks::lint(report, workspace),
        Task::Tidy => drop(report.step("tidy", || tidy::run(workspace))),
        Task::Targets => targets::check(report, workspace),
        Task::Aarch64 => drop(report.step("aarch64", elsewhere::aarch64)),
        Task::Windows => drop(report.step("windows", || elsewhere::windows(workspace))),
        Task::Miri => drop(report.step("miri", || miri::run_all(workspace))),
        Task::Loom => drop(report.step("loom", || checks::loom(workspace))),
        Task::Sanitize => drop(report.step("sanitize", || sanitize::run_all(workspace))),
        Task::Features => drop(report.step("features", || features::run_all(workspace))),
        Task::Fuzz { target, seconds } => {
            let work = || outside::fuzz(workspace, target.as_deref(), *seconds);
            report.step("fuzz", work);
        }
        Task::Preload => preload::run_all(report, workspace),
        Task::Bench { arguments } => {
            report.step("bench", || outside::bench(workspace, arguments));
        }
        Task::Vulkan { list: true, .. } => drop(report.step("vulkan drivers", || {
            vulkan::list(&vulkan_setup(workspace));
            Ok(())
        })),
        Task::Vulkan { driver, arguments, .. } => {
            let name = driver.as_deref().unwrap_or_default();
            let work = || on_driver(workspace, name, arguments);
            report.step(&format!("vulkan {name}"), work);
        }
    }
}

fn test(report: &mut Report, workspace: &Workspace) {
    let setup = set_up_vulkan(report, workspace);
    report.step("test", checks::test);
    report.step("features", || features::run_all(workspace));
    preload::run_all(report, workspace);
    report.step("tidy", || tidy::run(workspace));
    targets::check(report, workspace);
    report.step("loom", || checks::loom(workspace));
    let tests = report.step("vulkan tests", || vulkan::Tests::build(workspace));
    if let Some(tests) = tests {
        for driver in DRIVERS {
            let work = || tests.run(&setup, driver, &[]);
            report.step(&format!("vulkan {}", driver.name), work);
        }
    }
    report.step("miri", || miri::run_all(workspace));
    report.step("fuzz", || outside::fuzz(workspace, None, FUZZ_SECONDS));
}

/// The driver that was asked for counts; what else is missing is only said.
fn on_driver(workspace: &Workspace, name: &str, arguments: &[String]) -> Outcome {
    let driver = Driver::find(name)?;
    let setup = vulkan_setup(workspace);
    vulkan::Tests::build(workspace)?.run(&setup, driver, arguments)
}

fn vulkan_setup(workspace: &Workspace) -> Setup {
    let (setup, missing) = Setup::make(&workspace.target);
    if let Some(reason) = missing {
        println!("Vulkan is incomplete: {reason}");
    }
    setup
}

/// Makes the machine's Vulkan as complete as it can be, as a step of its own.
fn set_up_vulkan(report: &mut Report, workspace: &Workspace) -> Setup {
    let mut setup = Setup::default();
    report.step("vulkan set-up", || {
        let missing;
        (setup, missing) = Setup::make(&workspace.target);
        missing.map_or(Ok(()), left_out)
    });
    setup
}
