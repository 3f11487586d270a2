//! Lets snmalloc ask for its address space as `snmalloc.rs` of `preload` says.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_SNMALLOC").is_some() {
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap=mmap");
    }
}
