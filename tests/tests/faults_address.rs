//! Which addresses the gateway connects to: U24 of the list of faults. Names are given addresses by a hosts file of
//! our own, mounted over /etc/hosts in a mount namespace that only the gateway under test lives in.

use std::process::Command;

use keyway_e2e::expect::{anthropic_reason, openai_reason};
use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, MESSAGES, Outcome, TOKEN, chat, streamed};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::Provider;

/// Mounts the folder's `hosts` over /etc/hosts, then becomes its arguments.
const WITH_HOSTS: &str = "mount --bind ./hosts /etc/hosts && exec \"$@\"";

fn provider(name: &str, base: &str, more: &str) -> String {
    format!(
        "  {name}: {{ dialect: openai-chat, base_url: \"{base}\", timeouts: {{ connect: 300ms }}, \
         keys: [{{ name: main, secret: {MAIN_KEY} }}]{more} }}\n"
    )
}

fn yaml(providers: &str) -> String {
    format!("providers:\n{providers}clients:\n  tester: {{ token: {TOKEN} }}\n")
}

/// The arguments of `unshare` that give a mount namespace here: as root, else through a user namespace.
fn unshare() -> Outcome<&'static str> {
    let works = |flag: &str| {
        Command::new("unshare").args([flag, "true"]).status().is_ok_and(|status| status.success())
    };
    let flag = ["-m", "-rm"].into_iter().find(|flag| works(flag));
    Ok(flag.ok_or(
        "this test needs `unshare -m` (root) or `unshare -rm` (user namespaces), and neither works here",
    )?)
}

fn start(hosts: &str, providers: &str) -> Outcome<Gateway> {
    let flag = unshare()?;
    Gateway::of(
        Keyway::up()
            .config(yaml(providers))
            .file("hosts", format!("127.0.0.1 localhost\n{hosts}"))
            .under(&["unshare", flag, "sh", "-c", WITH_HOSTS, "sh"]),
    )
}

async fn refused(gateway: &Gateway, name: &str) -> Outcome {
    for body in [chat(&format!("{name}/m")), streamed(&format!("{name}/m"))] {
        let answer = gateway.ask(CHAT, &body).await?;
        openai_reason(&answer, 502, "upstream_error", "upstream_address_refused");
        for address in ["127.0.0.1", "169.254", "::1"] {
            assert!(!answer.text().contains(address), "{name}: an address: {}", answer.text());
        }
    }
    Ok(())
}

#[tokio::test]
async fn u24_a_public_name_that_leads_inside_is_refused_and_private_networks_are_asked_for() -> Outcome {
    let inside = Provider::start()?;
    let port = inside.address().port();
    let url = |host: &str| format!("http://{host}:{port}/v1");
    let private = ", network: private";
    let providers = [
        provider("rebound", &url("api.rebind.example"), ""),
        provider("asked", &url("api.rebind.example"), private),
        provider("single", &url("inner-host"), ""),
        provider("internal", &url("api.corp.internal"), ""),
        provider("svc", &url("models.default.svc"), ""),
        provider("local", &url("box.local"), ""),
        provider("localhost", &url("localhost"), ""),
        provider("literal", &url("127.0.0.1"), ""),
    ]
    .concat();
    let names = "api.rebind.example inner-host api.corp.internal models.default.svc box.local";
    let gateway = start(&format!("127.0.0.1 {names}\n"), &providers)?;
    refused(&gateway, "rebound").await?;
    assert_eq!(inside.connections(), 0, "it was connected to");
    for name in ["asked", "single", "internal", "svc", "local", "localhost", "literal"] {
        let answer = gateway.ask(CHAT, &chat(&format!("{name}/m"))).await?;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    // A connection that another provider opened to the same address must not serve the refused one.
    refused(&gateway, "rebound").await?;
    assert_eq!(inside.requests(), 7);
    Ok(())
}

#[tokio::test]
async fn u24_link_local_and_metadata_addresses_are_never_connected_to() -> Outcome {
    let private = ", network: private";
    let providers = [
        provider("literal", "http://169.254.169.254/v1", ""),
        provider("asked", "http://169.254.169.254/v1", private),
        provider("mapped", "http://[::ffff:169.254.169.254]/v1", private),
        provider("six", "http://[fe80::1]/v1", private),
        provider("zero", "http://0.0.0.0:1/v1", private),
        provider("named", "http://metadata.rebind.example/v1", private),
        provider("internal", "http://metadata.google.internal/v1", ""),
    ]
    .concat();
    let gateway = start("169.254.169.254 metadata.rebind.example metadata.google.internal\n", &providers)?;
    for name in ["literal", "asked", "mapped", "six", "zero", "named", "internal"] {
        refused(&gateway, name).await.map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn u24_a_name_whose_address_flips_is_judged_again() -> Outcome {
    let inside = Provider::start()?;
    let base = format!("http://flip.rebind.example:{}/v1", inside.address().port());
    let claude = format!(
        "  claude:\n    dialect: anthropic-messages\n    base_url: \"{base}\"\n    auth: {{ header: x-api-key }}\n    \
         timeouts: {{ connect: 300ms }}\n    keys: [{{ name: main, secret: {MAIN_KEY} }}]\n"
    );
    // 192.0.2.1 is set aside for documents: public by its class, and nobody answers there.
    let gateway = start("192.0.2.1 flip.rebind.example\n", &(provider("flip", &base, "") + &claude))?;
    let before = gateway.ask(CHAT, &chat("flip/m")).await?;
    assert!([502, 504].contains(&before.status), "{}", before.text());
    assert!(!before.text().contains("upstream_address_refused"), "{}", before.text());
    gateway.keyway.write("hosts", "127.0.0.1 localhost flip.rebind.example\n")?;
    refused(&gateway, "flip").await?;
    let answer = gateway.ask(MESSAGES, &chat("claude/m")).await?;
    anthropic_reason(&answer, 502, "api_error", "upstream_address_refused");
    assert_eq!(inside.connections(), 0, "it was connected to");
    Ok(())
}
