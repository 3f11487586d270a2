//! Instructions, counted by Valgrind.
//!
//! It counts what a program executes in user mode, and the same in every run. The instructions of
//! one operation are the difference between twice as many and as many of them: what the program
//! does before and after is in both.

use super::library::Library;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Valgrind counts an instruction that repeats itself once for each byte. So that clearing and
/// copying count as what they cost, the C library is to use its vector loops.
const TUNABLES: &str = "glibc.cpu.x86_rep_stosb_threshold=1073741824:\
                        glibc.cpu.x86_rep_movsb_threshold=1073741824";

/// A program whose last argument is a number of operations.
pub struct Counted<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its other arguments.
    pub arguments: &'a [&'a str],
    /// How many operations, and twice as many.
    pub operations: u64,
}

impl Counted<'_> {
    /// Counts the instructions of one operation.
    pub fn per_operation(&self, library: &Library) -> io::Result<f64> {
        let count = |operations| {
            let text = self.run(library, operations, Path::new("/dev/null"))?;
            collected(&text).ok_or_else(|| failure(&text))
        };
        let (once, twice) = (count(self.operations)?, count(2 * self.operations)?);
        Ok(difference(once, twice, self.operations))
    }

    /// Counts the instructions of one call of the functions that have this word in their name,
    /// with all that they call, when there is one call of them in each operation.
    pub fn per_call(&self, library: &Library, word: &str, file: &Path) -> io::Result<f64> {
        let count = |operations| {
            self.run(library, operations, file)?;
            Ok::<_, io::Error>(inclusive(&std::fs::read_to_string(file)?, word))
        };
        let (once, twice) = (count(self.operations)?, count(2 * self.operations)?);
        Ok(difference(once, twice, self.operations))
    }

    fn run(&self, library: &Library, operations: u64, file: &Path) -> io::Result<String> {
        let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
        out_file.push(file);
        let mut command = Command::new("valgrind");
        command.arg("--tool=callgrind").arg(out_file).arg(self.program).args(self.arguments);
        command.arg(operations.to_string()).env("GLIBC_TUNABLES", TUNABLES);
        library.preload(&mut command);
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(text) } else { Err(failure(&text)) }
    }
}

/// What the program said itself; Valgrind's own lines have a margin.
fn failure(text: &str) -> io::Error {
    let said = text.lines().find(|line| !line.is_empty() && !line.starts_with("=="));
    io::Error::other(said.unwrap_or("it fails under valgrind").to_string())
}

fn difference(once: u64, twice: u64, operations: u64) -> f64 {
    (twice as f64 - once as f64) / operations as f64
}

/// Counts the system calls of a program.
pub fn system_calls(library: &Library, program: &Path, arguments: &[&str]) -> io::Result<usize> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=none", "--trace-syscalls=yes"]).arg(program).args(arguments);
    library.preload(&mut command);
    let output = command.output()?;
    Ok(String::from_utf8_lossy(&output.stderr).matches("SYSCALL[").count())
}

/// Returns where a program lies that counts, if there is one.
pub fn is_there() -> bool {
    find_program("valgrind").is_some()
}

/// Returns where the path has a program.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The sum that Valgrind says at its end.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| Some(line.split_once("Collected :")?.1))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The instructions of all calls to functions that have the word in their name, called from others.
///
/// In Callgrind's format a call is three lines: `cfn=` with the called function's number, and its
/// name the first time; `calls=`; and a line with the place and the instructions.
fn inclusive(profile: &str, word: &str) -> u64 {
    let mut numbers = Vec::new();
    let (mut from, mut to, mut sum) = (false, false, 0);
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        let named = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn="));
        if let Some((number, name)) = named.and_then(number_and_name) {
            if name.contains(word) {
                numbers.push(number);
            }
            let is_found = numbers.contains(&number);
            if line.starts_with('c') { to = is_found } else { from = is_found }
        } else if line.starts_with("calls=") {
            let cost = lines.next().and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
            if to && !from {
                sum += cost.unwrap_or(0);
            }
        }
    }
    sum
}

/// The parts of `(7) name` or `(7)`.
fn number_and_name(text: &str) -> Option<(&str, &str)> {
    let (number, name) = text.strip_prefix('(')?.split_once(')')?;
    Some((number, name.trim()))
}

#[cfg(test)]
mod tests {
    use super::{collected, difference, inclusive};

    #[test]
    fn the_sum_is_found() {
        let text = "==1== Events    : Ir\n==1== Collected : 2156222\n==1== \n";
        assert_eq!(collected(text), Some(2_156_222));
        assert_eq!(collected("valgrind: no such program\n"), None);
    }

    #[test]
    fn what_is_in_both_runs_does_not_count() {
        assert_eq!(difference(1_000 + 5 * 17, 1_000 + 10 * 17, 5), 17.0);
    }

    #[test]
    fn calls_count_with_what_they_call_but_once() {
        let profile = "fl=(1) a.c\nfn=(1) main\n12 5\ncfn=(2) sn_malloc\ncalls=10 0\n13 170\n\
                       cfn=(3) sn_free\ncalls=10 0\n14 220\n\nfn=(2)\n1 100\ncfn=(4) malloc_slow\n\
                       calls=1 0\n2 70\n\nfn=(5) other\ncfi=(2) b.c\ncfn=(2)\ncalls=1 0\n7 17\n";
        assert_eq!(inclusive(profile, "malloc"), 187);
        assert_eq!(inclusive(profile, "free"), 220);
        assert_eq!(inclusive(profile, "calloc"), 0);
    }
}
