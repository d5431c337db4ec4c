//! Reranking: documents by how well they answer a question. Callers write Cohere's `/v2/rerank` or Jina's `/v1/rerank`,
//! which is nearly the same. Targets have Cohere's, Jina's (vLLM and others, under OpenAI's dialect), or at Bedrock the
//! bodies of Cohere's and Amazon's models for `InvokeModel`.

use super::{Response, Says, foreign, maker, nowhere, sensible};
use crate::canon::Raw;
use crate::codec::{Asked, Encoded, Envelope, Target};
use crate::json::{Json, Malformed, Value};
use crate::losses::{Losses, Thing, Unsupported};
use crate::usage::Usage;
use bytes::Bytes;
use keyway_proto::snapshot::v1::{Dialect, Meter};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    query: String,
    documents: Vec<Document>,
    /// How many are told.
    top: Option<u64>,
    /// The most tokens of a document that are read.
    tokens: Option<u64>,
    /// True if documents shall come back with their ranks.
    back: bool,
    /// Paths of members that mean nothing elsewhere.
    beside: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Document {
    /// None is one of more than text.
    text: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ranking {
    /// Index and score, best first.
    ranks: Vec<(u64, Raw)>,
    /// Cohere's unit of billing.
    searches: Option<Raw>,
}

pub(super) fn decode(dialect: Dialect, body: &[u8], _: &Envelope<'_>) -> Result<Request, Malformed> {
    if dialect != Dialect::CohereChat {
        return Err(foreign());
    }
    let mut fields = Value::parse(body)?.fields()?;
    fields.take("model");
    let query = fields.need("query", Value::text)?;
    let documents = fields.need("documents", |list| list.each(|_, one| document(one)))?;
    let (top, tokens) = (fields.count("top_n")?, fields.count("max_tokens_per_doc")?);
    let back = fields.flag("return_documents")?.unwrap_or_default();
    let rest = fields.rest().into_iter().filter(|extra| extra.raw.as_str() != "null");
    Ok(Request { query, documents, top, tokens, back, beside: rest.map(|extra| extra.name).collect() })
}

/// A text, or an object that may hold more than its text.
fn document(value: Value<'_>) -> Result<Document, Malformed> {
    if value.is_text() {
        return Ok(Document { text: Some(value.text()?) });
    }
    let mut fields = value.fields()?;
    let text = fields.text("text")?;
    let alone = fields.rest().is_empty();
    Ok(Document { text: text.filter(|_| alone) })
}

pub(super) fn encode(
    request: &Request,
    dialect: Dialect,
    target: &Target<'_>,
    mut losses: Losses,
) -> Result<Encoded, Unsupported> {
    let size: usize =
        request.documents.iter().filter_map(|one| one.text.as_ref()).map(|text| text.len() + 8).sum();
    let mut body = Vec::with_capacity(size + request.query.len() + 256);
    let json = &mut Json::new(&mut body);
    let maker = maker(target.model, "rerank");
    json.open_object();
    match dialect {
        Dialect::CohereChat | Dialect::OpenaiChat => {
            json.member("model", target.model);
        }
        Dialect::BedrockConverse if maker == Some("cohere") => {
            json.key("api_version").count(2);
        }
        Dialect::BedrockConverse if maker == Some("amazon") => {}
        _ => nowhere(&mut losses)?,
    }
    json.member("query", &request.query).key("documents").open_list();
    for (at, document) in request.documents.iter().enumerate() {
        match &document.text {
            Some(text) => {
                json.text(text);
            }
            None => losses.report_path(Thing::OtherPart, format!("documents[{at}]"))?,
        }
    }
    json.close_list().maybe_number("top_n", request.top);
    let reads = dialect == Dialect::CohereChat || maker == Some("cohere");
    if reads {
        json.maybe_number("max_tokens_per_doc", request.tokens);
    } else if request.tokens.is_some() {
        losses.report_path(Thing::DocumentTokens, "max_tokens_per_doc".to_owned())?;
    }
    if dialect == Dialect::OpenaiChat {
        // The caller's own are at hand.
        json.key("return_documents").flag(false);
    }
    for name in &request.beside {
        losses.report_path(Thing::Extra, name.clone())?;
    }
    json.close_object();
    Ok(Encoded { body: body.into(), lost: losses.into_lost() })
}

pub(super) fn decode_response(
    request: &Request,
    dialect: Dialect,
    body: &[u8],
) -> Result<Response, Malformed> {
    if super::Operation::Rerank.endpoint(dialect).is_none() {
        return Err(foreign());
    }
    let mut fields = Value::parse(body)?.fields()?;
    let ranks = fields.need("results", |list| {
        list.each(|_, one| {
            let mut one = one.fields()?;
            let index = one.need("index", Value::count)?;
            if index >= request.documents.len() as u64 {
                return Err(Malformed::new("is no document of the request").within("index"));
            }
            one.need("relevance_score", Value::number_text).map(|score| (index, score))
        })
    })?;
    // What of these cannot be read does not make good ranks bad.
    let usage = fields.take("usage").and_then(|usage| usage.fields().ok());
    let tokens = usage.and_then(|mut usage| usage.take("total_tokens").and_then(sensible));
    let meta = fields.take("meta").and_then(|meta| meta.fields().ok());
    let billed = meta.and_then(|mut meta| meta.take("billed_units")?.fields().ok());
    let searches = billed.and_then(|mut billed| billed.take("search_units"));
    let counts = [(Meter::Input, tokens), (Meter::SearchUnits, searches.and_then(sensible))];
    let told = counts.iter().any(|(_, count)| count.is_some());
    let usage = told.then(|| Usage::of(&counts.map(|(meter, count)| (meter, count.unwrap_or_default())), 0));
    let searches = searches.and_then(|searches| searches.number_text().ok());
    let says = Says::Rerank(Ranking { ranks, searches });
    Ok(Response { id: fields.text("id")?, model: fields.text("model")?, usage, says })
}

pub(super) fn encode_response(
    request: &Request,
    response: &Response,
    ranking: &Ranking,
    asked: &Asked,
) -> Bytes {
    let mut body = Vec::with_capacity(ranking.ranks.len() * 48 + 256);
    let json = &mut Json::new(&mut body);
    json.open_object().member("id", response.id.as_deref().unwrap_or(&asked.id));
    json.member("model", response.model.as_deref().unwrap_or(&asked.model)).key("results").open_list();
    for (index, score) in &ranking.ranks {
        json.open_object().key("index").count(*index).key("relevance_score").raw(score);
        let document = usize::try_from(*index).ok().and_then(|at| request.documents.get(at));
        let text = document.and_then(|document| document.text.as_deref()).filter(|_| request.back);
        if let Some(text) = text {
            json.key("document").open_object().member("text", text).close_object();
        }
        json.close_object();
    }
    json.close_list().key("meta").open_object();
    json.key("api_version").open_object().member("version", "2").close_object();
    if let Some(searches) = &ranking.searches {
        json.key("billed_units").open_object().key("search_units").raw(searches).close_object();
    }
    json.close_object();
    // As Jina's callers look for it.
    if let Some(tokens) = response.usage.as_ref().map(Usage::input_total).filter(|tokens| *tokens > 0) {
        json.key("usage").open_object().key("total_tokens").count(tokens).close_object();
    }
    json.close_object();
    body.into()
}
