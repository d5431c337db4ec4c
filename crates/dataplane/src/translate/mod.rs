//! Door 2: a call as one target takes it, and what of its reply goes back. Where caller and target speak one dialect,
//! bytes pass; other crossings are refused before this room is reached.

mod reply_headers;
mod request;

pub(crate) use reply_headers::reply_headers;
pub(crate) use request::request;
