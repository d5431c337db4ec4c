//! From one control plane's own store into an etcd and back, with replicas that go along; an etcd that asks for certificates;
//! and books of usage whose keeper is lost.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use keyway_e2e::fleet::{admin as one_admin, ask, settled, yaml};
use keyway_e2e::gateway::{Outcome, yaml as shared_yaml};
use keyway_e2e::rotation::secret;
use keyway_e2e::shared::{LOOK, PATIENCE, admin, clients, in_sync, leader, log, serve, write_until_taken};
use keyway_e2e::traffic::version;
use keyway_testkit::process::{EtcdTls, Planes, Ran, Shared};
use keyway_testkit::provider::Provider;
use reqwest::Method;
use serde_json::{Value, json};

const REPLICAS: usize = 2;
/// What an operator brings along: what opens the vault, and what is shown.
const BROUGHT: [&str; 2] = ["root.key", "admin.token"];

/// `keyway migrate`, and what it said.
fn migrate(planes: &Planes, from: &str, to: &str) -> Outcome<Value> {
    let ran = planes.cli(&["migrate", "--from", from, "--to", to, "--output", "json"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(serde_json::from_str(&ran.stdout)?)
}

/// What must be the same wherever it lies: documents without what says where they were kept.
async fn told(planes: &Planes) -> Outcome<(Value, Value)> {
    let admin = one_admin(planes)?;
    let key = admin.get("/keys/sim/main").await?;
    Ok((admin.get("/clients").await?, key.get("versions").cloned().unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_into_etcd_and_back_and_its_replicas_take_each_new_life() -> Outcome {
    let provider = Provider::start()?;
    let Some(shared) = Shared::start("{}\n", 0, 0)? else { return Ok(()) };
    let mut planes = Planes::start(&yaml(&provider, ""), REPLICAS)?;
    planes.configure(None)?;
    let admin = one_admin(&planes)?;
    admin.post("/clients", json!({ "name": "in-sled" })).await?;
    let args = ["key", "rotate", "sim/main", "--from-env", "NEW_KEY", "--overlap", "0s", "--wait", "retired"];
    let ran = Ran::of(planes.begin(&args, &[("NEW_KEY", &secret(1))])?)?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (before, first) = (told(&planes).await?, settled(&admin, REPLICAS).await?);
    planes.control.stop()?;

    let home = planes.data_dir().display().to_string();
    let moved = migrate(&planes, &home, &shared.store())?;
    println!("into etcd: {moved}");
    planes.control_args = vec!["--store".to_owned(), shared.store(), "--name".to_owned(), "cp".to_owned()];
    planes.start_control()?;
    let second = settled(&admin, REPLICAS).await?;
    assert_eq!(told(&planes).await?, before);
    admin.post("/clients", json!({ "name": "in-etcd" })).await?;
    admin.post("/audit/verify", Value::Null).await?;
    for replica in &planes.replicas {
        assert_eq!(ask(replica, "sim/m").await?.status, 200);
    }
    let (before, second_too) = (told(&planes).await?, settled(&admin, REPLICAS).await?);
    planes.control.stop()?;

    let back = planes.folder().join("back");
    let moved = migrate(&planes, &shared.store(), &back.display().to_string())?;
    println!("back: {moved}");
    for name in BROUGHT {
        fs::copy(planes.data_dir().join(name), back.join(name))?;
    }
    fs::rename(planes.data_dir(), planes.folder().join("before"))?;
    fs::rename(&back, planes.data_dir())?;
    planes.control_args = Vec::new();
    planes.start_control()?;
    let third = settled(&admin, REPLICAS).await?;
    assert_eq!(told(&planes).await?, before);
    admin.post("/audit/verify", Value::Null).await?;
    println!("{first} in sled, {second} and {second_too} in etcd, {third} in sled again");
    let epochs = [&first, &second, &third].map(|at| version(at).map(|(epoch, _)| epoch));
    assert!(epochs.is_sorted() && epochs[0] < epochs[1] && epochs[1] < epochs[2], "{epochs:?}");
    for replica in &planes.replicas {
        assert_eq!(ask(replica, "sim/m").await?.status, 200);
    }
    Ok(())
}

fn openssl(folder: &Path, args: &[&str]) -> Outcome {
    let ran = Command::new("openssl").args(args).current_dir(folder).output()?;
    if ran.status.success() { Ok(()) } else { Err(format!("openssl {args:?}: {ran:?}").into()) }
}

/// An authority for etcd, and under it a certificate for its nodes and one for control planes; `None`: there is no openssl.
#[expect(clippy::print_stdout, reason = "a test that did not run says so")]
fn certificates(folder: &Path) -> Outcome<Option<EtcdTls>> {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("NOT TESTED: certificates for etcd are made by openssl");
        return Ok(None);
    }
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let root = ["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=etcd-ca"];
    openssl(folder, &[&root[..], &key].concat())?;
    fs::write(
        folder.join("ends"),
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n",
    )?;
    for name in ["server", "client"] {
        let (secret, request, subject) =
            (format!("{name}.key"), format!("{name}.csr"), format!("/CN={name}"));
        let asks = ["req", "-keyout", &secret, "-out", &request, "-subj", &subject];
        openssl(folder, &[&asks[..], &key].concat())?;
        let certificate = format!("{name}.pem");
        let signs = ["x509", "-req", "-in", &request, "-out", &certificate, "-days", "2", "-extfile", "ends"];
        openssl(folder, &[&signs[..], &["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]].concat())?;
    }
    let pair = |name: &str| (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    Ok(Some(EtcdTls { ca: folder.join("ca.pem"), server: pair("server"), client: pair("client") }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_asks_for_certificates_is_used_with_one_and_not_without() -> Outcome {
    let folder = tempfile::tempdir()?;
    let Some(tls) = certificates(folder.path())? else { return Ok(()) };
    let provider = Provider::start()?;
    let setup = Shared::of(&shared_yaml(&provider)).tls(tls.clone());
    let Some(mut all) = setup.start(2, 1)? else { return Ok(()) };
    for at in [0, 1] {
        write_until_taken(&all, at, &format!("by-{at}")).await?;
    }
    let lead = leader(&all, 0).await?;
    all.controls[lead].process.kill()?;
    let took = write_until_taken(&all, 1 - lead, "after").await?;
    println!("over TLS writes are back {took:?} after the leader was killed");
    in_sync(&all, 1 - lead, 1).await?;
    serve(&all).await?;
    // Nobody comes in without a certificate, or in clear.
    let planes = Planes::start("{}\n", 0)?;
    let (store, target) = (all.store(), planes.folder().join("copy").display().to_string());
    let bare = store.split("&cert=").next().unwrap_or_default();
    let clear = store.split('?').next().unwrap_or_default().replace("etcds:", "etcd:");
    for from in [bare, &clear] {
        let ran = planes.cli(&["migrate", "--from", from, "--to", &target])?;
        assert!(ran.code.is_some_and(|code| code != 0) && !ran.stderr.is_empty(), "{from}: {ran:?}");
    }
    let ran = planes.cli(&["migrate", "--from", &store, "--to", &target])?;
    assert_eq!(ran.code, Some(0), "with the certificate: {ran:?}");
    Ok(())
}

/// Requests that the books have.
async fn booked(all: &Shared, at: usize) -> Outcome<(u16, String, u64)> {
    let said = admin(all, at)?.call(Method::GET, "/usage", None).await?;
    let rows = said.json.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    let sum = rows.iter().filter_map(|row| row.get("requests")?.as_u64()).sum();
    Ok((said.status, said.code().to_owned(), sum))
}

/// Waits until they have so many.
async fn books_have(all: &Shared, at: usize, requests: u64) -> Outcome {
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = booked(all, at).await?;
        if seen.2 == requests {
            return Ok(());
        }
        assert!(Instant::now() < until, "{seen:?}\n{}", log(all, at));
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_whose_keeper_is_lost_are_taken_over_and_what_waited_comes_in() -> Outcome {
    let provider = Provider::start()?;
    let Some(mut all) = Shared::start(&shared_yaml(&provider), 2, 1)? else { return Ok(()) };
    serve(&all).await?;
    books_have(&all, 1, 1).await?;
    // The first that started keeps them. Its disk is lost with it.
    all.controls[0].process.kill()?;
    write_until_taken(&all, 1, "without-it").await?;
    for _ in 0..3 {
        serve(&all).await?;
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let (status, code, _) = booked(&all, 1).await?;
        if (status, code.as_str()) == (503, "books_away") {
            break;
        }
        assert!(Instant::now() < until, "{status} {code}");
        tokio::time::sleep(LOOK).await;
    }
    all.controls[1].process.stop()?;
    all.controls[1].args = vec!["--take-books".to_owned()];
    all.spawn_control(1)?;
    all.until_ready(1)?;
    // What was booked on the lost disk is lost, and nothing that came after it.
    books_have(&all, 1, 3).await?;
    assert!(clients(&all, 1).await?.contains(&"without-it".to_owned()));
    Ok(())
}
