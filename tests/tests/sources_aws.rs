//! Access keys that are made at AWS: moto checks every signature. Whatever is interrupted, one access key is left in the
//! end, and it is the one in use.

use std::collections::BTreeSet;

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, until};
use keyway_e2e::gateway::{Outcome, TOKEN};
use keyway_e2e::rotation::state;
use keyway_testkit::aws::Aws;
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use serde_json::Value;

const KEY: &str = "/keys/sim/main";
const USER: &str = "keyway";

fn yaml(provider: &Provider, aws: &Aws, pair: &str) -> String {
    format!(
        "providers:\n  sim:\n    dialect: openai-chat\n    base_url: \"{}\"\n    keys:\n      - name: main\n        secret: \"{pair}\"\n\
         \x20       rotation: {{ every: 30d, overlap: 0s, source: {{ aws_iam: {{ user: {USER}, endpoint: \"{}\" }} }} }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\"] }}\n",
        provider.base_url(),
        aws.endpoint()
    )
}

/// Waits until this version is in use and all before it are erased.
async fn alone(admin: &Admin, version: u64) -> Outcome<Value> {
    let only = |key: &Value| {
        let erased = (1..version).all(|one| matches!(state(key, one).as_str(), "destroyed"));
        (state(key, version) == "active" && erased).then(|| key.clone())
    };
    admin.until(PATIENCE, KEY, only).await
}

/// How often each action came.
fn count(aws: &Aws, action: &str) -> usize {
    aws.came().iter().filter(|came| *came == action).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_key_is_made_tried_and_the_old_one_deleted_and_a_kill_leaves_none_behind() -> Outcome {
    let (provider, aws) = (Provider::start()?, Aws::start()?);
    let pair = aws.user(USER)?;
    let mut planes = Planes::start(&yaml(&provider, &aws, &pair), 1)?;
    planes.configure(None)?;
    // AWS knows a new access key only after a while.
    aws.unknown("GetCallerIdentity", 2);
    let ran = planes.cli(&["key", "rotate", "sim/main", "--from-source"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(count(&aws, "GetCallerIdentity") >= 3, "{:?}", aws.came());
    alone(&admin(&planes)?, 2).await?;
    assert_eq!(aws.access_keys(USER)?.len(), 1);

    // It dies after AWS has made one and before anything is kept of it.
    aws.hold(Some("GetCallerIdentity"));
    let before = aws.access_keys(USER)?;
    let mut asking = planes.begin(&["key", "rotate", "sim/main", "--from-source"], &[])?;
    let made = until("AWS has made one", PATIENCE, || {
        let now = aws.access_keys(USER)?;
        Ok((now.len() == 2).then_some(now))
    })
    .await?;
    planes.control.kill()?;
    asking.kill()?;
    let lost: BTreeSet<_> = made.difference(&before).cloned().collect();
    aws.hold(None);
    planes.start_control()?;
    let key = alone(&admin(&planes)?, 3).await?;
    let left = aws.access_keys(USER)?;
    assert!(left.len() == 1 && left.is_disjoint(&lost) && left.is_disjoint(&before), "{left:?} {key}");
    println!("calls: {:?}", aws.came());
    // What is in use works, and says so itself.
    let ran = planes.cli(&["key", "rotate", "sim/main", "--from-source", "--wait", "--output", "json"])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    alone(&admin(&planes)?, 4).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_access_key_of_somebody_else_is_left_alone_and_named() -> Outcome {
    let (provider, aws) = (Provider::start()?, Aws::start()?);
    let pair = aws.user(USER)?;
    let planes = Planes::start(&yaml(&provider, &aws, &pair), 1)?;
    let theirs = aws.more(USER)?;
    let ran = planes.cli(&["key", "rotate", "sim/main", "--from-source"])?;
    assert!(
        ran.code == Some(1) && ran.stderr.contains("has two access keys and one is not Keyway's"),
        "{ran:?}"
    );
    assert!(aws.access_keys(USER)?.contains(&theirs) && count(&aws, "DeleteAccessKey") == 0);
    let secret = pair.split(':').nth(1).unwrap_or("-");
    assert!(!ran.stderr.contains(secret) && !planes.control.stderr().contains(secret), "{ran:?}");
    Ok(())
}
