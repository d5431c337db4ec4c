//! Same dialect means same bytes, both ways: in a request only the model's name changes, and usage is asked for where
//! a chat or completions stream did not ask; in a reply nothing changes but that the chunk nobody asked for is withheld.

use keyway_e2e::fleet::{PATIENCE, until};
use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, RESPONSES, TOKEN, yaml_with};
use keyway_testkit::caller::post;
use keyway_testkit::provider::{Provider, Reply, Stream, Surface, Whole, events};
use serde_json::Value;

const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

fn start() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    let alias = "  alias-m: { targets: [{ provider: sim, model: \"deep/seek:v1\" }] }";
    let gateway = Gateway::start(&yaml_with(&provider, alias))?;
    Ok((provider, gateway))
}

// === requests ===

#[tokio::test]
async fn a_request_arrives_byte_for_byte_but_for_the_models_name() -> Outcome {
    let (provider, gateway) = start()?;
    // Odd blanks, odd numbers, escapes, unknown and nested repeated fields, the model last or first.
    let odd = "{ \"n\" : 1.50e+003,\t\"big\":12345678901234567890123, \"nul\":null,\r\n \"s\":\"\\u00e9\\/ \\ud800 é 🦀\",\
         \"x\":{\"a\":1,\"a\":2,\"model\":\"sim/m\"},\"e\":[], \"model\"  :  \"NAME\" ,\"stream\":false } \n";
    let first = "{\"model\":\"NAME\",\"messages\":[{\"role\":\"user\",\"content\":\"model: sim/m\"}]}";
    let escaped = "{\"mod\\u0065l\":\"NAME\",\"max_tokens\":1}";
    for (path, name, upstream) in [
        (CHAT, "sim/m", "m"),
        (CHAT, "alias-m", "deep/seek:v1"),
        (CHAT, "sim/org/model-7b", "org/model-7b"),
        (CHAT, "s\\u0069m/m", "m"),
        (COMPLETIONS, "sim/m", "m"),
        (EMBEDDINGS, "sim/m", "m"),
        (RESPONSES, "resp/m", "m"),
        (MESSAGES, "claude/m", "m"),
        ("/v1/messages/count_tokens", "claude/m", "m"),
        ("/anthropic/v1/messages", "claude/m", "m"),
    ] {
        for body in [odd, first, escaped] {
            let place = provider.requests();
            let answer = gateway.ask(path, &body.replace("NAME", name)).await?;
            assert_eq!(answer.status, 200, "{path} {name}: {}", answer.text());
            let seen = &provider.seen()[place];
            assert_eq!(seen.body, body.replace("NAME", upstream), "{path} {name}");
            assert_eq!(seen.path(), path.trim_start_matches("/anthropic"));
            assert_eq!(seen.header("content-type"), Some("application/json"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_large_body_arrives_byte_for_byte() -> Outcome {
    let (provider, gateway) = start()?;
    let text = "0123456789 é 🦀 \\n".repeat(200_000);
    let body =
        |name: &str| format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"model":"{name}"}}"#);
    let answer = gateway.ask(CHAT, &body("sim/m")).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(provider.seen()[0].body == body("m"), "other bytes");
    Ok(())
}

#[tokio::test]
async fn a_form_arrives_byte_for_byte_but_for_the_models_name() -> Outcome {
    let (provider, gateway) = start()?;
    // Bytes that are no text, a line that looks like a boundary, and a field that looks like the model's.
    let file: Vec<u8> =
        (0..=255_u8).cycle().take(70_000).chain(*b"\r\n--other\r\nname=\"model\"\r\n\r\nsim/m").collect();
    let form = |name: &str| {
        let head = "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n\
                    Content-Type: audio/wav\r\n\r\n";
        let tail = format!(
            "\r\n--xYz\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\nsim/m\r\n--xYz\r\n\
             Content-Disposition: form-data; name=\"model\"\r\n\r\n{name}\r\n--xYz--\r\n"
        );
        [head.as_bytes(), &file, tail.as_bytes()].concat()
    };
    for path in ["/v1/audio/transcriptions", "/v1/images/edits"] {
        let place = provider.requests();
        let body = form("sim/m");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: multipart/form-data; boundary=xYz\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = gateway.ask_and_go_on(&[head.as_bytes(), &body].concat()).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let seen = &provider.seen()[place];
        assert!(seen.body == form("m"), "{path}: other bytes");
        assert_eq!(seen.header("content-type"), Some("multipart/form-data; boundary=xYz"));
    }
    Ok(())
}

/// The body without the member that was merged in.
fn without_merged(body: &str) -> Option<String> {
    let member = "\"stream_options\":{\"include_usage\":true}";
    let forms = [format!(",{member}"), format!("{member},"), member.to_owned()];
    forms.iter().find(|form| body.contains(&***form)).map(|form| body.replacen(&**form, "", 1))
}

#[tokio::test]
async fn a_stream_that_did_not_ask_for_usage_asks_for_it_upstream_and_changes_nothing_else() -> Outcome {
    let (provider, gateway) = start()?;
    for path in [CHAT, COMPLETIONS] {
        for body in [
            "{\"model\":\"NAME\",\"stream\":true}",
            "{ \"stream\" : true , \"model\":\"NAME\" , \"x\":[1, 2] }\n",
            "{\"stream\":true,\"messages\":[],\"model\":\"NAME\",\"nested\":{\"stream_options\":1}}",
        ] {
            let place = provider.requests();
            let answer = gateway.ask(path, &body.replace("NAME", "sim/m")).await?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let seen = &provider.seen()[place];
            let sent = std::str::from_utf8(&seen.body)?;
            assert_eq!(seen.json()["stream_options"], serde_json::json!({"include_usage": true}), "{sent}");
            assert_eq!(without_merged(sent).as_deref(), Some(&*body.replace("NAME", "m")), "{sent}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn stream_options_without_usage_are_completed_and_those_with_it_left_alone() -> Outcome {
    let (provider, gateway) = start()?;
    for (options, asked) in [
        (r#"{}"#, false),
        (r#"null"#, false),
        (r#"{"include_usage":false}"#, false),
        (r#"{"include_obfuscation":false}"#, false),
        (r#"{"include_usage":true}"#, true),
        (r#"{ "include_obfuscation" : false, "include_usage" : true }"#, true),
    ] {
        let place = provider.requests();
        let body = |name: &str| format!(r#"{{"model":"{name}","stream_options":{options},"stream":true}}"#);
        let answer = gateway.ask(CHAT, &body("sim/m")).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = &provider.seen()[place];
        if asked {
            assert_eq!(seen.body, body("m"));
        } else {
            let sent = seen.json();
            assert_eq!(sent["stream_options"]["include_usage"], true, "{options}: {sent}");
            let kept: Value = serde_json::from_str(options)?;
            assert_eq!(sent["stream_options"].get("include_obfuscation"), kept.get("include_obfuscation"));
            assert_eq!(sent["model"], "m");
        }
        let usage = answer.text().contains("\"choices\":[],\"usage\"");
        assert_eq!(usage, asked, "{options}: {}", answer.text());
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
    Ok(())
}

#[tokio::test]
async fn requests_that_are_no_chat_stream_get_no_stream_options() -> Outcome {
    let (provider, gateway) = start()?;
    for (path, name, stream) in [
        (CHAT, "sim", false),
        (COMPLETIONS, "sim", false),
        (EMBEDDINGS, "sim", false),
        (RESPONSES, "resp", true),
        (MESSAGES, "claude", true),
    ] {
        let place = provider.requests();
        let body = |name: &str| format!(r#"{{"model":"{name}","stream":{stream},"max_tokens":9}}"#);
        assert_eq!(gateway.ask(path, &body(&format!("{name}/m"))).await?.status, 200);
        assert_eq!(provider.seen()[place].body, body("m"), "{path}");
    }
    Ok(())
}

// === replies ===

#[tokio::test]
async fn a_reply_arrives_byte_for_byte_with_its_headers() -> Outcome {
    let (provider, gateway) = start()?;
    let odd = "{ \"id\":\"x\",\r\n\"choices\" :[ ],\"unknown\":1.50e+003,\"s\":\"\\u00e9 🦀\", \"usage\": {\"prompt_tokens\":1,\
         \"completion_tokens\":2,\"total_tokens\":3} } \n\n";
    let headers = [
        ("content-type", "application/json"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z"),
        ("request-id", "req_1"),
        ("openai-processing-ms", "12"),
    ];
    let mut all: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    all.push(("set-cookie".to_owned(), "a=b".to_owned()));
    for (path, name) in [(CHAT, "sim"), (MESSAGES, "claude"), (RESPONSES, "resp"), (EMBEDDINGS, "sim")] {
        provider.script("m").always(Reply::Whole(Whole {
            headers: all.clone(),
            body: odd.into(),
            ..Whole::default()
        }));
        let answer = gateway.ask(path, &format!(r#"{{"model":"{name}/m","max_tokens":9}}"#)).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.body, odd, "{path}");
        for (name, value) in headers {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("x-keyway-target"), Some(&*format!("{name}/m")));
        assert_eq!(answer.header("x-keyway-attempts"), Some("1"));
        assert!(answer.header("x-keyway-snapshot").is_some_and(|version| version.contains('.')));
    }
    Ok(())
}

#[tokio::test]
async fn a_reply_larger_than_any_buffer_arrives_byte_for_byte() -> Outcome {
    let (provider, gateway) = start()?;
    let large = format!(r#"{{"data":[{}0]}}"#, "0.123456789,".repeat(300_000));
    provider.script("m").always(Reply::whole("application/json", large.clone()));
    let answer = gateway.ask(EMBEDDINGS, r#"{"model":"sim/m","input":"x"}"#).await?;
    assert!(answer.status == 200 && answer.complete && answer.body == large);
    // hyper does not ask for the end behind the last byte: it was served all the same, and nobody left.
    let record = until("its record", PATIENCE, || {
        let logs = gateway.keyway.cli(&["logs", "--output", "json"])?;
        Ok(logs.stdout.contains("sim/m").then_some(logs.stdout))
    })
    .await?;
    assert!(record.contains("\"served\"") && !record.contains("cancelled"), "{record}");
    Ok(())
}

#[tokio::test]
async fn a_stream_whose_caller_asked_for_usage_arrives_byte_for_byte() -> Outcome {
    let (provider, gateway) = start()?;
    let form = Stream { words: 50, ..Stream::default() };
    provider.script("m").always(Reply::Stream(form.clone()));
    for (path, name, surface) in [
        (CHAT, "sim", Surface::Chat),
        (COMPLETIONS, "sim", Surface::Completions),
        (MESSAGES, "claude", Surface::Messages),
        (RESPONSES, "resp", Surface::Responses),
    ] {
        let options = if name == "sim" { r#","stream_options":{"include_usage":true}"# } else { "" };
        let body = format!(r#"{{"model":"{name}/m","max_tokens":9,"stream":true{options}}}"#);
        let answer = gateway.ask(path, &body).await?;
        let sent = events(surface, "m", &form, true).concat();
        assert!(answer.complete && answer.status == 200);
        assert!(answer.body == sent, "{path}: other bytes: {}", answer.text());
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_whose_caller_did_not_ask_lacks_exactly_the_usage_chunk() -> Outcome {
    let (provider, gateway) = start()?;
    for split in [0, 1, 5, 1000] {
        let form = Stream { split, ..Stream::default() };
        provider.script("m").always(Reply::Stream(form.clone()));
        for (path, surface) in [(CHAT, Surface::Chat), (COMPLETIONS, Surface::Completions)] {
            let answer = gateway.ask(path, r#"{"model":"sim/m","stream":true}"#).await?;
            let mut sent = events(surface, "m", &form, true);
            let usage = sent.remove(sent.len() - 2);
            assert!(std::str::from_utf8(&usage)?.contains("\"choices\":[],\"usage\":{"));
            assert!(answer.complete && answer.body == sent.concat(), "{path} {split}: {}", answer.text());
        }
    }
    Ok(())
}

#[tokio::test]
async fn events_are_passed_on_as_they_come_not_gathered_until_the_end() -> Outcome {
    let (provider, gateway) = start()?;
    let form =
        Stream { words: 4, end: keyway_testkit::provider::End::Stall { events: 3 }, ..Stream::default() };
    provider.script("m").always(Reply::Stream(form));
    for (path, name) in [(CHAT, "sim"), (MESSAGES, "claude")] {
        let mut caller = gateway.connect().await?;
        let body = format!(r#"{{"model":"{name}/m","max_tokens":9,"stream":true}}"#);
        caller.send(&post(path, TOKEN, "", body.as_bytes())).await?;
        // The provider has stopped after the third event: that one must be here already.
        caller.wait_for(b"word ").await?;
    }
    Ok(())
}
