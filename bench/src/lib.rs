//! The programs that `cargo xtask bench` starts, and the report that they share with it.
//!
//! `bench-bare` is the yardstick, `bench-upstream` plays the provider, `bench-load` asks and checks.
//! None of them is part of the product.

mod report;

pub use report::{Quantiles, Report};
