//! A replica that ended in order is off the list for good: no restart of the control plane brings it back as lost, which
//! rotations would wait for.

use keyway_e2e::fleet::{PATIENCE, admin, settled, until, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;

/// The ids that `keyway fleet list` names.
fn listed(planes: &Planes) -> Outcome<Vec<String>> {
    let ran = planes.cli(&["fleet", "list", "--output", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&ran.stdout)?;
    let rows = list.as_array().or_else(|| list.pointer("/replicas")?.as_array()).ok_or("no list")?;
    Ok(rows.iter().filter_map(|row| row.pointer("/id")?.as_str().map(str::to_owned)).collect())
}

#[tokio::test]
async fn what_ended_in_order_does_not_come_back_as_lost() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 2)?;
    settled(&admin(&planes)?, 2).await?;
    let mut ended = planes.replicas.pop().ok_or("no replica")?;
    ended.process.stop()?;
    let one = || Ok(Some(listed(&planes)?).filter(|ids| ids.len() == 1));
    let left = until("one is off the list", PATIENCE, one).await?;
    // At once: nothing is left to the time that a clean end is given.
    planes.control.stop()?;
    planes.start_control()?;
    settled(&admin(&planes)?, 1).await?;
    assert_eq!(listed(&planes)?, left);
    Ok(())
}
