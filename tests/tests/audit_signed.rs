//! Signed statements of how far the audit log is: they hold of the log and of its backups, also without a server; an end that was
//! cut off, another log and another key are told.

use std::path::Path;

use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::{Keyway, Ran};

fn ok(keyway: &Keyway, args: &[&str]) -> Outcome<Ran> {
    let ran = keyway.cli(args)?;
    assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
    Ok(ran)
}

fn refused(keyway: &Keyway, args: &[&str], why: &str) -> Outcome {
    let ran = keyway.cli(args)?;
    assert!(ran.code == Some(1) && ran.stderr.contains(why), "{args:?}: {ran:?}");
    Ok(())
}

fn path(path: &Path) -> Outcome<&str> {
    Ok(path.to_str().ok_or("no text")?)
}

#[tokio::test]
async fn statements_hold_of_the_log_and_show_what_was_cut_off() -> Outcome {
    let keyway = Keyway::up().start()?;
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let (early, late) = (at("early.backup"), at("late.backup"));
    ok(&keyway, &["backup", path(&early)?])?;
    ok(&keyway, &["client", "create", "before"])?;
    let (kept, key) = (at("kept.json"), at("key.pem"));
    std::fs::write(&kept, ok(&keyway, &["audit", "sign"])?.stdout)?;
    std::fs::write(&key, ok(&keyway, &["report", "public-key"])?.stdout)?;
    ok(&keyway, &["client", "create", "after"])?;
    ok(&keyway, &["backup", path(&late)?])?;
    let (kept, key, early, late) = (path(&kept)?, path(&key)?, path(&early)?, path(&late)?);

    let said = ok(&keyway, &["report", "verify", kept, "--public-key", key])?.stdout;
    assert!(said.contains("audit log of"), "{said}");
    let said = ok(&keyway, &["audit", "verify", "--public-key", key, "--against", kept])?.stdout;
    println!("{said}");
    assert!(said.contains("1 signed statements hold"), "{said}");
    let whole = ["audit", "verify", "--backup", late, "--public-key", key, "--against", kept];
    let said = ok(&keyway, &whole)?.stdout;
    assert!(said.contains("1 signed statements hold"), "{said}");

    let before = ["audit", "verify", "--backup", early, "--public-key", key, "--against", kept];
    refused(&keyway, &before, "NOT the whole log")?;
    // Another cluster's log is whole in itself, and is not this one.
    let other = Keyway::up().start()?;
    let theirs = at("theirs.pem");
    std::fs::write(&theirs, ok(&other, &["report", "public-key"])?.stdout)?;
    let theirs = path(&theirs)?;
    refused(&keyway, &["audit", "verify", "--public-key", theirs], "another key")?;
    refused(&keyway, &["audit", "verify", "--backup", late, "--public-key", theirs], "another key")?;
    ok(&other, &["client", "create", "a"])?;
    ok(&other, &["client", "create", "b"])?;
    ok(&other, &["audit", "sign"])?;
    refused(&other, &["audit", "verify", "--against", kept], "NOT the same log")?;
    // One byte of what was signed.
    let altered = at("altered.json");
    std::fs::write(&altered, std::fs::read_to_string(kept)?.replacen("revision", "revisi0n", 1))?;
    refused(&keyway, &["audit", "verify", "--against", path(&altered)?], "signature")?;
    Ok(())
}
