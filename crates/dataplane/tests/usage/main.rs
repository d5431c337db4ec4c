//! What was used reaches the control plane's books, whatever happens to the replica or the way there: a data plane
//! between a control plane that keeps books and a provider of a few lines each.

#![cfg(test)]

#[cfg(test)]
mod caller;
#[cfg(test)]
#[path = "../peer/mod.rs"]
mod peer;
#[cfg(test)]
mod plane;
#[cfg(test)]
mod process;

use caller::{CHAT, Caller, ECHO, provider};
use keyway_dataplane::{Running, Settings, StateDir, start};
use keyway_proto::{
    fleet::v1::{Outcome, Record, UsageSource},
    snapshot::v1::{Dialect, Endpoint, Meter},
};
use plane::{Plane, total};
use process::{Process, spooled};
use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
/// What a killed replica may lose: what ended so shortly before.
const LOST: Duration = Duration::from_millis(10);

/// A data plane in this process.
struct Replica(Option<Running>);

impl Replica {
    async fn start(plane: &Plane, state: Option<StateDir>) -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Settings {
            id: "r".to_owned(),
            host: "h".to_owned(),
            supervisor: String::new(),
            hold_back: Duration::ZERO,
            listener: bind(),
            ops: bind(),
            fleet_url: Some(plane.url.clone()),
            identity: Some(plane.identity.clone()),
            token: None,
            node: "r".to_owned(),
            threads: Some(2),
            tls: None,
            upstream_ca: None,
            drain_grace: PATIENCE,
            memory_limit: None,
            otlp: None,
            state,
        };
        let running = tokio::task::spawn_blocking(|| start(settings).unwrap()).await.unwrap();
        let replica = Self(Some(running));
        configured(replica.listen()).await;
        replica
    }

    fn listen(&self) -> std::net::SocketAddr {
        self.0.as_ref().unwrap().listen()
    }

    async fn caller(&self) -> Caller {
        Caller::connect(self.listen()).await
    }

    /// Asks and gives what came.
    async fn ask(&self, headers: &str, body: &str) -> (u16, String) {
        let mut caller = self.caller().await;
        caller.send(CHAT, headers, body).await.unwrap();
        caller.answer().await.unwrap()
    }

    /// Ends it in order.
    async fn stop(mut self) {
        let running = self.0.take().unwrap();
        running.stop();
        tokio::task::spawn_blocking(|| running.join()).await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.stop_now();
            running.join();
        }
    }
}

/// Waits until requests are served; none of those before is metered, since no client is known.
async fn configured(listen: std::net::SocketAddr) {
    let served = async {
        loop {
            let mut caller = Caller::connect(listen).await;
            // Refused before a body is read, and by a known client only once there is one.
            caller.send("/v1/nothing", "", "").await.unwrap();
            if caller.answer().await.unwrap().0 == 404 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, served).await.unwrap();
}

fn count(record: &Record, meter: Meter) -> u64 {
    record.counts.iter().find(|count| count.meter() == meter).map_or(0, |count| count.count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_tells_all_of_a_request_and_comes_within_a_second() {
    let plane = Plane::start(&provider().await).await;
    plane.keeps_books(true);
    let replica = Replica::start(&plane, None).await;
    let (status, answer) =
        replica.ask("x-keyway-tags: b=2,a=1\r\n", r#"{"model":"both","messages":[],"max_tokens":9}"#).await;
    assert_eq!(status, 200, "{answer}");
    let ended = Instant::now();
    plane.until(2).await;
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    let records = plane.books(plane::Books::records);
    let refused = records.iter().find(|record| record.outcome() == Outcome::Refused).unwrap();
    let spender = refused.spender.clone().unwrap();
    assert_eq!((&*spender.client, &*spender.provider, &*refused.reason), ("c", "", "unsupported"));
    assert_eq!(
        (refused.status, refused.nano_dollars, refused.usage_source()),
        (404, Some(0), UsageSource::Unspecified)
    );

    let record = records.iter().find(|record| record.outcome() == Outcome::Served).unwrap();
    let spender = record.spender.clone().unwrap();
    assert_eq!((&*spender.client, &*spender.team, &*spender.alias), ("c", "t", "both"));
    assert_eq!((&*spender.provider, &*spender.model, &*spender.key), ("p", "m", "p/main/3"));
    assert_eq!((spender.tags, &*record.asked), (vec!["a=1".to_owned(), "b=2".to_owned()], "both"));
    assert_eq!((record.endpoint(), record.dialect()), (Endpoint::ChatCompletions, Dialect::OpenaiChat));
    let id = ulid::Ulid::from_bytes(record.id.clone().try_into().unwrap());
    assert!(answer.contains(&format!("x-keyway-request-id: {id}")), "{answer}");
    assert!(answer.contains("x-keyway-cost-usd: 0.000000032"), "{answer}");
    assert_eq!((count(record, Meter::Input), count(record, Meter::Output)), (20, 4));
    assert_eq!((record.usage_source(), record.nano_dollars), (UsageSource::Provider, Some(20 + 3 * 4)));
    assert_eq!(record.route, ["p/broken", "p/m"]);
    let attempts: Vec<_> =
        record.attempts.iter().map(|one| (&*one.model, one.status, &*one.reason)).collect();
    assert_eq!(attempts, [("broken", 500, "upstream_status"), ("m", 200, "")]);
    assert!(record.upstream_micros > 0 && record.upstream_micros <= record.total_micros);
    assert_eq!((record.status, record.stream, &*record.reason), (200, false, ""));
    assert_eq!((record.request_bytes, record.snapshot.unwrap().counter), (45, 7));
    assert!(record.reply_bytes > 50 && record.started_unix_millis > 1_700_000_000_000);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_or_told_wrong_is_estimated_by_its_text() {
    let plane = Plane::start(&provider().await).await;
    plane.keeps_books(true);
    let replica = Replica::start(&plane, None).await;
    let chat = r#"{"model":"p/m","messages":[],"stream":true}"#;
    for (path, body) in [(CHAT, chat), ("/v1/messages", chat)] {
        let mut caller = replica.caller().await;
        caller.send(path, "", body).await.unwrap();
        caller.until("nine byte").await;
    }
    let (status, _) = replica.ask("", r#"{"model":"p/m","messages":["negative"]}"#).await;
    assert_eq!(status, 200);
    plane.until(4).await;
    let records = plane.books(plane::Books::records);
    let of = |is: &dyn Fn(&Record) -> bool| records.iter().find(|record| is(record)).unwrap().clone();
    let seen = |record: &Record| {
        let counts = (count(record, Meter::Input), count(record, Meter::Output));
        (record.outcome(), record.usage_source(), counts, record.nano_dollars, record.delivered_output_tokens)
    };
    let left = of(&|record| record.stream && record.endpoint() == Endpoint::ChatCompletions);
    assert_eq!(seen(&left), (Outcome::Cancelled, UsageSource::Estimate, (11, 3), Some(20), Some(3)));
    assert!(left.first_token_micros > 0 && left.reason == "client_cancelled" && left.status == 200);
    let left = of(&|record| record.endpoint() == Endpoint::Messages);
    assert_eq!(seen(&left), (Outcome::Cancelled, UsageSource::Partial, (11, 3), Some(20), Some(3)));
    let odd = of(&|record| !record.stream && record.outcome() == Outcome::Served);
    assert_eq!(seen(&odd), (Outcome::Served, UsageSource::Estimate, (10, 3), Some(19), None));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_that_are_none_are_refused_by_name() {
    let plane = Plane::start("http://127.0.0.1:9").await;
    let replica = Replica::start(&plane, None).await;
    let (status, answer) = replica.ask("x-keyway-tags: nonsense\r\n", ECHO).await;
    assert_eq!(status, 400);
    assert!(answer.contains("x-keyway-tags") && answer.contains("invalid_header"), "{answer}");
}

/// Asks the sandbox over some connections until told to stop; gives when each answer was there.
async fn load(listen: std::net::SocketAddr, stop: &Arc<AtomicBool>) -> Vec<Instant> {
    const CALLERS: usize = 4;
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let stop = Arc::clone(stop);
            tokio::spawn(async move {
                let mut caller = Caller::connect(listen).await;
                let mut answered = Vec::new();
                while !stop.load(SeqCst) && caller.send(CHAT, "", ECHO).await.is_ok() {
                    let Ok((200, _)) = caller.answer().await else { break };
                    answered.push(Instant::now());
                }
                answered
            })
        })
        .collect();
    let mut all = Vec::new();
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    all
}

/// D1. The middle of three tries counts, since the test machine may be busy with something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_killed_under_load_it_loses_what_ended_in_the_last_10_ms_at_most() {
    let plane = Plane::start("http://127.0.0.1:9").await;
    let mut missing = Vec::new();
    for _ in 0..3 {
        plane.keeps_books(false);
        let home = TempDir::new().unwrap();
        let process = Process::start(&home, &plane);
        configured(process.listen).await;
        let stop = Arc::<AtomicBool>::default();
        let loading = {
            let (stop, listen) = (Arc::clone(&stop), process.listen);
            tokio::spawn(async move { load(listen, &stop).await })
        };
        tokio::time::sleep(Duration::from_millis(400)).await;
        let killed = Instant::now();
        process.kill();
        stop.store(true, SeqCst);
        let answered = loading.await.unwrap();
        let due = answered.iter().filter(|at| **at + LOST <= killed).count() as u64;
        // One more was metered: the request that saw it configured.
        let kept = total(&spooled(&home)).requests - 1;
        println!(
            "answered {}, of them {due} more than 10 ms before the kill, spooled {kept}",
            answered.len()
        );
        assert!(due > 50 && kept <= answered.len() as u64 + 4, "what was metered was asked for");
        missing.push(due.saturating_sub(kept));

        // The next process hands over what this one left, and then its own.
        plane.keeps_books(true);
        let before = total(&plane.books(|books| books.frames.clone())).requests;
        let process = Process::start(&home, &plane);
        configured(process.listen).await;
        plane.until(before + kept + 2).await;
        assert_eq!(total(&plane.books(|books| books.frames.clone())).requests, before + kept + 2);
        process.kill();
    }
    missing.sort_unstable();
    assert_eq!(missing[1], 0, "lost beyond the last 10 ms: {missing:?}");
}

/// D12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_a_full_spool_loses_detail_and_no_count() {
    const REQUESTS: u64 = 1_500;
    const LIMIT: u64 = 64 << 10;
    let plane = Plane::start("http://127.0.0.1:9").await;
    let home = TempDir::new().unwrap();
    let state = || Some(StateDir { usage_limit: LIMIT, ..StateDir::at(home.path().join("r")) });
    let replica = Replica::start(&plane, state()).await;
    let mut caller = replica.caller().await;
    for number in 0..REQUESTS {
        caller.send(CHAT, &format!("x-keyway-tags: run={number}\r\n"), ECHO).await.unwrap();
        assert_eq!(caller.answer().await.unwrap().0, 200);
    }
    replica.stop().await;
    let spooled: u64 = {
        let dirs = std::fs::read_dir(home.path().join("r/usage")).unwrap();
        let files = dirs.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    // A fold may be under way at the end.
    assert!(spooled < 2 * LIMIT, "{spooled} bytes");
    plane.keeps_books(true);
    let replica = Replica::start(&plane, state()).await;
    let frames = plane.until(REQUESTS + 2).await;
    let all = total(&frames);
    let input = all.counts.iter().find(|count| count.meter() == Meter::Input).unwrap().count;
    // Two words in, two out, at 1 and 3 nano-dollars; and the requests that saw it configured.
    assert_eq!((all.requests, all.errors, all.unpriced), (REQUESTS + 2, 2, 0));
    assert_eq!((input, all.nano_dollars), (2 * REQUESTS, 8 * REQUESTS));
    let recorded: usize = frames.iter().map(|frame| frame.records.len()).sum();
    println!("{spooled} bytes of {REQUESTS} requests, {recorded} of them still by themselves");
    assert!((1..REQUESTS as usize / 2).contains(&recorded));
    replica.stop().await;
    let incarnations = std::fs::read_dir(home.path().join("r/usage")).unwrap().count();
    assert_eq!(incarnations, 0, "what is booked is not kept");
}
