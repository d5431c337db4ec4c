//! Requests of other dialects, in the provider's words.

use super::{ENVELOPE, target};
use crate::canon::{
    Block, Call, CallKind, Document, Effort, Media, Part, Reasoning, Request, Role, Seal, SealKind, Source,
    Thinking, ThinkingMode, Tool, ToolBody, ToolChoice, ToolResult, Turn,
};
use crate::codec::{Codec, Encoded};
use crate::gemini::{Gemini, wire};
use crate::losses::{Lost, Thing, Unsupported};
use crate::quirk::Quirks;
use keyway_proto::snapshot::v1::Dialect;
use serde_json::{Value, json};

fn turns(turns: Vec<Turn>) -> Request {
    let mut request = Request::new(Dialect::OpenaiChat, "asked");
    request.turns = turns;
    request
}

fn user(text: &str) -> Turn {
    Turn::new(Role::User, vec![Block::text(text)])
}

fn call(id: &str, name: &str, arguments: &str) -> Block {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    Block::new(Part::Call(Box::new(Call { id, name, arguments, kind: CallKind::Function })))
}

fn result(id: &str, content: Vec<Block>) -> Block {
    let result = ToolResult { call: id.to_owned(), name: None, content, is_error: None };
    Block::new(Part::Result(Box::new(result)))
}

fn sealed(dialect: Dialect, provider: &str, text: &str, value: &str) -> Block {
    let provider = Some(provider.to_owned());
    let seal = Seal { dialect, provider, kind: SealKind::Signature, value: value.to_owned() };
    Block::new(Part::Reasoning(Box::new(Reasoning { id: None, text: text.to_owned(), seal: Some(seal) })))
}

fn encoded(request: &Request, quirks: &Quirks) -> Result<(Value, Vec<Thing>), Unsupported> {
    let Encoded { body, lost } = Gemini.encode_request(request, &target(quirks))?;
    Ok((serde_json::from_slice(&body).unwrap(), lost.into_iter().map(|lost| lost.thing).collect()))
}

fn plain(request: &Request) -> (Value, Vec<Thing>) {
    encoded(request, &Quirks::default()).unwrap()
}

#[test]
fn system_text_leads_neighbours_join_and_empty_text_goes() {
    let request = turns(vec![
        Turn::new(Role::System, vec![Block::text("A")]),
        Turn::new(Role::Developer, vec![Block::text("B")]),
        user("Hi"),
        user(""),
        user("there"),
        Turn::new(Role::Assistant, vec![Block::text("")]),
        Turn::new(Role::System, vec![Block::text("Be brief")]),
    ]);
    let (body, lost) = plain(&request);
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "A"}, {"text": "B"}]}));
    let parts = json!([{"text": "Hi"}, {"text": "there"}, {"text": "Be brief"}]);
    assert_eq!(body["contents"], json!([{"role": "user", "parts": parts}]));
    assert_eq!(lost, [Thing::LateSystem]);
}

#[test]
fn system_text_alone_is_said_by_the_user() {
    let (body, lost) = plain(&turns(vec![Turn::new(Role::System, vec![Block::text("Tell me a joke")])]));
    assert_eq!(body["contents"], json!([{"role": "user", "parts": [{"text": "Tell me a joke"}]}]));
    assert_eq!((&body["systemInstruction"], lost), (&Value::Null, vec![Thing::LateSystem]));
}

#[test]
fn results_find_the_names_of_their_calls() {
    let image = Media {
        source: Source::Inline { media_type: "image/png".into(), data: "AAAA".into() },
        detail: None,
    };
    let request = turns(vec![
        user("Look"),
        Turn::new(
            Role::Assistant,
            vec![call("x", "look", "{\"a\": 1}"), call("y", "read", ""), call("z", "cut", "{\"a")],
        ),
        Turn::new(
            Role::User,
            vec![result("x", vec![Block::text("1"), Block::text("2"), Block::new(Part::Image(image))])],
        ),
        Turn::new(Role::User, vec![result("y", vec![]), result("z", vec![Block::text("{}")])]),
    ]);
    let (body, lost) = plain(&request);
    let calls = json!([
        {"functionCall": {"id": "x", "name": "look", "args": {"a": 1}}},
        {"functionCall": {"id": "y", "name": "read", "args": {}}},
        {"functionCall": {"id": "z", "name": "cut", "args": {"_raw": "{\"a"}}},
    ]);
    assert_eq!(body["contents"][1], json!({"role": "model", "parts": calls}));
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let answers = json!([
        {"functionResponse": {"id": "x", "name": "look", "response": {"output": "1\n2"}, "parts": [picture]}},
        {"functionResponse": {"id": "y", "name": "read", "response": {"output": ""}}},
        {"functionResponse": {"id": "z", "name": "cut", "response": {"output": "{}"}}},
    ]);
    assert_eq!(body["contents"][2], json!({"role": "user", "parts": answers}));
    assert_eq!(lost, []);
    let (body, _) = encoded(&request, &Quirks { no_result_media: true, ..Quirks::default() }).unwrap();
    assert_eq!(body["contents"][2]["parts"][1], picture);
}

#[test]
fn thoughts_go_back_to_their_maker_only() {
    let turn = |provider, dialect| {
        let blocks = vec![
            sealed(dialect, provider, "Hm", ""),
            sealed(dialect, provider, "", "c2ln"),
            call("x", "look", "{}"),
        ];
        turns(vec![
            user("Look"),
            Turn::new(Role::Assistant, blocks),
            Turn::new(Role::User, vec![result("x", vec![])]),
        ])
    };
    let (body, lost) = plain(&turn("google", Dialect::Gemini));
    let signed = json!({"functionCall": {"id": "x", "name": "look", "args": {}}, "thoughtSignature": "c2ln"});
    assert_eq!(body["contents"][1]["parts"], json!([{"text": "Hm", "thought": true}, signed]));
    assert_eq!(lost, []);
    for (provider, dialect) in [("vertex", Dialect::Gemini), ("anthropic", Dialect::AnthropicMessages)] {
        let (body, lost) = plain(&turn(provider, dialect));
        let unsigned = json!({"functionCall": {"id": "x", "name": "look", "args": {}}});
        assert_eq!((&body["contents"][1]["parts"], lost), (&json!([unsigned]), vec![Thing::Reasoning]));
        let quirks = Quirks { signed_calls: true, ..Quirks::default() };
        let (body, _) = encoded(&turn(provider, dialect), &quirks).unwrap();
        let unchecked = wire::base64("skip_thought_signature_validator");
        assert_eq!(body["contents"][1]["parts"][0]["thoughtSignature"], unchecked);
    }
}

#[test]
fn another_makers_seal_goes_through_a_caller_and_back() {
    let seal = Seal {
        dialect: Dialect::AnthropicMessages,
        provider: Some("anthropic".to_owned()),
        kind: SealKind::Encrypted,
        value: "EqQB+/=".to_owned(),
    };
    let signature = wire::signature(&seal).unwrap();
    // The SDK reads bytes and writes them in the other alphabet.
    for sent in [signature.clone(), signature.replace('+', "-").replace('/', "_")] {
        let body =
            json!({"contents": [{"role": "model", "parts": [{"text": "Well", "thoughtSignature": sent}]}]});
        let request = Gemini.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
        let Part::Reasoning(thought) = &request.turns[0].blocks[0].part else { panic!("{request:?}") };
        assert_eq!(thought.seal.as_ref(), Some(&seal));
    }
}

/// The SDK gives thoughts back as they streamed: text in parts of its own, the seal on what followed.
#[test]
fn another_makers_thought_is_one_again() {
    let seal = Seal {
        dialect: Dialect::AnthropicMessages,
        provider: Some("p".into()),
        kind: SealKind::Signature,
        value: "SIG".into(),
    };
    let signature = wire::signature(&seal);
    let thought = |text: &str| json!({"text": text, "thought": true});
    let call = json!({"functionCall": {"name": "look", "args": {}}, "thoughtSignature": signature});
    let alone = json!({"text": "", "thought": true, "thoughtSignature": signature});
    for parts in
        [json!([thought("one "), thought("two"), call]), json!([thought("one "), thought("two"), alone])]
    {
        let body = json!({"contents": [{"role": "model", "parts": parts}]}).to_string();
        let request = Gemini.decode_request(body.as_bytes(), &ENVELOPE).unwrap();
        let thoughts: Vec<(&str, Option<&Seal>)> = request.turns[0]
            .blocks
            .iter()
            .filter_map(|block| match &block.part {
                Part::Reasoning(thought) => Some((thought.text.as_str(), thought.seal.as_ref())),
                _ => None,
            })
            .collect();
        assert_eq!(thoughts, [("one two", Some(&seal))], "{body}");
    }
}

#[test]
fn thinking_is_a_level_or_a_budget() {
    let table = [
        (None, Some(Effort::High), false, json!({"thinkingLevel": "HIGH", "includeThoughts": true})),
        (None, Some(Effort::Max), false, json!({"thinkingLevel": "XHIGH", "includeThoughts": true})),
        (None, Some(Effort::High), true, json!({"thinkingBudget": 24576, "includeThoughts": true})),
        (None, Some(Effort::None), false, json!({"thinkingBudget": 0})),
        (Some(ThinkingMode::Off), None, false, json!({"thinkingBudget": 0})),
        (
            Some(ThinkingMode::Budget(2048)),
            None,
            false,
            json!({"thinkingBudget": 2048, "includeThoughts": true}),
        ),
        (Some(ThinkingMode::Adaptive), None, false, json!({"thinkingBudget": -1, "includeThoughts": true})),
        (
            Some(ThinkingMode::Adaptive),
            Some(Effort::Low),
            false,
            json!({"thinkingLevel": "LOW", "includeThoughts": true}),
        ),
        (None, None, false, Value::Null),
    ];
    for (mode, effort, thinking_budget, expected) in table {
        let mut request = turns(vec![user("Hi")]);
        request.thinking = Thinking { mode, effort, shown: None, sealed: false };
        let (body, lost) = encoded(&request, &Quirks { thinking_budget, ..Quirks::default() }).unwrap();
        assert_eq!(body["generationConfig"]["thinkingConfig"], expected, "{mode:?} {effort:?}");
        assert_eq!(lost, []);
    }
}

#[test]
fn choices_of_tools_have_modes() {
    let names = || vec!["a".to_owned(), "b".to_owned()];
    let table = [
        (ToolChoice::Auto, json!({"mode": "AUTO"})),
        (ToolChoice::None, json!({"mode": "NONE"})),
        (ToolChoice::Required, json!({"mode": "ANY"})),
        (ToolChoice::Named("a".to_owned()), json!({"mode": "ANY", "allowedFunctionNames": ["a"]})),
        (
            ToolChoice::Subset { required: true, names: names() },
            json!({"mode": "ANY", "allowedFunctionNames": ["a", "b"]}),
        ),
        (
            ToolChoice::Subset { required: false, names: names() },
            json!({"mode": "VALIDATED", "allowedFunctionNames": ["a", "b"]}),
        ),
    ];
    for (choice, expected) in table {
        let mut request = turns(vec![user("Hi")]);
        let body = ToolBody::Function { name: "a".to_owned(), description: None, schema: None, strict: None };
        request.tools.push(Tool { body, cache: None, at: None, extra: Vec::new() });
        request.tool_choice = Some(choice.clone());
        let (body, _) = plain(&request);
        assert_eq!(body["toolConfig"]["functionCallingConfig"], expected);
        request.origin = Dialect::Gemini;
        let again = Gemini.decode_request(&super::encode(&request), &ENVELOPE).unwrap();
        assert_eq!(again.tool_choice, Some(choice));
        request.parallel_calls = Some(false);
        request.origin = Dialect::OpenaiChat;
        let dropped = Gemini.encode_request(&request, &target(&Quirks::default())).unwrap().lost;
        assert_eq!(dropped, [Lost { thing: Thing::ParallelOff, path: "parallel_tool_calls".into() }]);
    }
}

#[test]
fn documents_and_addresses() {
    let document = |source| {
        let document = Document { source, title: None, context: None, citations: None };
        turns(vec![Turn::new(Role::User, vec![Block::new(Part::Document(Box::new(document)))])])
    };
    let (body, _) = plain(&document(Source::Text("Héllo".to_owned())));
    let expected = json!({"inlineData": {"mimeType": "text/plain", "data": "SMOpbGxv"}});
    assert_eq!(body["contents"][0]["parts"][0], expected);
    let (body, _) = plain(&document(Source::Url("https://example.com/a.pdf".to_owned())));
    let expected =
        json!({"fileData": {"fileUri": "https://example.com/a.pdf", "mimeType": "application/pdf"}});
    assert_eq!(body["contents"][0]["parts"][0], expected);
    let refused = encoded(&document(Source::File("file-1".to_owned())), &Quirks::default());
    assert_eq!(refused.unwrap_err().thing, Thing::File);
}

#[test]
fn a_hosted_tool_or_state_at_the_provider_is_never_dropped() {
    let openai = crate::codec::codec(Dialect::OpenaiChat).unwrap();
    let quirks = Quirks::default();
    let bodies = [
        (json!({"contents": [], "tools": [{"googleSearch": {}}]}), "tools[0]"),
        (json!({"contents": [], "cachedContent": "cachedContents/1"}), "cachedContent"),
        (
            json!({"contents": [], "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}),
            "generationConfig.responseModalities",
        ),
        (
            json!({"contents": [{"parts": [{"text": "a"}, {"executableCode": {"language": "PYTHON", "code": "1"}}]}]}),
            "contents[0].parts[1]",
        ),
    ];
    for (body, path) in bodies {
        let request = Gemini.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
        assert_eq!(openai.encode_request(&request, &target(&quirks)).unwrap_err().path, path);
    }
    let harmless = json!({"contents": [], "safetySettings": [], "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}});
    let request = Gemini.decode_request(harmless.to_string().as_bytes(), &ENVELOPE).unwrap();
    let lost = openai.encode_request(&request, &target(&quirks)).unwrap().lost;
    let paths: Vec<&str> = lost.iter().map(|lost| lost.path.as_str()).collect();
    assert_eq!(paths, ["toolConfig.functionCallingConfig.mode", "safetySettings"]);
}

#[test]
fn calls_without_ids_get_them_by_name_and_order() {
    let body = json!({"contents": [
        {"role": "model", "parts": [
            {"functionCall": {"name": "a"}}, {"functionCall": {"name": "b"}}, {"functionCall": {"name": "a"}}
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "b", "response": {"output": "2"}}},
            {"functionResponse": {"name": "a", "response": {"output": "1"}}},
            {"functionResponse": {"name": "a", "response": {"output": "3"}}}
        ]}
    ]});
    let request = Gemini.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
    let calls: Vec<&str> = request.turns[0]
        .blocks
        .iter()
        .map(|block| match &block.part {
            Part::Call(call) => call.id.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    let results: Vec<&str> = request.turns[1]
        .blocks
        .iter()
        .map(|block| match &block.part {
            Part::Result(result) => result.call.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results, [calls[1], calls[0], calls[2]]);
    assert!(calls[0] != calls[2] && calls.iter().all(|id| id.len() <= 40), "{calls:?}");
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let table = [
        (json!({}), "contents: is required"),
        (json!({"contents": [{"role": "system", "parts": []}]}), "contents[0].role: must be user or model"),
        (json!({"contents": [{"parts": [{"text": 5}]}]}), "contents[0].parts[0].text: must be a string"),
        (
            json!({"contents": [], "generationConfig": {"maxOutputTokens": 1.5}}),
            "generationConfig.maxOutputTokens: must be a whole number",
        ),
        (json!({"contents": [], "toolConfig": {}, "tool_config": {}}), "has a member twice"),
        (
            json!({"contents": [{"parts": [{"functionCall": {"name": "a", "args": "x"}}]}]}),
            "contents[0].parts[0].functionCall.args: must be an object",
        ),
    ];
    for (body, expected) in table {
        let bad = Gemini.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap_err();
        assert_eq!(bad.to_string(), expected);
    }
    let mut schema = json!({"type": "STRING"});
    for _ in 0..80 {
        schema = json!({"type": "ARRAY", "items": schema});
    }
    let body =
        json!({"contents": [], "tools": [{"functionDeclarations": [{"name": "a", "parameters": schema}]}]});
    let bad = Gemini.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap_err();
    assert_eq!(bad.what, "nests more than 64 schemas");
}

#[test]
fn counts_go_as_far_as_in_other_dialects() {
    for (written, read) in [(json!(u64::MAX), u64::MAX), (json!("7"), 7), (json!(7.0), 7)] {
        let body = json!({"contents": [], "generationConfig": {"maxOutputTokens": written}});
        let request = Gemini.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
        assert_eq!(request.max_tokens, Some(read));
    }
}

#[test]
fn a_body_of_count_tokens_is_read_as_the_request_that_it_holds() {
    let whole =
        json!({"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 5}});
    let counted = json!({"generateContentRequest": {"model": "models/gemini-3-pro", "contents": whole["contents"],
        "generationConfig": whole["generationConfig"]}});
    let read = |body: Value| Gemini.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
    assert_eq!(read(counted), read(whole));
}

#[test]
fn both_spellings_are_read_and_what_is_left_keeps_its_own() {
    let body = json!({"contents": [], "generation_config": {"max_output_tokens": "5", "later_one": 1}, "safety_settings": []});
    let request = Gemini.decode_request(body.to_string().as_bytes(), &ENVELOPE).unwrap();
    assert_eq!(request.max_tokens, Some(5));
    let left: Vec<&str> = request.extra.iter().map(|extra| extra.name.as_str()).collect();
    assert_eq!(left, ["later_one", "safety_settings"]);
}
