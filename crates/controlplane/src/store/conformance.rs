//! What every backend has to do. A backend is added by one line at the end.

use super::*;

fn write(name: &str, expected: u64, value: Option<&'static str>) -> Write {
    Write {
        key: Key::new("client", name),
        expected,
        value: value.map(|text| Bytes::from_static(text.as_bytes())),
    }
}

fn batch(writes: Vec<Write>) -> Batch {
    Batch { writes, ..Batch::default() }
}

async fn reads_what_was_committed(store: &dyn Store) {
    let key = Key::new("client", "a");
    assert_eq!(store.get(&key).await, Ok(None));
    assert_eq!(
        store.commit(batch(vec![write("a", 0, Some("one")), write("b", 0, Some("two"))])).await,
        Ok(1)
    );
    assert_eq!(store.get(&key).await, Ok(Some(Versioned { version: 1, value: Bytes::from_static(b"one") })));
    assert_eq!(store.commit(batch(vec![write("a", 1, Some("three"))])).await, Ok(2));
    assert_eq!(
        store.get(&key).await,
        Ok(Some(Versioned { version: 2, value: Bytes::from_static(b"three") }))
    );
    assert_eq!(store.commit(batch(vec![write("a", 2, None)])).await, Ok(3));
    assert_eq!(store.get(&key).await, Ok(None));
}

async fn lists_by_prefix_in_order(store: &dyn Store) {
    let team = Write { key: Key::new("team", "a"), expected: 0, value: Some(Bytes::from_static(b"t")) };
    store.commit(batch(vec![write("b", 0, Some("2")), team, write("a", 0, Some("1"))])).await.unwrap();
    let listing = store.list("client/").await.unwrap();
    assert_eq!(listing.revision, 1);
    assert_eq!(listing.entries.iter().map(|(key, _)| key.name()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(store.list("").await.unwrap().entries.len(), 3);
    assert_eq!(store.list("key/").await.unwrap().entries, []);
}

async fn a_conflict_changes_nothing(store: &dyn Store) {
    store.commit(batch(vec![write("a", 0, Some("one"))])).await.unwrap();
    for (bad, found) in
        [(write("a", 0, Some("x")), 1), (write("a", 2, None), 1), (write("c", 1, Some("x")), 0)]
    {
        let (key, expected) = (bad.key.clone(), bad.expected);
        let answer = store.commit(batch(vec![write("b", 0, Some("new")), bad])).await;
        assert_eq!(answer, Err(StoreError::Conflict { key, expected, found }));
        assert_eq!(store.get(&Key::new("client", "b")).await, Ok(None));
    }
    assert_eq!(store.list("").await.unwrap().revision, 1);
}

async fn a_key_stands_once_in_a_batch(store: &dyn Store) {
    let twice = batch(vec![write("a", 0, Some("1")), write("a", 0, Some("2"))]);
    assert_eq!(store.commit(twice).await, Err(StoreError::BadBatch { writes: 2 }));
    assert_eq!(store.list("").await.unwrap(), Listing { revision: 0, entries: vec![] });
}

async fn revisions_only_grow(store: &dyn Store) {
    assert_eq!(store.commit(Batch::default()).await, Ok(1));
    assert_eq!(store.commit(Batch::default()).await, Ok(2));
}

async fn watchers_see_commits_in_order(store: &dyn Store) {
    store.commit(batch(vec![write("before", 0, Some("1"))])).await.unwrap();
    let mut changes = store.watch();
    store.commit(batch(vec![write("a", 0, Some("1"))])).await.unwrap();
    store.commit(batch(vec![write("a", 0, Some("conflict"))])).await.unwrap_err();
    store.commit(batch(vec![write("a", 1, None)])).await.unwrap();
    for revision in [2, 3] {
        let seen = changes.recv().await.unwrap();
        assert_eq!(seen, Change { revision, keys: vec![Key::new("client", "a")] });
    }
    assert!(changes.try_recv().is_err());
}

fn entry(action: &str) -> Entry {
    Entry {
        at: 7,
        actor: "operator/ops".to_owned(),
        action: action.to_owned(),
        detail: serde_json::json!({ "b": 1, "a": ["é"] }),
        ..Entry::default()
    }
}

async fn every_commit_is_audited_in_order(store: &dyn Store) {
    assert_eq!(store.audit(0, 10).await, Ok(vec![]));
    let both = vec![write("b", 0, Some("1")), write("a", 0, Some("1"))];
    store.commit(Batch { writes: both, entry: entry("apply") }).await.unwrap();
    store.commit(batch(vec![write("a", 9, None)])).await.unwrap_err();
    store.commit(Batch { writes: vec![], entry: entry("login") }).await.unwrap();
    store.commit(Batch { writes: vec![write("a", 1, None)], entry: entry("delete") }).await.unwrap();
    let all = store.audit(0, 10).await.unwrap();
    let seen = all.iter().map(|record| (record.revision, record.entry.clone(), record.keys.len()));
    let expected = [(1, entry("apply"), 2), (2, entry("login"), 0), (3, entry("delete"), 1)];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    assert_eq!(all[0].keys, [Key::new("client", "b"), Key::new("client", "a")]);
    assert!(all.iter().all(|record| record.epoch == store.identity().epoch));
    assert_eq!(store.audit(1, 1).await.unwrap(), all[1..2]);
    assert_eq!(store.audit(3, 10).await.unwrap(), []);
    assert_eq!(store.audit(u64::MAX, 10).await.unwrap(), []);
    assert_eq!(store.audit(0, 0).await.unwrap(), []);
}

async fn a_good_log_verifies(store: &dyn Store) {
    assert_eq!(store.verify().await.unwrap().records, 0);
    for _ in 0..3 {
        store.commit(Batch::default()).await.unwrap();
    }
    let last = store.audit(2, 1).await.unwrap()[0].hash;
    assert_eq!(store.verify().await, Ok(Verified { records: 3, head: (3, last) }));
    assert_eq!(store.condition().read_only, None);
}

async fn one_of_many_writers_wins(store: &dyn Store) {
    let tries = (0..8).map(|_| store.commit(batch(vec![write("a", 0, Some("x"))])));
    let mut won = 0;
    for outcome in tries.collect::<Vec<_>>() {
        match outcome.await {
            Ok(revision) => won += revision,
            Err(error) => assert!(matches!(error, StoreError::Conflict { found: 1, .. }), "{error}"),
        }
    }
    assert_eq!(won, 1);
}

macro_rules! conforms {
    ($backend:ident, $open:expr) => {
        mod $backend {
            conforms!(@each $open; reads_what_was_committed lists_by_prefix_in_order a_conflict_changes_nothing
                a_key_stands_once_in_a_batch revisions_only_grow watchers_see_commits_in_order
                every_commit_is_audited_in_order a_good_log_verifies one_of_many_writers_wins);
        }
    };
    (@each $open:expr; $($case:ident)*) => { $(
        #[tokio::test]
        async fn $case() {
            // The second is what the store needs to be there: its directory. Without what it needs nothing is tested.
            if let Some((store, _kept)) = $open {
                super::$case(&store).await;
            }
        }
    )* };
}

fn durable() -> Option<(Durable, tempfile::TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    Some((Durable::open(dir.path(), None).unwrap(), dir))
}

conforms!(memory, Some((crate::store::Memory::default(), ())));
conforms!(durable, super::durable());
conforms!(shared, crate::store::etcd::tests::alone());
