//! For each thing that a crossing may lose, a request that has it.

use super::crossings::listed;
use super::ground::name;
use keyway_dialect::canon::{
    Block, CacheMark, Call, CallKind, Citation, Document, Effort, Extra, Format, Logprobs, Media, Part, Raw,
    Reasoning, Request, Role, Seal, SealKind, Sound, Source, Thinking, ThinkingMode, Tool, ToolBody,
    ToolChoice, ToolResult, Turn,
};
use keyway_dialect::codec::codec;
use keyway_dialect::losses::Thing;
use keyway_proto::snapshot::v1::Dialect;

/// A request that every dialect can say.
pub(crate) fn plain(origin: Dialect) -> Request {
    let mut request = Request::new(origin, "asked-model");
    request.max_tokens = Some(64_000);
    request.include_usage = true;
    request.stream = true;
    request.turns.push(Turn::new(Role::User, vec![Block::text("Hello")]));
    request
}

/// Puts the thing into a request of a caller who speaks `origin`; false if that dialect has nothing of the kind.
#[expect(clippy::too_many_lines, reason = "a table: one arm for each thing")]
pub(crate) fn add(thing: Thing, request: &mut Request) -> bool {
    let origin = request.origin;
    let user = |part| Turn::new(Role::User, vec![Block::new(part)]);
    let assistant = |part| Turn::new(Role::Assistant, vec![Block::new(part)]);
    // Bedrock has no document without a name.
    let title = (origin == Dialect::BedrockConverse).then(|| "a pdf".to_owned());
    let document = |source| Document { source, title: title.clone(), context: None, citations: None };
    let image = |source| Part::Image(Media { source, detail: None });
    let mut turns: Vec<Turn> = Vec::new();
    match thing {
        Thing::OutputFloor => request.max_tokens = Some(1),
        Thing::Temperature => request.sampling.temperature = Some(0.5),
        Thing::TopP => request.sampling.top_p = Some(0.25),
        Thing::TopK => request.sampling.top_k = Some(40),
        Thing::Seed => request.sampling.seed = Some(-7),
        Thing::PresencePenalty => request.sampling.presence_penalty = Some(0.5),
        Thing::FrequencyPenalty => request.sampling.frequency_penalty = Some(-0.5),
        Thing::LogitBias => request.sampling.logit_bias = Raw::parse(r#"{"50256":-100}"#),
        Thing::Choices => request.choices = Some(2),
        Thing::Logprobs => request.logprobs = Some(Logprobs { top: 3 }),
        Thing::StopSequences => request.stop = vec!["END".into(), "STOP".into()],
        Thing::JsonObject => request.format = Format::Object,
        Thing::JsonSchema => request.format = schema(None),
        Thing::SchemaNote => request.format = schema(Some("a note")),
        Thing::Verbosity => request.verbosity = Some("low".into()),
        Thing::Thinking => request.thinking.effort = Some(Effort::High),
        Thing::ThinkingShown => {
            let shown = Some("summarized".into());
            // Responses has no mode beside the effort, and words of its own.
            request.thinking = if origin == Dialect::OpenaiResponses {
                Thinking { shown: Some("auto".into()), ..Thinking::default() }
            } else {
                Thinking { mode: Some(ThinkingMode::Adaptive), shown, ..Thinking::default() }
            };
        }
        Thing::Sound => {
            let Some(raw) = own(thing, origin) else { return false };
            request.sound = Some(raw);
        }
        Thing::ServiceTier => request.service_tier = Some("auto".into()),
        Thing::User => request.user = Some("user-1".into()),
        Thing::Metadata => request.metadata = Raw::parse(r#"{"k":"v"}"#),
        Thing::Store => request.store = Some(true),
        Thing::CacheKey => request.cache_key = Some("key".into()),
        Thing::Cache => request.cache = Some(CacheMark::default()),
        Thing::BlockCache => turns.push(marked(None)),
        Thing::CacheTtl => turns.push(marked(Some(30 * 60))),
        Thing::ToolCache => {
            request.tools.push(Tool { cache: Some(CacheMark::default()), ..tool("cached", None) })
        }
        Thing::OtherTool => {
            let Some(raw) = own(thing, origin) else { return false };
            let body = ToolBody::Other { dialect: origin, raw };
            request.tools.push(Tool { body, ..tool("", None) });
        }
        Thing::ToolStrict => request.tools.push(tool("strict", Some(true))),
        Thing::ToolNone => choose(request, ToolChoice::None),
        Thing::ToolRequired => choose(request, ToolChoice::Required),
        Thing::ToolNamed => choose(request, ToolChoice::Named("look".into())),
        Thing::ToolSubset => {
            choose(request, ToolChoice::Subset { required: true, names: vec!["look".into()] });
        }
        Thing::OtherChoice => {
            let Some(raw) = own(thing, origin) else { return false };
            choose(request, ToolChoice::Other(origin, raw));
        }
        Thing::ParallelOff => {
            choose(request, ToolChoice::Auto);
            request.parallel_calls = Some(false);
        }
        Thing::Name => turns.push(Turn { name: Some("ann".into()), ..user(text("I am Ann")) }),
        Thing::Prefill => turns.push(assistant(text("The answer is"))),
        Thing::LateSystem => {
            turns.push(assistant(text("Yes?")));
            turns.push(Turn::new(Role::System, vec![Block::text("Be brief")]));
            turns.push(user(text("Go on")));
        }
        Thing::Image => turns.push(user(image(inline("image/png")))),
        Thing::ImageUrl => turns.push(user(image(Source::Url("https://example.com/a.png".into())))),
        Thing::ImageDetail => {
            let media = Media { source: inline("image/png"), detail: Some("low".into()) };
            turns.push(user(Part::Image(media)));
        }
        Thing::Audio => turns.push(user(Part::Audio(Media { source: inline("audio/wav"), detail: None }))),
        Thing::Video => turns.push(user(Part::Video(Media { source: inline("video/mp4"), detail: None }))),
        Thing::Document => turns.push(user(Part::Document(Box::new(document(inline("application/pdf")))))),
        Thing::DocumentUrl => {
            let url = Source::Url("https://example.com/a.pdf".into());
            turns.push(user(Part::Document(Box::new(document(url)))));
        }
        Thing::DocumentText => {
            turns.push(user(Part::Document(Box::new(document(Source::Text("words".into()))))))
        }
        Thing::DocumentTitle => {
            let titled = Document { title: Some("a.pdf".into()), ..document(inline("application/pdf")) };
            turns.push(user(Part::Document(Box::new(titled))));
        }
        Thing::DocumentContext => {
            let told = Document { context: Some("old".into()), ..document(inline("application/pdf")) };
            turns.push(user(Part::Document(Box::new(told))));
        }
        Thing::DocumentCitations => {
            let cited = Document { citations: Some(true), ..document(inline("application/pdf")) };
            turns.push(user(Part::Document(Box::new(cited))));
        }
        Thing::File => turns.push(user(Part::Document(Box::new(document(Source::File("file-1".into())))))),
        Thing::OtherSource => {
            let Some(raw) = own(thing, origin) else { return false };
            turns.push(user(Part::Document(Box::new(document(Source::Other(origin, raw))))));
        }
        Thing::PastSound => {
            let sound = Sound { id: Some("audio-1".into()), ..Sound::default() };
            turns.extend([assistant(Part::Sound(Box::new(sound))), user(text("Again"))]);
        }
        Thing::Citations => {
            let Some(raw) = own(thing, origin) else { return false };
            // Responses tells where, not what.
            let quote = (origin != Dialect::OpenaiResponses).then(|| "q".to_owned());
            let title = Some("t".into());
            let citation = Citation { url: None, title, quote, span: None, raw: Some((origin, raw)) };
            let cited = Part::Text { text: "So it is".into(), citations: vec![citation] };
            turns.extend([assistant(cited), user(text("And?"))]);
        }
        Thing::Refusal => turns.extend([assistant(Part::Refusal("No".into())), user(text("Why?"))]),
        Thing::Reasoning => {
            // Responses encrypts, and takes thoughts back only with the id of their item.
            let id = (origin == Dialect::OpenaiResponses).then(|| "rs_1".to_owned());
            let (kind, value) = match &id {
                Some(id) => (SealKind::Encrypted, format!("{id}:c2ln")),
                None => (SealKind::Signature, "c2ln".to_owned()),
            };
            let seal = Seal { dialect: origin, provider: None, kind, value };
            let thought = Reasoning { id, text: "Hm".into(), seal: Some(seal) };
            let mut thinking = assistant(Part::Reasoning(Box::new(thought)));
            thinking.blocks.push(Block::text("Well"));
            turns.extend([thinking, user(text("So?"))]);
        }
        Thing::OtherPart => {
            let Some(raw) = own(thing, origin) else { return false };
            turns.push(user(Part::Other { dialect: origin, raw }));
        }
        Thing::CustomCall => {
            let (id, name, arguments) = ("call_1".into(), "free".into(), "any words".into());
            turns.push(assistant(Part::Call(Box::new(Call { id, name, arguments, kind: CallKind::Custom }))));
            turns.push(result(vec![Block::text("done")]));
        }
        Thing::ResultMedia => {
            let (id, name, arguments) = ("call_1".into(), "look".into(), "{}".into());
            turns.push(assistant(Part::Call(Box::new(Call {
                id,
                name,
                arguments,
                kind: CallKind::Function,
            }))));
            turns.push(result(vec![Block::text("seen"), Block::new(image(inline("image/png")))]));
        }
        Thing::Extra => request.extra.push(extra("later_setting")),
        // Conversations have none of these; tests of operations do.
        Thing::Operation
        | Thing::TokenInput
        | Thing::ManyInputs
        | Thing::NumberForm
        | Thing::Task
        | Thing::Truncation
        | Thing::DocumentTokens => return false,
        Thing::NeededExtra => {
            let needed = codec(origin).and_then(|codec| codec.needed().first());
            let Some(name) = needed else { return false };
            request.extra.push(extra(name));
        }
    }
    request.turns.extend(turns);
    true
}

/// What only this dialect has of the kind, by losses.toml.
fn own(thing: Thing, origin: Dialect) -> Option<Raw> {
    Raw::parse(listed().own.get(thing.as_str())?.get(name(origin))?)
}

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), citations: Vec::new() }
}

fn inline(media_type: &str) -> Source {
    Source::Inline { media_type: media_type.to_owned(), data: "AAAA".to_owned() }
}

fn schema(description: Option<&str>) -> Format {
    Format::Schema {
        name: None,
        description: description.map(str::to_owned),
        schema: Raw::parse(r#"{"type":"object","properties":{"a":{"type":"string"}}}"#).unwrap(),
        strict: None,
    }
}

fn marked(ttl_seconds: Option<u32>) -> Turn {
    let block = Block { cache: Some(CacheMark { ttl_seconds }), ..Block::text("Long text") };
    Turn::new(Role::User, vec![block])
}

fn tool(name: &str, strict: Option<bool>) -> Tool {
    let body = ToolBody::Function {
        name: name.to_owned(),
        description: Some("looks".into()),
        schema: Raw::parse(r#"{"type":"object","properties":{}}"#),
        strict,
    };
    Tool { body, cache: None, at: None, extra: Vec::new() }
}

fn choose(request: &mut Request, choice: ToolChoice) {
    request.tools.push(tool("look", None));
    request.tool_choice = Some(choice);
    request.parallel_calls = None;
}

fn result(content: Vec<Block>) -> Turn {
    let result = ToolResult { call: "call_1".into(), name: None, content, is_error: None };
    Turn::new(Role::User, vec![Block::new(Part::Result(Box::new(result)))])
}

fn extra(name: &str) -> Extra {
    Extra { name: name.to_owned(), within: "", raw: Raw::parse(r#"{"a":[1,2]}"#).unwrap() }
}
