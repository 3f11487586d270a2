//! Other programs: how they are started, and what their end means.
//!
//! Every command is printed as a line that can be pasted into a shell before it runs, so that
//! a reader of a log can repeat any step by hand. A step ends in one of three ways: it passed,
//! it failed, or this machine cannot run it; the last two are a [`Stop`].

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Why a step did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// What was checked is wrong.
    Failed(String),
    /// The machine lacks something: nothing was checked.
    LeftOut(String),
}

impl Stop {
    /// What to tell the user.
    pub fn reason(&self) -> &str {
        let (Self::Failed(reason) | Self::LeftOut(reason)) = self;
        reason
    }
}

/// The end of a step.
pub type Outcome<T = ()> = Result<T, Stop>;

/// A step that failed, for this reason.
pub fn failed<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Stop::Failed(reason.into()))
}

/// A step that could not run, for this reason.
pub fn left_out<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Stop::LeftOut(reason.into()))
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    forget_outer_cargo(&mut command);
    command
}

/// The nightly cargo. Only rustup's `cargo` understands `+nightly`, so this one is looked up in
/// the path.
pub fn cargo_nightly() -> Command {
    let mut command = Command::new("cargo");
    forget_outer_cargo(&mut command);
    command.env_remove("RUSTUP_TOOLCHAIN").arg("+nightly");
    command
}

/// What `cargo run` sets for us is not meant for our children: the library path names the
/// outer toolchain, which another one must not load.
fn forget_outer_cargo(command: &mut Command) {
    for name in ["LD_LIBRARY_PATH", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
        command.env_remove(name);
    }
}

/// Runs a command whose output the user sees; any other end than success is a failure.
pub fn run(command: &mut Command) -> Outcome {
    println!("$ {}", shown(command));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => failed(format!("`{}`: {status}", name(command.get_program()))),
        Err(error) => failed(format!("`{}`: {error}", name(command.get_program()))),
    }
}

/// Runs a command that is heard only when it fails: gives what it wrote, or its last words.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{}`: {error}", name(command.get_program())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(format!("`{}`: {}", name(command.get_program()), last.trim()))
}

/// Where the path has a program of this name.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether packages can be installed.
pub fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// The command as a shell line, its own variables first.
pub fn shown(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(key, value)| Some(format!("{}={}", name(key), quoted(value?))));
    let program = [name(command.get_program())].into_iter();
    variables.chain(program).chain(command.get_args().map(quoted)).collect::<Vec<_>>().join(" ")
}

/// The file name of a program: where it lies is of no interest to a reader.
fn name(program: &OsStr) -> String {
    let path = PathBuf::from(program);
    path.file_name().unwrap_or(program).to_string_lossy().into_owned()
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted() {
        let mut command = Command::new("/usr/bin/cargo");
        command.env("RUSTFLAGS", "--cfg loom").args(["test", "a b"]);
        assert_eq!(shown(&command), "RUSTFLAGS='--cfg loom' cargo test 'a b'");
    }

    #[test]
    fn a_missing_program_fails_by_name() {
        let stop = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(matches!(stop, Stop::Failed(reason) if reason.contains("no-such-program-here")));
    }
}
