//! An operator of the admin API over REST. Answers are given as they come; whoever wants a good one says so.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::Value;

use crate::gateway::Outcome;

/// One call: a rotation's takes up to 15 s.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Who calls.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
    url: String,
    token: String,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The body; null where it is no JSON.
    pub json: Value,
}

impl Admin {
    /// An operator with this token.
    pub fn new(url: &str, token: &str) -> Outcome<Self> {
        // A connection that a killed control plane left behind must never fail the next call.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build()?;
        Ok(Self { client, url: url.to_owned(), token: token.to_owned() })
    }

    /// The same control plane with another token; none if it is empty.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Calls.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome<Answered> {
        self.call_if(method, path, body, None).await
    }

    /// Calls with `if-match`.
    pub async fn call_if(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        version: Option<u64>,
    ) -> Outcome<Answered> {
        let version = version.map(|version| ("if-match", version.to_string()));
        self.call_with(method, path, body, version).await
    }

    /// Posts under an idempotency key.
    pub async fn post_once(&self, path: &str, body: &Value, key: &str) -> Outcome<Answered> {
        let key = Some(("idempotency-key", key.to_owned()));
        self.call_with(Method::POST, path, Some(body), key).await
    }

    async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        header: Option<(&str, String)>,
    ) -> Outcome<Answered> {
        let mut request = self.client.request(method, format!("{}/api/v1{path}", self.url));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let json = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        Ok(Answered { status, json })
    }

    /// What a GET gives; any other status than 200 is an error.
    pub async fn get(&self, path: &str) -> Outcome<Value> {
        self.call(Method::GET, path, None).await?.good()
    }

    /// What a GET gives as text; any other status than 200 is an error.
    pub async fn text(&self, path: &str) -> Outcome<String> {
        let request = self.client.get(format!("{}/api/v1{path}", self.url)).bearer_auth(&self.token);
        Ok(request.send().await?.error_for_status()?.text().await?)
    }

    /// What a POST gives; any other status than 2xx is an error.
    pub async fn post(&self, path: &str, body: Value) -> Outcome<Value> {
        self.call(Method::POST, path, Some(&body)).await?.good()
    }

    /// Asks until `found` gives a value, for `within` at most.
    pub async fn until<T>(
        &self,
        within: Duration,
        path: &str,
        found: impl Fn(&Value) -> Option<T>,
    ) -> Outcome<T> {
        let end = Instant::now() + within;
        loop {
            let last = self.get(path).await;
            if let Some(value) = last.as_ref().ok().and_then(&found) {
                return Ok(value);
            }
            if Instant::now() >= end {
                return Err(format!("not within {within:?}: {path}: {last:?}").into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Answered {
    /// The body, if the status is 2xx.
    pub fn good(self) -> Outcome<Value> {
        match self.status {
            200..=299 => Ok(self.json),
            status => Err(format!("status {status}: {}", self.json).into()),
        }
    }

    /// `error.code`.
    #[must_use]
    pub fn code(&self) -> &str {
        self.json.pointer("/error/code").and_then(Value::as_str).unwrap_or_default()
    }
}
