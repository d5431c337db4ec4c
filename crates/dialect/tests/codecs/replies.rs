//! Replies of providers, told to callers of other dialects: what a caller does not hear of them is what losses.toml lists
//! under `reply`, and nothing else. Streams say what whole replies say (`fixtures`).

use super::crossings::{listed, said as can_say};
use super::fixtures::cases;
use super::ground::{asked, codecs, name, named, target};
use keyway_dialect::canon::{
    Block, CallKind, Choice, Citation, Media, Part, Raw, Reasoning, Response, Source, Stop, StopReason,
};
use keyway_dialect::losses::{Thing, untold};
use keyway_dialect::quirk::Quirks;
use keyway_dialect::usage::Usage;
use keyway_proto::snapshot::v1::Meter;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// What is said of a picture where an answer cannot hold it.
const PICTURE: &str = "[a picture, which this API cannot carry]";

/// What a reply says of one thing.
type Told = fn(&Response) -> String;

/// What a reply tells, each by its name in losses.toml.
const TOLD: [(&str, Told); 17] = [
    ("words", |reply| {
        texts(reply, |part| match part {
            Part::Text { text, .. } | Part::Refusal(text) => Some(text).filter(|text| *text != PICTURE),
            _ => None,
        })
    }),
    ("refusal", |reply| texts(reply, |part| if let Part::Refusal(text) = part { Some(text) } else { None })),
    ("thoughts", |reply| texts(reply, |part| thought(part).map(|thought| &thought.text))),
    ("seals", |reply| list(reply, |part| sealed(part).then(|| "sealed".to_owned()))),
    ("calls", |reply| list(reply, call)),
    ("pictures", |reply| list(reply, picture)),
    ("sound", |reply| {
        list(reply, |part| if let Part::Sound(sound) = part { Some(sound.data.clone()) } else { None })
    }),
    ("sources", |reply| cited(reply, |one| one.url.clone().or_else(|| one.title.clone()))),
    ("quotes", |reply| cited(reply, |one| one.quote.clone().filter(|quote| !quote.is_empty()))),
    ("probabilities", |reply| tokens(reply.choices.iter().flat_map(|choice| &choice.logprobs))),
    ("answers", |reply| reply.choices.len().to_string()),
    ("reason", |reply| stops(reply, |stop| reason(stop.reason).to_owned())),
    ("stop_sequence", |reply| stops(reply, |stop| format!("{:?}", stop.sequence))),
    ("tokens", |reply| counts(reply, |usage| vec![usage.input_total(), usage.output_total()])),
    ("cached_tokens", |reply| {
        counts(reply, |usage| vec![usage.get(Meter::CacheRead) + usage.get(Meter::CacheReadAudio)])
    }),
    ("reasoning_tokens", |reply| counts(reply, |usage| vec![usage.reasoning()])),
    ("tier", |reply| reply.service_tier.is_some().to_string()),
];

#[test]
fn what_callers_do_not_hear_is_listed_and_nothing_else_is() {
    let quirks = Quirks::default();
    let mut found = BTreeSet::new();
    let mut why = Vec::new();
    for (from, case) in cases() {
        let Ok(body) = fs::read(case.join("response.json")) else { continue };
        let response = from.decode_response(&body, &target(&quirks)).unwrap();
        let parts = || response.choices.iter().flat_map(|choice| &choice.blocks).map(|block| &block.part);
        let free = parts().any(|part| matches!(part, Part::Call(call) if call.kind == CallKind::Custom));
        for (to, to_name) in codecs().into_iter().filter(|(to, _)| to.dialect() != from.dialect()) {
            // Only who can ask for free text as arguments, or for probabilities, gets them.
            if free && can_say(to, Thing::CustomCall).is_none() {
                continue;
            }
            let asks = |what| what != "probabilities" || can_say(to, Thing::Logprobs).is_some();
            let heard = to.encode_response(&response, &asked());
            let heard = to.decode_response(&heard, &target(&quirks)).unwrap();
            let named: BTreeSet<&str> = untold(&response, to.dialect()).collect();
            for (what, of) in TOLD.into_iter().filter(|(what, _)| asks(*what)) {
                let (before, after) = (of(&response), of(&heard));
                let case = case.display();
                // A seal that only names the maker may be one where dialects must have one.
                let lost = if what == "seals" { before.len() > after.len() } else { before != after };
                assert_eq!(lost, named.contains(what), "{what} of {case} to {to_name}");
                if lost && found.insert((what.to_owned(), to_name.to_owned())) {
                    let from = name(from.dialect());
                    why.push(format!("{what} from {from} to {to_name} ({case}): {before} became {after}",));
                }
            }
        }
    }
    let expected: BTreeSet<(String, String)> =
        listed().reply.iter().map(|loss| (loss.thing.clone(), loss.to.clone())).collect();
    let untrue: Vec<_> = expected.difference(&found).collect();
    assert!(found == expected, "{why:#?}\nlisted but heard: {untrue:#?}");
}

#[test]
fn a_picture_that_cannot_be_shown_is_spoken_of() {
    let quirks = Quirks::default();
    let media = Media {
        source: Source::Inline { media_type: "image/png".into(), data: "AAAA".into() },
        detail: None,
    };
    let mut reply = Response::default();
    let stop = Some(Stop::new(StopReason::End, None));
    reply.choices.push(Choice { blocks: vec![Block::new(Part::Image(media))], stop, ..Choice::default() });
    for (to, name) in codecs() {
        let heard = to.decode_response(&to.encode_response(&reply, &asked()), &target(&quirks)).unwrap();
        let spoken = parts(&heard).any(|part| matches!(part, Part::Text { text, .. } if text == PICTURE));
        let shown = parts(&heard).any(|part| picture(part).is_some());
        assert!(spoken != shown, "{name}: {heard:?}");
    }
}

/// Found by fuzzing: as a stream it would have had an end and no reason for it.
#[test]
fn a_chat_reply_without_an_answer_is_malformed() {
    let quirks = Quirks::default();
    for (choices, reads) in
        [("", false), (r#"{"index":0,"message":{"role":"assistant","content":null}}"#, true)]
    {
        let body = format!(r#"{{"id":"a","model":"m","choices":[{choices}],"usage":{{"prompt_tokens":1}}}}"#);
        let read = named("openai-chat").decode_response(body.as_bytes(), &target(&quirks));
        assert_eq!(read.is_ok(), reads, "{read:?}");
    }
}

#[test]
fn every_thing_that_is_compared_is_in_some_reply() {
    let quirks = Quirks::default();
    for (what, of) in TOLD {
        let nothing = of(&Response::default());
        let told = cases().into_iter().any(|(codec, case)| {
            let body = fs::read(case.join("response.json")).ok();
            let reply = body.and_then(|body| codec.decode_response(&body, &target(&quirks)).ok());
            reply.is_some_and(|reply| of(&reply) != nothing)
        });
        // Sound comes from OpenAI alone, to who asked for it, and no other dialect can ask.
        assert!(told || what == "sound", "no fixture has {what}");
    }
}

fn parts(reply: &Response) -> impl Iterator<Item = &Part> {
    reply.choices.iter().flat_map(|choice| &choice.blocks).map(|Block { part, .. }| part)
}

fn texts(reply: &Response, of: impl Fn(&Part) -> Option<&String>) -> String {
    parts(reply).filter_map(of).map(String::as_str).collect()
}

fn list(reply: &Response, of: impl Fn(&Part) -> Option<String>) -> String {
    format!("{:?}", parts(reply).filter_map(of).collect::<Vec<_>>())
}

fn thought(part: &Part) -> Option<&Reasoning> {
    if let Part::Reasoning(thought) = part { Some(thought) } else { None }
}

fn sealed(part: &Part) -> bool {
    let seal = thought(part).and_then(|thought| thought.seal.as_ref());
    seal.is_some_and(|seal| !seal.is_bare())
}

/// A call by its name and what its arguments say.
fn call(part: &Part) -> Option<String> {
    let Part::Call(call) = part else { return None };
    let arguments = serde_json::from_str::<Value>(&call.arguments).map(|value| value.to_string());
    Some(format!("{} {}", call.name, arguments.unwrap_or_else(|_| call.arguments.clone())))
}

fn picture(part: &Part) -> Option<String> {
    let Part::Image(Media { source: Source::Inline { media_type, data }, .. }) = part else { return None };
    Some(format!("{media_type} {data}"))
}

fn cited(reply: &Response, of: fn(&Citation) -> Option<String>) -> String {
    let citations = parts(reply).filter_map(|part| match part {
        Part::Text { citations, .. } => Some(citations),
        _ => None,
    });
    format!("{:?}", citations.flatten().filter_map(of).collect::<Vec<_>>())
}

/// Why it ended, as far as most dialects tell: what ended it has a field of its own, and a refusal and a filter have one word.
fn reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::End | StopReason::Sequence => "complete",
        StopReason::Length | StopReason::ContextFull => "length",
        StopReason::Call => "calls",
        StopReason::Filtered | StopReason::Refused => "refused",
        StopReason::Paused => "paused",
        StopReason::BrokenCall => "broken",
        StopReason::Other => "other",
    }
}

/// The tokens and their probabilities, without bytes and alternatives.
fn tokens<'a>(all: impl Iterator<Item = &'a Raw>) -> String {
    let lists = all.map(|raw| serde_json::from_str::<Vec<Value>>(raw.as_str()).unwrap());
    let of = |one: Value| format!("{} {}", one["token"], one["logprob"]);
    format!("{:?}", lists.flatten().map(of).collect::<Vec<_>>())
}

fn stops(reply: &Response, of: impl Fn(&Stop) -> String) -> String {
    format!(
        "{:?}",
        reply.choices.iter().filter_map(|choice| choice.stop.as_ref()).map(of).collect::<Vec<_>>()
    )
}

fn counts(reply: &Response, of: impl Fn(&Usage) -> Vec<u64>) -> String {
    format!("{:?}", of(&reply.usage.unwrap_or_default()))
}
