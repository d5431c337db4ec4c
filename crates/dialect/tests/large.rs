//! Bodies at the bounds of what is read: time grows with the body, not with its square.

use keyway_dialect::canon::{
    Block, Call, CallKind, Extra, Part, Raw, Reasoning, Request, Role, Seal, SealKind, ToolResult, Turn,
};
use keyway_dialect::codec::{Envelope, Target, codec};
use keyway_dialect::quirk::Quirks;
use keyway_proto::snapshot::v1::Dialect;
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

#[test]
fn time_grows_with_the_body() {
    let quirks = Quirks::default();
    let target = Target { provider: "p", model: "m", quirks: &quirks };
    let envelope = Envelope { model: "m", stream: false };
    for from in DIALECTS.into_iter().filter_map(codec) {
        for kind in 0..4 {
            let of = |count| {
                let made = request(from.dialect(), kind, count);
                let body = from.encode_request(&made, &target).unwrap().body;
                let begun = cpu();
                let decoded = from.decode_request(&body, &envelope).unwrap();
                let read = cpu() - begun;
                let mut all = vec![("read", read)];
                for to in DIALECTS.into_iter().filter_map(codec).filter(|to| to.dialect() != from.dialect()) {
                    let begun = cpu();
                    let _ = to.encode_request(&decoded, &target);
                    all.push((to.dialect().as_str_name(), cpu() - begun));
                }
                all
            };
            for ((name, short), (_, long)) in of(500).into_iter().zip(of(4000)) {
                // Eight times the body; twice that much time is not its square.
                let most = short * 16 + SLACK;
                assert!(long < most, "{:?} to {name}, kind {kind}: {short:?}, {long:?}", from.dialect());
            }
        }
    }
}
