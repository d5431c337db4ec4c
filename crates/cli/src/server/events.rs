//! Server-sent events: each one's name and the JSON of its `data:` lines, one after the other.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::{ANSWER_LIMIT, Server, refused, root_cause};
use crate::failure::Failure;

/// A stream that says nothing for so long is dead: the control plane writes a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Bytes of one event at most.
const EVENT_LIMIT: usize = 4 << 20;

/// An open stream.
pub(crate) struct Events {
    server: String,
    response: Response,
    /// What came and is no whole event yet.
    rest: Vec<u8>,
}

// === impl Server ===

impl Server {
    /// Opens a stream that lives for `limit` at most.
    pub(crate) async fn events(&self, path: &str, limit: Duration) -> Result<Events, Failure> {
        let url = format!("{}/api/v1{path}", self.connection.server);
        let request = self.http.request(Method::GET, url).bearer_auth(self.connection.token.as_str());
        let response = request.timeout(limit).send().await.map_err(|error| self.lost(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Events { server: self.connection.server.clone(), response, rest: Vec::new() });
        }
        let body = response.bytes().await.map_err(|error| self.lost(&error))?;
        let failure = refused(status, body.get(..ANSWER_LIMIT).unwrap_or(&body), self.url());
        // As of any question: what it holds stood in the arguments.
        Err(if status == StatusCode::BAD_REQUEST { Failure::Usage(failure.to_string()) } else { failure })
    }
}

// === impl Events ===

impl Events {
    /// What the next one says; `None`: the stream has ended. May be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        Ok(self.named().await?.map(|(_, value)| value))
    }

    /// The next one with its name, `message` where it has none. Else as `next`.
    pub(crate) async fn named(&mut self) -> Result<Option<(String, Value)>, Failure> {
        loop {
            while let Some(event) = self.whole() {
                if let Some(value) = data(&event) {
                    return Ok(Some((name(&event), value)));
                }
            }
            let lost = |error: reqwest::Error| Failure::Unreachable {
                server: self.server.clone(),
                reason: root_cause(&error),
            };
            let silent = |_| Failure::TimedOut(format!("{} says nothing any more", self.server));
            let chunk = timeout(SILENCE, self.response.chunk()).await.map_err(silent)?;
            let Some(chunk) = chunk.map_err(lost)? else { return Ok(None) };
            self.rest.extend_from_slice(&chunk);
            if self.rest.len() > EVENT_LIMIT {
                return Err(Failure::Other("an event has more than 4 MiB".into()));
            }
        }
    }

    /// Takes a whole event out of what came.
    fn whole(&mut self) -> Option<Vec<u8>> {
        let end = self.rest.windows(2).position(|two| two == b"\n\n")?;
        let later = self.rest.split_off(end + 2);
        Some(std::mem::replace(&mut self.rest, later))
    }
}

/// The JSON of an event; a comment has none.
fn data(event: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(event).ok()?;
    let data: String = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    serde_json::from_str(data.trim_start()).ok()
}

fn name(event: &[u8]) -> String {
    let text = std::str::from_utf8(event).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("event:"));
    name.map_or_else(|| "message".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn comments_are_no_events_and_data_is_json() {
        assert_eq!(data(b":\n\n"), None);
        assert_eq!(data(b"data: {\"a\":1}\n\n"), Some(json!({ "a": 1 })));
        assert_eq!(data(b"event: x\ndata: 5\n\n"), Some(json!(5)));
        assert_eq!(data(b"data: {\"cut\n\n"), None);
        assert_eq!(name(b"event: missed\ndata: 5\n\n"), "missed");
        assert_eq!(name(b"data: 5\n\n"), "message");
    }
}
