use super::*;
use crate::store::{Batch, Entry, Memory, Store};

async fn plane() -> (Arc<Memory>, Arc<Plane>) {
    let store = Arc::new(Memory::default());
    let below: Arc<dyn Store> = Arc::clone(&store) as _;
    (store, Arc::new(Plane::open(below, Vault::ephemeral().unwrap()).await.unwrap()))
}

async fn read(store: &Memory, mut check: Check, change: impl Fn(u64, &mut Entry)) -> Result<Check, Unfit> {
    for mut record in store.audit(0, 10_000).await.unwrap() {
        change(record.revision, &mut record.entry);
        check.next((record.revision, record.hash), &record.entry)?;
    }
    Ok(check)
}

#[test]
fn due_after_a_minute_or_a_thousand_records_and_never_for_nothing() {
    let now = Instant::now();
    let (soon, later) = (now + EVERY / 2, now + EVERY);
    for (last, head, at, due) in [
        (5, 5, later, false),
        (5, 6, soon, false),
        (5, 6, later, true),
        (5, 5 + RECORDS - 1, soon, false),
        (5, 5 + RECORDS, soon, true),
        // After a start the whole log is behind: once a minute is enough.
        (0, 1_000_000, soon, false),
        (0, 1, later, true),
    ] {
        assert_eq!(Due { last, at: now }.is(head, at), due, "{last} {head}");
    }
}

#[tokio::test]
async fn what_is_signed_holds_of_its_log_and_of_no_other() {
    let (store, plane) = plane().await;
    let entry = |action: &str| Batch {
        entry: Entry { action: action.to_owned(), ..Entry::default() },
        ..Batch::default()
    };
    store.commit(entry("one")).await.unwrap();
    let (at, first) = plane.attest("system").await.unwrap();
    store.commit(entry("two")).await.unwrap();
    plane.attest("operator/a").await.unwrap();
    store.commit(entry("three")).await.unwrap();
    let key = plane.vault().public_key();
    let check = || Check::new("memory", Some(key.clone()));
    let untouched = |_, _: &mut Entry| {};
    let said = first.read(Some(&key)).unwrap();
    assert_eq!((said.revision, said.cluster.as_str()), (at - 1, "memory"));
    let attested = read(&store, check(), untouched).await.unwrap().attested();
    let head = store.head().0;
    assert_eq!((attested.statements, attested.revision), (2, head - 2));
    // Without a key the first one's is taken; another than that is none.
    let named = read(&store, Check::new("memory", None), untouched).await.unwrap().attested();
    assert_eq!(named, attested);
    let other = read(&store, Check::new("memory", Some(vec![7; 32])), untouched).await;
    assert_eq!(other.unwrap_err(), Unfit::OtherKey);
    let other = read(&store, Check::new("another", Some(key.clone())), untouched).await;
    assert_eq!(other.unwrap_err(), Unfit::OtherCluster("memory".to_owned()));
    // A statement that was altered, and one of another record.
    let altered = read(&store, check(), |revision, entry| {
        if revision == at {
            let text = entry.detail["evidence"].as_str().unwrap().replace("memory", "mem0ry");
            entry.detail["evidence"] = text.into();
        }
    });
    assert_eq!(altered.await.unwrap_err(), Unfit::Signature);
    let moved = read(&store, check(), |revision, entry| {
        if revision == 1 {
            entry.action = ACTION.to_owned();
            entry.detail = serde_json::to_value(&first).unwrap();
        }
    });
    assert!(matches!(moved.await.unwrap_err(), Unfit::OtherRecord { .. }));
}

#[tokio::test]
async fn what_was_kept_elsewhere_shows_that_the_end_was_cut_off_or_written_anew() {
    let (store, plane) = plane().await;
    let (_, kept) = plane.attest("system").await.unwrap();
    let said = kept.read(None).unwrap();
    let check = |said: &Statement| Check::new("memory", None).wanting(Some(said.clone()));
    let untouched = |_, _: &mut Entry| {};
    let read_whole = read(&store, check(&said), untouched).await.unwrap();
    assert_eq!(read_whole.is_met(), None);
    // The log ends before it.
    let later = Statement { revision: said.revision + 5, ..said.clone() };
    let cut = read(&store, check(&later), untouched).await.unwrap();
    assert_eq!(cut.is_met(), Some(&later));
    // Another log was written, whole in itself.
    let other = Statement { head: hex(&[9; 32]), ..said };
    let anew = read(&store, check(&other), untouched).await;
    assert!(matches!(anew.unwrap_err(), Unfit::OtherRecord { .. }));
}

#[test]
fn nothing_but_a_statement_is_one() {
    let vault = Vault::ephemeral().unwrap();
    let text = r#"{"report":"keyway.key/1","cluster":"c","epoch":1,"revision":1,"head":"","at":0}"#;
    let signature = hex(&vault.sign(text.as_bytes()));
    let report = Attestation { evidence: text.to_owned(), signature, public_key: hex(&vault.public_key()) };
    assert_eq!(report.read(None), Err(Unfit::Text));
    let none = Attestation { public_key: "no hex".to_owned(), ..report };
    assert_eq!(none.read(None), Err(Unfit::Text));
}
