//! The device test set on one named driver, and programs that want a driver.
//!
//! Cargo builds; the executables are then started here, one by one, with the driver's
//! environment. Cargo itself must not have it: a shim that is preloaded into a compiler is one
//! more thing that can break.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::command::{Outcome, cargo, failed, left_out};
use crate::drivers::{DRIVERS, Driver, Setup, Threads, Work};
use crate::workspace::{Executable, Package, Workspace, build};

/// The package whose tests run on drivers.
const TESTS: &str = "polder-vulkan";

/// The package whose demo runs on drivers that execute.
const DEMO: &str = "polder-cli";

/// The device test set, built once for all drivers.
pub struct Tests<'a> {
    package: &'a Package,
    executables: Vec<Executable>,
    demo: Option<Executable>,
}

impl<'a> Tests<'a> {
    /// Builds the test executables and the demo.
    pub fn build(workspace: &'a Workspace) -> Outcome<Self> {
        let Some(package) = workspace.package(TESTS) else {
            return left_out(format!("the workspace has no {TESTS}"));
        };
        let executables = build(cargo().args(["test", "--no-run", "--package", TESTS]))?;
        let mut demo = None;
        if workspace.package(DEMO).is_some() {
            let built = build(cargo().args(["build", "--release", "--package", DEMO]))?;
            demo = built.into_iter().find(|built| built.kind == "bin");
        }
        Ok(Self { package, executables, demo })
    }

    /// Runs all of it on one driver. `arguments` go to the test executables; without any, each
    /// executable of integration tests must have run a test.
    pub fn run(&self, setup: &Setup, driver: Driver, arguments: &[String]) -> Outcome {
        let environment = setup.environment(driver)?;
        let mut passed = 0;
        for executable in &self.executables {
            let count = self.run_executable(executable, driver, &environment, arguments)?;
            if count == 0 && arguments.is_empty() && executable.kind == "test" {
                return failed(format!("{} ran no test on {}", executable.name, driver.name));
            }
            passed += count;
        }
        if passed == 0 {
            return failed(format!("no test ran on {}", driver.name));
        }
        println!("{}: tests passed: {passed}", driver.name);
        match &self.demo {
            Some(demo) if driver.work == Work::Executed => run_demo(demo, environment),
            _ => Ok(()),
        }
    }

    /// Runs one executable where cargo would, and gives how many tests passed.
    fn run_executable(
        &self,
        executable: &Executable,
        driver: Driver,
        environment: &[(&str, OsString)],
        arguments: &[String],
    ) -> Outcome<u64> {
        let mut command = Command::new(&executable.path);
        command.current_dir(&self.package.folder).args(arguments);
        command.env("CARGO_MANIFEST_DIR", &self.package.folder);
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        if driver.threads == Threads::One {
            command.arg("--test-threads=1");
        }
        println!("$ {}={} {}", environment[0].0, driver.name, executable.name);
        let mut child =
            command.stdout(Stdio::piped()).spawn().or_else(|error| failed(error.to_string()))?;
        let stdout = child.stdout.take().expect("stdout was piped");
        let mut passed = 0;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            passed += tests_passed(&line).unwrap_or(0);
        }
        let status = child.wait().or_else(|error| failed(error.to_string()))?;
        if !status.success() {
            return failed(format!("{} on {}: {status}", executable.name, driver.name));
        }
        Ok(passed)
    }
}

fn run_demo(demo: &Executable, environment: Vec<(&str, OsString)>) -> Outcome {
    let mut command = Command::new(&demo.path);
    println!("$ {} demo --device vulkan", demo.name);
    command.args(["demo", "--device", "vulkan"]).envs(environment);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => failed(format!("the demo: {status}")),
        Err(error) => failed(format!("the demo: {error}")),
    }
}

/// The number in a test harness's closing line, `test result: ok. 3 passed; 0 failed; …`.
fn tests_passed(line: &str) -> Option<u64> {
    let (_, result) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let (number, _) = result.split_once(" passed")?;
    number.parse().ok()
}

/// Says of each driver whether it is there.
pub fn list(setup: &Setup) {
    for driver in DRIVERS {
        let state = match setup.environment(driver) {
            Ok(_) if driver.work == Work::Executed => "there, executes".to_string(),
            Ok(_) => "there, answers only".to_string(),
            Err(stop) => format!("not there: {}", stop.reason()),
        };
        println!("{:16} {state}", driver.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(tests_passed(line), Some(12));
        assert_eq!(tests_passed("test result: FAILED. 3 passed; 1 failed"), Some(3));
        assert_eq!(tests_passed("test a::b ... ok"), None);
    }
}
