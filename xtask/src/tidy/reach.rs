//! Dead files: Rust below `src` that no root leads to.
//!
//! A file is reached when a target begins with it or a file that is reached says `mod` of it.
//! Nobody compiles the others, so nothing else would notice them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

use super::{File, Finding, text};

/// The findings of the workspace's own packages.
pub fn check(workspace: &Workspace, files: &[File]) -> Vec<Finding> {
    let below = |path: &Path| {
        let path = path.strip_prefix(&workspace.root).unwrap_or(path);
        path.to_string_lossy().replace('\\', "/")
    };
    let packages = &workspace.packages;
    let roots = packages.iter().flat_map(|package| package.roots.iter().map(|root| below(root)));
    let reached = reached(roots.collect(), files);
    let sources: Vec<_> = packages.iter().map(|p| below(&p.folder.join("src")) + "/").collect();
    let is_source = |file: &&File| sources.iter().any(|folder| file.path.starts_with(folder));
    files
        .iter()
        .filter(|file| file.is_rust() && is_source(file) && !reached.contains(&file.path))
        .map(|file| Finding::new(&file.path, 1, "no `mod` leads to this file"))
        .collect()
}

fn reached(roots: Vec<String>, files: &[File]) -> BTreeSet<String> {
    let mut reached: BTreeSet<_> = roots.iter().cloned().collect();
    let mut open: Vec<_> = roots.into_iter().map(|root| (root, Owner::Root)).collect();
    while let Some((path, owner)) = open.pop() {
        let Some(file) = files.iter().find(|file| file.path == path) else { continue };
        for module in modules(file, owner) {
            if files.iter().any(|file| file.path == module) && reached.insert(module.clone()) {
                open.push((module, Owner::Module));
            }
        }
    }
    reached
}

/// Whether a file's modules lie beside it or in a folder of its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Root,
    Module,
}

/// Where the modules may lie that a file declares.
fn modules(file: &File, owner: Owner) -> Vec<String> {
    let path = PathBuf::from(&file.path);
    let beside = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let stem = path.file_stem().unwrap_or_default();
    let is_beside = owner == Owner::Root || stem == "mod";
    let folder = if is_beside { beside.clone() } else { beside.join(stem) };
    let mut modules = Vec::new();
    for (index, line) in file.code.lines().enumerate() {
        let Some(name) = declared(line) else { continue };
        modules.extend(attribute_path(&file.text, index).map(|path| beside.join(path)));
        modules.push(folder.join(format!("{name}.rs")));
        modules.push(folder.join(name).join("mod.rs"));
    }
    modules.iter().map(|module| module.to_string_lossy().replace('\\', "/")).collect()
}

/// The name in a line like `pub(crate) mod name;`.
fn declared(line: &str) -> Option<&str> {
    let declaration = line.trim().strip_suffix(';')?;
    let mut words = text::words(declaration);
    words.find(|word| *word == "mod")?;
    words.next()
}

/// What `#[path = "…"]` says in the lines above a declaration.
fn attribute_path(text: &str, index: usize) -> Option<String> {
    let lines: Vec<_> = text.lines().take(index).collect();
    let attributes = lines.iter().rev().take_while(|line| line.trim().starts_with("#["));
    let path = attributes.into_iter().find_map(|line| line.trim().strip_prefix("#[path = \""))?;
    Some(path.split('"').next().unwrap_or_default().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File::new(path, text.to_string())
    }

    #[test]
    fn a_file_is_reached_through_its_parents() {
        let files = [
            file("a/src/lib.rs", "mod one;\n// mod four;\npub(crate) mod two;\n"),
            file("a/src/one.rs", "#[cfg(test)]\nmod three;\n"),
            file("a/src/one/three.rs", ""),
            file("a/src/two/mod.rs", "mod five;"),
            file("a/src/two/five.rs", ""),
            file("a/src/four.rs", ""),
        ];
        let reached = reached(vec!["a/src/lib.rs".into()], &files);
        assert_eq!(reached.len(), 5);
        assert!(!reached.contains("a/src/four.rs"));
    }

    #[test]
    fn a_path_attribute_leads_to_its_file() {
        let text = "#[cfg(unix)]\n#[path = \"os/unix.rs\"]\nmod os;\n";
        let files = [file("a/src/lib.rs", text), file("a/src/os/unix.rs", "")];
        assert!(reached(vec!["a/src/lib.rs".into()], &files).contains("a/src/os/unix.rs"));
    }
}
