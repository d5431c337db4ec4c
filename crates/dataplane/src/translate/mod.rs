//! Door 2: a call as one target takes it, and what of its reply goes back. Where caller and target speak one dialect,
//! bytes pass; where they differ, a `Crossing` carries both over.

mod asks;
mod crossing;
mod dropped;
mod fault;
mod listed;
mod noted;
mod reply_headers;
mod request;
mod stream;
mod surface;

use dropped::DROPPED;

pub(crate) use asks::Asks;
pub(crate) use crossing::{Crossing, crossing};
pub(crate) use reply_headers::{crossed_reply, reply_headers};
pub(crate) use request::{Unsendable, crossed_request, request};
pub(crate) use stream::{State, Stream, reason};
pub(crate) use surface::surface;
