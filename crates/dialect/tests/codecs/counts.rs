//! What replies to operations count, and how faults and forms of them are told.

use super::ground::{asked, target};
use super::operations::{answer, decoded};
use keyway_dialect::codec::Envelope;
use keyway_dialect::operation::Operation;
use keyway_dialect::quirk::Quirks;
use keyway_dialect::reply::UsageScan;
use keyway_dialect::usage::Usage;
use keyway_proto::snapshot::v1::{Dialect, Endpoint, Meter};
use serde_json::{Value, json};

/// A reply with one vector that counts in this way.
fn vectors(from: Dialect, counted: &Value) -> (Dialect, Value) {
    let mut reply = match from {
        Dialect::CohereChat => json!({"id": "e", "embeddings": {"float": [[0.5]]}}),
        Dialect::Gemini => json!({"embeddings": [{"values": [0.5]}]}),
        Dialect::BedrockConverse => json!({"embedding": [0.5]}),
        _ => json!({"data": [{"index": 0, "embedding": [0.5]}], "model": "x"}),
    };
    reply.as_object_mut().into_iter().zip(counted.as_object()).for_each(|(reply, counted)| {
        reply.extend(counted.clone());
    });
    (from, reply)
}

#[test]
fn an_odd_usage_does_not_make_good_vectors_bad() {
    let request = decoded(Operation::Embeddings, Dialect::OpenaiChat, &json!({"model": "m", "input": ["a"]}));
    for ((from, reply), count) in [
        (vectors(Dialect::OpenaiChat, &json!({"usage": {"prompt_tokens": 7.0}})), Some(7)),
        (vectors(Dialect::OpenaiChat, &json!({"usage": {"prompt_tokens": "many"}})), None),
        (vectors(Dialect::OpenaiChat, &json!({"usage": []})), None),
        (vectors(Dialect::Gemini, &json!({"usageMetadata": {"promptTokenCount": "7"}})), Some(7)),
        (vectors(Dialect::Gemini, &json!({"usageMetadata": {"promptTokenCount": -1}})), None),
        (vectors(Dialect::Gemini, &json!({"usageMetadata": "x"})), None),
        (vectors(Dialect::CohereChat, &json!({"meta": {"billed_units": {"input_tokens": "x"}}})), None),
        (vectors(Dialect::CohereChat, &json!({"meta": 1})), None),
        (vectors(Dialect::BedrockConverse, &json!({"inputTextTokenCount": 3.0})), Some(3)),
        (vectors(Dialect::BedrockConverse, &json!({"inputTextTokenCount": "x"})), None),
    ] {
        let (told, used) = answer(&request, from, &reply);
        assert_eq!(told["data"][0]["embedding"], json!([0.5]), "{reply}");
        assert_eq!(used.map(|usage| usage.input_total()), count, "{reply}");
    }
    let rerank = json!({"model": "m", "query": "q", "documents": ["a"]});
    let request = decoded(Operation::Rerank, Dialect::CohereChat, &rerank);
    for (counted, count) in [
        (json!({"usage": {"total_tokens": 7.0}}), Some((7, 0))),
        (
            json!({"usage": {"total_tokens": "x"}, "meta": {"billed_units": {"search_units": 1.0}}}),
            Some((0, 1)),
        ),
        (json!({"usage": [], "meta": {"billed_units": {"search_units": "x"}}}), None),
        (json!({"usage": 1, "meta": []}), None),
    ] {
        let mut reply = json!({"id": "r", "results": [{"index": 0, "relevance_score": 0.5}]});
        reply.as_object_mut().unwrap().extend(counted.as_object().unwrap().clone());
        let (told, used) = answer(&request, Dialect::CohereChat, &reply);
        assert_eq!(told["results"][0]["relevance_score"], json!(0.5), "{reply}");
        let used = used.map(|usage| (usage.get(Meter::Input), usage.get(Meter::SearchUnits)));
        assert_eq!(used, count, "{reply}");
    }
}

#[test]
fn pictures_that_are_embedded_are_counted_apart() {
    let asked = json!({"model": "m", "images": ["data:image/png;base64,AAAA"], "input_type": "image"});
    let request = decoded(Operation::Embeddings, Dialect::CohereChat, &asked);
    for (billed, input, images) in [
        (json!({"input_tokens": 5, "image_tokens": 1200}), 5, 1200),
        (json!({"image_tokens": 1200.0, "images": 1}), 0, 1200),
        (json!({"input_tokens": 5}), 5, 0),
    ] {
        let meta = json!({"meta": {"billed_units": billed}});
        let (told, used) = answer(&request, Dialect::CohereChat, &vectors(Dialect::CohereChat, &meta).1);
        assert_eq!(used, Some(Usage::of(&[(Meter::Input, input), (Meter::ImageInput, images)], 0)));
        let written = &told["meta"]["billed_units"];
        assert_eq!(written["input_tokens"], json!(input), "{told}");
        assert_eq!(written.get("image_tokens"), (images > 0).then(|| json!(images)).as_ref(), "{told}");

        let mut scan = UsageScan::new(Dialect::CohereChat, Endpoint::Embeddings);
        scan.push(vectors(Dialect::CohereChat, &meta).1.to_string().as_bytes());
        assert_eq!(scan.finish(), used, "as in the same dialect");
    }
}

#[test]
fn a_form_of_numbers_is_written_once() {
    let twice = json!({"model": "m", "texts": ["a"], "input_type": "clustering",
        "embedding_types": ["float", "base64", "float"]});
    let request = decoded(Operation::Embeddings, Dialect::CohereChat, &twice);
    let (_, reply) = vectors(Dialect::CohereChat, &json!({}));
    let response = request.decode_response(Dialect::CohereChat, reply.to_string().as_bytes()).unwrap();
    let body = request.encode_response(&response, &asked()).unwrap();
    let body = std::str::from_utf8(&body).unwrap();
    assert_eq!((body.matches("\"float\"").count(), body.matches("\"base64\"").count()), (1, 1), "{body}");
}

#[test]
fn a_fault_in_what_is_counted_is_named_by_its_whole_path() {
    let envelope = Envelope { model: "m", stream: false };
    for name in ["generateContentRequest", "generate_content_request"] {
        let bad = json!({ name: {"contents": [{"role": "bad"}]} }).to_string();
        let bad = Operation::CountTokens.decode_request(Dialect::Gemini, bad.as_bytes(), &envelope);
        assert_eq!(bad.unwrap_err().path, format!("{name}.contents[0].role"));

        let video = json!({"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}});
        let asked = json!({ name: {"contents": [{"parts": [video]}]} });
        let request = decoded(Operation::CountTokens, Dialect::Gemini, &asked);
        let quirks = Quirks::default();
        let refused = request.encode(Dialect::AnthropicMessages, &target(&quirks)).unwrap_err();
        assert!(refused.path.starts_with(&format!("{name}.contents[0]")), "{}", refused.path);
    }
}
