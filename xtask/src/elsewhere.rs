//! Tests of other systems on this one: aarch64 under an emulator, Windows under wine.
//!
//! Both need packages that a machine seldom has, so they are commands of their own and no part of
//! `test`. What they test is what knows the system: the host heap, and the core below it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::command::{Outcome, cargo, failed, run};
use crate::toolchain::{self, Library};
use crate::workspace::Workspace;

const PACKAGES: [&str; 2] = ["--package=polder-core", "--package=polder-host"];

/// A library that Windows has and wine 8 has not: without it no Rust program starts.
const MISSING_LIBRARY: &str = "bcryptprimitives.dll";

/// It, as far as Rust programs use it.
const MISSING_SOURCE: &str = "\
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID place, ULONG size);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE place, SIZE_T size) {
    return SystemFunction036(place, (ULONG)size);
}
";

/// The tests on aarch64 Linux, with both ways to find a thread's state.
pub fn aarch64() -> Outcome {
    toolchain::packages(
        &["qemu-aarch64", "aarch64-linux-gnu-gcc"],
        &["qemu-user", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    )?;
    run(aarch64_test()?.args(PACKAGES))?;
    run(aarch64_test()?.args(["--package=polder-host", "--no-default-features"]))
}

fn aarch64_test() -> Outcome<Command> {
    let mut command = test("aarch64-unknown-linux-gnu")?;
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    let runner = "qemu-aarch64 -L /usr/aarch64-linux-gnu";
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner);
    Ok(command)
}

/// The tests on Windows, with an installation of wine's below the target folder.
pub fn windows(workspace: &Workspace) -> Outcome {
    toolchain::packages(
        &["x86_64-w64-mingw32-gcc", "wine"],
        &["gcc-mingw-w64-x86-64", "wine", "wine64"],
    )?;
    let folder = workspace.target.join("wine");
    make_missing_library(&folder)?;
    let mut command = test("x86_64-pc-windows-gnu")?;
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "wine");
    command.env("WINEPREFIX", folder.join("prefix")).env("WINEDEBUG", "-all");
    // Folders here are looked through after the system's own: a newer wine uses its library.
    let path = folder.display().to_string().replace('/', "\\");
    command.env("WINEPATH", format!("Z:{path}"));
    run(command.args(PACKAGES))
}

fn make_missing_library(folder: &Path) -> Outcome {
    let source = folder.join("missing.c");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&source, MISSING_SOURCE));
    written.or_else(|error: io::Error| failed(format!("{}: {error}", folder.display())))?;
    let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
    compiler.args(["-shared", "-o"]).arg(folder.join(MISSING_LIBRARY)).arg(source);
    run(compiler.arg("-ladvapi32"))
}

/// `cargo test` for a target.
fn test(target: &str) -> Outcome<Command> {
    let mut command = match toolchain::target(target)? {
        Library::Installed => cargo(),
        Library::Sources => crate::command::cargo_nightly(),
    };
    command.args(["test", "--target", target]);
    Ok(command)
}
