//! A file as JSON on its way to the admin API, secrets included.

use serde_json::{Value, json};

use crate::{Client, File, Provider};

/// The whole file as JSON with every secret in clear: for the body of a request to the admin API and nothing else.
/// Reading it as a [`File`] gives the same file. `None` only if a value cannot be written as JSON.
#[must_use]
pub fn wire(file: &File) -> Option<Value> {
    let mut value = serde_json::to_value(file).ok()?;
    for (name, provider) in &file.providers {
        add_provider(value.get_mut("providers")?.get_mut(name)?, provider);
    }
    for (name, client) in &file.clients {
        add_client(value.get_mut("clients")?.get_mut(name)?, client);
    }
    Some(value)
}

fn add_provider(value: &mut Value, provider: &Provider) {
    if let (Some(secret), Some(fields)) = (&provider.api_key, value.as_object_mut()) {
        fields.insert("api_key".into(), json!(secret.expose()));
    }
    let written = value.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten();
    for (fields, key) in written.zip(&provider.keys) {
        if let (Some(secret), Some(fields)) = (&key.secret, fields.as_object_mut()) {
            fields.insert("secret".into(), json!(secret.expose()));
        }
    }
}

fn add_client(value: &mut Value, client: &Client) {
    if let (Some(token), Some(fields)) = (&client.token, value.as_object_mut()) {
        fields.insert("token".into(), json!(token.expose()));
    }
    let secret = client.sigv4.as_ref().and_then(|pair| pair.secret_access_key.as_ref());
    let fields = value.get_mut("sigv4").and_then(Value::as_object_mut);
    if let (Some(secret), Some(fields)) = (secret, fields) {
        fields.insert("secret_access_key".into(), json!(secret.expose()));
    }
}

/// The JSON Schema of `keyway.yaml`, made from the types that read it.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(File).to_value()
}
