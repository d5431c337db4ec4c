//! What the simulated provider saw of a request, byte for byte, and how the exchange ended.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which connection of this provider brought it, counted from 1.
    pub connection: u64,
    /// Request line and headers as they stood on the wire, the blank line included.
    pub head: Bytes,
    /// The body, freed of chunk framing only.
    pub body: Bytes,
    /// When its last byte had been read.
    pub arrived: Instant,
    /// How the exchange ended; `None` while it goes on.
    pub outcome: Option<Outcome>,
}

/// How an exchange ended, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer was written.
    Answered(Instant),
    /// The script ended the connection.
    Ended(Instant),
    /// The caller closed the connection before the answer was complete.
    CallerLeft(Instant),
}

impl Seen {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.head).unwrap_or_default()
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.text().split(' ').next().unwrap_or_default()
    }

    /// The request target, query included.
    pub fn target(&self) -> &str {
        self.text().split(' ').nth(1).unwrap_or_default()
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// Every value of the header `name`, in order.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.text()
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The first value of the header `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// The credential, from `authorization: Bearer`, `x-api-key` or `api-key`; empty where there is none.
    pub fn credential(&self) -> &str {
        let bearer = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| self.header("x-api-key")).or_else(|| self.header("api-key")).unwrap_or_default()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The model asked for; empty where the body names none.
    pub fn model(&self) -> String {
        self.json().get("model").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// When the caller left before the answer was complete.
    pub fn left_at(&self) -> Option<Instant> {
        match self.outcome {
            Some(Outcome::CallerLeft(at)) => Some(at),
            Some(Outcome::Answered(_) | Outcome::Ended(_)) | None => None,
        }
    }

    /// How long after `moment` the caller left; zero if it left earlier.
    pub fn left_after(&self, moment: Instant) -> Option<Duration> {
        self.left_at().map(|at| at.saturating_duration_since(moment))
    }
}

/// What one credential did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// Requests that carried it.
    pub requests: u64,
    /// How many of them were refused because the key was.
    pub refused: u64,
    /// How many of them were beyond the limit of its organisation.
    pub throttled: u64,
    /// When the first came.
    pub first: Option<Instant>,
    /// When the last came.
    pub last: Option<Instant>,
}
