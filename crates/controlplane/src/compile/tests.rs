//! Tables: what a file's provider becomes.

use super::*;
use crate::resource::{Made, Way};
use keyway_config::Provider;
use keyway_proto::snapshot::v1::{Auth, AuthScheme, Dialect, Meter};
use std::collections::BTreeMap;

fn compiled(name: &str, yaml: &str) -> Result<wire::Provider, Refusal> {
    provider::provider(Catalog::embedded(), name, &spec(name, yaml), false)
}

fn spec(name: &str, yaml: &str) -> Provider {
    let text = format!("providers: {{ {name}: {yaml} }}");
    keyway_config::load(&text, "f", |_| None).unwrap().file.providers.remove(name).unwrap()
}

fn rates(provider: &wire::Provider, id: &str) -> Option<Vec<(Meter, u64)>> {
    let offer = provider.offers.iter().find(|offer| offer.id == id).unwrap();
    let rate = |rate: &wire::Rate| (rate.meter(), rate.femto_dollars);
    offer.price.as_ref().map(|price| price.rates.iter().map(rate).collect())
}

#[test]
fn own_providers_need_no_row() {
    let header = |name: &str, prefix: &str| (AuthScheme::Header, name.to_owned(), prefix.to_owned());
    let table = [
        (
            "{ dialect: openai-chat, base_url: 'http://10.0.0.7:8000', auth: none }",
            "http://10.0.0.7:8000/v1",
            (AuthScheme::None, String::new(), String::new()),
        ),
        (
            "{ dialect: openai-chat, base_url: 'https://a.example/v1' }",
            "https://a.example/v1",
            header("authorization", "Bearer "),
        ),
        (
            "{ dialect: anthropic-messages, base_url: 'https://a.example' }",
            "https://a.example/v1",
            header("x-api-key", ""),
        ),
        (
            "{ dialect: openai-chat, base_url: 'https://a.example', auth: { header: x-key, prefix: 'K ' } }",
            "https://a.example/v1",
            header("x-key", "K "),
        ),
        (
            "{ dialect: gemini, base_url: 'https://a.example', auth: { query: key } }",
            "https://a.example/v1beta",
            (AuthScheme::Query, "key".to_owned(), String::new()),
        ),
    ];
    for (yaml, base_url, (scheme, name, prefix)) in table {
        let provider = compiled("own", yaml).unwrap();
        assert_eq!(provider.surfaces[0].base_url, base_url, "{yaml}");
        assert_eq!(
            provider.auth,
            Some(Auth { scheme: scheme.into(), name, prefix, ..Auth::default() }),
            "{yaml}"
        );
    }
}

#[test]
fn what_is_missing_is_named_with_its_field() {
    for (name, spec, field) in [
        ("bedrock", bare(None, None), "providers.bedrock.region"),
        ("unknown", bare(Some(keyway_config::Dialect::OpenAiChat), None), "providers.unknown.base_url"),
        ("unknown", bare(None, Some("https://a.example")), "providers.unknown.dialect"),
    ] {
        let refused = provider::provider(Catalog::embedded(), name, &spec, false);
        let Err(Refusal::Invalid(problems)) = refused else { panic!("{name}") };
        assert_eq!(problems[0].field, field);
    }
}

/// A provider that a file's own checks would refuse before it is compiled.
fn bare(dialect: Option<keyway_config::Dialect>, base_url: Option<&str>) -> Provider {
    Provider { dialect, base_url: base_url.map(str::to_owned), ..Provider::default() }
}

#[test]
fn a_row_brings_surfaces_and_offers() {
    let openai = compiled("openai", "{}").unwrap();
    assert_eq!(openai.surfaces[0].dialect(), Dialect::OpenaiChat);
    assert_eq!(openai.surfaces[0].base_url, "https://api.openai.com/v1");
    assert!(openai.surfaces.iter().any(|surface| surface.dialect() == Dialect::OpenaiResponses));
    assert!(rates(&openai, "gpt-4o-mini").unwrap().contains(&(Meter::Input, 150_000_000)));
    assert!(openai.offers.windows(2).all(|pair| pair[0].id < pair[1].id), "each id once");
}

#[test]
fn the_file_s_prices_win_and_free_is_zero() {
    let priced = compiled(
        "openai",
        "{ prices: { gpt-4o-mini: { input: 1.5 }, own: { output: 2 }, gift: 0 }, models: [more] }",
    );
    let priced = priced.unwrap();
    assert_eq!(rates(&priced, "gpt-4o-mini"), Some(vec![(Meter::Input, 1_500_000_000)]));
    assert_eq!(rates(&priced, "own"), Some(vec![(Meter::Output, 2_000_000_000)]));
    assert!(price(&priced, "gift").free);
    assert_eq!(rates(&priced, "more"), None);
    let free =
        compiled("openai", "{ price: 0, prices: { gpt-4o-mini: { input: 1 } }, models: [more] }").unwrap();
    assert!(price(&free, "more").free);
    assert!(free.price.as_ref().is_some_and(|price| price.free), "what nobody named is free too");
    assert!(priced.price.is_none());
    assert_eq!(rates(&free, "gpt-4o-mini"), Some(vec![(Meter::Input, 1_000_000_000)]));
    assert!(!price(&free, "gpt-4o-mini").free);
}

fn price(provider: &wire::Provider, id: &str) -> wire::Price {
    provider.offers.iter().find(|offer| offer.id == id).and_then(|offer| offer.price.clone()).unwrap()
}

#[test]
fn the_file_s_tiers_and_units_compile() {
    let provider = compiled(
        "openai",
        "{ prices: { m: { input: 1, per_image: 0.04, per_web_search: 0.01, per_million_characters: 15, \
         above: { 200000: { input: 2 }, 300000: { input: 4 } }, \
         service_tiers: { flex: { input: 0.5, per_web_search: 0.02, above: { 200000: { input: 1 } } } } } } }",
    );
    let price = price(&provider.unwrap(), "m");
    let told = |rates: &[wire::Rate]| {
        let mut told: Vec<_> = rates.iter().map(|rate| (rate.meter(), rate.femto_dollars)).collect();
        told.sort_by_key(|(meter, _)| *meter as i32);
        told
    };
    const CENT: u64 = 10_000_000_000_000;
    assert_eq!(
        told(&price.rates),
        [
            (Meter::Input, 1_000_000_000),
            (Meter::Images, 4 * CENT),
            (Meter::Characters, 15_000_000_000),
            (Meter::WebSearches, CENT)
        ]
    );
    let above: Vec<u64> = price.tiers.iter().map(|tier| tier.above_input_tokens).collect();
    assert_eq!((above, price.origin()), (vec![200_000, 300_000], wire::PriceOrigin::File));
    let [flex] = price.services.as_slice() else { panic!("{price:?}") };
    assert_eq!((flex.tier(), flex.tiers.len()), (wire::ServiceTier::Flex, 1));
    // What the tier says nothing of by the unit costs there what it costs everywhere.
    assert_eq!(told(&flex.rates)[..2], [(Meter::Input, 500_000_000), (Meter::Images, 4 * CENT)]);
    assert_eq!(told(&flex.rates).last(), Some(&(Meter::WebSearches, 2 * CENT)));
}

#[test]
fn keys_with_prices_of_their_own_are_told_apart() {
    let plain = KeyDocument::new("plain", Made { by: Way::Hand, origin: String::new(), at: 0 }, None);
    let mut dear = KeyDocument::new("dear", plain.made.clone(), None);
    dear.discount = keyway_config::Percent::parse("12.5");
    dear.prices = spec("openai", "{ prices: { gpt-4o-mini: { input: 3 } } }").prices;
    let [own] = price::of_keys(&[plain, dear]).try_into().unwrap();
    assert_eq!((own.key.as_str(), own.discount, own.offers.len()), ("dear", 125_000, 1));
    assert_eq!(own.offers[0].price.as_ref().unwrap().origin(), wire::PriceOrigin::Key);
}

#[test]
fn private_only_where_said() {
    for (yaml, private) in [("{}", false), ("{ network: private }", true), ("{ network: public }", false)] {
        assert_eq!(compiled("openai", yaml).unwrap().private_network, private);
    }
}

#[test]
fn only_active_versions_travel_and_a_missing_secret_is_withheld() {
    let made = Made { by: Way::Hand, origin: String::new(), at: 0 };
    let version = |version, state| crate::resource::KeyVersion {
        version,
        state,
        fingerprint: String::new(),
        shown: String::new(),
        at: 0,
        since: 0,
        proof: crate::resource::Proof::None,
        origins: BTreeSet::from(["https://api.openai.com:443".to_owned()]),
        seal: 0,
        leaving: None,
    };
    let versions = vec![version(1, KeyState::Retired), version(2, KeyState::Active)];
    let key = KeyDocument {
        name: "main".to_owned(),
        made,
        weight: Some(3),
        prices: BTreeMap::new(),
        discount: None,
        quota: None,
        versions,
        rollout: None,
        rotation: None,
        supply: crate::resource::Supply::default(),
    };
    let body = Body::Provider { spec: Box::new(spec("openai", "{}")), keys: vec![key] };
    let held = |id: &SecretId, _: &BTreeSet<String>| (id.version == 2).then(|| Secret::new(b"two".to_vec()));
    let all = Compiler { catalog: Catalog::embedded(), secrets: &held }.document("openai", &body).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].name, "openai/main/2");
    let credential = wire::Credential::decode(all[1].body.clone()).unwrap();
    assert_eq!((credential.weight, credential.secret.as_slice()), (3, &b"two"[..]));
    let empty = Compiler { catalog: Catalog::embedded(), secrets: &|_, _| None };
    let withheld = empty.document("openai", &body).unwrap();
    let provider = wire::Provider::decode(withheld[0].body.clone()).unwrap();
    assert_eq!((withheld.len(), provider.withheld.as_str()), (1, SECRET_INTEGRITY));
    let moved = Body::Provider {
        spec: Box::new(spec("openai", "{ base_url: 'https://other.example/v1' }")),
        keys: keys_of(&body),
    };
    let elsewhere =
        Compiler { catalog: Catalog::embedded(), secrets: &held }.document("openai", &moved).unwrap();
    let provider = wire::Provider::decode(elsewhere[0].body.clone()).unwrap();
    assert_eq!(
        (elsewhere.len(), provider.withheld.as_str()),
        (1, SECRET_INTEGRITY),
        "a key does not move along"
    );
}

fn keys_of(body: &Body) -> Vec<KeyDocument> {
    let Body::Provider { keys, .. } = body else { panic!("a provider") };
    keys.clone()
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let body = Body::Provider { spec: Box::new(spec("openai", "{ headers: { b: x, a: y } }")), keys: vec![] };
    let compiler = Compiler { catalog: Catalog::embedded(), secrets: &|_, _| None };
    assert_eq!(compiler.document("openai", &body).unwrap(), compiler.document("openai", &body).unwrap());
}

#[test]
fn surfaces_want_credentials_each_in_its_own_way() {
    let (bearer, google, anthropic) =
        (("authorization", "Bearer "), ("x-goog-api-key", ""), ("x-api-key", ""));
    let table = [
        ("google", "{}", vec![(Dialect::Gemini, google), (Dialect::OpenaiChat, bearer)]),
        ("google", "{ dialect: openai-chat }", vec![(Dialect::OpenaiChat, bearer)]),
        ("anthropic", "{}", vec![(Dialect::AnthropicMessages, anthropic), (Dialect::OpenaiChat, bearer)]),
        (
            "anthropic",
            "{ auth: bearer }",
            vec![(Dialect::AnthropicMessages, bearer), (Dialect::OpenaiChat, bearer)],
        ),
    ];
    for (name, yaml, expected) in table {
        let provider = compiled(name, yaml).unwrap();
        let way = |surface: &wire::Surface| {
            let auth = surface.auth.as_ref().or(provider.auth.as_ref()).unwrap();
            (surface.dialect(), (auth.name.clone(), auth.prefix.clone()))
        };
        let expected = expected
            .into_iter()
            .map(|(dialect, (header, prefix))| (dialect, (header.to_owned(), prefix.to_owned())));
        let found: Vec<_> = provider.surfaces.iter().map(way).collect();
        assert_eq!(found, expected.collect::<Vec<_>>(), "{name} {yaml}");
    }
}

#[test]
fn clouds_need_their_settings_and_say_which() {
    let problem = |name: &str, yaml: &str| {
        let Err(Refusal::Invalid(problems)) = compiled(name, yaml) else { panic!("{name} {yaml}") };
        (problems[0].field.clone(), problems[0].reason.clone())
    };
    let field = |field: &str, reason: &str| (field.to_owned(), reason.to_owned());
    assert_eq!(
        problem("google-vertex", "{ region: us-central1 }"),
        field("providers.google-vertex.vars", "its address needs project: set it in `vars` or `base_url`")
    );
    assert_eq!(
        problem("azure-openai", "{}"),
        field("providers.azure-openai.vars", "its address needs resource: set it in `vars` or `base_url`")
    );
    assert_eq!(
        problem("bedrock", "{}"),
        field("providers.bedrock.region", "its address needs region: set `region` or `base_url`")
    );
    assert_eq!(
        problem("bedrock", "{ base_url: 'http://127.0.0.1:9' }"),
        field("providers.bedrock.region", "its requests are signed for a region: set one, like us-east-1")
    );
}

#[test]
fn clouds_have_their_addresses_and_signatures() {
    let base = |name: &str, yaml: &str| compiled(name, yaml).unwrap().surfaces[0].base_url.clone();
    for (location, host) in [
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ] {
        let yaml = format!("{{ vars: {{ project: p-1, location: {location} }} }}");
        let expected = format!("https://{host}/v1/projects/p-1/locations/{location}/publishers/google");
        assert_eq!(base("google-vertex", &yaml), expected);
    }
    let resource = "{ vars: { resource: mine } }";
    assert_eq!(base("azure-openai", resource), "https://mine.openai.azure.com/openai/v1");

    for (yaml, region) in [
        ("{ region: eu-west-1 }", "eu-west-1"),
        ("{ base_url: 'https://bedrock-runtime.us-west-2.amazonaws.com' }", "us-west-2"),
        ("{ region: us-east-1, base_url: 'http://127.0.0.1:9' }", "us-east-1"),
    ] {
        let auth = compiled("bedrock", yaml).unwrap().auth.unwrap();
        assert_eq!((auth.scheme(), auth.service.as_str()), (AuthScheme::Sigv4, "bedrock"), "{yaml}");
        assert_eq!(
            (auth.region.as_str(), auth.plain.unwrap().prefix.as_str()),
            (region, "Bearer "),
            "{yaml}"
        );
    }
    let vertex = compiled("google-vertex", "{ region: global, vars: { project: p } }").unwrap();
    let auth = vertex.auth.unwrap();
    assert_eq!(auth.token_url, "https://oauth2.googleapis.com/token");
    assert_eq!(auth.plain.unwrap().name, "x-goog-api-key");
}

#[test]
fn every_row_that_needs_no_setting_makes_a_state() {
    let mut compiled_rows = 0;
    for row in Catalog::embedded().providers() {
        let spec = Provider { region: Some("us-east-1".to_owned()), ..Provider::default() };
        let Ok(provider) = provider::provider(Catalog::embedded(), &row.id, &spec, true) else { continue };
        let compiler = Compiler { catalog: Catalog::embedded(), secrets: &|_, _| None };
        let plane = DataPlane { digest_key: &[7; 32], cluster: "c", lease: 1, refuse_when_spool_full: true };
        let mut all: Vec<Resource> = compiler.base(&plane).unwrap();
        if row.id != SANDBOX {
            all.push(resource(Kind::Provider, row.id.clone(), &provider));
        }
        let built = keyway_snapshot::Snapshot::build(keyway_snapshot::Version::default(), &all);
        assert!(built.is_ok(), "{}: {built:?}", row.id);
        compiled_rows += 1;
    }
    assert!(compiled_rows > 150, "{compiled_rows}");
}

#[test]
fn a_state_tells_of_every_model_what_the_catalogue_does() {
    let catalog = Catalog::embedded();
    let mut told = 0;
    for row in catalog.providers() {
        let spec = Provider { region: Some("us-east-1".to_owned()), ..Provider::default() };
        let Ok(compiled) = provider::provider(catalog, &row.id, &spec, true) else { continue };
        let built = keyway_snapshot::Provider::build(&compiled).unwrap();
        for surface in &built.surfaces {
            let known = row.surface(surface.dialect).unwrap();
            for offer in &compiled.offers {
                let model = catalog.model(&row.id, &offer.id).unwrap();
                let expected = row.quirks_of(known, Some(model));
                assert_eq!(*built.quirks(surface, &offer.id), expected, "{}/{}", row.id, offer.id);
                told += 1;
            }
        }
    }
    assert!(told > 4_000, "{told}");
}

#[test]
fn the_file_s_quirks_win_over_the_row_s_and_its_models_over_its_own() {
    let compiled = compiled(
        "openai",
        "{ quirks: { no_stream_options: true, no_stop: false, no_user: true }, model_quirks: { 'gpt-5-mini*': { no_user: false, efforts: [low] }, 'gpt-5*': { efforts: [high], no_stop: true } }, models: [own] }",
    );
    let compiled = compiled.unwrap();
    assert!(
        compiled.surfaces.iter().all(|surface| surface.no_stream_options),
        "asked without a crossing too"
    );
    let built = keyway_snapshot::Provider::build(&compiled).unwrap();
    let held = |model: &str| {
        let quirks = built.quirks(&built.surfaces[0], model);
        (quirks.no_user, quirks.no_stop, quirks.no_sampling, quirks.efforts.to_string())
    };
    assert_eq!(held("own"), (true, false, false, String::new()), "a model without a row");
    assert_eq!(
        held("o3"),
        (true, false, true, "low, medium, high".to_owned()),
        "the row's own where nothing is said"
    );
    assert_eq!(held("gpt-5.5"), (true, true, true, "high".to_owned()));
    assert_eq!(
        held("gpt-5-mini"),
        (false, true, true, "low".to_owned()),
        "the longer pattern is laid over the shorter"
    );
}

#[test]
fn an_unknown_relative_of_openai_s_chat_is_spoken_to_in_words_that_all_know() {
    let held = |yaml: &str| {
        let compiled = compiled("own", yaml).unwrap();
        let built = keyway_snapshot::Provider::build(&compiled).unwrap();
        built.quirks(&built.surfaces[0], "m").held().join(" ")
    };
    let chat = "dialect: openai-chat, base_url: 'http://10.0.0.7:8000'";
    assert_eq!(held(&format!("{{ {chat} }}")), "old_max_tokens no_developer_role no_extras no_cache_key");
    assert_eq!(
        held(&format!("{{ {chat}, quirks: {{ old_max_tokens: false, reasoning_field: reasoning }} }}")),
        "no_developer_role no_extras no_cache_key reasoning_field: reasoning"
    );
    assert_eq!(held("{ dialect: anthropic-messages, base_url: 'https://a.example' }"), "");
}

/// An older replica would refuse a meter that it does not know: it is not sent the state at all.
#[test]
fn a_price_by_search_units_needs_a_replica_that_counts_them() {
    for (name, spec, needs) in [
        ("cohere", "{}", Some(keyway_proto::feature::SEARCH_UNITS)),
        ("openai", "{}", None),
        (
            "openai",
            "{ prices: { m: { per_search_unit: 0.002 } } }",
            Some(keyway_proto::feature::SEARCH_UNITS),
        ),
        ("cohere", "{ price: 0 }", None),
    ] {
        assert_eq!(super::price::needs(&compiled(name, spec).unwrap()), needs, "{name} {spec}");
    }
    let provider = compiled("cohere", "{}").unwrap();
    let rates = price(&provider, "rerank-v3.5").rates;
    let unit = rates.iter().find(|rate| rate.meter() == Meter::SearchUnits);
    assert_eq!(unit.map(|rate| rate.femto_dollars), Some(2_000_000_000_000));
}
