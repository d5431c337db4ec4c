//! A state with a hundred thousand clients of which one changes: what each replica is sent, what it writes, what a request on
//! it feels, and what the change costs whoever asks for it, beside the same with a hundred clients.

use super::{
    Outcome,
    row::{Row, Times, ms},
    world::{TOKEN, address, in_sync, load, memory, text, yaml},
};
use keyway_testkit::{
    caller::{Caller, post},
    load::{Done, Running},
    process::{Planes, Replica},
    provider::Provider,
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const REPLICAS: u32 = 2;
/// Of each replica.
const CALLERS: usize = 2;
const PAUSE: Duration = Duration::from_millis(1);
/// Beginning with each change, and as long beginning after it: one is compared with the other.
const WINDOW: Duration = Duration::from_millis(100);
const CHANGE_REACH: u64 = 64 << 10;
const SLOWER_REACH: Duration = Duration::from_millis(1);
/// Beside how many the hundred thousand are measured.
const FEW: usize = 100;

/// When a request was sent, and how long it took.
type Asked = Arc<Mutex<Vec<(Instant, Duration)>>>;

/// What changes of one client came to.
#[derive(Debug)]
struct Changed {
    /// From the admin request to its answer, which waits for the replicas.
    calls: Times,
    /// Requests while one was applied, and while none was.
    during: Times,
    quiet: Times,
    /// To each replica, of the largest.
    bytes: u64,
    /// Making the last one, on the control plane; taking it in, on the slower replica; to a replica's disk.
    made: f64,
    applied: f64,
    kept: u64,
    failed: u64,
    /// Of control plane, replica, and control plane after a start from its store, in bytes.
    memory: [u64; 3],
}

pub(super) fn measure(clients: usize, changes: u32, runtime: &Runtime) -> Outcome<Vec<Row>> {
    let few = change(FEW, changes, runtime)?;
    let many = change(clients, changes, runtime)?;
    let command = format!("--only clients --many {clients} --changes {changes}");
    let mib = |bytes: u64| bytes >> 20;
    let [control, replica, again] = many.memory.map(mib);
    let (worst, usual) = (many.during.at(100), many.quiet.at(100));
    let told = |times: &Times| {
        let [p50, p99, worst] = [50, 99, 100].map(|percent| ms(times.at(percent)));
        format!("{p50}, {p99}, {worst}")
    };
    Ok(vec![
        Row {
            what: format!("a change of one of {clients} clients, to each replica"),
            reach: "under 64 KiB",
            measured: format!(
                "at most {} bytes; made in {:.1} ms, applied in {:.1} ms, {} bytes to the replica's disk; control plane {control} MiB \
                 ({again} after a start from its store), replica {replica} MiB",
                many.bytes,
                many.made * 1e3,
                many.applied * 1e3,
                many.kept
            ),
            reached: Some(many.bytes < CHANGE_REACH),
            command: command.clone(),
        },
        Row {
            what: format!(
                "requests while one of {clients} clients changes, beside quiet ones (p50, p99, worst)"
            ),
            reach: "none over 1 ms slower",
            measured: format!(
                "{} of {} beside {} of {}; {} failed",
                told(&many.during),
                many.during.len(),
                told(&many.quiet),
                many.quiet.len(),
                many.failed
            ),
            reached: Some(worst < usual + SLOWER_REACH && many.failed == 0),
            command: command.clone(),
        },
        Row {
            what: format!(
                "that change at the admin API until replicas serve it, {clients} clients beside {FEW}"
            ),
            reach: "whatever the number of clients",
            measured: format!("{}; beside {}", many.calls.told(), few.calls.told()),
            reached: Some(many.calls.at(50) < few.calls.at(50) * 2),
            command,
        },
    ])
}

fn change(clients: usize, changes: u32, runtime: &Runtime) -> Outcome<Changed> {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, clients), REPLICAS as usize)?;
    in_sync(&planes, runtime, REPLICAS as usize, true)?;
    let (admin, token) = (address(planes.admin_url())?, planes.admin_token()?);
    let asked = Asked::default();
    let callers = callers(&planes.replicas, runtime, &asked)?;
    let before = Counted::look(&planes, runtime, &token)?;
    let (mut calls, mut windows, mut bytes, mut last) = (Vec::new(), Vec::new(), 0, before);
    for number in 0..changes {
        let verb = if number % 2 == 0 { "disable" } else { "enable" };
        let request = post(&format!("/api/v1/clients/client-{}/{verb}", clients / 2), &token, "", b"");
        let mut caller = runtime.block_on(Caller::connect(admin))?;
        let began = Instant::now();
        let answer = runtime.block_on(caller.ask(&request))?;
        calls.push(began.elapsed());
        if answer.status != 200 {
            return Err(format!("{verb}: {} {}", answer.status, answer.text()).into());
        }
        windows.push(began);
        std::thread::sleep((WINDOW * 2).saturating_sub(began.elapsed()));
        let now = Counted::look(&planes, runtime, &token)?;
        bytes = bytes.max((now.sent - last.sent) / u64::from(REPLICAS));
        last = now;
    }
    let failed = callers.into_iter().map(|one| runtime.block_on(one.stop()).failures()).sum();
    let asked = std::mem::take(&mut *asked.lock());
    let inside = |from: Duration| {
        let within = |sent: &Instant, took: &Duration| {
            windows.iter().any(|began| *sent + *took > *began + from && *sent < *began + from + WINDOW)
        };
        Times::of(asked.iter().filter(|(sent, took)| within(sent, took)).map(|(_, took)| *took).collect())
    };
    let (during, quiet) = (inside(Duration::ZERO), inside(WINDOW));
    let kept = (last.kept - before.kept) / u64::from(changes.max(1));
    let first = planes.replicas.first().ok_or("no replica")?.process.pid();
    let mut memory = [memory(planes.control.pid(), "VmRSS:")?, self::memory(first, "VmRSS:")?, 0];
    planes.control.kill()?;
    planes.configure(None)?;
    planes.start_control()?;
    in_sync(&planes, runtime, REPLICAS as usize, true)?;
    memory[2] = self::memory(planes.control.pid(), "VmRSS:")?;
    let (made, applied) = (last.made, last.applied);
    Ok(Changed { calls: Times::of(calls), during, quiet, bytes, made, applied, kept, failed, memory })
}

fn callers(replicas: &[Replica], runtime: &Runtime, asked: &Asked) -> Outcome<Vec<Running>> {
    let _inside = runtime.enter();
    let start = |replica: &Replica| {
        let asked = Arc::clone(asked);
        let check = move |done: &Done<'_>| {
            asked.lock().push((done.sent, done.sent.elapsed()));
            if done.status.as_u16() == 200 { Ok(()) } else { Err(format!("status {}", done.status)) }
        };
        Ok(load(replica.address()?, CALLERS, (TOKEN, false), PAUSE, Arc::new(check)).start())
    };
    replicas.iter().map(start).collect()
}

/// What both planes have counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// Bytes of changes to all replicas.
    sent: u64,
    /// Seconds.
    made: f64,
    applied: f64,
    /// Bytes to the first replica's disk.
    kept: u64,
}

// === impl Counted ===

impl Counted {
    fn look(planes: &Planes, runtime: &Runtime, token: &str) -> Outcome<Self> {
        let control = text(runtime, planes.admin_url(), token, "/metrics")?;
        let replicas = planes.replicas.iter().map(|one| Ok(one.ops("/metrics")?.1));
        let replicas = replicas.collect::<Outcome<Vec<String>>>()?;
        let first = replicas.first().ok_or("no replica")?;
        let applied = replicas.iter().map(|text| sample(text, "keyway_snapshot_apply_seconds"));
        Ok(Self {
            sent: sample(&control, "keyway_push_bytes_total{kind=\"change\"}")?,
            made: sample(&control, "keyway_state_build_seconds")?,
            applied: applied.collect::<Outcome<Vec<f64>>>()?.into_iter().fold(0.0, f64::max),
            kept: sample(first, "keyway_last_good_bytes_total")?,
        })
    }
}

fn sample<T: std::str::FromStr>(text: &str, name: &str) -> Outcome<T> {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|value| value.parse().ok()).ok_or_else(|| format!("no sample of {name}").into())
}
