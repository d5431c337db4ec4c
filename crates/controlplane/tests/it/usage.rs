//! Usage as a replica reports it: booked once whatever happens between the commit and the answer, and by no stranger.

use crate::{
    node::{Node, join_token, strange},
    program::{facts, program},
    support::{ADMIN_TOKEN, Started, start, start_in, stop},
};
use keyway_proto::{
    BATCH_LIMIT,
    fleet::v1::{Accepted, Batch, Count, Frame, Outcome, Record, Spender, fleet_client::FleetClient},
    snapshot::v1::Meter,
};
use prost::Message;
use std::time::Duration;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

const DEADLINE: Duration = Duration::from_secs(10);

/// A replica's stream of usage.
struct Reporter {
    out: mpsc::Sender<Batch>,
    accepted: Streaming<Accepted>,
}

impl Reporter {
    async fn connect(fleet: &str, node: &Node) -> Result<Self, Status> {
        Self::over(node.connect(fleet).await).await
    }

    async fn over(channel: Channel) -> Result<Self, Status> {
        let (out, batches) = mpsc::channel(1);
        let accepted = FleetClient::new(channel).report(ReceiverStream::new(batches)).await?.into_inner();
        Ok(Self { out, accepted })
    }

    async fn send(&self, incarnation: &str, frames: &[Frame]) {
        let frames = frames.iter().map(Message::encode_to_vec).collect();
        let batch = Batch { replica: "r1".to_owned(), incarnation: incarnation.to_owned(), frames };
        self.out.send(batch).await.unwrap();
    }

    async fn answer(&mut self) -> Result<Option<Accepted>, Status> {
        timeout(DEADLINE, self.accepted.message()).await.unwrap()
    }

    async fn book(&mut self, incarnation: &str, frames: &[Frame]) -> u64 {
        self.send(incarnation, frames).await;
        let accepted = self.answer().await.unwrap().unwrap();
        assert_eq!(accepted.incarnation, incarnation);
        accepted.last
    }
}

fn frame(number: u64) -> Frame {
    let mut id = vec![0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let spender = Spender { client: "a".to_owned(), ..Spender::default() };
    let record = Record {
        id,
        started_unix_millis: crate::usage::now(),
        spender: Some(spender),
        status: 200,
        outcome: Outcome::Served.into(),
        nano_dollars: Some(number),
        counts: vec![Count { meter: Meter::Input.into(), count: 1 }],
        ..Record::default()
    };
    Frame { first: number, last: number, records: vec![record], sums: Vec::new() }
}

#[expect(clippy::disallowed_methods, reason = "a test is a shell")]
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

/// Requests and cost of everything, as an operator sees it.
async fn total(started: &Started) -> (u64, u64) {
    let url = format!("http://{}/api/v1/usage?since=1d", started.admin);
    let answer = reqwest::Client::new().get(url).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let total = answer.json::<serde_json::Value>().await.unwrap()["total"].clone();
    (total["requests"].as_u64().unwrap(), total["cost_nanodollars"].as_u64().unwrap())
}

#[tokio::test]
async fn nothing_is_booked_twice_when_an_answer_is_lost() {
    let started = start();
    let fleet = started.fleet.to_string();
    let frames: Vec<Frame> = (1..=30).map(frame).collect();
    let node = Node::of(&started, "r1");
    let mut reporter = Reporter::connect(&fleet, &node).await.unwrap();
    assert_eq!(reporter.book("p1", &frames[..10]).await, 10);
    // The answer is on its way, or not, when the connection goes.
    reporter.send("p1", &frames[10..20]).await;
    drop(reporter);
    let mut again = Reporter::connect(&fleet, &node).await.unwrap();
    assert_eq!(again.book("p1", &frames[10..20]).await, 20);
    assert_eq!(total(&started).await, (20, (1..=20).sum()));
    // The control plane goes, and comes back over what it had written.
    let home = stop(started).await;
    assert_eq!(again.answer().await.unwrap_err().code(), Code::Unavailable);
    let started = start_in(home);
    let node = Node::of(&started, "r1");
    let mut again = Reporter::connect(&started.fleet.to_string(), &node).await.unwrap();
    assert_eq!(again.book("p1", &frames[15..]).await, 30);
    assert_eq!(again.book("p2", &frames[..1]).await, 1);
    assert_eq!(total(&started).await, (31, (1..=30).sum::<u64>() + 1));
    stop(started).await;
}

#[tokio::test]
async fn strangers_and_nonsense_book_nothing() {
    let started = start();
    let fleet = started.fleet.to_string();
    let refused = Reporter::over(strange(&fleet).await).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let token = join_token(&format!("http://{}", started.admin), ADMIN_TOKEN).await;
    let node = Node::join(&fleet, &token, "r1").await.unwrap();
    let other = Batch { replica: "r2".to_owned(), incarnation: "p".to_owned(), frames: Vec::new() };
    let mut reporter = Reporter::connect(&fleet, &node).await.unwrap();
    reporter.out.send(other).await.unwrap();
    assert_eq!(reporter.answer().await.unwrap_err().code(), Code::PermissionDenied, "of another node");
    let mut reporter = Reporter::connect(&fleet, &node).await.unwrap();
    reporter.send("p", &[Frame { first: 3, last: 2, ..Frame::default() }]).await;
    assert_eq!(reporter.answer().await.unwrap_err().code(), Code::InvalidArgument);
    let mut reporter = Reporter::connect(&fleet, &node).await.unwrap();
    let frames = vec![vec![0; BATCH_LIMIT * 2]];
    let batch = Batch { replica: "r1".to_owned(), incarnation: "p".to_owned(), frames };
    reporter.out.send(batch).await.unwrap();
    assert!(matches!(reporter.answer().await, Err(_) | Ok(None)));
    assert_eq!(total(&started).await, (0, 0));
    stop(started).await;
}

/// The largest batch that there may be, whole: what is in it stands in the books when it is answered.
#[tokio::test]
async fn the_largest_batch_fits() {
    let started = start();
    let node = Node::of(&started, "r1");
    let mut reporter = Reporter::connect(&started.fleet.to_string(), &node).await.unwrap();
    let mut frames = Vec::new();
    let mut bytes = 0;
    for number in 1.. {
        let mut one = frame(number);
        one.records[0].reason = "x".repeat(60_000);
        bytes += one.encoded_len();
        if bytes > BATCH_LIMIT {
            break;
        }
        frames.push(one);
    }
    assert_eq!(reporter.book("p", &frames).await, frames.len() as u64);
    assert_eq!(total(&started).await.0, frames.len() as u64);
    stop(started).await;
}

/// Killed with a batch under way, again and again: whether it was committed or not is the replica's not knowing.
#[tokio::test]
async fn killed_between_commit_and_answer_it_books_each_frame_once() {
    const FRAMES: usize = 400;
    let home = tempfile::tempdir().unwrap();
    let frames: Vec<Frame> = (1..=FRAMES as u64).map(frame).collect();
    let (mut accepted, mut kills, mut lost, mut unanswered) = (0, 0, 0, 0);
    let mut joined = None;
    while accepted < FRAMES {
        let ready = home.path().join(format!("ready-{kills}"));
        let mut child =
            program(home.path()).args(["--admin-listen", "0", "--ready-file"]).arg(&ready).spawn().unwrap();
        let facts = facts(&mut child, &ready);
        let text = |name: &str| facts[name].as_str().unwrap().to_owned();
        let fleet = text("fleet_addr");
        let node = match &joined {
            Some(node) => node,
            // Once: what it got is good at every later start.
            None => {
                let token = std::fs::read_to_string(text("admin_token_file")).unwrap();
                let token = join_token(&text("admin_url"), token.trim()).await;
                joined.insert(Node::join(&fleet, &token, "r1").await.unwrap())
            }
        };
        let mut reporter = Reporter::connect(&fleet, node).await.unwrap();
        for _ in 0..8 {
            let to = (accepted + 7).min(FRAMES);
            accepted = reporter.book("p", &frames[accepted..to]).await as usize;
        }
        reporter.send("p", &frames[accepted..(accepted + 7).min(FRAMES)]).await;
        // Longer each time: before the batch is read, while it is committed, once it is.
        tokio::time::sleep(Duration::from_micros(400 * kills)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        match reporter.answer().await {
            // Every other answer that came is lost on its way: the same is sent again.
            Ok(Some(answer)) if kills % 2 == 0 => accepted = answer.last as usize,
            Ok(Some(_)) => lost += 1,
            Ok(None) | Err(_) => unanswered += 1,
        }
    }
    println!("{kills} kills: {unanswered} before the answer came, {lost} whose answer was lost");
    let home = start_in(home);
    assert_eq!(total(&home).await, (FRAMES as u64, (1..=FRAMES as u64).sum()));
    stop(home).await;
}
