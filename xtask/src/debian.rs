//! Vulkan drivers and layers from Debian's packages, unpacked into a private folder.
//!
//! Nothing is installed: `apt-get` gets lists of its own below the folder and resolves against
//! an empty system, so that it downloads the drivers with everything they load; `dpkg` unpacks
//! that beside the manifests written here. So no root is needed, the machine stays as it was,
//! and every machine of one release tests the same drivers.
//!
//! # Invariants
//!
//! 1. The folder is complete or absent: it is made under another name, then renamed.
//! 2. Manifests name libraries relative to themselves: the folder can be moved.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, id};

use crate::apt::{self, Source};
use crate::command::output;

/// Rises when the folder's contents change, so that an old folder is made anew.
const VERSION: u32 = 1;

/// The newer Mesa of the one release that has it only in its backports; with what it needs from
/// there.
const BACKPORTED: (&str, [&str; 5]) = (
    "bookworm",
    ["mesa-vulkan-drivers", "mesa-drm-shim", "libdrm2", "libdrm-amdgpu1", "libdrm-common"],
);

/// Mesa's drivers, and the shim that lets its AMD driver run without an AMD device.
const MESA: [&str; 2] = ["mesa-vulkan-drivers", "mesa-drm-shim"];

/// A browser's package with SwiftShader, a driver that only answers, a loader and the newest
/// validation layer. They need the C library alone, so the browser's own needs are not met.
const CHROMIUM: &str = "chromium-common";

/// `apt-get` itself is linked to these; a second C library beside the machine's cannot work.
const ALWAYS_THERE: [&str; 4] = ["libc6_", "libgcc-s1_", "libstdc++6_", "gcc-"];

/// What the machine runs.
pub struct Release {
    /// `debian`, `ubuntu`, …
    pub id: String,
    /// `bookworm`, …
    pub codename: String,
}

impl Release {
    /// Reads what the machine says of itself.
    pub fn of_machine() -> Option<Self> {
        Self::parse(&fs::read_to_string("/etc/os-release").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            Some(line.trim_matches('"').to_string())
        };
        Some(Self { id: value("ID")?, codename: value("VERSION_CODENAME").unwrap_or_default() })
    }

    /// What a complete folder says of itself.
    fn stamp(&self) -> String {
        format!("{VERSION} {} {}\n", self.id, self.codename)
    }
}

/// Makes the folder, unless it is there and current. The reason when it cannot be made.
pub fn set_up(folder: &Path, release: &Release) -> Result<(), String> {
    let stamp = release.stamp();
    if fs::read_to_string(folder.join("stamp")).is_ok_and(|found| found == stamp) {
        return Ok(());
    }
    println!("downloading Vulkan drivers and layers into {}", folder.display());
    let parts = folder.with_extension(format!("partial-{}", id()));
    let made = make(&parts, release).and_then(|()| {
        let said = |error: io::Error| format!("{}: {error}", folder.display());
        fs::write(parts.join("stamp"), stamp).map_err(said)?;
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(said)?;
        }
        fs::rename(&parts, folder).map_err(said)
    });
    // What is left of a failure is only waste; that it cannot be removed is no second failure.
    let _ = fs::remove_dir_all(&parts);
    made
}

fn make(folder: &Path, release: &Release) -> Result<(), String> {
    let triplet = triplet()?;
    download(&folder.join("apt"), release)?;
    unpack(&folder.join("apt/debs"), &folder.join("root"))?;
    let said = |error: io::Error| format!("{}: {error}", folder.display());
    fs::remove_dir_all(folder.join("apt")).map_err(said)?;
    write_manifests(folder, triplet).map_err(said)?;
    // The loader's window system code refuses a runtime folder that others may read.
    output(Command::new("chmod").arg("700").arg(folder.join("runtime")))?;
    Ok(())
}

/// Downloads the packages with all they need into `debs`.
fn download(folder: &Path, release: &Release) -> Result<(), String> {
    let sources = apt::sources_of_machine();
    let list = source_list(&sources, &release.codename)
        .ok_or_else(|| format!("apt's sources name no mirror of {}", release.codename))?;
    prepare(folder, &list).map_err(|error| format!("{}: {error}", folder.display()))?;
    output(apt_get(folder).arg("update"))?;
    let mut install = apt_get(folder);
    install.args(["install", "--download-only", "--no-install-recommends", "--yes"]);
    output(install.args(wanted(&release.codename)))?;
    output(apt_get(folder).args(["download", CHROMIUM]).current_dir(folder.join("debs")))?;
    Ok(())
}

/// The packages, each with the suite it is taken from where that is not the release's own.
fn wanted(codename: &str) -> Vec<String> {
    let (backported, packages) = BACKPORTED;
    if codename == backported {
        packages.iter().map(|package| format!("{package}/{codename}-backports")).collect()
    } else {
        MESA.map(String::from).to_vec()
    }
}

/// The release's mirrors as the machine's own sources name them, and the backports beside.
fn source_list(sources: &[Source], codename: &str) -> Option<String> {
    // Others publish for a release too; the release's own mirror is the one with its updates.
    let has_updates = |source: &&Source| {
        let updates = format!("{codename}-updates");
        sources.iter().any(|other| other.is_beside(source) && other.has(&updates))
    };
    let named = || sources.iter().filter(|source| source.has(codename));
    let main = named().find(has_updates).or_else(|| named().next())?;
    let security = format!("{codename}-security");
    let mut list = main.line(codename);
    if let Some(source) = sources.iter().find(|source| source.has(&security)) {
        list += &source.line(&security);
    }
    if codename == BACKPORTED.0 {
        list += &main.line(&format!("{codename}-backports"));
    }
    Some(list)
}

fn prepare(folder: &Path, list: &str) -> io::Result<()> {
    for part in ["lists/partial", "debs/partial", "sources.d"] {
        fs::create_dir_all(folder.join(part))?;
    }
    fs::write(folder.join("sources.list"), list)?;
    fs::write(folder.join("status"), "")
}

/// An `apt-get` that reads and writes below `folder` alone, and sees a system without packages.
fn apt_get(folder: &Path) -> Command {
    let folder = folder.display();
    let mut command = Command::new("apt-get");
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    for option in [
        format!("Dir::Etc::sourcelist={folder}/sources.list"),
        format!("Dir::Etc::sourceparts={folder}/sources.d"),
        format!("Dir::State::Lists={folder}/lists"),
        format!("Dir::State::status={folder}/status"),
        format!("Dir::State::extended_states={folder}/extended"),
        format!("Dir::Cache::Archives={folder}/debs"),
        format!("Dir::Cache::pkgcache={folder}/packages.bin"),
        format!("Dir::Cache::srcpkgcache={folder}/sources.bin"),
        // The unprivileged user that root's apt becomes cannot write here.
        "APT::Sandbox::User=root".to_string(),
        "APT::Update::Error-Mode=any".to_string(),
        "Acquire::Languages=none".to_string(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_string(),
        "Acquire::Retries=2".to_string(),
        "Acquire::http::Timeout=20".to_string(),
        // The machine's package database is not touched, so its lock is not needed.
        "Debug::NoLocking=true".to_string(),
    ] {
        command.args(["-o", &option]);
    }
    command
}

fn unpack(debs: &Path, root: &Path) -> Result<(), String> {
    let entries = fs::read_dir(debs).map_err(|error| error.to_string())?;
    for deb in entries.flatten().map(|entry| entry.path()) {
        let name = deb.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_package = name.ends_with(".deb");
        if is_package && !ALWAYS_THERE.iter().any(|there| name.starts_with(there)) {
            output(Command::new("dpkg").arg("-x").args([deb.as_path(), root]))?;
        }
    }
    Ok(())
}

/// The folder name of this machine's libraries.
fn triplet() -> Result<&'static str, String> {
    match output(Command::new("dpkg").arg("--print-architecture"))?.trim() {
        "amd64" => Ok("x86_64-linux-gnu"),
        "arm64" => Ok("aarch64-linux-gnu"),
        other => Err(format!("no list of packages for the architecture {other}")),
    }
}

/// The folders whose libraries the drivers load, the loader's first.
pub fn library_folders(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.join("loader")];
    for triplet in ["x86_64-linux-gnu", "aarch64-linux-gnu"] {
        for lib in ["root/usr/lib", "root/lib"] {
            folders.push(folder.join(lib).join(triplet));
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

fn write_manifests(folder: &Path, triplet: &str) -> io::Result<()> {
    for part in ["drivers", "layers", "loader", "runtime", "cache"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let (mesa, chromium) = (format!("../root/usr/lib/{triplet}"), "../root/usr/lib/chromium");
    // Apart from its neighbours: among them are libraries that would hide the machine's own.
    let loader = folder.join("root/usr/lib/chromium/libvulkan.so.1");
    fs::copy(loader, folder.join("loader/libvulkan.so.1"))?;
    for (name, library, version) in [
        ("lvp_icd", format!("{mesa}/libvulkan_lvp.so"), "1.4.305"),
        ("radeon_icd", format!("{mesa}/libvulkan_radeon.so"), "1.4.305"),
        ("swiftshader_icd", format!("{chromium}/libvk_swiftshader.so"), "1.3.0"),
        ("mock_icd", format!("{chromium}/libVkICD_mock_icd.so"), "1.4.0"),
    ] {
        let manifest = serde_json::json!({
            "file_format_version": "1.0.1",
            "ICD": { "library_path": library, "api_version": version },
        });
        fs::write(folder.join(format!("drivers/{name}.json")), manifest.to_string())?;
    }
    let library = format!("{chromium}/libVkLayer_khronos_validation.so");
    fs::write(folder.join("layers/VkLayer_khronos_validation.json"), layer_manifest(&library))
}

/// The package brings the layer without its manifest.
fn layer_manifest(library: &str) -> String {
    let extension =
        |name: &str, version: &str| serde_json::json!({ "name": name, "spec_version": version });
    serde_json::json!({
        "file_format_version": "1.2.0",
        "layer": {
            "name": "VK_LAYER_KHRONOS_validation",
            "type": "GLOBAL",
            "library_path": library,
            "api_version": "1.4.364",
            "implementation_version": "1",
            "description": "Khronos validation layer",
            "instance_extensions": [
                extension("VK_EXT_debug_report", "9"),
                extension("VK_EXT_debug_utils", "1"),
                extension("VK_EXT_validation_features", "2"),
                extension("VK_EXT_layer_settings", "2"),
            ],
            "device_extensions": [extension("VK_EXT_tooling_info", "1")],
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_itself() {
        let text = "PRETTY_NAME=\"Some system\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let release = Release::parse(text).unwrap();
        assert_eq!((&*release.id, &*release.codename), ("debian", "bookworm"));
        assert!(Release::parse("NAME=nothing").is_none());
    }

    #[test]
    fn backports_stand_beside_the_mirror_of_the_machine() {
        let sources = apt::parse("deb [signed-by=/key] http://mirror/debian bookworm main\n");
        let list = source_list(&sources, "bookworm").unwrap();
        let lines: Vec<_> = list.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], "deb [signed-by=/key] http://mirror/debian bookworm-backports main");
        assert_eq!(source_list(&sources, "trixie"), None);
    }

    #[test]
    fn the_mirror_is_the_one_with_updates() {
        let text = "deb http://other/debian trixie main\ndeb http://mirror/debian trixie main\n\
                    deb http://mirror/debian trixie-updates main\n";
        let list = source_list(&apt::parse(text), "trixie").unwrap();
        assert_eq!(list, "deb http://mirror/debian trixie main\n");
    }

    #[test]
    fn the_layer_manifest_is_json() {
        let json: serde_json::Value = serde_json::from_str(&layer_manifest("x.so")).unwrap();
        assert_eq!(json["layer"]["library_path"], "x.so");
    }
}
