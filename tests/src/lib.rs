//! What the end-to-end tests share.

pub mod collector;
pub mod expect;
pub mod gateway;
pub mod inspect;
pub mod leaks;
