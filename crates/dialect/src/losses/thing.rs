//! The things that some dialect cannot express, by their names in losses.toml, and whether a request goes on without them.

use keyway_proto::snapshot::v1::Dialect;

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
