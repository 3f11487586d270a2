//! Builds the allocators and the programs that are measured, each in a folder of its own.
//!
//! Everything lies below the folder that Cargo builds in, so that a later run finds it there. What
//! cannot be built here is left out with a line.

use super::library::{HARDENED, Library, PEERS, POLDER, Peer, SHARED_FLAGS, Toolchain};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the packages are.
const BENCH: &str = env!("CARGO_MANIFEST_DIR");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The package of Polder's own library, and the profile that it is built with.
const OWN: &str = "polder-malloc";
const OWN_PROFILE: &str = "malloc";

/// The programs of `programs`.
pub struct Programs {
    /// The patterns.
    pub patterns: PathBuf,
    /// What says how much a program used.
    pub usage: PathBuf,
}

/// What was built, and what was not.
pub struct Built {
    /// The programs.
    pub programs: Programs,
    /// The libraries, the C library first.
    pub libraries: Vec<Library>,
    /// A line for each that is missing.
    pub missing: Vec<String>,
}

/// Returns a folder of ours below the one that this program was built in.
pub fn folder(name: &str) -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).expect("Cargo builds programs two folders deep");
    let folder = target.join("host").join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Builds all.
pub fn all() -> io::Result<Built> {
    let target = folder("programs")?;
    println!("building the programs and the allocators");
    let mut build = cargo(Toolchain::Ours, Path::new(BENCH), &target);
    run(build.args(["--release", "--package", "polder-bench-programs"]))?;
    let release = target.join("release");
    let programs =
        Programs { patterns: release.join("polder-patterns"), usage: release.join("polder-usage") };
    let mut built =
        Built { programs, libraries: vec![Library::system()], missing: vec![FERROC.to_string()] };
    for peer in &PEERS {
        built.add(peer.name, preload(peer));
    }
    built.add(POLDER, own(POLDER, &[]));
    built.add(HARDENED, own(HARDENED, &["--features", "hardened"]));
    Ok(built)
}

const FERROC: &str = "ferroc 1.0.0-pre.3: today's nightly compiler does not take it";

impl Built {
    fn add(&mut self, name: &str, path: io::Result<PathBuf>) {
        match path {
            Ok(path) => {
                self.libraries.push(Library { name: name.to_string(), path: Some(path) });
            }
            Err(error) => {
                println!("left out: {name}: {error}");
                self.missing.push(format!("{name}: {error}"));
            }
        }
    }
}

/// A peer's library.
fn preload(peer: &Peer) -> io::Result<PathBuf> {
    let target = folder(peer.name)?;
    let mut build = cargo(peer.toolchain, Path::new(BENCH), &target);
    build.args(["--release", "--package", "polder-bench-preload", "--features", peer.feature]);
    let flags = format!("{SHARED_FLAGS} {}", peer.flags);
    build.env("CFLAGS", &flags).env("CXXFLAGS", &flags);
    if peer.toolchain == Toolchain::Nightly {
        // What C compilers do for a library that is loaded with the program.
        build.env("RUSTFLAGS", "-Ztls-model=initial-exec");
    }
    run(&mut build)?;
    let library = target.join(format!("lib{}.so", peer.name));
    std::fs::copy(target.join("release/libpreload.so"), &library)?;
    Ok(library)
}

/// Polder's library, from the workspace around this one.
fn own(name: &str, features: &[&str]) -> io::Result<PathBuf> {
    let target = folder(name)?;
    let mut build = cargo(Toolchain::Ours, Path::new(ROOT), &target);
    run(build.args(["--package", OWN, "--profile", OWN_PROFILE]).args(features))?;
    Ok(target.join(OWN_PROFILE).join("libpolder_malloc.so"))
}

/// A build in a workspace.
pub fn cargo(toolchain: Toolchain, workspace: &Path, target: &Path) -> Command {
    let mut command = match toolchain {
        Toolchain::Ours => Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into())),
        // Only rustup's `cargo`, the one in the path, knows of others.
        Toolchain::Nightly => {
            let mut command = Command::new("cargo");
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC").arg("+nightly");
            command
        }
    };
    // What an outer Cargo says of its own toolchain and package.
    for name in ["LD_LIBRARY_PATH", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command.args(["build", "--quiet", "--manifest-path"]).arg(workspace.join("Cargo.toml"));
    command.arg("--target-dir").arg(target);
    command
}

/// Runs a build; an error says its last words.
pub fn run(build: &mut Command) -> io::Result<()> {
    let output = build.output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let reason =
        words.lines().find(|line| line.starts_with("error")).unwrap_or("it does not build");
    Err(io::Error::other(format!("not built: {}", reason.trim_start_matches("error: "))))
}
