//! Simulated peers for tests: provider with faults, load, processes.

pub mod aws;
pub mod billing;
pub mod caller;
pub mod load;
pub mod process;
pub mod provider;
pub mod sdk;
pub mod signed;
pub mod strict;
pub mod tokens;
pub mod vault;
