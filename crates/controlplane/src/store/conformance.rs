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

macro_rules! conforms {
    ($backend:ident, $open:expr) => {
        mod $backend {
            conforms!(@each $open; reads_what_was_committed lists_by_prefix_in_order a_conflict_changes_nothing
                a_key_stands_once_in_a_batch revisions_only_grow watchers_see_commits_in_order);
        }
    };
    (@each $open:expr; $($case:ident)*) => { $(
        #[tokio::test]
        async fn $case() {
            super::$case(&$open).await;
        }
    )* };
}

conforms!(memory, crate::store::Memory::default());
