//! Keyway, with all that stands between a caller and a provider: a client token, a provider key, a known price.

use super::{Kind, Launch, bearer};
use crate::bench::{
    Outcome,
    process::{self, OTHER_CORE, Running, SUBJECT_CORE},
    stage::{Stage, free_address},
};
use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Opens nothing but the simulated provider.
const CLIENT_TOKEN: &str = "bench-client-token-0123456789abcdef";
const PROVIDER_KEY: &str = "sk-bench-0123456789abcdefghijklmnopqrstuv";
/// A hundred thousand clients take their time.
const CONTROL_PLANE_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// The data plane of these binaries alone. Its control plane runs on the other core, where it only sends heartbeats.
pub(super) fn data_plane(stage: &Stage, kind: Kind, binaries: &Path) -> Outcome<Launch> {
    let (admin, fleet, addr) = (free_address()?, free_address()?, free_address()?);
    let folder = folder(stage, kind.name())?;
    let mut control_plane = clean(OTHER_CORE, &binaries.join("keyway-controlplane"), &folder);
    control_plane.arg("--config").arg(configuration(stage)?);
    control_plane.args(["--admin-listen", &admin.to_string(), "--fleet-listen", &fleet.to_string()]);
    let ready = folder.join("ready.json");
    control_plane.arg("--ready-file").arg(&ready);
    let log = folder.join("controlplane.log");
    let mut beside = Running::start(control_plane, &log)?;
    until_ready(&mut beside, &ready, &log)?;
    let token = join_token(&binaries.join("keyway"), &folder, admin)?;
    let mut command = clean(SUBJECT_CORE, &binaries.join("keyway-dataplane"), &folder);
    command.args(["--listen", &addr.to_string(), "--ops-listen", "127.0.0.1:0"]);
    command.args(["--fleet-url", &format!("https://{fleet}")]).arg("--join-token-file").arg(token);
    Ok(Launch { command, addr, headers: vec![bearer(CLIENT_TOKEN)], beside: vec![beside] })
}

/// The file with which the data plane joins.
fn join_token(keyway: &Path, folder: &Path, admin: SocketAddr) -> Outcome<PathBuf> {
    let token = folder.join("join.token");
    let mut command = clean(OTHER_CORE, keyway, folder);
    command.args(["join-token", "create", "--server", &format!("http://{admin}"), "--out"]).arg(&token);
    let ran = command.output()?;
    if ran.status.success() { Ok(token) } else { Err(String::from_utf8(ran.stderr)?.into()) }
}

/// Both planes in one process.
pub(super) fn up(stage: &Stage) -> Outcome<Launch> {
    let addr = free_address()?;
    let folder = folder(stage, "keyway-up")?;
    let mut command = clean(SUBJECT_CORE, &stage.binary("keyway"), &folder);
    command.args(["up", "--listen", &addr.to_string()]).arg("--config").arg(configuration(stage)?);
    for option in ["--ops-listen", "--admin-listen", "--fleet-listen"] {
        command.args([option, "127.0.0.1:0"]);
    }
    Ok(Launch { command, addr, headers: vec![bearer(CLIENT_TOKEN)], beside: Vec::new() })
}

/// A catalogue provider at the simulator's address: the reply is priced, as with the real one.
fn configuration(stage: &Stage) -> Outcome<PathBuf> {
    let file = stage.file("keyway.yaml");
    let upstream = stage.upstream;
    let mut text = format!(
        "providers:
  openai: {{ base_url: \"http://{upstream}\", api_key: {PROVIDER_KEY} }}
clients:
  bench: {{ token: {CLIENT_TOKEN} }}
"
    );
    for number in 0..stage.clients {
        writeln!(text, "  idle-{number:06}: {{ token: bench-idle-client-token-{number:06} }}")?;
    }
    fs::write(&file, text)?;
    Ok(file)
}

/// A fresh folder for what the processes keep.
fn folder(stage: &Stage, name: &str) -> Outcome<PathBuf> {
    let folder = stage.file(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    Ok(folder)
}

/// No setting of the one who runs the bench gets in.
fn clean(core: usize, program: &Path, home: &Path) -> Command {
    let mut command = process::pinned(core, program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", home).env("KEYWAY_HOME", home).current_dir(home);
    command
}

fn until_ready(control_plane: &mut Running, ready: &Path, log: &Path) -> Outcome<()> {
    let asked = Instant::now();
    while !ready.exists() {
        if control_plane.is_over() || asked.elapsed() > CONTROL_PLANE_LIMIT {
            return Err(format!("its control plane does not start: {}", process::last_words(log)).into());
        }
        thread::sleep(POLL);
    }
    Ok(())
}
