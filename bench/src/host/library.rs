//! Which allocators there are: what is built, and how, and what the user adds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library that has the C functions, under a name.
#[derive(Clone, Debug)]
pub struct Library {
    /// What it is called in the tables.
    pub name: String,
    /// Where it lies; nothing stands for the C library.
    pub path: Option<PathBuf>,
}

/// The C library of the system.
pub const SYSTEM: &str = "glibc";
/// What all others are compared with.
pub const BASE: &str = "snmalloc";
/// Polder.
pub const POLDER: &str = "polder";
/// Polder with all its checks.
pub const HARDENED: &str = "polder-hardened";

/// Folders that Cargo lets the loader search first: each costs a program some system calls.
pub const SEARCHED: &str = "LD_LIBRARY_PATH";

impl Library {
    /// Returns the C library of the system.
    pub fn system() -> Self {
        Self { name: SYSTEM.to_string(), path: None }
    }

    /// Lets a program use the library.
    pub fn preload(&self, command: &mut Command) {
        command.env_remove(SEARCHED);
        if let Some(path) = &self.path {
            command.env("LD_PRELOAD", path);
        }
    }

    /// Returns what to preload. A program may be linked to an allocator of its own, so the C
    /// library is to be named as well.
    pub fn preloaded(&self) -> &OsStr {
        self.path.as_deref().map_or(OsStr::new("libc.so.6"), Path::as_os_str)
    }
}

impl std::str::FromStr for Library {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text.split_once('=').ok_or("a library is given as NAME=PATH")?;
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        if !path.is_file() {
            return Err(format!("there is no file {}", path.display()));
        }
        Ok(Self { name: name.to_string(), path: Some(path) })
    }
}

/// Which compiler builds a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The one that builds this program.
    Ours,
    /// The nightly one, for thread-local variables as quick as C's.
    Nightly,
}

/// How a peer is built. All are features of the packages `preload` and `global`.
pub struct Peer {
    /// Its name.
    pub name: &'static str,
    /// The feature.
    pub feature: &'static str,
    /// What the C or C++ compiler is told besides [`SHARED_FLAGS`].
    pub flags: &'static str,
    /// The compiler for the library.
    pub toolchain: Toolchain,
}

/// What the peers' own build files tell the C compiler for a shared library and Cargo's do not:
/// without it no call within the library is inlined.
pub const SHARED_FLAGS: &str = "-fvisibility=hidden -fno-semantic-interposition -DNDEBUG";

/// All of them.
pub const PEERS: [Peer; 8] = [
    Peer::new(BASE, BASE),
    Peer {
        name: "snmalloc-checks",
        feature: BASE,
        flags: "-DSNMALLOC_CHECK_CLIENT",
        toolchain: Toolchain::Ours,
    },
    Peer::new("mimalloc2", "mimalloc2"),
    Peer::new("mimalloc3", "mimalloc3"),
    Peer::new("mimalloc3-secure", "mimalloc3-secure"),
    Peer::new("jemalloc", "jemalloc"),
    Peer {
        name: "rpmalloc",
        feature: "rpmalloc",
        flags: "-Dpthread_create=rp_pthread_create",
        toolchain: Toolchain::Ours,
    },
    Peer { name: "rusty_alloc", feature: "rusty", flags: "", toolchain: Toolchain::Nightly },
];

/// Builds with checks: they are measured in time and memory only, and are nobody's best peer.
pub const CHECKED: [&str; 3] = ["snmalloc-checks", "mimalloc3-secure", HARDENED];

impl Peer {
    const fn new(name: &'static str, feature: &'static str) -> Self {
        Self { name, feature, flags: "", toolchain: Toolchain::Ours }
    }
}
