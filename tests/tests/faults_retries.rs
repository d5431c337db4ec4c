//! What is tried again and what is not, what a failure says of a key, and what the caller is told of it: U1, U2, U14 and
//! C18 of the list of faults.

use std::time::Duration;

use bytes::Bytes;
use keyway_e2e::expect::openai_reason;
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, SPARE_KEY, TOKEN, chat, streamed, yaml};
use keyway_testkit::caller::{Answer, post};
use keyway_testkit::provider::{ANY, Ending, Failure, Framing, Provider, Reply, Step, Surface, Whole, good};

/// Longer than a dead connection needs to show that it is dead.
const AT_WORK: Duration = Duration::from_millis(600);

/// Providers `p0`, `p1` and so on, each with these keys, one after the other behind `alias-line`.
fn line(bases: &[String], keys: &str, retries: u32) -> String {
    let provider = |(number, base): (usize, &String)| {
        format!("  p{number}: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{keys}] }}\n")
    };
    let target = |number| format!("      - {{ provider: p{number}, model: m, priority: {} }}\n", number + 1);
    let providers: String = bases.iter().enumerate().map(provider).collect();
    let targets: String = (0..bases.len()).map(target).collect();
    format!(
        "providers:\n{providers}models:\n  alias-line:\n    strategy: priority\n    retries: {retries}\n    \
         targets:\n{targets}clients:\n  tester: {{ token: {TOKEN}, models: [\"alias-*\", \"p0/*\"] }}\n"
    )
}

fn in_line<const N: usize>(retries: u32) -> Outcome<(Vec<Provider>, Gateway)> {
    let providers: Vec<Provider> = (0..N).map(|_| Provider::start()).collect::<Result<_, _>>()?;
    let bases: Vec<String> = providers.iter().map(Provider::base_url).collect();
    let gateway = Gateway::start(&line(&bases, &format!("{{ name: main, secret: {MAIN_KEY} }}"), retries))?;
    Ok((providers, gateway))
}

fn single() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    Ok((provider, gateway))
}

fn asked(providers: &[Provider]) -> Vec<usize> {
    providers.iter().map(Provider::requests).collect()
}

fn attempts(answer: &Answer) -> usize {
    let json = answer.json();
    json.pointer("/error/attempts").and_then(|attempts| attempts.as_array()).map_or(0, Vec::len)
}

/// A stream whose only event is this error.
fn error_event(error: &str) -> Reply {
    Reply::whole("text/event-stream", format!("data: {{\"error\":{error}}}\n\n"))
}

/// A reply of 200 with these further lines of its head, and what follows it.
fn raw(lines: &str, body: &Bytes) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{lines}\r\n");
    Reply::Steps(vec![Step::Send(Bytes::from(head)), Step::Send(body.clone())])
}

// === Which failure counts ===

#[tokio::test]
async fn a_move_on_from_a_refused_key_costs_no_retry_whatever_failed_before() -> Outcome {
    let (providers, gateway) = in_line::<3>(1)?;
    providers[0].script(ANY).always(Reply::rate_limited("7"));
    providers[1].refuse_key(MAIN_KEY, 401);
    let answer = gateway.ask(CHAT, &chat("alias-line")).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-keyway-target"), Some("p2/m"));
    assert_eq!(asked(&providers), [1, 1, 1]);
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_is_passed_names_the_target_that_it_came_from() -> Outcome {
    let (providers, gateway) = in_line::<2>(2)?;
    providers[0].script(ANY).always(Reply::rate_limited("7"));
    providers[1].refuse_key(MAIN_KEY, 401);
    let answer = gateway.ask(CHAT, &chat("alias-line")).await?;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.header("x-keyway-target"), Some("p0/m"));
    assert_eq!(answer.header("retry-after"), Some("7"));
    Ok(())
}

// === U14 ===

#[tokio::test]
async fn u14_a_request_that_displeases_inside_a_stream_is_not_repeated() -> Outcome {
    let (provider, gateway) = single()?;
    for (code, status) in
        [("context_length_exceeded", 400), ("model_not_found", 404), ("request_too_large", 413)]
    {
        let event = error_event(&format!(r#"{{"code":"{code}","message":"no"}}"#));
        provider.script(code).always(event);
        let before = provider.requests();
        let answer = gateway.ask(CHAT, &streamed(&format!("sim/{code}"))).await?;
        openai_reason(&answer, status, "upstream_error", "upstream_stream_error");
        assert_eq!(provider.requests(), before + 1, "{code}");
    }
    Ok(())
}

#[tokio::test]
async fn u14_an_error_inside_a_stream_cools_the_key_as_its_status_would() -> Outcome {
    let (providers, gateway) = in_line::<2>(2)?;
    let limited = Whole {
        headers: vec![
            ("content-type".to_owned(), "text/event-stream".to_owned()),
            ("retry-after".to_owned(), "60".to_owned()),
        ],
        body: Bytes::from_static(b"data: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n"),
        ..Whole::default()
    };
    providers[0].script(ANY).always(Reply::Whole(limited));
    for round in 1..=4 {
        let answer = gateway.ask(CHAT, &streamed("alias-line")).await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-keyway-target"), Some("p1/m"));
        assert_eq!(asked(&providers), [1, round], "a cooled target was asked again");
    }
    let answer = gateway.ask(CHAT, &streamed("p0/m")).await?;
    openai_reason(&answer, 429, "upstream_error", "upstream_stream_error");
    assert_eq!(answer.header("retry-after"), Some("60"));
    Ok(())
}

#[tokio::test]
async fn u14_a_key_that_is_refused_inside_a_stream_is_benched() -> Outcome {
    for kind in ["authentication_error", "permission_error"] {
        let provider = Provider::start()?;
        let keys = format!("{{ name: main, secret: {MAIN_KEY} }}, {{ name: spare, secret: {SPARE_KEY} }}");
        let gateway = Gateway::start(&line(&[provider.base_url()], &keys, 2))?;
        let refusal = error_event(&format!(r#"{{"type":"{kind}","message":"no"}}"#));
        provider.decide(move |seen| match seen.credential() == MAIN_KEY {
            true => refusal.clone(),
            false => Reply::Good,
        });
        for round in 0..12 {
            let answer = gateway.ask(CHAT, &streamed("p0/m")).await?;
            assert_eq!(answer.status, 200, "{kind}, round {round}: {}", answer.text());
        }
        let uses = provider.seen().iter().filter(|seen| seen.credential() == MAIN_KEY).count();
        assert_eq!(uses, 1, "{kind}: the refused key is tried once");
    }
    Ok(())
}

// === When to come again ===

#[tokio::test]
async fn the_providers_wait_is_told_and_every_503_and_429_of_ours_has_one() -> Outcome {
    let (provider, gateway) = single()?;
    for (status, asked, told) in [
        (503, Some("9"), Some("9")),
        (500, Some("11"), Some("11")),
        (529, Some("0"), Some("0")),
        (503, None, Some("1")),
        (500, None, None),
    ] {
        let headers = asked.map(|wait| ("retry-after".to_owned(), wait.to_owned()));
        let failure = Failure { status, headers: headers.into_iter().collect(), ..Failure::default() };
        let model = format!("m{status}-{}", asked.unwrap_or("none"));
        provider.script(&model).always(Reply::Error(failure));
        let answer = gateway.ask(CHAT, &chat(&format!("sim/{model}"))).await?;
        openai_reason(&answer, status, "upstream_error", "upstream_status");
        assert_eq!(answer.header("retry-after"), told, "{status} after {asked:?}");
    }
    // A refusal whose body is not passed is told in our words.
    let limited = Whole {
        status: 429,
        headers: vec![("retry-after".to_owned(), "13".to_owned())],
        body: Bytes::from(vec![b'x'; 300 * 1024]),
        framing: Framing::Length,
    };
    provider.script("large").always(Reply::Whole(limited));
    let answer = gateway.ask(CHAT, &chat("sim/large")).await?;
    openai_reason(&answer, 429, "upstream_error", "upstream_rate_limited");
    assert_eq!(answer.header("retry-after"), Some("13"));
    Ok(())
}

// === Connections that rested ===

#[tokio::test]
async fn u2_a_connection_that_died_while_it_rested_costs_no_attempt() -> Outcome {
    for ending in [Ending::Close, Ending::Reset] {
        let (provider, gateway) = single()?;
        let mut caller = gateway.connect().await?;
        let ask = post(CHAT, TOKEN, "", chat("sim/m").as_bytes());
        assert_eq!(caller.ask(&ask).await?.status, 200);
        provider.script("m").reply(Reply::HangUp(ending));
        let answer = caller.ask(&ask).await?;
        assert_eq!(answer.status, 200, "{ending:?}: {}", answer.text());
        assert_eq!(answer.header("x-keyway-attempts"), Some("1"), "{ending:?}");
        assert_eq!((provider.requests(), provider.connections()), (3, 2));
    }
    Ok(())
}

#[tokio::test]
async fn u2_what_breaks_on_a_rested_connection_after_work_or_bytes_is_a_try_like_any_other() -> Outcome {
    let worked = Reply::Steps(vec![Step::Wait(AT_WORK), Step::End(Ending::Close)]);
    let garbage = Reply::Steps(vec![
        Step::Send(Bytes::from_static(b"220 mail ready\r\n\r\n")),
        Step::End(Ending::Close),
    ]);
    for (name, reply, reason) in
        [("worked", worked, "upstream_cut"), ("garbage", garbage, "upstream_bad_framing")]
    {
        let (provider, gateway) = single()?;
        let mut caller = gateway.connect().await?;
        let ask = post(CHAT, TOKEN, "", chat("sim/m").as_bytes());
        assert_eq!(caller.ask(&ask).await?.status, 200);
        provider.script("m").always(reply);
        let answer = caller.ask(&ask).await?;
        openai_reason(&answer, 502, "upstream_error", reason);
        let requests = provider.requests() - 1;
        assert_eq!(requests, attempts(&answer), "{name}: requests outside the count: {}", answer.text());
        assert_eq!(answer.header("x-keyway-attempts"), Some(&*requests.to_string()), "{name}");
        assert!(answer.header("server-timing").is_some(), "{name}");
        println!("{name}: {requests} requests");
    }
    Ok(())
}

// === Headers of one hop ===

#[tokio::test]
async fn what_any_connection_header_names_stays_on_its_hop() -> Outcome {
    let (provider, gateway) = single()?;
    let body = good(Surface::Chat, "m");
    let length = body.len();
    for lines in [
        format!("content-length: {length}, {length}\r\n"),
        format!("content-length: {length}\r\ncontent-length: {length}\r\n"),
    ] {
        let hop =
            "connection: x-one\r\nconnection: x-two, keep-alive\r\nx-one: 1\r\nx-two: 2\r\nx-end: 3\r\n";
        provider.script("m").reply(raw(&format!("{hop}{lines}"), &body));
        let before = provider.requests();
        let answer = gateway.ask_with(CHAT, hop, &chat("sim/m")).await?;
        assert_eq!((answer.status, &answer.body), (200, &body), "{}", answer.text());
        let lengths: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "content-length").collect();
        assert_eq!(lengths.len(), 1, "{lengths:?}");
        assert_eq!(answer.header("content-length"), Some(&*length.to_string()));
        let seen = &provider.seen()[before];
        for (name, told, went) in [
            ("x-one", answer.header("x-one"), seen.header("x-one")),
            ("x-two", answer.header("x-two"), seen.header("x-two")),
        ] {
            assert_eq!((told, went), (None, None), "{name}");
        }
        assert_eq!((answer.header("x-end"), seen.header("x-end")), (Some("3"), Some("3")));
    }
    Ok(())
}
