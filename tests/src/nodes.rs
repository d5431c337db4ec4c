//! What tests ask of nodes: why one has not joined, what the control plane knows of it.

use keyway_testkit::process::{Planes, Replica};
use serde_json::Value;

use crate::fleet::{PATIENCE, readyz, text, until};
use crate::gateway::Outcome;

/// What `keyway ARGS` gives as JSON.
pub fn asked(planes: &Planes, args: &[&str]) -> Outcome<Value> {
    let ran = planes.cli(&[&["--output", "json"], args].concat())?;
    if ran.code == Some(0) { Ok(serde_json::from_str(&ran.stdout)?) } else { Err(format!("{ran:?}").into()) }
}

/// The node of that name as the control plane knows it.
pub fn node(planes: &Planes, name: &str) -> Outcome<Value> {
    let all = asked(planes, &["fleet", "nodes"])?;
    let found = all.as_array().into_iter().flatten().find(|one| text(one, "/name") == name);
    found.cloned().ok_or_else(|| format!("no node {name} in {all}").into())
}

/// The root that the newest certificate of that node is under.
pub fn root_of(planes: &Planes, name: &str) -> Outcome<u64> {
    let node = node(planes, name)?;
    node.get("root").and_then(Value::as_u64).ok_or_else(|| format!("no root in {node}").into())
}

/// Waits until it says that it got no certificate, for a reason that holds `why`; it serves nothing then.
pub async fn turned_away(replica: &Replica, why: &str) -> Outcome {
    let said = || {
        let (status, ready) = readyz(replica)?;
        let error = text(&ready, "/node_error");
        if error.contains(why) { Ok(Some(status)) } else { Err(ready.to_string().into()) }
    };
    assert_eq!(until("it is turned away", PATIENCE, said).await?, 503);
    Ok(())
}
