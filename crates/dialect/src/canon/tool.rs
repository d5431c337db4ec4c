//! Tools: what a model may call, its calls, and what came of them.

use super::{Block, CacheMark, Extra, Raw};
use keyway_proto::snapshot::v1::Dialect;
use std::borrow::Cow;

/// Characters that an id of a call may have in every dialect.
const ID_LIMIT: usize = 64;
/// Characters of the ids of calls that some targets want.
const SHORT_ID: usize = 9;

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// What it is.
    pub body: ToolBody,
    /// Everything up to here may be cached.
    pub cache: Option<CacheMark>,
    /// Its place in the caller's list.
    pub at: Option<u32>,
    /// Members that the model does not know.
    pub extra: Vec<Extra>,
}

/// The kinds of tools.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolBody {
    /// A function that the caller runs.
    Function {
        /// Its name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// JSON Schema of its arguments; none takes no arguments.
        schema: Option<Raw>,
        /// True if arguments must follow the schema to the letter.
        strict: Option<bool>,
    },
    /// A tool that the provider runs, or one with free text for arguments. `raw` is the whole object.
    Other {
        /// The dialect that has it.
        dialect: Dialect,
        /// The tool as it was written.
        raw: Raw,
    },
}

/// Whether the model calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// It must not.
    None,
    /// It must, whichever.
    Required,
    /// It must call this one.
    Named(String),
    /// Only these; with `required` it must call one of them.
    Subset {
        /// True if it must call.
        required: bool,
        /// The functions that it may call.
        names: Vec<String>,
    },
    /// Another form that only this dialect has.
    Other(Dialect, Raw),
}

// === impl ToolChoice ===

impl ToolChoice {
    /// True if the model has no choice but to call.
    pub(crate) fn is_forced(&self) -> bool {
        matches!(self, Self::Required | Self::Named(_) | Self::Subset { required: true, .. })
    }
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Joins the call with its result.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Arguments as the model wrote them: for a function the text of a JSON object, which may be cut short.
    pub arguments: String,
    /// How the arguments are meant.
    pub kind: CallKind,
}

/// What a call's arguments are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallKind {
    /// JSON.
    #[default]
    Function,
    /// Free text.
    Custom,
}

/// What a tool gave back.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// The call's id.
    pub call: String,
    /// The tool's name, looked up from the call where the dialect does not say it.
    pub name: Option<String>,
    /// What it gave: text, pictures, documents.
    pub content: Vec<Block>,
    /// True if the tool failed.
    pub is_error: Option<bool>,
}

/// An id that every dialect takes: as it is where it can be, else made from it, always the same way, so that a call and
/// its result still meet when a conversation is sent again.
#[must_use]
pub fn safe_id(id: &str) -> Cow<'_, str> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=ID_LIMIT).contains(&id.len()) && id.bytes().all(safe) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(format!("call_{:032x}", mixed(id)))
}

/// The same for targets whose ids are nine letters and digits.
#[must_use]
pub fn short_id(id: &str) -> Cow<'_, str> {
    const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    if id.len() == SHORT_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Cow::Borrowed(id);
    }
    let mut rest = mixed(id);
    let letters = (0..SHORT_ID).map(|_| {
        let letter = LETTERS.iter().cycle().nth((rest % 36) as usize).copied().unwrap_or(b'0');
        rest /= 36;
        char::from(letter)
    });
    Cow::Owned(letters.collect())
}

/// FNV-1a, 128 bits: no secret hangs on it, and its values never change.
fn mixed(id: &str) -> u128 {
    let mix =
        |hash: u128, byte| (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B);
    id.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, mix)
}
