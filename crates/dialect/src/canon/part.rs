//! What a turn or an answer is made of.

use super::{Call, Extra, Raw, Seal, ToolResult};
use keyway_proto::snapshot::v1::Dialect;

/// One piece of a turn or of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// What it is.
    pub part: Part,
    /// Everything up to here may be cached.
    pub cache: Option<CacheMark>,
    /// Its place in the caller's list of content; none if it did not stand in a list, or in a reply.
    pub at: Option<u32>,
    /// Members that the model does not know.
    pub extra: Vec<Extra>,
}

/// The kinds of pieces.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text, with the sources that it cites.
    Text {
        /// The text.
        text: String,
        /// Its sources, in order.
        citations: Vec<Citation>,
    },
    /// The model's words for not answering.
    Refusal(String),
    /// A picture.
    Image(Media),
    /// Sound that is sent to a model.
    Audio(Media),
    /// A film.
    Video(Media),
    /// A document.
    Document(Box<Document>),
    /// Sound that a model made.
    Sound(Box<Sound>),
    /// What the model thought.
    Reasoning(Box<Reasoning>),
    /// A call of a tool by the model.
    Call(Box<Call>),
    /// What a tool gave back.
    Result(Box<ToolResult>),
    /// A piece that only this dialect has, such as a hosted tool's call. `raw` is the whole object.
    Other {
        /// The dialect that has it.
        dialect: Dialect,
        /// The piece as it was written.
        raw: Raw,
    },
}

/// Where the bytes of a medium are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the body, as base64.
    Inline {
        /// Such as `image/png`.
        media_type: String,
        /// Base64, as it was written.
        data: String,
    },
    /// At an address.
    Url(String),
    /// At the provider, under an id that means nothing elsewhere.
    File(String),
    /// In the body, as plain text.
    Text(String),
    /// Another form that only this dialect has.
    Other(Dialect, Raw),
}

/// A picture, sound or film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Where its bytes are.
    pub source: Source,
    /// How closely to look: `auto`, `low`, `high`.
    pub detail: Option<String>,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where its bytes are.
    pub source: Source,
    /// Its title or file name.
    pub title: Option<String>,
    /// What the model is told about it, without citing it.
    pub context: Option<String>,
    /// True if answers shall cite it.
    pub citations: Option<bool>,
}

/// Sound that a model made; in a request only `id` is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sound {
    /// By which a later turn refers to it.
    pub id: Option<String>,
    /// Base64.
    pub data: String,
    /// What is said.
    pub transcript: String,
    /// Unix seconds until which the id holds.
    pub expires_at: Option<u64>,
}

/// What the model thought. Text and seal may each be missing: thoughts can be hidden, and unsigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// The item's id, where the maker gives one.
    pub id: Option<String>,
    /// What may be read.
    pub text: String,
    /// What its maker wants back unchanged. With empty text it belongs to the block that follows.
    pub seal: Option<Seal>,
}

/// A source that an answer cites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    /// Where the source is.
    pub url: Option<String>,
    /// What it is called.
    pub title: Option<String>,
    /// The words that are cited.
    pub quote: Option<String>,
    /// The span of the answer, in characters of its text.
    pub span: Option<(u64, u64)>,
    /// The citation as it was written, and in which dialect.
    pub raw: Option<(Dialect, Raw)>,
}

/// A cache mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheMark {
    /// Seconds to live; none is the dialect's usual.
    pub ttl_seconds: Option<u32>,
}

// === impl Source ===

impl Source {
    /// What an address says: a data URI is bytes in the body.
    #[must_use]
    pub fn of_url(url: String) -> Self {
        match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((media_type, data)) => {
                Self::Inline { media_type: media_type.to_owned(), data: data.to_owned() }
            }
            None => Self::Url(url),
        }
    }
}

// === impl Block ===

impl Block {
    /// A piece with nothing said about it.
    #[must_use]
    pub fn new(part: Part) -> Self {
        Self { part, cache: None, at: None, extra: Vec::new() }
    }

    /// A piece of text without sources.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Part::Text { text: text.into(), citations: Vec::new() })
    }

    /// The tool call that it is, if it is one.
    #[must_use]
    pub fn call(&self) -> Option<&Call> {
        match &self.part {
            Part::Call(call) => Some(call),
            _ => None,
        }
    }
}
