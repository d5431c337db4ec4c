//! Every way to get a file wrong gives one line that says where, what and what to do.

use proptest::prelude::*;

use super::{environment, faults};
use crate::load;

/// (the file, the lines expected).
const CASES: &[(&str, &str)] = &[
    (
        "providers:\n  openai:\n    base_ur: https://x\n",
        "keyway.yaml:3: providers.openai.base_ur: unknown field; did you mean base_url?",
    ),
    ("provider:\n  openai:\n", "keyway.yaml:1: provider: unknown field; did you mean providers?"),
    (
        "providers:\n  openai:\n    api_key: ${lower}\n",
        "keyway.yaml:3: providers.openai.api_key: the environment variable lower is not set; set it or remove this line",
    ),
    (
        "providers:\n  opnai:\n",
        "keyway.yaml:2: providers.opnai: is not in the catalogue and so needs dialect and base_url; did you mean openai?",
    ),
    (
        "models:\n  fast:\n    strategy: weigthed\n    targets:\n      - provider: openai\n",
        "keyway.yaml:3: models.fast.strategy: must be one of weighted, priority, least-latency, least-cost, least-busy, \
         sticky, semantic; did you mean weighted?\n\
         keyway.yaml:5: models.fast.targets[0]: needs the field model",
    ),
    (
        "providers: { anthropic: }\nmodels:\n  fast:\n    targets:\n      - { provider: antropic, model: m }\n    fallback: [fats]\n",
        "keyway.yaml:5: models.fast.targets[0].provider: names no configured provider; did you mean anthropic?\n\
         keyway.yaml:6: models.fast.fallback[0]: is neither an alias nor provider/model with a configured provider; did \
         you mean fast?",
    ),
    (
        "clients:\n  a:\n    token: short\n    team: rde\nteams: { red: }\n",
        "keyway.yaml:3: clients.a.token: has 5 characters, 24 are wanted; leave it out to have one made\n\
         keyway.yaml:4: clients.a.team: names no team; did you mean red?",
    ),
    (
        "clients:\n  a:\n    team: rde\nteams: { red: }\n",
        "keyway.yaml:3: clients.a.team: names no team; did you mean red?",
    ),
    (
        "clients:\n  a: { token: 0123456789-0123456789-same }\n  b: { token: 0123456789-0123456789-same }\n",
        "keyway.yaml:3: clients.b.token: is the token of the client a too; give each its own",
    ),
    (
        "models:\n  fast: { targets: [{ provider: sandbox, model: echo, weight: 0 }], timeout: soon }\n",
        "keyway.yaml:2: models.fast.timeout: expected a duration like 250ms, 60s, 10m, 24h, or seconds as a number\n\
         keyway.yaml:2: models.fast.targets[0].weight: must be from 1 to 1000000",
    ),
    (
        "models:\n  fast:\n    targets: [{ provider: sandbox, model: echo, weight: 0 }]\n",
        "keyway.yaml:3: models.fast.targets[0].weight: must be from 1 to 1000000",
    ),
    (
        "providers:\n  openai:\n    keys:\n      - name: a\n        rotation: { every: 10ms, source: { file: a, command: [/b] } }\n",
        "keyway.yaml:5: providers.openai.keys[0].rotation.every: must be at least 1s\n\
         keyway.yaml:5: providers.openai.keys[0].rotation.source: must name exactly one of `env`, `file`, `command`, \
         `vault` and `aws_iam`",
    ),
    (
        "providers:\n  openai:\n    keys:\n      - name: a\n        rotation:\n          source:\n            file: key\n\
         \x20     - name: b\n        rotation:\n          source:\n            vault:\n              address: http://vault\n\
         \x20             path: ../a\n              auth: {}\n",
        "keyway.yaml:7: providers.openai.keys[0].rotation.source.file: must begin with an absolute path: the control \
         plane's working directory is its own affair\n\
         keyway.yaml:12: providers.openai.keys[1].rotation.source.vault.address: must begin with https:// unless it is on \
         this machine\n\
         keyway.yaml:13: providers.openai.keys[1].rotation.source.vault.path: must be a path of letters, digits and \
         '-_.+=@/' that does not begin or end with '/'\n\
         keyway.yaml:14: providers.openai.keys[1].rotation.source.vault.auth: must name exactly one of `token_file`, \
         `kubernetes` and `approle`",
    ),
    (
        "usage:\n  hours: 5d\n  days: 4d\n  max_size: 3MiB\n",
        "keyway.yaml:2: usage.hours: are kept at least as long as `minutes`\n\
         keyway.yaml:3: usage.days: are kept at least as long as `hours`\n\
         keyway.yaml:4: usage.max_size: is at least 16MiB",
    ),
    (
        "server:\n  listen: abc\n  admin_listen: host:http\n  fleet_listen: '[::1]:0'\n  ops_listen: 8586\n  replicas: 65\n  threads: 0\n",
        "keyway.yaml:2: server.listen: HOST:PORT or PORT is wanted, like 127.0.0.1:8585 or 8585\n\
         keyway.yaml:3: server.admin_listen: HOST:PORT or PORT is wanted, like 127.0.0.1:8585 or 8585\n\
         keyway.yaml:6: server.replicas: must be from 1 to 64\n\
         keyway.yaml:7: server.threads: must be from 1 to 1024",
    ),
    (
        "usage: { max_size: huge }\n",
        "keyway.yaml:1: usage.max_size: expected a size like 4GiB, 512MiB, 10GB, or bytes as a number",
    ),
    (
        "models:\n  openai/x: { targets: [{ provider: sandbox, model: echo }] }\n",
        "keyway.yaml:2: models.openai/x: an alias has 1 to 256 letters, digits, '.', '_', '-' or ':' and begins with a \
         letter or digit",
    ),
    (
        "providers:\n  openai:\n    keys:\n      - { name: a }\n      - { name: a }\n",
        "keyway.yaml:5: providers.openai.keys[1].name: is the name of another key of this provider; key names are unique",
    ),
    (
        "providers:\n  openai:\n  openai:\n",
        "keyway.yaml:3: openai: stands twice in the same mapping; keep one",
    ),
    ("providers: [a]\n", "keyway.yaml:1: providers: expected a mapping, found a list"),
    ("a: b: c\n", "keyway.yaml:1: is not valid YAML: mapping values are not allowed in this context"),
    ("a: 1\n---\nb: 2\n", "keyway.yaml:3: holds more than one document; keep one"),
    (
        "teams: { a: { budget: { usd: 0.0000000001, per: month } } }",
        "keyway.yaml:1: teams.a.budget.usd: expected US dollars like 0.15, with at most nine decimal places",
    ),
    (
        "providers:\n  openai: { base_url: \"ftp://x\" }\n",
        "keyway.yaml:2: providers.openai.base_url: must begin with https:// or http://",
    ),
    (
        "providers:\n  openai: { base_url: \"https://u:p@x\" }\n",
        "keyway.yaml:2: providers.openai.base_url: must not hold a user or password; give the key as `api_key`",
    ),
    (
        "providers:\n  sandbox: {}\n",
        "keyway.yaml:2: providers.sandbox: is built in and takes no settings; remove it or choose another name",
    ),
    (
        "providers:\n  openai: { headers: { Authorization: x } }\n",
        "keyway.yaml:2: providers.openai.headers.Authorization: is set by Keyway itself; for a credential use `api_key` and `auth`",
    ),
    (
        "providers:\n  openai:\n    quirks: { no_samplng: true }\n",
        "keyway.yaml:3: providers.openai.quirks.no_samplng: unknown field; did you mean no_sampling?",
    ),
    (
        "providers:\n  openai:\n    quirks: { reasoning_field: reasonning }\n",
        "keyway.yaml:3: providers.openai.quirks.reasoning_field: must be one of none, reasoning_content, reasoning, reasoning_details; did you mean reasoning?",
    ),
    (
        "providers:\n  openai:\n    quirks: { no_tool_choice: true, tool_choice_any: true }\n",
        "keyway.yaml:3: providers.openai.quirks: `no_tool_choice` and `tool_choice_any` cannot both hold",
    ),
    (
        "providers:\n  openai:\n    model_quirks:\n      \"gpt-*\": { efforts: [low, hihg] }\n",
        "keyway.yaml:4: providers.openai.model_quirks.gpt-*.efforts[1]: must be one of none, minimal, low, medium, high, xhigh, max; did you mean high?",
    ),
    (
        "providers:\n  openai:\n    model_quirks:\n      gpt-5: { no_stream_options: true }\n",
        "keyway.yaml:4: providers.openai.model_quirks.gpt-5.no_stream_options: holds for a whole provider; write it under `quirks`",
    ),
    (
        "providers:\n  openai:\n    model_quirks:\n      \"gpt 5\": { no_stop: true }\n",
        "keyway.yaml:4: providers.openai.model_quirks.gpt 5: a model's name has 1 to 256 visible ASCII characters",
    ),
    (
        "providers:\n  openai: { auth: { header: X-Key, query: k } }\n",
        "keyway.yaml:2: providers.openai.auth: give either `header` (with or without `prefix`) or `query`",
    ),
];

#[test]
fn each_fault_is_one_line_with_file_line_and_field() {
    let wrong: Vec<_> =
        CASES.iter().map(|(text, expected)| (faults(text), *expected)).filter(|(a, b)| a != b).collect();
    assert_eq!(wrong, []);
}

#[test]
fn several_faults_are_found_in_one_run() {
    let text = "providers:\n  openai: { base_ur: x, regoin: y }\nclients:\n  a: { modles: [x] }\n  b: { disabled: maybe }\n";
    let found = faults(text);
    let begins: Vec<_> =
        found.lines().map(|line| line.rsplit_once(": ").map_or(line, |(place, _)| place)).collect();
    let expected = [
        "keyway.yaml:2: providers.openai.base_ur",
        "keyway.yaml:2: providers.openai.regoin",
        "keyway.yaml:4: clients.a.modles",
        "keyway.yaml:5: clients.b.disabled",
    ];
    assert_eq!(begins, expected);
}

/// Of each kind one: syntax of a value, a variable, an unknown field, a check, names that mean nothing.
#[test]
fn no_kind_of_fault_hides_another() {
    let text = "\
providers:
  openai: { api_key: '${lower}', base_ur: x, timeouts: { total: 1h30m } }
  local: { dialect: openai-chat, base_url: 'ftp://x' }
models:
  fast: { targets: [{ provider: openai, model: m }, { provider: antropic, model: m }], fallback: [slow] }
  slow: { targets: [{ provider: local }] }
teams: { red: { budget: { usd: much, per: month } } }
clients:
  a: { token: short, team: rde }
  b: { team: red, models: [''] }
  c: { team: '${lower}' }
";
    let expected = "\
keyway.yaml:2: providers.openai.api_key: the environment variable lower is not set; set it or remove this line
keyway.yaml:2: providers.openai.base_ur: unknown field; did you mean base_url?
keyway.yaml:2: providers.openai.timeouts.total: expected a duration like 250ms, 60s, 10m, 24h, or seconds as a number
keyway.yaml:3: providers.local.base_url: must begin with https:// or http://
keyway.yaml:5: models.fast.targets[1].provider: names no configured provider; add it under providers
keyway.yaml:6: models.slow.targets[0]: needs the field model
keyway.yaml:7: teams.red.budget.usd: expected US dollars like 0.15, with at most nine decimal places
keyway.yaml:9: clients.a.token: has 5 characters, 24 are wanted; leave it out to have one made
keyway.yaml:9: clients.a.team: names no team; did you mean red?
keyway.yaml:10: clients.b.models[0]: a model's name has 1 to 256 visible ASCII characters
keyway.yaml:11: clients.c.team: the environment variable lower is not set; set it or remove this line";
    assert_eq!(faults(text), expected);
}

/// (the file, the only line): what only follows from a fault is not told besides.
#[test]
fn what_follows_from_a_fault_is_not_one_more() {
    let cases = [
        (
            "providers:\n  mine: { dialect: openai-chat, base_url: '${lower}' }\n",
            "keyway.yaml:2: providers.mine.base_url: the environment variable lower is not set; set it or remove this line",
        ),
        (
            "providers:\n  mine: { dialect: nonsense, base_url: 'http://x' }\nmodels:\n  a: { targets: [{ provider: mine, model: m }] }\n",
            "keyway.yaml:2: providers.mine.dialect: must be one of openai-chat, openai-responses, anthropic-messages, \
             gemini, bedrock-converse, cohere-chat",
        ),
        (
            "providers: [mine]\nmodels:\n  a: { targets: [{ provider: mine, model: m }] }\n",
            "keyway.yaml:1: providers: expected a mapping, found a list",
        ),
        (
            "teams: { red: {} }\nteams: { blue: {} }\nclients: { a: { team: blue } }\n",
            "keyway.yaml:2: teams: stands twice in the same mapping; keep one",
        ),
        (
            "usage: { minutes: much, hours: 5d }\n",
            "keyway.yaml:1: usage.minutes: expected a duration like 250ms, 60s, 10m, 24h, or seconds as a number",
        ),
        (
            "models: { a: { targets: [], fallback: [x/y], retries: many } }\nproviders: { x: [] }\n",
            "keyway.yaml:1: models.a.retries: expected a whole number in range, 0 or more\n\
             keyway.yaml:2: providers.x: expected a mapping, found a list",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(faults(text), expected, "{text}");
    }
}

#[test]
fn very_many_faults_are_counted_not_listed_and_found_quickly() {
    let clients: String = (0..9_000).map(|n| format!("  c{n}: {{ token: short }}\n")).collect();
    let found = faults(&format!("clients:\n{clients}"));
    assert_eq!(found.lines().count(), 51);
    assert!(found.ends_with("keyway.yaml: 8950 more problems; mend these first"), "{found}");
    let repeated = "a: 1\n".repeat(60_000);
    assert_eq!(faults(&repeated).lines().count(), 1, "60,000 repetitions of one name are one fault");
}

#[test]
fn a_pasted_key_is_refused_and_never_repeated() {
    let key = "sk-proj-abcdefghijklmnop1234567890";
    let texts = [
        format!("providers:\n  {key}:\n    api_key: x\n"),
        format!("providers:\n  openai: {{ {key}: x }}\n"),
        format!("providers:\n  openai: {{ keys: [{{ name: {key}, secret: x }}] }}\n"),
        format!("providers:\n  openai: {{ dialect: {key} }}\n"),
        format!("providers:\n  openai: {{ quirks: {{ {key}: true }} }}\n"),
        format!("providers:\n  openai: {{ quirks: {{ cache_marks: {key} }} }}\n"),
        format!("providers:\n  openai: {{ model_quirks: {{ {key}: {{ no_stop: true }} }} }}\n"),
        format!("providers:\n  openai: {{ timeouts: {{ total: {key} }} }}\n"),
        format!("providers:\n  openai: {{ base_url: 'https://x/{key}' }}\n"),
        format!("providers:\n  openai: {{ headers: {{ x-extra: {key} }} }}\n"),
        format!("models:\n  {key}: {{ targets: [] }}\n"),
        format!("models:\n  a: {{ targets: [{{ provider: sandbox, model: m, weight: {key} }}] }}\n"),
        format!("models:\n  a: {{ targets: [{{ provider: {key}, model: m }}] }}\n"),
        format!("providers:\n  openai: {{ auth: {{ header: {key} }} }}\n"),
        format!("policies: {{ a: [{{ b: {key} }}] }}\n"),
        format!("telemetry: {{ {key}: 1 }}\n"),
        format!("clients:\n  a: {{ team: {key} }}\n"),
        format!("clients:\n  a: {{ models: [{key}] }}\n"),
        format!("{key}\n"),
        format!("{key}: 1\n{key}: 2\n"),
    ];
    for text in texts {
        let found = faults(&text);
        assert!(!found.is_empty() && !found.contains("abcdef"), "{text}{found}");
    }
}

#[test]
fn size_depth_and_aliases_are_bounded() {
    let long = format!("# {}\n", "x".repeat(16 << 20));
    assert!(faults(&long).contains("larger than 16 MiB"));
    let deep = format!("limits: {}1{}", "[".repeat(200), "]".repeat(200));
    assert!(faults(&deep).contains("nested too deep"), "{}", faults(&deep));
    let mut bomb = String::from("limits:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        bomb += &format!("  a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "));
    }
    assert!(faults(&bomb).contains("too many values"));
    assert!(load("limits: { a: &a [1], b: *a }", "f", environment).is_ok());
}

proptest! {
    #[test]
    fn no_text_panics_and_problems_are_single_lines(text in "[a-z:\\-\\[\\]{}&*!|>'\"#%@`$ \n\t0-9]{0,200}") {
        if let Err(problems) = load(&text, "f", environment) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| !problem.to_string().contains('\n')));
        }
    }
}

#[test]
fn prices_say_what_is_wrong_with_them() {
    let file = |price: &str| {
        format!("providers:\n  openai:\n    api_key: some-key-of-mine\n    prices:\n      m: {price}\n")
    };
    for (price, expected) in [
        ("{ input: 1, above: { 200000: { input: 2 } }, service_tiers: { flex: { input: 0.5 } } }", ""),
        (
            "{ inputs: 1 }",
            "keyway.yaml:5: providers.openai.prices.m.inputs: unknown field; did you mean input?",
        ),
        ("{ input: -1 }", "keyway.yaml:5: providers.openai.prices.m.input: "),
        ("{ above: { many: { input: 2 } } }", "keyway.yaml:5: providers.openai.prices.m.above"),
        (
            "{ above: { 5: { above: { 6: { input: 2 } } } } }",
            "keyway.yaml:5: providers.openai.prices.m.above.5: holds rates only",
        ),
        (
            "{ above: { 5: { per_image: 1 } } }",
            "keyway.yaml:5: providers.openai.prices.m.above.5: holds rates of tokens only",
        ),
        (
            "{ service_tiers: { velvet: { input: 2 } } }",
            "keyway.yaml:5: providers.openai.prices.m.service_tiers.velvet: is no service tier",
        ),
        (
            "{ per_image: 10001 }",
            "keyway.yaml:5: providers.openai.prices.m.per_image: is more than 10000 US dollars",
        ),
    ] {
        let found = faults(&file(price));
        assert!(
            if expected.is_empty() { found.is_empty() } else { found.starts_with(expected) },
            "{price}\n{found}"
        );
    }
    let key = |fields: &str| {
        format!(
            "providers:\n  openai:\n    keys:\n      - {{ name: main, secret: some-key-of-mine, {fields} }}\n"
        )
    };
    for (fields, expected) in [
        ("discount: 12.5, prices: { m: { input: 1 }, n: free }", ""),
        ("discount: 100.5", "keyway.yaml:4: providers.openai.keys[0].discount: "),
        ("discount: 0.00001", "keyway.yaml:4: providers.openai.keys[0].discount: "),
        (
            "prices: { m: { per_second: 10001 } }",
            "keyway.yaml:4: providers.openai.keys[0].prices.m.per_second: ",
        ),
    ] {
        let found = faults(&key(fields));
        assert!(
            if expected.is_empty() { found.is_empty() } else { found.starts_with(expected) },
            "{fields}\n{found}"
        );
    }
}
