//! Embeddings, reranking and counts of tokens across dialects. Bodies are made from the official SDKs' types (openai 3.57,
//! cohere 7.3, google-genai 3.6, anthropic 2.14, botocore 1.44) and, for models of Bedrock, from its documents.

use super::ground::{asked, name};
use keyway_dialect::codec::{Encoded, Envelope, Target};
use keyway_dialect::losses::{Thing, Unsupported};
use keyway_dialect::operation::{Operation, Request};
use keyway_dialect::quirk::Quirks;
use keyway_dialect::usage::Usage;
use keyway_proto::snapshot::v1::{Dialect, Meter};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Targets as losses.toml names them, with a model that they have.
const TARGETS: [(&str, Dialect, &str); 10] = [
    ("openai-chat", Dialect::OpenaiChat, "text-embedding-3-small"),
    ("openai-responses", Dialect::OpenaiResponses, "gpt"),
    ("anthropic-messages", Dialect::AnthropicMessages, "claude"),
    ("gemini", Dialect::Gemini, "gemini-embedding-001"),
    ("cohere-chat", Dialect::CohereChat, "embed-v4.0"),
    ("bedrock-converse titan", Dialect::BedrockConverse, "amazon.titan-embed-text-v2:0"),
    ("bedrock-converse cohere", Dialect::BedrockConverse, "us.cohere.embed-v4:0"),
    ("bedrock-converse amazon rerank", Dialect::BedrockConverse, "amazon.rerank-v1:0"),
    ("bedrock-converse cohere rerank", Dialect::BedrockConverse, "cohere.rerank-v3-5:0"),
    ("bedrock-converse claude", Dialect::BedrockConverse, "us.anthropic.claude-4:0"),
];

pub(super) fn decoded(operation: Operation, caller: Dialect, body: &Value) -> Request {
    let envelope = Envelope { model: "asked-model", stream: false };
    operation
        .decode_request(caller, body.to_string().as_bytes(), &envelope)
        .unwrap_or_else(|bad| panic!("{operation:?} of {caller:?}: {bad}"))
}

fn sent(request: &Request, target: &str) -> Result<Encoded, Unsupported> {
    let (_, dialect, model) = TARGETS.iter().find(|(name, ..)| *name == target).unwrap();
    let quirks = Quirks::default();
    request.encode(*dialect, &Target { provider: "p", model, quirks: &quirks })
}

/// The body for a target of a request that loses nothing.
fn body(request: &Request, target: &str) -> Value {
    let encoded = sent(request, target).unwrap();
    assert_eq!(encoded.lost, [], "{target}");
    serde_json::from_slice(&encoded.body).unwrap()
}

/// The caller's reply, and what it used.
pub(super) fn answer(request: &Request, from: Dialect, reply: &Value) -> (Value, Option<Usage>) {
    let response = request.decode_response(from, reply.to_string().as_bytes()).unwrap();
    let bytes = request.encode_response(&response, &asked()).unwrap();
    (serde_json::from_slice(&bytes).unwrap(), response.usage)
}

#[test]
fn embeddings_are_asked_for_in_every_dialect() {
    let openai = json!({"model": "m", "input": ["a", "b"], "dimensions": 256});
    let cohere =
        json!({"model": "m", "texts": ["a", "b"], "input_type": "search_query", "output_dimension": 256});
    let one = |text: &str| {
        json!({"model": "models/x", "content": {"parts": [{"text": text}], "role": "user"},
            "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256})
    };
    let gemini = json!({"requests": [one("a"), one("b")]});
    let to_gemini = |text: &str, task: bool| {
        let mut request = json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]},
            "outputDimensionality": 256});
        if task {
            request["taskType"] = json!("RETRIEVAL_QUERY");
        }
        request
    };
    let embed = Operation::Embeddings;
    let openai = decoded(embed, Dialect::OpenaiChat, &openai);
    for (request, task) in [
        (&openai, None),
        (&decoded(embed, Dialect::CohereChat, &cohere), Some("search_query")),
        (&decoded(embed, Dialect::Gemini, &gemini), Some("search_query")),
    ] {
        let floats = json!({"texts": ["a", "b"], "input_type": task.unwrap_or("search_document"),
            "embedding_types": ["float"], "output_dimension": 256});
        let mut with_model = floats.clone();
        with_model["model"] = json!("embed-v4.0");
        assert_eq!(body(request, "cohere-chat"), with_model);
        assert_eq!(body(request, "bedrock-converse cohere"), floats);
        let told = task.is_some();
        assert_eq!(
            body(request, "gemini"),
            json!({"requests": [to_gemini("a", told), to_gemini("b", told)]})
        );
    }
    let expected = json!({"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 256,
        "encoding_format": "float"});
    assert_eq!(body(&openai, "openai-chat"), expected);
    let single = decoded(embed, Dialect::OpenaiChat, &json!({"model": "m", "input": "a", "dimensions": 256}));
    assert_eq!(body(&single, "bedrock-converse titan"), json!({"inputText": "a", "dimensions": 256}));
}

#[test]
fn pictures_are_embedded_where_the_target_can() {
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let content = |parts: Value| json!({"content": {"parts": parts}});
    let alone = decoded(Operation::Embeddings, Dialect::Gemini, &content(json!([picture])));
    let expected = json!({"model": "embed-v4.0", "input_type": "image", "images": ["data:image/png;base64,AAAA"],
        "embedding_types": ["float"]});
    assert_eq!(body(&alone, "cohere-chat"), expected);
    let mixed = decoded(Operation::Embeddings, Dialect::Gemini, &content(json!([{"text": "a"}, picture])));
    let parts = json!([{"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    let sent = body(&mixed, "cohere-chat");
    assert_eq!(sent["inputs"], json!([{"content": parts}]));
    let back = decoded(Operation::Embeddings, Dialect::CohereChat, &sent);
    let whole = body(&back, "gemini");
    assert_eq!(whole["requests"][0]["content"], json!({"parts": [{"text": "a"}, picture]}));
}

#[test]
fn vectors_come_back_in_the_callers_form() {
    let embed = Operation::Embeddings;
    let openai = decoded(
        embed,
        Dialect::OpenaiChat,
        &json!({"model": "m", "input": ["a", "b"], "encoding_format": "base64"}),
    );
    let plain = decoded(embed, Dialect::OpenaiChat, &json!({"model": "m", "input": ["a", "b"]}));
    let cohere = decoded(
        embed,
        Dialect::CohereChat,
        &json!({"model": "m", "texts": ["a", "b"], "input_type": "clustering", "embedding_types": ["float", "base64"]}),
    );
    let gemini = decoded(
        embed,
        Dialect::Gemini,
        &json!({"requests": [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}}]}),
    );
    // 1.0 is 00 00 80 3f, -0.5 is 00 00 00 bf, little end first.
    let (one, half) = ("AACAPwAAAL8=", "AAAAvwAAgD8=");
    let floats = json!([[1.0, -0.5], [-0.5, 1.0]]);
    let of_cohere = json!({"response_type": "embeddings_by_type", "id": "e-1", "embeddings": {"float": floats},
        "texts": ["a", "b"], "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 7.0}}});
    let of_gemini = json!({"embeddings": [{"values": [1.0, -0.5]}, {"values": [-0.5, 1.0]}],
        "usageMetadata": {"promptTokenCount": 7}});
    let item =
        |index: u64, vector: Value| json!({"object": "embedding", "index": index, "embedding": vector});
    let of_openai = json!({"object": "list", "data": [item(1, json!(half)), item(0, json!(one))], "model": "x",
        "usage": {"prompt_tokens": 7, "total_tokens": 7}});
    let usage = |model: &str, data: Value| json!({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 7, "total_tokens": 7}});
    let packed = json!([item(0, json!(one)), item(1, json!(half))]);
    let listed = json!([item(0, json!([1.0, -0.5])), item(1, json!([-0.5, 1.0]))]);
    for (from, reply) in [
        (Dialect::CohereChat, &of_cohere),
        (Dialect::Gemini, &of_gemini),
        (Dialect::OpenaiChat, &of_openai),
        (
            Dialect::BedrockConverse,
            &json!({"id": "e-1", "embeddings": {"float": floats}, "response_type": "x"}),
        ),
        (Dialect::BedrockConverse, &json!({"id": "e-1", "embeddings": floats})),
    ] {
        let known = from != Dialect::BedrockConverse;
        let model = if from == Dialect::OpenaiChat { "x" } else { "asked-model" };
        let (told, used) = answer(&openai, from, reply);
        assert_eq!(used.map(|usage| usage.input_total()), known.then_some(7));
        assert_eq!(told["data"], packed);
        let (told, _) = answer(&plain, from, reply);
        if known {
            assert_eq!(told, usage(model, listed.clone()));
        }
        let (told, _) = answer(&cohere, from, reply);
        assert_eq!(told["embeddings"], json!({"float": floats, "base64": [one, half]}));
        assert_eq!(told["texts"], json!(["a", "b"]));
        assert_eq!(told["response_type"], "embeddings_by_type");
        assert_eq!(told["meta"]["billed_units"]["input_tokens"], if known { json!(7) } else { Value::Null });
        let (told, _) = answer(&gemini, from, reply);
        assert_eq!(told["embeddings"], of_gemini["embeddings"]);
    }
    let single = decoded(embed, Dialect::Gemini, &json!({"content": {"parts": [{"text": "a"}]}}));
    let (told, used) = answer(
        &single,
        Dialect::BedrockConverse,
        &json!({"embedding": [1.0, 0.25], "inputTextTokenCount": 3}),
    );
    assert_eq!(told, json!({"embedding": {"values": [1.0, 0.25]}, "usageMetadata": {"promptTokenCount": 3}}));
    assert_eq!(used.map(|usage| usage.input_total()), Some(3));
}

#[test]
fn a_reply_with_other_than_one_vector_for_each_input_is_none() {
    let request =
        decoded(Operation::Embeddings, Dialect::OpenaiChat, &json!({"model": "m", "input": ["a", "b"]}));
    for reply in [
        json!({"embeddings": {"float": [[1.0]]}}),
        json!({"embeddings": {"float": [[1.0], [1.0], [1.0]]}}),
        json!({"embeddings": {}}),
    ] {
        assert!(
            request.decode_response(Dialect::CohereChat, reply.to_string().as_bytes()).is_err(),
            "{reply}"
        );
    }
    let broken = json!({"embeddings": {"base64": ["AAAA", "AACAPw=="]}});
    let response = request.decode_response(Dialect::CohereChat, broken.to_string().as_bytes()).unwrap();
    assert!(request.encode_response(&response, &asked()).is_err(), "three bytes are no float");
}

#[test]
fn documents_are_ranked_in_every_dialect() {
    let cohere = json!({"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2});
    let jina = json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 2, "return_documents": true});
    let plain = json!({"query": "q", "documents": ["a", "b"], "top_n": 2});
    let with = |mut body: Value, name: &str, value: Value| {
        body[name] = value;
        body
    };
    let of_cohere = decoded(Operation::Rerank, Dialect::CohereChat, &cohere);
    let of_jina = decoded(Operation::Rerank, Dialect::CohereChat, &jina);
    for request in [&of_cohere, &of_jina] {
        assert_eq!(body(request, "cohere-chat"), with(plain.clone(), "model", json!("embed-v4.0")));
        let jina = with(plain.clone(), "model", json!("text-embedding-3-small"));
        assert_eq!(body(request, "openai-chat"), with(jina, "return_documents", json!(false)));
        assert_eq!(body(request, "bedrock-converse amazon rerank"), plain);
        assert_eq!(
            body(request, "bedrock-converse cohere rerank"),
            with(plain.clone(), "api_version", json!(2))
        );
    }
    let ranks =
        json!([{"index": 1, "relevance_score": 0.98765432101}, {"index": 0, "relevance_score": 1e-7}]);
    let reply = json!({"id": "r-1", "results": ranks, "meta": {"billed_units": {"search_units": 1.0}}});
    let (told, used) = answer(&of_cohere, Dialect::CohereChat, &reply);
    let meta = json!({"api_version": {"version": "2"}, "billed_units": {"search_units": 1.0}});
    assert_eq!(told, json!({"id": "r-1", "model": "asked-model", "results": ranks, "meta": meta}));
    assert_eq!(used, Some(Usage::of(&[(Meter::SearchUnits, 1)], 0)));
    let reply = json!({"model": "j", "results": ranks, "usage": {"total_tokens": 12}});
    let (told, used) = answer(&of_jina, Dialect::OpenaiChat, &reply);
    let mut with_text = ranks.clone();
    with_text[0]["document"] = json!({"text": "b"});
    with_text[1]["document"] = json!({"text": "a"});
    assert_eq!((&told["model"], &told["results"]), (&json!("j"), &with_text));
    assert_eq!(told["usage"], json!({"total_tokens": 12}));
    assert_eq!(used.map(|usage| usage.input_total()), Some(12));
    let astray = json!({"results": [{"index": 2, "relevance_score": 0.5}]}).to_string();
    let bad = of_cohere.decode_response(Dialect::CohereChat, astray.as_bytes()).unwrap_err();
    assert_eq!(bad.to_string(), "results[0].index: is no document of the request");
}

#[test]
fn tokens_are_counted_in_every_dialect() {
    let tool =
        json!({"name": "look", "description": "d", "input_schema": {"type": "object", "properties": {}}});
    let anthropic = json!({"model": "m", "system": "s", "messages": [{"role": "user", "content": "hi"}], "tools": [tool]});
    let of_anthropic = decoded(Operation::CountTokens, Dialect::AnthropicMessages, &anthropic);
    let function = json!({"name": "look", "description": "d", "parametersJsonSchema": tool["input_schema"]});
    let contents = json!([{"role": "user", "parts": [{"text": "hi"}]}]);
    assert_eq!(
        body(&of_anthropic, "gemini"),
        json!({"generateContentRequest": {"model": "models/gemini-embedding-001", "contents": contents,
            "systemInstruction": {"parts": [{"text": "s"}]}, "tools": [{"functionDeclarations": [function]}]}})
    );
    let responses = body(&of_anthropic, "openai-responses");
    assert_eq!(responses["instructions"], "s");
    assert_eq!(responses["tools"][0]["name"], "look");
    let members: Vec<&String> = responses.as_object().unwrap().keys().collect();
    assert_eq!(members, ["model", "input", "instructions", "tools"]);
    let bedrock = body(&of_anthropic, "bedrock-converse claude");
    let converse = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}], "system": [{"text": "s"}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "look", "description": "d",
            "inputSchema": {"json": tool["input_schema"]}}}]}});
    assert_eq!(bedrock, json!({"input": {"converse": converse}}));
    // The other way: bodies of the other three as Anthropic's, without a limit.
    let whole = json!({"generateContentRequest": {"model": "models/x", "contents": contents,
        "systemInstruction": {"parts": [{"text": "s"}]}, "tools": [{"functionDeclarations": [function]}]}});
    for (caller, body_of) in [
        (Dialect::Gemini, &whole),
        (Dialect::BedrockConverse, &bedrock),
        (Dialect::OpenaiResponses, &responses),
    ] {
        let request = decoded(Operation::CountTokens, caller, body_of);
        let sent = body(&request, "anthropic-messages");
        assert!(sent.get("max_tokens").is_none() && sent.get("stream").is_none(), "{sent}");
        assert_eq!(sent["tools"][0]["name"], "look", "{caller:?}");
        let system = &sent["system"];
        assert!(*system == json!("s") || system[0]["text"] == "s", "{sent}");
    }
    let bare = decoded(Operation::CountTokens, Dialect::Gemini, &json!({"contents": contents}));
    assert_eq!(body(&bare, "gemini"), json!({"contents": contents}));
    for (from, reply) in [
        (Dialect::AnthropicMessages, json!({"input_tokens": 14})),
        (Dialect::OpenaiResponses, json!({"object": "response.input_tokens", "input_tokens": 14})),
        (Dialect::Gemini, json!({"totalTokens": 14})),
        (Dialect::BedrockConverse, json!({"inputTokens": 14})),
    ] {
        for (caller, body_of, expected) in [
            (Dialect::AnthropicMessages, &anthropic, json!({"input_tokens": 14})),
            (Dialect::Gemini, &whole, json!({"totalTokens": 14})),
            (Dialect::BedrockConverse, &bedrock, json!({"inputTokens": 14})),
            (
                Dialect::OpenaiResponses,
                &responses,
                json!({"object": "response.input_tokens", "input_tokens": 14}),
            ),
        ] {
            let request = decoded(Operation::CountTokens, caller, body_of);
            assert_eq!(answer(&request, from, &reply), (expected, None));
        }
    }
}

#[test]
fn what_a_count_cannot_take_along_is_named_where_it_stands() {
    let file = json!({"role": "user", "content": [{"document": {"name": "d", "format": "pdf",
        "source": {"s3Location": {"uri": "s3://b/k"}}}}]});
    let body = json!({"input": {"converse": {"messages": [file]}}});
    let request = decoded(Operation::CountTokens, Dialect::BedrockConverse, &body);
    let refused = sent(&request, "anthropic-messages").unwrap_err();
    assert_eq!(refused.path, "input.converse.messages[0].content[0]");
}

/// For each thing that an operation may lose, a body of each caller's that has it, and where it stands there.
#[expect(clippy::too_many_lines, reason = "a table: one row for each specimen")]
fn specimens() -> Vec<(Operation, Dialect, Thing, Value, &'static str)> {
    use Dialect::{CohereChat, Gemini, OpenaiChat};
    use Operation::{Embeddings, Rerank};
    let cohere = |name: &str, value: Value| {
        let mut body = json!({"model": "m", "texts": ["a"]});
        body[name] = value;
        body
    };
    let gemini = |name: &str, value: Value| {
        let mut body = json!({"content": {"parts": [{"text": "a"}]}});
        body[name] = value;
        body
    };
    let rank = |name: &str, value: Value| {
        let mut body = json!({"model": "m", "query": "q", "documents": ["a"]});
        body[name] = value;
        body
    };
    let picture = json!({"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]});
    vec![
        (Embeddings, OpenaiChat, Thing::TokenInput, json!({"model": "m", "input": [1, 2]}), "input"),
        (Embeddings, OpenaiChat, Thing::TokenInput, json!({"model": "m", "input": [[1, 2]]}), "input[0]"),
        (Embeddings, OpenaiChat, Thing::ManyInputs, json!({"model": "m", "input": ["a", "b"]}), "input[1]"),
        (Embeddings, OpenaiChat, Thing::User, json!({"model": "m", "input": "a", "user": "u"}), "user"),
        (Embeddings, OpenaiChat, Thing::Extra, json!({"model": "m", "input": "a", "later": 1}), "later"),
        (Embeddings, CohereChat, Thing::ManyInputs, cohere("texts", json!(["a", "b"])), "texts[1]"),
        (Embeddings, CohereChat, Thing::Task, cohere("input_type", json!("later")), "input_type"),
        (
            Embeddings,
            CohereChat,
            Thing::NumberForm,
            cohere("embedding_types", json!(["int8"])),
            "embedding_types",
        ),
        (Embeddings, CohereChat, Thing::Truncation, cohere("truncate", json!("NONE")), "truncate"),
        (Embeddings, CohereChat, Thing::Extra, cohere("priority", json!(3)), "priority"),
        (
            Embeddings,
            CohereChat,
            Thing::Image,
            json!({"model": "m", "images": ["data:image/png;base64,AAAA"]}),
            "images[0]",
        ),
        (
            Embeddings,
            CohereChat,
            Thing::ImageUrl,
            json!({"model": "m", "images": ["https://h/p.png"]}),
            "images[0]",
        ),
        (Embeddings, Gemini, Thing::Task, gemini("taskType", json!("SEMANTIC_SIMILARITY")), "taskType"),
        (Embeddings, Gemini, Thing::Extra, gemini("title", json!("t")), "title"),
        (Embeddings, Gemini, Thing::Image, gemini("content", picture), "content"),
        (
            Embeddings,
            Gemini,
            Thing::OtherPart,
            gemini("content", json!({"parts": [{"fileData": {"fileUri": "gs://b/f"}}]})),
            "content",
        ),
        (
            Rerank,
            CohereChat,
            Thing::DocumentTokens,
            rank("max_tokens_per_doc", json!(9)),
            "max_tokens_per_doc",
        ),
        (Rerank, CohereChat, Thing::Extra, rank("priority", json!(3)), "priority"),
        (Rerank, CohereChat, Thing::Extra, rank("truncation", json!(true)), "truncation"),
        (
            Rerank,
            CohereChat,
            Thing::OtherPart,
            rank("documents", json!([{"image": "https://h/p.png"}])),
            "documents[0]",
        ),
    ]
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Loss {
    of: String,
    thing: String,
    from: String,
    to: String,
    harmless: bool,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    operation: BTreeSet<Loss>,
}

#[test]
fn what_an_operation_loses_is_listed_and_nothing_else_is() {
    let mut found = BTreeSet::new();
    for (operation, caller, thing, body, path) in specimens() {
        let request = decoded(operation, caller, &body);
        for (to, dialect, _) in TARGETS {
            if operation.endpoint(dialect).is_none() || dialect == caller {
                continue;
            }
            let lost = match sent(&request, to) {
                Ok(encoded) => encoded.lost.into_iter().map(|lost| (lost.thing, lost.path, true)).collect(),
                Err(refused) if refused.thing == Thing::Operation => Vec::new(),
                Err(refused) => vec![(refused.thing, refused.path, false)],
            };
            for (lost, at, harmless) in lost {
                assert_eq!((lost, at.as_str()), (thing, path), "{operation:?} {caller:?} to {to}");
                let (of, from) = (format!("{operation:?}").to_lowercase(), name(caller).to_owned());
                found.insert(Loss {
                    of,
                    thing: thing.as_str().to_owned(),
                    from,
                    to: to.to_owned(),
                    harmless,
                });
            }
        }
    }
    let listed: Listed = toml::from_str(include_str!("../../losses.toml")).unwrap();
    let missing: Vec<_> = found.difference(&listed.operation).collect();
    let untrue: Vec<_> = listed.operation.difference(&found).collect();
    let rows: String = missing
        .iter()
        .map(|loss| {
            format!(
                "    {{ of = {:?}, thing = {:?}, from = {:?}, to = {:?}, harmless = {} }},\n",
                loss.of, loss.thing, loss.from, loss.to, loss.harmless
            )
        })
        .collect();
    assert!(missing.is_empty() && untrue.is_empty(), "not listed:\n{rows}\nlisted but not lost: {untrue:#?}");
}

/// A model whose maker's body nobody knows is refused, not guessed.
#[test]
fn who_has_no_such_operation_is_not_asked() {
    let request = decoded(Operation::Embeddings, Dialect::OpenaiChat, &json!({"model": "m", "input": "a"}));
    for target in ["bedrock-converse claude", "bedrock-converse amazon rerank", "anthropic-messages"] {
        assert_eq!(sent(&request, target).unwrap_err().thing, Thing::Operation, "{target}");
    }
    let counted = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let request = decoded(Operation::CountTokens, Dialect::AnthropicMessages, &counted);
    for target in ["openai-chat", "cohere-chat"] {
        assert_eq!(sent(&request, target).unwrap_err().thing, Thing::Operation, "{target}");
    }
    let envelope = Envelope { model: "m", stream: false };
    let bad = Operation::Rerank.decode_request(Dialect::Gemini, b"{}", &envelope).unwrap_err();
    assert_eq!(bad.to_string(), "is not an operation of this dialect");
}
