//! The program `keyway-controlplane`.
fn main() {}
