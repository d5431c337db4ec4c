//! `keyway doctor` names each of ten and more faults that are planted in a running fleet, and says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyway_e2e::fleet::{PATIENCE, admin, ask, settled, simulated, yaml};
use keyway_e2e::frozen::Frozen;
use keyway_e2e::gateway::{MAIN_KEY, Outcome, TOKEN};
use keyway_e2e::tmpfs::Tmpfs;
use keyway_e2e::{faketime, rotation::secret};
use keyway_testkit::process::{Planes, Ran};
use keyway_testkit::provider::Provider;
use serde_json::{Value, json};

const DISK_MIB: u32 = 64;
/// Of the disk, when it is nearly full.
const FREE_PERCENT: u64 = 12;
const DEAD_KEY: &str = "sk-sim-dead-0123456789abcdef";
const DAMAGED_KEY: &str = "sk-sim-damaged-0123456789abcdef";
const LOOK: Duration = Duration::from_millis(200);

/// A fault: what it is, and the area, level and words of its finding.
type Planted = (&'static str, [&'static str; 3]);

/// One that the doctor of a running control plane is to name.
const PLANTED: [Planted; 9] = [
    ("a damaged index", ["store", "warn", "was put right"]),
    ("a token that others can read", ["token", "fail", "admin.token"]),
    ("a key that its provider refuses", ["keys", "warn", "dead/main"]),
    ("a key that was never proven", ["keys", "warn", "could not say whether version 2 of sim/main is good"]),
    ("a sealed secret that was altered", ["keys", "fail", "version 1 of damaged/main is withheld"]),
    ("a replica that hangs", ["replicas", "fail", "replica-3 is connected and said nothing"]),
    ("a replica that died", ["replicas", "warn", "replica-2 is away"]),
    (
        "a replica that refuses the state",
        ["replicas", "fail", "sim~0 refused what is in force: client/tester"],
    ),
    ("a setting without effect", ["configuration", "warn", "cache"]),
];
const SEALED: Planted = ("a control plane that is sealed", ["seal", "fail", "root.key"]);
/// Two that this machine may not let us plant.
const FULL: Planted = ("a disk that is nearly full", ["store", "warn", "% of its disk is free"]);
const CLOCK: Planted = ("a clock that is wrong", ["clock", "fail", "that of this machine is"]);

fn has(findings: &[Value], (_, [area, level, words]): &Planted) -> bool {
    let text =
        |one: &Value, field: &str| one.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    findings.iter().any(|one| {
        text(one, "area") == *area
            && text(one, "level") == *level
            && text(one, "what").contains(words)
            && !text(one, "what_to_do").is_empty()
    })
}

/// What `keyway doctor` finds, with these variables in its environment.
fn doctor(planes: &Planes, variables: &[(&str, &str)]) -> Outcome<Vec<Value>> {
    let home = planes.data_dir().display().to_string();
    let variables = [&[("KEYWAY_HOME", home.as_str())], variables].concat();
    let ran = Ran::of(planes.begin(&["doctor", "--output", "json"], &variables)?)?;
    let said: Value = serde_json::from_str(&ran.stdout).map_err(|why| format!("{why}: {ran:?}"))?;
    Ok(said.get("findings").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// Looks until each of these was named; one that hangs is lost some seconds later, and then called so.
#[expect(clippy::print_stdout, reason = "says which faults were named")]
async fn named(planes: &Planes, variables: &[(&str, &str)], wanted: &[Planted]) -> Outcome {
    let end = Instant::now() + PATIENCE;
    let mut missing = wanted.to_vec();
    loop {
        let found = doctor(planes, variables)?;
        missing.retain(|one| !has(&found, one));
        if missing.is_empty() {
            wanted.iter().for_each(|(what, _)| println!("named: {what}"));
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("not named: {missing:?}\n{}", json!(found)).into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Fills the disk until so little is free.
fn fill(disk: &Path) -> Outcome {
    let mut file = fs::File::create(disk.join("ballast"))?;
    let piece = vec![0; 256 << 10];
    loop {
        let space = rustix::fs::statvfs(disk)?;
        if space.f_bavail * 100 <= space.f_blocks * FREE_PERCENT {
            return Ok(());
        }
        file.write_all(&piece)?;
    }
}

/// The file of the fleet: beside `sim` a provider whose key is dead, and with `more` in its section of providers.
fn file(provider: &Provider, more: &str) -> String {
    let dead = of(provider, "dead", DEAD_KEY);
    let yaml = yaml(provider, "").replacen("clients:\n", &format!("{dead}{more}clients:\n"), 1);
    yaml.replace("[\"sim/*\", \"sandbox/*\"]", "[\"sim/*\", \"sandbox/*\", \"dead/*\"]")
}

fn of(provider: &Provider, name: &str, key: &str) -> String {
    let base = provider.base_url();
    format!(
        "  {name}: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{{ name: main, secret: {key} }}] }}\n"
    )
}

fn apply(planes: &Planes, yaml: &str) -> Outcome {
    let path = planes.folder().join("applied.yaml");
    fs::write(&path, yaml)?;
    let ran = planes.cli(&["apply", "-f", &path.display().to_string()])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(())
}

/// Every sealed secret's file.
fn sealed(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sealed(&path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

/// Adds a provider, and gives the file that its secret is sealed in.
fn sealed_of(planes: &Planes, yaml: &str) -> Outcome<PathBuf> {
    let vault = planes.data_dir().join("vault/secrets");
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    sealed(&vault, &mut before)?;
    apply(planes, yaml)?;
    sealed(&vault, &mut after)?;
    Ok(after.difference(&before).next().cloned().ok_or("no new sealed file")?)
}

/// What stands in the file without effect, and keys that are bad or in doubt.
async fn spoil(planes: &Planes, provider: &Provider) -> Outcome {
    apply(planes, "cache: { enabled: true }\n")?;
    let replica = planes.replicas.first().ok_or("no replica")?;
    provider.refuse_key(DEAD_KEY, 401);
    assert_eq!(ask(replica, "dead/m").await?.status, 502);
    // Whatever is asked with it, a list of models too: that says nothing of the key.
    let new = secret(1);
    provider.refuse_key(&new, 429);
    let args = ["key", "rotate", "sim/main", "--from-env", "NEW_KEY", "--output", "json"];
    let ran = Ran::of(planes.begin(&args, &[("NEW_KEY", &new)])?)?;
    assert!(ran.code == Some(0) && ran.stdout.contains("unproven"), "{ran:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_names_each_of_ten_planted_faults() -> Outcome {
    let provider = Provider::start()?;
    let disk = Tmpfs::mount(DISK_MIB)?;
    let setup = Planes::of(file(&provider, ""));
    let mut planes = match &disk {
        Some(disk) => setup.data_dir(disk.path().join("home")),
        None => setup,
    }
    .start(3)?;
    planes.configure(None)?;
    settled(&admin(&planes)?, 3).await?;
    let well = doctor(&planes, &[])?;
    let early: Vec<_> = PLANTED.iter().chain([&CLOCK]).filter(|one| has(&well, one)).collect();
    assert!(early.is_empty(), "named before it was planted: {early:?}");

    let secret = sealed_of(&planes, &file(&provider, &of(&provider, "damaged", DAMAGED_KEY)))?;
    planes.control.kill()?;
    let mut bytes = fs::read(&secret)?;
    bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
    fs::write(&secret, bytes)?;
    fs::remove_file(planes.data_dir().join("store/index/db"))?;
    planes.start_control()?;
    settled(&admin(&planes)?, 3).await?;
    spoil(&planes, &provider).await?;
    fs::set_permissions(planes.data_dir().join("admin.token"), PermissionsExt::from_mode(0o644))?;
    let _refusing = simulated(&planes, &["--refuse"])?;
    let frozen = Frozen::new(planes.replicas.get(2).ok_or("no replica")?.process.pid())?;
    planes.replicas.get_mut(1).ok_or("no replica")?.process.kill()?;
    named(&planes, &[], &PLANTED).await?;
    match &disk {
        Some(disk) => {
            fill(disk.path())?;
            named(&planes, &[], &[FULL]).await?;
            fs::remove_file(disk.path().join("ballast"))?;
        }
        None => println!("NOT TESTED: a full disk needs root, who may mount a small one"),
    }
    match faketime::library() {
        Some(library) => {
            let library = library.display().to_string();
            let ahead = [("LD_PRELOAD", library.as_str()), ("FAKETIME", "+10m")];
            named(&planes, &ahead, &[CLOCK]).await?;
        }
        None => println!("NOT TESTED: a wrong clock needs libfaketime (Debian: faketime)"),
    }
    drop(frozen);
    planes.control.stop()?;
    fs::rename(planes.data_dir().join("root.key"), planes.data_dir().with_file_name("root.key"))?;
    planes.start_control()?;
    named(&planes, &[], &[SEALED]).await?;
    for one in [MAIN_KEY, DEAD_KEY, DAMAGED_KEY, TOKEN] {
        assert!(!json!(doctor(&planes, &[])?).to_string().contains(one), "a secret in a finding");
    }
    Ok(())
}
