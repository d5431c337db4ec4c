//! How nodes come and go: with tokens that are good once, with many that come by one, with none, and out again. D13 of the list of
//! faults.

use keyway_e2e::fleet::{PATIENCE, ask, readyz, text, until, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::nodes::{asked, node, turned_away};
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;

#[tokio::test]
async fn a_token_is_good_once_and_what_it_gave_for_every_later_start() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 0)?;
    let token = planes.folder().join("one.join");
    planes.join_token(&token, &[])?;
    planes.add_with("first".to_owned(), &token)?.until_ready()?;
    planes.add_with("second".to_owned(), &token)?;
    let [first, second] = planes.replicas.as_mut_slice() else { return Err("two were started".into()) };
    turned_away(second, "used up").await?;
    assert_eq!(ask(first, "sim/m").await?.status, 200);
    std::fs::remove_file(&token)?;
    first.process.stop()?;
    first.start_again()?;
    first.until_ready()?;
    assert_eq!(ask(first, "sim/m").await?.status, 200);
    // The file of its identity is nobody else's.
    use std::os::unix::fs::PermissionsExt;
    let file = first.state_dir().parent().ok_or("no parent")?.join("node-keys/first.identity");
    assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
    let used = asked(&planes, &["join-token", "list"])?;
    assert_eq!((text(&used, "/0/state"), text(&used, "/0/used_by/0")), ("used", "first"), "{used}");
    assert!(node(&planes, "second").is_err());
    Ok(())
}

#[tokio::test]
async fn a_token_of_another_control_plane_an_expired_one_and_a_revoked_one_open_nothing() -> Outcome {
    let mut planes = Planes::start("{}\n", 0)?;
    let other = Planes::start("{}\n", 0)?;
    let (foreign, short, gone) =
        (planes.folder().join("foreign"), planes.folder().join("short"), planes.folder().join("gone"));
    other.join_token(&foreign, &[])?;
    planes.join_token(&short, &["--ttl", "1s"])?;
    until("it has expired", PATIENCE, || {
        let all = asked(&planes, &["join-token", "list"])?;
        Ok((text(&all, "/0/state") == "expired").then_some(()))
    })
    .await?;
    planes.join_token(&gone, &["--node", "c"])?;
    let all = asked(&planes, &["join-token", "list"])?;
    let open = all.as_array().into_iter().flatten().find(|one| text(one, "/state") == "open");
    asked(&planes, &["join-token", "revoke", text(open.ok_or("none is open")?, "/id")])?;
    planes.add_with("a".to_owned(), &foreign)?;
    planes.add_with("b".to_owned(), &short)?;
    planes.add_with("c".to_owned(), &gone)?;
    // The control plane shows no root of that hash: the node goes no further and shows no secret.
    for (replica, why) in planes.replicas.iter().zip(["UnknownIssuer", "has expired", "no such join token"]) {
        turned_away(replica, why).await?;
    }
    assert_eq!(asked(&planes, &["fleet", "nodes"])?, serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn a_reusable_token_brings_so_many_and_no_more() -> Outcome {
    let mut planes = Planes::start("{}\n", 0)?;
    let token = planes.folder().join("many.join");
    planes.join_token(&token, &["--reusable", "--max-nodes", "2", "--expires", "1h"])?;
    for name in ["a", "b"] {
        planes.add_with(name.to_owned(), &token)?.until_ready()?;
    }
    let third = planes.add_with("c".to_owned(), &token)?;
    turned_away(third, "used up").await?;
    // One that lost what it kept may come again by the same token, as itself.
    let first = planes.replicas.first_mut().ok_or("no replica")?;
    first.process.kill()?;
    std::fs::remove_dir_all(first.state_dir().parent().ok_or("no parent")?)?;
    first.start_again()?;
    first.until_ready()?;
    for (args, why) in [
        (&["--ttl", "1h"][..], "at most 10m"),
        (&["--max-nodes", "2"], "--reusable"),
        (&["--node", "No Name"], "node"),
    ] {
        let ran = planes.cli(&[&["join-token", "create"], args].concat())?;
        assert!(ran.code != Some(0) && ran.stderr.contains(why), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn d13_an_evicted_node_is_out_at_once_and_for_ever_and_others_serve_on() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 2)?;
    let evicted = asked(&planes, &["fleet", "evict", "replica-1", "--yes"])?;
    assert_eq!(evicted["keys"], serde_json::json!(["sim/main/1"]), "{evicted}");
    let [out, stays] = planes.replicas.as_slice() else { return Err("two were started".into()) };
    let rejected = || {
        let (_, ready) = readyz(out)?;
        let why = text(&ready, "/control_plane/rejected").to_owned();
        if why.contains("evicted") { Ok(Some(())) } else { Err(ready.to_string().into()) }
    };
    until("it is told", PATIENCE, rejected).await?;
    assert_eq!(text(&node(&planes, "replica-1")?, "/state"), "evicted");
    assert_eq!(ask(stays, "sim/m").await?.status, 200);
    // Neither a new process nor a new token brings it back.
    let token = planes.folder().join("again.join");
    planes.join_token(&token, &["--node", "replica-1"])?;
    let out = planes.replicas.first_mut().ok_or("no replica")?;
    out.process.stop()?;
    out.start_again()?;
    until("it is told again", PATIENCE, || {
        let (_, ready) = readyz(out)?;
        let why = format!("{} {}", text(&ready, "/node_error"), text(&ready, "/control_plane/rejected"));
        if why.contains("evicted") { Ok(Some(())) } else { Err(ready.to_string().into()) }
    })
    .await?;
    out.process.stop()?;
    std::fs::remove_dir_all(out.state_dir().parent().ok_or("no parent")?)?;
    let folder = planes.folder().join("replica-1.join");
    std::fs::copy(&token, folder)?;
    let out = planes.replicas.first_mut().ok_or("no replica")?;
    out.start_again()?;
    turned_away(out, "evicted").await?;
    let serving = asked(&planes, &["fleet", "list"])?;
    assert_eq!((text(&serving, "/0/id"), text(&serving, "/0/state")), ("replica-2", "ready"), "{serving}");
    Ok(())
}
