//! How dialects and stream ends are written in files.

use keyway_proto::snapshot::v1::{Dialect, StreamEnd};
use serde::{Deserialize, Deserializer, de};

/// Every dialect with its name.
pub const DIALECTS: [(&str, Dialect); 6] = [
    ("openai-chat", Dialect::OpenaiChat),
    ("openai-responses", Dialect::OpenaiResponses),
    ("anthropic-messages", Dialect::AnthropicMessages),
    ("gemini", Dialect::Gemini),
    ("bedrock-converse", Dialect::BedrockConverse),
    ("cohere-chat", Dialect::CohereChat),
];

const ENDS: [(&str, StreamEnd); 3] =
    [("done", StreamEnd::Done), ("finish_reason", StreamEnd::FinishReason), ("eof", StreamEnd::Eof)];

/// The dialect of this name, as written in files and in `--dialect`.
#[must_use]
pub fn dialect_from_name(name: &str) -> Option<Dialect> {
    find(&DIALECTS, name)
}

/// A dialect's name; `unspecified` where there is none.
#[must_use]
pub fn dialect_name(dialect: Dialect) -> &'static str {
    DIALECTS.iter().find(|(_, known)| *known == dialect).map_or("unspecified", |(name, _)| name)
}

pub(crate) fn read_dialect<'de, D: Deserializer<'de>>(from: D) -> Result<Dialect, D::Error> {
    let name = String::deserialize(from)?;
    find(&DIALECTS, &name).ok_or_else(|| de::Error::custom(format_args!("unknown dialect `{name}`")))
}

pub(crate) fn read_end<'de, D: Deserializer<'de>>(from: D) -> Result<StreamEnd, D::Error> {
    let name = String::deserialize(from)?;
    find(&ENDS, &name).ok_or_else(|| de::Error::custom(format_args!("unknown end `{name}`")))
}

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}
