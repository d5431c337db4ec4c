//! `GET /v1/models`: what this client may use, in the shape that its SDK reads.

use crate::{refusal::Refusal, reply::ReplyBody};
use http::{HeaderValue, Response, header, request::Parts};
use keyway_snapshot::{Client, Snapshot};
use serde_json::{Value, json};

/// No model of a provider tells when it was made; OpenAI's SDK wants a number and Anthropic's a time.
const CREATED: u64 = 0;
const CREATED_AT: &str = "1970-01-01T00:00:00Z";

#[derive(Clone, Copy)]
enum Shape {
    Openai,
    Anthropic,
    Gemini,
}

/// The list, or the one model that is asked for.
///
/// # Errors
/// A model that does not exist or may not be used.
pub(crate) fn list(
    snapshot: &Snapshot,
    client: &Client,
    head: &Parts,
    id: Option<&str>,
) -> Result<Response<ReplyBody>, Refusal> {
    let shape = if head.headers.contains_key("anthropic-version") {
        Shape::Anthropic
    } else if head.headers.contains_key("x-goog-api-key") {
        Shape::Gemini
    } else {
        Shape::Openai
    };
    let body = match id {
        Some(id) => {
            snapshot.resolve(client, id).map_err(|refused| Refusal::model(&refused))?;
            one(shape, id)
        }
        None => all(shape, &snapshot.models_of(client)),
    };
    let mut response = Response::new(ReplyBody::Whole(body.to_string().into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn all(shape: Shape, names: &[&str]) -> Value {
    let data: Vec<Value> = names.iter().map(|name| one(shape, name)).collect();
    match shape {
        Shape::Openai => json!({ "object": "list", "data": data }),
        Shape::Anthropic => json!({
            "data": data,
            "has_more": false,
            "first_id": names.first(),
            "last_id": names.last(),
        }),
        Shape::Gemini => json!({ "models": data }),
    }
}

fn one(shape: Shape, name: &str) -> Value {
    let owner = name.split_once('/').map_or("keyway", |(provider, _)| provider);
    match shape {
        Shape::Openai => json!({ "id": name, "object": "model", "created": CREATED, "owned_by": owner }),
        Shape::Anthropic => {
            json!({ "type": "model", "id": name, "display_name": name, "created_at": CREATED_AT })
        }
        Shape::Gemini => json!({ "name": format!("models/{name}"), "displayName": name }),
    }
}
