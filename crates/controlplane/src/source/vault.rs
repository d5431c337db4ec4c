//! A value in HashiCorp Vault or OpenBao, by their key-value engine, versions 1 and 2. Each look logs in, reads, and gives
//! the token back, unless the token is an agent's.

use super::{SourceError, file, http};
use keyway_config::{VaultAuth, VaultSource};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const TOKEN: &str = "x-vault-token";
const NAMESPACE: &str = "x-vault-namespace";
/// Agents want it, as a guard against requests that a browser was made to send.
const REQUEST: &str = "x-vault-request";

/// Talks to one Vault.
struct Vault<'a> {
    client: Client,
    at: &'a VaultSource,
}

/// A token, and whether it was made for this look alone.
struct Token {
    text: Zeroizing<String>,
    own: bool,
}

#[derive(Deserialize)]
struct Login {
    auth: Granted,
}

#[derive(Deserialize)]
struct Granted {
    client_token: String,
}

/// What it holds now.
pub(super) async fn read(at: &VaultSource) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let ca = match &at.ca {
        Some(path) => Some(file::read_public(path).await?),
        None => None,
    };
    let vault = Vault { client: http::client(ca.as_deref().map(Vec::as_slice))?, at };
    let token = vault.log_in(&at.auth).await?;
    let read = vault.value(&token).await;
    if token.own {
        vault.give_back(&token).await;
    }
    read
}

// === impl Vault ===

impl Vault<'_> {
    async fn log_in(&self, auth: &VaultAuth) -> Result<Token, SourceError> {
        if let Some(path) = &auth.token_file {
            return Ok(Token { text: text(&file::read(path).await?)?, own: false });
        }
        let (mount, body) = if let Some(account) = &auth.kubernetes {
            let jwt = file::read_public(account.jwt_file.as_deref().unwrap_or(SERVICE_ACCOUNT)).await?;
            let body = json!({ "role": account.role, "jwt": text(&jwt)?.as_str() });
            (account.mount.as_deref().unwrap_or("kubernetes"), body)
        } else if let Some(role) = &auth.approle {
            let secret = file::read(&role.secret_id_file).await?;
            let body = json!({ "role_id": role.role_id, "secret_id": text(&secret)?.as_str() });
            (role.mount.as_deref().unwrap_or("approle"), body)
        } else {
            return Err(SourceError::NotThere);
        };
        let request = self.client.post(self.url(&format!("auth/{mount}/login"))).json(&body);
        let answer = self.sent(request, None).await?;
        if !answer.status().is_success() {
            return Err(SourceError::VaultLogin {
                mount: mount.to_owned(),
                status: answer.status().as_u16(),
            });
        }
        let login: Login = parsed(&http::body(answer).await?)?;
        Ok(Token { text: Zeroizing::new(login.auth.client_token), own: true })
    }

    async fn value(&self, token: &Token) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        let mount = self.at.mount.as_deref().unwrap_or("secret");
        let second = self.at.version.unwrap_or(2) == 2;
        let path = format!("{mount}/{}{}", if second { "data/" } else { "" }, self.at.path);
        let answer = self.sent(self.client.get(self.url(&path)), Some(token)).await?;
        let status = answer.status();
        let body: Value = match status {
            StatusCode::OK | StatusCode::NOT_FOUND => parsed(&http::body(answer).await?)?,
            _ => return Err(refused(status, path)),
        };
        if status == StatusCode::NOT_FOUND {
            return Err(absent(&body, path));
        }
        let field = self.at.field.as_deref().unwrap_or("value");
        // Of version 2 the fields lie one deeper, beside what is known of the version.
        let fields = body.pointer(if second { "/data/data" } else { "/data" });
        let found = fields.and_then(|fields| fields.get(field)).and_then(Value::as_str);
        let found = found.ok_or_else(|| SourceError::VaultField { path, field: field.to_owned() })?;
        Ok(Zeroizing::new(found.as_bytes().to_vec()))
    }

    /// A token that was made for this look ends with it, instead of lying there until its lease ends.
    async fn give_back(&self, token: &Token) {
        let request = self.client.post(self.url("auth/token/revoke-self"));
        match self.sent(request, Some(token)).await {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => tracing::warn!(
                status = answer.status().as_u16(),
                "Vault did not take a token back; it ends with its lease"
            ),
            Err(error) => tracing::warn!(%error, "Vault did not take a token back; it ends with its lease"),
        }
    }

    async fn sent(
        &self,
        request: reqwest::RequestBuilder,
        token: Option<&Token>,
    ) -> Result<Response, SourceError> {
        let mut request = request.header(REQUEST, "true");
        if let Some(namespace) = &self.at.namespace {
            request = request.header(NAMESPACE, namespace);
        }
        if let Some(token) = token {
            let mut value = reqwest::header::HeaderValue::from_str(&token.text)
                .map_err(|_| SourceError::Unsound("as Vault's token fits no header".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(TOKEN, value);
        }
        request.send().await.map_err(http::lost)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{}", self.at.address.trim_end_matches('/'), path.replace(' ', "%20"))
    }
}

/// Why there is no value. A version that is there may have a time of deletion too: one to come.
fn absent(body: &Value, path: String) -> SourceError {
    let of_version = |field: &str| body.pointer("/data/metadata").and_then(|metadata| metadata.get(field));
    let deleted = of_version("deletion_time").and_then(Value::as_str).is_some_and(|at| !at.is_empty());
    let destroyed = of_version("destroyed").and_then(Value::as_bool).unwrap_or(false);
    if deleted || destroyed { SourceError::VaultDeleted(path) } else { SourceError::VaultMissing(path) }
}

fn refused(status: StatusCode, path: String) -> SourceError {
    match status.as_u16() {
        403 => SourceError::VaultDenied(path),
        503 => SourceError::VaultSealed,
        status => SourceError::VaultStatus { path, status },
    }
}

fn parsed<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(bytes).map_err(|_| SourceError::Unsound("is no answer of Vault's".to_owned()))
}

fn text(bytes: &[u8]) -> Result<Zeroizing<String>, SourceError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| SourceError::Unsound("is no text in UTF-8".to_owned()))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, Router, routing::any};
    use std::io::Write;

    /// What a look at a Vault says that answers like this.
    async fn of(status: StatusCode, answer: Value) -> Result<String, String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answers = Router::new().fallback(any(move || async move { (status, Json(answer)) }));
        let server = tokio::spawn(async move { axum::serve(listener, answers).await });
        let mut token = tempfile::NamedTempFile::new().unwrap();
        token.write_all(b"s.token").unwrap();
        let at = json!({
            "address": address, "path": "p", "auth": { "token_file": token.path() },
        });
        let read = read(&serde_json::from_value(at).unwrap()).await;
        server.abort();
        read.map(|bytes| text(&bytes).unwrap().to_string()).map_err(|error| error.to_string())
    }

    fn version(fields: Value, deletion_time: &str, destroyed: bool) -> Value {
        json!({ "data": { "data": fields, "metadata": { "deletion_time": deletion_time, "destroyed": destroyed } } })
    }

    #[tokio::test]
    async fn a_version_is_deleted_only_once_it_is_not_there_any_more() {
        let later = version(json!({ "value": "sk-1" }), "2099-01-01T00:00:00Z", false);
        assert_eq!(of(StatusCode::OK, later).await.unwrap(), "sk-1");
        let deleted = version(Value::Null, "2020-01-01T00:00:00Z", false);
        let destroyed = version(Value::Null, "", true);
        for answer in [deleted, destroyed] {
            let words = of(StatusCode::NOT_FOUND, answer).await.unwrap_err();
            assert!(words.contains("is deleted or destroyed"), "{words}");
        }
        let words = of(StatusCode::NOT_FOUND, json!({ "errors": [] })).await.unwrap_err();
        assert!(words.contains("has nothing at"), "{words}");
    }
}
