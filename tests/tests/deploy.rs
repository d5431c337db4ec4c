//! deploy/compose.yaml and its image fit what the programs take, as far as can be seen without Docker.

use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::{Planes, binary, root};
use keyway_testkit::sdk;
use serde_json::Value;
use std::collections::BTreeSet;
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
        mounted.extend(texts(&service["volumes"]).filter_map(|volume| volume.split(':').next()));
        if let Some(file) = service["build"]["dockerfile"].as_str() {
            assert!(root().join(file).is_file(), "{file}");
        }
    }
    assert_eq!(mounted, declared);
    Ok(())
}

#[test]
fn planes_share_one_network_and_know_every_variable_that_they_are_given() -> Outcome {
    let compose = compose()?;
    let services = &compose["services"];
    let mut planes = 0;
    for name in names(services) {
        let service = &services[name];
        let program = service["command"][0].as_str().unwrap_or_default();
        if !program.starts_with("keyway-") {
            continue;
        }
        planes += 1;
        assert_eq!(service["network_mode"], "service:network", "{name}");
        assert!(service["healthcheck"]["test"].is_array(), "{name}");
        let help = Command::new(binary(program)?).arg("--help").env_clear().output()?;
        // Its lines are broken anywhere.
        let help = String::from_utf8(help.stdout)?.split_whitespace().collect::<Vec<_>>().join(" ");
        for variable in names(&service["environment"]) {
            assert!(help.contains(&format!("[env: {variable}=")), "{program} does not know {variable}");
            assert!(!variable.ends_with("_TOKEN") && !variable.ends_with("_KEY"), "{name}: {variable}");
        }
        let endpoint = service["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"].as_str().unwrap_or_default();
        let collector = endpoint.strip_prefix("http://").and_then(|at| at.strip_suffix(":4317"));
        assert!(services[collector.unwrap_or_default()].is_object(), "{name}: {endpoint}");
        // Published where it listens.
        let listen = service["environment"]["KEYWAY_LISTEN"].as_str();
        if let Some((_, port)) = listen.and_then(|at| at.rsplit_once(':')) {
            let published = format!("127.0.0.1:{port}:{port}");
            assert!(
                texts(&services["network"]["ports"]).any(|port| port == published),
                "{name}: {published}"
            );
        }
    }
    assert_eq!(planes, 3);
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
