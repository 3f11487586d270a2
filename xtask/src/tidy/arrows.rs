//! The arrows between crates: who may depend on whom.
//!
//! For our own packages the table is a list of what is allowed, exactly as the design draws it;
//! for others' packages it is a list of what is not. Tests may depend on anything, and so may
//! what exists under loom alone.

use crate::workspace::{Dependency, Package, Workspace};

use super::Finding;

/// What one package may depend on.
struct Arrows {
    from: &'static str,
    ours: &'static [&'static str],
    others: Others,
}

enum Others {
    None,
    Except(&'static [&'static str]),
}

/// Crates through which a crate would reach the operating system.
const SYSTEM: &[&str] = &["libc", "rustix", "nix", "windows-sys", "windows", "ash"];

const TABLE: [Arrows; 9] = [
    Arrows { from: "polder-core", ours: &[], others: Others::None },
    Arrows { from: "polder-host", ours: &["polder-core"], others: Others::Except(&["ash"]) },
    Arrows { from: "polder-device", ours: &["polder-core"], others: Others::Except(SYSTEM) },
    Arrows {
        from: "polder-vulkan",
        ours: &["polder-core", "polder-device"],
        others: Others::Except(&[]),
    },
    Arrows {
        from: "polder",
        ours: &["polder-core", "polder-host", "polder-device", "polder-vulkan"],
        others: Others::Except(&[]),
    },
    Arrows {
        from: "polder-cli",
        ours: &["polder-core", "polder", "polder-host", "polder-device", "polder-vulkan"],
        others: Others::Except(&[]),
    },
    Arrows {
        from: "polder-malloc",
        ours: &["polder-core", "polder-host"],
        others: Others::Except(&["ash"]),
    },
    Arrows {
        from: "polder-vma",
        ours: &["polder-core", "polder-device", "polder-vulkan"],
        others: Others::Except(&[]),
    },
    Arrows { from: "xtask", ours: &[], others: Others::Except(&["ash"]) },
];

/// What a package that stands in for another one may depend on: all libraries, not the program.
const STAND_IN: Arrows = Arrows {
    from: "a stand-in",
    ours: &["polder-core", "polder-host", "polder-device", "polder-vulkan", "polder"],
    others: Others::Except(&[]),
};

/// The findings of all manifests.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let pairs = workspace.packages.iter().flat_map(|package| {
        let refused = package.dependencies.iter().filter(|arrow| !is_allowed(package, arrow));
        refused.map(move |arrow| (package, arrow))
    });
    pairs
        .map(|(package, arrow)| {
            let folder = package.folder.strip_prefix(&workspace.root).unwrap_or(&package.folder);
            let path = folder.join("Cargo.toml").to_string_lossy().replace('\\', "/");
            let rule = format!("{} does not depend on {}", package.name, arrow.name);
            Finding::new(&path, 1, rule)
        })
        .collect()
}

fn is_allowed(package: &Package, arrow: &Dependency) -> bool {
    if arrow.platform.as_deref() == Some("cfg(loom)") {
        return true;
    }
    let arrows = TABLE.iter().find(|arrows| arrows.from == package.name).unwrap_or(&STAND_IN);
    if arrow.name == "polder" || arrow.name.starts_with("polder-") {
        return arrows.ours.contains(&&*arrow.name);
    }
    match arrows.others {
        Others::None => false,
        Others::Except(refused) => !refused.contains(&&*arrow.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(from: &str, to: &str, platform: Option<&str>) -> bool {
        let arrow = Dependency { name: to.into(), platform: platform.map(String::from) };
        let package = Package { name: from.into(), folder: "/p".into(), ..Package::default() };
        is_allowed(&package, &arrow)
    }

    #[test]
    fn the_core_imports_nothing() {
        assert!(!allowed("polder-core", "log", None));
        assert!(allowed("polder-core", "loom", Some("cfg(loom)")));
    }

    #[test]
    fn the_halves_do_not_know_each_other() {
        assert!(!allowed("polder-host", "polder-device", None));
        assert!(!allowed("polder-device", "polder-host", None));
        assert!(allowed("polder-device", "polder-core", None));
    }

    #[test]
    fn the_device_heap_knows_no_interface_and_no_system() {
        assert!(!allowed("polder-device", "ash", None));
        assert!(!allowed("polder-device", "libc", Some("cfg(unix)")));
        assert!(allowed("polder-device", "log", None));
        assert!(allowed("polder-vulkan", "ash", None));
    }

    #[test]
    fn nobody_depends_on_the_program() {
        let all = TABLE.iter().map(|arrows| arrows.from).chain(["gpu-allocator"]);
        for package in all {
            assert!(!allowed(package, "polder-cli", None), "{package}");
        }
    }
}
