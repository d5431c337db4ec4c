//! Looks at events as they pass: first event, usage, end. Most events are only searched for a few words; JSON is walked
//! where one of them is found.

mod bedrock;
mod cohere;
mod gemini;

use super::refused::Refused;
use super::text;
use super::{Ending, First};
use crate::scan::{Members, member, skip_blank};
use crate::usage::{Tokens, Usage};
use gemini::{Candidates, items};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, ServiceTier, StreamEnd};
use memchr::memmem::Finder;
use std::sync::LazyLock;

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));

/// Whether an event goes on to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    On,
    Withheld,
}

/// How events look and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// JSON chunks without names, then `[DONE]`.
    Chat,
    /// Images and audio: JSON with a `type`, and maybe `[DONE]`.
    Media,
    Responses,
    Anthropic,
    Gemini,
    Converse,
    /// Chunks in the words of Bedrock's models.
    Invoked,
    Cohere,
}

#[derive(Debug)]
pub(super) struct Watch {
    dialect: Dialect,
    endpoint: Endpoint,
    family: Family,
    end: StreamEnd,
    withhold: bool,
    first: First,
    tokens: Tokens,
    /// The counts are those of the whole answer.
    told: bool,
    text_bytes: u64,
    /// Also the choices of dialects that call them so.
    candidates: Candidates,
    state: State,
    /// An error event of the target's has passed.
    erred: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// The end has passed, yet events may follow that count (usage behind a finish reason).
    Complete,
    /// The end marker has passed: what follows is not looked at.
    Sealed,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(dialect: Dialect, endpoint: Endpoint, end: StreamEnd, withhold: bool) -> Self {
        let family = family(dialect, endpoint);
        Self {
            dialect,
            endpoint,
            family,
            end,
            withhold,
            first: First::Pending,
            tokens: Tokens::default(),
            told: false,
            text_bytes: 0,
            candidates: Candidates::default(),
            state: State::Running,
            erred: false,
        }
    }

    /// Looks at an event with data.
    pub(super) fn see(&mut self, name: &[u8], data: &[u8]) -> Pass {
        if data.is_empty() || (name == b"ping" && self.family != Family::Responses) {
            return Pass::On;
        }
        match self.family {
            Family::Chat | Family::Media => self.see_chat(name, data),
            Family::Responses => self.see_response(name, data),
            Family::Anthropic => self.see_anthropic(name, data),
            Family::Gemini => self.see_gemini(data),
            Family::Converse => self.see_converse(name, data),
            Family::Invoked => self.see_invoked(name, data),
            Family::Cohere => self.see_cohere(name, data),
        }
    }

    /// Looks at an event that lacks its blank line; none unless it is whole and makes the stream complete.
    pub(super) fn see_tail(&mut self, name: &[u8], data: &[u8]) -> Option<Pass> {
        if !is_done(data) && !is_whole(data) {
            return None;
        }
        let pass = self.see(name, data);
        (self.ending() == Ending::Complete).then_some(pass)
    }

    pub(super) fn place(&self) -> (Dialect, Endpoint) {
        (self.dialect, self.endpoint)
    }

    pub(super) fn first(&self) -> &First {
        &self.first
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete | State::Sealed)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.state == State::Sealed
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let usage = self.tokens.usage(self.dialect, self.endpoint)?;
        (!self.told || usage.accounts_for(self.text_bytes, self.endpoint)).then_some(usage)
    }

    pub(super) fn usage_is_whole(&self) -> bool {
        self.told && self.usage().is_some()
    }

    pub(super) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    pub(super) fn service_tier(&self) -> ServiceTier {
        self.tokens.service_tier()
    }

    /// The ending if the target's bytes end cleanly now.
    pub(super) fn ending(&self) -> Ending {
        match self.state {
            _ if self.erred => Ending::Failed,
            State::Complete | State::Sealed => Ending::Complete,
            State::Running if self.end == StreamEnd::Eof && self.first != First::Pending => Ending::Complete,
            State::Running => Ending::Cut,
        }
    }

    fn see_chat(&mut self, name: &[u8], data: &[u8]) -> Pass {
        if is_done(data) {
            self.state = State::Sealed;
            self.began();
            return Pass::On;
        }
        if let Some(refused) = self.chat_error(name, data) {
            self.failed(refused);
            return Pass::On;
        }
        if self.first == First::Pending {
            self.tokens.read_tier(member(data, "service_tier"));
        }
        self.began();
        self.text_bytes += match self.family {
            Family::Media => text::of_response_delta(data),
            _ => text::of_chunk(data),
        };
        if self.end == StreamEnd::FinishReason && self.family == Family::Chat {
            self.see_choices(member(data, "choices").unwrap_or_default());
        }
        if self.family == Family::Media && is_last_media(&kind(name, data)) {
            self.complete();
        }
        if !has_value(&USAGE, data, b'{') {
            return Pass::On;
        }
        let Some(usage) = member(data, "usage").filter(|usage| usage.starts_with(b"{")) else {
            return Pass::On;
        };
        self.read_usage(usage);
        self.tokens.read_tier(member(data, "service_tier"));
        if self.withhold && member(data, "choices").is_some_and(is_empty_list) {
            Pass::Withheld
        } else {
            Pass::On
        }
    }

    /// The answer is whole once every choice that has begun has told why it ended.
    fn see_choices(&mut self, choices: &[u8]) {
        for choice in items(choices) {
            let reason = member(choice, "finish_reason").unwrap_or_default();
            self.candidates.note(choice, reason.starts_with(b"\"") && reason != b"\"\"");
        }
        if self.state != State::Sealed {
            self.state = if self.candidates.are_over() { State::Complete } else { State::Running };
        }
    }

    /// The error that a chunk carries. The first one is looked at whole; later ones only where they begin with it or hold
    /// an object of that name.
    fn chat_error(&self, name: &[u8], data: &[u8]) -> Option<Refused> {
        let inside = data.get(skip_blank(data, 0)..)?.strip_prefix(b"{")?;
        let begins = inside.get(skip_blank(inside, 0)..)?.starts_with(b"\"error\"");
        let may = begins || name == b"error" || self.first == First::Pending;
        if !may && !has_value(&ERROR, data, b'{') {
            return None;
        }
        let carries = member(data, "error").is_some_and(|error| error != b"null");
        (carries || name == b"error").then(|| Refused::read(data))
    }

    fn see_response(&mut self, name: &[u8], data: &[u8]) -> Pass {
        // As the codec reads it: the data's word is the one that counts.
        let kind = Some(kind(b"", data)).filter(|kind| !kind.is_empty()).unwrap_or(name.into());
        match kind.as_ref() {
            b"ping" => return Pass::On,
            b"response.completed" | b"response.incomplete" | b"response.failed" => {
                self.read_response(member(data, "response").unwrap_or_default());
                if kind.as_ref() == b"response.failed" && self.first == First::Pending {
                    self.first = First::Error(Refused::read(data));
                }
                self.state = State::Sealed;
            }
            // The end may never come; until it does the tier is the one that was promised.
            b"response.created" => {
                let response = member(data, "response").unwrap_or_default();
                self.tokens.read_tier(member(response, "service_tier"));
                return self.see_unnamed(data);
            }
            b"error" => self.failed(Refused::read(data)),
            _ if is_done(data) => {}
            b"response.audio.delta" => {}
            delta if delta.ends_with(b".delta") => self.text_bytes += text::of_response_delta(data),
            _ => return self.see_unnamed(data),
        }
        self.began();
        Pass::On
    }

    fn see_anthropic(&mut self, name: &[u8], data: &[u8]) -> Pass {
        match kind(name, data).as_ref() {
            b"ping" => return Pass::On,
            b"message_start" => {
                if let Some(usage) = member(data, "message").and_then(|message| member(message, "usage")) {
                    self.read_usage(usage);
                    // Of the output only the first token is in it.
                    self.told = false;
                }
            }
            b"content_block_delta" => self.text_bytes += text::of_block_delta(data),
            b"message_delta" => {
                if let Some(usage) = member(data, "usage") {
                    self.read_usage(usage);
                }
            }
            b"message_stop" => self.state = State::Sealed,
            b"error" => self.failed(Refused::read(data)),
            _ => return self.see_unnamed(data),
        }
        self.began();
        Pass::On
    }

    /// An event of no special kind, which may still be a bare error object.
    fn see_unnamed(&mut self, data: &[u8]) -> Pass {
        let is_first = self.first == First::Pending;
        match is_first.then(|| self.chat_error(b"", data)).flatten() {
            Some(refused) => self.failed(refused),
            None => self.began(),
        }
        Pass::On
    }

    fn read_usage(&mut self, usage: &[u8]) {
        self.told |= self.tokens.read_in(self.dialect, usage);
    }

    fn read_response(&mut self, response: &[u8]) {
        if let Some(usage) = member(response, "usage") {
            self.read_usage(usage);
        }
        self.tokens.read_tier(member(response, "service_tier"));
        self.tokens.read_tools(member(response, "tool_usage"));
    }

    fn began(&mut self) {
        if self.first == First::Pending {
            self.first = First::Content;
        }
    }

    fn complete(&mut self) {
        if self.state == State::Running {
            self.state = State::Complete;
        }
    }

    fn failed(&mut self, refused: Refused) {
        if self.first == First::Pending {
            self.first = First::Error(refused);
        }
        self.erred = true;
    }
}

fn family(dialect: Dialect, endpoint: Endpoint) -> Family {
    match (dialect, endpoint) {
        (Dialect::Gemini, _) => Family::Gemini,
        (Dialect::BedrockConverse, Endpoint::Invoke) => Family::Invoked,
        (Dialect::BedrockConverse, _) => Family::Converse,
        (Dialect::CohereChat, _) => Family::Cohere,
        (
            _,
            Endpoint::ImagesGenerations
            | Endpoint::ImagesEdits
            | Endpoint::ImagesVariations
            | Endpoint::AudioSpeech
            | Endpoint::AudioTranscriptions
            | Endpoint::AudioTranslations,
        ) => Family::Media,
        (_, Endpoint::ChatCompletions | Endpoint::Completions) => Family::Chat,
        (_, Endpoint::Responses) | (Dialect::OpenaiResponses, _) => Family::Responses,
        (_, Endpoint::Messages | Endpoint::CountTokens) | (Dialect::AnthropicMessages, _) => {
            Family::Anthropic
        }
        (Dialect::OpenaiChat | Dialect::Unspecified, _) => Family::Chat,
    }
}

/// The event's kind: its name, or the `type` of its data.
fn kind<'a>(name: &'a [u8], data: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
    if !name.is_empty() {
        return name.into();
    }
    let quoted = member(data, "type").unwrap_or_default();
    let inner = quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.unwrap_or_default().into()
}

fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

fn is_last_media(kind: &[u8]) -> bool {
    matches!(
        kind,
        b"speech.audio.done"
            | b"transcript.text.done"
            | b"image_generation.completed"
            | b"image_edit.completed"
    )
}

/// One JSON object and nothing else.
fn is_whole(data: &[u8]) -> bool {
    let Ok(mut members) = Members::open(data, skip_blank(data, 0)) else { return false };
    loop {
        match members.next() {
            Ok(Some(_)) => {}
            Ok(None) => return skip_blank(data, members.end() + 1) == data.len(),
            Err(_) => return false,
        }
    }
}

/// True if the quoted key stands somewhere with a value that begins with `opening`. In text inside strings quotes are
/// escaped, so there it is not found.
fn has_value(key: &Finder<'_>, data: &[u8], opening: u8) -> bool {
    key.find_iter(data).any(|found| {
        let colon = skip_blank(data, found + key.needle().len());
        data.get(colon) == Some(&b':') && data.get(skip_blank(data, colon + 1)) == Some(&opening)
    })
}

fn is_empty_list(value: &[u8]) -> bool {
    value.strip_prefix(b"[").is_some_and(|rest| rest.get(skip_blank(rest, 0)) == Some(&b']'))
}
