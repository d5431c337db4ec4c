//! Paths that callers use, and the dialect that each speaks.

mod in_path;

#[cfg(test)]
mod tests;

use crate::refusal::Refusal;
use http::{HeaderMap, Method, header};
use in_path::{InPath, in_path, versioned};
use keyway_dialect::scan::plain_name;
use keyway_snapshot::{Dialect, Endpoint};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// What a path and method ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A call to a model.
    Call(Called),
    /// The list of models, or one of them.
    Models(Option<Box<str>>),
}

/// A call, as far as its path tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Called {
    pub(crate) endpoint: Endpoint,
    pub(crate) dialect: Dialect,
    /// `None` = the body names it.
    pub(crate) model: Option<Box<str>>,
    /// `None` = the body says it.
    pub(crate) stream: Option<bool>,
}

// Endpoints that name objects stored at a provider: one client must never reach another's.
const STORED: [&str; 9] = [
    "/files",
    "/batches",
    "/uploads",
    "/assistants",
    "/threads",
    "/vector_stores",
    "/fine_tuning",
    "/conversations",
    "/containers",
];
/// The same of Google's, behind the version; some of them with `/upload` before it.
const STORED_BY_GOOGLE: [&str; 6] =
    ["files", "batches", "cachedContents", "tunedModels", "corpora", "fileSearchStores"];

/// What is asked for.
///
/// # Errors
/// Unknown paths, wrong methods, endpoints that are not served.
pub(crate) fn endpoint(method: &Method, path: &str) -> Result<Asked, Refusal> {
    let called = match fixed(trimmed(path)) {
        Some((dialect, endpoint)) => Called { endpoint, dialect, model: None, stream: None },
        None => match named(path)? {
            Some(called) => called,
            None => return other(method, path),
        },
    };
    if method == Method::POST { Ok(Asked::Call(called)) } else { Err(Refusal::wrong_method("POST")) }
}

/// Paths of calls whose body names the model.
fn fixed(path: &str) -> Option<(Dialect, Endpoint)> {
    let path = path.strip_prefix("/anthropic").unwrap_or(path);
    Some(match path {
        "/v1/chat/completions" => (Dialect::OpenaiChat, Endpoint::ChatCompletions),
        "/v1/messages" => (Dialect::AnthropicMessages, Endpoint::Messages),
        "/v1/responses" => (Dialect::OpenaiResponses, Endpoint::Responses),
        "/v1/embeddings" => (Dialect::OpenaiChat, Endpoint::Embeddings),
        "/v1/completions" => (Dialect::OpenaiChat, Endpoint::Completions),
        "/v1/messages/count_tokens" => (Dialect::AnthropicMessages, Endpoint::CountTokens),
        "/v1/responses/input_tokens" => (Dialect::OpenaiResponses, Endpoint::CountTokens),
        "/v1/moderations" => (Dialect::OpenaiChat, Endpoint::Moderations),
        "/v1/images/generations" => (Dialect::OpenaiChat, Endpoint::ImagesGenerations),
        "/v1/images/edits" => (Dialect::OpenaiChat, Endpoint::ImagesEdits),
        "/v1/images/variations" => (Dialect::OpenaiChat, Endpoint::ImagesVariations),
        "/v1/audio/speech" => (Dialect::OpenaiChat, Endpoint::AudioSpeech),
        "/v1/audio/transcriptions" => (Dialect::OpenaiChat, Endpoint::AudioTranscriptions),
        "/v1/audio/translations" => (Dialect::OpenaiChat, Endpoint::AudioTranslations),
        "/v2/chat" => (Dialect::CohereChat, Endpoint::ChatCompletions),
        "/v2/embed" => (Dialect::CohereChat, Endpoint::Embeddings),
        // The second and third are where servers have it that are compatible in this alone.
        "/v2/rerank" | "/v1/rerank" | "/rerank" => (Dialect::CohereChat, Endpoint::Rerank),
        _ => return None,
    })
}

fn trimmed(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The path with its escapes undone, once.
fn decoded(path: &str) -> Result<Cow<'_, str>, Refusal> {
    let decoded = percent_decode_str(trimmed(path)).decode_utf8();
    decoded.map_err(|_| Refusal::invalid("the path is not UTF-8", "invalid_path", None))
}

/// A call whose path names the model.
fn named(path: &str) -> Result<Option<Called>, Refusal> {
    let path = decoded(path)?;
    let Some(InPath { dialect, endpoint, stream, publisher, model }) = in_path(&path) else {
        return Ok(None);
    };
    if model.is_empty() {
        let message = "the path names no model";
        return Err(Refusal::invalid(message, "missing_model", Some("model".to_owned())));
    }
    let model = match publisher {
        Some(publisher) => format!("{publisher}/{model}").into(),
        None => model.into(),
    };
    Ok(Some(Called { endpoint, dialect, model: Some(model), stream: Some(stream) }))
}

fn other(method: &Method, path: &str) -> Result<Asked, Refusal> {
    let path = decoded(path)?;
    if let Some(id) = models(&path) {
        if method == Method::GET || method == Method::HEAD {
            let id = id.strip_prefix('/').map(plain_name).filter(|id| !id.is_empty());
            return Ok(Asked::Models(id.map(Into::into)));
        }
        // Of a method of Google's that is not served, or of none at all.
        return Err(if id.contains(':') { Refusal::no_such_path() } else { Refusal::wrong_method("GET") });
    }
    if is_stored(&path) {
        let message = "this endpoint names objects stored at a provider, which Keyway does not keep apart by client yet";
        return Err(Refusal::unsupported(message, None));
    }
    if path.strip_prefix("/v1").is_some_and(|rest| is_under(rest, "/realtime")) {
        return Err(Refusal::wrong_method("no method yet: realtime is not served"));
    }
    Err(Refusal::no_such_path())
}

/// What stands behind `models` in a path of lists: nothing, or a slash and a name.
fn models(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/anthropic").unwrap_or(path);
    let rest = versioned(path)?;
    let rest = rest.strip_prefix("publishers/google/").unwrap_or(rest);
    rest.strip_prefix("models").filter(|tail| tail.is_empty() || tail.starts_with('/'))
}

fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|tail| tail.is_empty() || tail.starts_with('/'))
}

fn is_stored(path: &str) -> bool {
    let of_google = versioned(path.strip_prefix("/upload").unwrap_or(path));
    let kinds = |rest: &str| STORED_BY_GOOGLE.iter().any(|kind| is_under(rest, kind));
    if of_google.is_some_and(kinds) {
        return true;
    }
    let path = path.strip_prefix("/anthropic").unwrap_or(path);
    let Some(rest) = path.strip_prefix("/v1") else { return false };
    let stored = ["/responses", "/messages/batches"];
    stored.iter().chain(&STORED).any(|prefix| is_under(rest, prefix))
}

/// The dialect for errors and lists, by the path where it decides.
pub(crate) fn dialect_by(path: &str, headers: &HeaderMap) -> Dialect {
    if let Some((dialect, _)) = fixed(trimmed(path)) {
        return dialect;
    }
    let path = decoded(path).unwrap_or_default();
    if let Some(found) = in_path(&path) {
        found.dialect
    } else if path.starts_with("/anthropic")
        || path.contains("/messages")
        || headers.contains_key("anthropic-version")
    {
        Dialect::AnthropicMessages
    } else if path.starts_with("/model/") {
        Dialect::BedrockConverse
    } else if is_of_google(&path) || headers.contains_key("x-goog-api-key") {
        Dialect::Gemini
    } else if path.starts_with("/v2/") || is_of_cohere(headers) {
        Dialect::CohereChat
    } else {
        Dialect::OpenaiChat
    }
}

/// Versions that only Google has, uploads, and names of projects and publishers.
fn is_of_google(path: &str) -> bool {
    let path = path.strip_prefix("/upload").unwrap_or(path);
    let rest = versioned(path);
    let own = rest.is_some() && !path.starts_with("/v1/");
    own || rest.is_some_and(|rest| rest.starts_with("projects/") || rest.starts_with("publishers/"))
}

/// Cohere's SDK has paths of OpenAI's, and says who it is.
fn is_of_cohere(headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).is_some_and(|value| value.as_bytes().starts_with(b"cohere"));
    says("x-fern-sdk-name") || says(header::USER_AGENT.as_str())
}
