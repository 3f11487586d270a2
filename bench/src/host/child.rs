//! A program that runs under a library, and what it used.

use super::build::{Programs, folder};
use super::library::{Library, SEARCHED};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What a program used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// From its begin to its end, in nanoseconds.
    pub wall_ns: f64,
    /// Processor time in user mode and in the system, in nanoseconds.
    pub processor_ns: f64,
    /// The most that was resident, in KiB.
    pub peak_kib: f64,
}

impl Usage {
    /// Reads what `polder-usage` writes; nothing if the program failed.
    fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<f64>> =
            text.split_whitespace().map(|word| word.parse().ok()).collect();
        let &[code, wall_ns, user_ns, system_ns, peak_kib] = numbers?.as_slice() else {
            return None;
        };
        (code == 0.0).then_some(Self { wall_ns, processor_ns: user_ns + system_ns, peak_kib })
    }
}

/// A program that has been started.
pub struct Running {
    child: Child,
    file: PathBuf,
}

/// Starts a program with its arguments and variables under a library.
pub fn start(
    programs: &Programs,
    library: &Library,
    program: &Command,
    output: Stdio,
) -> io::Result<Running> {
    let file = folder("run")?.join("usage");
    let _ = std::fs::remove_file(&file);
    let mut command = Command::new(&programs.usage);
    command.arg(&file).arg(library.preloaded()).arg(program.get_program());
    command.args(program.get_args()).stdin(Stdio::null()).stdout(output).env_remove(SEARCHED);
    for (name, value) in program.get_envs() {
        command.env(name, value.expect("no program has fewer variables than this one"));
    }
    Ok(Running { child: command.spawn()?, file })
}

impl Running {
    /// Waits for its end; returns what it wrote and used.
    pub fn finish(self) -> io::Result<(Vec<u8>, Usage)> {
        let output = self.child.wait_with_output()?;
        let text = std::fs::read_to_string(&self.file)?;
        let usage = Usage::parse(&text);
        let usage = usage.ok_or_else(|| io::Error::other(format!("it failed: {text}")))?;
        Ok((output.stdout, usage))
    }
}

/// Runs a program to its end.
pub fn run(
    programs: &Programs,
    library: &Library,
    program: &Command,
) -> io::Result<(Vec<u8>, Usage)> {
    start(programs, library, program, Stdio::piped())?.finish()
}

#[cfg(test)]
mod tests {
    use super::Usage;

    #[test]
    fn usage_is_that_of_a_program_that_succeeded() {
        let expected = Usage { wall_ns: 5.0, processor_ns: 7.0, peak_kib: 2136.0 };
        assert_eq!(Usage::parse("0 5 3 4 2136\n"), Some(expected));
        assert_eq!(Usage::parse("-1 5 3 4 2136\n"), None);
        assert_eq!(Usage::parse(""), None);
    }
}
