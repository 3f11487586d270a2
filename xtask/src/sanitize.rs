//! The host heap's stress tests, compiled with the compiler's sanitizers.
//!
//! The tests have the heap as a library beside the system's allocator. So the address sanitizer
//! sees what the tests and the heap do to the stack, to statics and to the system's objects, and
//! the thread sanitizer that whatever two threads touch is in an order that atomic words have made,
//! objects that come to another thread included. It knows no fences, and neither the core nor the
//! host heap has one.
//!
//! Both take minutes to build and run, so they are a command of their own and no part of `test`.

use crate::command::{Outcome, cargo_nightly, left_out, run};
use crate::toolchain;
use crate::workspace::Workspace;

/// One build.
struct Job {
    sanitizer: &'static str,
    features: &'static str,
}

/// The oracle's tests of one thread, where there are no races to find and many bytes to look at.
const ALONE: [&str; 5] = [
    "--skip=every_byte_of_an_object",
    "--skip=small_objects_fill",
    "--skip=objects_of_each_class",
    "--skip=large_objects_keep",
    "--skip=heaps_are_apart",
];

/// A question about an object that others free meanwhile. With guards it reads the word behind the
/// object, believes it only under its hash, and may find there what a next owner is writing: an
/// answer that is old is right, but the sanitizer can't know that.
const ASKED_MEANWHILE: &str = "--skip=objects_may_be_asked_about_while_others_free_them";

/// All tests but those that expect a signal, forks or a process's end.
const TESTS: [&str; 4] = ["--lib", "--test=features", "--test=oracle", "--test=questions"];

const JOBS: [Job; 4] = [
    Job { sanitizer: "address", features: "" },
    Job { sanitizer: "address", features: "hardened" },
    Job { sanitizer: "thread", features: "" },
    Job { sanitizer: "thread", features: "hardened" },
];

/// Builds and runs all of them.
pub fn run_all(workspace: &Workspace) -> Outcome {
    if cfg!(windows) {
        return left_out("the compiler has no such sanitizers for Windows");
    }
    toolchain::nightly(&["rust-src"])?;
    JOBS.iter().try_for_each(|job| run_job(job, workspace))
}

fn run_job(job: &Job, workspace: &Workspace) -> Outcome {
    let mut command = cargo_nightly();
    // The heap checks its own steps too.
    let flags = format!("-Zsanitizer={} -Cdebug-assertions", job.sanitizer);
    command.env("RUSTFLAGS", flags);
    // Other flags would rebuild everything each time they change.
    command.env("CARGO_TARGET_DIR", workspace.target.join(job.sanitizer));
    command.args(["test", "--release", "--target", &toolchain::host()?]);
    command.args(["--package=polder-host", "--features", job.features, "--test=threads"]);
    command.args(TESTS);
    if job.sanitizer == "thread" {
        // The standard library's atomics order things as well, and must be seen.
        command.args(["-Zbuild-std", "--"]).args(ALONE);
        if job.features == "hardened" {
            command.arg(ASKED_MEANWHILE);
        }
    }
    run(&mut command)
}
