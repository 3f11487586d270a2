//! Other people's programs with the library before the system's: they say the same, to the byte.
//!
//! What each of them does is a script in `capi/malloc/tests/programs/real`. Hashes that depend on
//! addresses are kept out by the scripts.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::command::{Outcome, failed, left_out, shown};
use crate::report::Report;
use crate::workspace::Workspace;

use super::programs::FOLDER;
use super::{Library, claim, needed};

/// A program, and what it is told to do. `{}` stands for the folder of scripts.
struct Real {
    program: &'static str,
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
}

const PROGRAMS: [Real; 8] = [
    Real {
        program: "python3",
        arguments: &["{}/objects.py"],
        // Python's own allocator would stand between.
        variables: &[("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")],
    },
    Real {
        program: "perl",
        arguments: &["{}/objects.pl"],
        variables: &[("PERL_HASH_SEED", "0"), ("PERL_PERTURB_KEYS", "0")],
    },
    Real { program: "sqlite3", arguments: &[":memory:", ".read {}/rows.sql"], variables: &[] },
    Real { program: "lua", arguments: &["{}/objects.lua"], variables: &[] },
    Real {
        program: "cc",
        arguments: &["-O2", "-w", "-S", "-o", "-", "{}/../family.c"],
        variables: &[],
    },
    Real {
        program: "c++",
        arguments: &["-std=c++17", "-O2", "-w", "-S", "-o", "-", "{}/../operators.cpp"],
        variables: &[],
    },
    Real { program: "redis-server", arguments: &["{}/redis.sh"], variables: &[] },
    Real { program: "git", arguments: &["-C", "{}", "log", "--stat", "-50"], variables: &[] },
];

/// Runs each as a step.
pub fn run_all(report: &mut Report, workspace: &Workspace, library: &Library) {
    let scripts = workspace.root.join(FOLDER).join("real");
    for real in PROGRAMS {
        report.step(&format!("preload {}", real.program), || compare(&real, &scripts, library));
    }
}

fn compare(real: &Real, scripts: &Path, library: &Library) -> Outcome {
    needed(real.program)?;
    let without = output_of(&mut real.command(scripts))?;
    let with = output_of(library.preload(&mut real.command(scripts)))?;
    if !without.status.success() {
        let words = String::from_utf8_lossy(&without.stderr);
        return left_out(format!("it fails without the library: {}", words.trim()));
    }
    let words = String::from_utf8_lossy(&with.stderr);
    claim(with.status.success(), || format!("{}: {words}", with.status))?;
    claim(with.stdout == without.stdout, || {
        let same = with.stdout.iter().zip(&without.stdout).take_while(|(a, b)| a == b).count();
        format!("the output is another from byte {same} on")
    })?;
    claim(with.stderr == without.stderr, || format!("it says: {words}"))?;
    println!("{} bytes, the same", with.stdout.len());
    Ok(())
}

impl Real {
    /// Scripts of the shell start their program themselves.
    fn command(&self, scripts: &Path) -> Command {
        let is_script = self.arguments[0].ends_with(".sh");
        let mut command = Command::new(if is_script { "sh" } else { self.program });
        let folder = scripts.to_string_lossy();
        command.args(self.arguments.iter().map(|argument| argument.replace("{}", &folder)));
        command.envs(self.variables.iter().copied()).stdin(Stdio::null());
        command
    }
}

fn output_of(command: &mut Command) -> Outcome<Output> {
    println!("$ {}", shown(command));
    command.output().or_else(|error| failed(error.to_string()))
}
