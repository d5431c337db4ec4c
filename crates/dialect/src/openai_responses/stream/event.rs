//! An event as it comes. Only what is understood; the rest is passed over.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What is understood of an event.
#[derive(Debug, Deserialize)]
pub(super) struct Wire<'a> {
    #[serde(default)]
    pub(super) r#type: String,
    #[serde(borrow)]
    pub(super) response: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) item: Option<&'a RawValue>,
    pub(super) item_id: Option<String>,
    #[serde(default)]
    pub(super) output_index: u64,
    #[serde(default)]
    pub(super) content_index: u64,
    #[serde(default)]
    pub(super) summary_index: u64,
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) annotation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}
