//! The vault's own keys: the wrapping key is changed under kill -9 (R5), the root key is changed.

use std::time::{Duration, Instant};

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, text};
use keyway_e2e::gateway::{MAIN_KEY, Outcome, TOKEN};
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use serde_json::Value;

/// Secrets in the vault.
const KEYS: usize = 400;
/// Kills at most.
const KILLS: u32 = 40;

fn yaml(provider: &Provider) -> String {
    let keys: Vec<String> =
        (0..KEYS).map(|n| format!("{{ name: k{n}, secret: {MAIN_KEY}-{n:04} }}")).collect();
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\"] }}\n",
        provider.base_url(),
        keys.join(", ")
    )
}

fn step(vault: &Value) -> String {
    text(vault, "/change/step").to_owned()
}

/// All secrets open: none is withheld, and their number is whole.
async fn each_opens(admin: &Admin) -> Outcome {
    let doctor = admin.get("/doctor").await?;
    assert!(!doctor.to_string().contains("withheld"), "{doctor}");
    let vault = admin.get("/vault").await?;
    let counts = vault.get("secrets").and_then(Value::as_object).ok_or("no counts")?;
    let all: u64 = counts.values().filter_map(Value::as_u64).sum();
    // The roots of certificates have secrets of their own.
    assert!(all >= KEYS as u64, "{vault}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_the_wrapping_key_changes_under_kill_9_and_every_secret_opens_at_every_moment() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider), 1)?;
    planes.configure(None)?;
    let ran = planes.cli(&["vault", "rotate-kek"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut kills = Vec::new();
    for kill in 0..KILLS {
        // Each life a little longer than the one before, so that every step is met.
        let began = Instant::now();
        let vault = admin(&planes)?.get("/vault").await?;
        if step(&vault) == "done" {
            break;
        }
        let life = Duration::from_millis(u64::from(kill) * 5);
        tokio::time::sleep(life.saturating_sub(began.elapsed())).await;
        planes.control.kill()?;
        planes.start_control()?;
        let admin = admin(&planes)?;
        each_opens(&admin).await?;
        kills.push((step(&vault), vault["secrets"].clone()));
    }
    for (step, secrets) in &kills {
        println!("killed after {step}: {secrets}");
    }
    let operator = admin(&planes)?;
    let done =
        operator.until(PATIENCE, "/vault", |vault| (step(vault) == "done").then(|| vault.clone())).await?;
    let left: Vec<&String> =
        done["secrets"].as_object().into_iter().flatten().map(|(version, _)| version).collect();
    assert_eq!(left, ["2"], "{done}");
    assert!(kills.len() > 3, "only {} kills", kills.len());
    each_opens(&operator).await?;
    let ran = planes.cli(&["vault", "rotate-kek", "--wait"])?;
    assert!(ran.code == Some(0) && ran.stdout.contains("wraps"), "{ran:?}");
    planes.control.kill()?;
    planes.start_control()?;
    each_opens(&admin(&planes)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_root_key_is_in_force_at_once_and_a_start_with_the_old_one_is_sealed() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider), 0)?;
    planes.configure(None)?;
    let file = planes.folder().join("new-root.key").display().to_string();
    let ran = planes.cli(&["vault", "rotate-root", "--to-file", &file])?;
    assert!(ran.code == Some(0), "{ran:?}");
    // Nothing but the path and the name of it is shown.
    let secret = std::fs::read_to_string(&file)?;
    assert!(!format!("{ran:?}").contains(secret.trim()), "{ran:?}");
    let ran = planes.cli(&["vault", "rotate-kek", "--wait"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    planes.control.stop()?;
    planes.start_control()?;
    let status = admin(&planes)?.call(reqwest::Method::GET, "/vault", None).await?;
    assert_eq!((status.status, status.code()), (503, "sealed"), "{}", status.json);
    planes.control.stop()?;
    planes.control_env = vec![("KEYWAY_ROOT_KEY_FILE".to_owned(), file)];
    planes.start_control()?;
    each_opens(&admin(&planes)?).await
}
