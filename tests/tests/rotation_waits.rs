//! Rotations that somebody waits for and that do not end by the book: a frozen replica, an interrupted command, a second
//! rotation (R8), and a way back to what is gone (R9).

use std::time::{Duration, Instant};

use keyway_e2e::frozen::{Frozen, replicas};
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, TOKEN, chat, streamed};
use keyway_e2e::rotation::{Change, KEY, actions, key, rotate, secret, shown, state, until, yaml};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Keyway, Ran};
use keyway_testkit::provider::{End, Provider, Reply, Stream};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Until something happens by itself, on a busy machine.
const BY_ITSELF: Duration = Duration::from_secs(30);
/// The deadline for acknowledgements, unless somebody says otherwise.
const ACK_DEADLINE: Duration = Duration::from_secs(2);
/// What a command and its connections may take beside what it waits for, on a busy machine.
const MARGIN: Duration = Duration::from_secs(3);

/// A gateway with so many replicas; streams of `sim/held` stand after two events until released.
fn started(replicas: u32) -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    provider
        .script("held")
        .always(Reply::Stream(Stream { end: End::Hold { events: 2 }, ..Stream::default() }));
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(replicas))?;
    Ok((provider, gateway))
}

/// A stream that has begun and stands.
async fn held(gateway: &Gateway) -> Outcome<Caller> {
    let mut caller = gateway.connect().await?;
    caller.send(&post(CHAT, TOKEN, "", streamed("sim/held").as_bytes())).await?;
    caller.wait_for(b"data:").await?;
    Ok(caller)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_ends_for_the_others_while_one_replica_is_frozen_and_is_proven_once_it_goes_on() -> Outcome
{
    let (_provider, gateway) = started(3)?;
    let stopped = replicas(&gateway.keyway)?.into_iter().next().ok_or("no replicas")?;
    let frozen = Frozen::new(stopped.pid)?;
    let change = rotate(&gateway.keyway, &secret(1), &["--overlap", "0s", "--wait"])?;
    println!(
        "two of three acknowledged {:?} after activation; the command took {:?}",
        change.last_ack(),
        change.took
    );
    assert_eq!(change.code, Some(5), "{change:?}");
    assert_eq!(change.list("silent"), [stopped.id.as_str()], "{change:?}");
    assert_eq!(change.list("unconfirmed"), [stopped.id.as_str()], "{change:?}");
    assert_eq!((change.number("acknowledged"), change.number("replicas")), (Some(2), Some(3)), "{change:?}");
    assert!(change.stderr.contains(&stopped.id) && change.stderr.contains("NOT proven"), "{change:?}");
    assert!(change.last_ack().is_some_and(|ack| ack < ACK_DEADLINE), "the others waited for it: {change:?}");
    assert!(change.took < ACK_DEADLINE + MARGIN, "--timeout was waited for: {change:?}");
    let before = shown(&gateway.keyway)?;
    assert_eq!((state(&before, 1), state(&before, 2)), ("withdrawn".into(), "active".into()), "{before}");

    drop(frozen);
    until(BY_ITSELF, "the old version is retired", || Ok(state(&shown(&gateway.keyway)?, 1) == "retired"))
        .await?;
    let after = shown(&gateway.keyway)?;
    assert_eq!(after.pointer("/rollout/outcome").and_then(Value::as_str), Some("retired"), "{after}");
    assert_eq!(after.pointer("/rollout/silent"), Some(&json!([])), "{after}");
    gateway.goes_on(None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_command_ends_at_once_and_the_rotation_goes_on() -> Outcome {
    let (provider, gateway) = started(2)?;
    let mut stream = held(&gateway).await?;
    let new = secret(1);
    let args =
        ["key", "rotate", KEY, "--from-env", "NEW_KEY", "--overlap", "0s", "--wait", "--output", "json"];
    let mut command = gateway.keyway.begin(&args, &[("NEW_KEY", &new)])?;
    command.until(BY_ITSELF, "waits for the stream", |command| {
        command.stdout().contains(r#""step":"withdrawn""#).then_some(())
    })?;
    let asked = Instant::now();
    command.signal(Signal::INT)?;
    let status = command.wait(MARGIN)?.ok_or("it did not end")?;
    println!("ended {:?} after SIGINT: {status}", asked.elapsed());
    assert!(!status.success(), "{status}");

    let now = shown(&gateway.keyway)?;
    assert_eq!((state(&now, 1), state(&now, 2)), ("withdrawn".into(), "active".into()), "{now}");
    assert_eq!(now.pointer("/rollout/outcome").and_then(Value::as_str), Some("running"), "{now}");
    assert_eq!(now.pointer("/use/1/in_flight").and_then(Value::as_u64), Some(1), "{now}");
    provider.release();
    stream.wait_for(b"data: [DONE]").await?;
    until(BY_ITSELF, "the old version is retired", || Ok(state(&shown(&gateway.keyway)?, 1) == "retired"))
        .await?;
    assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    assert!(provider.keys().contains_key(&new), "the new key is in use");
    Ok(())
}

/// The admin API's own answer, which holds more than the command says.
async fn post_json(gateway: &Gateway, path: &str, body: Value) -> Outcome<(u16, Value)> {
    let url = format!("{}/api/v1/keys/{KEY}/{path}", gateway.keyway.admin_url());
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(url).bearer_auth(gateway.keyway.admin_token()?).body(body.to_string());
    let answer = request.header("content-type", "application/json").send().await?;
    let status = answer.status().as_u16();
    Ok((status, serde_json::from_str(&answer.text().await?)?))
}

fn code(answer: &Value) -> &str {
    answer.pointer("/error/code").and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_of_two_rotations_at_once_one_is_made_and_the_other_is_told() -> Outcome {
    let (provider, gateway) = started(2)?;
    let secrets = [secret(1), secret(2)];
    let args = ["key", "rotate", KEY, "--from-env", "NEW_KEY", "--overlap", "10m", "--output", "json"];
    let begin = |secret: &String| gateway.keyway.begin(&args, &[("NEW_KEY", secret)]);
    let began = Instant::now();
    let both = [begin(&secrets[0])?, begin(&secrets[1])?];
    let mut ended = Vec::new();
    for command in both {
        ended.push(Change::new(Ran::of(command)?, began));
    }
    ended.sort_by_key(|change| change.code);
    let [made, told] = ended.as_slice() else { return Err("not two".into()) };
    assert_eq!((made.code, told.code), (Some(0), Some(1)), "{ended:?}");
    assert!(told.stderr.contains("is under way") && told.stderr.lines().count() == 1, "{told:?}");

    let third = json!({ "secret": secret(3) });
    let (status, answer) = post_json(&gateway, "rotate", third).await?;
    assert_eq!((status, code(&answer)), (409, "rotation_in_progress"), "{answer}");
    let now = shown(&gateway.keyway)?;
    assert_eq!((state(&now, 1), state(&now, 2)), ("retiring".into(), "active".into()), "{now}");
    // The one that was made, sent again, is the same; a refused one has never been anywhere.
    assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    let used: Vec<_> = secrets.iter().filter(|secret| provider.keys().contains_key(*secret)).collect();
    let [used] = used.as_slice() else { return Err(format!("used: {:?}", provider.keys()).into()) };
    let again = rotate(&gateway.keyway, used, &["--overlap", "10m"])?;
    assert_eq!((again.code, again.text("id")), (Some(0), made.text("id")), "{again:?}");
    key(&gateway.keyway, &["rollback", KEY, "--wait"])?.ends("rolled_back");
    let history = actions(&gateway.keyway)?;
    assert_eq!(history.iter().filter(|action| *action == "key.rotate").count(), 1, "{history:?}");
    gateway.goes_on(None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9_there_is_no_way_back_to_a_version_that_was_destroyed() -> Outcome {
    let (provider, gateway) = started(2)?;
    rotate(&gateway.keyway, &secret(1), &["--overlap", "0s", "--wait"])?.ends("retired");
    assert_eq!(key(&gateway.keyway, &["destroy", KEY, "--version", "1"])?.code, Some(0));
    for args in
        [&["rollback", KEY, "--version", "1"][..], &["rollback", KEY], &["promote", KEY, "--version", "1"]]
    {
        let back = key(&gateway.keyway, args)?;
        assert_eq!(back.code, Some(1), "{args:?}: {back:?}");
        assert!(back.stderr.contains("version 1 is erased"), "{args:?}: {back:?}");
    }
    for body in [json!({ "version": 1 }), json!({})] {
        let (status, answer) = post_json(&gateway, "rollback", body).await?;
        assert_eq!((status, code(&answer)), (422, "missing_secrets"), "{answer}");
        assert!(answer.to_string().contains("`sim/main` version 1 "), "which secret: {answer}");
    }
    let now = shown(&gateway.keyway)?;
    assert_eq!((state(&now, 1), state(&now, 2)), ("destroyed".into(), "active".into()), "{now}");
    let asked = provider.keys().get(MAIN_KEY).copied().unwrap_or_default().requests;
    gateway.goes_on(None).await?;
    assert_eq!(provider.keys().get(MAIN_KEY).copied().unwrap_or_default().requests, asked);
    Ok(())
}
