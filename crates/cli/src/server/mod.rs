//! The admin API as the verbs use it: JSON in, JSON out, its errors as failures.

mod events;

use std::time::Duration;

use keyway_config::Problem;
use keyway_telemetry::TRACEPARENT;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{Connection, is_local};
use crate::failure::Failure;
use crate::trace::Trace;

pub(crate) use events::Events;

/// A control plane that does not accept a connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A control plane that does not answer in this time is stuck. It has limits of its own, which are shorter and say more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The same where it asks a provider or a key's source.
const ASKING_TIMEOUT: Duration = Duration::from_secs(180);
/// The same where it reads everything there is.
const READING_TIMEOUT: Duration = Duration::from_secs(610);
/// Before every path.
const PREFIX: &str = "/api/v1";
/// A backup may take so long, and so long between two of its pieces.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(3600);
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
/// A control plane that broke off is tried again for so long, this often; a call is sent twice at most.
const AGAIN_WITHIN: Duration = Duration::from_secs(5);
const AGAIN_EVERY: Duration = Duration::from_millis(100);
/// Random bytes by which a control plane knows a call that is sent again.
const KEY_BYTES: usize = 16;
/// Bytes of an answer at most: an export of 100,000 clients has about 20 MiB.
const ANSWER_LIMIT: usize = 64 << 20;

/// One control plane's admin API.
pub(crate) struct Server {
    connection: Connection,
    http: Client,
    trace: Trace,
}

// === impl Server ===

impl Server {
    pub(crate) fn new(connection: Connection, trace: Trace) -> Result<Self, Failure> {
        let http = Client::builder();
        // A proxy is for what is far: the token for this machine never goes through one.
        let http = if is_local(&connection.server) { http.no_proxy() } else { http };
        let http = http
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("keyway/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::Other(format!("cannot set up HTTP: {}", root_cause(&error))))?;
        Ok(Self { connection, http, trace })
    }

    /// Nothing more will be asked; `well`: what was wanted is done.
    pub(crate) fn end(self, well: bool) {
        self.trace.end(well);
    }

    pub(crate) fn url(&self) -> &str {
        &self.connection.server
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    /// Bytes as they come, piece by piece; how many there were.
    pub(crate) async fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let request = self.request(Method::GET, path).timeout(DOWNLOAD_TIMEOUT);
        let mut answer = request.send().await.map_err(|error| self.lost(&error))?;
        if !answer.status().is_success() {
            let status = answer.status();
            return Err(refused(status, &self.body(answer).await?, self.url()));
        }
        let mut bytes = 0;
        let stopped = |_| Failure::TimedOut(format!("{} stopped in the middle", self.url()));
        while let Some(piece) = timeout(PIECE_TIMEOUT, answer.chunk())
            .await
            .map_err(stopped)?
            .map_err(|error| self.lost(&error))?
        {
            bytes += piece.len() as u64;
            take(&piece)?;
        }
        Ok(bytes)
    }

    /// `path` begins with a slash and stands below `/api/v1`. An answer without a body is `null`.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        named(path)?;
        let answer = self.send(method.clone(), path, body).await?;
        let status = answer.status();
        let bytes = self.body(answer).await?;
        if !status.is_success() {
            let failure = refused(status, &bytes, self.url());
            // What a question holds stood in the arguments.
            let asked = method == Method::GET && status == StatusCode::BAD_REQUEST;
            return Err(if asked { Failure::Usage(failure.to_string()) } else { failure });
        }
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| {
            Failure::Other(format!(
                "{} did not answer with JSON; is it Keyway's admin address (8600)?",
                self.url()
            ))
        })
    }

    /// Sends a call, and once more if the connection broke before an answer came, as it does when the control plane is
    /// started again. A change carries a key of its own, so that it happens once.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, Failure> {
        let key = if method == Method::GET { None } else { Some(idempotency_key()?) };
        let request = || {
            let request = self.request(method.clone(), path);
            let request =
                if key.is_some() { request.header(TRACEPARENT, self.trace.parent()) } else { request };
            let request = body.into_iter().fold(request, RequestBuilder::json);
            key.iter().fold(request, |request, key| request.header("idempotency-key", key))
        };
        let broken = match request().send().await {
            Err(error) if broke(&error) => error,
            answer => return answer.map_err(|error| self.lost(&error)),
        };
        let until = Instant::now() + AGAIN_WITHIN;
        loop {
            sleep(AGAIN_EVERY).await;
            match request().send().await {
                Err(error) if error.is_connect() && Instant::now() < until => {}
                Err(error) if error.is_connect() => return Err(self.lost(&broken)),
                answer => return answer.map_err(|error| self.lost(&error)),
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{PREFIX}{path}", self.connection.server);
        let request = self.http.request(method, url).timeout(patience(path));
        request.bearer_auth(self.connection.token.as_str())
    }

    async fn body(&self, mut answer: Response) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.lost(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_LIMIT {
                return Err(Failure::Other(format!("{} answered more than 64 MiB", self.url())));
            }
        }
        Ok(bytes)
    }

    fn lost(&self, error: &reqwest::Error) -> Failure {
        let server = self.connection.server.clone();
        if error.is_timeout() && !error.is_connect() {
            let path = error.url().and_then(|url| url.path().split_once(PREFIX)).map_or("", |(_, path)| path);
            let limit = patience(path).as_secs();
            return Failure::TimedOut(format!("{server} took more than {limit} s to answer"));
        }
        let reason = root_cause(error);
        match distrust(&reason) {
            Some(advice) => {
                Failure::Other(format!("cannot trust the control plane at {server}: {reason}; {advice}"))
            }
            None => Failure::Unreachable { server, reason },
        }
    }
}

/// How long the answer to a call of that path is waited for.
fn patience(path: &str) -> Duration {
    let path = path.split('?').next().unwrap_or_default();
    if ["/audit/verify", "/doctor"].iter().any(|all| path.starts_with(all)) {
        READING_TIMEOUT
    } else if ["/fetch", "/test"].iter().any(|asks| path.ends_with(asks)) {
        ASKING_TIMEOUT
    } else {
        ANSWER_TIMEOUT
    }
}

/// What to do about a certificate that was refused, by rustls' own words; none of them speaks of anything else.
fn distrust(reason: &str) -> Option<&'static str> {
    if !reason.contains("invalid peer certificate") {
        return None;
    }
    Some(if reason.contains("CaUsedAsEndEntity") {
        "its certificate is that of a CA (CA:TRUE): give the server one of its own, made with basicConstraints=CA:FALSE"
    } else if reason.contains("NotValidForName") || reason.contains("not valid for name") {
        "name it by --server as its certificate does"
    } else if reason.contains("Expired") || reason.contains("expired") {
        "it has to be renewed, or a clock is wrong"
    } else {
        "if it is of a CA of yours, name that CA's certificate: SSL_CERT_FILE=FILE"
    })
}

/// A name that is nothing, or that a path takes for a way up, would ask for something else.
fn named(path: &str) -> Result<(), Failure> {
    let mut parts = path.split('?').next().unwrap_or_default().split('/').skip(1);
    match parts.find(|part| matches!(*part, "" | "." | "..")) {
        None => Ok(()),
        Some("") => Err(Failure::Usage("a name is empty; give one".into())),
        Some(dots) => Err(Failure::Usage(format!("`{dots}` is no name; give one with letters or digits"))),
    }
}

/// Whether a connection that was there ended before the answer began.
fn broke(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

fn idempotency_key() -> Result<String, Failure> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| Failure::Other("the system gives no randomness".into()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// A path with the questions that have an answer: `/usage?by=client&since=24h`.
pub(crate) fn query(path: &str, fields: &[(&str, Option<&str>)]) -> String {
    let mut text = path.to_owned();
    for (name, value) in fields.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(&format!("{name}={}", segment(value)));
    }
    text
}

/// The API's `{"error": {...}}` as a failure. Several faults at once stand in `problems`.
fn refused(status: StatusCode, body: &[u8], server: &str) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error").unwrap_or(&Value::Null);
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let problems: Vec<Problem> = error
        .get("problems")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|problem| {
            Some(Problem::new(
                text(problem, "field").unwrap_or_default(),
                text(problem, "message").or_else(|| text(problem, "reason"))?,
            ))
        })
        .collect();
    if !problems.is_empty() {
        return Failure::Problems(problems);
    }
    let message = text(error, "message");
    match (status, message) {
        (StatusCode::UNAUTHORIZED, message) => {
            // Of an operator's token that has ended; what a data plane says of it is about another one.
            let known = text(error, "code").filter(|code| code.starts_with("token_")).and(message);
            let message = known.unwrap_or_else(|| {
                format!(
                    "{server} does not know this admin token; run `keyway login`, or set KEYWAY_ADMIN_TOKEN"
                )
            });
            Failure::Answered { status, message }
        }
        (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, Some(message))
            if text(error, "field").is_some() =>
        {
            let field = text(error, "field").unwrap_or_default();
            // Some name the field in their sentence.
            let field = if message.starts_with(&format!("`{field}`")) { String::new() } else { field };
            Failure::Problems(vec![Problem::new(field, message)])
        }
        (_, Some(message)) => Failure::Answered { status, message: visible(&message) },
        (_, None) => {
            let message = format!(
                "{server} answered {status} without saying why; is it Keyway's admin address (8600)?"
            );
            // What is not the API does not know what is there: exit 3 would be a lie.
            match status {
                StatusCode::NOT_FOUND => Failure::Other(message),
                _ => Failure::Answered { status, message },
            }
        }
    }
}

/// One line, whatever a name in it holds.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The innermost cause: `Connection refused` rather than four layers of wrapping.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_is_waited_for_longer() {
        for (path, seconds) in [
            ("/audit/verify", 610),
            ("/doctor?deep=true", 610),
            ("/keys/openai/main/fetch", 180),
            ("/providers/openai/test", 180),
            ("/keys/openai/main/rotate", 60),
            ("/audit?limit=1", 60),
        ] {
            assert_eq!(patience(path).as_secs(), seconds, "{path}");
        }
    }
}
