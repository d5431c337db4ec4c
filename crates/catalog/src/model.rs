//! A model row: limits, what it can do, what it costs.

use crate::price::{Money, Price, read_per_unit};
use keyway_proto::snapshot::v1::Endpoint;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A model at one provider, or one further price row of it (`region`, `variant`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What goes on the wire.
    pub id: String,
    /// Which kind of call it serves.
    #[serde(default)]
    pub mode: Mode,
    /// The price row of one region or deployment zone; absent = the list price.
    pub region: Option<String>,
    /// The price row of one size, quality or fine-tuned form.
    pub variant: Option<String>,
    /// Tokens, input or whole window: sources differ.
    pub context_window: Option<u64>,
    /// Tokens.
    pub max_output_tokens: Option<u64>,
    /// Token price. Absent = unknown, which is not free.
    pub price: Option<Price>,
    /// Token rates of a model that also charges by units (images, seconds, requests): shown, never billed alone.
    pub partial_price: Option<Price>,
    /// Token price by service tier (`batch`, `priority`, `flex`…).
    #[serde(default)]
    pub service_tiers: BTreeMap<String, Price>,
    /// Prices by hours of UTC; the first entry that holds wins, else `price`.
    #[serde(default)]
    pub by_time: Vec<Timed>,
    /// Prices from a future date on.
    #[serde(default)]
    pub scheduled: Vec<Scheduled>,
    /// Prices per single unit.
    #[serde(default)]
    pub units: BTreeMap<String, UnitPrice>,
    /// Multipliers and other notes on the price, by name.
    #[serde(default)]
    pub price_notes: BTreeMap<String, String>,
    /// The source lists 0: a free tier, a bundled plan or unknown. Never billed as free.
    #[serde(default)]
    pub listed_free: bool,
    /// Sources disagree on the price.
    #[serde(default)]
    pub disputed: bool,
    /// The figure is most likely wrong at the source.
    #[serde(default)]
    pub suspect: bool,
    /// What a source says that it can do.
    #[serde(default)]
    pub can: Vec<Capability>,
    /// What a source says that it cannot do. In neither list = unknown.
    #[serde(default)]
    pub cannot: Vec<Capability>,
    /// Values that `reasoning_effort` may have.
    #[serde(default)]
    pub reasoning_efforts: Vec<String>,
    /// Where thinking text stands in OpenAI-style messages, if not where the provider's row says.
    pub reasoning_field: Option<String>,
    /// The shortest prompt that is cached, in tokens.
    pub prompt_cache_min_tokens: Option<u64>,
    /// Length of its vectors.
    pub embedding_dimensions: Option<u64>,
    /// `text`, `image`, `audio`, `video`, `pdf`…
    #[serde(default)]
    pub input_modalities: Vec<String>,
    /// As `input_modalities`.
    #[serde(default)]
    pub output_modalities: Vec<String>,
    /// `YYYY-MM-DD`.
    pub deprecation_date: Option<String>,
    /// Absent = in service.
    pub status: Option<Status>,
    /// Served by another wire format than its provider's: base URL.
    pub wire_base_url: Option<String>,
    /// Served by another wire format than its provider's: dialect.
    pub wire_dialect: Option<String>,
}

/// Which kind of call a model serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mode {
    #[default]
    Chat,
    Responses,
    Completion,
    Embedding,
    Image,
    ImageEdit,
    Transcription,
    Speech,
    Realtime,
    Rerank,
    Moderation,
    Video,
    Ocr,
}

/// How far along its life a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Status {
    Beta,
    Deprecated,
}

/// Something that a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Capability {
    AdaptiveThinking,
    AssistantPrefill,
    AudioInput,
    AudioOutput,
    ComputerUse,
    EffortMax,
    EffortMinimal,
    EffortNone,
    EffortXhigh,
    ForcedToolUse,
    ImageEmbedding,
    JsonSchema,
    ParallelTools,
    Pdf,
    PromptCaching,
    Reasoning,
    SamplingParams,
    SystemMessages,
    ThinkingAlwaysOn,
    ToolChoice,
    Tools,
    VideoInput,
    Vision,
    WebSearch,
}

/// A price for hours of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// 1 = Monday; empty = every day.
    #[serde(default)]
    pub weekdays: Vec<u8>,
    /// `HH:MM-HH:MM`, UTC; `00:00` as an end is midnight; empty = the whole day.
    #[serde(default)]
    pub hours: Vec<String>,
    /// In these hours.
    pub price: Price,
}

/// A price from a date on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduled {
    /// `YYYY-MM-DD`.
    pub from: String,
    /// From that day on.
    pub price: Price,
}

/// USD per single unit: one figure, or one by resolution or search context size.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum UnitPrice {
    /// Femto-dollars per unit.
    One(#[serde(deserialize_with = "read_per_unit")] Money),
    /// Femto-dollars per unit, by name.
    Each(BTreeMap<String, Unit>),
}

/// Femto-dollars per unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Unit(#[serde(deserialize_with = "read_per_unit")] pub Money);

impl Mode {
    /// The call that such a model serves; unspecified where the snapshot knows none.
    #[must_use]
    pub fn to_proto(self) -> Endpoint {
        match self {
            Self::Chat | Self::Responses => Endpoint::ChatCompletions,
            Self::Completion => Endpoint::Completions,
            Self::Embedding => Endpoint::Embeddings,
            Self::Image => Endpoint::ImagesGenerations,
            Self::ImageEdit => Endpoint::ImagesEdits,
            Self::Transcription => Endpoint::AudioTranscriptions,
            Self::Speech => Endpoint::AudioSpeech,
            Self::Rerank => Endpoint::Rerank,
            Self::Moderation => Endpoint::Moderations,
            Self::Realtime | Self::Video | Self::Ocr => Endpoint::Unspecified,
        }
    }
}

// === impl Mode ===

impl Model {
    /// True for the row that `Catalog::model` answers with: the list price.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.region.is_none() && self.variant.is_none()
    }
}
