//! What is asked for besides conversations, between dialects: embeddings, reranking, counts of tokens.
//!
//! Whoever passes such a request on does this, in order:
//! 1. `operation(endpoint)`: which one it is; none is a conversation or something that does not cross.
//! 2. `Operation::decode_request`: the caller's body as what it means.
//! 3. For each target with a surface whose dialect and URLs know `Operation::endpoint`: `Request::encode`, and the reply by
//!    `Request::decode_response`.
//! 4. `Request::encode_response`: the caller's body. A provider's error reply goes by `Codec::fault` of its dialect and
//!    `Codec::encode_fault` of the caller's, as in conversations. Nothing here streams.
//!
//! `Response::usage` is what to meter; none is not told. Counting tokens costs nothing. What a target cannot express is
//! dropped and named, or refused, by the table of `losses`.

mod count;
mod embeddings;
mod rerank;

use crate::codec::{Asked, Encoded, Envelope, Target};
use crate::json::{Malformed, Value};
use crate::losses::{Losses, Thing, Unsupported};
use crate::usage::{COUNT_LIMIT, Usage};
use bytes::Bytes;
use keyway_proto::snapshot::v1::{Dialect, Endpoint};

/// The operations that cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Texts and pictures as vectors.
    Embeddings,
    /// Documents by how well they answer a question.
    Rerank,
    /// The tokens of a conversation that is not held.
    CountTokens,
}

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The caller's dialect.
    origin: Dialect,
    asks: Asks,
}

#[derive(Clone, Debug, PartialEq)]
enum Asks {
    Embeddings(embeddings::Request),
    Rerank(rerank::Request),
    CountTokens(Box<count::Request>),
}

/// What a provider answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The provider's id of it.
    pub id: Option<String>,
    /// The model that the provider says has answered.
    pub model: Option<String>,
    /// What it used; none if the provider did not say.
    pub usage: Option<Usage>,
    says: Says,
}

#[derive(Clone, Debug, PartialEq)]
enum Says {
    Embeddings(embeddings::Vectors),
    Rerank(rerank::Ranking),
    CountTokens(count::Counted),
}

/// The operation of an endpoint.
#[must_use]
pub const fn operation(endpoint: Endpoint) -> Option<Operation> {
    match endpoint {
        Endpoint::Embeddings | Endpoint::EmbeddingsBatch => Some(Operation::Embeddings),
        Endpoint::Rerank => Some(Operation::Rerank),
        Endpoint::CountTokens => Some(Operation::CountTokens),
        _ => None,
    }
}

// === impl Operation ===

impl Operation {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Embeddings, Self::Rerank, Self::CountTokens];

    /// The endpoint of a target of the dialect that does it; none if the dialect does not have it. Lists of embeddings are
    /// Gemini's batches, and Bedrock's models take bodies of their makers.
    #[must_use]
    pub const fn endpoint(self, dialect: Dialect) -> Option<Endpoint> {
        Some(match (self, dialect) {
            (Self::Embeddings, Dialect::OpenaiChat | Dialect::CohereChat) => Endpoint::Embeddings,
            (Self::Embeddings, Dialect::Gemini) => Endpoint::EmbeddingsBatch,
            // Under OpenAI's dialect it is Jina's form, which vLLM and others have, too.
            (Self::Rerank, Dialect::OpenaiChat | Dialect::CohereChat) => Endpoint::Rerank,
            (Self::Embeddings | Self::Rerank, Dialect::BedrockConverse) => Endpoint::Invoke,
            (
                Self::CountTokens,
                Dialect::OpenaiResponses
                | Dialect::AnthropicMessages
                | Dialect::Gemini
                | Dialect::BedrockConverse,
            ) => Endpoint::CountTokens,
            _ => return None,
        })
    }

    /// A caller's body as what it means.
    ///
    /// # Errors
    /// The dialect does not allow it, or has no such operation: 400, with the path.
    pub fn decode_request(
        self,
        dialect: Dialect,
        body: &[u8],
        envelope: &Envelope<'_>,
    ) -> Result<Request, Malformed> {
        let asks = match self {
            Self::Embeddings => Asks::Embeddings(embeddings::decode(dialect, body, envelope)?),
            Self::Rerank => Asks::Rerank(rerank::decode(dialect, body, envelope)?),
            Self::CountTokens => Asks::CountTokens(Box::new(count::decode(dialect, body, envelope)?)),
        };
        Ok(Request { origin: dialect, asks })
    }
}

// === impl Request ===

impl Request {
    /// The body for a target of this dialect.
    ///
    /// # Errors
    /// Something cannot be expressed and is not harmless: 400, with its path in the caller's body.
    pub fn encode(&self, dialect: Dialect, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        let losses = Losses::new(self.origin, dialect);
        match &self.asks {
            Asks::Embeddings(request) => embeddings::encode(request, dialect, target, losses),
            Asks::Rerank(request) => rerank::encode(request, dialect, target, losses),
            Asks::CountTokens(request) => count::encode(request, dialect, target),
        }
    }

    /// A provider's reply as what it means.
    ///
    /// # Errors
    /// It is not a reply of this dialect to this request.
    pub fn decode_response(&self, dialect: Dialect, body: &[u8]) -> Result<Response, Malformed> {
        match &self.asks {
            Asks::Embeddings(request) => embeddings::decode_response(request, dialect, body),
            Asks::Rerank(request) => rerank::decode_response(request, dialect, body),
            Asks::CountTokens(_) => count::decode_response(dialect, body),
        }
    }

    /// The caller's reply.
    ///
    /// # Errors
    /// The provider's vectors are none that can be written as the caller asked for them.
    pub fn encode_response(&self, response: &Response, asked: &Asked) -> Result<Bytes, Malformed> {
        match (&self.asks, &response.says) {
            (Asks::Embeddings(request), Says::Embeddings(vectors)) => {
                embeddings::encode_response((request, self.origin), response, vectors, asked)
            }
            (Asks::Rerank(request), Says::Rerank(ranking)) => {
                Ok(rerank::encode_response(request, response, ranking, asked))
            }
            (Asks::CountTokens(_), Says::CountTokens(counted)) => {
                Ok(count::encode_response(self.origin, *counted))
            }
            _ => Err(Malformed::new("answers another request")),
        }
    }
}

/// A count of what was used; nonsense counts as missing.
fn sensible(value: Value<'_>) -> Option<u64> {
    let number = value.number().ok()?;
    // Some write `1.0`. The bound is checked before the conversion, which then loses nothing.
    let whole = number.fract() == 0.0 && (0.0..=COUNT_LIMIT as f64).contains(&number);
    whole.then_some(number as u64)
}

/// A dialect that has no such operation.
fn foreign() -> Malformed {
    Malformed::new("is not an operation of this dialect")
}

/// Nothing can be sent to such a dialect, or to such a model there.
fn nowhere(losses: &mut Losses) -> Result<(), Unsupported> {
    losses.report_path(Thing::Operation, "model".to_owned())
}

/// Who made a model of Bedrock's that does this (`embed`, `rerank`), and so whose body `InvokeModel` takes: ids and ARNs of
/// models end with `maker.model`, some with a region before it.
fn maker<'a>(model: &'a str, does: &str) -> Option<&'a str> {
    let id = model.rsplit('/').next().filter(|id| id.contains(does))?;
    id.split('.').find(|part| matches!(*part, "amazon" | "cohere"))
}
