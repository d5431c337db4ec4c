//! Signatures and tokens of clouds: what Keyway signs is taken by a provider that checks it with AWS's own code, tokens
//! are fetched with a service account and kept, and callers may sign as AWS's SDKs do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, TOKEN, chat, streamed, yaml};
use keyway_testkit::caller::Answer;
use keyway_testkit::provider::{Provider, Reply};
use keyway_testkit::signed::{Signed, time};
use keyway_testkit::strict::{Key, Seen, Strict};
use keyway_testkit::tokens::{EMAIL, TokenServer};
use serde_json::json;

const PAIR: &str = "KEYPAIROFTHETEST0001";
const PAIR_SECRET: &str = "the-secret-access-key-of-this-test";

/// An AWS pair that only one test uses, as it goes into keyway.yaml.
async fn pair(strict: &Strict, test: &str) -> Outcome<Key> {
    let name = format!("{test}-{}", std::process::id());
    let id: String = name.bytes().filter(u8::is_ascii_alphanumeric).map(char::from).collect();
    let secret = format!("AKID{id}:aws/secret+of={name}");
    strict.keys(&json!({ "add": { &name: &secret } })).await?;
    Ok(Key { name, secret })
}

fn bedrock(strict: &Strict, keys: &str) -> String {
    let url = strict.url();
    format!(
        "providers:\n  bedrock: {{ region: eu-west-1, base_url: \"{url}\", keys: [{keys}] }}\n\
         clients:\n  tester: {{ token: {TOKEN} }}\n"
    )
}

fn paths(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|request| request.path.as_str()).collect()
}

#[tokio::test]
async fn a_key_pair_signs_requests_to_bedrock() -> Outcome {
    let strict = Strict::shared()?;
    let key = pair(strict, "signs").await?;
    for secret in [key.secret.clone(), format!("{}:session/token+of=the-test", key.secret)] {
        let gateway = Gateway::start(&bedrock(strict, &format!("{{ name: main, secret: \"{secret}\" }}")))?;
        for body in
            [chat("bedrock/sim-text"), streamed("bedrock/sim-text"), chat("bedrock/arn:aws:x/sim-text")]
        {
            let answer = gateway.ask(CHAT, &body).await?;
            assert_eq!(answer.status, 200, "{body}: {}\n{}", answer.text(), gateway.keyway.log());
            assert!(answer.text().contains("Hello"), "{}", answer.text());
        }
        assert!(!gateway.keyway.log().contains("secret+of"), "a secret in what the gateway wrote");
    }
    let seen = strict.seen(&key).await?;
    let once =
        ["/model/sim-text/converse", "/model/sim-text/converse-stream", "/model/arn:aws:x/sim-text/converse"];
    let found: Vec<String> =
        paths(&seen).iter().map(|path| path.replace("%3A", ":").replace("%2F", "/")).collect();
    assert_eq!(found, [once, once].concat());
    assert!(seen.iter().all(|request| request.violations.is_empty()), "{seen:#?}");
    Ok(())
}

#[tokio::test]
async fn a_pair_that_is_wrong_rests_and_another_serves() -> Outcome {
    let strict = Strict::shared()?;
    let key = pair(strict, "wrong").await?;
    let (id, _) = key.secret.split_once(':').ok_or("a pair has a colon")?;
    let keys = format!(
        "{{ name: main, secret: \"{id}:not-its-secret\", weight: 1000000 }}, {{ name: spare, secret: \"{}\" }}",
        key.secret
    );
    let gateway = Gateway::start(&bedrock(strict, &keys))?;
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let answer = gateway.ask(CHAT, &chat("bedrock/sim-text")).await?;
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gateway.keyway.log());
        attempts.push(answer.header("x-keyway-attempts").unwrap_or_default().to_owned());
    }
    assert_eq!(attempts.concat().matches('2').count(), 1, "{attempts:?}: refused once, then it rests");
    Ok(())
}

#[tokio::test]
async fn an_api_key_of_bedrock_goes_as_a_bearer_token() -> Outcome {
    let strict = Strict::shared()?;
    let key = strict.new_key("bedrock-bearer").await?;
    let gateway = Gateway::start(&bedrock(strict, &format!("{{ name: main, secret: {} }}", key.secret)))?;
    let answer = gateway.ask(CHAT, &chat("bedrock/sim-text")).await?;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gateway.keyway.log());
    assert_eq!(paths(&strict.seen(&key).await?), ["/model/sim-text/converse"]);
    Ok(())
}

/// Vertex with a simulator in its place, and a token server on this machine.
fn vertex(provider: &Provider, account: &str) -> String {
    let base = provider.base_url();
    format!(
        "providers:\n  google-vertex: {{ dialect: openai-chat, base_url: \"{base}\", api_key: '{account}' }}\n\
         clients:\n  tester: {{ token: {TOKEN} }}\n"
    )
}

#[tokio::test]
async fn a_service_account_s_token_is_fetched_once_and_kept() -> Outcome {
    let (provider, tokens) = (Provider::start()?, TokenServer::start()?);
    let gateway = Gateway::start(&vertex(&provider, &tokens.account()?))?;
    let body = chat("google-vertex/m");
    let asked = (0..8).map(|_| gateway.ask(CHAT, &body));
    let mut answers: Vec<Answer> = Vec::new();
    for asked in futures(asked).await {
        answers.push(asked?);
    }
    answers.push(gateway.ask(CHAT, &body).await?);
    let log = gateway.keyway.log();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}\n{log}", answer.text());
    }
    let calls = tokens.calls();
    let [Ok(claim)] = calls.as_slice() else { panic!("one fetch, and a right one: {calls:?}") };
    assert_eq!(claim["iss"], EMAIL);
    assert_eq!(claim["aud"], tokens.url());
    assert_eq!(claim["scope"], "https://www.googleapis.com/auth/cloud-platform");
    let bearer = format!("Bearer {}", TokenServer::token(1));
    assert!(provider.seen().iter().all(|seen| seen.headers("authorization") == [bearer.as_str()]));
    assert!(!log.contains("ya29.") && !log.contains("PRIVATE KEY"), "a secret in what the gateway wrote");
    Ok(())
}

#[tokio::test]
async fn a_short_token_is_used_to_near_its_end_and_a_lost_account_is_told() -> Outcome {
    let (provider, tokens) = (Provider::start()?, TokenServer::start()?);
    // It is renewed in the last quarter of its life.
    tokens.lives(200);
    let gateway = Gateway::start(&vertex(&provider, &tokens.account()?))?;
    for _ in 0..2 {
        assert_eq!(gateway.ask(CHAT, &chat("google-vertex/m")).await?.status, 200);
    }
    assert_eq!(tokens.calls().len(), 1);
    // The account is gone, but its last token is good for a while.
    tokens.refuse(true);
    assert_eq!(gateway.ask(CHAT, &chat("google-vertex/m")).await?.status, 200);

    let gateway = Gateway::start(&vertex(&provider, &tokens.account()?))?;
    let answer = gateway.ask(CHAT, &chat("google-vertex/m")).await?;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("upstream_auth_failed"), "{}", answer.text());
    let asked = tokens.calls().len();
    gateway.ask(CHAT, &chat("google-vertex/m")).await?;
    assert!(tokens.calls().len() <= asked + 1, "the key rests");
    Ok(())
}

#[tokio::test]
async fn an_api_key_of_vertex_goes_in_google_s_header() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&vertex(&provider, "AIza-express-key-of-the-test"))?;
    assert_eq!(gateway.ask(CHAT, &chat("google-vertex/m")).await?.status, 200);
    let seen = provider.seen();
    assert_eq!(seen[0].headers("x-goog-api-key"), ["AIza-express-key-of-the-test"]);
    assert!(seen[0].headers("authorization").is_empty());
    Ok(())
}

#[tokio::test]
async fn claude_on_vertex_is_named_by_its_path() -> Outcome {
    const ANSWER: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}"#;
    let provider = Provider::start()?;
    provider.decide(|_| Reply::whole("application/json", ANSWER.to_owned()));
    let base = provider.base_url();
    let base = base.strip_suffix("/v1").unwrap_or(&base);
    let gateway = Gateway::start(&format!(
        "providers:\n  google-vertex: {{ base_url: \"{base}\", api_key: AIza-express-key-of-the-test }}\n\
         clients:\n  tester: {{ token: {TOKEN} }}\n"
    ))?;
    // Its own dialect, and across.
    let own =
        r#"{"model":"google-vertex/claude-x@1","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    for (path, body) in [(MESSAGES, own.to_owned()), (CHAT, chat("google-vertex/claude-x@1"))] {
        let answer = gateway.ask(path, &body).await?;
        assert_eq!(answer.status, 200, "{path}: {}\n{}", answer.text(), gateway.keyway.log());
    }
    let seen = provider.seen();
    for request in &seen {
        assert_eq!(request.path(), "/models/claude-x@1:rawPredict");
        let body: serde_json::Value = serde_json::from_slice(&request.body)?;
        assert_eq!(
            (&body["anthropic_version"], body.get("model")),
            (&json!("vertex-2023-10-16"), None),
            "{body}"
        );
    }
    let sent =
        own.replace(r#""model":"google-vertex/claude-x@1""#, r#""anthropic_version":"vertex-2023-10-16""#);
    assert_eq!((seen.len(), &*seen[0].body), (2, sent.as_bytes()), "the rest as it came");
    Ok(())
}

#[tokio::test]
async fn gemini_on_vertex_is_named_by_its_path() -> Outcome {
    const PLACE: &str = "/v1/projects/p-1/locations/europe-west4/publishers/google";
    const ANSWER: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1,"totalTokenCount":4,"trafficType":"ON_DEMAND"},"modelVersion":"gemini-2.5-flash"}"#;
    let (provider, tokens) = (Provider::start()?, TokenServer::start()?);
    provider.decide(|request| match request.path().contains(":stream") {
        true => Reply::whole("text/event-stream", format!("data: {ANSWER}\n\n")),
        false => Reply::whole("application/json", ANSWER.to_owned()),
    });
    let base = provider.base_url();
    let base = format!("{}{PLACE}", base.strip_suffix("/v1").unwrap_or(&base));
    let account = tokens.account()?;
    let gateway = Gateway::start(&format!(
        "providers:\n  google-vertex: {{ base_url: \"{base}\", api_key: '{account}' }}\n\
         clients:\n  tester: {{ token: {TOKEN} }}\n"
    ))?;
    let model = "google-vertex/gemini-2.5-flash";
    // As google-genai asks when it believes that it speaks to Vertex, in its own dialect; and across.
    let own = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"labels":{"team":"red"}}"#;
    let asked = [
        (format!("/v1beta1/models/{model}:generateContent"), own.to_owned()),
        (format!("/v1beta1/models/{model}:streamGenerateContent?alt=sse"), own.to_owned()),
        (CHAT.to_owned(), chat(model)),
        (CHAT.to_owned(), streamed(model)),
    ];
    for (path, body) in &asked {
        let answer = gateway.ask(path, body).await?;
        assert_eq!(answer.status, 200, "{path}: {}\n{}", answer.text(), gateway.keyway.log());
        assert!(answer.text().contains("hi"), "{}", answer.text());
    }
    let seen = provider.seen();
    let whole = format!("{PLACE}/models/gemini-2.5-flash:generateContent");
    let stream = format!("{PLACE}/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    let targets: Vec<&str> = seen.iter().map(|request| request.target()).collect();
    assert_eq!(targets, [&*whole, &*stream, &*whole, &*stream]);
    let bearer = format!("Bearer {}", TokenServer::token(1));
    assert!(seen.iter().all(|request| request.headers("authorization") == [bearer.as_str()]));
    assert_eq!([&*seen[0].body, &*seen[1].body], [own.as_bytes(); 2], "as it came");
    Ok(())
}

#[tokio::test]
async fn what_gemini_on_vertex_gets_is_a_request_of_its_dialect() -> Outcome {
    let strict = Strict::shared()?;
    let key = strict.new_key("vertex-gemini").await?;
    let gateway = Gateway::start(&format!(
        "providers:\n  google-vertex: {{ base_url: \"{}/v1beta\", api_key: {} }}\n\
         clients:\n  tester: {{ token: {TOKEN} }}\n",
        strict.url(),
        key.secret
    ))?;
    let model = "google-vertex/gemini-2.5.sim-text";
    let tool = json!({ "name": "look", "description": "looks", "input_schema": { "type": "object",
        "properties": { "at": { "type": "string" } } } });
    let messages = json!({ "model": model, "max_tokens": 64, "system": "Be brief.", "tools": [tool],
        "messages": [{ "role": "user", "content": "hi" }] });
    for (path, body) in [(CHAT, chat(model)), (CHAT, streamed(model)), (MESSAGES, messages.to_string())] {
        let answer = gateway.ask(path, &body).await?;
        assert_eq!(answer.status, 200, "{body}: {}\n{}", answer.text(), gateway.keyway.log());
    }
    let seen = strict.seen(&key).await?;
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|request| request.violations.is_empty()), "{seen:#?}");
    Ok(())
}

/// A caller that signs, and the request that it would send.
fn signed<'a>(host: &'a str, now: &'a str) -> Signed<'a> {
    const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    Signed { id: PAIR, secret: PAIR_SECRET, path: "/model/sim%2Fm/converse", host, body: BODY, time: now }
}

#[expect(clippy::disallowed_methods, reason = "a caller signs what time it is")]
fn unix() -> Outcome<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

async fn send(gateway: &Gateway, request: &Signed<'_>) -> Outcome<Answer> {
    Ok(gateway.connect().await?.ask(&request.post(request.body)).await?)
}

#[tokio::test]
async fn a_caller_s_signature_lets_in_and_nothing_like_it() -> Outcome {
    let provider = Provider::start()?;
    let pair = format!("sigv4: {{ access_key_id: {PAIR}, secret_access_key: {PAIR_SECRET} }}");
    let file = format!("{}  signer: {{ token: kw-another-token-of-the-signer, {pair} }}\n", yaml(&provider));
    let gateway = Gateway::start(&file)?;
    let (host, now) = (gateway.address.to_string(), time(unix()?));
    let right = signed(&host, &now);
    let answer = send(&gateway, &right).await?;
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), gateway.keyway.log());
    assert_eq!(answer.json()["stopReason"], "end_turn", "{}", answer.text());

    let old = time(unix()? - Duration::from_secs(400).as_secs());
    let mut refused = vec![
        send(&gateway, &Signed { secret: "another-secret-access-key-of-this", ..right.clone() }).await?,
        send(&gateway, &Signed { id: "KEYPAIROFTHETEST0002", ..right.clone() }).await?,
        send(&gateway, &Signed { time: &old, ..right.clone() }).await?,
        send(&gateway, &Signed { host: "another.example", ..right.clone() }).await?,
        gateway.connect().await?.ask(&right.post(&right.body.replace("hi", "ho"))).await?,
    ];
    // Signed for one host, sent for another.
    let elsewhere = String::from_utf8(right.post(right.body))?.replacen(&host, "another.example", 1);
    refused.push(gateway.connect().await?.ask(elsewhere.as_bytes()).await?);
    let beside = String::from_utf8(right.post(right.body))?.replacen(
        "\r\nauthorization",
        &format!("\r\nx-api-key: {TOKEN}\r\nauthorization"),
        1,
    );
    refused.push(gateway.connect().await?.ask(beside.as_bytes()).await?);
    let accepted_under_another_name = refused.remove(3);
    assert_eq!(accepted_under_another_name.status, 200, "signed and sent for the same name");
    for answer in &refused {
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert_eq!(answer.text().len(), refused[0].text().len(), "one and the same refusal");
    }
    let seen = provider.seen();
    assert_eq!(seen.len(), 2, "nothing else reached the provider");
    let head = std::str::from_utf8(&seen[0].head)?.to_ascii_lowercase();
    assert!(!head.contains("x-amz-") && !head.contains("amz-sdk-") && !head.contains("aws4"), "{head}");
    Ok(())
}

#[tokio::test]
async fn a_pair_is_made_shown_once_replaced_and_ends_with_its_client() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let (host, now) = (gateway.address.to_string(), time(unix()?));
    let run = |args: &[&str]| -> Outcome<String> {
        let ran = gateway.keyway.cli(args)?;
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        Ok(ran.stdout)
    };
    let pair = |stdout: &str| -> Outcome<(String, String)> {
        let value = |name: &str| stdout.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let missing = || format!("no pair in {stdout}");
        let id = value("AWS_ACCESS_KEY_ID=").ok_or_else(missing)?;
        Ok((id, value("AWS_SECRET_ACCESS_KEY=").ok_or_else(missing)?))
    };
    let made = run(&["client", "create", "boto", "--sigv4"])?;
    assert!(made.starts_with("kw_"), "the token first: {made}");
    let first = pair(&made)?;
    let with = |of: &(String, String)| -> (String, String) { of.clone() };
    let asks = async |of: &(String, String)| -> Outcome<u16> {
        let (id, secret) = with(of);
        Ok(send(&gateway, &Signed { id: &id, secret: &secret, ..signed(&host, &now) }).await?.status)
    };
    // Waits until every replica serves what was changed before, and changes nothing.
    let settled = || -> Outcome<String> {
        let file = run(&["export"])?;
        let path = gateway.keyway.write("exported.yaml", &file)?;
        let applied = run(&["apply", "-f", path.to_str().ok_or("a path that is no text")?, "--wait"])?;
        assert!(!applied.contains("boto"), "an export changes nothing: {applied}");
        Ok(file)
    };
    let file = settled()?;
    assert!(file.contains(&first.0) && !file.contains(&first.1), "the id alone: {file}");
    assert_eq!(asks(&first).await?, 200);

    let second = pair(&run(&["client", "rotate", "boto", "--sigv4"])?)?;
    assert_ne!(first.0, second.0);
    settled()?;
    let log = gateway.keyway.log();
    assert!(![&first.1, &second.1].iter().any(|secret| log.contains(secret.as_str())), "a secret in a log");
    assert_eq!((asks(&first).await?, asks(&second).await?), (401, 200));
    run(&["client", "delete", "boto"])?;
    settled()?;
    assert_eq!(asks(&second).await?, 401);
    Ok(())
}

/// All at once, in order.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (place, one) in done.iter_mut().zip(&mut all) {
            if place.is_none()
                && let std::task::Poll::Ready(value) = one.as_mut().poll(cx)
            {
                *place = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
