//! What the end-to-end tests share.

pub mod collector;
pub mod expect;
pub mod fleet;
pub mod gateway;
pub mod held;
pub mod inspect;
pub mod rotation;
