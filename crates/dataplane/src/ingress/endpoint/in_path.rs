//! Paths that name the model themselves: Gemini's, on Google's two hosts, and Bedrock's. Decoded once; what is no such
//! path is none of this file's business.

use keyway_dialect::scan::plain_name;
use keyway_snapshot::{Dialect, Endpoint};

/// What such a path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InPath<'a> {
    pub(super) dialect: Dialect,
    pub(super) endpoint: Endpoint,
    pub(super) stream: bool,
    /// Of `publishers/…`, where it is not Google: with the model it makes `provider/model`.
    pub(super) publisher: Option<&'a str>,
    /// As asked; may be empty.
    pub(super) model: &'a str,
}

/// Versions that Google's paths begin with. Without one they come where a caller's base URL should have held it.
const VERSIONS: [&str; 4] = ["/v1beta1/", "/v1beta/", "/v1alpha/", "/v1/"];
const GOOGLE: &str = "google";

/// What a path says that has been decoded and has no slash at its end; none if it names no model with a known verb.
pub(super) fn in_path(path: &str) -> Option<InPath<'_>> {
    match path.strip_prefix("/model/") {
        Some(rest) => bedrock(rest),
        None => gemini(path),
    }
}

/// What stands behind the version of a path of Google's.
pub(super) fn versioned(path: &str) -> Option<&str> {
    VERSIONS.iter().find_map(|version| path.strip_prefix(version))
}

fn bedrock(rest: &str) -> Option<InPath<'_>> {
    let (model, verb) = rest.rsplit_once('/').unwrap_or(("", rest));
    let (endpoint, stream) = match verb {
        "converse" => (Endpoint::ChatCompletions, false),
        "converse-stream" => (Endpoint::ChatCompletions, true),
        "invoke" => (Endpoint::Invoke, false),
        "invoke-with-response-stream" => (Endpoint::Invoke, true),
        "count-tokens" => (Endpoint::CountTokens, false),
        _ => return None,
    };
    Some(InPath { dialect: Dialect::BedrockConverse, endpoint, stream, publisher: None, model })
}

/// `[/{version}][/projects/{p}/locations/{l}][/publishers/{who}]/models/{model}:{verb}`
fn gemini(path: &str) -> Option<InPath<'_>> {
    let (rest, verb) = path.rsplit_once(':')?;
    let (endpoint, stream) = match verb {
        "generateContent" => (Endpoint::ChatCompletions, false),
        "streamGenerateContent" => (Endpoint::ChatCompletions, true),
        "countTokens" => (Endpoint::CountTokens, false),
        "embedContent" => (Endpoint::Embeddings, false),
        "batchEmbedContents" => (Endpoint::EmbeddingsBatch, false),
        _ => return None,
    };
    let rest = versioned(rest).or_else(|| rest.strip_prefix('/'))?;
    let rest = without_project(rest);
    let (publisher, model) = match rest.strip_prefix("publishers/") {
        Some(published) => published.split_once("/models/").map(|(who, model)| (Some(who), model))?,
        None => (None, rest.strip_prefix("models/")?),
    };
    let publisher = publisher.filter(|who| *who != GOOGLE);
    Some(InPath { dialect: Dialect::Gemini, endpoint, stream, publisher, model: plain_name(model) })
}

/// Whose project pays is the gateway's to say.
fn without_project(rest: &str) -> &str {
    let place = rest.strip_prefix("projects/").and_then(|rest| rest.split_once("/locations/"));
    let place = place.filter(|(project, _)| !project.contains('/'));
    place.and_then(|(_, rest)| rest.split_once('/')).map_or(rest, |(_, rest)| rest)
}
