//! What is revoked while streams run: a provider key (R3) and a client (R4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyway_e2e::expect::{openai_error, openai_reason, stream_error};
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, SPARE_KEY, TOKEN, chat};
use keyway_e2e::held::{self, Held};
use keyway_e2e::rotation::{key, shown, state, until, yaml_of};
use keyway_testkit::caller::{Answer, post};
use keyway_testkit::load::{Done, Load, Running};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::{Provider, Seen};
use parking_lot::Mutex;

/// Until something happens by itself, on a busy machine.
const BY_ITSELF: Duration = Duration::from_secs(30);
/// How soon a revoked client's token is refused on every replica.
const REFUSED_WITHIN: Duration = Duration::from_millis(500);

const REPLICAS: u32 = 2;
const STREAMS: usize = 16;

fn started() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    held::script(&provider);
    let keys = [("main", MAIN_KEY), ("spare", SPARE_KEY)];
    let gateway = Gateway::of(Keyway::up().config(yaml_of(&provider, &keys)).replicas(REPLICAS))?;
    Ok((provider, gateway))
}

/// Streams that stand, with the key that each of them uses: each is asked for after the one before has begun.
async fn with_keys(provider: &Provider, streams: Vec<Held>) -> Vec<(Held, String)> {
    let keys: Vec<String> = provider.seen().iter().map(|one| one.credential().to_owned()).collect();
    streams.into_iter().zip(keys).collect()
}

/// The longest time from `moment` until the gateway left a request on this key.
fn last_left(seen: &[Seen], key: &str, moment: Instant) -> Option<Duration> {
    seen.iter().filter(|one| one.credential() == key).map(|one| one.left_after(moment)).max().flatten()
}

fn is_whole(answer: &Answer) -> bool {
    answer.complete && answer.text().ends_with("data: [DONE]\n\n")
}

// === R3 ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_revoked_key_cuts_its_streams_in_band_and_only_them_and_new_requests_take_the_next() -> Outcome {
    let (provider, gateway) = started()?;
    let streams = held::streams(&gateway, TOKEN, STREAMS).await?;
    let streams = with_keys(&provider, streams).await;
    let on_main = streams.iter().filter(|(_, key)| key == MAIN_KEY).count();
    assert!(on_main > 0 && on_main < STREAMS, "both keys of the pool are used: {on_main} of {STREAMS}");

    let revoked = key(&gateway.keyway, &["revoke", "sim/main"])?;
    assert_eq!((revoked.code, revoked.number("acknowledged")), (Some(0), Some(2)), "{revoked:?}");
    let all_left = |seen: &[Seen]| {
        seen.iter().filter(|one| one.credential() == MAIN_KEY).all(|one| one.left_at().is_some())
    };
    let seen = provider.until(BY_ITSELF, all_left).await.map_err(|_| "not all streams were cut")?;
    println!(
        "{on_main} of {STREAMS} streams cut; the last {:?} after the command began, {:?} after its commit acknowledged by all",
        last_left(&seen, MAIN_KEY, revoked.began),
        revoked.last_ack()
    );
    for _ in 0..20 {
        assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    }
    let main = provider.keys().get(MAIN_KEY).copied().unwrap_or_default();
    assert_eq!(main.requests, on_main as u64, "a new use after the command's end");

    provider.release();
    for (stream, key) in streams {
        let answer = stream.end().await?;
        if key == MAIN_KEY {
            stream_error(&answer, CHAT, "credential_revoked");
        } else {
            assert!(is_whole(&answer), "a stream on the other key: {}", answer.text());
        }
    }
    until(BY_ITSELF, "it is revoked everywhere", || Ok(state(&shown(&gateway.keyway)?, 1) == "revoked"))
        .await?;
    gateway.goes_on(None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_graceful_revocation_lets_streams_finish_and_without_another_key_new_requests_are_told()
-> Outcome {
    let (provider, gateway) = started()?;
    assert_eq!(key(&gateway.keyway, &["revoke", "sim/spare"])?.code, Some(0));
    let streams = held::streams(&gateway, TOKEN, STREAMS).await?;
    let revoked = key(&gateway.keyway, &["revoke", "sim/main", "--graceful"])?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let answer = gateway.ask(CHAT, &chat("sim/m")).await?;
    openai_reason(&answer, 503, "upstream_error", "no_healthy_upstream");
    assert_eq!(provider.keys().get(MAIN_KEY).copied().unwrap_or_default().requests, STREAMS as u64);
    assert!(provider.seen().iter().all(|one| one.left_at().is_none()), "a stream was cut");

    provider.release();
    for stream in streams {
        let answer = stream.end().await?;
        assert!(is_whole(&answer), "{}", answer.text());
    }
    until(BY_ITSELF, "the version is revoked everywhere", || {
        let now = shown(&gateway.keyway)?;
        Ok(state(&now, 1) == "revoked" && now.pointer("/rollout/outcome") == Some(&"revoked".into()))
    })
    .await
}

// === R4 ===

/// The last request that was admitted, by when it was sent, and how each caller's last request ended.
#[derive(Debug, Default)]
struct Told {
    admitted: Option<Instant>,
    latest: std::collections::BTreeMap<usize, u16>,
}

/// Callers who ask again and again, each on a connection of its own that stays with one replica.
fn probes(gateway: &Gateway, token: &str, told: &Arc<Mutex<Told>>) -> Running {
    let told = Arc::clone(told);
    let check = move |done: &Done<'_>| {
        let mut told = told.lock();
        told.latest.insert(done.caller, done.status.as_u16());
        match done.status.as_u16() {
            200 => {
                told.admitted = told.admitted.max(Some(done.sent));
                Ok(())
            }
            401 => Ok(()),
            other => Err(format!("status {other}")),
        }
    };
    Load {
        to: gateway.address,
        callers: STREAMS,
        path: CHAT.to_owned(),
        token: token.to_owned(),
        body: chat("sim/m").into(),
        pause: Duration::from_millis(2),
        check: Arc::new(check),
    }
    .start()
}

/// Makes the client `leaver`, runs `keyway client ARGS` while it has streams and asks, and asserts what comes of its token
/// and its streams; gives the times in words.
async fn ends_a_client(args: &[&str], code: &str) -> Outcome<String> {
    let (provider, gateway) = started()?;
    let made = gateway.keyway.cli(&["client", "create", "leaver"])?;
    assert_eq!(made.code, Some(0), "{made:?}");
    let token = made.stdout.trim();
    let told = Arc::new(Mutex::new(Told::default()));
    let streams = held::streams(&gateway, token, STREAMS).await?;
    let probing = probes(&gateway, token, &told);
    until(BY_ITSELF, "every probe was answered", || Ok(told.lock().latest.len() == STREAMS)).await?;
    let before = provider.requests();

    let began = Instant::now();
    let ran = gateway.keyway.cli(&[&["client"], args].concat())?;
    let returned = Instant::now();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    until(BY_ITSELF, "every probe is refused", || {
        Ok(told.lock().latest.values().all(|status| *status == 401))
    })
    .await?;
    let counts = probing.stop().await;
    assert_eq!(counts.failures(), 0, "{:?}", counts.failed);
    let admitted = told.lock().admitted.ok_or("no probe was admitted before")?;
    let late = admitted.saturating_duration_since(returned);
    assert!(late <= REFUSED_WITHIN, "{args:?}: admitted {late:?} after the command's return");
    for stream in streams {
        stream_error(&stream.end().await?, CHAT, "client_revoked");
    }
    let last = provider.seen().iter().take(before).filter_map(|one| one.left_after(began)).max();
    assert!(last.is_some_and(|last| last <= returned - began + REFUSED_WITHIN), "{args:?}: cut {last:?}");
    let answer = gateway.connect().await?.ask(&post(CHAT, token, "", chat("sim/m").as_bytes())).await?;
    let error = openai_error(&answer, 401, code);
    assert!(!error.to_string().contains(token), "{error}");
    gateway.goes_on(None).await?;
    let after = (admitted.saturating_duration_since(began), returned - began);
    Ok(format!(
        "{args:?} took {:?}; a request was last admitted {:?} after it began, cut {last:?}",
        after.1, after.0
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_disabled_client_is_refused_on_every_replica_and_its_streams_are_cut_in_band() -> Outcome {
    println!("{}", ends_a_client(&["disable", "leaver"], "client_disabled").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_deleted_client_is_refused_on_every_replica_and_its_streams_are_cut_in_band() -> Outcome {
    println!("{}", ends_a_client(&["delete", "leaver"], "invalid_api_key").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_rotated_clients_old_token_is_refused_on_every_replica_and_its_streams_are_cut_in_band()
-> Outcome {
    println!("{}", ends_a_client(&["rotate", "leaver"], "invalid_api_key").await?);
    Ok(())
}
