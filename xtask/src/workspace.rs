//! What cargo knows about the workspace: its folders, packages and their arrows.
//!
//! Cargo answers in JSON; this module reads it once and keeps the few facts that the commands
//! and `tidy` use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command::{Outcome, cargo, failed, output};

/// The workspace, as cargo sees it.
pub struct Workspace {
    /// The folder of the workspace's manifest.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// The member packages.
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Default)]
pub struct Package {
    /// Its name in the manifest.
    pub name: String,
    /// The folder of its manifest.
    pub folder: PathBuf,
    /// The root file of each of its targets.
    pub roots: Vec<PathBuf>,
    /// The names of its integration tests.
    pub tests: Vec<String>,
    /// Its executables.
    pub bins: Vec<Bin>,
    /// What it depends on outside of tests.
    pub dependencies: Vec<Dependency>,
    /// The names of its features.
    pub features: Vec<String>,
}

/// An executable of a package.
pub struct Bin {
    /// Its name in the manifest.
    pub name: String,
    /// The features without which it is not built, with commas between.
    pub features: String,
}

/// An arrow from one package to another.
pub struct Dependency {
    /// The package it points to.
    pub name: String,
    /// The platform it is limited to, as written in the manifest.
    pub platform: Option<String>,
}

/// An executable that cargo has built.
pub struct Executable {
    /// The file.
    pub path: PathBuf,
    /// The name of its target.
    pub name: String,
    /// `test`, `lib`, `bin`, …
    pub kind: String,
}

impl Workspace {
    /// The workspace around this crate.
    pub fn load() -> Outcome<Self> {
        Self::load_at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
    }

    /// The workspace that a manifest belongs to.
    pub fn load_at(manifest: &Path) -> Outcome<Self> {
        let mut metadata = cargo();
        metadata.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
        let text = output(metadata.arg(manifest)).or_else(failed)?;
        let json: Value = serde_json::from_str(&text).or_else(|error| failed(error.to_string()))?;
        Ok(Self {
            root: path(&json["workspace_root"]),
            target: path(&json["target_directory"]),
            packages: list(&json["packages"]).map(Package::read).collect(),
        })
    }

    /// The package of this name, if there is one.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Package {
    fn read(json: &Value) -> Self {
        let manifest = path(&json["manifest_path"]);
        let targets = || list(&json["targets"]);
        let of_kind = |wanted: &'static str| {
            targets().filter(move |target| strings(&target["kind"]).any(|kind| kind == wanted))
        };
        let dependencies = list(&json["dependencies"])
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| Dependency {
                name: text(&dependency["name"]),
                platform: dependency["target"].as_str().map(String::from),
            });
        let features = json["features"].as_object().into_iter().flatten();
        Self {
            name: text(&json["name"]),
            folder: manifest.parent().expect("a manifest lies in a folder").to_path_buf(),
            roots: targets().map(|target| path(&target["src_path"])).collect(),
            tests: of_kind("test").map(|target| text(&target["name"])).collect(),
            bins: of_kind("bin").map(Bin::read).collect(),
            dependencies: dependencies.collect(),
            features: features.map(|(name, _)| name.clone()).collect(),
        }
    }
}

impl Bin {
    fn read(json: &Value) -> Self {
        let features: Vec<_> = strings(&json["required-features"]).collect();
        Self { name: text(&json["name"]), features: features.join(",") }
    }
}

/// Runs a cargo command that builds, and gives the executables it made.
pub fn build(command: &mut Command) -> Outcome<Vec<Executable>> {
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().or_else(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return failed("the build failed");
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(messages.filter_map(|message| executable(&message)).collect())
}

fn executable(message: &Value) -> Option<Executable> {
    Some(Executable {
        path: message["executable"].as_str()?.into(),
        name: text(&message["target"]["name"]),
        kind: strings(&message["target"]["kind"]).next()?.to_string(),
    })
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn strings(json: &Value) -> impl Iterator<Item = &str> {
    list(json).filter_map(Value::as_str)
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_string()
}

fn path(json: &Value) -> PathBuf {
    PathBuf::from(text(json))
}
