//! Why a request body is refused: where, what, and which field.

use std::fmt;

/// Characters of a caller's key that a message quotes.
const QUOTED_LIMIT: usize = 64;

/// A body that is refused with 400. Displays as one line: `byte 123: key `model` appears twice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Bytes from the start of the body to where the fault was seen.
    pub offset: usize,
    /// What is wrong.
    pub reason: Reason,
    /// The field concerned, as a JSON path from the top.
    pub param: Option<String>,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A byte order mark.
    ByteOrderMark,
    /// Something else than one JSON object.
    NotAnObject,
    /// Bytes after the object.
    Trailing,
    /// The body ends inside a value.
    Truncated,
    /// A bracket that closes another kind of bracket, or none.
    Unbalanced,
    /// More brackets inside each other than `scan::DEPTH_LIMIT`.
    TooDeep,
    /// More top-level keys than `scan::KEYS_LIMIT`.
    TooManyKeys,
    /// A top-level key longer than `scan::KEY_LENGTH_LIMIT` bytes.
    KeyTooLong,
    /// A body longer than offsets can say (4 GiB).
    TooLong,
    /// A key that decides where the request goes, or any top-level key, stands twice.
    RepeatedKey,
    /// A key that is the one named but for the case of its letters; some servers take it for that one.
    OtherCase(&'static str),
    /// A byte that cannot stand there.
    Unexpected,
    /// A key or a model name with an escape that means nothing, or half a surrogate pair.
    BadEscape,
    /// A field of another type than the one named.
    WrongType(&'static str),
    /// A form that does not follow its boundary, or a part without a name.
    BadForm,
    /// A `content-type` of a form that is not read, or whose boundary cannot be used.
    BadFormType,
    /// A body that names its model more often than `scan::MODELS_LIMIT`.
    TooManyModels,
    /// More parts in a form than `multipart::PARTS_LIMIT`.
    TooManyParts,
}

// === impl Malformed ===

impl Malformed {
    pub(crate) fn at(offset: usize, reason: Reason) -> Self {
        Self { offset, reason, param: None }
    }

    pub(crate) fn of(offset: usize, reason: Reason, param: &str) -> Self {
        Self { offset, reason, param: Some(param.into()) }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = Quoted(self.param.as_deref().unwrap_or_default());
        if self.reason != Reason::BadFormType {
            write!(f, "byte {}: ", self.offset)?;
        }
        match self.reason {
            Reason::NotUtf8 => f.write_str("the body is not UTF-8"),
            Reason::ByteOrderMark => f.write_str("a byte order mark; send the JSON object alone"),
            Reason::NotAnObject => f.write_str("the body must be one JSON object"),
            Reason::Trailing => f.write_str("bytes after the JSON object"),
            Reason::Truncated => f.write_str("the body ends inside a value"),
            Reason::Unbalanced => f.write_str("a bracket that does not match"),
            Reason::TooDeep => write!(f, "nested deeper than {}", super::DEPTH_LIMIT),
            Reason::TooManyKeys => write!(f, "more than {} top-level keys", super::KEYS_LIMIT),
            Reason::KeyTooLong => write!(f, "a key longer than {} bytes", super::KEY_LENGTH_LIMIT),
            Reason::TooLong => f.write_str("the body is too long"),
            Reason::RepeatedKey => write!(f, "key `{quoted}` appears twice"),
            Reason::OtherCase(name) => write!(f, "key `{quoted}` must be written `{name}`"),
            Reason::Unexpected => f.write_str("not valid JSON here"),
            Reason::BadEscape => f.write_str("a string with an invalid escape"),
            Reason::WrongType(expected) => write!(f, "`{quoted}` must be {expected}"),
            Reason::BadForm => f.write_str("the form does not follow its boundary, or a part has not one name"),
            Reason::BadFormType => f.write_str(
                "the body's type is not clear: send it with `content-type: application/json`, or as multipart/form-data with one plain boundary",
            ),
            Reason::TooManyModels => write!(f, "more than {} requests in one", super::MODELS_LIMIT),
            Reason::TooManyParts => write!(f, "more than {} parts", crate::multipart::PARTS_LIMIT),
        }
    }
}

impl std::error::Error for Malformed {}

/// A caller's text, shortened, with nothing in it that could break a line.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = self.0.chars();
        for letter in letters.by_ref().take(QUOTED_LIMIT) {
            write!(f, "{}", letter.escape_debug())?;
        }
        if letters.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}
