//! The two workspaces beside ours: fuzz targets and benchmarks.
//!
//! They stand outside because they build other projects' C++: the fuzzing engine, and a peer
//! that is measured beside Polder.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{Outcome, cargo, cargo_nightly, failed, left_out, run};
use crate::drivers::{Driver, Setup};
use crate::toolchain;
use crate::workspace::{Executable, Workspace, build};

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
    let mut command = cargo_nightly();
    command.env("RUSTFLAGS", FUZZ_FLAGS);
    command.args(["build", "--release", "--target", &toolchain::host()?]);
    command.arg("--manifest-path").arg(&manifest);
    for target in &targets {
        command.args(["--bin", target]);
    }
    let built = build(&mut command)?;
    built.iter().try_for_each(|executable| run_fuzz_target(&folder, executable, seconds))
}

fn fuzz_targets(manifest: &Path, target: Option<&str>) -> Outcome<Vec<String>> {
    let fuzz = Workspace::load_at(manifest)?;
    let names: Vec<_> = fuzz.packages.into_iter().flat_map(|package| package.bins).collect();
    match target {
        None => Ok(names),
        Some(target) if names.iter().any(|name| name == target) => Ok(vec![target.to_string()]),
        Some(target) => {
            failed(format!("no fuzz target `{target}`; there are: {}", names.join(", ")))
        }
    }
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
    run(command.args(["-print_final_stats=1", "-verbosity=0"]).arg(corpus))
}

/// Runs the benchmark program with the user's arguments, on lavapipe where that is set up. It
/// starts in the root of the workspace, where it writes its part of `BENCHMARKS.md`.
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
    let (setup, missing) = Setup::make(&workspace.target);
    let mut command = Command::new(&program.path);
    command.current_dir(&workspace.root).args(arguments);
    match setup.environment(Driver::find("lavapipe")?) {
        Ok(variables) => drop(command.envs(variables)),
        Err(stop) => println!("without lavapipe: {}", missing.as_deref().unwrap_or(stop.reason())),
    }
    run(&mut command)
}
