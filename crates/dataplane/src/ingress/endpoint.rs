//! Paths that callers use, and the dialect that each speaks.

use crate::refusal::Refusal;
use http::{HeaderMap, Method};
use keyway_snapshot::{Dialect, Endpoint};

/// What a path and method ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// A call to a model.
    Call(Endpoint),
    /// The list of models, or one of them.
    Models(Option<&'a str>),
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

/// What is asked for.
///
/// # Errors
/// Unknown paths, wrong methods, endpoints that are not served.
pub(crate) fn endpoint<'a>(method: &Method, path: &'a str) -> Result<Asked<'a>, Refusal> {
    let rest = path.strip_prefix("/anthropic").unwrap_or(path);
    let Some(rest) = rest.strip_prefix("/v1") else { return Err(Refusal::no_such_path()) };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let endpoint = match rest {
        "/chat/completions" => Endpoint::ChatCompletions,
        "/messages" => Endpoint::Messages,
        "/responses" => Endpoint::Responses,
        "/embeddings" => Endpoint::Embeddings,
        "/completions" => Endpoint::Completions,
        "/messages/count_tokens" => Endpoint::CountTokens,
        "/moderations" => Endpoint::Moderations,
        "/images/generations" => Endpoint::ImagesGenerations,
        "/images/edits" => Endpoint::ImagesEdits,
        "/images/variations" => Endpoint::ImagesVariations,
        "/audio/speech" => Endpoint::AudioSpeech,
        "/audio/transcriptions" => Endpoint::AudioTranscriptions,
        "/audio/translations" => Endpoint::AudioTranslations,
        _ => return other(method, rest),
    };
    if method == Method::POST { Ok(Asked::Call(endpoint)) } else { Err(Refusal::wrong_method("POST")) }
}

fn other<'a>(method: &Method, rest: &'a str) -> Result<Asked<'a>, Refusal> {
    let under =
        |prefix: &str| rest.strip_prefix(prefix).filter(|tail| tail.is_empty() || tail.starts_with('/'));
    if let Some(id) = under("/models") {
        if method != Method::GET && method != Method::HEAD {
            return Err(Refusal::wrong_method("GET"));
        }
        return Ok(Asked::Models(id.strip_prefix('/')));
    }
    if under("/realtime").is_some() {
        return Err(Refusal::wrong_method("no method yet: realtime is not served"));
    }
    let stored = under("/responses/input_tokens").is_none()
        && (under("/responses").is_some() || under("/messages/batches").is_some());
    if stored || STORED.iter().any(|prefix| under(prefix).is_some()) {
        let message = "this endpoint names objects stored at a provider, which Keyway does not keep apart by client yet";
        return Err(Refusal::unsupported(message, None));
    }
    Err(Refusal::no_such_path())
}

/// The dialect in which an endpoint is spoken, by the endpoint alone.
pub(crate) fn dialect_of(endpoint: Endpoint) -> Dialect {
    match endpoint {
        Endpoint::Messages | Endpoint::CountTokens => Dialect::AnthropicMessages,
        Endpoint::Rerank => Dialect::CohereChat,
        Endpoint::Responses => Dialect::OpenaiResponses,
        Endpoint::Unspecified
        | Endpoint::ChatCompletions
        | Endpoint::Completions
        | Endpoint::Embeddings
        | Endpoint::ImagesGenerations
        | Endpoint::ImagesEdits
        | Endpoint::ImagesVariations
        | Endpoint::AudioSpeech
        | Endpoint::AudioTranscriptions
        | Endpoint::AudioTranslations
        | Endpoint::Moderations
        | Endpoint::Models => Dialect::OpenaiChat,
    }
}

/// The dialect for errors and lists where the path does not decide.
pub(crate) fn dialect_by(path: &str, headers: &HeaderMap) -> Dialect {
    if path == "/v1/chat/completions" {
        return Dialect::OpenaiChat;
    }
    if path.starts_with("/anthropic")
        || path.contains("/messages")
        || headers.contains_key("anthropic-version")
    {
        Dialect::AnthropicMessages
    } else if path.ends_with("/responses") {
        Dialect::OpenaiResponses
    } else if path.starts_with("/v1beta") || headers.contains_key("x-goog-api-key") {
        Dialect::Gemini
    } else {
        Dialect::OpenaiChat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let asked = |method: Method, path| endpoint(&method, path).map_err(|refusal| refusal.0.status);
        assert_eq!(asked(Method::POST, "/v1/chat/completions"), Ok(Asked::Call(Endpoint::ChatCompletions)));
        assert_eq!(asked(Method::POST, "/anthropic/v1/messages"), Ok(Asked::Call(Endpoint::Messages)));
        assert_eq!(asked(Method::GET, "/v1/models"), Ok(Asked::Models(None)));
        assert_eq!(asked(Method::GET, "/v1/models/openai/gpt-4o"), Ok(Asked::Models(Some("openai/gpt-4o"))));
        for (method, path, status) in [
            (Method::GET, "/v1/chat/completions", 405),
            (Method::GET, "/v1/responses/resp_1", 400),
            (Method::POST, "/v1/responses/resp_1/cancel", 400),
            (Method::POST, "/v1/files", 400),
            (Method::GET, "/v1/batches/b", 400),
            (Method::POST, "/v1/messages/batches", 400),
            (Method::GET, "/v1/realtime", 405),
            (Method::POST, "/v1/modelsx", 404),
            (Method::GET, "/", 404),
        ] {
            assert_eq!(asked(method, path), Err(status), "{path}");
        }
    }
}
