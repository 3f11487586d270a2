//! Programs that people use, from the system's packages, on small work of our own.
//!
//! Each writes something that is the same in every run; a library under which it writes anything
//! else than under the C library has failed.

mod redis;

use super::build::{Programs, folder};
use super::callgrind::find_program;
use super::child::{self, Usage};
use super::library::Library;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a program is run.
enum Work {
    /// As a child that ends.
    Once(Command),
    /// As a server, with clients.
    Redis(redis::Server),
}

/// One program.
pub struct Real {
    /// Its name in the tables.
    pub name: &'static str,
    work: Work,
    /// What it wrote the first time.
    output: Option<Vec<u8>>,
}

/// A program's file, its arguments and variables, and its work as a file.
struct Script {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
    file: &'static str,
    text: &'static str,
}

/// Debian's own programs, not what a user may have in the path before them.
const BIN: &str = "/usr/bin";

const SCRIPTS: [Script; 4] = [
    Script {
        name: "lua",
        program: "lua5.4",
        arguments: &[],
        variables: &[],
        file: "words.lua",
        text: include_str!("scripts/words.lua"),
    },
    Script {
        name: "perl",
        program: "perl",
        arguments: &[],
        variables: &[("PERL_HASH_SEED", "0")],
        file: "words.pl",
        text: include_str!("scripts/words.pl"),
    },
    Script {
        name: "python",
        program: "python3",
        arguments: &["-I", "-S"],
        variables: &[("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")],
        file: "words.py",
        text: include_str!("scripts/words.py"),
    },
    Script {
        name: "sqlite",
        program: "sqlite3",
        arguments: &[":memory:", "-init"],
        variables: &[],
        file: "queries.sql",
        text: include_str!("scripts/queries.sql"),
    },
];

/// How many functions the C compiler is given.
const FUNCTIONS: usize = 250;

impl Real {
    /// Returns those that this machine has, and a line for each other.
    pub fn all() -> io::Result<(Vec<Self>, Vec<String>)> {
        let folder = folder("scripts")?;
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        let mut add = |name, work: Option<Work>| match work {
            Some(work) => all.push(Self { name, work, output: None }),
            None => missing.push(format!("{name} is not installed")),
        };
        add("gcc", compiler(&folder)?);
        for script in &SCRIPTS {
            add(script.name, script.work(&folder)?);
        }
        add("redis", redis::Server::find(&folder).map(Work::Redis));
        Ok((all, missing))
    }

    /// Runs it once.
    pub fn run(&mut self, programs: &Programs, library: &Library) -> io::Result<Usage> {
        let (output, usage) = match &self.work {
            Work::Once(command) => child::run(programs, library, command)?,
            Work::Redis(server) => (Vec::new(), server.run(programs, library)?),
        };
        if *self.output.get_or_insert_with(|| output.clone()) != output {
            return Err(io::Error::other("it wrote something else"));
        }
        Ok(usage)
    }
}

impl Script {
    fn work(&self, folder: &Path) -> io::Result<Option<Work>> {
        let Some(program) = found(self.program) else { return Ok(None) };
        let file = folder.join(self.file);
        fs::write(&file, self.text)?;
        let mut command = Command::new(program);
        command.args(self.arguments).arg(file).envs(self.variables.iter().copied());
        Ok(Some(Work::Once(command)))
    }
}

/// The C compiler on a generated file.
fn compiler(folder: &Path) -> io::Result<Option<Work>> {
    let Some(program) = found("gcc") else { return Ok(None) };
    let file = folder.join("functions.c");
    fs::write(&file, functions())?;
    let mut command = Command::new(program);
    command.args(["-O2", "-S", "-o", "-"]).arg(file);
    Ok(Some(Work::Once(command)))
}

fn found(program: &str) -> Option<PathBuf> {
    let debian = Path::new(BIN).join(program);
    if debian.is_file() { Some(debian) } else { find_program(program) }
}

/// Functions with loops, branches and calls, each a little different.
fn functions() -> String {
    let mut text = String::from("struct node { struct node *next; long key, sum; };\n");
    for number in 0..FUNCTIONS {
        let (step, limit) = (number % 7 + 1, number * 13 % 101);
        let called = number.saturating_sub(1);
        writeln!(
            text,
            "long f{number}(struct node *list, long count) {{\n  long sum = {number};\n  for (long \
             i = 0; i < count; i += {step}) {{\n    if ((i ^ {limit}) % {step} == 1) sum += i * \
             {limit};\n    else if (list) {{ list->sum += sum >> {step}; list = list->next; }}\n  \
             }}\n  switch (sum & 7) {{ case 0: return {call}; case 1: sum ^= {limit}; break; case \
             5: sum /= {step}; }}\n  return sum;\n}}",
            call = if number == 0 { "sum".into() } else { format!("f{called}(list, sum & 15)") },
        )
        .expect("a string takes any text");
    }
    text
}
