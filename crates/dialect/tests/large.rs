//! Bodies at the bounds of what is read: time grows with the body, not with its square.

use keyway_dialect::canon::{
    Block, Call, CallKind, Extra, Part, Raw, Reasoning, Request, Role, Seal, SealKind, ToolResult, Turn,
};
use keyway_dialect::codec::{Codec, Envelope, Target, codec};
use keyway_dialect::quirk::Quirks;
use keyway_proto::snapshot::v1::Dialect;
use std::error::Error;
use std::time::Duration;

const DIALECTS: [Dialect; 6] = [
    Dialect::OpenaiChat,
    Dialect::OpenaiResponses,
    Dialect::AnthropicMessages,
    Dialect::Gemini,
    Dialect::BedrockConverse,
    Dialect::CohereChat,
];

/// What caches and the allocator may add.
const SLACK: Duration = Duration::from_millis(20);

/// Measurements of which one within the bound is enough.
const TRIES: usize = 5;

/// Time of this thread's processor: others on the machine make that no longer.
fn cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

/// Calls with results, thoughts, unknown members, or calls of one id.
fn request(origin: Dialect, kind: usize, count: usize) -> Request {
    let mut request = Request::new(origin, "m");
    request.max_tokens = Some(64_000);
    let turn = |role, part| Turn::new(role, vec![Block::new(part)]);
    for at in 0..count {
        let id = format!("call_{at}");
        match kind {
            0 => {
                let arguments = "{}".to_owned();
                let call =
                    Call { id: id.clone(), name: format!("look{at}"), arguments, kind: CallKind::Function };
                request.turns.push(turn(Role::Assistant, Part::Call(Box::new(call))));
                let content = vec![Block::text("r")];
                let result = ToolResult { call: id, name: None, content, is_error: None };
                request.turns.push(turn(Role::User, Part::Result(Box::new(result))));
            }
            1 => {
                let value = "c2ln".to_owned();
                let seal = Seal { dialect: origin, provider: None, kind: SealKind::Signature, value };
                let thought = Reasoning { id: None, text: "t".to_owned(), seal: Some(seal) };
                request.turns.push(turn(Role::Assistant, Part::Reasoning(Box::new(thought))));
            }
            2 => {
                let mut said = turn(Role::User, Part::Text { text: "hi".to_owned(), citations: Vec::new() });
                let raw = Raw::parse("1").into_iter();
                said.extra.extend(raw.map(|raw| Extra { name: "later".into(), within: "", raw }));
                request.turns.push(said);
            }
            _ => {
                let call = Call {
                    id: "same".into(),
                    name: "look".into(),
                    arguments: "{}".into(),
                    kind: CallKind::Function,
                };
                request.turns.push(turn(Role::Assistant, Part::Call(Box::new(call))));
            }
        }
    }
    if kind != 2 {
        request.turns.push(turn(Role::User, Part::Text { text: "hi".to_owned(), citations: Vec::new() }));
    }
    request
}

/// Times of reading a body of `count` parts and of writing it in each other dialect.
fn times(
    from: &dyn Codec,
    kind: usize,
    count: usize,
) -> Result<Vec<(&'static str, Duration)>, Box<dyn Error>> {
    let quirks = Quirks::default();
    let target = Target { provider: "p", model: "m", quirks: &quirks };
    let body = from.encode_request(&request(from.dialect(), kind, count), &target)?.body;
    let begun = cpu();
    let decoded = from.decode_request(&body, &Envelope { model: "m", stream: false })?;
    let mut all = vec![("read", cpu() - begun)];
    for to in DIALECTS.into_iter().filter_map(codec).filter(|to| to.dialect() != from.dialect()) {
        let begun = cpu();
        let _ = to.encode_request(&decoded, &target);
        all.push((to.dialect().as_str_name(), cpu() - begun));
    }
    Ok(all)
}

/// The first crossing whose time grew faster than its body, if any.
fn slow(from: &dyn Codec, kind: usize) -> Result<Option<String>, Box<dyn Error>> {
    let mut both = times(from, kind, 500)?.into_iter().zip(times(from, kind, 4000)?);
    // Eight times the body; twice that much time is not its square.
    let found = both.find(|((_, short), (_, long))| *long >= *short * 16 + SLACK);
    Ok(found.map(|((name, short), (_, long))| format!("to {name}: {short:?}, {long:?}")))
}

#[test]
fn time_grows_with_the_body() -> Result<(), Box<dyn Error>> {
    for from in DIALECTS.into_iter().filter_map(codec) {
        for kind in 0..4 {
            // A busy machine may slow one measurement; what is quadratic is slow in each.
            let mut found = slow(from, kind)?;
            for _ in 1..TRIES {
                found = if found.is_some() { slow(from, kind)? } else { None };
            }
            assert!(found.is_none(), "{:?}, kind {kind}: {found:?}", from.dialect());
        }
    }
    Ok(())
}
