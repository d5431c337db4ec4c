//! The paths under which callers ask, as templates: what people see in logs and traces.

use crate::{Dialect, Endpoint};

/// The template of a call's path, with `{model}` where a model's name stands; empty where none is known.
#[must_use]
pub fn route(dialect: Dialect, endpoint: Endpoint, stream: bool) -> &'static str {
    match (dialect, endpoint) {
        (Dialect::Gemini, Endpoint::ChatCompletions) if stream => {
            "/v1beta/models/{model}:streamGenerateContent"
        }
        (Dialect::Gemini, Endpoint::ChatCompletions) => "/v1beta/models/{model}:generateContent",
        (Dialect::Gemini, Endpoint::CountTokens) => "/v1beta/models/{model}:countTokens",
        (Dialect::Gemini, Endpoint::Embeddings) => "/v1beta/models/{model}:embedContent",
        (_, Endpoint::EmbeddingsBatch) => "/v1beta/models/{model}:batchEmbedContents",
        (Dialect::BedrockConverse, Endpoint::ChatCompletions) if stream => "/model/{model}/converse-stream",
        (Dialect::BedrockConverse, Endpoint::ChatCompletions) => "/model/{model}/converse",
        (Dialect::BedrockConverse, Endpoint::CountTokens) => "/model/{model}/count-tokens",
        (_, Endpoint::Invoke) if stream => "/model/{model}/invoke-with-response-stream",
        (_, Endpoint::Invoke) => "/model/{model}/invoke",
        (Dialect::CohereChat, Endpoint::ChatCompletions) => "/v2/chat",
        (Dialect::CohereChat, Endpoint::Embeddings) => "/v2/embed",
        (_, Endpoint::Rerank) => "/v2/rerank",
        (_, Endpoint::ChatCompletions) => "/v1/chat/completions",
        (_, Endpoint::Completions) => "/v1/completions",
        (_, Endpoint::Responses) => "/v1/responses",
        (_, Endpoint::Embeddings) => "/v1/embeddings",
        (_, Endpoint::ImagesGenerations) => "/v1/images/generations",
        (_, Endpoint::ImagesEdits) => "/v1/images/edits",
        (_, Endpoint::ImagesVariations) => "/v1/images/variations",
        (_, Endpoint::AudioSpeech) => "/v1/audio/speech",
        (_, Endpoint::AudioTranscriptions) => "/v1/audio/transcriptions",
        (_, Endpoint::AudioTranslations) => "/v1/audio/translations",
        (_, Endpoint::Moderations) => "/v1/moderations",
        (_, Endpoint::Models) => "/v1/models",
        (_, Endpoint::Messages) => "/v1/messages",
        (Dialect::OpenaiResponses, Endpoint::CountTokens) => "/v1/responses/input_tokens",
        (_, Endpoint::CountTokens) => "/v1/messages/count_tokens",
        (_, Endpoint::Unspecified) => "",
    }
}
