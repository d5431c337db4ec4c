//! A small Vault for tests, on the simulated provider: logins by role and by Kubernetes account, key-value engines of
//! version 1 (`kv1`) and 2 (`secret`), made after the API's documents. No Vault runs here; what it holds is only as
//! true as those documents were read.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::provider::{Provider, Reply, Seen, Whole};

/// The one role.
pub const ROLE: &str = "keyway";
/// The id of its secret.
pub const SECRET_ID: &str = "vault-secret-id-0123456789";
/// What Kubernetes says of the pod.
pub const JWT: &str = "vault-jwt-0123456789";
/// A token that an agent has.
pub const AGENT_TOKEN: &str = "hvs.vault-agent-token-0123456789";

/// A running one.
#[derive(Debug)]
pub struct Vault {
    provider: Provider,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// By path; deleted = null.
    values: BTreeMap<String, Value>,
    /// Made by logins and not given back.
    tokens: Vec<String>,
    made: u64,
    sealed: bool,
}

// === impl Vault ===

impl Vault {
    /// Starts an empty one.
    pub fn start() -> io::Result<Self> {
        let provider = Provider::start()?;
        let held = Arc::new(Mutex::new(Held::default()));
        let there = Arc::clone(&held);
        provider.decide(move |seen| {
            let (status, body) = there.lock().answer(seen);
            let body = if body.is_null() { String::new() } else { body.to_string() };
            Reply::Whole(Whole { status, body: body.into(), ..Whole::default() })
        });
        Ok(Self { provider, held })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.provider.base_url().trim_end_matches("/v1").to_owned()
    }

    /// Writes a value with these fields; null deletes its newest version.
    pub fn put(&self, path: &str, fields: Value) {
        self.held.lock().values.insert(path.to_owned(), fields);
    }

    /// Seals or unseals it.
    pub fn seal(&self, sealed: bool) {
        self.held.lock().sealed = sealed;
    }

    /// Tokens that logins made: all of them, and those that were not given back.
    #[must_use]
    pub fn tokens(&self) -> (u64, usize) {
        let held = self.held.lock();
        (held.made, held.tokens.len())
    }
}

// === impl Held ===

impl Held {
    fn answer(&mut self, seen: &Seen) -> (u16, Value) {
        if self.sealed {
            return (503, json!({ "errors": ["Vault is sealed"] }));
        }
        let body = seen.json();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match (seen.method(), seen.path()) {
            ("POST", "/v1/auth/approle/login") => {
                self.log_in(text("role_id") == ROLE && text("secret_id") == SECRET_ID)
            }
            ("POST", "/v1/auth/kubernetes/login") => self.log_in(text("role") == ROLE && text("jwt") == JWT),
            (method, path) => {
                let token = seen.header("x-vault-token").unwrap_or_default();
                let known = token == AGENT_TOKEN || self.tokens.iter().any(|one| one == token);
                match (known, method, path) {
                    (false, ..) => (403, json!({ "errors": ["permission denied"] })),
                    (true, "POST", "/v1/auth/token/revoke-self") => {
                        self.tokens.retain(|one| one != token);
                        (204, Value::Null)
                    }
                    (true, "GET", path) => self.value(path),
                    (true, ..) => (405, json!({ "errors": [] })),
                }
            }
        }
    }

    fn log_in(&mut self, right: bool) -> (u16, Value) {
        if !right {
            return (400, json!({ "errors": ["invalid role or secret ID"] }));
        }
        self.made += 1;
        let token = format!("hvs.made-{:04}-0123456789", self.made);
        self.tokens.push(token.clone());
        (200, json!({ "auth": { "client_token": token, "lease_duration": 3600, "renewable": true } }))
    }

    fn value(&self, path: &str) -> (u16, Value) {
        let missing = (404, json!({ "errors": [] }));
        if let Some(path) = path.strip_prefix("/v1/secret/data/") {
            return match self.values.get(path) {
                None => missing,
                Some(Value::Null) => {
                    let gone =
                        json!({ "version": 2, "deletion_time": "2026-01-01T00:00:00Z", "destroyed": false });
                    (404, json!({ "data": { "data": null, "metadata": gone } }))
                }
                Some(fields) => {
                    let metadata = json!({ "version": 1, "deletion_time": "", "destroyed": false });
                    (200, json!({ "lease_duration": 0, "data": { "data": fields, "metadata": metadata } }))
                }
            };
        }
        let value = path.strip_prefix("/v1/kv1/").and_then(|path| self.values.get(path));
        value.map_or(missing, |fields| (200, json!({ "lease_duration": 2_764_800, "data": fields })))
    }
}
