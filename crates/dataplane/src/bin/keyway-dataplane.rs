//! The program `keyway-dataplane`.
fn main() {}
