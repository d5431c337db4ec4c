//! Embeddings: texts and pictures as vectors. OpenAI's `/embeddings`, Cohere's `/v2/embed`, Gemini's `:embedContent` and
//! `:batchEmbedContents`, and at Bedrock the bodies of Titan's and Cohere's models for `InvokeModel` (targets only). Numbers
//! stay the text that the provider wrote; only what a caller wants as base64 is read (`vector`).

mod bedrock;
mod cohere;
mod gemini;
mod openai;
mod vector;

use super::{Response, Says, foreign, nowhere};
use crate::canon::{Raw, Source};
use crate::codec::{Asked, Encoded, Envelope, Target};
use crate::json::{Fields, Json, Malformed};
use crate::losses::{Losses, Thing, Unsupported};
use crate::usage::{Tokens, Usage};
use bytes::Bytes;
use keyway_proto::snapshot::v1::{Dialect, Endpoint};
use std::borrow::Cow;

pub(super) use gemini::model as gemini_model;

/// What a caller wants embedded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    inputs: Vec<Input>,
    dimensions: Option<u64>,
    /// What for, and where that stood.
    task: Option<(Task, String)>,
    /// Which end of a text that is too long is cut off, in Cohere's words.
    truncate: Option<String>,
    /// How the caller wants its numbers, at least one; the dialect's usual first.
    forms: Vec<Form>,
    user: Option<String>,
    /// True if the caller's form has one input and one answer (`:embedContent`).
    single: bool,
    /// Paths of members that mean nothing elsewhere.
    beside: Vec<String>,
}

/// One vector is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Input {
    pieces: Vec<Piece>,
    /// The list that it stood in, or the member itself.
    list: &'static str,
    /// Its place in that list.
    at: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Ids of tokens, a JSON list.
    Tokens,
    Image(Source),
    /// What only one dialect has.
    Other,
}

/// What vectors are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Query,
    Document,
    Classification,
    Clustering,
    /// Comparing texts, and tasks that only one dialect knows.
    Other,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Float,
    /// 32-bit floats, little end first, as base64.
    Base64,
    Int8,
    Uint8,
    Binary,
    Ubinary,
}

/// A provider's vectors, by form, each with as many as there were inputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vectors {
    forms: Vec<(Form, Vec<Raw>)>,
}

pub(super) fn decode(dialect: Dialect, body: &[u8], envelope: &Envelope<'_>) -> Result<Request, Malformed> {
    match dialect {
        Dialect::OpenaiChat => openai::decode(body),
        Dialect::CohereChat => cohere::decode(body),
        Dialect::Gemini => gemini::decode(body, envelope),
        _ => Err(foreign()),
    }
}

pub(super) fn encode(
    request: &Request,
    dialect: Dialect,
    target: &Target<'_>,
    mut losses: Losses,
) -> Result<Encoded, Unsupported> {
    let size: usize = request.inputs.iter().flat_map(|input| &input.pieces).map(Piece::size).sum();
    let mut body = Vec::with_capacity(size + 256);
    let json = &mut Json::new(&mut body);
    for path in &request.beside {
        losses.report_path(Thing::Extra, path.clone())?;
    }
    match dialect {
        Dialect::OpenaiChat => openai::encode(json, request, target, &mut losses)?,
        Dialect::CohereChat => cohere::encode(json, request, target, &mut losses)?,
        Dialect::Gemini => gemini::encode(json, request, target, &mut losses)?,
        Dialect::BedrockConverse => bedrock::encode(json, request, target, &mut losses)?,
        _ => nowhere(&mut losses)?,
    }
    Ok(Encoded { body: body.into(), lost: losses.into_lost() })
}

pub(super) fn decode_response(
    request: &Request,
    dialect: Dialect,
    body: &[u8],
) -> Result<Response, Malformed> {
    let (response, vectors) = match dialect {
        Dialect::OpenaiChat => openai::decode_response(body)?,
        Dialect::CohereChat => cohere::decode_response(body)?,
        Dialect::Gemini => gemini::decode_response(body)?,
        Dialect::BedrockConverse => bedrock::decode_response(body)?,
        _ => return Err(foreign()),
    };
    let wanted = request.inputs.len();
    if vectors.forms.is_empty() || vectors.forms.iter().any(|(_, each)| each.len() != wanted) {
        return Err(Malformed::new("has not one vector for each input"));
    }
    Ok(Response { says: Says::Embeddings(vectors), ..response })
}

pub(super) fn encode_response(
    (request, origin): (&Request, Dialect),
    response: &Response,
    vectors: &Vectors,
    asked: &Asked,
) -> Result<Bytes, Malformed> {
    let size: usize = vectors.forms.iter().flat_map(|(_, each)| each).map(|raw| raw.as_str().len()).sum();
    let mut body = Vec::with_capacity(size + 256);
    let json = &mut Json::new(&mut body);
    let (usage, model) = (response.usage.as_ref(), response.model.as_deref().unwrap_or(&asked.model));
    match origin {
        Dialect::CohereChat => {
            let id = response.id.as_deref().unwrap_or(&asked.id);
            cohere::encode_response(json, request, vectors, (id, usage))?;
        }
        Dialect::Gemini => gemini::encode_response(json, request, vectors, usage)?,
        _ => openai::encode_response(json, request, vectors, (model, usage))?,
    }
    Ok(body.into())
}

/// A reply of which only the vectors are to be said.
fn told(id: Option<String>, model: Option<String>, usage: Option<Usage>) -> Response {
    let says = Says::Embeddings(Vectors { forms: Vec::new() });
    Response { id, model, usage, says }
}

/// What a reply's member tells that was used, read as meters read it: nonsense there does not make good vectors bad.
fn counted(dialect: Dialect, fields: &mut Fields<'_>, name: &str) -> Option<Usage> {
    let mut tokens = Tokens::default();
    tokens.read_in(dialect, fields.raw(name)?.as_str().as_bytes());
    tokens.usage(dialect, Endpoint::Embeddings)
}

/// Members that were not taken, by their paths.
fn left(fields: Fields<'_>, within: &str) -> impl Iterator<Item = String> {
    fields
        .rest()
        .into_iter()
        .filter(|extra| extra.raw.as_str() != "null")
        .map(move |extra| format!("{within}{}", extra.name))
}

// === impl Request ===

impl Request {
    fn new(inputs: Vec<Input>) -> Self {
        Self {
            inputs,
            dimensions: None,
            task: None,
            truncate: None,
            forms: Vec::new(),
            user: None,
            single: false,
            beside: Vec::new(),
        }
    }

    /// How a target is asked for its numbers where it knows floats only: whole numbers and bits cannot be made of them.
    fn floats(&self, losses: &mut Losses) -> Result<(), Unsupported> {
        let small = self.forms.iter().any(|form| !matches!(form, Form::Float | Form::Base64));
        if small { losses.report_path(Thing::NumberForm, "embedding_types".to_owned()) } else { Ok(()) }
    }

    fn taskless(&self, losses: &mut Losses) -> Result<(), Unsupported> {
        match &self.task {
            Some((_, at)) => losses.report_path(Thing::Task, at.clone()),
            None => Ok(()),
        }
    }

    fn untruncated(&self, losses: &mut Losses) -> Result<(), Unsupported> {
        match self.truncate {
            Some(_) => losses.report_path(Thing::Truncation, "truncate".to_owned()),
            None => Ok(()),
        }
    }

    fn no_user(&self, losses: &mut Losses) -> Result<(), Unsupported> {
        match self.user {
            Some(_) => losses.report_path(Thing::User, "user".to_owned()),
            None => Ok(()),
        }
    }

    /// The input's text, for targets that embed nothing else.
    fn text<'a>(&self, input: &'a Input, losses: &mut Losses) -> Result<Cow<'a, str>, Unsupported> {
        if let [Piece::Text(text)] = input.pieces.as_slice() {
            return Ok(Cow::Borrowed(text));
        }
        let mut joined = String::new();
        for piece in &input.pieces {
            match piece {
                Piece::Text(text) => joined.push_str(text),
                other => losses.report_path(other.thing(), input.path())?,
            }
        }
        Ok(Cow::Owned(joined))
    }
}

// === impl Input ===

impl Input {
    fn text(text: String, list: &'static str, at: Option<usize>) -> Self {
        Self { pieces: vec![Piece::Text(text)], list, at }
    }

    /// Its place in the caller's body.
    fn path(&self) -> String {
        self.at.map_or_else(|| self.list.to_owned(), |at| format!("{}[{at}]", self.list))
    }
}

// === impl Piece ===

impl Piece {
    /// What a target lacks that embeds only text.
    fn thing(&self) -> Thing {
        match self {
            Self::Image(Source::Url(_)) => Thing::ImageUrl,
            Self::Image(Source::File(_)) => Thing::File,
            Self::Image(_) => Thing::Image,
            Self::Tokens => Thing::TokenInput,
            Self::Text(_) | Self::Other => Thing::OtherPart,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Image(Source::Inline { data: text, .. }) => text.len() + 64,
            Self::Image(_) | Self::Tokens | Self::Other => 64,
        }
    }
}

// === impl Form ===

impl Form {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Float, "float"),
        (Self::Base64, "base64"),
        (Self::Int8, "int8"),
        (Self::Uint8, "uint8"),
        (Self::Binary, "binary"),
        (Self::Ubinary, "ubinary"),
    ];

    /// As OpenAI, Cohere and Titan call it.
    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(form, _)| *form == self).map_or("float", |(_, word)| word)
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| *own == word).map(|(form, _)| *form)
    }
}
