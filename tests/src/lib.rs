//! What the end-to-end tests share.

pub mod admin;
pub mod apart;
pub mod collector;
pub mod damage;
pub mod expect;
pub mod faketime;
pub mod fleet;
pub mod frozen;
pub mod gateway;
pub mod grid;
pub mod held;
pub mod hosts;
pub mod inspect;
pub mod leaks;
pub mod nodes;
pub mod rotation;
pub mod shared;
pub mod states;
pub mod tmpfs;
pub mod traffic;
pub mod usage;
pub mod wire;
