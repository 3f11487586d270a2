//! What the library shows to the dynamic linker: the names it defines, and how it wants to be
//! loaded.

use std::collections::BTreeSet;
use std::process::Command;

use crate::command::{Outcome, failed, output};

use super::{LIBRARY, Library, Tls, claim, needed};

/// What is exported, beside the forms of C++'s operators.
const FAMILY: [&str; 18] = [
    "aligned_alloc",
    "calloc",
    "cfree",
    "free",
    "free_aligned_sized",
    "free_sized",
    "mallinfo2",
    "malloc",
    "malloc_info",
    "malloc_stats",
    "malloc_trim",
    "malloc_usable_size",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "realloc",
    "reallocarray",
    "valloc",
];

/// How the names of `operator new`, `new[]`, `delete` and `delete[]` begin.
const OPERATORS: [&str; 4] = ["_Znw", "_Zna", "_Zdl", "_Zda"];

/// Forms of `new`, and of `new[]`.
const NEWS: usize = 4;

/// Forms of `delete`, and of `delete[]`.
const DELETES: usize = 6;

/// Nothing but the family is exported, and the linker is told the rest.
pub fn check(library: &Library) -> Outcome {
    needed("nm")?;
    needed("readelf")?;
    let told = |command: &mut Command| output(command.arg(&library.file)).or_else(failed);
    check_names(&told(Command::new("nm").args(["--dynamic", "--defined-only"]))?)?;
    check_own(&told(Command::new("readelf").args(["--relocs", "--wide"]))?)?;
    let section = told(Command::new("readelf").arg("--dynamic"))?;
    claim(section.contains(&format!("soname: [{LIBRARY}]")), || "it has no soname".into())?;
    claim(section.contains("NODELETE"), || "it can be unloaded".into())?;
    claim(section.contains("STATIC_TLS") == (library.tls == Tls::Static), || {
        format!("the library with {} asks for the other kind", library.name)
    })
}

fn check_names(listing: &str) -> Outcome {
    let names: BTreeSet<_> =
        listing.lines().filter_map(|line| line.split_whitespace().last()).collect();
    if let Some(missing) = FAMILY.iter().find(|name| !names.contains(**name)) {
        return failed(format!("`{missing}` is not exported"));
    }
    let leaked: Vec<_> =
        names.iter().filter(|name| !FAMILY.contains(name) && !is_operator(name)).copied().collect();
    if !leaked.is_empty() {
        return failed(format!("exported without need: {}", leaked.join(", ")));
    }
    for (start, forms) in OPERATORS.into_iter().zip([NEWS, NEWS, DELETES, DELETES]) {
        let count = names.iter().filter(|name| name.starts_with(start)).count();
        claim(count == forms, || format!("{count} names begin with {start}, not {forms}"))?;
    }
    Ok(())
}

/// The family's functions call one another, not what another library has by the same name.
fn check_own(relocations: &str) -> Outcome {
    let words = relocations.lines().flat_map(str::split_whitespace);
    let foreign = words.into_iter().find(|word| FAMILY.contains(word) || is_operator(word));
    foreign.map_or(Ok(()), |name| failed(format!("it asks the linker for `{name}`")))
}

fn is_operator(name: &str) -> bool {
    OPERATORS.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(more: &[&str]) -> String {
        let forms = |start: &'static str, count| (0..count).map(move |i| format!("{start}{i}"));
        let operators = OPERATORS
            .into_iter()
            .zip([NEWS, NEWS, DELETES, DELETES])
            .flat_map(|(s, c)| forms(s, c));
        let names = FAMILY.iter().chain(more).map(ToString::to_string).chain(operators);
        names.map(|name| format!("0000000000003700 T {name}\n")).collect()
    }

    #[test]
    fn a_call_through_the_linker_is_found() {
        let line = "0122a0  2a00000006 R_X86_64_GLOB_DAT 0000000000006490 realloc + 0\n";
        assert!(check_own(line).is_err());
        assert_eq!(check_own(&line.replace("realloc", "mmap@GLIBC_2.2.5")), Ok(()));
    }

    #[test]
    fn the_family_and_the_operators_are_all_there_is() {
        assert_eq!(check_names(&listing(&[])), Ok(()));
        assert!(check_names(&listing(&["rust_eh_personality"])).is_err());
        assert!(check_names(&listing(&["_Znwm"])).is_err());
        assert!(check_names(&listing(&[]).replace("T calloc", "T other")).is_err());
    }
}
