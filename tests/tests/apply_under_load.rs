//! A client's models are changed by `keyway apply` while three replicas serve: in effect on all of them within
//! 100 ms of the command's return, and no request fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, TOKEN, chat};
use keyway_e2e::inspect::{children, connections};
use keyway_testkit::load::{Done, Load, Running, wants_ok};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::Provider;
use parking_lot::Mutex;

/// How soon after the command's return every replica must act on the change.
const IN_EFFECT: Duration = Duration::from_millis(100);
const REPLICAS: u32 = 3;
/// Callers of one batch of probes; batches are added until every replica has some of them.
const PROBES: usize = 12;
const BATCHES: usize = 8;

fn yaml(provider: &Provider, models: &str) -> String {
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [{models}] }}\n",
        provider.base_url()
    )
}

/// The last request that was answered in each way, by when it was sent.
type Sent = Arc<Mutex<BTreeMap<u16, Instant>>>;

fn probes(
    gateway: &Gateway,
    sent: &Sent,
    latest: &Arc<Mutex<BTreeMap<usize, u16>>>,
    batch: usize,
) -> Running {
    let (sent, latest) = (Arc::clone(sent), Arc::clone(latest));
    let check = move |done: &Done<'_>| -> Result<(), String> {
        let status = done.status.as_u16();
        if status != 200 && status != 403 {
            return Err(format!("status {status}"));
        }
        let mut sent = sent.lock();
        let last = sent.entry(status).or_insert(done.sent);
        *last = done.sent.max(*last);
        latest.lock().insert(batch * PROBES + done.caller, status);
        Ok(())
    };
    Load {
        callers: PROBES,
        pause: Duration::from_millis(2),
        check: Arc::new(check),
        ..load(gateway, "sim/b")
    }
    .start()
}

fn load(gateway: &Gateway, model: &str) -> Load {
    Load {
        to: gateway.address,
        callers: 8,
        path: CHAT.to_owned(),
        token: TOKEN.to_owned(),
        body: Bytes::from(chat(model)),
        pause: Duration::ZERO,
        check: wants_ok(),
    }
}

/// The load that must not notice anything, counting what was served.
fn traffic(gateway: &Gateway, served: &Arc<AtomicU64>) -> Load {
    let served = Arc::clone(served);
    let check = move |done: &Done<'_>| {
        served.fetch_add(1, Ordering::Relaxed);
        wants_ok()(done)
    };
    Load { check: Arc::new(check), ..load(gateway, "sim/a") }
}

/// Waits until the traffic has moved on by a hundred requests.
async fn enough(served: &AtomicU64) -> Outcome {
    let goal = served.load(Ordering::Relaxed) + 100;
    until("a hundred requests served", || Ok(served.load(Ordering::Relaxed) >= goal)).await
}

/// Looks again and again until `holds`.
async fn until(what: &str, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds()? {
        if Instant::now() > deadline {
            return Err(format!("not in 10 s: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_models_change_on_three_replicas_within_100_ms_and_nothing_fails() -> Outcome {
    let provider = Provider::start()?;
    let up = Keyway::up().config(yaml(&provider, "\"sim/a\"")).replicas(REPLICAS);
    let gateway = Gateway::of(up)?;
    let (sent, latest) = (Sent::default(), Arc::default());

    // Connections stay with the replica that accepted them: probes until each replica has at least one.
    let mut probing = Vec::new();
    for batch in 0..BATCHES {
        probing.push(probes(&gateway, &sent, &latest, batch));
        let all = (batch + 1) * PROBES;
        until("every probe was answered", || Ok(latest.lock().len() == all)).await?;
        let held = children(gateway.keyway.pid())?
            .into_iter()
            .map(|child| connections(child, gateway.address.port()))
            .collect::<Result<Vec<_>, _>>()?;
        let reached = held.iter().filter(|count| **count > 0).count();
        println!("{all} probes: connections of each child {held:?}");
        if reached >= REPLICAS as usize {
            break;
        }
        assert!(batch + 1 < BATCHES, "{all} connections, and a replica without one: {held:?}");
    }
    let served = Arc::new(AtomicU64::new(0));
    let traffic = traffic(&gateway, &served).start();
    enough(&served).await?;

    for (models, old, new) in [("\"sim/a\", \"sim/b\"", 403, 200), ("\"sim/a\"", 200, 403)] {
        let file = gateway.keyway.write("next.yaml", &yaml(&provider, models))?;
        let file = file.to_str().unwrap_or_default().to_owned();
        let began = Instant::now();
        let ran = tokio::task::block_in_place(|| gateway.keyway.cli(&["apply", "-f", &file]))?;
        let returned = Instant::now();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        until("every probe sees the change", || Ok(latest.lock().values().all(|status| *status == new)))
            .await?;
        let last = sent.lock().get(&old).copied().ok_or("no answer of the old state")?;
        println!(
            "{old} -> {new}: apply took {:?}; the last request answered by the old state was sent {:?} after its start, \
             {:?} after its return (zero: before)",
            returned - began,
            last.saturating_duration_since(began),
            last.saturating_duration_since(returned),
        );
        assert!(
            last.saturating_duration_since(returned) <= IN_EFFECT,
            "later than 100 ms after the command's return"
        );
    }

    enough(&served).await?;
    let traffic = traffic.stop().await;
    println!(
        "{} requests beside it, p50 {:?}, p99 {:?}",
        traffic.ok,
        traffic.quantile(0.5),
        traffic.quantile(0.99)
    );
    assert_eq!(traffic.failures(), 0, "{:?}", traffic.failed);
    for probes in probing {
        let counts = probes.stop().await;
        assert_eq!(counts.failures(), 0, "{:?}", counts.failed);
    }
    Ok(())
}
