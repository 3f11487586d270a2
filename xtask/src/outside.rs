//! The two workspaces beside ours: fuzz targets and benchmarks.
//!
//! They stand outside because they build other projects' C++: the fuzzing engine, and a peer
//! that is measured beside Polder.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{Outcome, cargo, cargo_nightly, failed, find_program, left_out, run};
use crate::drivers::{Driver, Setup};
use crate::toolchain;
use crate::workspace::{Bin, Executable, Workspace, build};

/// What makes the compiler report covered edges and compared values to the fuzzing engine, and
/// stop at each wrong access.
const FUZZ_FLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Coverflow-checks \
    -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Zsanitizer=address";

/// Runs one fuzz target, or all, for some seconds each. What it finds stays in `fuzz/artifacts`.
pub fn fuzz(workspace: &Workspace, target: Option<&str>, seconds: u64) -> Outcome {
    let folder = workspace.root.join("fuzz");
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return left_out("there is no folder `fuzz`");
    }
    let targets = fuzz_targets(&manifest, target)?;
    toolchain::nightly(&[])?;
    toolchain::cxx()?;
    // Targets that need the same features are built in one go.
    for targets in targets.chunk_by(|one, other| one.features == other.features) {
        let mut command = cargo_nightly();
        command.env("RUSTFLAGS", FUZZ_FLAGS);
        command.args(["build", "--release", "--target", &toolchain::host()?]);
        command.arg("--manifest-path").arg(&manifest);
        command.args(["--features", &targets[0].features]);
        command.args(targets.iter().flat_map(|target| ["--bin", &target.name]));
        let built = build(&mut command)?;
        built.iter().try_for_each(|executable| run_fuzz_target(&folder, executable, seconds))?;
    }
    Ok(())
}

fn fuzz_targets(manifest: &Path, target: Option<&str>) -> Outcome<Vec<Bin>> {
    let fuzz = Workspace::load_at(manifest)?;
    let mut bins: Vec<_> = fuzz.packages.into_iter().flat_map(|package| package.bins).collect();
    let names: Vec<_> = bins.iter().map(|bin| bin.name.clone()).collect();
    bins.retain(|bin| target.is_none_or(|target| bin.name == target));
    if bins.is_empty() {
        return failed(format!("no such fuzz target; there are: {}", names.join(", ")));
    }
    bins.sort_by(|one, other| one.features.cmp(&other.features));
    Ok(bins)
}

fn run_fuzz_target(folder: &Path, executable: &Executable, seconds: u64) -> Outcome {
    let corpus = folder.join("corpus").join(&executable.name);
    let artifacts = folder.join("artifacts").join(&executable.name);
    for made in [&corpus, &artifacts] {
        let said = |error| failed(format!("{}: {error}", made.display()));
        fs::create_dir_all(made).or_else(said)?;
    }
    let mut command = Command::new(&executable.path);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    // The system in software takes all its address space at once.
    command.arg("-malloc_limit_mb=4096");
    // Long inputs from the start: what goes wrong with a heap takes many steps.
    command.arg("-len_control=0");
    run(command.args(["-print_final_stats=1", "-verbosity=0"]).arg(corpus))
}

/// The programs that the host half is measured with, each with Debian's package of it.
const MEASURED: [(&str, &str); 7] = [
    ("valgrind", "valgrind"),
    ("redis-server", "redis-server"),
    ("redis-benchmark", "redis-tools"),
    ("lua5.4", "lua5.4"),
    ("perl", "perl"),
    ("python3", "python3"),
    ("sqlite3", "sqlite3"),
];

/// Runs the benchmark program with the user's arguments, the device half on lavapipe where that is
/// set up, the host half with the programs that are there. It starts in the root of the workspace,
/// where it writes its part of `BENCHMARKS.md`.
pub fn bench(workspace: &Workspace, arguments: &[String]) -> Outcome {
    let manifest = workspace.root.join("bench").join("Cargo.toml");
    if !manifest.is_file() {
        return left_out("there is no folder `bench`");
    }
    toolchain::cxx()?;
    let mut command = cargo();
    let built = build(command.args(["build", "--release", "--manifest-path"]).arg(manifest))?;
    let Some(program) = built.iter().find(|built| built.kind == "bin") else {
        return failed("`bench` has no program");
    };
    let mut command = Command::new(&program.path);
    command.current_dir(&workspace.root).args(arguments);
    if arguments.first().is_some_and(|half| half == "host") {
        add_measured();
    } else {
        use_lavapipe(workspace, &mut command)?;
    }
    run(&mut command)
}

/// The benchmark itself leaves out what is missing then.
fn add_measured() {
    let missing = MEASURED.iter().filter(|(program, _)| find_program(program).is_none());
    let packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return;
    }
    if let Err(stop) = toolchain::install("some programs to measure are missing", &packages) {
        println!("{}", stop.reason());
    }
}

fn use_lavapipe(workspace: &Workspace, command: &mut Command) -> Outcome {
    let (setup, missing) = Setup::make(&workspace.target);
    match setup.environment(Driver::find("lavapipe")?) {
        Ok(variables) => drop(command.envs(variables)),
        Err(stop) => println!("without lavapipe: {}", missing.as_deref().unwrap_or(stop.reason())),
    }
    Ok(())
}
