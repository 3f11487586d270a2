//! The Vulkan drivers that the tests run on, where they come from, and how a program is put on
//! one of them.
//!
//! A driver is chosen by environment alone: the loader's own variables name one manifest, so a
//! test executable needs to know nothing. The drivers are those of the private folder that
//! [`debian`] makes; where it cannot be made, those that the machine has.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Outcome, failed, is_root, left_out, output, run};
use crate::debian::{self, Release};

/// The variable that tells a test which driver it is on.
pub const DRIVER_VARIABLE: &str = "VULKAN_TEST_DRIVER";

/// The file name of the loader.
const LOADER: &str = "libvulkan.so.1";

/// The shim in whose presence the AMD driver sees a device that is not there.
const SHIM: &str = "libamdgpu_noop_drm_shim.so";

/// Where a machine keeps what its packages and its owner add for Vulkan.
const SYSTEM_FOLDERS: [&str; 3] = ["/etc/vulkan", "/usr/local/share/vulkan", "/usr/share/vulkan"];

/// Where a machine keeps its libraries.
const SYSTEM_LIBRARIES: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// Packages for machines on which drivers are installed rather than unpacked.
const PACKAGES: [&str; 3] = ["mesa-vulkan-drivers", "vulkan-validationlayers", "libvulkan1"];

/// A driver that the tests know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Driver {
    /// What the user calls it.
    pub name: &'static str,
    /// Part of the manifest's file name.
    manifest: Manifest,
    /// What it does with submitted work.
    pub work: Work,
    /// How many threads may call it.
    pub threads: Threads,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manifest {
    /// The manifest whose file name contains this.
    Named(&'static str),
    /// AMD's driver over the shim, as this device.
    Shim(&'static str),
    /// Whatever the machine's own manifests name.
    System,
}

/// What a driver does with submitted work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It is done: data can be compared.
    Executed,
    /// It is forgotten: only answers can be compared.
    Dropped,
}

/// How many threads may call a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// As many as like.
    Many,
    /// The shim keeps its state without a lock.
    One,
}

/// Every driver by the name a user gives it.
pub const DRIVERS: [Driver; 8] = [
    Driver::named("lavapipe", "lvp_icd", Work::Executed),
    Driver::named("swiftshader", "swiftshader", Work::Executed),
    Driver::named("mock", "mock_icd", Work::Dropped),
    Driver::shim("radv:navi31", "navi31"),
    Driver::shim("radv:vega10", "vega10"),
    Driver::shim("radv:raven", "raven"),
    Driver::shim("radv:polaris12", "polaris12"),
    Driver {
        name: "system",
        manifest: Manifest::System,
        work: Work::Executed,
        threads: Threads::Many,
    },
];

impl Driver {
    const fn named(name: &'static str, manifest: &'static str, work: Work) -> Self {
        Self { name, manifest: Manifest::Named(manifest), work, threads: Threads::Many }
    }

    const fn shim(name: &'static str, device: &'static str) -> Self {
        let manifest = Manifest::Shim(device);
        Self { name, manifest, work: Work::Dropped, threads: Threads::One }
    }

    /// The driver of this name.
    pub fn find(name: &str) -> Outcome<Self> {
        let found = DRIVERS.into_iter().find(|driver| driver.name == name);
        found.map_or_else(
            || failed(format!("no driver is called `{name}`: see `cargo xtask vulkan --list`")),
            Ok,
        )
    }
}

/// What this machine has for Vulkan.
#[derive(Debug, Default)]
pub struct Setup {
    /// The private folder, where there is one.
    folder: Option<PathBuf>,
    /// The manifests that [`Driver`]s are looked up in.
    manifests: Vec<PathBuf>,
    /// The folder with the validation layer's manifest.
    layers: Option<PathBuf>,
    /// The shim.
    shim: Option<PathBuf>,
    /// Folders for the dynamic linker, the loader's first.
    libraries: Vec<PathBuf>,
}

impl Setup {
    /// Makes the private folder where packages are Debian's, installs where they are Ubuntu's
    /// and the user is root; then says what there is. The reason stands beside when drivers or
    /// layers remain missing.
    pub fn make(target: &Path) -> (Self, Option<String>) {
        let folder = target.join("vulkan");
        let outcome = match Release::of_machine() {
            Some(release) if release.id == "debian" => debian::set_up(&folder, &release),
            _ if Self::of_system().is_complete() => Ok(()),
            Some(release) if release.id == "ubuntu" => install(),
            _ => Err("install lavapipe (Mesa) and the Khronos validation layer".to_string()),
        };
        let has_folder = folder.join("stamp").is_file();
        let setup = if has_folder { Self::of_folder(&folder) } else { Self::of_system() };
        let missing = outcome.err().or_else(|| {
            let libraries = setup.missing_libraries();
            (!libraries.is_empty()).then(|| format!("drivers lack {}", libraries.join(", ")))
        });
        (setup, missing)
    }

    fn of_folder(folder: &Path) -> Self {
        let libraries = debian::library_folders(folder);
        Self {
            manifests: files(&folder.join("drivers")),
            layers: Some(folder.join("layers")),
            shim: find_file(&libraries, SHIM),
            libraries,
            folder: Some(folder.to_path_buf()),
        }
    }

    fn of_system() -> Self {
        let layers = SYSTEM_FOLDERS.map(|folder| Path::new(folder).join("explicit_layer.d"));
        let is_validation = |file: &PathBuf| contains(file, "khronos_validation");
        let has_layer = |folder: &PathBuf| files(folder).iter().any(is_validation);
        Self {
            folder: None,
            manifests: system_manifests(),
            layers: layers.into_iter().find(has_layer),
            shim: find_file(&SYSTEM_LIBRARIES.map(PathBuf::from), SHIM),
            libraries: Vec::new(),
        }
    }

    /// Whether the tests that matter most can run: on a driver that executes, with the layer.
    fn is_complete(&self) -> bool {
        let has_lavapipe = self.manifests.iter().any(|file| contains(file, "lvp_icd"));
        has_lavapipe && self.layers.is_some() && find_loader().is_some()
    }

    /// The variables that put a program on a driver.
    pub fn environment(&self, driver: Driver) -> Outcome<Vec<(&'static str, OsString)>> {
        if self.folder.is_none() && find_loader().is_none() {
            return left_out("the machine has no Vulkan loader");
        }
        let mut variables = vec![(DRIVER_VARIABLE, driver.name.into())];
        match driver.manifest {
            Manifest::Named(part) => variables.push(self.manifest(part)?),
            Manifest::Shim(device) => {
                let Some(shim) = &self.shim else {
                    return left_out(format!("{SHIM} is not there"));
                };
                variables.push(self.manifest("radeon_icd")?);
                variables.push(("LD_PRELOAD", shim.into()));
                variables.push(("AMDGPU_GPU_ID", device.into()));
            }
            Manifest::System if system_manifests().is_empty() => {
                return left_out("the machine has no Vulkan driver of its own");
            }
            Manifest::System => {}
        }
        variables.extend(self.surroundings(driver)?);
        Ok(variables)
    }

    fn manifest(&self, part: &str) -> Outcome<(&'static str, OsString)> {
        match self.manifests.iter().find(|file| contains(file, part)) {
            Some(file) => Ok(("VK_DRIVER_FILES", file.into())),
            None => left_out(format!("no manifest `*{part}*` is there")),
        }
    }

    /// The layer, the libraries, and folders that keep the user's home as it is.
    fn surroundings(&self, driver: Driver) -> Outcome<Vec<(&'static str, OsString)>> {
        let mut variables = Vec::new();
        if let Some(layers) = &self.layers {
            variables.push(("VK_LAYER_PATH", layers.into()));
        }
        let Some(folder) = &self.folder else { return Ok(variables) };
        // The machine's own driver comes with its own libraries: only the loader is lent.
        let lent = if driver.manifest == Manifest::System { 1 } else { self.libraries.len() };
        let libraries = std::env::join_paths(&self.libraries[..lent]);
        variables.push(("LD_LIBRARY_PATH", libraries.or_else(|error| failed(error.to_string()))?));
        variables.push(("XDG_RUNTIME_DIR", folder.join("runtime").into()));
        variables.push(("MESA_SHADER_CACHE_DIR", folder.join("cache").into()));
        // Overlays and device pickers that a user has installed would sit between.
        variables.push(("VK_LOADER_LAYERS_DISABLE", "~implicit~".into()));
        Ok(variables)
    }

    /// The libraries that the private folder's own libraries ask for and nobody has.
    fn missing_libraries(&self) -> Vec<String> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let mut missing = Vec::new();
        for manifest in &self.manifests {
            let Some(library) = library_of(manifest) else { continue };
            let mut ldd = Command::new("ldd");
            ldd.env("LD_LIBRARY_PATH", std::env::join_paths(&self.libraries).unwrap_or_default());
            let said = output(ldd.arg(folder.join("drivers").join(library))).unwrap_or_default();
            missing.extend(said.lines().filter_map(|line| {
                let name = line.trim().strip_suffix("=> not found")?;
                Some(name.trim().to_string())
            }));
        }
        missing.sort();
        missing.dedup();
        missing
    }
}

/// Installs the packages, or says with which command root would.
fn install() -> Result<(), String> {
    let packages = PACKAGES.join(" ");
    if !is_root() {
        return Err(format!("run `sudo apt-get install {packages}`"));
    }
    let said = |_| format!("`apt-get install {packages}` failed");
    run(Command::new("apt-get").arg("update")).map_err(said)?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["install", "--yes", "--no-install-recommends"]).args(PACKAGES);
    run(&mut install).map_err(said)
}

fn library_of(manifest: &Path) -> Option<String> {
    let text = fs::read_to_string(manifest).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    json["ICD"]["library_path"].as_str().map(String::from)
}

fn system_manifests() -> Vec<PathBuf> {
    SYSTEM_FOLDERS.iter().flat_map(|folder| files(&Path::new(folder).join("icd.d"))).collect()
}

fn find_loader() -> Option<PathBuf> {
    find_file(&SYSTEM_LIBRARIES.map(PathBuf::from), LOADER)
}

fn find_file(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The files of a folder, sorted; none when there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn contains(file: &Path, part: &str) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup {
        Setup {
            folder: Some("/p".into()),
            manifests: vec!["/p/drivers/lvp_icd.json".into(), "/p/drivers/radeon_icd.json".into()],
            layers: Some("/p/layers".into()),
            shim: Some("/p/lib/shim.so".into()),
            libraries: vec!["/p/loader".into(), "/p/lib".into()],
        }
    }

    fn value(variables: &[(&str, OsString)], name: &str) -> Option<String> {
        let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
        Some(value.to_string_lossy().into_owned())
    }

    #[test]
    fn a_driver_is_chosen_by_its_manifest() {
        let variables = setup().environment(Driver::find("lavapipe").unwrap()).unwrap();
        let manifest = value(&variables, "VK_DRIVER_FILES");
        assert_eq!(manifest.as_deref(), Some("/p/drivers/lvp_icd.json"));
        assert_eq!(value(&variables, DRIVER_VARIABLE).as_deref(), Some("lavapipe"));
        assert_eq!(value(&variables, "LD_LIBRARY_PATH").as_deref(), Some("/p/loader:/p/lib"));
        assert_eq!(value(&variables, "LD_PRELOAD"), None);
    }

    #[test]
    fn the_shim_is_loaded_for_its_driver_alone() {
        let driver = Driver::find("radv:raven").unwrap();
        let variables = setup().environment(driver).unwrap();
        assert_eq!(value(&variables, "LD_PRELOAD").as_deref(), Some("/p/lib/shim.so"));
        assert_eq!(value(&variables, "AMDGPU_GPU_ID").as_deref(), Some("raven"));
        assert_eq!(driver.threads, Threads::One);
    }

    #[test]
    fn a_driver_without_a_manifest_is_left_out() {
        let stop = setup().environment(Driver::find("mock").unwrap()).unwrap_err();
        assert!(matches!(stop, crate::command::Stop::LeftOut(_)));
    }

    #[test]
    fn an_unknown_name_fails() {
        assert!(Driver::find("lavapip").is_err());
    }
}
