//! Memory, and the time to the first answer, of processes that are fresh.

use super::{
    Args, Outcome,
    body::Body,
    figures::median,
    load::{Amount, Load},
    process::{Memory, OTHER_CORE},
    stage::Stage,
    subject::{Kind, Subject},
};
use std::{thread, time::Duration};

/// What one subject takes up.
#[derive(Debug)]
pub(super) struct Footprint {
    pub(super) kind: Kind,
    /// Milliseconds from exec to the first answer with status 200: the median of several starts.
    pub(super) first_answer_ms: f64,
    pub(super) idle: Memory,
    /// After 256 connections and 100,000 requests.
    pub(super) loaded: Memory,
    /// After 1,000,000 requests more, and after another 1,000,000. During the first million an allocator still
    /// settles; what grows during the second is a leak.
    pub(super) millions: Option<(Memory, Memory)>,
}

const STARTS: usize = 5;
/// Until a fresh process has done what it does at start.
const SETTLE: Duration = Duration::from_millis(500);
const CONNECTIONS: usize = 256;
const SPREAD_SECONDS: f64 = 0.1;
const REQUESTS: u64 = 100_000;
const MANY_REQUESTS: u64 = 1_000_000;

/// Starts each subject several times; the last of them bears the load.
pub(super) fn measure(kind: Kind, stage: &Stage, args: &Args) -> Outcome<Footprint> {
    let mut times = Vec::new();
    for _ in 1..STARTS {
        times.push(Subject::start(kind, stage, args)?.first_answer);
    }
    let subject = Subject::start(kind, stage, args)?;
    times.push(subject.first_answer);
    let milliseconds = times.into_iter().flatten().map(|time| time.as_secs_f64() * 1e3).collect();
    let root = subject.root.ok_or("it has no process of its own")?;
    thread::sleep(SETTLE);
    let idle = Memory::of(root)?;
    let load = |replies| {
        Load {
            body: Body::Chat,
            connections: CONNECTIONS,
            spread: SPREAD_SECONDS,
            amount: Amount::Replies(replies),
            core: OTHER_CORE,
        }
        .run(&subject, stage)
    };
    load(REQUESTS)?;
    let loaded = Memory::of(root)?;
    let million = || load(MANY_REQUESTS).and_then(|_| Memory::of(root));
    let millions = if args.memory { Some((million()?, million()?)) } else { None };
    Ok(Footprint {
        kind,
        first_answer_ms: median(milliseconds).ok_or("it was never started")?,
        idle,
        loaded,
        millions,
    })
}
