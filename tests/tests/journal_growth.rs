//! How many bytes one rotation adds to the journal, which is never shortened: it depends on the key that is rotated, and not on how many
//! other keys its provider has, nor on how many versions came before.

use std::fs;
use std::path::Path;

use keyway_e2e::gateway::Outcome;
use keyway_e2e::rotation::{rotate, secret, yaml_of};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::Provider;

const ROTATIONS: u32 = 12;
/// Other keys of the same provider.
const OTHERS: usize = 40;
/// Bytes that one rotation may add, by the command line and to its end; measured: 7 KB, at a thousand a day 2.6 GB in a year.
const BOUND: u64 = 12 << 10;

fn bytes(journal: &Path) -> Outcome<u64> {
    let mut all = 0;
    for entry in fs::read_dir(journal)? {
        all += entry?.metadata()?.len();
    }
    Ok(all)
}

/// Bytes that each of some rotations added.
async fn grown(keys: &[(&str, &str)]) -> Outcome<Vec<u64>> {
    let provider = Provider::start()?;
    let keyway = Keyway::up().config(yaml_of(&provider, keys)).replicas(2).start()?;
    let journal = keyway.folder().join("home/store/journal");
    let mut each = Vec::new();
    let mut before = bytes(&journal)?;
    for number in 0..ROTATIONS {
        let done = rotate(&keyway, &secret(number), &["--overlap", "0s", "--wait"])?;
        assert_eq!(done.code, Some(0), "{done:?}");
        let now = bytes(&journal)?;
        each.push(now - before);
        before = now;
    }
    Ok(each)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_adds_little_to_the_journal_however_many_keys_there_are() -> Outcome {
    let names: Vec<String> = (0..OTHERS).map(|number| format!("other-{number}")).collect();
    let secrets: Vec<String> =
        (0..OTHERS).map(|number| format!("sk-sim-other-{number:04}-0123456789ab")).collect();
    let mut keys = vec![("main", "sk-sim-main-0123456789abcdef")];
    let alone = grown(&keys).await?;
    keys.extend(names.iter().map(String::as_str).zip(secrets.iter().map(String::as_str)));
    let among = grown(&keys).await?;
    let mean = |each: &[u64]| each.iter().sum::<u64>() / each.len().max(1) as u64;
    println!(
        "bytes a rotation adds: alone {} {alone:?}; beside {OTHERS} keys {} {among:?}",
        mean(&alone),
        mean(&among)
    );
    for each in [&alone, &among] {
        assert!(each.iter().all(|bytes| *bytes < BOUND), "{each:?}");
    }
    assert!(mean(&among) < mean(&alone) * 3 / 2, "it grows with other keys: {alone:?} {among:?}");
    Ok(())
}
