//! Makes the C functions of a peer that is written in C the exported ones themselves.
//!
//! A function that forwards is one jump longer than the peer's own. The linker can do without it:
//! it gives the exported name the address of the peer's function. What `c.rs` has is then dropped.

/// The peers written in C or C++, each with what stands before the standard names in its own.
const PREFIXES: [(&str, &str); 6] = [
    ("MIMALLOC2", "mi_"),
    ("MIMALLOC3", "mi_"),
    ("MIMALLOC3_SECURE", "mi_"),
    ("SNMALLOC", "sn_"),
    ("JEMALLOC", "_rjem_"),
    ("RPMALLOC", "rp"),
];
/// What each of them has.
const FUNCTIONS: [&str; 8] = [
    "malloc",
    "free",
    "calloc",
    "realloc",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "malloc_usable_size",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_chosen = |feature: &str| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let Some((_, prefix)) = PREFIXES.iter().find(|(feature, _)| is_chosen(feature)) else {
        return;
    };
    if is_chosen("SNMALLOC") {
        // See `snmalloc.rs`.
        println!("cargo::rustc-link-arg-cdylib=-Wl,--wrap=mmap");
    }
    for function in FUNCTIONS {
        println!("cargo::rustc-link-arg-cdylib=-Wl,--defsym={function}={prefix}{function}");
    }
}
