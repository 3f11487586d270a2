//! The own commands.
fn main() {}
