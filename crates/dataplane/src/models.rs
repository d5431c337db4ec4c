//! `GET /v1/models`: what this client may use, in the shape that its SDK reads.

use crate::{ingress::dialect_by, refusal::Refusal, reply::ReplyBody};
use http::{HeaderValue, Response, header, request::Parts};
use keyway_snapshot::{Client, Dialect, Endpoint, Resolved, Snapshot, Target};
use serde_json::{Value, json};

/// No model of a provider tells when it was made; OpenAI's SDK wants a number and Anthropic's a time.
const CREATED: u64 = 0;
const CREATED_AT: &str = "1970-01-01T00:00:00Z";

#[derive(Clone, Copy)]
enum Shape {
    Openai,
    Anthropic,
    Gemini,
    Cohere,
}

/// What is known of a name.
struct Known<'a> {
    name: &'a str,
    /// Of its first target; a chat where nobody says.
    serves: Endpoint,
    /// What every one of its targets takes.
    context_window: Option<u64>,
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
    let shape = match dialect_by(head.uri.path(), &head.headers) {
        Dialect::AnthropicMessages => Shape::Anthropic,
        Dialect::Gemini => Shape::Gemini,
        Dialect::CohereChat => Shape::Cohere,
        Dialect::Unspecified | Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::BedrockConverse => {
            Shape::Openai
        }
    };
    let body = match id {
        Some(id) => {
            let resolved = snapshot.resolve(client, id).map_err(|refused| Refusal::model(&refused))?;
            one(shape, &Known::of(id, &resolved))
        }
        None => all(shape, snapshot, &snapshot.models_of(client)),
    };
    let mut response = Response::new(ReplyBody::Whole(body.to_string().into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn all(shape: Shape, snapshot: &Snapshot, names: &[&str]) -> Value {
    let known = names.iter().filter_map(|name| Some((name, snapshot.lookup(name).ok()?)));
    let data: Vec<Value> = known.map(|(name, resolved)| one(shape, &Known::of(name, &resolved))).collect();
    match shape {
        Shape::Openai => json!({ "object": "list", "data": data }),
        Shape::Anthropic => json!({
            "data": data,
            "has_more": false,
            "first_id": names.first(),
            "last_id": names.last(),
        }),
        Shape::Gemini | Shape::Cohere => json!({ "models": data }),
    }
}

fn one(shape: Shape, known: &Known<'_>) -> Value {
    let name = known.name;
    let owner = name.split_once('/').map_or("keyway", |(provider, _)| provider);
    match shape {
        Shape::Openai => json!({ "id": name, "object": "model", "created": CREATED, "owned_by": owner }),
        Shape::Anthropic => {
            json!({ "type": "model", "id": name, "display_name": name, "created_at": CREATED_AT })
        }
        Shape::Gemini => {
            let methods = match known.serves {
                Endpoint::ChatCompletions => &["generateContent"][..],
                Endpoint::Embeddings => &["embedContent"],
                _ => &[],
            };
            let model = json!({
                "name": format!("models/{name}"),
                "displayName": name,
                "supportedGenerationMethods": methods,
            });
            with(model, "inputTokenLimit", known.context_window)
        }
        Shape::Cohere => {
            let endpoints = match known.serves {
                Endpoint::ChatCompletions => &["chat"][..],
                Endpoint::Embeddings => &["embed"],
                Endpoint::Rerank => &["rerank"],
                _ => &[],
            };
            with(json!({ "name": name, "endpoints": endpoints }), "context_length", known.context_window)
        }
    }
}

/// The model with one thing more, where it is known.
fn with(mut model: Value, key: &str, value: Option<u64>) -> Value {
    if let (Some(value), Some(members)) = (value, model.as_object_mut()) {
        members.insert(key.to_owned(), value.into());
    }
    model
}

// === impl Known ===

impl<'a> Known<'a> {
    fn of(name: &'a str, resolved: &Resolved) -> Self {
        let targets: Vec<&Target> = match resolved {
            Resolved::Target(target) => vec![target],
            Resolved::Alias(alias) => alias.targets.iter().map(|(target, ..)| &**target).collect(),
        };
        let serves = targets.first().map_or(Endpoint::Unspecified, |target| target.serves);
        let serves = if serves == Endpoint::Unspecified { Endpoint::ChatCompletions } else { serves };
        let windows: Option<Vec<u64>> = targets.iter().map(|target| target.context_window).collect();
        Self { name, serves, context_window: windows.and_then(|windows| windows.into_iter().min()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_model() {
        let known = Known { name: "fast", serves: Endpoint::Embeddings, context_window: Some(8192) };
        let gemini = json!({
            "name": "models/fast",
            "displayName": "fast",
            "supportedGenerationMethods": ["embedContent"],
            "inputTokenLimit": 8192,
        });
        assert_eq!(one(Shape::Gemini, &known), gemini);
        let cohere = json!({ "name": "fast", "endpoints": ["embed"], "context_length": 8192 });
        assert_eq!(one(Shape::Cohere, &known), cohere);
        let unknown = Known { context_window: None, ..known };
        assert_eq!(one(Shape::Cohere, &unknown), json!({ "name": "fast", "endpoints": ["embed"] }));
        assert_eq!(one(Shape::Openai, &unknown)["id"], "fast");
    }
}
