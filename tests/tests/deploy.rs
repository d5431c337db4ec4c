//! deploy/: the compose file, its image, the units of systemd and the chart fit what the programs take, and each passes its own
//! tool where that can run.

use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::{Planes, binary, root};
use keyway_testkit::sdk;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What stands in compose.yaml, as JSON.
fn compose() -> Outcome<Value> {
    let mut read = Command::new(sdk::python()?);
    read.arg(root().join("tests/deploy/as_json.py")).arg(root().join("deploy/compose.yaml"));
    let read = read.output()?;
    assert!(read.status.success(), "{}", String::from_utf8(read.stderr)?);
    Ok(serde_json::from_slice(&read.stdout)?)
}

fn names(of: &Value) -> impl Iterator<Item = &str> {
    of.as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str))
}

fn texts(of: &Value) -> impl Iterator<Item = &str> {
    of.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[track_caller]
fn is_pinned(image: &str) {
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
    assert!(tag.starts_with(|first: char| first.is_ascii_digit()), "{image} is not pinned");
}

#[test]
fn every_service_is_pinned_private_and_refers_to_what_is_there() -> Outcome {
    let compose = compose()?;
    let services = &compose["services"];
    let declared: BTreeSet<&str> = names(&compose["volumes"]).collect();
    let mut mounted = BTreeSet::new();
    for name in names(services) {
        let service = &services[name];
        is_pinned(service["image"].as_str().ok_or("no image")?);
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is open to the network: {port}");
        }
        for needed in names(&service["depends_on"]) {
            let other = &services[needed];
            let ends = service["depends_on"][needed]["condition"] == "service_completed_successfully";
            let can_be_waited_for =
                if ends { other["restart"] == "no" } else { other["healthcheck"].is_object() };
            assert!(can_be_waited_for, "{name} waits for {needed} for ever");
        }
        let named = texts(&service["volumes"]).filter_map(|volume| volume.split_once(':'));
        mounted.extend(named.map(|(volume, _)| volume));
        if let Some(file) = service["build"]["dockerfile"].as_str() {
            assert!(root().join(file).is_file(), "{file}");
        }
    }
    assert_eq!(mounted, declared);
    Ok(())
}

#[test]
fn planes_find_each_other_and_know_every_variable_that_they_are_given() -> Outcome {
    let compose = compose()?;
    let services = &compose["services"];
    let mut planes = BTreeSet::new();
    for name in names(services) {
        let service = &services[name];
        let program = service["command"][0].as_str().unwrap_or_default();
        if !program.starts_with("keyway-") {
            continue;
        }
        planes.insert(program);
        assert!(service["healthcheck"]["test"].is_array(), "{name}");
        knows(program, names(&service["environment"]))?;
        let endpoint = service["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].as_str().unwrap_or_default();
        let collector = endpoint.strip_prefix("http://").and_then(|at| at.strip_suffix(":4317"));
        assert!(services[collector.unwrap_or_default()].is_object(), "{name}: {endpoint}");
    }
    assert_eq!(planes, ["keyway-controlplane", "keyway-dataplane"].into());
    let control = &services["controlplane"]["environment"];
    let (name, port) =
        control["KEYWAY_FLEET_NAME"].as_str().and_then(|name| name.split_once(':')).ok_or("no name")?;
    assert!(services[name].is_object(), "{name}");
    assert_eq!(control["KEYWAY_FLEET_LISTEN"], format!("0.0.0.0:{port}"));
    // Nothing of it is of one container alone, so that there can be several: one port of a range for each.
    let data = &services["dataplane"];
    assert_eq!(data["environment"]["KEYWAY_LISTEN"], "0.0.0.0:8585");
    assert_eq!(texts(&data["ports"]).collect::<Vec<_>>(), ["127.0.0.1:8585-8594:8585"]);
    assert!(data["container_name"].is_null() && data["environment"]["KEYWAY_REPLICA_ID"].is_null());
    Ok(())
}

/// That the program's help names each of these variables, and that none is a secret.
fn knows<'a>(program: &str, variables: impl Iterator<Item = &'a str>) -> Outcome {
    let help = Command::new(binary(program)?).arg("--help").env_clear().output()?;
    // Its lines are broken anywhere.
    let help = String::from_utf8(help.stdout)?.split_whitespace().collect::<Vec<_>>().join(" ");
    for variable in variables {
        assert!(help.contains(&format!("[env: {variable}=")), "{program} does not know {variable}");
        let is_secret = ["_TOKEN", "_KEY"].iter().any(|end| variable.ends_with(end));
        assert!(!is_secret || variable == "KEYWAY_TLS_KEY", "{program}: {variable}");
    }
    Ok(())
}

#[test]
fn compose_itself_reads_it() -> Outcome {
    let file = root().join("deploy/compose.yaml");
    for (program, verb) in [("docker", Some("compose")), ("docker-compose", None)] {
        let there = Command::new(program).args(verb).args(["version", "--short"]).output();
        // The first one reads files of before there was a specification.
        let is_new = |said: &[u8]| said.trim_ascii().strip_prefix(b"v").unwrap_or(said).first() > Some(&b'1');
        if !there.is_ok_and(|there| there.status.success() && is_new(&there.stdout)) {
            continue;
        }
        let read =
            Command::new(program).args(verb).arg("--file").arg(&file).args(["config", "--quiet"]).output()?;
        assert!(read.status.success(), "{}", String::from_utf8(read.stderr)?);
        return Ok(());
    }
    println!("NOT TESTED: `docker compose` 2 is not here");
    Ok(())
}

/// The lines of a unit without its comments.
fn unit(name: &str) -> Outcome<String> {
    let text = std::fs::read_to_string(root().join("deploy/systemd").join(name))?;
    Ok(text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect())
}

#[test]
fn units_start_what_there_is_and_give_it_time_to_end() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (name, grace) in
        [("keyway.service", 30), ("keyway-controlplane.service", 5), ("keyway-dataplane.service", 120)]
    {
        let text = unit(name)?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.ok_or_else(|| format!("{name}: no {key}"))
        };
        let start = value("ExecStart")?;
        let (path, args) = start.split_once(' ').unwrap_or((start, ""));
        let program = path.rsplit('/').next().unwrap_or_default();
        let help = Command::new(binary(program)?)
            .args(args.split_whitespace().take_while(|arg| !arg.starts_with('-')))
            .arg("--help")
            .output()?;
        let help = String::from_utf8(help.stdout)?;
        for flag in args.split_whitespace().filter(|arg| arg.starts_with("--")) {
            assert!(help.contains(flag), "{program} does not know {flag}");
        }
        assert!(value("TimeoutStopSec")?.parse::<u32>()? > grace, "{name}");
        // Where systemd looks for it, it is not on this machine.
        std::fs::write(
            folder.path().join(name),
            text.replace(path, &binary(program)?.display().to_string()),
        )?;
        if Command::new("systemd-analyze").arg("--version").output().is_err() {
            println!("NOT TESTED: systemd-analyze is not here");
            continue;
        }
        let verified =
            Command::new("systemd-analyze").arg("verify").arg(folder.path().join(name)).output()?;
        let said = String::from_utf8(verified.stderr)?;
        let of_ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(verified.status.success() && of_ours.is_empty(), "{said}");
    }
    assert!(unit("keyway-dataplane.service")?.contains("ExecReload=/bin/kill -HUP $MAINPID"));
    Ok(())
}

/// The chart with these settings, as objects.
fn chart(helm: &Path, set: &str) -> Outcome<(tempfile::NamedTempFile, Vec<Value>)> {
    let mut render = Command::new(helm);
    render.args(["template", "demo"]).arg(root().join("deploy/helm/keyway")).args(["--set", set]);
    let rendered = render.output()?;
    assert!(rendered.status.success(), "{}", String::from_utf8(rendered.stderr)?);
    let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    std::fs::write(file.path(), &rendered.stdout)?;
    let read = Command::new(sdk::python()?)
        .arg(root().join("tests/deploy/all_as_json.py"))
        .arg(file.path())
        .output()?;
    assert!(read.status.success(), "{}", String::from_utf8(read.stderr)?);
    Ok((file, serde_json::from_slice(&read.stdout)?))
}

#[test]
fn the_chart_is_sound_and_its_planes_know_what_they_are_given() -> Outcome {
    let tools = root().join("target/deploy");
    let helm = tools.join("helm");
    if !helm.is_file() {
        println!("NOT TESTED: {} is not here; run `cargo xtask test --only sdks`", helm.display());
        return Ok(());
    }
    let lint =
        Command::new(&helm).args(["lint", "--strict"]).arg(root().join("deploy/helm/keyway")).output()?;
    assert!(lint.status.success(), "{}", String::from_utf8(lint.stdout)?);
    let all = "controlplane.tlsSecret=a,controlplane.rootKeySecret=b,controlplane.config=x,dataplane.tlsSecret=c,dataplane.autoscaling.enabled=false";
    for set in ["", all] {
        let (file, objects) = chart(&helm, set)?;
        let mut validate = Command::new(tools.join("venv/bin/kubernetes-validate"));
        let valid = validate.args(["--strict", "-k", "1.33"]).arg(file.path()).output()?;
        assert!(valid.status.success(), "{}", String::from_utf8(valid.stdout)?);
        let kinds: BTreeSet<&str> = objects.iter().filter_map(|one| one["kind"].as_str()).collect();
        let wanted = ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"];
        assert!(wanted.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
        assert_eq!(kinds.contains("HorizontalPodAutoscaler"), set.is_empty());
        for object in objects
            .iter()
            .filter(|one| ["Deployment", "StatefulSet"].contains(&one["kind"].as_str().unwrap_or_default()))
        {
            pod(&object["spec"]["template"]["spec"])?;
        }
    }
    Ok(())
}

/// That a pod runs a program with variables that it knows, as nobody in particular, and has time to end.
fn pod(pod: &Value) -> Outcome {
    let container = &pod["containers"][0];
    let program = container["command"][0].as_str().ok_or("no command")?;
    let variables = container["env"].as_array().ok_or("no variables")?;
    knows(program, variables.iter().filter_map(|one| one["name"].as_str()))?;
    let value = |name: &str| {
        let one = variables.iter().find(|one| one["name"] == name)?;
        one["value"].as_str()?.parse::<u64>().ok()
    };
    let (patience, before) =
        (&pod["terminationGracePeriodSeconds"], &container["lifecycle"]["preStop"]["exec"]["command"][1]);
    let before = before.as_str().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    assert!(
        patience.as_u64().ok_or("no patience")? > value("KEYWAY_DRAIN_GRACE").unwrap_or(5) + before,
        "{program}"
    );
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{program}");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{program}");
    assert_eq!(pod["automountServiceAccountToken"], false, "{program}");
    assert!(container["readinessProbe"].is_object() && container["livenessProbe"].is_object(), "{program}");
    Ok(())
}

#[test]
fn the_image_is_pinned_and_holds_every_program() -> Outcome {
    let file = std::fs::read_to_string(root().join("deploy/docker/Dockerfile"))?;
    let images: Vec<&str> = file
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .filter_map(|from| from.split(' ').next())
        .collect();
    assert_eq!(images.len(), 2);
    images.into_iter().for_each(is_pinned);
    for program in ["keyway", "keyway-controlplane", "keyway-dataplane"] {
        assert!(file.contains(&format!("/src/target/release/{program} ")), "{program}");
    }
    Ok(())
}

#[tokio::test]
async fn its_healthchecks_tell_a_plane_that_serves_from_one_that_does_not() -> Outcome {
    let mut planes = Planes::start("{}\n", 1)?;
    let list = planes.cli(&["fleet", "list"])?;
    assert_eq!(list.code, Some(0), "{list:?}");
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    let port = replica.ops_url.rsplit_once(':').map(|(_, port)| port.to_owned()).ok_or("no port")?;
    let ready = || Command::new(root().join("deploy/docker/ready")).arg(&port).output();
    let there = ready()?;
    assert!(there.status.success(), "{there:?}");
    replica.process.stop()?;
    assert!(!ready()?.status.success(), "a plane that has ended is ready");
    Ok(())
}
