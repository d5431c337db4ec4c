//! Tools: what a model may call, its calls, and what came of them.

use super::{Block, CacheMark, Extra, Raw};
use keyway_proto::snapshot::v1::Dialect;

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
