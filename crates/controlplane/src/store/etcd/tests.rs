//! Against a real etcd of one node: what the suite for all backends does not ask.

use super::*;
use crate::{
    store::{Entry, Shared, Write},
    vault::{Over, Place as _},
};
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

/// What another control plane holds that has read everything and follows nothing yet.
async fn beside(node: &Node, name: &str) -> Arc<Inner> {
    let address = Address::parse(&format!("etcd://{}/test", node.address)).unwrap();
    let (wire, keys) = (Wire::new(&address).unwrap(), Keys::new(address.prefix()));
    begin(wire, keys, member(name)).await.unwrap()
}

/// A sealed file and then the document that names it, as a change writes them.
async fn seal_and_commit(store: &Etcd, file: &'static str, name: &str) {
    let files = store.sealed_files();
    let sealed = move || files.write(file, b"sealed", Over::Anything);
    tokio::task::spawn_blocking(sealed).await.unwrap().unwrap();
    store.commit(batch(vec![put(name, 0, "1")])).await.unwrap();
}

fn holds(inner: &Inner, name: &str, file: &str) -> (bool, bool) {
    let mirror = inner.mirror.lock();
    (mirror.documents.get(&Key::new("client", name)).is_some(), mirror.vault.contains_key(file))
}

#[tokio::test]
async fn no_document_is_taken_in_before_its_secret() {
    let Some((one, node)) = alone() else { return };
    let two = beside(&node, "two").await;
    seal_and_commit(&one, "keys/a", "a").await;
    let sight = two.look().await.unwrap();
    seal_and_commit(&one, "keys/b", "b").await;
    two.afresh_as_of(&sight).await.unwrap();
    assert_eq!(holds(&two, "a", "keys/a"), (true, true));
    assert_eq!(holds(&two, "b", "keys/b"), (false, false));
    // The watch is behind: it told nothing of either.
    two.catch_up().await.unwrap();
    assert_eq!(holds(&two, "b", "keys/b"), (true, true));
}

#[tokio::test]
async fn a_batch_over_documents_that_were_written_since_is_refused() {
    let Some((one, _node)) = alone() else { return };
    one.commit(batch(vec![put("a", 0, "1")])).await.unwrap();
    let planned = batch(vec![put("b", 0, "1")]);
    let refused = one.commit_over(planned.clone(), 0).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    // A line of the audit log changes nothing that anything is planned over.
    assert_eq!(one.commit(batch(Vec::new())).await, Ok(2));
    assert_eq!(one.commit_over(planned, 1).await, Ok(3));
}

#[tokio::test]
async fn a_sealed_file_that_was_written_since_is_not_written_over() {
    let Some((one, _node)) = alone() else { return };
    let inner = Arc::clone(&one.inner);
    let write = |bytes: &'static [u8]| keys::put(inner.keys.sealed("f"), Bytes::from_static(bytes), 0);
    let first = inner.as_leader("f", write(b"1")).await.unwrap();
    // As if its answer was lost: the next is sent by what was known before, and the one that comes late finds another revision.
    let known = inner.mirror.lock().written_of("f");
    assert!(known == 0 || known == first);
    let term = inner.term().unwrap();
    let late = Some(keys::written_at(inner.keys.sealed("f"), 0));
    let outcome = inner.guarded_by(vec![write(b"late")], term, late).await;
    assert!(matches!(outcome, Ok(commit::Outcome::Moved)), "{outcome:?}");
    await_that("the watch tells", || inner.mirror.lock().written_of("f") == first);
    inner.mirror.lock().vault.clear();
    let refused = inner.as_leader("f", write(b"blind")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    // It knows then what is there.
    inner.as_leader("f", write(b"2")).await.unwrap();
}

#[test]
fn a_migration_that_is_begun_again_leaves_nothing_of_the_first() {
    let Some(node) = node(&[]) else { return };
    let home = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    {
        let source = crate::store::Durable::open(&home.path().join("store"), None).unwrap();
        runtime.block_on(source.commit(batch(vec![put("a", 0, "1")]))).unwrap();
    }
    let address = Address::parse(&format!("etcd://{}/test", node.address)).unwrap();
    let (wire, keys) = (Wire::new(&address).unwrap(), Keys::new(address.prefix()));
    // The first run was cut short; since then this client was deleted at the source.
    let gone = keys::Kept::Here(Versioned { version: 1, value: Bytes::from_static(b"gone") });
    let left = vec![
        keys::put(keys.document(&Key::new("client", "gone")), gone.encode().unwrap(), 0),
        keys::put(keys.sealed("keys/gone"), Bytes::from_static(b"gone"), 0),
    ];
    let cut_short = proto::TxnRequest { success: left, ..proto::TxnRequest::default() };
    runtime.block_on(wire.txn(cut_short)).unwrap();
    let (from, to) = (Place::Directory(home.path().to_owned()), Place::Etcd(address));
    let migrated = migrate(&from, &to).unwrap();
    assert_eq!((migrated.documents, migrated.sealed, migrated.done_before), (1, 0, false));
    assert!(migrate(&from, &to).unwrap().done_before);
}
