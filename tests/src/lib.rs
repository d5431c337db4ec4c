//! What the end-to-end tests share.

pub mod expect;
pub mod gateway;
pub mod inspect;
