//! What happens to the process: D6 (drain), D7 (no file descriptors left) and D11 (snapshots swapped under load).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_e2e::gateway::{CHAT, Gateway, MESSAGES, Outcome, TOKEN, chat, streamed, yaml, yaml_with};
use keyway_e2e::inspect::{cpu, open_files};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::load::{Done, Load};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::{End, Provider, Reply, Stream};
use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

// === D6 ===

/// How soon after SIGTERM nobody may accept any more; generous, since the test machine may be busy.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// Waits until nobody accepts connections there any more, or says that it is draining.
async fn until_closed(gateway: &Gateway) -> Outcome {
    let deadline = Instant::now() + CLOSED_WITHIN;
    let good = post(CHAT, TOKEN, "", chat("sim/good").as_bytes());
    let mut last = String::new();
    while Instant::now() < deadline {
        let Ok(mut caller) = gateway.connect().await else { return Ok(()) };
        last = match tokio::time::timeout(Duration::from_millis(500), caller.ask(&good)).await {
            Ok(Ok(answer)) if answer.status == 503 => return Ok(()),
            Ok(Ok(answer)) => format!("answered with {}", answer.status),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "accepted, and not answered in 500 ms".to_owned(),
        };
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("{CLOSED_WITHIN:?} after SIGTERM a fresh connection is {last}").into())
}

async fn drains(mut gateway: Gateway, provider: &Provider, replicas: u32) -> Outcome {
    provider
        .script("held")
        .always(Reply::Stream(Stream { end: End::Hold { events: 2 }, ..Stream::default() }));
    let good = post(CHAT, TOKEN, "", chat("sim/good").as_bytes());
    let mut idle = gateway.connect().await?;
    assert!(!idle.ask(&good).await?.closes());
    let mut streams = Vec::new();
    for (path, model, end) in [(CHAT, "sim/held", "data: [DONE]"), (MESSAGES, "claude/held", "message_stop")]
    {
        let mut caller = gateway.connect().await?;
        caller.send(&post(path, TOKEN, "", streamed(model).as_bytes())).await?;
        caller.wait_for(b"data:").await?;
        streams.push((caller, end));
    }
    gateway.keyway.process().signal(Signal::TERM)?;
    until_closed(&gateway).await?;
    match idle.ask(&good).await {
        Ok(last) => {
            assert_eq!(last.status, 200, "{}", last.text());
            assert!(last.closes(), "an answer while draining without connection: close: {:?}", last.headers);
            assert!(idle.closed().await?);
        }
        // Its replica may have had no stream to wait for, and has ended.
        Err(_) if replicas > 1 => assert!(idle.closed().await?),
        Err(error) => return Err(format!("the idle connection lost a request: {error}").into()),
    }
    provider.release();
    for (mut caller, end) in streams {
        let rest = String::from_utf8(caller.rest().await?.to_vec())?;
        assert!(rest.contains(end), "a stream in flight was cut: {rest}");
        assert!(rest.ends_with("0\r\n\r\n"), "not ended cleanly: {rest}");
    }
    let status = gateway.keyway.process().wait(Duration::from_secs(5))?;
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{status:?}\n{}", gateway.keyway.log());
    Ok(())
}

#[tokio::test]
async fn d6_sigterm_lets_streams_end_closes_idle_connections_and_exits_0() -> Outcome {
    let provider = Provider::start()?;
    drains(Gateway::start(&yaml(&provider))?, &provider, 1).await
}

#[tokio::test]
async fn d6_sigterm_drains_replicas_too() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(2))?;
    drains(gateway, &provider, 2).await
}

#[tokio::test]
async fn d6_idle_connections_alone_hold_nothing_up() -> Outcome {
    let provider = Provider::start()?;
    let mut gateway = Gateway::start(&yaml(&provider))?;
    let mut idle = gateway.connect().await?;
    assert_eq!(idle.ask(&post(CHAT, TOKEN, "", chat("sim/good").as_bytes())).await?.status, 200);
    let asked = Instant::now();
    gateway.keyway.process().signal(Signal::TERM)?;
    let status = gateway.keyway.process().wait(Duration::from_secs(5))?;
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{:?}", asked.elapsed());
    assert!(idle.closed().await?);
    Ok(())
}

#[tokio::test]
async fn d6_a_second_signal_ends_at_once() -> Outcome {
    let provider = Provider::start()?;
    provider
        .script("stall")
        .always(Reply::Stream(Stream { end: End::Stall { events: 2 }, ..Stream::default() }));
    let mut gateway = Gateway::start(&yaml(&provider))?;
    let mut caller = gateway.connect().await?;
    caller.send(&post(CHAT, TOKEN, "", streamed("sim/stall").as_bytes())).await?;
    caller.wait_for(b"data:").await?;
    gateway.keyway.process().signal(Signal::TERM)?;
    until_closed(&gateway).await?;
    let waiting = gateway.keyway.process().wait(Duration::from_millis(300))?;
    assert!(waiting.is_none(), "did not wait for the stream: {waiting:?}");
    let asked = Instant::now();
    gateway.keyway.process().signal(Signal::TERM)?;
    let ended = gateway.keyway.process().wait(Duration::from_secs(3))?;
    assert!(ended.is_some(), "the second signal did not end it");
    println!("ended {:?} after the second signal", asked.elapsed());
    let rest = caller.rest().await?;
    assert!(!String::from_utf8(rest.to_vec())?.contains("[DONE]"));
    Ok(())
}

// === D7 ===

#[tokio::test]
async fn d7_with_no_file_descriptors_left_it_survives_serves_and_recovers() -> Outcome {
    const MORE: u64 = 24;
    const CALLERS: usize = 100;
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    let good = post(CHAT, TOKEN, "", chat("sim/good").as_bytes());
    let mut warm = gateway.connect().await?;
    assert_eq!(warm.ask(&good).await?.status, 200);
    let pid = gateway.keyway.pid();
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    let limit = open_files(pid)? as u64 + MORE;
    prlimit(Some(process), Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) })?;

    let mut crowd = Vec::new();
    for _ in 0..CALLERS {
        crowd.push(gateway.connect().await?);
    }
    // What is measured here is a second of having no descriptor to accept with.
    let before = cpu(pid)?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        let answer = warm.ask(&good).await?;
        assert_eq!(answer.status, 200, "a connection that stands: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let spent = cpu(pid)? - before;
    println!("{} of {limit} descriptors open; {spent:?} of CPU in 1 s", open_files(pid)?);
    assert!(spent < Duration::from_millis(400), "the accept loop spins: {spent:?} of CPU in 1 s");

    drop(crowd);
    let deadline = Instant::now() + Duration::from_secs(5);
    let recovered = loop {
        let asked = async { gateway.connect().await?.ask(&good).await };
        match tokio::time::timeout(Duration::from_secs(1), asked).await {
            Ok(Ok(answer)) if answer.status == 200 => break true,
            _ if Instant::now() > deadline => break false,
            _ => {}
        }
    };
    assert!(recovered, "no answer on a fresh connection 5 s after the crowd left\n{}", gateway.keyway.log());
    gateway.goes_on(None).await
}

#[tokio::test]
async fn d7_callers_in_a_crowd_are_served_or_closed_never_forgotten() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::start(&yaml(&provider))?;
    gateway.goes_on(None).await?;
    let pid = gateway.keyway.pid();
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    let limit = open_files(pid)? as u64 + 24;
    prlimit(Some(process), Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    let good = post(CHAT, TOKEN, "connection: close\r\n", chat("sim/good").as_bytes());
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (address, good) = (gateway.address, good.clone());
        crowd.spawn(async move {
            let answer = Caller::connect(address).await?.ask(&good).await?;
            Ok::<u16, std::io::Error>(answer.status)
        });
    }
    let mut endings = BTreeMap::<String, u32>::new();
    while let Some(ended) = crowd.join_next().await {
        let ending = match ended? {
            Ok(status) => status.to_string(),
            Err(error) => error.kind().to_string(),
        };
        *endings.entry(ending).or_default() += 1;
    }
    println!("a crowd of 100 with 24 descriptors: {endings:?}");
    assert!(!endings.contains_key("timed out"), "{endings:?}");
    let told = |ending: &String| ending.parse::<u16>().is_ok_and(|status| status != 200 && status != 503);
    assert!(!endings.keys().any(told), "no provider failed, and callers were told so: {endings:?}");
    assert!(endings.get("200").is_some_and(|good| *good >= 10), "{endings:?}");
    // The last of the crowd may still be on their way out; then everybody is served again.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while gateway.ask(CHAT, &chat("sim/good")).await.map_or(0, |answer| answer.status) != 200 {
        assert!(std::time::Instant::now() < deadline, "nobody is served after the crowd");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

// === D11 ===

/// A file in which `alias-m` leads to the upstream model `gen-N`.
fn generation(provider: &Provider, number: u32) -> String {
    yaml_with(provider, &format!("  alias-m: {{ targets: [{{ provider: sim, model: gen-{number} }}] }}"))
}

fn header<'a>(done: &'a Done<'_>, name: &str) -> &'a str {
    done.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_every_reply_is_of_exactly_one_snapshot_while_they_are_swapped() -> Outcome {
    const GENERATIONS: u32 = 8;
    let provider = Provider::start()?;
    let gateway = Gateway::start(&generation(&provider, 0))?;
    // What each version means; two meanings of one version would be a torn view.
    let meanings = Arc::new(Mutex::new(BTreeMap::<(u64, u64), u32>::new()));
    let noted = Arc::clone(&meanings);
    let check = move |done: &Done<'_>| -> Result<(), String> {
        let (status, snapshot) = (done.status, header(done, "x-keyway-snapshot"));
        let target = header(done, "x-keyway-target");
        let body: serde_json::Value = serde_json::from_slice(done.body).map_err(|error| error.to_string())?;
        let model = body.get("model").and_then(|model| model.as_str()).unwrap_or_default();
        if status != 200 || target != format!("sim/{model}") {
            return Err(format!("status {status}, target {target}, served by {model}"));
        }
        let version = snapshot.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let version = version.ok_or_else(|| format!("snapshot {snapshot}"))?;
        let number =
            model.strip_prefix("gen-").and_then(|number| number.parse().ok()).ok_or("no generation")?;
        match *noted.lock().entry(version).or_insert(number) {
            same if same == number => Ok(()),
            other => Err(format!("version {snapshot} means gen-{other} and gen-{number}")),
        }
    };
    let load = Load {
        to: gateway.address,
        callers: 8,
        path: CHAT.to_owned(),
        token: TOKEN.to_owned(),
        body: Bytes::from(chat("alias-m")),
        pause: Duration::ZERO,
        check: Arc::new(check),
    };
    // A stream that begins with the first version and goes on over all the others.
    let held = Stream { end: End::Hold { events: 2 }, ..Stream::default() };
    provider.script("gen-0").reply(Reply::Stream(held));
    let mut long = gateway.connect().await?;
    long.send(&post(CHAT, TOKEN, "", streamed("alias-m").as_bytes())).await?;
    long.wait_for(b"word").await?;
    let running = load.start();
    for number in 1..=GENERATIONS {
        let file = gateway.keyway.write("next.yaml", &generation(&provider, number))?;
        let file = file.to_str().unwrap_or_default().to_owned();
        let ran = tokio::task::block_in_place(|| gateway.keyway.cli(&["apply", "-f", &file]))?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    provider.release();
    long.wait_for(b"data: [DONE]").await.map_err(|error| format!("the stream over all versions: {error}"))?;
    let last = format!("gen-{GENERATIONS}");
    let seen = provider
        .until(Duration::from_secs(2), |seen| seen.last().is_some_and(|one| one.model() == last))
        .await;
    assert!(seen.is_ok(), "the last generation was never used");
    let counts = running.stop().await;
    let meanings = meanings.lock().clone();
    println!("{} good, {:?} failed, {} versions seen", counts.ok, counts.failed, meanings.len());
    assert_eq!(counts.failures(), 0, "{:?}", counts.failed);
    assert!(meanings.len() as u32 > GENERATIONS / 2, "{meanings:?}");
    assert!(meanings.values().is_sorted(), "a later version means an earlier file: {meanings:?}");
    gateway.goes_on(None).await
}
