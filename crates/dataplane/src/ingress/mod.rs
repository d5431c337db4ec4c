//! Door 1: what a caller sent, understood as far as routing needs it. Nothing is decoded in full.

mod body;
mod endpoint;
mod gunzip;
mod shape;

pub(crate) use body::{BodyBudget, Held, read};
pub(crate) use endpoint::{Asked, Called, dialect_by, endpoint};
pub(crate) use shape::{Shape, shape};
