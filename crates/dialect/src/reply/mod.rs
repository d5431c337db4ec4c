//! Finds what was used in a whole JSON reply while it passes, in constant memory and wherever chunks are cut: the member
//! `usage` of the outermost object, and not one inside text or nested content; the service tier; what is counted by
//! looking (images, seconds); and how much answer text there was, for where nothing is told.

mod name;
mod told;

#[cfg(test)]
mod tests;

use crate::scan::{member, next_mark};
use crate::usage::{OBJECT_LIMIT, Tokens, Usage, is_image};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, Meter, ServiceTier};
use memchr::memchr2;
use name::Name;

pub use told::told;

/// Watches one reply.
#[derive(Debug)]
pub struct UsageScan {
    dialect: Dialect,
    endpoint: Endpoint,
    place: Place,
    /// Brackets open at this point.
    depth: usize,
    /// The last byte outside of strings that is not white space: behind a colon stands a value.
    before: u8,
    /// The string that is being read, or the last one: behind its colon it is the key.
    word: Name,
    /// What the string that is being read is good for.
    reading: Reading,
    /// Digits of a Unicode escape that are still to come.
    digits: usize,
    /// The object that is kept for reading whole, while inside it.
    kept: Option<(Kept, Vec<u8>)>,
    /// The number behind `duration`.
    duration: Name,
    /// Depth of the arguments of a tool that stand as an object.
    arguments: Option<usize>,
    in_images: bool,
    images: u64,
    text_bytes: u64,
    spoken: u64,
    tokens: Tokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Between,
    Text,
    /// Behind a backslash inside a text.
    Escape,
    /// The reply is not an object, or its object has ended.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Nothing,
    Answer,
    ServiceTier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Usage,
    /// The member `type` of it.
    Tier,
    Tools,
}

// === impl UsageScan ===

impl UsageScan {
    /// Begins a reply.
    #[must_use]
    pub fn new(dialect: Dialect, endpoint: Endpoint) -> Self {
        Self {
            dialect,
            endpoint,
            place: Place::Between,
            depth: 0,
            before: 0,
            word: Name::default(),
            reading: Reading::Nothing,
            digits: 0,
            kept: None,
            duration: Name::default(),
            arguments: None,
            in_images: false,
            images: 0,
            text_bytes: 0,
            spoken: 0,
            tokens: Tokens::default(),
        }
    }

    /// The reply is what so many characters sound like.
    #[must_use]
    pub fn speaking(mut self, characters: u64) -> Self {
        self.spoken = characters;
        self
    }

    /// What headers say that was used: those with which Bedrock tells it of a model that is invoked in its own words.
    #[must_use]
    pub fn heralded<'a>(mut self, header: impl Fn(&str) -> Option<&'a str>) -> Self {
        self.tokens.take(crate::bedrock_converse::heralded(&header));
        if let Some(tier) = header("x-amzn-bedrock-service-tier") {
            self.tokens.name_tier(Some(tier.as_bytes()));
        }
        self
    }

    /// Looks at the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let (from, keeps, argues) = (at, self.kept.is_some(), self.arguments.is_some());
            at = match self.place {
                Place::Over => return,
                Place::Text => self.in_text(bytes, at),
                Place::Escape => self.escaped(bytes, at),
                Place::Between if self.depth == 0 => self.before_all(bytes, at),
                Place::Between => self.between(bytes, at),
            };
            let passed = bytes.get(from..at).unwrap_or_default();
            if argues {
                self.text_bytes += passed.len() as u64;
            }
            if keeps {
                self.keep(passed);
            }
        }
    }

    /// What the reply has used, as it says itself and as can be counted; none where neither says anything.
    #[must_use]
    pub fn finish(self) -> Option<Usage> {
        let told = self.tokens.usage(self.dialect, self.endpoint);
        let told = told.filter(|usage| usage.accounts_for(self.text_bytes, self.endpoint));
        let heard = if told.is_none() { self.duration.millis() } else { 0 };
        let seen = [
            (Meter::Images, self.images),
            (Meter::Characters, self.spoken),
            (Meter::AudioMilliseconds, heard),
        ];
        let counted = seen.iter().any(|(_, count)| *count > 0);
        // Counting the tokens of a prompt takes none.
        let nothing = counted || self.endpoint == Endpoint::CountTokens;
        let mut usage = told.or(nothing.then(|| Usage::estimated(0, 0, self.tokens.service_tier())))?;
        seen.iter().filter(|(_, count)| *count > 0).for_each(|(meter, count)| usage.set(*meter, *count));
        Some(usage)
    }

    /// Bytes of answer text so far (content, reasoning, arguments of tools), escapes undone.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// The service tier that the reply says it was served with.
    #[must_use]
    pub fn service_tier(&self) -> ServiceTier {
        self.tokens.service_tier()
    }

    /// Up to the brace that opens the reply.
    fn before_all(&mut self, bytes: &[u8], at: usize) -> usize {
        match bytes.get(at).copied().unwrap_or_default() {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'{' => self.depth = 1,
            _ => self.place = Place::Over,
        }
        at + 1
    }

    /// Goes on to the next quote or bracket.
    fn between(&mut self, bytes: &[u8], at: usize) -> usize {
        let found = next_mark(bytes, at);
        let gap = bytes.get(at..found.map_or(bytes.len(), |(mark, _)| mark)).unwrap_or_default();
        if let Some(last) = gap.iter().rev().find(|byte| !byte.is_ascii_whitespace()) {
            self.before = *last;
        }
        if self.depth == 1 && self.word.is(b"duration") {
            self.duration.extend(gap);
        }
        let Some((mark, kind)) = found else { return bytes.len() };
        match kind {
            b'"' => self.open_text(),
            b'{' | b'[' => self.open(kind),
            _ => self.close(),
        }
        mark + 1
    }

    fn open_text(&mut self) {
        let value = self.before == b':' && self.arguments.is_none();
        self.reading = match self.word.get() {
            Some(b"service_tier") if value && self.depth == 1 => Reading::ServiceTier,
            Some(key) if value && is_answer(key) => Reading::Answer,
            _ => Reading::Nothing,
        };
        self.word = Name::default();
        self.place = Place::Text;
    }

    fn open(&mut self, bracket: u8) {
        let key = self.word.get().filter(|_| self.before == b':').unwrap_or_default();
        match (key, self.depth, bracket) {
            (key, 1, b'{') if key == usage_key(self.dialect, self.endpoint) => {
                self.kept = Some((Kept::Usage, vec![b'{']));
            }
            (b"serviceTier", 1, b'{') => self.kept = Some((Kept::Tier, vec![b'{'])),
            (b"tool_usage", 1, b'{') => self.kept = Some((Kept::Tools, vec![b'{'])),
            (b"data", 1, b'[') => self.in_images = is_image(self.endpoint),
            (_, 2, b'{') if self.in_images => self.images += 1,
            (key, _, b'{') if self.arguments.is_none() && key == arguments_key(self.dialect) => {
                self.arguments = Some(self.depth);
                self.text_bytes += 1;
            }
            _ => {}
        }
        self.depth += 1;
        self.before = bracket;
        self.word = Name::default();
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.before = b'}';
        self.word = Name::default();
        self.arguments = self.arguments.filter(|outside| self.depth > *outside);
        match self.depth {
            0 => self.place = Place::Over,
            1 => self.in_images = false,
            _ => {}
        }
    }

    /// Goes on in a text to its end or its next backslash.
    fn in_text(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = memchr2(b'"', b'\\', rest);
        let text = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
        self.word.extend(text);
        let digits = self.digits.min(text.len());
        self.digits -= digits;
        if self.reading == Reading::Answer {
            self.text_bytes += (text.len() - digits) as u64;
        }
        let Some(length) = found else { return bytes.len() };
        if rest.get(length) == Some(&b'"') {
            self.close_text();
        } else {
            self.place = Place::Escape;
        }
        at + length + 1
    }

    fn close_text(&mut self) {
        if self.reading == Reading::ServiceTier {
            self.tokens.name_tier(self.word.get());
        }
        (self.reading, self.digits) = (Reading::Nothing, 0);
        (self.place, self.before) = (Place::Between, b'"');
    }

    /// One letter that a backslash escapes. What the digits of `\u` stand for is taken for three bytes.
    fn escaped(&mut self, bytes: &[u8], at: usize) -> usize {
        let unicode = bytes.get(at) == Some(&b'u');
        self.digits = if unicode { 4 } else { 0 };
        if self.reading == Reading::Answer {
            self.text_bytes += if unicode { 3 } else { 1 };
        }
        self.word.spoil();
        self.place = Place::Text;
        at + 1
    }

    fn keep(&mut self, part: &[u8]) {
        let Some((what, kept)) = &mut self.kept else { return };
        // One byte over the limit is kept, so that reading sees that it is too long.
        let free = (OBJECT_LIMIT + 1).saturating_sub(kept.len());
        kept.extend_from_slice(part.get(..free.min(part.len())).unwrap_or_default());
        if self.depth == 1 {
            match what {
                Kept::Usage => {
                    self.tokens.read_in(self.dialect, kept);
                }
                Kept::Tier => self.tokens.read_tier(member(kept, "type")),
                Kept::Tools => self.tokens.read_tools(Some(kept)),
            }
            self.kept = None;
        }
    }
}

/// What no key is: an item of a list has the empty one.
const NO_KEY: &[u8] = b"\0";

/// The outermost member that tells what was used.
fn usage_key(dialect: Dialect, endpoint: Endpoint) -> &'static [u8] {
    match (dialect, endpoint) {
        (Dialect::Gemini, _) => b"usageMetadata",
        (Dialect::CohereChat, Endpoint::Embeddings | Endpoint::Rerank) => b"meta",
        // In the words of the model, which headers say again.
        (_, Endpoint::Invoke) => NO_KEY,
        _ => b"usage",
    }
}

/// The member that holds a tool's arguments as an object.
fn arguments_key(dialect: Dialect) -> &'static [u8] {
    match dialect {
        Dialect::AnthropicMessages | Dialect::BedrockConverse => b"input",
        Dialect::Gemini => b"args",
        Dialect::Unspecified | Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::CohereChat => NO_KEY,
    }
}

/// Keys whose strings are what the model said.
fn is_answer(key: &[u8]) -> bool {
    matches!(
        key,
        b"content"
            | b"text"
            | b"refusal"
            | b"reasoning_content"
            | b"reasoning"
            | b"thinking"
            | b"arguments"
            | b"tool_plan"
    )
}
