//! Against a real etcd of one node: what the suite for all backends does not ask.

use super::*;
use crate::store::{Entry, Shared, Write};
use bytes::Bytes;
use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

/// An etcd of one node, ended with the value.
#[derive(Debug)]
pub(crate) struct Node {
    process: Child,
    pub(crate) address: String,
    _dir: tempfile::TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `None`: Debian's etcd-server is not installed, and that is said.
pub(crate) fn node(flags: &[&str]) -> Option<Node> {
    let dir = tempfile::tempdir().unwrap();
    let (client, peer) = (free_port(), free_port());
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let spawned = Command::new("etcd")
        .args(["--name", "n", "--data-dir"])
        .arg(dir.path())
        .args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)])
        .args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)])
        .args(["--initial-cluster", &format!("n={}", url(peer)), "--log-level", "error"])
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(process) => Some(Node { process, address: format!("127.0.0.1:{client}"), _dir: dir }),
        Err(error) => {
            eprintln!("NOT TESTED: etcd does not start ({error}); apt-get install etcd-server");
            None
        }
    }
}

fn member(name: &str) -> Member {
    Member { name: name.to_owned(), fleet: "http://f".to_owned(), admin: "http://a".to_owned() }
}

fn open(node: &Node, name: &str) -> Etcd {
    let address = Address::parse(&format!("etcd://{}/test", node.address)).unwrap();
    Etcd::open(&address, member(name)).unwrap()
}

fn await_that(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn leads(store: &Etcd) -> bool {
    store.standing().borrow().term.is_some()
}

/// A store that leads.
pub(crate) fn alone() -> Option<(Etcd, Node)> {
    let node = node(&[])?;
    let store = open(&node, "one");
    await_that("it leads", || leads(&store));
    Some((store, node))
}

fn put(name: &str, expected: u64, value: impl Into<Bytes>) -> Write {
    Write { key: Key::new("client", name), expected, value: Some(value.into()) }
}

fn batch(writes: Vec<Write>) -> Batch {
    Batch { writes, ..Batch::default() }
}

#[tokio::test]
async fn a_large_batch_is_whole_and_is_read_back() {
    let Some((store, node)) = alone() else { return };
    let writes: Vec<Write> = (0..3000).map(|n| put(&n.to_string(), 0, vec![b'x'; 1000])).collect();
    assert_eq!(store.commit(batch(writes)).await, Ok(1));
    let huge = vec![7_u8; 3 << 20];
    assert_eq!(store.commit(batch(vec![put("huge", 0, huge.clone()), put("1", 1, "new")])).await, Ok(2));
    let other = open(&node, "two");
    let listing = other.list("").await.unwrap();
    assert_eq!((listing.revision, listing.entries.len()), (2, 3001));
    assert_eq!(listing, store.list("").await.unwrap());
    assert_eq!(other.get(&Key::new("client", "huge")).await.unwrap().unwrap().value, huge);
    assert_eq!(other.verify().await, store.verify().await);
}

#[tokio::test]
async fn who_does_not_lead_writes_nothing_and_follows() {
    let Some((one, node)) = alone() else { return };
    let two = open(&node, "two");
    let refused = two.commit(batch(vec![put("a", 0, "1")])).await;
    assert_eq!(refused, Err(StoreError::NotLeader { leader: Some("http://a".to_owned()) }));
    let mut changes = two.watch();
    let state = Entry { state: "ab".to_owned(), ..Entry::default() };
    one.commit(Batch { writes: vec![put("a", 0, "1")], entry: state }).await.unwrap();
    assert_eq!(changes.recv().await.unwrap().revision, 1);
    let read = two.read(&[Key::new("client", "a"), Key::new("client", "b")]);
    assert_eq!((read.revision, read.published), (1, Some((1, "ab".to_owned()))));
    assert!(read.entries[0].1.is_some() && read.entries[1].1.is_none());
    await_that("both are there", || one.members().len() == 2);
}

#[tokio::test]
async fn a_leader_that_ends_is_followed_at_once_and_one_that_was_is_refused() {
    let Some((one, node)) = alone() else { return };
    let two = open(&node, "two");
    one.commit(batch(vec![put("a", 0, "1")])).await.unwrap();
    // As if it had slept: the key is gone and another's stands there, and it does not know.
    let stale = one.inner.term().unwrap();
    let key = one.inner.keys.leader();
    let wire = &one.inner;
    let gone = proto::TxnRequest { success: vec![keys::delete(key)], ..proto::TxnRequest::default() };
    let cut = one.runtime.spawn({
        let inner = Arc::clone(wire);
        async move { inner.wire.txn(gone).await.unwrap() }
    });
    cut.await.unwrap();
    await_that("somebody leads anew", || {
        [&one, &two].iter().any(|store| store.inner.term().is_ok_and(|term| term != stale))
    });
    let inner = Arc::clone(&one.inner);
    let head = one.inner.mirror.lock().head.seq;
    let ops = vec![keys::put(inner.keys.log(head + 1), Bytes::from_static(b"stale"), 0)];
    let outcome = one.runtime.spawn(async move { inner.guarded(ops, stale, None).await }).await.unwrap();
    assert!(matches!(outcome, Ok(commit::Outcome::NotLeader)), "{outcome:?}");
    drop(one);
    await_that("the other leads", || leads(&two));
    assert_eq!(two.commit(batch(vec![put("a", 1, "2")])).await, Ok(2));
}

#[tokio::test]
async fn compaction_is_no_loss() {
    let Some((one, node)) = alone() else { return };
    let two = open(&node, "two");
    for n in 0..20 {
        one.commit(batch(vec![put("a", n, n.to_string())])).await.unwrap();
    }
    let compacted = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &node.address, "compact", &one.inner.mirror.lock().written.to_string()])
        .stdout(Stdio::null())
        .status();
    if compacted.is_err() {
        return;
    }
    one.commit(batch(vec![put("a", 20, "last")])).await.unwrap();
    await_that("it follows", || two.inner.mirror.lock().head.seq == 21);
    let three = open(&node, "three");
    assert_eq!(three.list("").await.unwrap(), one.list("").await.unwrap());
    assert_eq!(three.verify().await.unwrap().records, 21);
}

#[tokio::test]
async fn an_etcd_without_space_is_a_full_store() {
    // 16 MiB.
    let Some(node) = node(&["--quota-backend-bytes", "16777216"]) else { return };
    let store = open(&node, "one");
    await_that("it leads", || leads(&store));
    let mut full = None;
    for n in 0..64 {
        match store.commit(batch(vec![put(&n.to_string(), 0, vec![b'x'; 400_000])])).await {
            Ok(_) => {}
            Err(error) => {
                full = Some(error);
                break;
            }
        }
    }
    assert_eq!(full, Some(StoreError::Full));
    assert!(store.list("").await.unwrap().entries.len() > 2, "reads go on");
}

#[test]
fn the_books_are_one_s_until_taken() {
    let Some((one, node)) = alone() else { return };
    let two = open(&node, "two");
    let keeper = |store: &Etcd, take| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(store.keep_books(take)).unwrap()
    };
    assert_eq!(keeper(&one, false), "one");
    assert_eq!(keeper(&two, false), "one");
    assert_eq!(keeper(&two, true), "two");
    await_that("the other knows", || one.books().as_deref() == Some("two"));
}
