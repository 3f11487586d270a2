//! Tells the linker what the library is called, and that it stays when a program closes it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libpolder_malloc.so");
        // Code and constants in one segment: fewer pages in a process that allocates little.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,noseparate-code");
        // Its functions call one another, not the program's: loaded late, it stands behind them.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic-functions");
        // Threads that live on have objects of the library's, and a key whose destructor is in it.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
