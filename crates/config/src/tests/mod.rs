//! The loader as users meet it: text in, lines of problems out.

mod faults;
mod scalars;

use crate::{File, Loaded, Problem, Strategy, Usd, inspect, load, read_json, references, schema, wire};

const MINIMAL: &str = include_str!("minimal.yaml");
const FULL: &str = include_str!("full.yaml");

fn environment(name: &str) -> Option<String> {
    name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| format!("value-of-{name}-0123456789"))
}

fn sound(text: &str) -> Loaded {
    load(text, "keyway.yaml", environment).unwrap_or_else(|problems| panic!("{}", lines(&problems)))
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// All that is wrong with the text, references included, one line each.
fn faults(text: &str) -> String {
    match inspect(text, "keyway.yaml", environment) {
        Err(faulty) => lines(&faulty.referring(File::default())),
        Ok(loaded) => {
            let found = references(&loaded.file, &File::default());
            lines(&found.into_iter().map(|problem| loaded.places.locate(problem)).collect::<Vec<_>>())
        }
    }
}

#[test]
fn the_minimal_file_loads_with_the_cache_warning() {
    let loaded = sound(MINIMAL);
    assert_eq!(lines(&loaded.warnings), "keyway.yaml:7: cache: accepted, but not enforced yet");
    let secret = loaded.file.providers["deepseek"].api_key.as_ref().expect("a key").expose();
    assert_eq!(secret, "value-of-DEEPSEEK_API_KEY-0123456789");
    assert_eq!(loaded.file.cache.expect("a cache").ttl.expect("a ttl").millis(), 3_600_000);
}

#[test]
fn the_full_file_loads_with_its_values() {
    let loaded = sound(FULL);
    // The page's file leaves these two to what the control plane has already.
    let open: Vec<_> =
        references(&loaded.file, &File::default()).into_iter().map(|problem| problem.field).collect();
    assert_eq!(open, ["models.fast.targets[0].provider", "models.fast.fallback[0]"]);
    let file = loaded.file;
    let keys: Vec<_> = file.providers["openai"].credentials().map(|key| (key.name, key.weight)).collect();
    assert_eq!(keys, [("main".into(), Some(2)), ("spare".into(), Some(1))]);
    let crate::Price::Rates(rates) = &file.providers["openai"].prices["gpt-4o-mini"] else { panic!("rates") };
    assert_eq!(rates.cache_read.map(Usd::nanos), Some(75_000_000));
    let fast = &file.models["fast"];
    assert_eq!(fast.strategy, Some(Strategy::Weighted));
    assert_eq!(fast.bounds().total.expect("a timeout").millis(), 60_000);
    assert_eq!(
        file.clients["openclaw-1"].models.as_deref(),
        Some(&["fast".to_owned(), "openai/*".into()][..])
    );
    let named: Vec<_> = loaded.warnings.iter().map(|warning| warning.field.as_str()).collect();
    assert_eq!(named, ["teams.whisperers.budget", "clients.openclaw-1.limits", "clients.openclaw-1.budget"]);
}

#[test]
fn what_is_shown_holds_no_secret_and_the_wire_holds_them_all() {
    let file = sound(FULL).file;
    let shown = format!("{file:?}{}", serde_json::to_string(&file).expect("json"));
    assert!(!shown.contains("value-of-"), "{shown}");
    let sent = wire(&file).expect("json");
    assert_eq!(sent.to_string().matches("value-of-").count(), 5);
    let back: File = read_json(&sent).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    assert_eq!(wire(&back), Some(sent));
}

#[test]
fn an_empty_file_and_empty_sections_are_fine() {
    assert_eq!(sound("").file.providers.len(), 0);
    let file = sound("providers:\n  openai:\nclients:\n").file;
    assert!(file.providers["openai"].base_url.is_none());
}

#[test]
fn variables_are_replaced_in_values_only_and_as_they_stand() {
    let tricky = |_: &str| Some("a: {b}, [c] # \"d\" ${E}".to_owned());
    let text =
        "# ${COMMENT}\nproviders:\n  openai: { api_key: \"${X}\" }\n  deepseek: { api_key: 'p-$${X}-s' }\n";
    let file = load(text, "f", tricky).expect("sound").file;
    assert_eq!(file.providers["openai"].api_key.as_ref().expect("key").expose(), "a: {b}, [c] # \"d\" ${E}");
    assert_eq!(file.providers["deepseek"].api_key.as_ref().expect("key").expose(), "p-${X}-s");
    let text = "clients: { a: { limits: { concurrent: \"${N}\" }, disabled: \"${B}\" } }";
    let typed = |name: &str| Some(if name == "N" { "7" } else { "true" }.to_owned());
    let client = &load(text, "f", typed).expect("sound").file.clients["a"];
    assert_eq!((client.limits.and_then(|limits| limits.concurrent), client.disabled), (Some(7), true));
}

#[test]
fn references_may_stand_in_the_control_plane_already() {
    let present = sound("providers: { openai: }\nteams: { red: }\nmodels: { a: { targets: [{ provider: openai, model: x }], fallback: [b] } }").file;
    let file = sound("models: { b: { targets: [{ provider: openai, model: x }], fallback: [a] } }\nclients: { c: { team: red } }").file;
    assert_eq!(
        lines(&references(&file, &present)),
        "models.b.fallback: leads back to this alias; break the circle"
    );
}

#[test]
fn the_schema_knows_every_section_and_refuses_others() {
    let schema = schema();
    let sections = schema["properties"].as_object().expect("properties");
    for section in [
        "providers",
        "models",
        "teams",
        "clients",
        "cache",
        "limits",
        "policies",
        "rotation",
        "telemetry",
        "usage",
    ] {
        assert!(sections.contains_key(section), "{section}");
    }
    assert_eq!(schema["additionalProperties"], false);
}
