//! What a target cannot express. Harmless things are dropped and named; anything else refuses the request, naming the
//! field in the caller's words. losses.toml lists every crossing, and a test holds the codecs to it.

use crate::canon::{Extra, ToolChoice};
use crate::codec::codec;
use crate::json::Json;
use keyway_proto::snapshot::v1::Dialect;

/// Stands for a picture in answers of dialects that cannot hold one.
pub(crate) const PICTURE: &str = "[a picture, which this API cannot carry]";

/// Losses of one request that are named; the last of so many says that there are more.
pub const LOST_LIMIT: usize = 128;

macro_rules! things {
    ($($(#[$doc:meta])* $name:ident = $word:literal $harm:ident;)*) => {
        /// Things that some dialect cannot express.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Thing { $($(#[$doc])* $name,)* }

        impl Thing {
            /// Every thing.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in losses.toml.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// True if an answer without it is still the answer that was asked for.
            #[must_use]
            pub const fn is_harmless(self) -> bool {
                match self { $(Self::$name => things!(@ $harm),)* }
            }

            /// True if this target may go without it: Gemini cannot be told to call one tool at a time, and callers ask
            /// for that so often that a named drop serves them better than a refusal.
            #[must_use]
            pub const fn is_harmless_to(self, target: Dialect) -> bool {
                self.is_harmless() || matches!((self, target), (Self::ParallelOff, Dialect::Gemini))
            }
        }
    };
    (@ harmless) => { true };
    (@ refused) => { false };
}

things! {
    /// A limit of the answer below the least that the target takes: that least is sent.
    OutputFloor = "output_floor" harmless;
    /// Temperature, where the model takes none.
    Temperature = "temperature" harmless;
    /// `top_p`, where the model takes none.
    TopP = "top_p" harmless;
    /// `top_k`.
    TopK = "top_k" harmless;
    /// A seed: best effort even where it is known.
    Seed = "seed" harmless;
    /// The penalty on tokens that are there.
    PresencePenalty = "presence_penalty" harmless;
    /// The penalty on tokens that are there often.
    FrequencyPenalty = "frequency_penalty" harmless;
    /// Biases by token id, which mean nothing to another tokenizer.
    LogitBias = "logit_bias" refused;
    /// Several answers.
    Choices = "choices" refused;
    /// Probabilities, which the caller would look for in the reply.
    Logprobs = "logprobs" refused;
    /// Texts that end the answer.
    StopSequences = "stop_sequences" refused;
    /// JSON without a schema: asked for in words instead.
    JsonObject = "json_object" harmless;
    /// JSON by a schema.
    JsonSchema = "json_schema" refused;
    /// The schema's name, description or strictness.
    SchemaNote = "schema_note" harmless;
    /// How wordy the answer is.
    Verbosity = "verbosity" harmless;
    /// How much the model thinks.
    Thinking = "thinking" harmless;
    /// What is shown of the thinking.
    ThinkingShown = "thinking_shown" harmless;
    /// Sound as an answer.
    Sound = "sound" refused;
    /// A tier of service.
    ServiceTier = "service_tier" harmless;
    /// The end user.
    User = "user" harmless;
    /// Labels.
    Metadata = "metadata" harmless;
    /// Keeping the answer at the provider.
    Store = "store" harmless;
    /// The key that caches are chosen by.
    CacheKey = "cache_key" harmless;
    /// A cache mark on the whole request.
    Cache = "cache" harmless;
    /// A cache mark on a block.
    BlockCache = "block_cache" harmless;
    /// A cache mark on a tool.
    ToolCache = "tool_cache" harmless;
    /// How long a cache mark lives: the nearest that the target knows is sent.
    CacheTtl = "cache_ttl" harmless;
    /// A tool that a provider runs, or with free text for arguments.
    OtherTool = "other_tool" refused;
    /// Strictness of a tool's arguments.
    ToolStrict = "tool_strict" harmless;
    /// Forbidding calls.
    ToolNone = "tool_none" harmless;
    /// Demanding a call.
    ToolRequired = "tool_required" refused;
    /// Demanding a call of one tool.
    ToolNamed = "tool_named" refused;
    /// Allowing only some tools.
    ToolSubset = "tool_subset" refused;
    /// A form of tool choice that only one dialect has.
    OtherChoice = "other_choice" refused;
    /// At most one call at once; harmless to Gemini (`is_harmless_to`).
    ParallelOff = "parallel_off" refused;
    /// A speaker's name.
    Name = "name" harmless;
    /// An assistant's turn at the end, to be continued.
    Prefill = "prefill" refused;
    /// System text amid the conversation: its place is kept, its rank is not.
    LateSystem = "late_system" harmless;
    /// A picture in the body.
    Image = "image" refused;
    /// A picture by address.
    ImageUrl = "image_url" refused;
    /// How closely to look at a picture.
    ImageDetail = "image_detail" harmless;
    /// Sound in the conversation.
    Audio = "audio" refused;
    /// A film in the conversation.
    Video = "video" refused;
    /// A document in the body.
    Document = "document" refused;
    /// A document by address.
    DocumentUrl = "document_url" refused;
    /// A document as plain text.
    DocumentText = "document_text" refused;
    /// A document's title.
    DocumentTitle = "document_title" harmless;
    /// What is told about a document.
    DocumentContext = "document_context" refused;
    /// Asking for citations of a document.
    DocumentCitations = "document_citations" harmless;
    /// Bytes that lie at another provider.
    File = "file" refused;
    /// A form of source that only one dialect has.
    OtherSource = "other_source" refused;
    /// Sound that the model made in an earlier turn, by its id.
    PastSound = "past_sound" refused;
    /// Sources that an earlier answer cited.
    Citations = "citations" harmless;
    /// The model's earlier refusal: sent as its text.
    Refusal = "refusal" harmless;
    /// Thoughts that another maker has sealed, or that the target does not take back.
    Reasoning = "reasoning" harmless;
    /// A piece that only one dialect has.
    OtherPart = "other_part" refused;
    /// A call with free text for arguments.
    CustomCall = "custom_call" refused;
    /// A picture or document in a tool's result.
    ResultMedia = "result_media" refused;
    /// A member that the model does not know.
    Extra = "extra" harmless;
    /// A member that the model does not know and whose dialect says that the answer depends on it.
    NeededExtra = "needed_extra" refused;
    /// The whole operation: the target's dialect has none such, or none for this model.
    Operation = "operation" refused;
    /// Embeddings: a text as ids of tokens, which mean nothing to another tokenizer.
    TokenInput = "token_input" refused;
    /// Embeddings: several inputs at once.
    ManyInputs = "many_inputs" refused;
    /// Embeddings: vectors of small whole numbers or bits.
    NumberForm = "number_form" refused;
    /// Embeddings: what they are for.
    Task = "task" harmless;
    /// Embeddings: which end of a text that is too long is cut off.
    Truncation = "truncation" harmless;
    /// Rerank: the most tokens of a document that are read.
    DocumentTokens = "document_tokens" harmless;
}

/// Where a thing stood in the caller's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// At the top.
    Request,
    /// In a message; none is the system text that stands outside of them.
    Turn(Option<u32>),
    /// In a block of a message.
    Block(Option<u32>, Option<u32>),
    /// In a tool.
    Tool(Option<u32>),
}

/// Something that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// What.
    pub thing: Thing,
    /// Its JSON path in the caller's body.
    pub path: String,
}

/// Something that cannot be dropped. The request is refused with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} cannot be expressed in {}", target.as_str_name())]
pub struct Unsupported {
    /// What.
    pub thing: Thing,
    /// Its JSON path in the caller's body.
    pub path: String,
    /// The dialect that lacks it.
    pub target: Dialect,
}

/// The words of a dialect for the places of a request.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The list of messages.
    pub turns: &'static str,
    /// A message's content.
    pub blocks: &'static str,
    /// System text outside the messages.
    pub system: &'static str,
    /// The list of tools.
    pub tools: &'static str,
}

/// What one request loses on its way into one dialect.
#[derive(Debug)]
pub struct Losses {
    origin: Dialect,
    target: Dialect,
    lost: Vec<Lost>,
}

// === impl Losses ===

impl Losses {
    /// Begins a crossing.
    #[must_use]
    pub fn new(origin: Dialect, target: Dialect) -> Self {
        Self { origin, target, lost: Vec::new() }
    }

    /// True if caller and target speak one dialect.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.origin == self.target
    }

    /// `thing` cannot be expressed.
    ///
    /// # Errors
    /// It is not harmless: the request must be refused.
    pub fn report(&mut self, thing: Thing, spot: Spot) -> Result<(), Unsupported> {
        let field = codec(self.origin).map_or(thing.as_str(), |caller| caller.spelling(thing));
        self.report_at(thing, spot, field)
    }

    /// The target cannot be told whether to call. As it likes is what it does anyway.
    ///
    /// # Errors
    /// As `report`.
    pub(crate) fn untold(&mut self, choice: &ToolChoice) -> Result<(), Unsupported> {
        let thing = match choice {
            ToolChoice::Auto => return Ok(()),
            ToolChoice::None => Thing::ToolNone,
            ToolChoice::Required => Thing::ToolRequired,
            ToolChoice::Named(_) => Thing::ToolNamed,
            ToolChoice::Subset { .. } => Thing::ToolSubset,
            ToolChoice::Other(..) => Thing::OtherChoice,
        };
        self.report(thing, Spot::Request)
    }

    /// `thing` cannot be expressed, if it is there at all.
    ///
    /// # Errors
    /// As `report`.
    pub fn report_if(&mut self, there: bool, thing: Thing, spot: Spot) -> Result<(), Unsupported> {
        if there { self.report(thing, spot) } else { Ok(()) }
    }

    /// Writes a level's unknown members back where the dialect is the same, and reports them elsewhere, those of objects
    /// within it too.
    pub(crate) fn extras(
        &mut self,
        extra: &[Extra],
        spot: Spot,
        json: &mut Json<'_>,
    ) -> Result<(), Unsupported> {
        if self.is_same() {
            json.extras(extra, "");
            return Ok(());
        }
        let caller = codec(self.origin);
        let needed = caller.map_or(&[][..], |caller| caller.needed());
        let private = caller.map_or(&[][..], |caller| caller.private());
        let mut told = extra.iter().filter(|extra| !private.contains(&extra.name.as_str()));
        told.try_for_each(|Extra { name, within, .. }| {
            let thing = if needed.contains(&name.as_str()) { Thing::NeededExtra } else { Thing::Extra };
            let dot = if within.is_empty() { "" } else { "." };
            self.report_at(thing, spot, &format!("{within}{dot}{name}"))
        })
    }

    /// Writes the unknown members of an object within a level back where the dialect is the same; `extras` of the level
    /// has reported them elsewhere.
    pub(crate) fn nested(&self, extra: &[Extra], within: &'static str, json: &mut Json<'_>) {
        if self.is_same() {
            json.extras(extra, within);
        }
    }

    /// Everything that was dropped.
    #[must_use]
    pub fn into_lost(self) -> Vec<Lost> {
        self.lost
    }

    fn report_at(&mut self, thing: Thing, spot: Spot, field: &str) -> Result<(), Unsupported> {
        self.report_path(thing, self.path(spot, field))
    }

    /// `thing`, which stands at `path` of the caller's body, cannot be expressed.
    pub(crate) fn report_path(&mut self, thing: Thing, path: String) -> Result<(), Unsupported> {
        if !thing.is_harmless_to(self.target) {
            return Err(Unsupported { thing, path, target: self.target });
        }
        let lost = Lost { thing, path };
        match self.lost.len() {
            LOST_LIMIT.. => {}
            // That there is more is said, too.
            len if len + 1 == LOST_LIMIT => self.lost.push(Lost { thing, path: "...".to_owned() }),
            _ if self.lost.contains(&lost) => {}
            _ => self.lost.push(lost),
        }
        Ok(())
    }

    fn path(&self, spot: Spot, field: &str) -> String {
        let Some(words) = codec(self.origin).map(|caller| caller.words()) else {
            return field.to_owned();
        };
        let item =
            |name: &str, at: Option<u32>| at.map_or_else(|| name.to_owned(), |at| format!("{name}[{at}]"));
        let mut path = match spot {
            Spot::Request => String::new(),
            Spot::Tool(at) => item(words.tools, at),
            Spot::Turn(None) => words.system.to_owned(),
            Spot::Turn(turn) => item(words.turns, turn),
            Spot::Block(None, block) => item(words.system, block),
            Spot::Block(turn, Some(block)) => {
                format!("{}.{}[{block}]", item(words.turns, turn), words.blocks)
            }
            Spot::Block(turn, None) => item(words.turns, turn),
        };
        if !path.is_empty() && !field.is_empty() {
            path.push('.');
        }
        path.push_str(field);
        path
    }
}
