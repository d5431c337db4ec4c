use super::{Asked, Called, dialect_by, endpoint};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keyway_snapshot::{Dialect, Endpoint};

/// What a POST to a path is: dialect, endpoint, and what the path says of model and stream.
type Read = (Dialect, Endpoint, Option<String>, Option<bool>);

fn post(path: &str) -> Result<Read, u16> {
    match endpoint(&Method::POST, path) {
        Ok(Asked::Call(Called { endpoint, dialect, model, stream })) => {
            Ok((dialect, endpoint, model.map(Into::into), stream))
        }
        Ok(Asked::Models(_)) => panic!("{path} is a list"),
        Err(refusal) => Err(refusal.0.status),
    }
}

#[test]
fn paths_whose_body_names_the_model() {
    for (path, dialect, endpoint) in [
        ("/v1/chat/completions", Dialect::OpenaiChat, Endpoint::ChatCompletions),
        ("/v1/chat/completions/", Dialect::OpenaiChat, Endpoint::ChatCompletions),
        ("/v1/responses", Dialect::OpenaiResponses, Endpoint::Responses),
        ("/v1/responses/input_tokens", Dialect::OpenaiResponses, Endpoint::CountTokens),
        ("/v1/embeddings", Dialect::OpenaiChat, Endpoint::Embeddings),
        ("/anthropic/v1/messages", Dialect::AnthropicMessages, Endpoint::Messages),
        ("/v1/messages/count_tokens", Dialect::AnthropicMessages, Endpoint::CountTokens),
        ("/v2/chat", Dialect::CohereChat, Endpoint::ChatCompletions),
        ("/v2/embed/", Dialect::CohereChat, Endpoint::Embeddings),
        ("/v2/rerank", Dialect::CohereChat, Endpoint::Rerank),
        ("/v1/rerank", Dialect::CohereChat, Endpoint::Rerank),
        ("/rerank", Dialect::CohereChat, Endpoint::Rerank),
    ] {
        assert_eq!(post(path), Ok((dialect, endpoint, None, None)), "{path}");
        assert_eq!(dialect_by(path, &HeaderMap::new()), dialect, "{path}");
    }
}

#[test]
fn paths_that_name_the_model() {
    const GEMINI: Dialect = Dialect::Gemini;
    const BEDROCK: Dialect = Dialect::BedrockConverse;
    const ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x-v1:0";
    const CHAT: Endpoint = Endpoint::ChatCompletions;
    for (path, dialect, endpoint, model, stream) in [
        ("/v1beta/models/gemini-3:generateContent", GEMINI, CHAT, "gemini-3", false),
        ("/v1/models/gemini-3:streamGenerateContent", GEMINI, CHAT, "gemini-3", true),
        ("/v1/models/gemini-3:streamGenerateContent/", GEMINI, CHAT, "gemini-3", true),
        ("/v1beta/models/openai/gpt-4o:generateContent", GEMINI, CHAT, "openai/gpt-4o", false),
        ("/v1beta/models/openai%2Fgpt-4o%3AgenerateContent", GEMINI, CHAT, "openai/gpt-4o", false),
        ("/v1/models/ollama/llama3:8b:generateContent", GEMINI, CHAT, "ollama/llama3:8b", false),
        ("/v1beta/models/a%252Fb:generateContent", GEMINI, CHAT, "a%2Fb", false),
        ("/v1beta/models/models/x:countTokens", GEMINI, Endpoint::CountTokens, "x", false),
        ("/models/x:embedContent", GEMINI, Endpoint::Embeddings, "x", false),
        ("/v1/models/x:batchEmbedContents", GEMINI, Endpoint::EmbeddingsBatch, "x", false),
        ("/v1/projects/p/locations/eu/publishers/google/models/m:generateContent", GEMINI, CHAT, "m", false),
        ("/v1beta1/publishers/google/models/m:streamGenerateContent", GEMINI, CHAT, "m", true),
        ("/publishers/google/models/m:generateContent", GEMINI, CHAT, "m", false),
        // What google-genai makes of `openai/gpt-4o` when it believes that it speaks to Vertex.
        ("/v1beta1/publishers/openai/models/gpt-4o:generateContent", GEMINI, CHAT, "openai/gpt-4o", false),
        ("/v1beta/models/publishers/google/models/m:generateContent", GEMINI, CHAT, "m", false),
        (
            "/model/bedrock%2Famazon.nova-lite-v1%3A0/converse",
            BEDROCK,
            CHAT,
            "bedrock/amazon.nova-lite-v1:0",
            false,
        ),
        ("/model/bedrock/claude/converse-stream", BEDROCK, CHAT, "bedrock/claude", true),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x-v1%3A0/converse",
            BEDROCK,
            CHAT,
            ARN,
            false,
        ),
        ("/model/m/invoke", BEDROCK, Endpoint::Invoke, "m", false),
        ("/model/m/invoke-with-response-stream", BEDROCK, Endpoint::Invoke, "m", true),
        ("/model/m/count-tokens/", BEDROCK, Endpoint::CountTokens, "m", false),
    ] {
        let read = (dialect, endpoint, Some(model.to_owned()), Some(stream));
        assert_eq!(post(path), Ok(read), "{path}");
        assert_eq!(dialect_by(path, &HeaderMap::new()), dialect, "{path}");
    }
}

#[test]
fn models_and_lists_of_them() {
    for method in [Method::GET, Method::HEAD] {
        for (path, id) in [
            ("/v1/models", None),
            ("/v1/models/", None),
            ("/v1beta/models", None),
            ("/anthropic/v1/models", None),
            ("/v1beta1/publishers/google/models", None),
            ("/v1/models/openai/gpt-4o", Some("openai/gpt-4o")),
            ("/v1/models/openai%2Fgpt-4o", Some("openai/gpt-4o")),
            ("/v1/models/ollama/llama3:8b", Some("ollama/llama3:8b")),
            ("/v1beta/models/gemini-3", Some("gemini-3")),
            ("/v1beta/models/models/gemini-3", Some("gemini-3")),
        ] {
            let asked = endpoint(&method, path).map_err(|refusal| refusal.0.status);
            assert_eq!(asked, Ok(Asked::Models(id.map(Into::into))), "{path}");
        }
    }
}

#[test]
fn what_is_refused() {
    for (method, path, status) in [
        (Method::GET, "/v1/chat/completions", 405),
        (Method::GET, "/v2/chat", 405),
        (Method::GET, "/v1beta/models/m:generateContent", 405),
        (Method::PUT, "/model/m/converse", 405),
        (Method::POST, "/v1/models", 405),
        (Method::POST, "/v1beta/models/m", 405),
        (Method::GET, "/v1/realtime", 405),
        (Method::POST, "/v1beta/models/imagen:predict", 404),
        (Method::POST, "/v1/publishers/anthropic/models/claude:rawPredict", 404),
        (Method::POST, "/v1/modelsx", 404),
        (Method::POST, "/model/m/async-invoke", 404),
        (Method::POST, "/model/converse", 400),
        (Method::POST, "/v1beta/models/:generateContent", 400),
        (Method::POST, "/v1beta/models/%ff:generateContent", 400),
        (Method::GET, "/v1/responses/resp_1", 400),
        (Method::POST, "/v1/responses/resp_1/cancel", 400),
        (Method::POST, "/v1/responses/input_tokens/x", 400),
        (Method::POST, "/v1/files", 400),
        (Method::GET, "/v1/batches/b", 400),
        (Method::POST, "/v1/messages/batches", 400),
        (Method::POST, "/v1beta/cachedContents", 400),
        (Method::POST, "/v1/cachedContents", 400),
        (Method::POST, "/upload/v1beta/files", 400),
        (Method::POST, "/v1beta/tunedModels/t:generateContent", 400),
        (Method::POST, "/v1/chat", 404),
        (Method::POST, "/v2/classify", 404),
        (Method::GET, "/", 404),
    ] {
        let asked = endpoint(&method, path).map_err(|refusal| refusal.0.status);
        assert_eq!(asked, Err(status), "{method} {path}");
    }
}

#[test]
fn errors_are_in_the_callers_dialect() {
    for (path, header, dialect) in [
        ("/v1/models", "", Dialect::OpenaiChat),
        ("/v1/nothing", "", Dialect::OpenaiChat),
        ("/v1/models", "anthropic-version", Dialect::AnthropicMessages),
        ("/anthropic/v1/nothing", "", Dialect::AnthropicMessages),
        ("/v1/messages/batches", "", Dialect::AnthropicMessages),
        ("/v1/models", "x-goog-api-key", Dialect::Gemini),
        ("/v1beta/models", "", Dialect::Gemini),
        ("/v1beta/cachedContents", "", Dialect::Gemini),
        ("/upload/v1beta/files", "", Dialect::Gemini),
        ("/v1/projects/p/locations/l/publishers/google/models/m:predict", "", Dialect::Gemini),
        ("/model/m/nothing", "", Dialect::BedrockConverse),
        ("/v2/nothing", "", Dialect::CohereChat),
        ("/v1/models", "x-fern-sdk-name", Dialect::CohereChat),
        ("/v1/models", "user-agent", Dialect::CohereChat),
    ] {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            headers.insert(HeaderName::from_static(header), HeaderValue::from_static("cohere/7.3.1"));
        }
        assert_eq!(dialect_by(path, &headers), dialect, "{path} {header}");
    }
}
