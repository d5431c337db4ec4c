//! What proves that a key is out of use, as whoever was not there would check it; and the drill for a key in wrong hands.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use keyway_e2e::gateway::{CHAT, Gateway, Outcome, TOKEN, chat};
use keyway_e2e::held;
use keyway_e2e::rotation::{KEY, rotate, secret, until, yaml};
use keyway_testkit::process::{Keyway, Ran};
use keyway_testkit::provider::Provider;
use serde_json::Value;

const BY_ITSELF: Duration = Duration::from_secs(30);

/// A gateway with two replicas, and streams that stand after two events.
fn started() -> Outcome<(Provider, Gateway)> {
    let provider = Provider::start()?;
    held::script(&provider);
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(2))?;
    Ok((provider, gateway))
}

fn path(file: &Path) -> Outcome<&str> {
    Ok(file.to_str().ok_or("a path that is no text")?)
}

/// `keyway report verify`, at a server that is not there.
fn verify(gateway: &Gateway, report: &Path, key: &Path) -> Outcome<Ran> {
    let args = ["report", "verify", path(report)?, "--public-key", path(key)?, "--output", "json"];
    Ok(gateway.keyway.cli_with(&args, &[("KEYWAY_SERVER", "http://127.0.0.1:9")])?)
}

/// The two as they would be checked without Keyway; `None` where there is no openssl here.
fn openssl(folder: &Path, report: &Value, key: &Path) -> Outcome<Option<bool>> {
    let text = |field: &str| report.get(field).and_then(Value::as_str).ok_or("a field that is missing");
    let (evidence, signature) = (folder.join("evidence.json"), folder.join("signature.bin"));
    std::fs::write(&evidence, text("evidence")?)?;
    let hex = text("signature")?;
    let bytes: Result<Vec<u8>, _> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16)).collect();
    std::fs::write(&signature, bytes?)?;
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]).arg(key);
    command.arg("-in").arg(&evidence).arg("-sigfile").arg(&signature);
    match command.output() {
        Ok(output) => Ok(Some(output.status.success())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn json(file: &Path) -> Outcome<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_checked_without_a_server_and_a_changed_one_is_not_believed() -> Outcome {
    let (_provider, gateway) = started()?;
    let folder = tempfile::tempdir()?;
    let (report, key) = (folder.path().join("report.json"), folder.path().join("keyway.pem"));
    let args = ["--overlap", "0s", "--wait", "--report", path(&report)?];
    rotate(&gateway.keyway, &secret(1), &args)?.ends("retired");
    let printed = gateway.keyway.cli(&["report", "public-key"])?;
    std::fs::write(&key, &printed.stdout)?;
    let good = verify(&gateway, &report, &key)?;
    assert_eq!(good.code, Some(0), "{good:?}");
    let said: Value = serde_json::from_str(&good.stdout)?;
    assert_eq!(said.pointer("/valid"), Some(&Value::Bool(true)), "{said}");
    let replicas = said.pointer("/evidence/replicas").and_then(Value::as_array).cloned().unwrap_or_default();
    assert_eq!(replicas.len(), 2, "{said}");
    for one in &replicas {
        let hash = one.get("hash").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(hash.len(), 64, "{one}");
        assert!(one.get("applied_at").and_then(Value::as_u64) > Some(1_700_000_000_000), "{one}");
        assert_eq!(one.pointer("/versions/1/in_flight").and_then(Value::as_u64), Some(0), "{one}");
    }
    let whole = json(&report)?;
    match openssl(folder.path(), &whole, &key)? {
        Some(valid) => assert!(valid, "openssl does not find the signature right"),
        None => println!("NOT TESTED: there is no openssl here"),
    }

    let text = std::fs::read_to_string(&report)?;
    std::fs::write(&report, text.replacen(r#"retired"#, r#"revoked"#, 1))?;
    let changed = verify(&gateway, &report, &key)?;
    assert_eq!((changed.code, changed.stdout.as_str()), (Some(1), ""), "{changed:?}");
    std::fs::write(&report, text)?;
    std::fs::write(&key, "11".repeat(32))?;
    let other = verify(&gateway, &report, &key)?;
    assert_eq!(other.code, Some(1), "{other:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compromised_key_is_cut_everywhere_and_one_file_says_who_used_it() -> Outcome {
    let (provider, gateway) = started()?;
    let folder = tempfile::tempdir()?;
    let (report, key) = (folder.path().join("evidence.json"), folder.path().join("keyway.pem"));
    for _ in 0..5 {
        assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    }
    let stream = held::stream(&gateway, TOKEN).await?;
    until(BY_ITSELF, "the five are booked", || {
        let shown = gateway.keyway.cli(&["usage", "--by", "client", "--output", "json"])?;
        let page: Value = serde_json::from_str(&shown.stdout)?;
        Ok(page.pointer("/0/requests").and_then(Value::as_u64) >= Some(5))
    })
    .await?;
    let began = Instant::now();
    let args = ["key", "compromise", KEY, "--cut", "--since", "1h", "--report", path(&report)?];
    let ran = gateway.keyway.cli_with(&args, &[])?;
    println!("compromise took {:?}", began.elapsed());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let cut = stream.end().await?;
    assert!(!cut.text().contains("[DONE]"), "a cut stream looks whole: {}", cut.text());
    let asked = provider.requests();
    assert_ne!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    assert_eq!(provider.requests(), asked, "the key is still used");

    std::fs::write(&key, gateway.keyway.cli(&["report", "public-key"])?.stdout)?;
    let good = verify(&gateway, &report, &key)?;
    assert_eq!(good.code, Some(0), "{good:?}");
    let said: Value = serde_json::from_str(&good.stdout)?;
    let first =
        |list: &str| said.pointer(&format!("/evidence/exposure/{list}/0")).cloned().unwrap_or_default();
    assert_eq!(first("clients").get("name").and_then(Value::as_str), Some("tester"), "{said}");
    assert_eq!(first("versions").get("name").and_then(Value::as_str), Some("sim/main/1"), "{said}");
    let requests = said.pointer("/evidence/exposure/total/requests").and_then(Value::as_u64);
    assert!(requests >= Some(5), "{said}");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&report)?) & 0o777;
    assert_eq!(mode, 0o600);
    let events = said.pointer("/evidence/events").and_then(Value::as_array).cloned().unwrap_or_default();
    let compromised = |one: &&Value| one.get("action").and_then(Value::as_str) == Some("key.compromise");
    assert!(events.iter().any(|one| compromised(&one)), "{said}");
    Ok(())
}
