//! A replica that has little memory left, and one of whose cores does nothing any more: D8 and D10 of the list of faults.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use keyway_e2e::expect::openai_reason;
use keyway_e2e::fleet::{PATIENCE, ask, readyz, text, until, yaml};
use keyway_e2e::gateway::{CHAT, MAIN_KEY, Outcome, TOKEN, chat, streamed};
use keyway_e2e::inspect::{connections, forget_peak, peak_kib};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Planes, Process, Replica};
use keyway_testkit::provider::{End, Provider, Reply, Step, Stream, Surface, good};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Memory that the replica may use, MiB: several times what it needs when it rests.
const LIMIT: u64 = 192;
/// Connections that rest on each side of a replica.
const RESTING: usize = 60;
/// Bytes of a large body, and of one that is not.
const LARGE: usize = 3 << 20;
const SMALL: usize = 60 << 10;
/// What each call of a blocked core waits, as strace is told it: microseconds.
const BLOCKED_MICROS: u32 = 9_000_000;

/// A chat body of so many bytes for the model whose answers are held back.
fn body(bytes: usize) -> String {
    let padding = "x".repeat(bytes);
    format!(r#"{{"model":"sim/waits","messages":[{{"role":"user","content":"{padding}"}}]}}"#)
}

fn is_refused(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 503") && answer.contains("overloaded") && answer.contains("\"memory\"")
}

fn metric(replica: &Replica, name: &str) -> Outcome<f64> {
    let text = replica.ops("/metrics")?.1;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.ok_or_else(|| format!("no {name}"))?.parse()?)
}

/// Asks and gives the whole answer, however long it takes.
async fn patient(to: SocketAddr, request: Vec<u8>) -> Outcome<String> {
    let mut tcp = TcpStream::connect(to).await?;
    tcp.write_all(&request).await?;
    let mut all = String::new();
    tcp.read_to_string(&mut all).await?;
    Ok(all)
}

/// Sends such bodies, one after the other, until one is refused; those before it are held. Gives the refusal.
async fn until_refused(
    replica: &Replica,
    bytes: usize,
    held: &mut JoinSet<Outcome<String>>,
) -> Outcome<String> {
    let (to, request) =
        (replica.address()?, post(CHAT, TOKEN, "connection: close\r\n", body(bytes).as_bytes()));
    for _ in 0..2000 {
        let before = metric(replica, "keyway_body_bytes_in_flight")?;
        held.spawn(patient(to, request.clone()));
        let end = Instant::now() + PATIENCE;
        while metric(replica, "keyway_body_bytes_in_flight")? < before + bytes as f64 {
            if let Some(refused) = held.try_join_next() {
                return refused?;
            }
            assert!(Instant::now() < end, "neither held nor answered");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Memory is looked at some times a second.
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    Err("nothing is ever refused".into())
}

/// A whole answer, once the provider lets it go.
fn waits() -> Reply {
    let answer = good(Surface::Chat, "waits");
    let length = answer.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    Reply::Steps(vec![Step::Hold, Step::Send(bytes::Bytes::from([head.as_bytes(), &answer].concat()))])
}

/// Whether the other side closes this connection in time.
async fn is_closed(mut tcp: TcpStream) -> bool {
    let mut rest = [0; 1];
    matches!(tokio::time::timeout(PATIENCE, tcp.read(&mut rest)).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_before_it_refuses_anything_it_gives_back_what_rests() -> Outcome {
    let (provider, other) = (Provider::start()?, Provider::start()?);
    provider.script("waits").always(waits());
    other.script("waits").always(waits());
    let base = other.base_url();
    let second = format!(
        "  other: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}\n"
    );
    let file = yaml(&provider, "").replacen("providers:\n", &format!("providers:\n{second}"), 1).replacen(
        "\"sim/*\"",
        "\"sim/*\", \"other/*\"",
        1,
    );
    let planes = Planes::of(file).env("KEYWAY_MEMORY_LIMIT", &LIMIT.to_string()).start(1)?;
    let replica = planes.replicas.first().ok_or("no replica")?;

    // Many at once, so that each has connections of its own; then all of them rest.
    let mut asked = JoinSet::new();
    let (to, request) = (replica.address()?, post(CHAT, TOKEN, "", chat("other/waits").as_bytes()));
    for _ in 0..RESTING {
        let request = request.clone();
        asked.spawn(async move {
            let mut tcp = TcpStream::connect(to).await?;
            tcp.write_all(&request).await?;
            let mut answer = vec![0; 4096];
            let read = tcp.read(&mut answer).await?;
            assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
            Ok::<_, std::io::Error>(tcp)
        });
    }
    until("all are at the provider", PATIENCE, || Ok((other.requests() >= RESTING).then_some(()))).await?;
    other.release();
    let mut callers = Vec::new();
    while let Some(caller) = asked.join_next().await {
        callers.push(caller??);
    }
    let resting = || -> Outcome<usize> { Ok(connections(std::process::id(), other.address().port())?) };
    assert_eq!(resting()?, RESTING, "each has a connection to the provider");
    assert_eq!(metric(replica, "keyway_memory_pressure")?, 0.0);

    let mut held = JoinSet::new();
    let large = post(CHAT, TOKEN, "connection: close\r\n", body(LARGE).as_bytes());
    while metric(replica, "keyway_memory_pressure")? < 1.0 {
        held.spawn(patient(to, large.clone()));
        let bytes = (held.len() * LARGE) as f64;
        until("it is held", PATIENCE, || {
            Ok((metric(replica, "keyway_body_bytes_in_flight")? >= bytes).then_some(()))
        })
        .await
        .map_err(|error| format!("{error}: {}", replica.process.stderr()))?;
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    assert_eq!(metric(replica, "keyway_memory_pressure")?, 1.0, "not at once beyond the first step");
    until("what rests is given back", PATIENCE, || {
        let left = resting()?;
        if left == 0 { Ok(Some(())) } else { Err(format!("{left} rest").into()) }
    })
    .await?;
    for caller in callers {
        assert!(is_closed(caller).await, "a caller that rests is let go");
    }
    println!("{RESTING} connections on each side are given back; {} large bodies are held", held.len());
    assert_eq!(ask(replica, "sim/m").await?.status, 200, "nothing is refused");
    provider.release();
    while let Some(ended) = held.join_next().await {
        let answer = ended??;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_near_its_memory_limit_it_refuses_large_bodies_then_all_and_streams_go_on() -> Outcome {
    let provider = Provider::start()?;
    let held = Stream { end: End::Hold { events: 2 }, ..Stream::default() };
    provider.script("held").always(Reply::Stream(held));
    provider.script("waits").always(waits());
    let planes = Planes::of(yaml(&provider, "")).env("KEYWAY_MEMORY_LIMIT", &LIMIT.to_string()).start(1)?;
    let replica = planes.replicas.first().ok_or("no replica")?;
    let pid = replica.process.pid();
    let mut stream = Caller::connect(replica.address()?).await?;
    stream.send(&post(CHAT, TOKEN, "", streamed("sim/held").as_bytes())).await?;
    let head = stream.head().await?;
    forget_peak(pid)?;

    let mut held = JoinSet::new();
    let refused = until_refused(replica, LARGE, &mut held).await?;
    assert!(is_refused(&refused), "{refused}");
    let large = held.len();
    assert_eq!(ask(replica, "sim/m").await?.status, 200, "what is small is served");
    // One more large body may have been on its way.
    while metric(replica, "keyway_memory_pressure")? < 3.0 {
        let refused = until_refused(replica, SMALL, &mut held).await?;
        assert!(is_refused(&refused), "{refused}");
    }
    let peak = peak_kib(pid)?;
    println!(
        "{large} bodies of 3 MiB, {} of 60 KiB; peak {peak} KiB of {} KiB",
        held.len() - large,
        LIMIT << 10
    );
    assert!(peak < LIMIT << 10, "more than its limit: {peak} KiB");
    openai_reason(&ask(replica, "sim/m").await?, 503, "overloaded", "memory");
    assert_eq!(metric(replica, "keyway_memory_pressure")?, 3.0);

    provider.release();
    let ended = stream.after(head).await?;
    assert!(ended.text().contains("[DONE]"), "a stream under way goes on to its end: {}", ended.text());
    while let Some(ended) = held.join_next().await {
        let answer = ended??;
        assert!(answer.starts_with("HTTP/1.1 200"), "what was taken in is served: {answer}");
    }
    let until = Instant::now() + PATIENCE;
    while ask(replica, "sim/m").await?.status != 200 {
        assert!(Instant::now() < until, "it does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The thread of that name.
fn thread(pid: u32, name: &str) -> Outcome<Option<u32>> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        if fs::read_to_string(task.path().join("comm"))?.trim() == name {
            return Ok(Some(task.file_name().to_string_lossy().parse()?));
        }
    }
    Ok(None)
}

/// Keeps that thread from going on whenever it looks for events, until dropped; `None` where this process may not.
fn blocked(thread: u32) -> Outcome<Option<Process>> {
    let calls = "epoll_wait,epoll_pwait,epoll_pwait2";
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:delay_enter={BLOCKED_MICROS}"));
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-e", &trace, "-e", &inject, "-p", &thread.to_string()]);
    let Ok(mut strace) = Process::start("strace", &mut strace) else { return Ok(None) };
    let attached = strace.until(PATIENCE, "attached", |one| one.stderr().contains("attached").then_some(()));
    Ok(attached.is_ok().then_some(strace))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_core_that_is_blocked_is_seen_and_the_others_serve() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::of(yaml(&provider, "")).env("KEYWAY_THREADS", "3").start(1)?;
    let replica = planes.replicas.first().ok_or("no replica")?;
    let thread = thread(replica.process.pid(), "keyway-core-1")?.ok_or("no such core")?;
    assert_eq!(readyz(replica)?.0, 200);
    let Some(strace) = blocked(thread)? else {
        println!("NOT TESTED: a thread is blocked by strace, which needs the right to trace (root)");
        return Ok(());
    };
    until("it is seen", PATIENCE, || {
        let (status, ready) = readyz(replica)?;
        let seen = status == 503 && text(&ready, "/reason").contains("blocked");
        if seen { Ok(Some(())) } else { Err(ready.to_string().into()) }
    })
    .await?;
    // Callers come to cores that take them.
    let (mut served, mut stuck) = (0, 0);
    for _ in 0..40 {
        match tokio::time::timeout(Duration::from_secs(2), ask(replica, "sim/m")).await {
            Ok(answer) => served += u32::from(answer?.status == 200),
            Err(_) => stuck += 1,
        }
    }
    println!(
        "while one core of three is blocked: {served} of 40 on fresh connections are served, {stuck} wait"
    );
    // One that it took in the moment before it was blocked again waits with it.
    assert!(served >= 38, "{served} served, {stuck} wait");
    assert_eq!(replica.ops("/healthz")?.0, 200);
    drop(strace);
    until("it goes on", PATIENCE, || Ok((readyz(replica)?.0 == 200).then_some(()))).await?;
    assert!(metric(replica, "keyway_core_stalls_total")? >= 1.0);
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    Ok(())
}
