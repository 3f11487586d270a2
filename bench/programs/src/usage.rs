//! Runs a program and says what it used.
//!
//! `polder-usage FILE LIBRARY PROGRAM [ARGUMENTS]` loads the library before all others (none if it
//! is `-`), and writes into the file: the program's exit code, nanoseconds of its life,
//! nanoseconds of processor time in user mode and in the system, and the most memory that was
//! resident, in KiB. A program's peak counts what its parent had resident when it began, so the
//! parent must be as small as this one.

use std::env::args_os;
use std::mem::MaybeUninit;
use std::process::{Command, ExitCode};
use std::time::Instant;

fn main() -> ExitCode {
    let mut words = args_os().skip(1);
    let (Some(file), Some(library), Some(program)) = (words.next(), words.next(), words.next())
    else {
        eprintln!("polder-usage FILE LIBRARY PROGRAM [ARGUMENTS]");
        return ExitCode::FAILURE;
    };
    let mut command = Command::new(program);
    command.args(words);
    if library != "-" {
        command.env("LD_PRELOAD", library);
    }
    let begin = Instant::now();
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{:?}: {error}", command.get_program());
            return ExitCode::FAILURE;
        }
    };
    let (status, usage) = wait(child.id().cast_signed());
    let wall_ns = begin.elapsed().as_nanos();
    let [user_ns, system_ns] = [usage.ru_utime, usage.ru_stime]
        .map(|time| i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_usec) * 1_000);
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 };
    let text = format!("{code} {wall_ns} {user_ns} {system_ns} {}\n", usage.ru_maxrss);
    std::fs::write(file, text).expect("the file can be written");
    ExitCode::SUCCESS
}

/// Waits for a child and for what it has waited for itself.
fn wait(child: libc::pid_t) -> (i32, libc::rusage) {
    let mut status = 0;
    let mut usage = MaybeUninit::zeroed();
    // SAFETY: Both can be written.
    let ended = unsafe { libc::wait4(child, &raw mut status, 0, usage.as_mut_ptr()) };
    assert_eq!(ended, child, "a child ends once");
    // SAFETY: The call has filled it; zeroes were a value of it before.
    (status, unsafe { usage.assume_init() })
}
