//! A host is upgraded while it serves: D6 of the list of faults, and N10 of its figures.

use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_e2e::fleet::{PATIENCE, admin, text, until, yaml};
use keyway_e2e::gateway::{CHAT, Outcome, TOKEN, chat, streamed};
use keyway_e2e::hosts::{Fresh, alive, runs, runs_newest};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::load::{Load, wants_ok};
use keyway_testkit::process::{Planes, binary};
use keyway_testkit::provider::{End, Provider, Reply, Stream};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const REPLICAS: usize = 3;
const STREAMS: usize = 12;
/// Events of one stream, and the time between two: thirty seconds.
const EVENTS: u32 = 60;
const GAP: Duration = Duration::from_millis(500);

/// One stream to its end: whether it was whole, and how long it took.
async fn stream(to: std::net::SocketAddr) -> Outcome<(bool, Duration)> {
    let began = Instant::now();
    let mut tcp = TcpStream::connect(to).await?;
    tcp.write_all(&post(CHAT, TOKEN, "connection: close\r\n", streamed("sim/long").as_bytes())).await?;
    let mut all = String::new();
    tokio::time::timeout(PATIENCE * 2, tcp.read_to_string(&mut all)).await??;
    let words = all.matches("word ").count();
    let is_whole = all.ends_with("0\r\n\r\n") && all.contains("[DONE]") && words == EVENTS as usize;
    Ok((is_whole, began.elapsed()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d6_an_upgrade_under_load_refuses_nothing_and_cuts_nothing_inside_the_grace() -> Outcome {
    let provider = Provider::start()?;
    let long = Stream { words: EVENTS, gap: GAP, ..Stream::default() };
    provider.script("long").always(Reply::Stream(long));
    let planes = Planes::start(&yaml(&provider, ""), 0)?;
    let admin = admin(&planes)?;
    let mut host = planes.host("h", &["--replicas", "3"])?;
    let before = runs(&admin, "h", REPLICAS).await?;
    let to = host.address()?;
    let mut streams = JoinSet::new();
    (0..STREAMS).for_each(|_| drop(streams.spawn(stream(to))));
    let fresh = Fresh::start(to, "sim/m", 200);
    let kept = Load {
        to,
        callers: 6,
        path: CHAT.to_owned(),
        token: TOKEN.to_owned(),
        body: Bytes::from(chat("sim/m")),
        pause: Duration::from_millis(30),
        check: wants_ok(),
    };
    let kept = kept.start();
    tokio::time::sleep(Duration::from_secs(1)).await;

    host.replace_program(&binary("keyway-dataplane")?)?;
    assert!(!runs_newest(&host, host.process.pid().into())?);
    let began = Instant::now();
    let ran = planes.cli(&["fleet", "upgrade", "--host", "h", "--timeout", "60"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let newest = || Ok(runs_newest(&host, host.process.pid().into())?.then_some(()));
    until("the supervisor is new too", PATIENCE, newest).await?;
    let rolled = began.elapsed();
    println!("rolled after {rolled:?}");
    assert!(rolled < Duration::from_secs(15), "it does not wait for streams: {rolled:?}");

    let mut whole = Vec::new();
    while let Some(ended) = streams.join_next().await {
        whole.push(ended??);
    }
    let (good, failed) = fresh.stop().await;
    let counts = kept.stop().await;
    let shortest = whole.iter().map(|(_, took)| *took).min().unwrap_or_default();
    let cut = whole.iter().filter(|(is_whole, _)| !is_whole).count();
    println!(
        "{good} on fresh connections, failed: {failed:?}; {} on kept ones, failed: {:?}",
        counts.ok, counts.failed
    );
    println!("{STREAMS} streams, the shortest {shortest:?}, {cut} cut");
    assert_eq!((cut, failed.len(), counts.failures()), (0, 0, 0), "{failed:?} {:?}", counts.failed);
    assert!(good > 1000 && counts.ok > 500 && shortest > Duration::from_secs(29));

    let after = runs(&admin, "h", REPLICAS).await?;
    for pid in &after {
        assert!(!before.contains(pid) && runs_newest(&host, *pid)?, "{pid}");
    }
    assert!(alive(&before).is_empty(), "old ones end with their last stream");
    let shown = admin.get("/hosts/h").await?;
    assert_eq!(
        (&shown["pid"], &shown["newer_program"]),
        (&Value::from(host.process.pid()), &Value::Bool(false))
    );
    admin.until(PATIENCE, "/fleet", |fleet| (fleet.as_array()?.len() == REPLICAS).then_some(())).await?;
    let status = host.process.stop()?.ok_or("killed")?;
    assert!(status.success() && alive(&after).is_empty(), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_serve_stops_the_upgrade_and_the_old_one_goes_on() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), 0)?;
    let admin = admin(&planes)?;
    let mut host = planes.host("h", &["--replicas", "2"])?;
    let before = runs(&admin, "h", 2).await?;
    let fresh = Fresh::start(host.address()?, "sim/m", 100);
    let broken = planes.folder().join("broken");
    std::fs::write(&broken, "#!/bin/sh\nexit 3\n")?;
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    host.replace_program(&broken)?;
    host.process.signal(Signal::HUP)?;
    let stopped = |one: &Value| text(one, "/fault").contains("ended before it was ready").then_some(());
    admin.until(PATIENCE, "/hosts/h", stopped).await?;
    assert_eq!(runs(&admin, "h", 2).await?, before);
    let doctor = planes.cli(&["doctor"])?;
    assert!(doctor.stdout.contains("the upgrade of h stopped"), "{doctor:?}");

    // What fails meanwhile is started from the program that runs, though its file is gone.
    let victim = *before.first().ok_or("no replica")?;
    let pid = i32::try_from(victim).ok().and_then(rustix::process::Pid::from_raw).ok_or("no process")?;
    rustix::process::kill_process(pid, Signal::KILL)?;
    until("it is gone", PATIENCE, || Ok(alive(&[victim]).is_empty().then_some(()))).await?;
    runs(&admin, "h", 2).await?;
    host.replace_program(&binary("keyway-dataplane")?)?;
    let ran = planes.cli(&["fleet", "upgrade", "--host", "h"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let after = runs(&admin, "h", 2).await?;
    assert!(after.iter().all(|pid| !before.contains(pid)));
    let (good, failed) = fresh.stop().await;
    println!("{good} answered; failed: {failed:?}");
    // Those of the one that was killed.
    assert!(
        good > 0 && failed.len() <= 10 && !failed.iter().any(|why| why.contains("refused")),
        "{failed:?}"
    );
    host.process.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_outlasts_the_grace_ends_with_an_error_in_its_dialect() -> Outcome {
    let provider = Provider::start()?;
    let held = Stream { end: End::Hold { events: 2 }, ..Stream::default() };
    provider.script("held").always(Reply::Stream(held));
    let planes = Planes::start(&yaml(&provider, ""), 0)?;
    let admin = admin(&planes)?;
    let mut host = planes.host("h", &["--replicas", "1", "--drain-grace", "1"])?;
    runs(&admin, "h", 1).await?;
    let mut caller = Caller::connect(host.address()?).await?;
    caller.send(&post(CHAT, TOKEN, "", streamed("sim/held").as_bytes())).await?;
    let head = caller.head().await?;
    host.replace_program(&binary("keyway-dataplane")?)?;
    host.process.signal(Signal::HUP)?;
    let answer = caller.after(head).await?;
    assert!(answer.text().contains("server_draining"), "{}", answer.text());
    assert!(!answer.text().contains("[DONE]"), "{}", answer.text());
    runs(&admin, "h", 1).await?;
    host.process.stop()?;
    Ok(())
}
