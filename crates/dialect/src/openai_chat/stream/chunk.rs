//! A chunk as it comes. Only what is understood; what a relative adds is passed over.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Deserialize)]
pub(super) struct Chunk<'a> {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    #[serde(borrow)]
    pub(super) created: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    pub(super) service_tier: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    pub(super) finish_reason: Option<String>,
    #[serde(borrow)]
    pub(super) logprobs: Option<Logprobs<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Logprobs<'a> {
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) content: Option<&'a RawValue>,
    pub(super) refusal: Option<String>,
    pub(super) reasoning_content: Option<String>,
    pub(super) reasoning: Option<String>,
    #[serde(borrow)]
    pub(super) reasoning_details: Option<&'a RawValue>,
    pub(super) tool_calls: Option<Vec<Call>>,
    pub(super) audio: Option<Audio>,
    #[serde(borrow)]
    pub(super) annotations: Option<&'a RawValue>,
    pub(super) images: Option<Vec<Image>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Call {
    #[serde(default)]
    pub(super) index: u32,
    pub(super) id: Option<String>,
    pub(super) function: Option<Function>,
    pub(super) custom: Option<Custom>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Custom {
    pub(super) name: Option<String>,
    pub(super) input: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Audio {
    pub(super) id: Option<String>,
    pub(super) data: Option<String>,
    pub(super) transcript: Option<String>,
    pub(super) expires_at: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Image {
    pub(super) image_url: Address,
}

#[derive(Debug, Deserialize)]
pub(super) struct Address {
    pub(super) url: String,
}
