//! Quirks in rows: they can hold, they are sourced, they are about models that exist.

use crate::{Catalog, Model, Provider, Quirks, Rule};
use keyway_proto::snapshot::v1::{self as wire, Dialect};
use std::collections::BTreeSet;

/// Patterns that fit no model of their provider's list, each with why they are kept.
const UNLISTED: &[(&str, &str, &str)] = &[];

fn rules() -> impl Iterator<Item = (&'static Provider, &'static Rule)> {
    Catalog::embedded().providers().iter().flat_map(|row| row.quirks.iter().map(move |rule| (row, rule)))
}

#[test]
fn what_rows_say_can_hold() {
    let check = |at: &str, quirks: &Quirks| {
        let checked = keyway_snapshot::Quirks::check(&quirks.to_proto());
        assert!(checked.is_ok(), "{at}: {checked:?}");
    };
    for row in Catalog::embedded().providers() {
        row.surfaces.iter().for_each(|surface| check(&row.id, &surface.quirks));
        for model in Catalog::embedded().models(&row.id) {
            model.quirks().iter().for_each(|quirks| check(&format!("{}/{}", row.id, model.id), quirks));
        }
    }
    for (row, rule) in rules() {
        check(&row.id, &rule.set);
        assert!(rule.set != Quirks::default(), "{}: a rule that says nothing", row.id);
        assert!(rule.source.len() >= 20, "{}: `{}` is no source", row.id, rule.source);
        let on_model = rule.models.is_some() && rule.set.no_stream_options.is_some();
        assert!(!on_model, "{}: `no_stream_options` belongs to a surface", row.id);
        let there = rule.dialect == Dialect::Unspecified || row.surface(rule.dialect).is_some();
        assert!(there, "{}: a rule for a dialect that it does not speak", row.id);
    }
}

#[test]
fn every_pattern_is_about_a_model_that_is_listed() {
    let mut astray = Vec::new();
    for (row, rule) in rules() {
        let Some(models) = &rule.models else { continue };
        let listed = Catalog::embedded().models(&row.id);
        let excused = UNLISTED.iter().any(|(id, pattern, _)| *id == row.id && pattern == models);
        // What runs on one's own machine serves whatever was loaded.
        let found = listed.is_empty() || listed.iter().any(|model| rule.fits(rule.dialect, &model.id));
        if found == excused {
            astray.push((row.id.as_str(), models, if found { "fits after all" } else { "fits no model" }));
        }
    }
    assert_eq!(astray, []);
}

/// Fields of the form in files, each with a value that says something.
fn each_field() -> Vec<(String, serde_json::Value)> {
    let schema = schemars::schema_for!(Quirks).to_value();
    let fields = schema["properties"].as_object().unwrap();
    let value = |name: &str| match name {
        "max_output_tokens" => serde_json::json!(7),
        "efforts" => serde_json::json!(["low"]),
        "reasoning_field" => serde_json::json!("reasoning"),
        "cache_marks" => serde_json::json!("control"),
        _ => serde_json::json!(true),
    };
    fields.keys().map(|name| (name.clone(), value(name))).collect()
}

#[test]
fn every_field_of_a_file_reaches_the_state_and_is_shown_by_its_name() {
    let mut names = BTreeSet::new();
    for (name, value) in each_field() {
        let said: Quirks = serde_json::from_value(serde_json::json!({ name.clone(): value })).unwrap();
        assert_eq!(
            serde_json::to_value(&said).unwrap().as_object().unwrap().len(),
            1,
            "{name} alone is written"
        );
        let mut quirks = keyway_snapshot::Quirks::default();
        quirks.lay(&said.to_proto());
        // This one stands on the surface in a state.
        quirks.no_stream_options = said.no_stream_options.unwrap_or_default();
        let held = quirks.held();
        assert_eq!(held.len(), 1, "{name}: {held:?}");
        names.extend(held.iter().map(|held| held.split(':').next().unwrap().to_owned()));
    }
    assert_eq!(names, each_field().into_iter().map(|(name, _)| name).collect());
}

#[test]
fn every_quirk_is_documented() {
    let docs = include_str!("../../../../docs/catalog.md");
    let (_, table) = docs.split_once("| in `set` |").unwrap();
    let missing: Vec<String> = each_field()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !table.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "docs/catalog.md does not know {missing:?}");
}

#[test]
fn a_model_s_row_tells_what_it_can() {
    let table = [
        ("", Quirks::default()),
        ("max_output_tokens = 5", Quirks { max_output_tokens: Some(5), ..Quirks::default() }),
        ("max_output_tokens = 0", Quirks::default()),
        (
            "cannot = [\"sampling_params\", \"tool_choice\", \"parallel_tools\", \"json_schema\", \"assistant_prefill\", \
             \"forced_tool_use\"]",
            Quirks {
                no_sampling: Some(true),
                no_tool_choice: Some(true),
                no_parallel_calls: Some(true),
                no_json_schema: Some(true),
                no_prefill: Some(true),
                no_forced_calls: Some(true),
                ..Quirks::default()
            },
        ),
        (
            "can = [\"adaptive_thinking\", \"thinking_always_on\", \"effort_max\"]\ncannot = [\"effort_none\"]",
            Quirks {
                adaptive_thinking: Some(true),
                thinking_always: Some(true),
                efforts: vec![
                    crate::Effort::Low,
                    crate::Effort::Medium,
                    crate::Effort::High,
                    crate::Effort::Max,
                ],
                ..Quirks::default()
            },
        ),
        (
            "reasoning_efforts = [\"none\", \"high\"]\ncan = [\"effort_xhigh\"]",
            Quirks { efforts: vec![crate::Effort::None, crate::Effort::High], ..Quirks::default() },
        ),
        (
            "can = [\"adaptive_thinking\"]\ncannot = [\"reasoning\"]",
            Quirks { no_thinking: Some(true), ..Quirks::default() },
        ),
        (
            "reasoning_field = \"reasoning\"",
            Quirks { reasoning_field: Some(crate::ReasoningField::Reasoning), ..Quirks::default() },
        ),
    ];
    for (row, quirks) in table {
        let model: Model = toml::from_str(&format!("id = \"m\"\n{row}")).unwrap();
        assert_eq!(model.quirks().unwrap_or_default(), quirks, "{row}");
    }
}

#[test]
fn rules_are_laid_over_the_model_s_facts_in_their_order() {
    let text = r#"
        name = "P"
        kind = "cloud"
        auth = { scheme = "none" }
        [[surfaces]]
        dialect = "openai-chat"
        base_url = "https://a.example/v1"
        quirks = { old_max_tokens = true, no_extras = true }
        [[surfaces]]
        dialect = "gemini"
        base_url = "https://a.example/v1beta"
        [[quirks]]
        dialect = "openai-chat"
        source = "its documentation"
        set = { no_extras = false }
        [[quirks]]
        models = "m-*"
        source = "its documentation"
        set = { max_output_tokens = 3, no_stop = true }
    "#;
    let row: Provider = toml::from_str(text).unwrap();
    let model: Model = toml::from_str("id = \"m-1\"\nmax_output_tokens = 9").unwrap();
    let held: Vec<_> =
        row.surfaces.iter().map(|surface| row.quirks_of(surface, Some(&model)).held().join(" ")).collect();
    assert_eq!(held, ["old_max_tokens no_stop max_output_tokens: 3", "no_stop max_output_tokens: 3"]);
    let compiled = row.quirks.iter().filter_map(Rule::to_proto);
    let told: Vec<_> =
        compiled.map(|rule: wire::ModelQuirks| (rule.models.clone(), rule.dialect())).collect();
    assert_eq!(told, [("m-*".to_owned(), Dialect::Unspecified)], "a rule for all stands on its surface");
}

/// Provider, dialect, model, and words that are said of it; others may hold beside them.
const SAID: [(&str, Dialect, &str, &str); 19] = [
    ("openai", Dialect::OpenaiChat, "gpt-4o-mini", "max_output_tokens: 16384"),
    (
        "openai",
        Dialect::OpenaiChat,
        "o3",
        "no_sampling no_penalties no_stop no_logprobs efforts: low, medium, high",
    ),
    ("openai", Dialect::OpenaiResponses, "gpt-5-pro", "no_sampling efforts: high"),
    ("azure-openai", Dialect::OpenaiChat, "gpt-5.6", "no_sampling no_stop cache_marks: breakpoint"),
    ("anthropic", Dialect::AnthropicMessages, "claude-haiku-4-5", "max_output_tokens: 64000"),
    (
        "anthropic",
        Dialect::AnthropicMessages,
        "claude-opus-5-5",
        "no_forced_calls no_sampling thinking_always adaptive_thinking late_system no_prefill",
    ),
    ("google", Dialect::Gemini, "gemini-2.5-flash", "thinking_budget no_call_ids no_result_media"),
    (
        "google",
        Dialect::Gemini,
        "gemini-3-flash-preview",
        "thinking_always signed_calls efforts: minimal, low, medium, high",
    ),
    ("google-vertex", Dialect::AnthropicMessages, "claude-sonnet-5", "adaptive_thinking no_sampling"),
    (
        "bedrock",
        Dialect::BedrockConverse,
        "anthropic.claude-opus-4-8",
        "no_strict adaptive_thinking max_output_tokens: 128000",
    ),
    (
        "bedrock",
        Dialect::BedrockConverse,
        "meta.llama3-3-70b-instruct-v1:0",
        "no_tool_choice no_json_schema no_model_fields no_cache_points",
    ),
    ("bedrock", Dialect::BedrockConverse, "amazon.nova-pro-v1:0", "no_model_fields no_strict no_prefill"),
    (
        "deepseek",
        Dialect::OpenaiChat,
        "deepseek-v4-pro",
        "old_max_tokens no_json_schema needs_thoughts thinking_switch reasoning_field: reasoning_content",
    ),
    (
        "mistral",
        Dialect::OpenaiChat,
        "mistral-large-latest",
        "old_max_tokens tool_choice_any random_seed no_user short_call_ids no_stream_options",
    ),
    (
        "groq",
        Dialect::OpenaiChat,
        "openai/gpt-oss-120b",
        "no_choices no_logprobs efforts: low, medium, high reasoning_field: reasoning",
    ),
    (
        "openrouter",
        Dialect::OpenaiChat,
        "anthropic/claude-sonnet-4.5",
        "old_max_tokens reasoning_field: reasoning_details cache_marks: control",
    ),
    (
        "xai",
        Dialect::OpenaiChat,
        "grok-4.7",
        "old_max_tokens no_strict no_penalties no_stop reasoning_field: reasoning_content",
    ),
    (
        "moonshot",
        Dialect::OpenaiChat,
        "kimi-k3",
        "no_forced_calls no_sampling needs_thoughts efforts: low, high, max",
    ),
    ("google", Dialect::OpenaiChat, "gemini-2.5-pro", "old_max_tokens no_penalties no_extras"),
];

#[test]
fn what_is_known_of_well_known_models_holds() {
    let catalog = Catalog::embedded();
    for (provider, dialect, id, said) in SAID {
        let row = catalog.provider(provider).unwrap();
        let model = catalog.model(provider, id).unwrap_or_else(|| panic!("{provider}/{id}"));
        let held = row.quirks_of(row.surface(dialect).unwrap(), Some(model)).held().join(" ");
        let missing: Vec<&str> = words(said).filter(|word| !words(&held).any(|held| held == *word)).collect();
        assert!(missing.is_empty(), "{provider}/{id} lacks {missing:?}: {held}");
    }
    for id in ["ollama", "vllm", "llama-cpp", "lm-studio"] {
        let row = catalog.provider(id).unwrap();
        let rule = row.quirks.iter().find(|rule| rule.is_for_all(Dialect::OpenaiChat));
        assert!(rule.is_some_and(|rule| rule.set.reasoning_field.is_some()), "{id}");
    }
}

/// `a b: c, d e` is `a`, `b: c, d`, `e`: a value goes on after a colon or a comma.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end =
            rest.char_indices().find(|(at, letter)| *letter == ' ' && !rest[..*at].ends_with([':', ',']));
        let (word, next) = end.map_or((rest, ""), |(at, _)| (&rest[..at], &rest[at + 1..]));
        rest = next;
        (!word.is_empty()).then_some(word)
    })
}
