//! Resources in, answers out.

mod changed;

use crate::{Invalid, Refused, Resolved, Snapshot, Version};
use bytes::Bytes;
use keyway_proto::snapshot::v1::{self as wire, Kind, Resource};
use prost::Message;

fn resource(kind: Kind, name: &str, body: &impl Message) -> Resource {
    Resource {
        kind: kind as i32,
        name: name.to_owned(),
        body: Bytes::from(body.encode_to_vec()),
        ..Resource::default()
    }
}

fn settings() -> Resource {
    let settings = wire::Settings {
        digest_key: vec![7; 32],
        body_limit: 1 << 20,
        bodies_in_flight_limit: 1 << 24,
        ..wire::Settings::default()
    };
    resource(Kind::Settings, "settings", &settings)
}

fn provider(name: &str, base_url: &str, offers: &[&str]) -> Resource {
    let surface = wire::Surface {
        dialect: wire::Dialect::OpenaiChat as i32,
        base_url: base_url.to_owned(),
        ..wire::Surface::default()
    };
    let body = wire::Provider {
        name: name.to_owned(),
        surfaces: vec![surface],
        auth: Some(wire::Auth {
            scheme: wire::AuthScheme::Header as i32,
            name: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
            ..wire::Auth::default()
        }),
        offers: offers
            .iter()
            .map(|id| wire::Offer { id: (*id).to_owned(), ..wire::Offer::default() })
            .collect(),
        ..wire::Provider::default()
    };
    resource(Kind::Provider, name, &body)
}

fn alias(name: &str, targets: &[(&str, &str)], fallback: &[&str]) -> Resource {
    let targets = targets.iter().map(|(provider, model)| wire::Target {
        provider: (*provider).to_owned(),
        model: (*model).to_owned(),
        weight: 1,
        priority: 0,
    });
    let body = wire::Model {
        name: name.to_owned(),
        targets: targets.collect(),
        fallback: fallback.iter().map(|name| (*name).to_owned()).collect(),
        ..wire::Model::default()
    };
    resource(Kind::Model, name, &body)
}

fn client(name: &str, models: &[&str]) -> Resource {
    let body = wire::Client {
        name: name.to_owned(),
        state: wire::ClientState::Enabled as i32,
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        ..wire::Client::default()
    };
    resource(Kind::Client, name, &body)
}

fn build(resources: &[Resource]) -> Result<Snapshot, Invalid> {
    let all: Vec<Resource> = [settings()].into_iter().chain(resources.iter().cloned()).collect();
    Snapshot::build(Version { epoch: 1, counter: 1 }, &all)
}

fn label(snapshot: &Snapshot, client: &str, asked: &str) -> Result<String, Refused> {
    let client = snapshot.clients.by_name(client).unwrap();
    snapshot.resolve(client, asked).map(|resolved| match resolved {
        Resolved::Alias(alias) => format!("alias {}", alias.name),
        Resolved::Target(target) => target.label.to_string(),
    })
}

#[test]
fn names_by_the_rules() {
    let snapshot = build(&[
        provider("openai", "https://api.openai.com/v1", &["gpt-4o", "gpt-4o-mini", "shared"]),
        provider("openrouter", "https://openrouter.ai/api/v1", &["openai/gpt-4o", "meta/llama", "shared"]),
        alias("fast", &[("openai", "gpt-4o-mini")], &["smart"]),
        alias("smart", &[("openai", "gpt-4o")], &["fast"]),
        client("all", &["*"]),
        client("narrow", &["fast", "openai/gpt-4o"]),
    ])
    .unwrap();
    for (asked, gives) in [
        ("fast", "alias fast"),
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("openai/never-heard-of", "openai/never-heard-of"),
        ("gpt-4o", "openai/gpt-4o"),
        ("meta/llama", "openrouter/meta/llama"),
        ("openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o"),
    ] {
        assert_eq!(label(&snapshot, "all", asked).as_deref(), Ok(gives), "{asked}");
    }
    assert!(matches!(label(&snapshot, "all", "shared"), Err(Refused::Ambiguous { .. })));
    assert!(matches!(label(&snapshot, "all", "nothing"), Err(Refused::Unknown { .. })));
    assert!(matches!(label(&snapshot, "narrow", "openai/gpt-4o-mini"), Err(Refused::NotAllowed { .. })));
    assert_eq!(label(&snapshot, "narrow", "gpt-4o").as_deref(), Ok("openai/gpt-4o"), "by the resolved name");
    for asked in ["gpt-4", "GPT-4O"] {
        let Err(Refused::Unknown { nearest, .. }) = label(&snapshot, "narrow", asked) else { panic!() };
        assert_eq!(nearest, ["openai/gpt-4o"], "{asked}: only what the client may use");
    }
}

#[test]
fn fallbacks_are_followed_once() {
    let snapshot = build(&[
        provider("p", "http://localhost:1/v1", &[]),
        alias("fast", &[("p", "a")], &["smart"]),
        alias("smart", &[("p", "b")], &["fast", "p/c"]),
    ])
    .unwrap();
    let groups = snapshot.groups(&snapshot.lookup("fast").unwrap());
    assert_eq!(groups.len(), 3, "{groups:?}");
}

#[test]
fn a_bad_resource_names_itself() {
    let refused = build(&[alias("fast", &[("nobody", "x")], &[])]).unwrap_err();
    assert_eq!(refused.to_string(), "model/fast: targets[0].provider: no such provider");
    let refused = build(&[provider("p", "ftp://x", &[])]).unwrap_err();
    assert_eq!(refused.field, "surfaces[0].base_url");
}

#[test]
fn urls_are_put_together_once() {
    let snapshot = build(&[provider("p", "https://h.example:8443/base/v1", &[])]).unwrap();
    let surface = &snapshot.providers["p"].surfaces[0];
    let url = surface.url(wire::Endpoint::ChatCompletions, true).unwrap();
    assert_eq!(url.path.as_str(), "/base/v1/chat/completions");
    assert_eq!((url.origin.tls, &*url.origin.host, url.origin.port), (true, "h.example", 8443));
    assert_eq!(url.origin.authority, "h.example:8443");
}

#[test]
fn key_pairs_let_in_like_tokens_and_are_nobody_else_s() {
    let client = |name: &str, id: &str, secret: &str| {
        let pair = wire::KeyPair { access_key_id: id.to_owned(), secret_access_key: secret.to_owned() };
        let state = wire::ClientState::Enabled as i32;
        let body =
            wire::Client { name: name.to_owned(), state, sigv4: vec![pair], ..wire::Client::default() };
        resource(Kind::Client, name, &body)
    };
    let old = build(&[client("a", "KEY1", "s1"), client("b", "KEY2", "s2")]).unwrap();
    let pair = old.clients.by_access_key("KEY1").unwrap();
    assert_eq!((pair.secret.expose(), old.clients.by_access_key("KEY3").is_none()), (&b"s1"[..], true));
    assert_eq!(&*old.clients.by_digest(&pair.digest).unwrap().name, "a");
    let newer = build(&[client("a", "KEY1", "another"), client("b", "KEY2", "s2")]).unwrap();
    let revoked: Vec<_> = old.clients.revoked_in(&newer.clients).collect();
    assert_eq!(revoked, [&pair.digest], "its secret is another one");
    for (resources, field) in [
        ([client("a", "KEY1", "s1"), client("b", "KEY1", "s2")], "sigv4.access_key_id"),
        ([client("a", "KEY1", ""), client("b", "KEY2", "s2")], "sigv4"),
    ] {
        assert_eq!(build(&resources).unwrap_err().field, field);
    }
}

#[test]
fn tokens_that_no_longer_let_anybody_in() {
    let client = |name: &str, state: wire::ClientState, tokens: &[u8]| {
        let body = wire::Client {
            name: name.to_owned(),
            state: state as i32,
            token_digests: tokens.iter().map(|byte| vec![*byte; 32]).collect(),
            ..wire::Client::default()
        };
        resource(Kind::Client, name, &body)
    };
    let (on, off) = (wire::ClientState::Enabled, wire::ClientState::Disabled);
    let old = build(&[client("a", on, &[1, 2]), client("b", on, &[3]), client("c", off, &[4])]).unwrap();
    for (newer, revoked) in [
        (vec![client("a", on, &[1, 2]), client("b", on, &[3])], vec![]),
        (vec![client("a", on, &[2, 5]), client("b", on, &[3])], vec![1]),
        (vec![client("a", on, &[1, 2]), client("b", off, &[3])], vec![3]),
        (vec![client("renamed", on, &[1, 2, 3])], vec![]),
        (vec![], vec![1, 2, 3]),
    ] {
        let newer = build(&newer).unwrap();
        let mut found: Vec<u8> = old.clients.revoked_in(&newer.clients).map(|digest| digest.0[0]).collect();
        found.sort_unstable();
        assert_eq!(found, revoked);
    }
}

#[test]
fn a_name_that_only_the_caller_knows_is_bounded_and_no_key() {
    let snapshot =
        build(&[provider("p", "https://p.example/v1", &["gpt-4o"]), client("all", &["*"])]).unwrap();
    let longest = format!("p/{}", "x".repeat(256));
    assert_eq!(label(&snapshot, "all", &longest).as_deref(), Ok(longest.as_str()));
    for model in [
        "accounts/fireworks/models/llama-v3p1-405b-instruct",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "ft:gpt-4o-mini:org::id",
    ] {
        let asked = format!("p/{model}");
        assert_eq!(label(&snapshot, "all", &asked).as_deref(), Ok(asked.as_str()));
    }
    for asked in [format!("{longest}x"), format!("p/{}", "\u{e9}".repeat(150_000)), "q".repeat(300_000)] {
        let refused = label(&snapshot, "all", &asked).unwrap_err();
        assert!(matches!(refused, Refused::Unknown { .. }));
        assert!(refused.to_string().len() < 400, "{}", refused.to_string().len());
    }
    let refused = label(&snapshot, "all", "p/sk-proj-Ab3dEf6hIj9lMn2pQr5t").unwrap_err();
    assert_eq!(refused.to_string(), "the model `[withheld]` does not exist");
    let is_known = |asked: &str| match snapshot.lookup(asked) {
        Ok(Resolved::Target(target)) => target.is_known,
        other => panic!("{other:?}"),
    };
    assert_eq!((is_known("gpt-4o"), is_known("p/gpt-9")), (true, false));
}

#[test]
fn a_price_of_all_holds_for_models_that_nobody_named() {
    let mut free = provider("p", "https://p.example/v1", &["gpt-4o"]);
    let mut body = wire::Provider::decode(&*free.body).unwrap();
    body.price = Some(wire::Price { free: true, ..wire::Price::default() });
    free.body = body.encode_to_vec().into();
    let other = provider("q", "https://q.example/v1", &[]);
    let snapshot = build(&[free, other]).unwrap();
    let is_free = |asked: &str| match snapshot.lookup(asked) {
        Ok(Resolved::Target(target)) => target.price.as_ref().is_some_and(|price| price.is_free()),
        other => panic!("{other:?}"),
    };
    assert_eq!((is_free("p/unnamed"), is_free("q/unnamed")), (true, false));
}

#[test]
fn who_may_use_a_bare_name_alone_sees_it_in_the_list() {
    let clients = [client("bare", &["gpt-4o"]), client("full", &["p/*"]), client("all", &["*"])];
    let offers = provider("p", "https://p.example/v1", &["gpt-4o", "o3"]);
    let snapshot = build(&[&[offers][..], &clients].concat()).unwrap();
    let list = |name: &str| snapshot.models_of(snapshot.clients.by_name(name).unwrap());
    assert_eq!(list("bare"), ["gpt-4o"]);
    assert_eq!(list("full"), ["p/gpt-4o", "p/o3"]);
    assert_eq!(list("all"), ["p/gpt-4o", "p/o3"]);
}

#[test]
fn a_revoked_version_travels_without_its_secret() {
    let version = |state: wire::CredentialState, secret: &str| {
        let body = wire::Credential {
            provider: "p".to_owned(),
            key: "main".to_owned(),
            version: 1,
            state: state as i32,
            weight: 1,
            secret: secret.as_bytes().to_vec(),
            ..wire::Credential::default()
        };
        build(&[provider("p", "http://localhost:1/v1", &[]), resource(Kind::Credential, "p/main/1", &body)])
    };
    assert!(version(wire::CredentialState::Revoked, "").is_ok());
    assert!(version(wire::CredentialState::Active, "sk-1").is_ok());
    let refused = version(wire::CredentialState::Revoked, "sk-1").unwrap_err();
    assert_eq!(refused.to_string(), "credential/p/main/1: secret: a revoked version must have none");
}

#[test]
fn why_keys_are_withheld_is_a_fixed_text() {
    for (said, shown) in
        [("", None), ("secret_integrity", Some("secret_integrity")), ("<b>", Some("secrets_unavailable"))]
    {
        let body = wire::Provider {
            withheld: said.to_owned(),
            ..wire::Provider::decode(provider("p", "http://localhost:1/v1", &[]).body).unwrap()
        };
        let snapshot = build(&[resource(Kind::Provider, "p", &body)]).unwrap();
        assert_eq!(snapshot.providers["p"].withheld, shown);
    }
}
