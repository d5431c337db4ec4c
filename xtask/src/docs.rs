//! Writes docs/dialects.md from what `crates/dialect/losses.toml` lists, which a test holds the codecs to.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::{error::Error, fmt::Write as _, fs};

/// Where the page stands.
pub(crate) const PAGE: &str = "docs/dialects.md";
const LOSSES: &str = "crates/dialect/losses.toml";
/// Dialects in the order of the page, with the column's head.
const DIALECTS: [(&str, &str); 6] = [
    ("openai-chat", "OpenAI chat"),
    ("openai-responses", "Responses"),
    ("anthropic-messages", "Anthropic"),
    ("gemini", "Gemini"),
    ("bedrock-converse", "Bedrock"),
    ("cohere-chat", "Cohere"),
];

#[derive(Deserialize)]
struct Listed {
    operation: Vec<Loss>,
    reply: Vec<Unheard>,
    /// What of a reply is meant.
    heard: BTreeMap<String, String>,
    meaning: BTreeMap<String, String>,
    says: BTreeMap<String, BTreeSet<String>>,
    loss: Vec<Loss>,
}

#[derive(Deserialize)]
struct Loss {
    /// The operation; conversations have none.
    of: Option<String>,
    thing: String,
    /// None is every dialect that can say it.
    from: Option<String>,
    to: String,
    harmless: bool,
}

/// What callers of a dialect do not hear of a reply.
#[derive(Deserialize)]
struct Unheard {
    thing: String,
    to: String,
}

/// What becomes of a thing on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unsaid,
    Carried,
    Dropped,
    Refused,
}

/// The page.
pub(crate) fn dialects() -> Result<String, Box<dyn Error>> {
    let listed: Listed = toml::from_str(&fs::read_to_string(LOSSES)?)?;
    let mut page = HEAD.to_owned();
    summary(&listed, &mut page)?;
    page.push_str(MIDDLE);
    for (to, head) in DIALECTS {
        target(&listed, to, head, &mut page)?;
    }
    page.push_str(REPLIES);
    replies(&listed, &mut page)?;
    page.push_str(OPERATIONS);
    for (of, head) in [("embeddings", "Embeddings"), ("rerank", "Rerank")] {
        operation(&listed, of, head, &mut page)?;
    }
    page.push_str(COUNTS);
    Ok(page)
}

/// How much each pair loses.
fn summary(listed: &Listed, page: &mut String) -> Result<(), Box<dyn Error>> {
    row(page, "from \\ to", DIALECTS.map(|(_, head)| head.to_owned()));
    rule(page, DIALECTS.len());
    for (from, head) in DIALECTS {
        let cells = DIALECTS.map(|(to, _)| {
            if from == to {
                return "as it is".to_owned();
            }
            let count =
                |fate| listed.meaning.keys().filter(|thing| listed.fate(thing, from, to) == fate).count();
            format!("{} · {} · {}", count(Fate::Carried), count(Fate::Dropped), count(Fate::Refused))
        });
        row(page, head, cells);
    }
    writeln!(page)?;
    Ok(())
}

/// What is lost on the way to one dialect, by caller.
fn target(listed: &Listed, to: &str, head: &str, page: &mut String) -> Result<(), Box<dyn Error>> {
    let callers: Vec<(&str, &str)> = DIALECTS.into_iter().filter(|(from, _)| *from != to).collect();
    writeln!(page, "### To {head} (`{to}`)\n")?;
    row(page, "what", callers.iter().map(|(_, head)| (*head).to_owned()));
    rule(page, callers.len());
    for (thing, meaning) in &listed.meaning {
        let fates: Vec<Fate> = callers.iter().map(|(from, _)| listed.fate(thing, from, to)).collect();
        if fates.iter().any(|fate| matches!(fate, Fate::Dropped | Fate::Refused)) {
            row(page, meaning, fates.iter().map(|fate| fate.word().to_owned()));
        }
    }
    writeln!(page)?;
    Ok(())
}

/// What callers do not hear of replies, by their dialect.
fn replies(listed: &Listed, page: &mut String) -> Result<(), Box<dyn Error>> {
    row(page, "what", DIALECTS.map(|(_, head)| head.to_owned()));
    rule(page, DIALECTS.len());
    for (thing, meaning) in &listed.heard {
        let cells = DIALECTS.map(|(to, _)| {
            let lost = listed.reply.iter().any(|unheard| unheard.thing == *thing && unheard.to == to);
            if lost { "not told" } else { "" }.to_owned()
        });
        row(page, &format!("`reply.{thing}`: {meaning}"), cells);
    }
    writeln!(page)?;
    Ok(())
}

fn operation(listed: &Listed, of: &str, head: &str, page: &mut String) -> Result<(), Box<dyn Error>> {
    let losses: Vec<&Loss> = listed.operation.iter().filter(|loss| loss.of.as_deref() == Some(of)).collect();
    let targets: BTreeSet<&str> = losses.iter().map(|loss| loss.to.as_str()).collect();
    writeln!(page, "### {head}\n")?;
    row(page, "what", targets.iter().map(|to| format!("to {to}")));
    rule(page, targets.len());
    let things: BTreeSet<&str> = losses.iter().map(|loss| loss.thing.as_str()).collect();
    for thing in things {
        let cells = targets.iter().map(|to| {
            let found = losses.iter().find(|loss| loss.thing == thing && loss.to == *to);
            found.map_or("", |loss| fate(loss).word()).to_owned()
        });
        row(page, listed.meaning.get(thing).map_or(thing, String::as_str), cells);
    }
    writeln!(page)?;
    Ok(())
}

fn row(page: &mut String, head: &str, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    page.push_str(&format!("| {head} | {} |\n", cells.join(" | ")));
}

fn rule(page: &mut String, columns: usize) {
    page.push_str(&format!("| --- |{}\n", " --- |".repeat(columns)));
}

fn fate(loss: &Loss) -> Fate {
    if loss.harmless { Fate::Dropped } else { Fate::Refused }
}

// === impl Fate ===

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Unsaid => "",
            Self::Carried => "carried",
            Self::Dropped => "dropped",
            Self::Refused => "**refused**",
        }
    }
}

// === impl Listed ===

impl Listed {
    fn fate(&self, thing: &str, from: &str, to: &str) -> Fate {
        if !self.says.get(from).is_some_and(|says| says.contains(thing)) {
            return Fate::Unsaid;
        }
        let mut losses = self.loss.iter().filter(|loss| loss.thing == thing && loss.to == to);
        let lost = losses.find(|loss| loss.from.as_deref().is_none_or(|only| only == from));
        lost.map_or(Fate::Carried, fate)
    }
}

const HEAD: &str = "# Dialects

Written by `cargo xtask gen` from `crates/dialect/losses.toml`, which a test holds the code to.

A caller's SDK and a provider's API are chosen apart. Where both are the same, the body goes through as it is but for the model's name. Where they
differ, a request is read in the caller's dialect and written in the provider's, and the reply the other way, whole or event by event.

## What is carried

Between any two dialects, where both have it: system and developer text, turns, text, pictures, documents and sound in the body, tools with
their schemas, tool choice, calls and their results with errors and pictures, thoughts with their signatures, JSON by a schema, stop
sequences, sampling, probabilities, cache marks, labels, refusals, citations, reasons for an answer's end, counts of tokens with their cached and
reasoning parts, error bodies.

- **Signatures of thoughts** go back only to the provider that made them. A caller of another dialect gets them wrapped in a field that it sends again
  (`thinking.signature`, `thoughtSignature`, `encrypted_content`, `reasoning_details`); they are unwrapped for their maker and dropped for others.
- **Ids of calls** are rewritten where a dialect takes fewer characters, the same way each time.
- **Streams** go on event by event. What a dialect has only whole (a call in Gemini) waits until it is. A stream that breaks ends with the dialect's
  error event and without its end marker.

## What is not

Nothing is lost silently. What an answer does not depend on is **dropped**, and the reply's header `x-keyway-dropped` names it by its
path in the request. Anything else is **refused** with 400, `code: unsupported` and the path in `param`. Rows of the catalogue for a provider or
a model (`quirks`) can take away more than its dialect does.

Of each pair: things that can be said · dropped · refused.

";

const MIDDLE: &str = "What is in no table below is carried. An empty cell: that dialect cannot say it.

";

const REPLIES: &str = "## Replies

An answer from another dialect's provider is never refused. What a caller's dialect has no place for is left out, whole or in a stream alike. The header
of a whole reply names it after what the request lost (`reply.tier`); that of a stream goes out before it is known.

";

const OPERATIONS: &str = "## Beside conversations

";

const COUNTS: &str = "At Bedrock these are bodies for `InvokeModel` of Titan's text models (one text a request), Cohere's and Amazon's.

### Counts of tokens

From and to Anthropic (`/v1/messages/count_tokens`), Responses (`/v1/responses/input_tokens`), Gemini (`:countTokens`) and Bedrock (`/count-tokens`,
conversations only). OpenAI chat and Cohere have no such operation: a target that speaks only these refuses it. What a conversation loses on the way, its
count loses, too.
";
