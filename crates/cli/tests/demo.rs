//! The demo from outside: the program is run as users run it.

use polder::Snapshot;
use polder::device::sim::Preset;
use polder::device::snapshot::TypeSnapshot;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_polder");
    Command::new(program).arg("demo").args(arguments).output().expect("the program can be run")
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).expect("the output is UTF-8");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A file that nobody else has, gone with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("polder-demo-{}-{name}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that failed before it wrote the file says so itself.
        let _ = fs::remove_file(&self.0);
    }
}

fn snapshot_of(device: &str, more: &[&str]) -> (String, Snapshot) {
    let scratch = Scratch::new(&device.replace(':', "-"));
    let path = scratch.0.to_str().expect("the path is UTF-8");
    let mut arguments = vec!["--device", device, "--quick", "--json", path];
    arguments.extend(more);
    let text = stdout(&demo(&arguments));
    let json = fs::read_to_string(path).expect("the snapshot was written");
    (text, serde_json::from_str(&json).expect("the snapshot is one"))
}

#[test]
fn every_preset_loses_no_byte_and_no_allocation() {
    for preset in Preset::ALL {
        let (text, snapshot) = snapshot_of(&format!("sim:{preset}"), &["--threads", "3"]);
        assert!(text.contains("  leaks            0\n"), "{preset}: {text}");
        assert!(text.contains(", 0 bytes differ\n"), "{preset}: {text}");
        assert!(text.contains("  complaints       0\n"), "{preset}: {text}");
        let allocations: u64 = snapshot.memory_types.iter().map(TypeSnapshot::allocations).sum();
        assert!(allocations >= 1000, "{preset}: {allocations} live in the snapshot");
        assert_eq!(snapshot.device, preset.layout().properties.name);
    }
}

#[test]
fn the_output_is_plain_and_narrow_where_nobody_looks() {
    let text = stdout(&demo(&["--device", "sim", "--quick", "--threads", "2"]));
    assert!(!text.contains('\x1b'), "{text}");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{text}");
}

#[test]
fn one_thread_allocates_the_same_with_the_same_seed() {
    let arguments = ["--threads", "1", "--seed", "7"];
    let (_, first) = snapshot_of("sim:lavapipe", &arguments);
    let (_, second) = snapshot_of("sim:lavapipe", &arguments);
    assert_eq!(first, second);
}

#[test]
fn a_preset_that_is_not_there_is_answered_with_those_that_are() {
    let output = demo(&["--device", "sim:voodoo2"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    for preset in Preset::ALL {
        assert!(text.contains(preset.name()), "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let path = std::env::temp_dir().join("polder-no-such-folder").join("file.json");
    let path = path.to_str().expect("the path is UTF-8");
    let output = demo(&["--device", "sim", "--quick", "--frames", "1", "--json", path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("polder-no-such-folder"));
}
