//! Keys whose secrets come from Vault: both engines, all logins, and each fault by its name.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, text};
use keyway_e2e::gateway::{Outcome, TOKEN};
use keyway_e2e::rotation::{secret, state};
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use keyway_testkit::vault::{AGENT_TOKEN, JWT, ROLE, SECRET_ID, Vault};
use reqwest::Method;
use serde_json::{Value, json};

/// Asks the source of a key at once; the outcome's code and words.
async fn fetch(admin: &Admin, key: &str) -> Outcome<(u16, String)> {
    let answer = admin.call(Method::POST, &format!("/keys/sim/{key}/fetch"), None).await?;
    Ok((answer.status, text(&answer.json, "/error/message").to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_login_and_engine_gives_the_secret_and_each_fault_has_a_name() -> Outcome {
    let (provider, vault) = (Provider::start()?, Vault::start()?);
    let folder = tempfile::tempdir()?;
    let file = |name: &str, content: &str| -> Outcome<String> {
        let path = folder.path().join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path.display().to_string())
    };
    let (agent, id, jwt) = (file("agent", AGENT_TOKEN)?, file("id", SECRET_ID)?, file("jwt", JWT)?);
    let key = |name: &str, at: &str, auth: &str| {
        let address = vault.address();
        format!(
            "{{ name: {name}, rotation: {{ overlap: 0s, source: {{ vault: {{ address: \"{address}\", {at}, auth: {auth} }} }} }} }}"
        )
    };
    let keys = [
        key("agent", "path: team/agent, field: key", &format!("{{ token_file: {agent} }}")),
        key("role", "path: role", &format!("{{ approle: {{ role_id: {ROLE}, secret_id_file: {id} }} }}")),
        key(
            "pod",
            "path: pod, mount: kv1, version: 1",
            &format!("{{ kubernetes: {{ role: {ROLE}, jwt_file: {jwt} }} }}"),
        ),
        key("stranger", "path: role", &format!("{{ approle: {{ role_id: other, secret_id_file: {id} }} }}")),
    ];
    vault.put("team/agent", json!({ "key": secret(1), "other": "x" }));
    vault.put("role", json!({ "value": secret(2) }));
    vault.put("pod", json!({ "value": secret(3) }));
    let yaml = format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\"] }}\n",
        provider.base_url(),
        keys.join(", ")
    );
    let planes = Planes::start(&yaml, 1)?;
    let admin = admin(&planes)?;
    let until = async |key: &str, version: u64| {
        let path = format!("/keys/sim/{key}");
        admin.until(PATIENCE, &path, |key| (state(key, version) == "active").then(|| key.clone())).await
    };
    for key in ["agent", "role", "pod"] {
        until(key, 1).await?;
    }

    vault.put("team/agent", json!({ "key": secret(4) }));
    vault.put("pod", json!({ "value": secret(5) }));
    assert_eq!(fetch(&admin, "agent").await?.0, 200);
    assert_eq!(fetch(&admin, "pod").await?.0, 200);
    until("agent", 2).await?;
    until("pod", 2).await?;

    let faults: [(&str, Value, &str); 3] = [
        ("role", Value::Null, "is deleted or destroyed"),
        ("role", json!({ "valeu": secret(6) }), "has no text in the field value"),
        ("role", json!({ "value": "two\nlines" }), "what it gave holds a line break"),
    ];
    for (path, value, words) in faults {
        vault.put(path, value);
        let (status, said) = fetch(&admin, "role").await?;
        assert!(status == 502 && said.contains(words), "{status} {said}");
    }
    let (status, said) = fetch(&admin, "stranger").await?;
    assert!(
        status == 502 && said.contains("refused the login at auth/approle (HTTP 400)"),
        "{status} {said}"
    );
    file("agent", "hvs.wrong-0123456789")?;
    let (status, said) = fetch(&admin, "agent").await?;
    assert!(status == 502 && said.contains("HTTP 403") && !said.contains("hvs."), "{status} {said}");
    file("agent", AGENT_TOKEN)?;
    vault.seal(true);
    let (status, said) = fetch(&admin, "agent").await?;
    assert!(status == 502 && said.contains("sealed"), "{status} {said}");
    vault.seal(false);
    assert_eq!(
        fetch(&admin, "agent").await?,
        (
            409,
            "the source of sim/agent has nothing new: it still gives version 2, which is in use".to_owned()
        )
    );

    // Tokens of its own do not lie about until their leases end.
    let (made, left) = vault.tokens();
    assert!(made > 3 && left == 0, "{made} made, {left} left");
    let doctor = admin.get("/doctor").await?.to_string();
    assert!(doctor.contains("the source of sim/stranger"), "{doctor}");
    Ok(())
}
