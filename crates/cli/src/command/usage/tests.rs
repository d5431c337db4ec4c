//! Reports as people and programs get them.

use serde_json::{Value, json};

use super::{Report, csv, table, unpriced};

fn row(client: &str, model: &str, requests: u64, nano: u64, unpriced: u64) -> Value {
    json!({
        "client": client, "model": model, "requests": requests, "errors": 1, "cancelled": 0, "unpriced": unpriced,
        "estimated": 2, "input_tokens": 1_234_567, "output_tokens": 45_678, "cache_read_tokens": 9,
        "cost_nanodollars": nano, "cost_usd": "x", "avg_ms": 12.345, "units": { "images": 3 },
    })
}

fn report() -> Report {
    Report {
        by: vec!["client".into(), "model".into()],
        rows: vec![
            row("openclaw-1", "openai/gpt-4o-mini", 1000, 1_500_000_000, 0),
            row("bot", "my-vllm/qwen", 7, 75, 7),
        ],
        total: row("", "", 1007, 1_500_000_075, 7),
        ..Report::default()
    }
}

#[test]
fn a_table_fits_80_columns_and_doubts_stand_beside_the_cost() {
    let text = table::text(&report(), 80);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let headings = text.lines().next().unwrap_or_default();
    for heading in ["CLIENT", "MODEL", "COST USD", "UNPRICED", "ESTIMATED"] {
        assert!(headings.contains(heading), "{text}");
    }
    assert!(
        text.contains("1.500000075") && text.lines().last().is_some_and(|line| line.starts_with("total")),
        "{text}"
    );
    let bot = text.lines().nth(2).unwrap_or_default();
    assert!(bot.contains("0.000000075"), "what is known is shown, though not all is: {text}");
    let wide = table::text(&report(), 200);
    let headings: Vec<&str> = wide
        .lines()
        .next()
        .unwrap_or_default()
        .split("  ")
        .filter(|one| !one.is_empty())
        .map(str::trim)
        .collect();
    assert_eq!(
        headings,
        [
            "CLIENT",
            "MODEL",
            "REQUESTS",
            "ERRORS",
            "INPUT",
            "CACHED",
            "OUTPUT",
            "COST USD",
            "UNPRICED",
            "ESTIMATED",
            "AVG MS"
        ]
    );
    assert!(wide.contains("1,234,567") && wide.contains("12.3"), "{wide}");
}

#[test]
fn a_cost_of_nothing_but_unpriced_requests_is_no_zero() {
    let mut report = report();
    report.rows = vec![row("bot", "my-vllm/qwen", 7, 0, 7), row("bot", "own/free", 7, 0, 0)];
    let text = table::text(&report, 200);
    let costs: Vec<bool> = text.lines().skip(1).take(2).map(|line| line.contains(" 0.00 ")).collect();
    assert_eq!(costs, [false, true], "{text}");
}

#[test]
fn comma_separated_values_leave_nothing_out() {
    let mut report = report();
    report.rows = vec![row("a,b", "p/\"m\"", 1, 2, 3)];
    let lines = csv::lines(&report);
    let heading: Vec<&str> = lines[0].split(',').collect();
    assert_eq!(heading[..4], ["client", "model", "requests", "errors"]);
    for field in ["cost_nanodollars", "units", "cache_read_tokens", "avg_ms"] {
        assert!(heading.contains(&field), "{lines:?}");
    }
    assert!(lines[1].starts_with("\"a,b\",\"p/\"\"m\"\"\",1,1,0,"), "{lines:?}");
    assert!(lines[1].contains("\"{\"\"images\"\":3}\""), "{lines:?}");
}

#[test]
fn tags_are_shown_as_callers_send_them() {
    let row = json!({ "tags": { "run": "7", "team": "a" }, "tag:run": "7", "alias": "", "key": "p/k/2" });
    let cases =
        [("tag", "run=7,team=a"), ("tag:run", "7"), ("key_version", "p/k/2"), ("alias", "-"), ("day", "-")];
    for (name, text) in cases {
        assert_eq!(table::dimension(&row, name), text);
    }
}

#[test]
fn what_has_no_price_is_named_with_the_way_to_give_one() {
    let models: Vec<Value> = (0..8).map(|n| row("", &format!("vllm/m{n}"), 9, 0, n)).collect();
    let text = unpriced::text(&json!({ "unpriced": 28, "requests": 1234 }), &models);
    assert!(text.starts_with("The cost does not hold 28 of 1,234 requests"), "{text}");
    assert!(text.contains("  vllm/m7  7\n") && text.contains("and 2 more models"), "{text}");
    assert!(text.contains("    vllm:\n      prices: { \"m7\": { input:"), "{text}");
    assert!(text.lines().all(|line| !line.contains("m0") && line.chars().count() <= 80), "{text}");
}
