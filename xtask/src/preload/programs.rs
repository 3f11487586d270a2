//! Programs of ours, compiled by the machine's C compiler and run with the library before the
//! system's: each tries one promise and says what is not so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Outcome, failed, find_program, left_out, run};
use crate::report::Report;
use crate::workspace::Workspace;

use super::{Library, needed};

/// Where they lie in the workspace.
pub const FOLDER: &str = "capi/malloc/tests/programs";

/// Those that need no more than the library.
const PLAIN: [&str; 7] = [
    "family.c",
    "operators_by_name.c",
    "operators.cpp",
    "fork.c",
    "thread_exit.c",
    "process_end.c",
    "short_threads.c",
];

/// Those that are started in a way of their own.
const SPECIAL: [&str; 3] = ["late.c", "limit.c", "once.c"];

/// Limits on address space, in KiB: what containers and schools give, and hardly anything.
const LIMITS_KIB: [u32; 2] = [200 << 10, 64 << 10];

/// Those that valgrind runs, which has a strange address space.
const UNDER_VALGRIND: [&str; 2] = ["operators_by_name", "process_end"];

/// The compiled programs.
pub struct Programs {
    folder: PathBuf,
    /// Why there is none in C++.
    no_cxx: Option<String>,
}

impl Programs {
    /// Compiles them. What is written in C++ may be missing.
    pub fn build(workspace: &Workspace) -> Outcome<Self> {
        needed("cc")?;
        let folder = workspace.target.join("preload");
        fs::create_dir_all(&folder).or_else(|error| failed(error.to_string()))?;
        let has_cxx = find_program("c++").is_some();
        let no_cxx = (!has_cxx).then(|| "there is no C++ compiler".to_string());
        let sources = PLAIN.iter().chain(&SPECIAL).map(Path::new);
        for source in sources.filter(|source| has_cxx || !is_cxx(source)) {
            compile(&workspace.root.join(FOLDER).join(source), &folder)?;
        }
        Ok(Self { folder, no_cxx })
    }

    /// A command that runs one, by its name.
    pub fn command(&self, name: &str) -> Command {
        Command::new(self.folder.join(name))
    }

    /// Runs each as a step, with each of the libraries.
    pub fn run_all(&self, report: &mut Report, libraries: &[Library]) {
        for source in PLAIN.map(Path::new) {
            let name = stem(source);
            report.step(&format!("preload {name}"), || {
                match &self.no_cxx {
                    Some(reason) if is_cxx(source) => left_out(reason)?,
                    _ => {}
                }
                each(libraries, |library| run(library.preload(&mut self.command(name))))
            });
        }
        report.step("preload late", || {
            each(libraries, |library| run(self.command("late").arg(&library.file)))
        });
        for limit in LIMITS_KIB {
            report.step(&format!("preload limit of {limit} KiB"), || {
                each(libraries, |library| self.run_limited(library, limit))
            });
        }
        report.step("preload valgrind", || self.run_under_valgrind(&libraries[0]));
    }

    fn run_limited(&self, library: &Library, limit: u32) -> Outcome {
        let script = r#"ulimit -v "$0" && LD_PRELOAD="$1" exec "$2" "$0""#;
        let mut command = Command::new("sh");
        command.args(["-c", script, &limit.to_string()]).arg(&library.file);
        run(command.arg(self.folder.join("limit")))
    }

    /// Without valgrind's own `malloc`, or ours would not run.
    fn run_under_valgrind(&self, library: &Library) -> Outcome {
        needed("valgrind")?;
        UNDER_VALGRIND.iter().try_for_each(|name| {
            let mut command = Command::new("valgrind");
            command.args(["--quiet", "--error-exitcode=9"]);
            command.arg("--soname-synonyms=somalloc=nouserintercepts");
            run(library.preload(command.arg(self.folder.join(name))))
        })
    }
}

fn each(libraries: &[Library], work: impl Fn(&Library) -> Outcome) -> Outcome {
    libraries.iter().try_for_each(|library| {
        println!("with {}:", library.name);
        work(library)
    })
}

fn is_cxx(source: &Path) -> bool {
    source.extension().is_some_and(|extension| extension == "cpp")
}

fn stem(source: &Path) -> &str {
    source.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// Without optimisation, by which compilers leave allocations out, and without warnings, for they
/// do on purpose what compilers warn of.
fn compile(source: &Path, folder: &Path) -> Outcome {
    let (compiler, standard) =
        if is_cxx(source) { ("c++", "-std=c++17") } else { ("cc", "-std=gnu11") };
    let mut command = Command::new(compiler);
    command.args([standard, "-O0", "-g", "-w", "-pthread", "-o"]);
    run(command.arg(folder.join(stem(source))).arg(source).arg("-ldl"))
}
