//! Keys that rotate by themselves: from a file that changes, from a program, at once on request; what fails, what is
//! old news, and what a `kill -9` leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, settled, text};
use keyway_e2e::gateway::{MAIN_KEY, Outcome, TOKEN};
use keyway_e2e::rotation::{secret, state};
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use reqwest::Method;
use serde_json::{Value, json};

const KEY: &str = "/keys/sim/main";

/// A keyway.yaml whose key `sim/main` has this `rotation` and no secret of its own.
fn yaml(provider: &Provider, rotation: &str) -> String {
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{{ name: main, rotation: {rotation} }}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\"] }}\n",
        provider.base_url()
    )
}

/// Puts a secret into a file that nobody else reads, by one step, as agents do.
fn put(path: &Path, secret: &str) -> Outcome {
    let part = path.with_extension("part");
    fs::write(&part, format!("{secret}\n"))?;
    fs::set_permissions(&part, fs::Permissions::from_mode(0o600))?;
    Ok(fs::rename(&part, path)?)
}

async fn until_state(admin: &Admin, version: u64, wanted: &str) -> Outcome<Value> {
    admin.until(PATIENCE, KEY, |key| (state(key, version) == wanted).then(|| key.clone())).await
}

async fn until_said(admin: &Admin, outcome: &str, words: &str) -> Outcome<Value> {
    let said = |key: &Value| {
        let fits =
            text(key, "/source/last/outcome") == outcome && text(key, "/source/last/words").contains(words);
        fits.then(|| key.clone())
    };
    admin.until(PATIENCE, KEY, said).await
}

/// What the doctor says of keys, in one text.
async fn doctor(admin: &Admin) -> Outcome<String> {
    let all = admin.get("/doctor").await?;
    let findings = all.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_keys = findings.iter().filter(|one| text(one, "/area") == "keys");
    let line = |one: &Value| {
        format!("{}: {} {}\n", text(one, "/level"), text(one, "/what"), text(one, "/what_to_do"))
    };
    Ok(of_keys.map(line).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_gives_the_first_secret_and_each_change_of_it_rotates_while_requests_run() -> Outcome {
    let provider = Provider::start()?;
    provider.accept_only(&[MAIN_KEY]);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("key");
    put(&path, MAIN_KEY)?;
    let rotation = format!("{{ overlap: 1s, source: {{ file: {} }} }}", path.display());
    let planes = Planes::start(&yaml(&provider, &rotation), 2)?;
    let admin = admin(&planes)?;
    until_state(&admin, 1, "active").await?;
    settled(&admin, 2).await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(2))?;
    traffic.more(100).await?;

    let new = secret(1);
    provider.accept_key(&new);
    put(&path, &new)?;
    until_state(&admin, 2, "active").await?;
    let key = until_state(&admin, 1, "retired").await?;
    assert_eq!((&key["source"]["failures"], &key["rollout"]["failed"]), (&json!(0), &json!(0)), "{key}");
    let used = provider.keys().get(&new).copied().unwrap_or_default();
    traffic.more(100).await?;
    assert!(provider.keys().get(&new).copied().unwrap_or_default().requests > used.requests + 90);

    // Old news changes nothing and is said; a secret that the provider refuses never comes into use.
    put(&path, MAIN_KEY)?;
    until_said(&admin, "unchanged", "version 1, which this key had before (retired)").await?;
    assert!(doctor(&admin).await?.contains("has an old secret"), "{}", doctor(&admin).await?);
    let bad = secret(2);
    provider.refuse_key(&bad, 401);
    put(&path, &bad)?;
    let key = until_said(&admin, "failed", "the provider refused the key (HTTP 401)").await?;
    assert_eq!((state(&key, 2), state(&key, 3)), ("active".to_owned(), "rejected".to_owned()), "{key}");
    let said = doctor(&admin).await?;
    assert!(
        said.contains("failed 1 times") && said.contains("--from-source") && !said.contains(&bad),
        "{said}"
    );

    // Others could read it: it is not taken.
    let open = secret(3);
    provider.accept_key(&open);
    put(&path, &open)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    let fetch = admin.call(Method::POST, &format!("{KEY}/fetch"), None).await?;
    assert_eq!((fetch.status, fetch.code()), (502, "source_failed"), "{}", fetch.json);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let ran = planes.cli(&["key", "rotate", "sim/main", "--from-source", "--wait", "--output", "json"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    until_state(&admin, 4, "active").await?;
    let ran = planes.cli(&["key", "rotate", "sim/main", "--from-source"])?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("still gives version 4"), "{ran:?}");
    let shown = planes.cli(&["key", "show", "sim/main"])?;
    assert!(
        shown.stdout.contains(&format!("its next secret comes from: file {}", path.display())),
        "{shown:?}"
    );
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

/// A program that prints a new secret each time, and fails while there is a file `fail` beside it.
fn program(folder: &Path) -> Outcome<String> {
    let script = format!(
        "#!/bin/sh\ncd {}\nif [ -e fail ]; then echo sk-sim-leak-leak-leak >&2; exit 7; fi\n\
         n=$(cat count 2>/dev/null || echo 0); n=$((n + 1)); echo $n > count\n\
         printf 'sk-sim-rotated-%04d-0123456789abcdef\\n' $n\n",
        folder.display()
    );
    let path = folder.join("new-key");
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
    Ok(path.display().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_asked_again_and_again_and_after_kill_9_it_goes_on() -> Outcome {
    let provider = Provider::start()?;
    let all: Vec<String> = (1..=200).map(secret).collect();
    provider.accept_only(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let folder = tempfile::tempdir()?;
    let rotation =
        format!("{{ every: 2s, overlap: 0s, source: {{ command: [{}] }} }}", program(folder.path())?);
    let mut planes = Planes::start(&yaml(&provider, &rotation), 1)?;
    let operator = admin(&planes)?;
    until_state(&operator, 3, "active").await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 1, Duration::from_millis(5))?;
    traffic.more(20).await?;

    fs::write(folder.path().join("fail"), "")?;
    let key = until_said(&operator, "failed", "ended with exit code 7").await?;
    assert!(!key.to_string().contains("leak"), "{key}");
    fs::remove_file(folder.path().join("fail"))?;
    let ran = planes.cli(&["key", "rotate", "sim/main", "--from-source"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");

    // At whatever step it dies, some version works and the next secret comes.
    for round in 0..5 {
        let newest = |key: &Value| key["versions"].as_array().map_or(0, |all| all.len() as u64);
        let before = operator.get(KEY).await?;
        let wanted = newest(&before);
        operator.until(PATIENCE, KEY, |key| (newest(key) > wanted).then_some(())).await?;
        planes.control.kill()?;
        planes.start_control()?;
        let now = admin(&planes)?.get(KEY).await?;
        println!("round {round}: killed at {}", now["rollout"]["step"]);
        until_state(&admin(&planes)?, newest(&now) + 1, "active").await?;
        traffic.more(10).await?;
    }
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_of_its_own_takes_no_secret_from_its_environment() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&keyway_e2e::fleet::yaml(&provider, ""), 0)?;
    let file = planes.folder().join("env.yaml");
    fs::write(&file, yaml(&provider, "{ source: { env: HOME } }"))?;
    let ran = planes.cli(&["apply", "-f", &file.display().to_string()])?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("takes no secrets from its environment"), "{ran:?}");
    Ok(())
}
